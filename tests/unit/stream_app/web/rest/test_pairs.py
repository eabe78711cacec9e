"""The widest pair of each base, and what it has paid."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from schemas.records import ZScore
from schemas.times import US_PER_S
from stream_app.web.rest.pairs import Pair, best_pairs, paid_by_pairs
from tests.support.clock import START_US
from tests.support.rest_scene import zscore


def told(pair: Pair) -> tuple[str, str, str]:
    """Base and legs."""
    return pair.base, pair.high["contract_id"], pair.low["contract_id"]


def leg(contract_id: str, rate: float, base: str = "A", **changes: object) -> ZScore:
    """A rate of a base."""
    return zscore(contract_id, rate, None, base=base, **changes)


def test_the_widest_pair_of_a_base_is_of_two_feeds() -> None:
    """Rates are compared over eight hours; the widest of all comes first."""
    found = best_pairs(
        [
            leg("kucoin:A", 1e-4), leg("kucoin:A2", 9e-4), leg("backpack:A", 5e-4),
            leg("hyperliquid:A", 1e-4, interval_hours=1.0),
            leg("kucoin:B", 1e-4, "B"), leg("backpack:B", -9e-4, "B"),
            leg("kucoin:C", 1e-4, "C"), leg("kucoin:C2", -9e-4, "C"),
        ],
        START_US,
    )  # fmt: skip
    assert [told(pair) for pair in found] == [
        ("B", "kucoin:B", "backpack:B"),
        # 8e-4 − 1e-4, where 9e-4 and 1e-4 are of one feed.
        ("A", "hyperliquid:A", "kucoin:A"),
    ]
    assert found[0].gap_8h == pytest.approx(1e-3)
    assert found[0].gap_apr == pytest.approx(1.095)


def test_old_and_doubtful_rates_make_no_pair() -> None:
    """Nobody can trade against them."""
    old = START_US - 600 * US_PER_S
    assert (
        best_pairs([leg("kucoin:A", 1e-4, event_time=old), leg("backpack:A", 0.0)], START_US) == []
    )
    assert (
        best_pairs(
            [leg("kucoin:A", 1e-4, interval_doubtful=True), leg("backpack:A", 0.0)], START_US
        )
        == []
    )
    young = leg("kucoin:A", 1e-4, event_time=old + 1)
    (pair,) = best_pairs([young, leg("backpack:A", 0.0)], START_US)
    assert pair.oldest_event == old + 1


def test_another_asset_of_the_same_name_makes_no_pair() -> None:
    """By the prices of a unit: a contract of 1000 costs a thousand times as much."""
    usd: dict[str, Any] = {"quote": "USDT", "multiplier": 1.0}
    legs = [
        leg("kucoin:A", 9e-4, mark_price=0.5, **usd),
        leg("binance-usdm:1000A", 5e-4, mark_price=7.2, quote="USDC", multiplier=1000.0),
        leg("backpack:A", 1e-4, mark_price=0.0071, **usd),
    ]
    (pair,) = best_pairs(legs, START_US)
    assert told(pair) == ("A", "binance-usdm:1000A", "backpack:A")
    assert pair.price_gap == pytest.approx(0.0072 / 0.0071 - 1)
    legs[0] = leg("kucoin:A", 9e-4, mark_price=None, **usd)
    (checked,) = best_pairs(legs, START_US)
    assert told(checked) == told(pair)
    (unchecked,) = best_pairs(legs[:2], START_US)
    assert (told(unchecked)[1], unchecked.price_gap) == ("kucoin:A", None)


def paid_by_pair(
    high: list[float | None], low: list[float | None]
) -> tuple[list[Any], float, float, int | None]:
    """What one pair has paid: by day, in a week, in all, and the days of the sign."""
    nan = [math.nan]
    found = paid_by_pairs(
        np.array([high, nan * len(high)], dtype=float), np.array([low, low], dtype=float)
    )
    assert found.sign_days[1] is None
    return found.days[0], found.week[0], found.month[0], found.sign_days[0]


def test_a_pair_pays_what_one_leg_paid_more_than_the_other() -> None:
    """By day; in a week and in all only where each day is known."""
    high: list[float | None] = [*[3e-4] * 28, 1e-4, 5e-4]
    low: list[float | None] = [*[1e-4] * 28, 2e-4, 1e-4]
    days, week, month, sign_days = paid_by_pair(high, low)
    assert days[-2:] == pytest.approx([-1e-4, 4e-4])
    assert week == pytest.approx(5 * 2e-4 - 1e-4 + 4e-4)
    assert month == pytest.approx(28 * 2e-4 - 1e-4 + 4e-4)
    assert sign_days == 1
    high[0] = None
    days, same_week, month, _ = paid_by_pair(high, low)
    assert math.isnan(days[0])
    assert math.isnan(month)
    assert same_week == week


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ([1.0, 1.0, 1.0], 3),
        ([-1.0, 1.0, 1.0], 2),
        ([1.0, -1.0, 0.0, 1.0], 2),
        ([1.0, 0.0, -1.0, 0.0], 3),
        ([1.0, 0.0, 0.0], 3),
        ([0.0, 0.0], 2),
        ([None, 1.0, 1.0], 2),
        ([-1.0, None, 1.0], 1),
        ([1.0, None], None),
    ],
)
def test_the_days_of_one_sign_are_counted(days: list[float | None], expected: int | None) -> None:
    """From the newest back. A day without a difference has no sign of its own."""
    assert paid_by_pair(days, [0.0] * len(days))[3] == expected
