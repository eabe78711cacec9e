"""Which faults run now: the pure book behind fault control.

Faults begin, end and are found by kind, feed, connection and contract. Times are passed in, in
seconds of any steady clock; chance is seeded.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.simulator.faults.kinds import Fault
from schemas.errors import ConfigurationError

MAX_RUNNING = 256
_FRAME_KINDS = (
    "half-open", "silence", "drop", "clock-skew", "bad-units", "bad-field", "null-fields",
    "corrupt", "duplicate", "reorder",
)  # fmt: skip
"""In the order in which they act: what is damaged can no longer be rewritten."""


@dataclass(eq=False, slots=True)
class Running:
    """A fault that has begun.

    Attributes:
        number: names it in replies and in the truth.
        fault: what was asked for.
        until_s: when it ends by itself; None: on request.
        connections: the numbers of the sockets that it is about; None: of all, new ones included.
        began_us: the wall clock when it began.
    """

    number: int
    fault: Fault
    until_s: float | None
    connections: frozenset[int] | None
    began_us: int
    chance: random.Random = field(default_factory=random.Random)

    @property
    def kind(self) -> str:
        """Its kind."""
        return self.fault.kind

    def get(self, parameter: str) -> Any:
        """A parameter, None where it was not given."""
        return self.fault.parameters.get(parameter)

    def strikes(self) -> bool:
        """Draw: whether the next frame is hit, with the fault's probability `p`."""
        p: float = self.get("p")
        return self.chance.random() < p

    def hides(self, symbol: str | None) -> bool:
        """Whether a silence is about a contract; about what names none only if it is about all."""
        symbols, share = self.get("symbols"), self.get("share")
        if symbols is None and share is None:
            return True
        if symbol is None:
            return False
        return symbol in symbols if symbols is not None else in_share(symbol, share)

    def is_partial(self) -> bool:
        """Whether a silence is about some contracts only."""
        return self.get("symbols") is not None or self.get("share") is not None


class FaultBook:
    """The running faults. Bounded: `begin` refuses more than MAX_RUNNING."""

    def __init__(self) -> None:
        self._running: list[Running] = []
        self._numbers = 0
        self._by_feed: dict[str, tuple[Running, ...]] = {}

    def begin(
        self, fault: Fault, now_s: float, now_us: int, connections: frozenset[int] | None = None
    ) -> tuple[Running, list[Running]]:
        """Start a fault; returns it, and those that it takes the place of: equal but in time.

        Raises:
            ConfigurationError: too many run.
        """
        same = [
            known
            for known in self._running
            if not fault.instant
            and (known.kind, known.fault.feed, known.fault.parameters, known.connections)
            == (fault.kind, fault.feed, fault.parameters, connections)
        ]
        if not fault.instant and len(self._running) - len(same) >= MAX_RUNNING:
            raise ConfigurationError(f"{MAX_RUNNING} faults run already: resume some first")
        self._numbers += 1
        until_s = None if fault.seconds is None else now_s + fault.seconds
        begun = Running(self._numbers, fault, until_s, connections, now_us)
        begun.chance.seed(fault.parameters.get("seed", 1))
        if not fault.instant:
            self._change([known for known in self._running if known not in same] + [begun])
        return begun, same

    def end(
        self, feed: str | None = None, kind: str | None = None, number: int | None = None
    ) -> list[Running]:
        """End what fits all that is given: of one feed exactly, one kind, one number."""
        ended = [
            running
            for running in self._running
            if (feed is None or running.fault.feed == feed)
            and (kind is None or running.kind == kind)
            and (number is None or running.number == number)
        ]
        return self._without(ended)

    def expire(self, now_s: float) -> list[Running]:
        """End what is over."""
        return self._without(
            [r for r in self._running if r.until_s is not None and r.until_s <= now_s]
        )

    def next_end_s(self) -> float | None:
        """When the next fault ends by itself."""
        return min((r.until_s for r in self._running if r.until_s is not None), default=None)

    def running(self) -> Sequence[Running]:
        """All that run, in the order of their beginning."""
        return tuple(self._running)

    def of(self, feed: str) -> Sequence[Running]:
        """What runs for a feed, those for all feeds included."""
        found = self._by_feed.get(feed)
        if found is None:
            found = tuple(r for r in self._running if r.fault.feed in {None, feed})
            self._by_feed[feed] = found
        return found

    def first(self, feed: str, kinds: Collection[str]) -> Running | None:
        """The oldest fault of some kinds that a feed suffers from."""
        return next((running for running in self.of(feed) if running.kind in kinds), None)

    def on_frames(self, feed: str, connection: int) -> list[Running]:
        """What concerns the data frames of a connection in the order of acting, `delay` apart."""
        found = [
            running
            for running in self.of(feed)
            if running.kind in _FRAME_KINDS
            and (running.connections is None or connection in running.connections)
        ]
        return sorted(found, key=lambda running: _FRAME_KINDS.index(running.kind))

    def delay_s(self, feed: str, connection: int) -> float:
        """How late everything on a connection is."""
        delays_s: list[float] = [
            running.get("delay_s")
            for running in self.of(feed)
            if running.kind == "delay"
            and (running.connections is None or connection in running.connections)
        ]
        return sum(delays_s)

    def names(self) -> list[str]:
        """What runs, as `kind:feed`, `*` for all feeds."""
        return sorted({f"{r.kind}:{r.fault.feed or '*'}" for r in self._running})

    def _without(self, ended: list[Running]) -> list[Running]:
        if ended:
            self._change([running for running in self._running if running not in ended])
        return ended

    def _change(self, running: list[Running]) -> None:
        self._running = running
        self._by_feed.clear()


def in_share(symbol: str, share: float) -> bool:
    """Whether a contract is in a share of all: the same each time, and more as the share grows."""
    digest = hashlib.blake2b(symbol.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64
