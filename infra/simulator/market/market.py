"""The market model: rates, prices and settlements of one feed's contracts.

Responsible for: every number that a simulated exchange shows. All of it is a pure function of
(seed, feed, symbol, absolute time): noise is hashed from an absolute grid of time, and what looks
like a random walk is a truncated moving average of that noise, so a restart with the same seed
continues the same history, and the past can be computed in any order. Integer hashing and
elementwise float arithmetic in a fixed order make the result independent of array shapes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from infra.simulator.market.terms import Ints, Terms, TermsTable
from infra.simulator.market.universe import HOUR_MS, UNITS_PER_ONE, Contract

__all__ = ["HOUR_MS", "Ints", "Market", "Settlements", "Snapshot"]

Floats = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]

Flags = npt.NDArray[np.bool_]

_GRID_MS = 60_000  # prices and deviations are drawn each minute and interpolated in between
_SPIKE_MS = 600_000  # a rate spike lasts one such block
_CONVERGED_MS = 2_000  # the estimate equals the settled rate this long before the funding time
_RESTING_8H = 0.0001  # the interest rate per 8 h, where quiet contracts rest
_CLAMP_8H = 0.0005  # premium within which the formula returns the interest rate alone

_SETTLED_CHANNEL = 1
_JUMP_CHANNEL = 2
_SPIKE_CHANNEL = 3
_STAMP_CHANNEL = 4
_WALK_CHANNELS = np.arange(16, 21, dtype=np.uint64)  # deviation, price, basis, settle, average

_SETTLED_WEIGHTS = [0.85**lag * (1 - 0.85**2) ** 0.5 for lag in range(24)]
_WALK_WEIGHTS = [0.92**lag * (1 - 0.92**2) ** 0.5 for lag in range(32)]
_WALK_LIMIT = 3.4642 * sum(_WALK_WEIGHTS)  # no walk can be further from zero than this


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The market at one instant; one entry per contract in the order of the universe.

    Rates are integers of 1e-8, times are ms since the epoch, prices are in the quote currency.
    """

    at_ms: int
    rate_units: Ints
    next_funding_ms: Ints
    mark: Floats
    average: Floats
    settle: Floats
    index: Floats

    def updated(self, newer: Snapshot, rows: Sequence[int]) -> Snapshot:
        """Return this one with the time of a newer one, and with its values at some rows."""
        columns = {}
        for name in (field.name for field in fields(self)[1:]):
            columns[name] = getattr(self, name).copy()
            columns[name][rows] = getattr(newer, name)[rows]
        return replace(newer, **columns)


@dataclass(frozen=True, slots=True)
class Settlements:
    """Settled rates, ascending in time; parallel arrays.

    `funding_ms` is on the contract's grid, `raw_ms` is the stamp that the exchange prints
    (docs/exchanges/README.md §3 rule 9), `row` is the contract's position in the universe,
    `interval_hours` is the interval that the rate is of.
    """

    row: Ints
    funding_ms: Ints
    raw_ms: Ints
    rate_units: Ints
    interval_hours: Ints

    def take(self, positions: Ints | Flags) -> Settlements:
        """Only those at some positions."""
        return Settlements(*(getattr(self, f.name)[positions] for f in fields(self)))


_NO_SETTLEMENTS = Settlements(*(np.zeros(0, dtype=np.int64) for _ in fields(Settlements)))


@dataclass(frozen=True, slots=True)
class _Parts:
    """What rates are made of, one entry per contract and terms; parallel arrays."""

    row: Ints
    seeds: Hashes
    interval_ms: Ints
    offset_ms: Ints
    since_ms: Ints
    cap: Floats
    lift: Floats
    rest: Floats
    clamp: Floats
    scale: Floats
    bias: Floats
    calm: Flags
    still: Flags
    zero: Flags

    def take(self, positions: Ints) -> _Parts:
        """Only those at some positions."""
        return _Parts(*(getattr(self, f.name)[positions] for f in fields(self)))


