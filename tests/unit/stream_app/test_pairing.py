"""Which contracts of one base make a pair, and which are of two assets."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import NamedTuple

import pytest

from stream_app import pairing
from stream_app.pairing import (
    DOLLARS,
    MOST_APART,
    UnitPrice,
    price_gap,
    same_asset,
    unit_price,
    widest_pair,
)


class Leg(NamedTuple):
    """A contract's rate and price."""

    contract_id: str
    feed: str
    rate_8h: float
    price: UnitPrice


def leg(name: str, rate: float, price: float | None = 100.0, currency: str = "USD") -> Leg:
    """A leg of a feed that its name begins with."""
    return Leg(name, name.partition(":")[0], rate, UnitPrice(price, currency))


def told(*legs: Leg) -> tuple[str, str] | None:
    """The contracts of the pair."""
    found = widest_pair(legs)
    return None if found is None else (found[0].contract_id, found[1].contract_id)


def test_a_unit_costs_the_mark_price_by_the_multiplier() -> None:
    """A dollar is a dollar, whichever token stands for it."""
    assert unit_price(12.5, 1000.0, "USDT") == UnitPrice(0.0125, "USD")
    assert unit_price(12.5, 1.0, "EUR") == UnitPrice(12.5, "EUR")


@pytest.mark.parametrize(
    ("mark", "multiplier", "quote"),
    [(None, 1.0, "USD"), (0.0, 1.0, "USD"), (5.0, None, "USD"), (5.0, 0.0, "USD")],
)
def test_without_a_price_nothing_is_told(
    mark: float | None, multiplier: float | None, quote: str
) -> None:
    """Records of earlier versions say neither quote nor multiplier."""
    unknown = unit_price(mark, multiplier, quote)
    assert price_gap(unknown, UnitPrice(5.0, "USD")) is None
    assert same_asset(unknown, UnitPrice(5.0, "USD"))


def test_other_currencies_are_not_compared() -> None:
    """Nor those that are not known."""
    for one, other in (("USD", "EUR"), ("", "USD"), ("", "")):
        assert price_gap(UnitPrice(1.0, one), UnitPrice(9.0, other)) is None


def test_prices_that_lie_apart_are_of_two_assets() -> None:
    """By more than 5 % of the cheaper one, whichever it is."""
    for one, other in ((100.0, 104.9), (104.9, 100.0)):
        assert price_gap(UnitPrice(one, "USD"), UnitPrice(other, "USD")) == pytest.approx(0.049)
        assert same_asset(UnitPrice(one, "USD"), UnitPrice(other, "USD"))
    assert not same_asset(UnitPrice(100.0, "USD"), UnitPrice(105.1, "USD"))
    assert not same_asset(UnitPrice(0.00105, "USD"), UnitPrice(1.0, "USD"))


def test_the_widest_pair_is_of_two_feeds() -> None:
    """Whatever lies between, on either of them."""
    assert told(leg("a:1", 1.0), leg("a:2", 9.0), leg("b:1", 5.5)) == ("b:1", "a:1")
    assert told(leg("a:1", 1.0), leg("a:2", 9.0)) is None
    assert told() is None


def test_another_asset_of_the_same_name_is_left_out() -> None:
    """The widest of those that remain is the pair."""
    legs = (leg("a:1", 9.0, 1.0), leg("b:1", 5.0), leg("c:1", 1.0), leg("d:1", 4.0))
    assert told(*legs) == ("b:1", "c:1")
    assert told(leg("a:1", 9.0, 1.0), leg("b:1", 5.0)) is None
    assert told(leg("a:1", 9.0, None), leg("b:1", 5.0)) == ("a:1", "b:1")


def test_of_equally_wide_pairs_the_first_counts() -> None:
    """By their contracts, so that it does not change from one moment to the next."""
    legs = (leg("b:1", 5.0), leg("a:1", 5.0), leg("d:1", 1.0), leg("c:1", 1.0))
    assert told(*legs) == ("a:1", "c:1")
    assert told(leg("b:1", 1.0), leg("a:1", 1.0)) == ("a:1", "b:1")


def test_sql_and_the_page_follow_the_same_rule() -> None:
    """The share and the dollars of the view `pairs`, the share of the browser."""
    sql = files("infra.clickhouse").joinpath("0011_fifteen_feeds.sql").read_text(encoding="utf-8")
    (share,) = re.findall(r"price_gap <= ([\d.]+)", sql)
    (listed,) = re.findall(r"quote IN \((.*?)\)", sql, re.DOTALL)
    assert float(share) == MOST_APART
    assert set(re.findall(r"'(\w+)'", listed)) == DOLLARS
    page = files("stream_app.web").joinpath("static", "js", "spread-pairs.js")
    (shown,) = re.findall(r"MOST_APART = ([\d.]+);", page.read_text(encoding="utf-8"))
    assert float(shown) == MOST_APART
    assert pairing.currency_of(None) == ""
