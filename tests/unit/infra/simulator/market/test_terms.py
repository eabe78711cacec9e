"""Terms that change: intervals, clocks, caps, lives; the past stays, and a restart agrees."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.simulator.market.market import HOUR_MS, Market, Settlements
from infra.simulator.market.universe import Asset, ClockChange, Contract, turns
from infra.simulator.options import SimulatorOptions
from infra.simulator.registry import SIMULATED, create_exchanges
from tests.support.market_terms import change_interval

DAY_MS = 24 * HOUR_MS
START_MS = 1_791_269_856_000
hours = st.sampled_from([1, 2, 4, 8])
times = st.integers(START_MS - 60 * DAY_MS, START_MS + 60 * DAY_MS)


def contract(name: str, interval_hours: int = 8, *changes: ClockChange) -> Contract:
    """A perpetual."""
    return Contract(
        name, Asset(name, tradfi=False), "USDT", "crypto", interval_hours, 2_000_000, "active", 1.0,
        clock_changes=changes,
    )  # fmt: skip


def at(text: str) -> int:
    """A time of 2026 in ms."""
    moment = dt.datetime.strptime(f"2026-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=dt.UTC)
    return int(moment.timestamp() * 1_000)


def clock(settled: Settlements, row: int = 0) -> list[tuple[str, int]]:
    """Day and hour, and interval, of a contract's settlements."""
    own = settled.take(settled.row == row)
    return [
        (dt.datetime.fromtimestamp(ms / 1_000, dt.UTC).strftime("%d %H"), each)
        for ms, each in zip(own.funding_ms.tolist(), own.interval_hours.tolist(), strict=True)
    ]


def rows_of(settled: Settlements) -> list[tuple[int, ...]]:
    """The settlements as tuples."""
    columns = (settled.row, settled.funding_ms, settled.rate_units, settled.interval_hours)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize(
    ("before", "change", "expected"),
    [
        # From 8 h to 1 h, the first settlement off the old grid.
        (
            (8, 4),
            ("03-10 13:30", 1, 0),
            [("10 04", 8), ("10 12", 8), ("10 14", 1), ("10 15", 1), ("10 16", 1)],
        ),
        # The clock alone moves.
        ((8, 4), ("03-10 13:30", 8, 0), [("10 04", 8), ("10 12", 8), ("10 16", 8)]),
        # From 1 h to 8 h in mid-interval: the coming funding time is of the new interval.
        ((1, 0), ("03-10 15:30", 8, 0), [(f"10 {h:02}", 1) for h in range(4, 16)] + [("10 16", 8)]),
    ],
)
def test_what_real_exchanges_did(
    before: tuple[int, int], change: tuple[str, int, int], expected: list[tuple[str, int]]
) -> None:
    """Each settlement has the interval that its rate is of, whatever lies before it."""
    when, interval_hours, offset_hours = change
    changed = ClockChange(at(when), interval_hours, offset_hours * HOUR_MS)
    listed = replace(contract("A", before[0], changed), grid_offset_ms=before[1] * HOUR_MS)
    market = Market(1, "some", [listed])
    assert clock(market.settlements(at("03-10 03:00"), at("03-10 16:30"))) == expected
    assert int(market.next_funding_ms(at(when) - 1)[0]) >= at(when)


@settings(max_examples=40, deadline=None)
@given(one=hours, other=hours, changed_ms=times, at_ms=times, cut=st.floats(0, 1))
def test_a_change_is_a_function_of_time(
    one: int, other: int, changed_ms: int, at_ms: int, cut: float
) -> None:
    """Halves equal the whole; last, next, settled and the converged estimate agree."""
    listed = [contract("A", one, ClockChange(changed_ms, other, 0)), contract("B", 4)]
    market, fresh = Market(3, "some", listed), Market(3, "some", listed)
    since_ms = at_ms - 2 * DAY_MS
    between_ms = since_ms + round((at_ms - since_ms) * cut)
    whole = market.settlements(since_ms, at_ms)
    halves = [
        *rows_of(fresh.settlements(since_ms, between_ms)),
        *rows_of(fresh.settlements(between_ms, at_ms)),
    ]
    assert halves == rows_of(whole)
    for row in (0, 1):
        own = whole.take(whole.row == row)
        assert int(market.last_funding_ms(at_ms)[row]) == own.funding_ms[-1]
        assert int(market.settled_units(at_ms)[row]) == own.rate_units[-1]
        assert market.settled_before(row, at_ms) == (own.funding_ms[-1], own.rate_units[-1])
        settled_ms = int(own.funding_ms[-1])
        if settled_ms - 1_000 >= changed_ms or row == 1:
            assert market.snapshot(settled_ms - 1_000).rate_units[row] == own.rate_units[-1]
    assert int(market.next_funding_ms(at_ms)[0]) > at_ms


@settings(max_examples=25, deadline=None)
@given(interval_hours=hours, now_ms=times)
def test_a_change_on_request_leaves_the_past_and_the_others(
    interval_hours: int, now_ms: int
) -> None:
    """What has settled stays, and what is known of other contracts."""
    listed = [contract("A"), contract("B", 4)]
    changed, same = Market(3, "some", listed), Market(3, "some", listed)
    change_interval(changed, 0, interval_hours, now_ms)
    past = now_ms - 3 * DAY_MS, now_ms
    assert rows_of(changed.settlements(*past)) == rows_of(same.settlements(*past))
    ahead, as_ever = (m.settlements(now_ms, now_ms + DAY_MS) for m in (changed, same))
    assert rows_of(ahead.take(ahead.row == 1)) == rows_of(as_ever.take(as_ever.row == 1))
    assert set(ahead.interval_hours[ahead.row == 0].tolist()) == {interval_hours}


