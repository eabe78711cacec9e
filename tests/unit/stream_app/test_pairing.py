"""Which contracts of one base make a pair, and which are of two assets."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from collections import Counter
from importlib.resources import files
from typing import NamedTuple

import pytest

from stream_app import pairing
from stream_app.pairing import (
    DOLLARS,
    MOST_APART,
    MOST_OF_FEED,
    UnitPrice,
    price_gap,
    same_asset,
    unit_price,
    widest_pair,
)

NODE = shutil.which("node")
PAGE = files("stream_app.web").joinpath("static", "js")


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


def test_a_pair_whose_prices_were_compared_comes_first() -> None:
    """However wide another one is; without any such pair, the widest counts."""
    legs = (leg("a:1", 9.0, None), leg("b:1", 5.0), leg("c:1", 1.0), leg("d:1", 0.0, None))
    assert told(*legs) == ("b:1", "c:1")
    assert told(*legs[:2], legs[3]) == ("a:1", "d:1")


def test_thousands_of_contracts_of_one_base_are_cut() -> None:
    """The outermost of each feed remain, and with them the widest pair."""
    many = [leg(f"a:{number:04}", float(number)) for number in range(4_000)]
    assert told(*many) is None
    compared = Counter[str]()
    legs: list[pairing.PricedLeg] = [Counted(*each, compared) for each in (*many, leg("b:1", 2e3))]
    found = widest_pair(legs)
    assert found is not None
    assert [each.contract_id for each in found] == ["b:1", "a:0000"]
    assert compared.total() <= (2 * MOST_OF_FEED + 1) ** 2 * 2


class Counted(NamedTuple):
    """A leg that counts how often its price is asked for."""

    contract_id: str
    feed: str
    rate_8h: float
    known: UnitPrice
    asked: Counter[str]

    @property
    def price(self) -> UnitPrice:
        """What a unit costs."""
        self.asked[self.contract_id] += 1
        return self.known


@pytest.mark.skipif(NODE is None, reason="needs Node.js")
@pytest.mark.parametrize("seed", range(5))
def test_the_page_finds_the_same_pairs(seed: int) -> None:
    """Ties, missing prices, other currencies and many contracts of one feed included."""
    chance = random.Random(seed)
    bases = [
        [
            leg(
                f"{chance.choice('abcd')}:{number}",
                float(chance.randrange(6)),
                chance.choice((None, 100.0, 102.0, 200.0)),
                chance.choice(("USD", "USD", "EUR")),
            )
            for number in range(size)
        ]
        for size in (*[chance.randrange(2, 9) for _ in range(60)], 150)
    ]
    rows = [
        {"id": each.contract_id, "feed": each.feed, "rate8": each.rate_8h, "base": f"B{number}",
         "price": each.price.value, "currency": each.price.currency, "doubtful": False, "event": 0}
        for number, legs in enumerate(bases)
        for each in legs
    ]  # fmt: skip
    script = PAGE.joinpath("spread-pairs.js").read_text(encoding="utf-8") + (
        f"const pairs = bestPairs({json.dumps(rows)}, 0);"
        "const told = [...pairs].map(([base, pair]) => [base, [pair.short.id, pair.long.id]]);"
        "console.log(JSON.stringify(Object.fromEntries(told)));"
    )
    assert NODE is not None
    done = subprocess.run(
        [NODE, "--input-type=module"],
        input=script, capture_output=True, check=True, text=True, timeout=60,
    )  # fmt: skip
    shown = {base: tuple(pair) for base, pair in json.loads(done.stdout).items()}
    expected = {f"B{number}": told(*legs) for number, legs in enumerate(bases)}
    assert shown == {base: pair for base, pair in expected.items() if pair is not None}


def test_sql_and_the_page_follow_the_same_rule() -> None:
    """The share and the dollars of the view `pairs`, the share of the browser."""
    sql = files("infra.clickhouse").joinpath("0011_fifteen_feeds.sql").read_text(encoding="utf-8")
    (share,) = re.findall(r"price_gap <= ([\d.]+)", sql)
    (listed,) = re.findall(r"quote IN \((.*?)\)", sql, re.DOTALL)
    assert float(share) == MOST_APART
    assert set(re.findall(r"'(\w+)'", listed)) == DOLLARS
    page = PAGE.joinpath("spread-pairs.js").read_text(encoding="utf-8")
    shown = dict(re.findall(r"(MOST_\w+) = ([\d.]+);", page))
    assert shown == {"MOST_APART": str(MOST_APART), "MOST_OF_FEED": str(MOST_OF_FEED)}
    assert pairing.currency_of(None) == ""
