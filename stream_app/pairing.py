"""Which two contracts of one base make a pair: those whose rates lie furthest apart. Pure.

Two contracts that bear one name are about one asset where a unit of it costs the same on both. The
view `pairs` follows the same rule (docs/decisions/liquidity-facts.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol, TypeVar

MOST_APART = 0.05
"""Prices that differ by a greater share are those of two assets."""
MOST_OF_FEED = 16
"""Of more contracts of one base and feed than twice this, those in the middle are in no pair."""
DOLLARS = frozenset({
    *("USD", "USDT", "USDC", "USDE", "USDH", "USD1", "U", "FDUSD", "TUSD", "BUSD", "DAI"),
    *("USDS", "USDD", "USDG", "PYUSD", "RLUSD"),
})  # fmt: skip
"""Quote assets that are a dollar, whoever issues them."""


class UnitPrice(NamedTuple):
    """What one unit of a base asset costs."""

    value: float | None
    """None: not known."""
    currency: str
    """Empty: not known."""


class PricedLeg(Protocol):
    """The newest rate of a contract, and its price."""

    @property
    def contract_id(self) -> str:
        """The contract."""
        ...

    @property
    def feed(self) -> str:
        """Its feed."""
        ...

    @property
    def rate_8h(self) -> float:
        """The rate per 8 h."""
        ...

    @property
    def price(self) -> UnitPrice:
        """What a unit of its base asset costs there."""
        ...


Leg = TypeVar("Leg", bound=PricedLeg)


def currency_of(quote: str | None) -> str:
    """Return what a quote asset is worth one of; empty: the quote is not known."""
    return "USD" if quote in DOLLARS else quote or ""


def unit_price(mark_price: float | None, multiplier: float | None, quote: str | None) -> UnitPrice:
    """Return what a unit of the base asset costs, by the mark price of a contract."""
    known = mark_price is not None and multiplier is not None and multiplier > 0
    value = mark_price / multiplier if known and mark_price and multiplier else None
    return UnitPrice(value, currency_of(quote))


def price_gap(one: UnitPrice, other: UnitPrice) -> float | None:
    """Return by which share the dearer price exceeds the other; None where nothing tells."""
    if not one.value or not other.value or not one.currency or one.currency != other.currency:
        return None
    low, high = sorted((one.value, other.value))
    return high / low - 1


def same_asset(one: UnitPrice, other: UnitPrice) -> bool:
    """Tell whether two prices may be of one asset; where nothing tells, they may."""
    gap = price_gap(one, other)
    return gap is None or gap <= MOST_APART


def widest_pair(legs: Iterable[Leg]) -> tuple[Leg, Leg] | None:
    """Return the legs of two feeds, of one asset, whose rates lie furthest apart, the higher first.

    A pair whose prices could be compared comes before any other; of equally wide ones that whose
    contracts come first. None: there is no such pair.
    """
    lows = sorted(legs, key=lambda leg: (leg.rate_8h, leg.contract_id))
    if len({leg.feed for leg in lows}) < 2:
        return None
    lows = _outermost(lows)
    highs = sorted(lows, key=lambda leg: (-leg.rate_8h, leg.contract_id))
    best: _Rank | None = None
    found: tuple[Leg, Leg] | None = None
    for high in highs:
        for low in lows:
            gap_8h = high.rate_8h - low.rate_8h
            if gap_8h < 0 or (best is not None and best.is_checked and gap_8h < best.gap_8h):
                break
            gap = price_gap(high.price, low.price)
            if high.feed == low.feed or (gap is not None and gap > MOST_APART):
                continue
            rank = _Rank(gap is not None, gap_8h, high.contract_id, low.contract_id)
            if best is None or rank.order < best.order:
                best, found = rank, (high, low)
    return found


class _Rank(NamedTuple):
    is_checked: bool
    gap_8h: float
    high: str
    low: str

    @property
    def order(self) -> tuple[bool, float, str, str]:
        return not self.is_checked, -self.gap_8h, self.high, self.low


def _outermost(legs: list[Leg]) -> list[Leg]:
    """Return the legs without those that are in the middle of too many of one feed.

    `legs` are in the order of their rates. An exchange that lists thousands of contracts of one
    base would otherwise cost the square of that each time.
    """
    if len(legs) <= 2 * MOST_OF_FEED:
        return legs
    by_feed: dict[str, list[Leg]] = {}
    for leg in legs:
        by_feed.setdefault(leg.feed, []).append(leg)
    kept = {
        leg.contract_id
        for of_feed in by_feed.values()
        for leg in (*of_feed[:MOST_OF_FEED], *of_feed[-MOST_OF_FEED:])
    }
    return [leg for leg in legs if leg.contract_id in kept]
