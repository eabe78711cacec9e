"""What holds of every page of contracts, every cell of CSV and every sparkline."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import ZScore
from schemas.times import US_PER_HOUR
from stream_app.web.fleet import Published
from stream_app.web.past import BAR, HOURS_KEPT
from stream_app.web.rest.csv_text import GUARD, csv_text
from stream_app.web.rest.pairs import OLDEST_S, best_pairs
from stream_app.web.rest.rows import SORTS, in_order, wanted
from stream_app.web.rest.sparklines import ALPHABET, NO_BAR, closes, levels
from tests.support.clock import START_US
from tests.support.rest_scene import zscore

NOTHING = dict.fromkeys(
    (
        "contract_id",
        "feed",
        "base",
        "zone",
        "interval_hours",
        "confidence",
        "quote",
        "min_abs_z",
        "min_turnover_24h",
        "q",
    )
)
FEEDS = ("binance-usdm", "kucoin", "hyperliquid", "backpack")
HOUR = START_US // US_PER_HOUR * US_PER_HOUR
RATES = st.floats(-0.1, 0.1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@st.composite
def zscores(draw: st.DrawFn) -> list[ZScore]:
    """Some contracts of few bases, some with equal values and some without."""
    found = []
    for number in range(draw(st.integers(0, 12))):
        feed = draw(st.sampled_from(FEEDS))
        z = draw(st.none() | st.sampled_from([-3.0, 1.0, 3.0]) | st.floats(-9, 9))
        found.append(
            zscore(
                f"{feed}:S{number}",
                draw(RATES),
                z,
                base=draw(st.sampled_from("AB")),
                interval_hours=draw(st.sampled_from([1.0, 4.0, 8.0])),
                event_time=START_US - draw(st.integers(0, 700)) * 1_000_000,
                interval_doubtful=draw(st.booleans()),
            )
        )
    return found


@given(zscores(), st.sampled_from(SORTS), st.integers(1, 5), st.data())
def test_pages_are_the_whole_list(
    records: list[ZScore], sort: str, size: int, data: st.DataObject
) -> None:
    """Cut in pieces, in an order that does not depend on that in which contracts came."""
    contracts = [Published(n, each, START_US, "") for n, each in enumerate(records)]
    whole = in_order(contracts, sort)
    assert sorted(each.number for each in whole) == list(range(len(contracts)))
    again = in_order(data.draw(st.permutations(contracts)), sort)
    pages = [again[begin : begin + size] for begin in range(0, len(again), size)]
    assert [each for page in pages for each in page] == whole


@given(zscores(), st.sampled_from(FEEDS), st.floats(0, 5), st.sampled_from("AB"))
def test_filters_narrow_each_other_down(
    records: list[ZScore], feed: str, least: float, base: str
) -> None:
    """In any order: together they leave what each of them leaves."""
    contracts = [Published(n, each, START_US, "") for n, each in enumerate(records)]
    one: dict[str, Any] = {"feed": (feed,)}
    other: dict[str, Any] = {"min_abs_z": least, "base": (base,)}
    both = wanted(contracts, NOTHING | one | other)
    assert both == wanted(wanted(contracts, NOTHING | one), NOTHING | other)
    assert both == wanted(wanted(contracts, NOTHING | other), NOTHING | one)
    left_out = [each for each in contracts if each not in both]
    assert all(
        each.zscore["feed"] != feed
        or each.zscore["base"] != base
        or each.zscore["z"] is None
        or abs(each.zscore["z"]) < least
        for each in left_out
    )


@given(
    st.lists(
        st.fixed_dictionaries({
            "text": TEXTS,
            "number": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "count": st.integers(-(1 << 62), 1 << 62),
            "flag": st.booleans(),
        }),
        max_size=5,
    )
)  # fmt: skip
def test_csv_is_read_as_it_was_written(rows: list[dict[str, Any]]) -> None:
    """By a reader that takes the guard away; no text begins like a formula."""
    text = csv_text(["text", "number", "count", "flag"], rows)
    table = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(table) == len(rows)
    for row, read in zip(rows, table, strict=True):
        assert not read["text"].startswith(("=", "+", "-", "@", "\t", "\r"))
        assert read["text"].removeprefix(GUARD) == row["text"]
        assert (
            read["number"] == ""
            if row["number"] is None
            else float(read["number"]) == row["number"]
        )
        assert int(read["count"]) == row["count"]
        assert read["flag"] == str(row["flag"]).lower()


def bars(closed: dict[int, float]) -> Any:
    """Bars by how many hours they are before the newest."""
    found = np.zeros(len(closed), dtype=BAR)
    for place, (back, close) in enumerate(sorted(closed.items(), reverse=True)):
        found[place]["hour"] = HOUR - back * US_PER_HOUR
        found[place]["close"] = close
    return found


@given(
    st.dictionaries(
        st.integers(0, HOURS_KEPT + 5),
        st.floats(allow_nan=False, allow_infinity=False, width=32) | RATES,
        max_size=HOURS_KEPT,
    )
)
def test_a_sparkline_is_within_a_step_of_the_closes(closed: dict[int, float]) -> None:
    """At each hour that has a bar, and a dot at each other; the extremes are exact."""
    drawn = levels(bars(closed), HOUR)
    inside = {back: close for back, close in closed.items() if back < HOURS_KEPT}
    if not inside:
        assert drawn is None
        return
    assert drawn is not None
    low, high, text = drawn
    assert (low, high) == (min(inside.values()), max(inside.values()))
    assert len(text) == HOURS_KEPT
    read = closes(text, low, high)
    step = (high - low) / (len(ALPHABET) - 1)
    for back in range(HOURS_KEPT):
        found = read[HOURS_KEPT - 1 - back]
        if back not in inside:
            assert (found, text[HOURS_KEPT - 1 - back]) == (None, NO_BAR)
            continue
        assert found is not None
        assert math.isclose(found, inside[back], rel_tol=1e-9, abs_tol=step * 0.5001 + 1e-300)


@given(zscores())
def test_no_pair_is_wider_than_the_one_that_is_told(records: list[ZScore]) -> None:
    """Of all pairs of a base that are of two feeds, young and not in doubt."""
    found = {pair.base: pair for pair in best_pairs(records, START_US)}
    fit = [
        each
        for each in records
        if not each["interval_doubtful"] and START_US - each["event_time"] < OLDEST_S * 1_000_000
    ]
    widest: dict[str, float] = {}
    for one in fit:
        for other in fit:
            if one["base"] == other["base"] and one["feed"] != other["feed"]:
                gap = one["rate_8h"] - other["rate_8h"]
                widest[one["base"]] = max(widest.get(one["base"], gap), gap)
    assert {base: pair.gap_8h for base, pair in found.items()} == pytest.approx(widest)
    gaps = [pair.gap_8h for pair in best_pairs(records, START_US)]
    assert gaps == sorted(gaps, reverse=True)