class Market:
    """The numbers of one feed. Holds only caches: two instances with equal arguments agree.

    Rates are multiples of `step_units` (in 1e-8): the last digit that the exchange prints.
    """

    def __init__(
        self, seed: int, feed: str, contracts: Sequence[Contract], step_units: int = 1
    ) -> None:
        self.contracts = tuple(contracts)
        self.feed = feed
        self._name = f"{seed}/{feed}"
        self._seeds = np.array(
            [_contract_seed(self._name, c.symbol) for c in contracts], dtype=np.uint64
        )
        self._step_units = step_units
        self._settling = np.array([c.kind in {"crypto", "tradfi"} and not c.frozen
                                   for c in contracts])  # fmt: skip
        self._price = np.array([c.price_usd for c in contracts], dtype=np.float64)
        self._walk_cache: tuple[int, Floats, Floats] | None = None
        self._settled_cache: tuple[_Parts, Ints, Floats, Floats] | None = None
        self._now_cache: tuple[int, int, _Parts] | None = None
        self._table = TermsTable(contracts)
        self._parts = self._made_parts()

    def snapshot(self, at_ms: int) -> Snapshot:
        """The market at a time (ms since the epoch)."""
        now = self._in_force(at_ms)
        period = _period(now, at_ms)
        next_funding_ms = period * now.interval_ms + now.offset_ms
        before, coming = self._around(now, period)
        deviation, price, basis, settle, average = self._walks(at_ms)
        left = np.maximum(next_funding_ms - at_ms - _CONVERGED_MS, 0) / now.interval_ms
        moving = before + now.scale * (0.4 * deviation + self._spikes(at_ms))
        rate = np.where(now.still, coming, (1.0 - left) * coming + left * moving)
        index = self._price * (1.0 + 0.004 * price)
        # The offsets keep the four prices apart in every printed digit count: a reader that
        # takes the wrong field can never be right by accident.
        mark = index * (1.0 + 3e-4 + 2e-4 * basis / _WALK_LIMIT)
        return Snapshot(
            at_ms=at_ms,
            rate_units=self._printed(now, rate),
            next_funding_ms=next_funding_ms,
            mark=mark,
            average=mark * (1.0 + 3e-5 + 1e-5 * average / _WALK_LIMIT),
            settle=index * (1.0 - 3e-4 + 2e-4 * settle / _WALK_LIMIT),
            index=index,
        )

    def next_funding_ms(self, at_ms: int) -> Ints:
        """Each contract's first funding time after a time, as the exchange tells it then."""
        now = self._in_force(at_ms)
        return _period(now, at_ms) * now.interval_ms + now.offset_ms

    def settled_units(self, at_ms: int) -> Ints:
        """Each contract's last settled rate (1e-8) at a time."""
        now = self._in_force(at_ms)
        period = _period(now, at_ms)
        units = self._printed(now, self._around(now, period)[0])
        last_ms = (period - 1) * now.interval_ms + now.offset_ms
        for row in np.flatnonzero(last_ms <= now.since_ms).tolist():
            units[row] = self.settled_before(row, at_ms)[1]
        return units

    def last_funding_ms(self, at_ms: int) -> Ints:
        """Each contract's last funding time at a time, itself included."""
        now = self._in_force(at_ms)
        last_ms = (_period(now, at_ms) - 1) * now.interval_ms + now.offset_ms
        for row in np.flatnonzero(last_ms <= now.since_ms).tolist():
            last_ms[row] = self._table.last_funding(row, at_ms)[0]
        return last_ms

    def settled_before(self, row: int, at_ms: int) -> tuple[int, int]:
        """A contract's last funding time until a time, and the rate settled then (1e-8)."""
        funding_ms, terms = self._table.last_funding(row, at_ms)
        entry = self._table.in_force_at(terms.since_ms)[row : row + 1]
        one = self._parts.take(entry)
        period = (np.array([funding_ms], dtype=np.int64) - one.offset_ms) // one.interval_ms
        return funding_ms, int(self._printed(one, _settled(one, period))[0])

    def terms(self, row: int, at_ms: int) -> Terms:
        """A contract's terms at a time."""
        return self._table.in_force(row, at_ms)

    def listed_terms(self, row: int, at_ms: int) -> Terms:
        """What the exchange's list says about a contract's terms at a time."""
        return self._table.listed(row, at_ms)

    def listed_version(self, at_ms: int) -> tuple[int, int]:
        """Changes whenever what the list says at a time may have changed."""
        return self._table.listed_version(at_ms)

    def interval_hours(self, row: int, at_ms: int) -> int:
        """A contract's interval at a time."""
        return self._table.in_force(row, at_ms).interval_hours

    def change_terms(self, row: int, terms: Terms) -> None:
        """A contract has other terms from `terms.since_ms` on; what was before stays.

        Rates, which are per interval, scale with the interval.
        """
        self._table.change(row, terms)
        self._parts = self._made_parts()
        self._now_cache = self._settled_cache = None

    def settlements(self, after_ms: int, until_ms: int) -> Settlements:
        """All settlements with a funding time in (after_ms, until_ms], ascending."""
        funded = self._table.funded(after_ms, until_ms)
        if not len(funded.entry):  # so it is at nearly every tick
            return _NO_SETTLEMENTS
        settles = self._settling[self._table.row[funded.entry]]
        entry, period = funded.entry[settles], funded.period[settles]
        parts = self._parts.take(entry)
        funding_ms = period * parts.interval_ms + parts.offset_ms
        late = _noise(parts.seeds, _STAMP_CHANNEL, period) & np.uint64(3)
        raw_ms = funding_ms + late.astype(np.int64)
        units = self._printed(parts, _settled(parts, period))
        order = np.lexsort((parts.row, raw_ms))
        hours = parts.interval_ms // HOUR_MS
        return Settlements(parts.row, funding_ms, raw_ms, units, hours).take(order)

    def mark_at(self, row: Ints, at_ms: Ints) -> Floats:
        """The mark prices of given contracts at given full minutes, as `snapshot` shows them."""
        grid = at_ms // _GRID_MS
        price, basis = (
            _average(self._seeds[row], int(channel), grid, _WALK_WEIGHTS)
            for channel in _WALK_CHANNELS[1:3]
        )
        index = self._price[row] * (1.0 + 0.004 * price)
        mark: Floats = index * (1.0 + 3e-4 + 2e-4 * basis / _WALK_LIMIT)
        return mark

    def _made_parts(self) -> _Parts:
        entries, contracts = self._table.entries(), self.contracts
        row = self._table.row
        seeds = self._seeds[row]
        for at, (number, terms) in enumerate(entries):
            if terms.life:
                symbol = contracts[number].symbol
                seeds[at] = _contract_seed(self._name, f"{symbol}/{terms.life}")
        hours = self._table.interval_ms // HOUR_MS
        calm = np.array([c.behaviour == "calm" for c in contracts])[row]
        temper = _uniform(_noise(seeds, 0, np.zeros(len(seeds), dtype=np.int64)))
        scale_8h = np.where(calm, 3e-4, 2e-5 * 15.0**temper)
        scale = scale_8h * hours / 8
        return _Parts(
            row=row,
            seeds=seeds,
            interval_ms=self._table.interval_ms,
            offset_ms=self._table.offset_ms,
            since_ms=self._table.since_ms,
            cap=np.array([t.cap_units for _, t in entries], dtype=np.float64) / UNITS_PER_ONE,
            lift=np.array([t.lift_units for _, t in entries], dtype=np.float64) / UNITS_PER_ONE,
            rest=_RESTING_8H * hours / 8,
            clamp=_CLAMP_8H * hours / 8,
            scale=scale,
            bias=(temper - 0.5) * scale,
            calm=calm,
            still=np.array([c.behaviour in {"resting", "zero"} for c in contracts])[row],
            zero=np.array([c.behaviour == "zero" for c in contracts])[row],
        )

    def _in_force(self, at_ms: int) -> _Parts:
        """The parts at a time, in the order of the contracts: the same object while they hold."""
        cache = self._now_cache
        if cache is None or not cache[0] <= at_ms < cache[1]:
            parts = self._parts.take(self._table.in_force_at(at_ms))
            cache = self._now_cache = (*self._table.span(at_ms), parts)
        return cache[2]

    def _printed(self, parts: _Parts, rate: Floats) -> Ints:
        steps = np.rint(np.clip(rate, -parts.cap, parts.cap) * UNITS_PER_ONE / self._step_units)
        return steps.astype(np.int64) * self._step_units

    def _around(self, now: _Parts, period: Ints) -> tuple[Floats, Floats]:
        """Settled rates before and at the end of the running period; computed once a period."""
        cache = self._settled_cache
        if cache is None or cache[0] is not now or not np.array_equal(cache[1], period):
            cache = now, period, _settled(now, period - 1), _settled(now, period)
            self._settled_cache = cache
        return cache[2], cache[3]

    def _walks(self, at_ms: int) -> Floats:
        grid, within_ms = divmod(at_ms, _GRID_MS)
        if self._walk_cache is None or self._walk_cache[0] != grid:
            known = self._walk_cache
            start = known[2] if known is not None and known[0] == grid - 1 else self._walk(grid)
            self._walk_cache = grid, start, self._walk(grid + 1)
        _, start, end = self._walk_cache
        share = within_ms / _GRID_MS
        walks: Floats = start * (1.0 - share) + end * share
        return walks

    def _walk(self, grid: int) -> Floats:
        at = np.full(len(self._seeds), grid, dtype=np.int64)
        return np.stack([_average(self._seeds, int(c), at, _WALK_WEIGHTS) for c in _WALK_CHANNELS])

    def _spikes(self, at_ms: int) -> Floats:
        """Rare excursions of 3 to 7 scales, from nothing to their peak and back in ten minutes."""
        block, within_ms = divmod(at_ms, _SPIKE_MS)
        at = np.full(len(self._seeds), block, dtype=np.int64)
        drawn = _uniform(_noise(self._seeds, _SPIKE_CHANNEL, at))
        size = np.where(drawn < 0.005, 3.0 + drawn * 800.0, 0.0)
        size = np.where(drawn > 0.995, -3.0 - (1.0 - drawn) * 800.0, size)
        shape = 1.0 - abs(2.0 * within_ms / _SPIKE_MS - 1.0)
        spikes: Floats = size * shape
        return spikes


