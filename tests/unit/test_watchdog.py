"""When the watchdog ends a worker, and when it must not. The clock is the test's."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from stream_app.watchdog import (
    FALLEN_GRACE_S,
    MAX_STEP_S,
    ONE_PARTITION_FACTOR,
    STOP_BOUND_S,
    Judge,
    Look,
    Partition,
)

PATIENCE_S = 60.0
A, B = ("funding.raw.kucoin", 0), ("funding.raw.kucoin", 1)
CRASHED = "Faust has crashed (RuntimeError())"


class Watched:
    """A judge, and a clock that goes a second from look to look."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self.judge = Judge(patience_s)
        self.now_s = 1_000.0

    def look(
        self,
        *,
        answered: bool = True,
        fallen: str | None = None,
        asked_to_stop: bool = False,
        behind: Mapping[Partition, int] | None = None,
        after_s: float = 1.0,
    ) -> str | None:
        """One look, some seconds after the one before."""
        self.now_s += after_s
        return self.judge.reason(Look(self.now_s, answered, fallen, asked_to_stop, behind))


def test_a_worker_that_works_is_left_alone() -> None:
    """Answers come, input comes, what comes is processed; for hours."""
    watched = Watched()
    for offset in range(10_000):
        assert watched.look(behind={A: offset, B: offset // 50}) is None


@pytest.mark.parametrize(
    ("asked_to_stop", "grace_s"), [(False, FALLEN_GRACE_S), (True, STOP_BOUND_S)]
)
def test_a_failed_service_ends_the_process_after_a_grace(
    grace_s: float,
    asked_to_stop: bool,  # noqa: FBT001 - pytest passes parameters so
) -> None:
    """Though the loop answers; an end that was asked for has its own bound."""
    watched = Watched()
    for _ in range(int(grace_s)):
        assert watched.look(fallen=CRASHED, asked_to_stop=asked_to_stop) is None
    reason = watched.look(fallen=CRASHED, asked_to_stop=asked_to_stop)
    assert reason is not None
    assert CRASHED in reason


def test_a_loop_that_does_not_answer_ends_the_process() -> None:
    """After the patience, and not when it answers once in between."""
    watched = Watched()
    watched.look()
    for _ in range(59):
        assert watched.look(answered=False) is None
    assert watched.look(answered=True) is None
    for _ in range(59):
        assert watched.look(answered=False) is None
    assert watched.look(answered=False) == "the event loop has not answered for 60 s"


def test_a_process_that_was_stopped_is_not_blamed_for_it() -> None:
    """SIGSTOP for an hour, again and again, in whatever state: the time did not count."""
    watched = Watched()
    watched.look(behind={A: 7}, fallen=None)
    for _ in range(5):
        assert watched.look(answered=False, behind={A: 7}, after_s=3_600.0) is None
        assert watched.look(answered=True, behind={A: 7}) is None
    assert watched.look(fallen=CRASHED) is None
    assert watched.look(fallen=CRASHED, after_s=3_600.0) is None


def test_slow_looks_only_make_it_slower() -> None:
    """A broker that does not answer holds up each look; a dead loop is found all the same."""
    watched = Watched()
    looks = [watched.look(answered=False, after_s=9.0) for _ in range(20)]
    assert looks[: int(PATIENCE_S / MAX_STEP_S)] == [None] * int(PATIENCE_S / MAX_STEP_S)
    assert looks[-1] is not None


def test_input_that_nobody_processes_ends_the_process() -> None:
    """The same offset for the whole patience, while no partition moves."""
    watched = Watched()
    for _ in range(60):
        assert watched.look(behind={A: 7, B: 9}) is None
    reason = watched.look(behind={A: 7, B: 9})
    assert reason is not None
    assert "funding.raw.kucoin/0" in reason
    assert "offset 7" in reason


def test_one_partition_may_wait_longer_while_others_move() -> None:
    """A long catch-up reads partition after partition."""
    watched = Watched()
    limit_s = int(PATIENCE_S * ONE_PARTITION_FACTOR)
    looks = [watched.look(behind={A: 7, B: offset}) for offset in range(limit_s + 2)]
    assert looks[:limit_s] == [None] * limit_s
    assert looks[-1] is not None
    assert "funding.raw.kucoin/0" in looks[-1]


def test_a_rebalance_or_a_silent_broker_is_no_fault() -> None:
    """No partition is assigned, or Kafka does not say: waiting begins anew afterwards."""
    watched = Watched()
    for _ in range(50):
        assert watched.look(behind={A: 7}) is None
    for _ in range(500):
        assert watched.look(behind={}) is None
    for _ in range(50):
        assert watched.look(behind={A: 7}) is None


def test_kafka_is_asked_at_some_looks_only() -> None:
    """The looks in between say nothing about what waits, and its time goes on."""
    watched = Watched()
    looks = [watched.look(behind=None if second % 15 else {A: 7}) for second in range(61)]
    assert looks[:60] == [None] * 60
    assert looks[60] is not None


def test_a_partition_that_is_done_counts_as_movement() -> None:
    """What waited and waits no more was processed."""
    watched = Watched()
    for _ in range(50):
        assert watched.look(behind={A: 7, B: 1}) is None
    for _ in range(50):
        assert watched.look(behind={A: 7}) is None
