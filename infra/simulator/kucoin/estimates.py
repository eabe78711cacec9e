"""What KuCoin shows as the rate at a moment, and how it prints it.

This is the estimate of each minute, what stands in its place after a settlement, and the texts of
rates and prices (docs/exchanges/kucoin.md §3, §5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.simulator.market.listings import Listings
from infra.simulator.market.market import HOUR_MS, Ints, Market, Snapshot
from infra.simulator.market.universe import UNITS_PER_ONE

_PUSH_DELAY_MS = 1_000  # a push comes about 1 s past the minute
_SHORTEST_HOLD_MS = 5_000  # the old estimate stays for 5 to 20 s after a settlement
_HOLD_SPREAD_MS = 15_000
_SETTLED_SHOWN_MS = 60_000  # then the settled rate, for about a minute


@dataclass(frozen=True, slots=True)
class Shown:
    """What the exchange shows at a time; one entry per contract. Rates are in 1e-8, times in ms.

    Attributes:
        estimated_ms: the minute that the estimates are of.
        rate_units: the rate for the settlement at `next_ms`, as shown.
        start_ms: the last settlement.
        last_units: the rate settled then.
    """

    estimated_ms: int
    rate_units: Ints
    start_ms: Ints
    next_ms: Ints
    last_units: Ints


class Estimates:
    """The rates shown by sockets and REST. Holds only caches.

    Args:
        market: the numbers.
        listings: which settlements are not shown.
        period_ms: estimates come at a multiple of this time.
        push_ms: between two estimates: a minute on the exchange itself.
        phase_ms: how far they are past it.
    """

    def __init__(
        self, market: Market, listings: Listings, period_ms: int, push_ms: int, phase_ms: int
    ) -> None:
        self._market = market
        self._listings = listings
        self.push_ms = -(-push_ms // period_ms) * period_ms
        delay_ms = min(_PUSH_DELAY_MS, self.push_ms - period_ms)
        self.delay_ms = delay_ms // period_ms * period_ms + phase_ms
        rows = np.arange(len(market.contracts), dtype=np.int64)
        self._hold_ms = _SHORTEST_HOLD_MS + rows * 4_003 % (_HOLD_SPREAD_MS + 1)
        self._cache: dict[int, Snapshot] = {}

    def is_push(self, at_ms: int) -> bool:
        """Whether the tick of a grid time carries estimates."""
        return (at_ms - self.delay_ms) % self.push_ms == 0

    def at(self, now_ms: int) -> Shown:
        """What is shown at a time."""
        estimated_ms = (now_ms - self.delay_ms) // self.push_ms * self.push_ms
        next_ms = self._market.next_funding_ms(now_ms)
        start_ms = self._market.last_funding_ms(now_ms)
        last_units = self._market.settled_units(now_ms)
        for row, missing_ms in self._listings.missing:
            if start_ms[row] == missing_ms:
                before = self._market.settled_before(row, missing_ms - 1)
                start_ms[row], last_units[row] = before
        rate_units = self._snapshot(estimated_ms).rate_units
        age_ms = now_ms - start_ms
        held = age_ms < self._hold_ms
        settled = ~held & (age_ms < self._hold_ms + _SETTLED_SHOWN_MS)
        if held.any():
            # All that settled so shortly ago did so on the last full hour.
            before_ms = (now_ms // HOUR_MS * HOUR_MS - 1) // self.push_ms * self.push_ms
            rate_units = np.where(held, self._snapshot(before_ms).rate_units, rate_units)
        rate_units = np.where(settled, last_units, rate_units)
        return Shown(estimated_ms, rate_units, start_ms, next_ms, last_units)

    def _snapshot(self, at_ms: int) -> Snapshot:
        found = self._cache.get(at_ms)
        if found is None:
            found = self._market.snapshot(at_ms)
            if len(self._cache) > 1:
                del self._cache[min(self._cache)]
            self._cache[at_ms] = found
        return found


def decimal_text(units: int) -> str:
    """A rate as UTA prints it, without trailing zeros: `-0.000076`, `0.003`, `0`."""
    return f"{units / UNITS_PER_ONE:.8f}".rstrip("0").rstrip(".")


def number_text(units: int, *, exponent: bool) -> str:
    """A rate as a JSON number; in the exponent form, `6.1E-5` for what is below 0.001."""
    if not exponent or abs(units) * 1_000 >= UNITS_PER_ONE:
        return decimal_text(units)
    if units == 0:
        return "0.0"
    digits, power = f"{units / UNITS_PER_ONE:.7e}".split("e")
    digits = digits.rstrip("0")
    return f"{digits}{'0' if digits.endswith('.') else ''}E{int(power)}"


def uses_exponents(row: int) -> bool:
    """Whether a contract's small numbers are in exponent form: both forms were seen."""
    return row % 2 == 1


def price_text(price: float) -> str:
    """A price, with fewer decimals for larger ones."""
    if price >= 100.0:
        return f"{price:.2f}"
    if price >= 1.0:
        return f"{price:.4f}"
    return f"{price:.6f}" if price >= 0.01 else f"{price:.10f}"
