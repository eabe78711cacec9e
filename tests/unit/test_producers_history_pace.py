"""How fast history goes: at once slower when live rates wait, never stopped, never too fast."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from producers.history_pace import (
    CALM_S,
    FIRST_SHARE,
    FLOOR_SHARE,
    GONE_S,
    LATE_S,
    SILENT_S,
    SLOWER,
    HistoryPace,
)

LIMIT = 8_000.0
FLOOR = LIMIT * FLOOR_SHARE


def reported(*delays_s: float | None) -> HistoryPace:
    """A pace after reports a second apart."""
    pace = HistoryPace(LIMIT, 0.0)
    for at_s, delay_s in enumerate(delays_s):
        pace.report(delay_s, float(at_s))
    return pace


def test_a_late_report_halves_it() -> None:
    """One report is enough: what waits, waits already."""
    calm = reported(0.01, 0.01, 0.01)
    assert calm.look(2.0) == LIMIT
    assert reported(0.01, 0.01, 0.01, LATE_S + 0.01).look(3.0) == LIMIT * SLOWER


def test_it_never_stops() -> None:
    """Live rates without a baseline have no z-score."""
    assert reported(*[60.0] * 50).look(49.0) == FLOOR


def test_calm_reports_bring_it_to_its_limit() -> None:
    """From the floor as well, within seconds."""
    assert reported(*[60.0] * 20, *[0.02] * 6).look(25.0) == LIMIT


def test_a_report_between_the_two_changes_nothing() -> None:
    """Neither calm nor late: the pace is right."""
    between_s = (CALM_S + LATE_S) / 2
    assert reported(0.01, between_s, between_s).per_s == reported(0.01).per_s


def test_a_worker_without_live_records_says_nothing() -> None:
    """Its reports count as a sign of life alone."""
    assert reported(60.0, None, None).per_s == reported(60.0).per_s


def test_a_silent_worker_is_late_and_one_that_is_gone_waits_for_nothing() -> None:
    """Too busy to report is the worst delay; without any worker no live rate waits."""
    pace = reported(0.01, 0.01, 0.01)
    assert pace.look(2.0 + SILENT_S) == FLOOR
    assert pace.look(2.0 + GONE_S) == LIMIT
    assert HistoryPace(LIMIT, 0.0).look(GONE_S) == LIMIT


def test_before_the_first_report_it_is_neither_fast_nor_at_its_floor() -> None:
    """A worker that has just started reports within seconds."""
    assert HistoryPace(LIMIT, 0.0).look(SILENT_S) == LIMIT * FIRST_SHARE


@given(
    st.lists(st.tuples(st.none() | st.floats(0, 1e6), st.floats(0.0, 30.0)), max_size=60),
    st.floats(1.0, 1e6),
)
def test_it_stays_between_its_floor_and_its_limit(
    reports: list[tuple[float | None, float]], limit: float
) -> None:
    """Whatever is reported, and whenever."""
    pace, now_s = HistoryPace(limit, 0.0), 0.0
    for delay_s, after_s in reports:
        now_s += after_s
        assert limit * FLOOR_SHARE <= pace.look(now_s) <= limit
        pace.report(delay_s, now_s)
    assert limit * FLOOR_SHARE <= pace.look(now_s) <= limit
