"""When a feed's settlements are fetched in one walk: at start, after each hour, after failures."""

from __future__ import annotations

from itertools import pairwise

import pytest

from producers.policy.history.actions import (
    OVERLAP_MS,
    Action,
    Announce,
    Fetch,
    HistoryView,
    Release,
    Wait,
    WalkEnd,
)
from producers.policy.history.bulk_schedule import (
    FIRST_AGAIN_S,
    MAX_AGAIN_S,
    RECENT_MS,
    BulkSchedule,
    following_ms,
)
from schemas.times import MS_PER_DAY, MS_PER_HOUR

HOUR_MS = 497_222 * MS_PER_HOUR
NOW_MS = HOUR_MS + 1_000_000
DONE, FAILED = WalkEnd(finished=True, calls=1), WalkEnd(finished=False, calls=3)


def view_of(
    now_ms: int = NOW_MS, feed_ms: int | None = None, announced: frozenset[str] = frozenset()
) -> HistoryView:
    """Two contracts at a time."""
    return HistoryView(("A", "B"), feed_ms, {}, announced, now_ms)


def steps_until_wait(schedule: BulkSchedule, view: HistoryView, *ends: WalkEnd) -> list[Action]:
    """Return the steps until the next wait; the walks among them end like this."""
    steps: list[Action] = []
    left = list(ends)
    while not isinstance(step := schedule.next(view), Wait):
        steps.append(step)
        if isinstance(step, Fetch):
            schedule.ended(step, left.pop(0), view.now_ms)
    assert not left
    return steps


def test_without_a_bookmark_all_days_are_walked_between_marks() -> None:
    """A walk that brings nothing at all does not count as finished."""
    schedule = BulkSchedule(30)
    assert not schedule.caught_up
    since_ms = NOW_MS - 30 * MS_PER_DAY
    assert steps_until_wait(schedule, view_of(announced=frozenset({"GONE"})), DONE) == [
        Announce(("A", "B")),
        Fetch(("A", "B"), since_ms, "feed", needs_rows=True),
        Release(("A", "B", "GONE")),
    ]
    assert schedule.caught_up


def test_without_contracts_nothing_is_announced_and_no_row_is_needed() -> None:
    """An exchange may list nothing for a while."""
    view = HistoryView((), None, {}, frozenset(), NOW_MS)
    since_ms = NOW_MS - 30 * MS_PER_DAY
    assert steps_until_wait(BulkSchedule(30), view, DONE) == [Fetch((), since_ms, "feed")]


def test_a_bookmark_is_walked_from_with_an_overlap_and_without_marks() -> None:
    """The baseline on Kafka is complete, so z need not be withheld; what is left is released."""
    through_ms = NOW_MS - 2 * MS_PER_DAY
    fetch = Fetch(("A", "B"), through_ms - OVERLAP_MS, "feed")
    assert steps_until_wait(BulkSchedule(30), view_of(feed_ms=through_ms), DONE) == [fetch]
    view = view_of(feed_ms=through_ms, announced=frozenset({"A", "GONE"}))
    assert steps_until_wait(BulkSchedule(30), view, DONE) == [fetch, Release(("A", "GONE"))]


def test_a_bookmark_older_than_the_days_that_are_wanted_is_no_bookmark() -> None:
    """After a month nothing of the window is there."""
    old_ms = NOW_MS - 31 * MS_PER_DAY
    steps = steps_until_wait(BulkSchedule(30), view_of(feed_ms=old_ms), DONE)
    assert steps[0] == Announce(("A", "B"))


def test_each_hour_is_looked_at_soon_and_once_more() -> None:
    """Late settlements are found by the second look."""
    schedule, now_ms = BulkSchedule(30), NOW_MS
    steps_until_wait(schedule, view_of(), DONE)
    found = []
    for _ in range(4):
        waiting = schedule.next(view_of(now_ms, feed_ms=now_ms))
        assert isinstance(waiting, Wait)
        now_ms = waiting.until_ms
        found.append((now_ms - HOUR_MS) / 1_000)
        (fetch,) = steps_until_wait(schedule, view_of(now_ms, feed_ms=now_ms - 60_000), DONE)
        assert isinstance(fetch, Fetch)
        assert fetch.since_ms == now_ms - 60_000 - OVERLAP_MS
    assert found == [3_620, 3_900, 7_220, 7_500]


@pytest.mark.parametrize(
    ("after_ms", "expected_ms"),
    [(0, 20_000), (19_999, 20_000), (20_000, 300_000), (300_000, MS_PER_HOUR + 20_000)],
)
def test_the_next_look_is_after_the_last_one_began(after_ms: int, expected_ms: int) -> None:
    """So a walk that takes long does not make the second look be left out."""
    assert following_ms(HOUR_MS + after_ms) == HOUR_MS + expected_ms


def test_an_unfinished_walk_is_begun_again_with_growing_pauses() -> None:
    """What settles meanwhile is fetched, and no bookmark moves by it."""
    schedule, now_ms, walks = BulkSchedule(30), NOW_MS, []
    steps_until_wait(schedule, view_of(), FAILED)
    for _ in range(60):
        waiting = schedule.next(view_of(now_ms))
        assert isinstance(waiting, Wait)
        now_ms = waiting.until_ms
        step = schedule.next(view_of(now_ms))
        if isinstance(step, Announce):
            walks.append(now_ms)
            fetch = schedule.next(view_of(now_ms))
            assert isinstance(fetch, Fetch)
            schedule.ended(fetch, FAILED, now_ms)
            assert schedule.next(view_of(now_ms)) == Release(("A", "B"))
            step = schedule.next(view_of(now_ms))
        assert step == Fetch(("A", "B"), now_ms - RECENT_MS, "nothing")
        schedule.ended(step, DONE, now_ms)
        assert schedule.complete(view_of(now_ms)) == 0
    pauses = [after - before for before, after in pairwise([NOW_MS, *walks])]
    assert pauses[0] >= 1_000 * FIRST_AGAIN_S
    assert all(after >= before for before, after in pairwise(pauses))
    assert 0 <= pauses[-1] - 1_000 * MAX_AGAIN_S < MS_PER_HOUR


def test_progress_is_that_of_the_walk_and_whole_once_it_is_finished() -> None:
    """A walk over the last hours says nothing about it; a failure takes completeness back."""
    schedule, view = BulkSchedule(30), view_of()
    assert (schedule.progress(view), schedule.complete(view)) == (0.0, 0)
    whole = Fetch(("A", "B"), 0, "feed")
    schedule.walked(whole, 0.4)
    schedule.walked(Fetch(("A", "B"), 0, "nothing"), 0.9)
    assert schedule.progress(view) == 0.4
    schedule.walked(whole, 1.0)
    assert schedule.progress(view) < 1.0
    schedule.ended(whole, DONE, NOW_MS)
    assert (schedule.progress(view), schedule.complete(view)) == (1.0, 2)
    schedule.ended(whole, FAILED, NOW_MS)
    assert schedule.progress(view) < 1.0
    assert schedule.complete(view) == 0
    assert BulkSchedule(0).complete(view) == 2, "where no history is wanted, none is missing"