def test_the_list_tells_later() -> None:
    """At its time, by itself."""
    market = Market(3, "some", [contract("A")])
    change_interval(market, 0, 1, START_MS, list_lag_ms=5_000)
    shown = [market.listed_terms(0, START_MS + ms).interval_hours for ms in (0, 4_999, 5_000)]
    assert shown == [8, 8, 1]
    assert market.interval_hours(0, START_MS) == 1
    versions = [market.listed_version(START_MS + ms) for ms in (0, 4_999, 5_000)]
    assert versions[0] == versions[1] != versions[2]


def test_a_raised_cap_lifts_the_rates_beyond_the_old_one() -> None:
    """Settled ones and estimates; not beyond the new one."""
    market = Market(3, "some", [contract("A")])
    known = market.terms(0, START_MS)
    market.change_terms(
        0, replace(known, since_ms=START_MS, cap_units=6_000_000, lift_units=4_000_000)
    )
    ahead = market.settlements(START_MS, START_MS + 20 * DAY_MS).rate_units
    assert np.all((ahead > 2_000_000) & (ahead <= 6_000_000))
    assert 2_000_000 < market.snapshot(START_MS + 1).rate_units[0] <= 6_000_000
    assert np.all(abs(market.settlements(START_MS - 20 * DAY_MS, START_MS).rate_units) <= 2_000_000)


def test_another_life_has_rates_of_its_own() -> None:
    """The same ones in every market with that seed."""
    first, again, same = (Market(3, "some", [contract("A")]) for _ in range(3))
    for market in (first, again):
        known = market.terms(0, START_MS)
        market.change_terms(0, replace(known, since_ms=START_MS, life=1))
    ahead = START_MS, START_MS + 20 * DAY_MS
    assert rows_of(first.settlements(*ahead)) == rows_of(again.settlements(*ahead))
    assert rows_of(first.settlements(*ahead)) != rows_of(same.settlements(*ahead))


@given(start_ms=times, later_ms=st.integers(0, 80 * DAY_MS))
def test_turns_stand_at_fixed_times(start_ms: int, later_ms: int) -> None:
    """A later start knows the same changes; one is at most 20 days old."""
    early, late = (turns(ms, (8, 0), (1, 0)) for ms in (start_ms, start_ms + later_ms))
    since_ms = start_ms + later_ms - 100 * DAY_MS
    shared = [change for change in early if change.since_ms > since_ms]
    assert shared == [c for c in late if since_ms < c.since_ms <= early[-1].since_ms]
    newest = max(change.since_ms for change in late if change.since_ms <= start_ms + later_ms)
    assert start_ms + later_ms - newest <= 20 * DAY_MS


@pytest.mark.parametrize("feed", list(SIMULATED))
def test_histories_have_the_changes_that_the_exchange_makes(feed: str) -> None:
    """Two intervals of one contract, and KuCoin's moved clock, in any plain run."""
    (exchange,) = create_exchanges([feed], SimulatorOptions(), 24, START_MS)
    intervals: dict[str, set[int]] = {}
    offsets: dict[str, set[int]] = {}
    for each in exchange.settled_at_start():
        intervals.setdefault(each.symbol, set()).add(each.interval_hours)
        offset_ms = each.funding_ms % (each.interval_hours * HOUR_MS)
        offsets.setdefault(each.symbol, set()).add(offset_ms)
    changing = sum(len(each) == 2 for each in intervals.values())
    assert changing <= 1
    assert changing == 1 or feed not in {"binance-usdm", "binance-coinm", "kucoin"}
    moved = sum(len(each) == 2 for each in offsets.values())
    assert moved <= 1
    assert moved == 1 or feed != "kucoin"


@settings(max_examples=60, deadline=None)
@given(
    start_ms=times,
    steps_ms=st.lists(st.integers(1, 3 * HOUR_MS), min_size=1, max_size=60),
    changed_at=st.integers(0, 60),
    interval_hours=hours,
)
def test_small_steps_find_what_a_large_one_finds(
    start_ms: int, steps_ms: list[int], changed_at: int, interval_hours: int
) -> None:
    """Most steps hold no funding time, which is remembered; a change of terms is seen at once."""
    changes = turns(START_MS, (8, 0), (4, 2))
    contracts = [contract("A"), contract("B", 1), contract("C", 8, *changes)]
    asked, whole = Market(1, "f", contracts), Market(1, "f", contracts)
    found: list[tuple[int, int]] = []
    now_ms = start_ms
    for number, step_ms in enumerate(steps_ms):
        if number == changed_at:
            for market in (asked, whole):
                change_interval(market, 0, interval_hours, now_ms)
        settled = asked.settlements(now_ms, now_ms + step_ms)
        found += zip(settled.funding_ms.tolist(), settled.row.tolist(), strict=True)
        now_ms += step_ms
    at_once = whole.settlements(start_ms, now_ms)
    assert sorted(found) == sorted(
        zip(at_once.funding_ms.tolist(), at_once.row.tolist(), strict=True)
    )
    assert at_once.row.dtype == asked.settlements(now_ms, now_ms).row.dtype
