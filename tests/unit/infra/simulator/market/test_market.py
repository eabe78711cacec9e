"""The market model: the same past, present and future from any starting point."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.simulator.binance import universe as binance_universe
from infra.simulator.market.history import DAY_MS, SettlementBook
from infra.simulator.market.market import HOUR_MS, Market, Settlements
from infra.simulator.market.universe import UNITS_PER_ONE

START_MS = 1_791_269_856_000
LISTED = binance_universe.contracts(60, 3, 2, START_MS)
times = st.integers(min_value=START_MS - 400 * DAY_MS, max_value=START_MS + 400 * DAY_MS)


def market(seed: int = 7) -> Market:
    """A fresh market."""
    return Market(seed, "binance-usdm", LISTED)


def rows_of(settled: Settlements) -> list[tuple[int, int, int, int]]:
    """The settlements as tuples."""
    columns = (settled.row, settled.funding_ms, settled.raw_ms, settled.rate_units)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@settings(max_examples=25, deadline=None)
@given(at_ms=times, other_ms=times)
def test_a_snapshot_depends_on_seed_and_time_alone(at_ms: int, other_ms: int) -> None:
    """A market that has seen other times shows the same as one that has not."""
    travelled, fresh = market(), market()
    travelled.snapshot(other_ms)
    travelled.snapshot(at_ms - 60_000)
    for left, right in zip(
        _arrays(travelled, at_ms), _arrays(fresh, at_ms), strict=True
    ):  # fmt: skip
        assert np.array_equal(left, right)


@settings(max_examples=25, deadline=None)
@given(at_ms=times)
def test_a_contract_does_not_depend_on_its_neighbours(at_ms: int) -> None:
    """A larger universe contains the smaller one, number for number."""
    small = Market(7, "binance-usdm", LISTED[:10])
    for few, many in zip(_arrays(small, at_ms), _arrays(market(), at_ms), strict=True):
        assert np.array_equal(few, many[:10])


@settings(max_examples=15, deadline=None)
@given(at_ms=times, cut=st.floats(0.0, 1.0))
def test_settlements_in_two_halves_equal_the_whole(at_ms: int, cut: float) -> None:
    """A restart in between neither repeats, loses nor changes a settlement."""
    since_ms = at_ms - 3 * DAY_MS
    between_ms = since_ms + round((at_ms - since_ms) * cut)
    whole = rows_of(market().settlements(since_ms, at_ms))
    first = rows_of(market().settlements(since_ms, between_ms))
    second = rows_of(market().settlements(between_ms, at_ms))
    assert first + second == whole


@settings(max_examples=25, deadline=None)
@given(hour=st.integers(min_value=400_000, max_value=600_000))
def test_the_estimate_converges_to_the_settled_rate(hour: int) -> None:
    """One second before the funding time the streamed rate is the rate that then settles."""
    at_ms = hour * HOUR_MS
    model = market()
    before = model.snapshot(at_ms - 1_000)
    settled = model.settlements(at_ms - 1, at_ms)
    assert len(settled.row) > 0
    assert np.array_equal(before.rate_units[settled.row], settled.rate_units)
    assert np.all(before.next_funding_ms[settled.row] == at_ms)


@settings(max_examples=25, deadline=None)
@given(at_ms=times)
def test_rates_respect_caps_and_prices_are_distinct(at_ms: int) -> None:
    """No rate exceeds its cap, and no two price fields print the same text."""
    snapshot = market().snapshot(at_ms)
    for row, contract in enumerate(LISTED):
        assert abs(int(snapshot.rate_units[row])) <= contract.cap_units
        columns = (snapshot.mark, snapshot.average, snapshot.settle, snapshot.index)
        assert len({f"{column[row]:.8f}" for column in columns}) == 4
        assert float(snapshot.settle[row]) > 0


@settings(max_examples=50)
@given(units=st.integers(min_value=-3_000_000, max_value=3_000_000))
def test_a_printed_rate_reads_back_as_itself(units: int) -> None:
    """A rate of units / 1e8, its 8-decimal text and the float of that are one number."""
    rate = units / UNITS_PER_ONE
    assert float(f"{rate:.8f}") == rate
    assert not f"{rate:.8f}".startswith("-0.00000000")


def test_settlements_lie_on_each_contracts_grid() -> None:
    """30 days of an 8 h contract are 90 settlements, stamped 0 to 3 ms late."""
    settled = market().settlements(START_MS - 30 * DAY_MS, START_MS)
    assert np.all(np.diff(settled.raw_ms) >= 0)
    late_ms = settled.raw_ms - settled.funding_ms
    assert set(late_ms.tolist()) == {0, 1, 2, 3}
    for row, contract in enumerate(LISTED):
        mine = settled.funding_ms[settled.row == row]
        settles = contract.kind in {"crypto", "tradfi"} and not contract.frozen
        if contract.clock_changes:
            continue
        assert len(mine) == (30 * 24 // contract.interval_hours if settles else 0)
        assert np.all(np.diff(mine) == contract.interval_hours * HOUR_MS)


@settings(max_examples=25, deadline=None)
@given(at_ms=times, offset_hours=st.integers(0, 3), step_units=st.sampled_from([1, 100]))
def test_a_grid_can_be_off_the_epoch(at_ms: int, offset_hours: int, step_units: int) -> None:
    """A contract whose funding times are moved, among others that are not; rates by steps."""
    moved = replace(LISTED[1], interval_hours=4, grid_offset_ms=offset_hours * HOUR_MS)
    model = Market(7, "kucoin", [LISTED[0], moved, LISTED[2]], step_units)
    shown = model.snapshot(at_ms)
    next_ms = int(shown.next_funding_ms[1])
    assert at_ms < next_ms <= at_ms + 4 * HOUR_MS
    assert next_ms % (4 * HOUR_MS) == offset_hours * HOUR_MS
    assert model.next_funding_ms(at_ms).tolist() == shown.next_funding_ms.tolist()
    settled = model.settlements(at_ms - DAY_MS, at_ms)
    mine = settled.row == 1
    assert settled.funding_ms[mine].tolist() == [next_ms - n * 4 * HOUR_MS for n in range(6, 0, -1)]
    assert settled.rate_units[mine][-1] == model.settled_units(at_ms)[1]
    assert not np.any(settled.rate_units % step_units)
    assert not np.any(shown.rate_units % step_units)


def test_resting_contracts_never_move_and_zero_ones_are_zero() -> None:
    """Their baselines are constant, which must never become a division by nothing."""
    model = market()
    settled = model.settlements(START_MS - 30 * DAY_MS, START_MS)
    snapshot = model.snapshot(START_MS)
    seen = set()
    for row, contract in enumerate(LISTED):
        if contract.behaviour not in {"resting", "zero"} or contract.kind == "dated":
            continue
        seen.add(contract.behaviour)
        expected = 0 if contract.behaviour == "zero" else 10_000 * contract.interval_hours // 8
        assert set(settled.rate_units[settled.row == row].tolist()) <= {expected}
        assert snapshot.rate_units[row] == expected
    assert seen == {"resting", "zero"}


def test_excursions_are_occasional() -> None:
    """Some contracts are beyond two standard deviations, some beyond three, most are not."""
    listed = binance_universe.contracts(300, 0, 0, START_MS)
    model = Market(7, "binance-usdm", listed)
    settled = model.settlements(START_MS - 30 * DAY_MS, START_MS)
    order = np.argsort(settled.row, kind="stable")
    pieces = np.split(settled.rate_units[order], np.flatnonzero(np.diff(settled.row[order])) + 1)
    mean = np.array([piece.mean() for piece in pieces])
    deviation = np.array([piece.std(ddof=1) for piece in pieces])
    moving = deviation > 0
    far: list[float] = []
    for minute in range(0, 480, 20):
        rates = model.snapshot(START_MS + minute * 60_000).rate_units[: len(pieces)]
        far.extend(np.abs((rates - mean)[moving] / deviation[moving]).tolist())
    assert 0.01 < np.mean(np.array(far) > 2) < 0.12
    assert 0.0005 < np.mean(np.array(far) > 3) < 0.05


def test_most_rates_change_each_second() -> None:
    """The estimate is alive: most contracts print another rate one second later."""
    model = market()
    now, later = model.snapshot(START_MS), model.snapshot(START_MS + 1_000)
    assert np.mean(now.rate_units != later.rate_units) > 0.5


def test_another_seed_is_another_market() -> None:
    """Seeds matter."""
    assert not np.array_equal(
        market(7).snapshot(START_MS).rate_units, market(8).snapshot(START_MS).rate_units
    )


def test_the_mark_price_of_a_settlement_is_the_streamed_one() -> None:
    """History and stream agree about the mark price at a full minute."""
    model = market()
    at_ms = START_MS // HOUR_MS * HOUR_MS
    rows = np.arange(10, dtype=np.int64)
    history = model.mark_at(rows, np.full(10, at_ms, dtype=np.int64))
    assert np.array_equal(history, model.snapshot(at_ms).mark[:10])


def test_the_book_grows_by_what_settles() -> None:
    """Settling forward gives each new settlement once."""
    start_ms = START_MS // (8 * HOUR_MS) * 8 * HOUR_MS - 1
    book = SettlementBook(market(), start_ms)
    before = len(book.all.row)
    assert len(book.settle(start_ms).row) == 0
    new = book.settle(start_ms + 1)
    assert len(new.row) == 60
    assert len(book.settle(start_ms + 1).row) == 0
    assert len(book.settle(start_ms - 5).row) == 0
    assert len(book.all.row) == before + 60
    assert np.all(np.diff(book.all.raw_ms) >= 0)


def test_the_universe_looks_like_the_exchange() -> None:
    """745 perpetuals: a quarter TradFi, three intervals, multipliers, non-ASCII, dated rows."""
    listed = binance_universe.contracts(745, 12, 3, START_MS)
    live = [c for c in listed if c.kind in {"crypto", "tradfi"} and not c.frozen]
    assert len(live) == 745
    assert len({c.symbol for c in listed}) == len(listed)
    assert sum(c.kind == "tradfi" for c in live) == 186
    shares = [sum(c.interval_hours == hours for c in live) / 745 for hours in (8, 4, 1)]
    assert shares == pytest.approx([0.50, 0.44, 0.06], abs=0.01)
    symbols = {c.symbol for c in listed}
    assert {"BTCUSDT", "1000PEPEUSDT", "币安人生USDT", "NVDAUSDT", "BTCUSDC"} <= symbols
    dated = [c.symbol for c in listed if c.kind == "dated"]
    assert dated == ["BTCUSDT_261225", "ETHUSDT_261225", "BTCUSDT_270326", "ETHUSDT_270326"]
    assert next(c.symbol for c in listed if c.kind == "foreign") == "BTCUSD_PERP"
    assert sum(c.frozen for c in listed) == 12


def _arrays(model: Market, at_ms: int) -> list[np.ndarray]:
    shown = model.snapshot(at_ms)
    return [
        shown.rate_units, shown.next_funding_ms, shown.mark, shown.average, shown.settle,
        shown.index,
    ]  # fmt: skip
