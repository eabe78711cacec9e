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
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.simulator.market.universe import UNITS_PER_ONE, Contract

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]

HOUR_MS = 3_600_000
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


@dataclass(frozen=True, slots=True)
class Settlements:
    """Settled rates, ascending in time; parallel arrays.

    `funding_ms` is on the contract's grid, `raw_ms` is the stamp that the exchange prints
    (docs/exchanges/README.md §3 rule 9), `row` is the contract's position in the universe.
    """

    row: Ints
    funding_ms: Ints
    raw_ms: Ints
    rate_units: Ints


class Market:
    """The numbers of one feed. Holds only caches: two instances with equal arguments agree.

    Rates are multiples of `step_units` (in 1e-8): the last digit that the exchange prints.
    """

    def __init__(
        self, seed: int, feed: str, contracts: Sequence[Contract], step_units: int = 1
    ) -> None:
        self.contracts = tuple(contracts)
        self._seeds = np.array(
            [_contract_seed(seed, feed, c.symbol) for c in contracts], dtype=np.uint64
        )
        intervals_h = np.array([c.interval_hours for c in contracts], dtype=np.int64)
        self.interval_ms: Ints = intervals_h * HOUR_MS
        self._offset_ms = np.array([c.grid_offset_ms for c in contracts], dtype=np.int64)
        self._step_units = step_units
        self._cap = np.array([c.cap_units for c in contracts], dtype=np.float64) / UNITS_PER_ONE
        self._rest = _RESTING_8H * intervals_h / 8
        self._clamp = _CLAMP_8H * intervals_h / 8
        self._calm = np.array([c.behaviour == "calm" for c in contracts])
        self._still = np.array([c.behaviour in {"resting", "zero"} for c in contracts])
        self._zero = np.array([c.behaviour == "zero" for c in contracts])
        self._settling = np.array([c.kind in {"crypto", "tradfi"} and not c.frozen
                                   for c in contracts])  # fmt: skip
        self._price = np.array([c.price_usd for c in contracts], dtype=np.float64)
        temper = _uniform(_noise(self._seeds, 0, np.zeros(len(self._seeds), dtype=np.int64)))
        scale_8h = np.where(self._calm, 3e-4, 2e-5 * 15.0**temper)
        self._scale = scale_8h * intervals_h / 8
        self._bias = (temper - 0.5) * self._scale
        self._walk_cache: tuple[int, Floats, Floats] | None = None
        self._settled_cache: tuple[Ints, Floats, Floats] | None = None
        # By row, of contracts whose interval has changed: when, and the last settlement before.
        self._changed: dict[int, tuple[int, int, int]] = {}

    def snapshot(self, at_ms: int) -> Snapshot:
        """The market at a time (ms since the epoch)."""
        period = self._period(at_ms)
        next_funding_ms = self.next_funding_ms(at_ms)
        before, coming = self._around(period)
        deviation, price, basis, settle, average = self._walks(at_ms)
        left = np.maximum(next_funding_ms - at_ms - _CONVERGED_MS, 0) / self.interval_ms
        moving = before + self._scale * (0.4 * deviation + self._spikes(at_ms))
        rate = np.where(self._still, coming, (1.0 - left) * coming + left * moving)
        index = self._price * (1.0 + 0.004 * price)
        # The offsets keep the four prices apart in every printed digit count: a reader that
        # takes the wrong field can never be right by accident.
        mark = index * (1.0 + 3e-4 + 2e-4 * basis / _WALK_LIMIT)
        return Snapshot(
            at_ms=at_ms,
            rate_units=self._printed(rate),
            next_funding_ms=next_funding_ms,
            mark=mark,
            average=mark * (1.0 + 3e-5 + 1e-5 * average / _WALK_LIMIT),
            settle=index * (1.0 - 3e-4 + 2e-4 * settle / _WALK_LIMIT),
            index=index,
        )

    def next_funding_ms(self, at_ms: int) -> Ints:
        """Each contract's first funding time after a time."""
        return self._period(at_ms) * self.interval_ms + self._offset_ms

    def settled_units(self, at_ms: int) -> Ints:
        """Each contract's last settled rate (1e-8) at a time."""
        units = self._printed(self._around(self._period(at_ms))[0])
        last_ms = self.next_funding_ms(at_ms) - self.interval_ms
        for row, (changed_ms, _, settled_units) in self._changed.items():
            if last_ms[row] <= changed_ms:
                units[row] = settled_units
        return units

    def last_funding_ms(self, at_ms: int) -> Ints:
        """Each contract's last funding time at a time, itself included."""
        last_ms = self.next_funding_ms(at_ms) - self.interval_ms
        for row, (changed_ms, settled_ms, _) in self._changed.items():
            if last_ms[row] <= changed_ms:
                last_ms[row] = settled_ms
        return last_ms

    def interval_hours(self, row: int) -> int:
        """A contract's interval now."""
        return int(self.interval_ms[row]) // HOUR_MS

    def change_interval(self, row: int, interval_hours: int, now_ms: int) -> None:
        """A contract settles at another interval from now on, on the grid of full hours (UTC).

        What has settled stays. Rates, which are per interval, and the terms they are made of scale
        with it; the numbers of the past, as `settlements` gives them, follow the new interval: ask
        only for what is later than `now_ms` of a changed contract.
        """
        last = int(self.last_funding_ms(now_ms)[row]), int(self.settled_units(now_ms)[row])
        factor = interval_hours / self.interval_hours(row)
        for terms in (self._rest, self._clamp, self._scale, self._bias):
            terms[row] *= factor
        # Caches know the array that they were computed for: it is replaced, not changed.
        interval_ms = self.interval_ms.copy()
        interval_ms[row] = interval_hours * HOUR_MS
        self.interval_ms = interval_ms
        offset_ms = self._offset_ms.copy()
        offset_ms[row] %= interval_hours * HOUR_MS
        self._offset_ms = offset_ms
        self._settled_cache = None
        self._changed[row] = now_ms, *last

    def settlements(self, after_ms: int, until_ms: int) -> Settlements:
        """All settlements with a funding time in (after_ms, until_ms], ascending."""
        rows: list[Ints] = []
        periods: list[Ints] = []
        grids = np.stack((self.interval_ms, self._offset_ms))
        for interval_ms, offset_ms in np.unique(grids, axis=1).T:
            first = (after_ms - offset_ms) // interval_ms + 1
            last = (until_ms - offset_ms) // interval_ms
            if last < first:
                continue
            on_grid = (self.interval_ms == interval_ms) & (self._offset_ms == offset_ms)
            members = np.flatnonzero(on_grid & self._settling)
            span = np.arange(first, last + 1, dtype=np.int64)
            rows.append(np.repeat(members, len(span)).astype(np.int64))
            periods.append(np.tile(span, len(members)))
        if not rows:
            nothing = np.zeros(0, dtype=np.int64)
            return Settlements(nothing, nothing, nothing, nothing)
        row, period = np.concatenate(rows), np.concatenate(periods)
        funding_ms = period * self.interval_ms[row] + self._offset_ms[row]
        late = _noise(self._seeds[row], _STAMP_CHANNEL, period) & np.uint64(3)
        raw_ms = funding_ms + late.astype(np.int64)
        units = self._printed(self._settled(row, period), row)
        order = np.lexsort((row, raw_ms))
        return Settlements(row[order], funding_ms[order], raw_ms[order], units[order])

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

    def _period(self, at_ms: int) -> Ints:
        """The number of the funding time that is next."""
        return (at_ms - self._offset_ms) // self.interval_ms + 1

    def _printed(self, rate: Floats, row: Ints | None = None) -> Ints:
        cap = self._cap if row is None else self._cap[row]
        steps = np.rint(np.clip(rate, -cap, cap) * UNITS_PER_ONE / self._step_units)
        return steps.astype(np.int64) * self._step_units

    def _around(self, period: Ints) -> tuple[Floats, Floats]:
        """Settled rates before and at the end of the running period; computed once a period."""
        cache = self._settled_cache
        if cache is None or not np.array_equal(cache[0], period):
            rows = np.arange(len(period), dtype=np.int64)
            cache = period, self._settled(rows, period - 1), self._settled(rows, period)
            self._settled_cache = cache
        return cache[1], cache[2]

    def _settled(self, row: Ints, period: Ints) -> Floats:
        """The settled rate of each (contract, period), before caps and rounding."""
        seeds = self._seeds[row]
        level = np.zeros(len(row))
        for lag, weight in enumerate(_SETTLED_WEIGHTS):
            at = period - lag
            level += weight * (_normal(_noise(seeds, _SETTLED_CHANNEL, at)) + _jump(seeds, at))
        premium = self._scale[row] * level
        rest, clamp = self._rest[row], self._clamp[row]
        # The formula of most exchanges: premium plus the interest rate's distance, clamped.
        clamped = premium + np.clip(rest - premium, -clamp, clamp)
        rate = np.where(self._calm[row], clamped, rest + self._bias[row] + premium)
        rate = np.where(self._still[row], rest, rate)
        settled: Floats = np.where(self._zero[row], 0.0, rate)
        return settled

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


def _contract_seed(seed: int, feed: str, symbol: str) -> int:
    digest = hashlib.blake2b(f"{seed}/{feed}/{symbol}".encode(), digest_size=8).digest()
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
