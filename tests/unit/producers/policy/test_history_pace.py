"""How fast history goes: at once slower when live rates wait, never stopped, never too fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from producers.policy.history_pace import (
    CALM_S,
    FIRST_SHARE,
    FLOOR_SHARE,
    GONE_S,
    LATE_S,
    MAX_WORKERS,
    SILENT_S,
    SLOWER,
    HistoryPace,
)

LIMIT = 8_000.0
FLOOR = LIMIT * FLOOR_SHARE


def after(reports: Mapping[str, Sequence[float | None]]) -> HistoryPace:
    """A pace after reports a second apart, by worker, the first ones at 1 s."""
    pace = HistoryPace(LIMIT, 0.0)
    for second in range(max(map(len, reports.values()))):
        for worker, delays_s in reports.items():
            if second < len(delays_s):
                pace.report(worker, delays_s[second], second + 1.0)
        pace.look(second + 1.0)
    return pace


def one(*delays_s: float | None) -> HistoryPace:
    """A pace after the reports of one worker."""
    return after({"one": delays_s})


def test_a_late_report_slows_it_down() -> None:
    """One report is enough: what waits, waits already."""
    assert one(0.01, 0.01, 0.01).per_s == LIMIT
    assert one(0.01, 0.01, 0.01, LATE_S + 0.01).per_s == LIMIT * SLOWER


def test_it_never_stops() -> None:
    """Live rates without a baseline have no z-score."""
    assert one(*[60.0] * 50).per_s == FLOOR


def test_calm_reports_bring_it_to_its_limit() -> None:
    """From the floor as well, within seconds."""
    assert one(*[60.0] * 20, *[0.02] * 6).per_s == LIMIT


def test_a_report_between_the_two_changes_nothing() -> None:
    """Neither calm nor late: the pace is right."""
    between_s = (CALM_S + LATE_S) / 2
    assert one(0.01, between_s, between_s).per_s == one(0.01).per_s


def test_a_worker_without_live_records_says_nothing() -> None:
    """Its reports count as a sign of life alone."""
    assert one(60.0, None, None).per_s == one(60.0).per_s


def test_the_worst_of_several_workers_counts() -> None:
    """A calm one does not undo what a late one asks for."""
    assert after({"calm": [0.01] * 30, "late": [0.9] * 30}).per_s == FLOOR


def test_a_silent_worker_is_late_beside_one_that_reports() -> None:
    """Too busy to report is the worst delay, until it is gone."""
    pace = one(0.01, 0.01, 0.01)
    for second in range(4, 3 + int(GONE_S) + 8):
        pace.report("other", 0.01, float(second))
        looked = pace.look(float(second))
        if SILENT_S <= second - 3 < GONE_S:
            assert looked == FLOOR
    assert pace.per_s == LIMIT


def test_without_any_worker_no_live_rate_waits() -> None:
    """Gone, or never there."""
    assert one(*[60.0] * 9).look(9.0 + GONE_S) == LIMIT
    assert HistoryPace(LIMIT, 0.0).look(GONE_S) == LIMIT


def test_before_the_first_report_it_is_neither_fast_nor_at_its_floor() -> None:
    """A worker that has just started reports within seconds."""
    assert HistoryPace(LIMIT, 0.0).look(SILENT_S) == LIMIT * FIRST_SHARE


def test_made_up_workers_are_bounded() -> None:
    """Whoever writes to the topic."""
    pace = HistoryPace(LIMIT, 0.0)
    for number in range(10 * MAX_WORKERS):
        pace.report(f"w{number}", 0.01, 1.0)
    assert len(pace._newest) == MAX_WORKERS


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.none() | st.floats(0, 1e6), st.floats(0.0, 30.0)),
        max_size=60,
    ),
    st.floats(1.0, 1e6),
)
def test_it_stays_between_its_floor_and_its_limit(
    reports: list[tuple[str, float | None, float]], limit: float
) -> None:
    """For any reports, from any workers, at any times."""
    pace, now_s = HistoryPace(limit, 0.0), 0.0
    for worker, delay_s, after_s in reports:
        now_s += after_s
        assert limit * FLOOR_SHARE <= pace.look(now_s) <= limit
        pace.report(worker, delay_s, now_s)
    assert limit * FLOOR_SHARE <= pace.look(now_s) <= limit