def _period(now: _Parts, at_ms: int) -> Ints:
    """The number of the funding time that is next."""
    period: Ints = (at_ms - now.offset_ms) // now.interval_ms + 1
    return period


def _settled(parts: _Parts, period: Ints) -> Floats:
    """The settled rate of each (contract, period), before caps and rounding."""
    level = np.zeros(len(period))
    for lag, weight in enumerate(_SETTLED_WEIGHTS):
        at = period - lag
        level += weight * (
            _normal(_noise(parts.seeds, _SETTLED_CHANNEL, at)) + _jump(parts.seeds, at)
        )
    premium = parts.scale * level
    # The formula of most exchanges: premium plus the interest rate's distance, clamped.
    clamped = premium + np.clip(parts.rest - premium, -parts.clamp, parts.clamp)
    rate = np.where(parts.calm, clamped, parts.rest + parts.bias + premium)
    rate = np.where(parts.still, parts.rest, rate)
    settled: Floats = np.where(parts.zero, 0.0, rate) + parts.lift
    return settled


def _contract_seed(name: str, symbol: str) -> int:
    digest = hashlib.blake2b(f"{name}/{symbol}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _noise(seeds: Hashes, channel: int, at: Ints) -> Hashes:
    """64 hashed bits for each (contract, channel, grid point): the splitmix64 finaliser."""
    z = seeds + at.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = z ^ np.uint64(channel * 0xD1342543DE82EF95 & 0xFFFFFFFFFFFFFFFF)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits: Hashes = z ^ (z >> np.uint64(31))
    return bits


def _uniform(bits: Hashes) -> Floats:
    uniform: Floats = (bits >> np.uint64(11)).astype(np.float64) / 2.0**53
    return uniform


def _normal(bits: Hashes) -> Floats:
    """Nearly normal, mean 0, variance 1: the sum of four 16-bit lanes, exact on any machine."""
    lane = np.uint64(0xFFFF)
    total = (bits & lane) + (bits >> np.uint64(16) & lane)
    total = total + (bits >> np.uint64(32) & lane) + (bits >> np.uint64(48))
    normal: Floats = (total.astype(np.float64) / 65_536.0 - 2.0) * 3.0**0.5
    return normal


def _jump(seeds: Hashes, at: Ints) -> Floats:
    """In 1.5 % of the periods a shock of 3 to 6 standard deviations, of either sign."""
    drawn = _uniform(_noise(seeds, _JUMP_CHANNEL, at))
    up = np.where(drawn < 0.0075, 3.0 + drawn * 400.0, 0.0)
    jump: Floats = np.where(drawn > 0.9925, -3.0 - (1.0 - drawn) * 400.0, up)
    return jump


def _average(seeds: Hashes, channel: int, at: Ints, weights: Sequence[float]) -> Floats:
    """A truncated moving average of noise: mean-reverting, and a function of time alone."""
    total = np.zeros(len(seeds))
    for lag, weight in enumerate(weights):
        total += weight * _normal(_noise(seeds, channel, at - lag))
    return total
