"""The terms of simulated contracts over time: when each settles, within which cap, in which life.

A contract's terms are a list in time. Each entry holds for the funding times after its beginning
until the next one begins, so that an interval, a settlement clock, a cap or the life of a ticker
can change at any moment, and the past stays what it was. Every funding time of the simulator is
computed here. Pure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.simulator.market.universe import HOUR_MS, Contract

Ints = npt.NDArray[np.int64]

_EVER_MS = 2**61


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for a contract from a moment on.

    Attributes:
        since_ms: the moment of the decision; funding times after it follow these terms.
        listed_ms: from when the exchange's list tells of it. Streams, funding times and
            settlements change at `since_ms`.
        interval_hours: between two settlements.
        offset_ms: how far funding times are past multiples of the interval.
        cap_units: the highest rate, in 1e-8; the floor is its negative.
        lift_units: added to each rate, in 1e-8.
        life: 0; a ticker that is used again counts on, and has rates of its own.
        onboard_ms: when the present life was listed; 0: at the date that the universe gives.
    """

    since_ms: int
    listed_ms: int
    interval_hours: int
    offset_ms: int
    cap_units: int
    lift_units: int = 0
    life: int = 0
    onboard_ms: int = 0

    @property
    def interval_ms(self) -> int:
        """The interval in ms."""
        return self.interval_hours * HOUR_MS

    def next_ms(self, at_ms: int) -> int:
        """The first funding time after a time."""
        return self.last_ms(at_ms) + self.interval_ms

    def last_ms(self, at_ms: int) -> int:
        """The last funding time until a time, as if these terms had always held."""
        return (at_ms - self.offset_ms) // self.interval_ms * self.interval_ms + self.offset_ms


@dataclass(frozen=True, slots=True)
class Funded:
    """Funding times of many contracts, parallel arrays.

    Attributes:
        entry: the position of the terms in force, in the order of `TermsTable.entries`.
        period: the number of the funding time among the multiples of the interval.
    """

    entry: Ints
    period: Ints


_NOTHING_FUNDED = Funded(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


class TermsTable:
    """The terms of a list of contracts; a row is a position in that list."""

    def __init__(self, contracts: Sequence[Contract]) -> None:
        self._terms = [_from_the_start(contract) for contract in contracts]
        self._quiet: tuple[int, int] = (0, 0)
        """After which time nothing is funded, and until when: nearly every tick lies in there."""
        self._flatten()

    def entries(self) -> list[tuple[int, Terms]]:
        """Row and terms of each entry, by row and then ascending in time."""
        return [(row, terms) for row, own in enumerate(self._terms) for terms in own]

    def in_force(self, row: int, at_ms: int) -> Terms:
        """What holds for a contract at a time."""
        return next(t for t in reversed(self._terms[row]) if t.since_ms <= at_ms)

    def listed(self, row: int, at_ms: int) -> Terms:
        """What the exchange's list says of a contract at a time."""
        return next(t for t in reversed(self._terms[row]) if t.listed_ms <= at_ms)

    def listed_version(self, at_ms: int) -> tuple[int, int]:
        """Changes whenever what the list says at a time may have changed."""
        return len(self.since_ms), bisect_right(self._listed_ms, at_ms)

    def last_funding(self, row: int, at_ms: int) -> tuple[int, Terms]:
        """A contract's last funding time until a time, and the terms that it was settled by."""
        until_ms = at_ms
        for terms in reversed(self._terms[row]):
            if terms.since_ms > at_ms:
                continue
            found_ms = terms.last_ms(until_ms)
            if found_ms > terms.since_ms:
                return found_ms, terms
            until_ms = terms.since_ms
        raise AssertionError("the first terms have no beginning")

    def change(self, row: int, terms: Terms) -> None:
        """A contract has other terms from `terms.since_ms` on, whatever was planned for later."""
        kept = [known for known in self._terms[row] if known.since_ms < terms.since_ms]
        self._terms[row] = [*kept, terms]
        self._flatten()

    def span(self, at_ms: int) -> tuple[int, int]:
        """From when until when the same entries are in force as at a time."""
        after = bisect_right(self._moments, at_ms)
        until_ms = self._moments[after] if after < len(self._moments) else _EVER_MS
        return self._moments[after - 1], until_ms

    def in_force_at(self, at_ms: int) -> Ints:
        """The entry in force of each contract, in the order of the rows."""
        return np.flatnonzero((self.since_ms <= at_ms) & (at_ms < self._until_ms)).astype(np.int64)

    def funded(self, after_ms: int, until_ms: int) -> Funded:
        """All funding times in (after_ms, until_ms], by entry and then ascending."""
        quiet_from_ms, quiet_until_ms = self._quiet
        if quiet_from_ms <= after_ms and until_ms < quiet_until_ms:
            return _NOTHING_FUNDED
        low_ms = np.maximum(self.since_ms, after_ms)
        high_ms = np.minimum(self._until_ms, until_ms)
        first = (low_ms - self.offset_ms) // self.interval_ms + 1
        last = (high_ms - self.offset_ms) // self.interval_ms
        counts = np.where(high_ms > low_ms, np.maximum(last - first + 1, 0), 0)
        if not counts.any():
            first_ms = first * self.interval_ms + self.offset_ms
            in_force = first_ms <= self._until_ms
            self._quiet = after_ms, int(first_ms[in_force].min(initial=_EVER_MS))
            return _NOTHING_FUNDED
        entry = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
        within = np.arange(len(entry), dtype=np.int64) - np.repeat(
            np.cumsum(counts) - counts, counts
        )
        return Funded(entry, first[entry] + within)

    def _flatten(self) -> None:
        entries = self.entries()
        self.row: Ints = np.array([row for row, _ in entries], dtype=np.int64)
        self.since_ms: Ints = np.array([t.since_ms for _, t in entries], dtype=np.int64)
        self.interval_ms: Ints = np.array([t.interval_ms for _, t in entries], dtype=np.int64)
        self.offset_ms: Ints = np.array([t.offset_ms for _, t in entries], dtype=np.int64)
        ends = [[*(t.since_ms for t in own[1:]), _EVER_MS] for own in self._terms]
        self._until_ms: Ints = np.array([end for own in ends for end in own], dtype=np.int64)
        self._moments = sorted({-_EVER_MS, *self.since_ms.tolist()})
        self._listed_ms = sorted(t.listed_ms for _, t in entries)
        self._quiet = (0, 0)


def _from_the_start(contract: Contract) -> list[Terms]:
    first = Terms(
        since_ms=-_EVER_MS,
        listed_ms=-_EVER_MS,
        interval_hours=contract.interval_hours,
        offset_ms=contract.grid_offset_ms,
        cap_units=contract.cap_units,
    )
    later = [
        Terms(c.since_ms, c.since_ms, c.interval_hours, c.offset_ms, contract.cap_units)
        for c in contract.clock_changes
    ]
    return [first, *later]
