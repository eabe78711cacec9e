"""When a worker has to be ended, and when it must not be. The clock is the test's."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from stream_app.worker.raw_batches import Partition
from stream_app.worker.stall_detector import (
    FALLEN_GRACE_S,
    MAX_STEP_S,
    ONE_PARTITION_FACTOR,
    RECOVERY_FACTOR,
    STOP_BOUND_S,
    Observation,
    StallDetector,
)

PATIENCE_S = 60.0
A, B = ("funding.raw.kucoin", 0), ("funding.raw.kucoin", 1)
CRASHED = "Faust has crashed (RuntimeError())"


class Looks:
    """A detector, and a clock that advances a second from look to look."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self.detector = StallDetector(patience_s)
        self.now_s = 1_000.0

    def look(
        self,
        *,
        answered: bool = True,
        fallen: str | None = None,
        asked_to_stop: bool = False,
        behind: Mapping[Partition, int] | None = None,
        kafka_answers: bool = True,
        preparing: int | None = None,
        after_s: float = 1.0,
    ) -> str | None:
        """One look, some seconds after the one before."""
        self.now_s += after_s
        return self.detector.reason(
            Observation(
                self.now_s, answered, fallen, asked_to_stop, behind, kafka_answers, preparing
            )
        )


def test_a_worker_that_works_is_left_alone() -> None:
    """Answers come, input comes, what comes is processed; for hours."""
    looks = Looks()
    for offset in range(10_000):
        assert looks.look(behind={A: offset, B: offset // 50}) is None


@pytest.mark.parametrize(
    ("asked_to_stop", "grace_s"), [(False, FALLEN_GRACE_S), (True, STOP_BOUND_S)]
)
def test_a_failed_service_ends_the_process_after_a_grace(
    grace_s: float,
    asked_to_stop: bool,  # noqa: FBT001 - pytest passes parameters so
) -> None:
    """Though the loop answers; an end that was asked for has its own bound."""
    looks = Looks()
    for _ in range(int(grace_s)):
        assert looks.look(fallen=CRASHED, asked_to_stop=asked_to_stop) is None
    reason = looks.look(fallen=CRASHED, asked_to_stop=asked_to_stop)
    assert reason is not None
    assert CRASHED in reason


def test_a_loop_that_does_not_answer_ends_the_process() -> None:
    """After the patience, and not when it answers once in between."""
    looks = Looks()
    looks.look()
    for _ in range(59):
        assert looks.look(answered=False) is None
    assert looks.look(answered=True) is None
    for _ in range(59):
        assert looks.look(answered=False) is None
    assert looks.look(answered=False) == "the event loop has not answered for 60 s"


def test_a_process_that_was_stopped_is_not_blamed_for_it() -> None:
    """SIGSTOP for an hour, again and again, in whatever state: the time did not count."""
    looks = Looks()
    looks.look(behind={A: 7}, fallen=None)
    for _ in range(5):
        assert looks.look(answered=False, behind={A: 7}, after_s=3_600.0) is None
        assert looks.look(answered=True, behind={A: 7}) is None
    assert looks.look(fallen=CRASHED) is None
    assert looks.look(fallen=CRASHED, after_s=3_600.0) is None


def test_slow_looks_only_make_it_slower() -> None:
    """A broker that does not answer holds up each look; a dead loop is found all the same."""
    looks = Looks()
    found = [looks.look(answered=False, after_s=9.0) for _ in range(20)]
    assert found[: int(PATIENCE_S / MAX_STEP_S)] == [None] * int(PATIENCE_S / MAX_STEP_S)
    assert found[-1] is not None


def test_input_that_nobody_processes_ends_the_process() -> None:
    """The same offset for the whole patience, while no partition moves."""
    looks = Looks()
    for _ in range(60):
        assert looks.look(behind={A: 7, B: 9}) is None
    reason = looks.look(behind={A: 7, B: 9})
    assert reason is not None
    assert "funding.raw.kucoin/0" in reason
    assert "offset 7" in reason


def test_one_partition_may_wait_longer_while_others_move() -> None:
    """A long catch-up reads partition after partition."""
    looks = Looks()
    limit_s = int(PATIENCE_S * ONE_PARTITION_FACTOR)
    found = [looks.look(behind={A: 7, B: offset}) for offset in range(limit_s + 2)]
    assert found[:limit_s] == [None] * limit_s
    assert found[-1] is not None
    assert "funding.raw.kucoin/0" in found[-1]


def test_a_rebalance_is_no_fault() -> None:
    """No partition is assigned: waiting begins anew afterwards."""
    looks = Looks()
    for _ in range(50):
        assert looks.look(behind={A: 7}) is None
    for _ in range(500):
        assert looks.look(behind={}) is None
    for _ in range(50):
        assert looks.look(behind={A: 7}) is None


def test_kafka_is_asked_at_some_looks_only() -> None:
    """The looks in between say nothing about what waits, and its time goes on."""
    looks = Looks()
    found = [looks.look(behind=None if second % 15 else {A: 7}) for second in range(61)]
    assert found[:60] == [None] * 60
    assert found[60] is not None


def test_a_partition_that_is_done_counts_as_movement() -> None:
    """What waited and waits no more was processed."""
    looks = Looks()
    for _ in range(50):
        assert looks.look(behind={A: 7, B: 1}) is None
    for _ in range(50):
        assert looks.look(behind={A: 7}) is None


def test_a_silent_broker_is_no_fault() -> None:
    """While Kafka does not answer nothing can be processed: that time does not count."""
    looks = Looks()
    for _ in range(30):
        assert looks.look(behind={A: 7}) is None
    for preparing in (None, 0):
        for _ in range(2_000):
            assert looks.look(kafka_answers=False, preparing=preparing) is None
    for _ in range(30):
        assert looks.look(behind={A: 7}) is None
    assert looks.look(behind={A: 7}) is not None


def test_a_preparation_without_progress_ends_the_process() -> None:
    """A start, rebalance or recovery that stands still, and one that starts again and again."""
    for turns in (1, 3):
        looks = Looks()
        limit_s = int(PATIENCE_S * RECOVERY_FACTOR)
        looks.look(preparing=turns, behind={})
        found = [looks.look(preparing=second % turns, behind={}) for second in range(limit_s)]
        assert found[:-1] == [None] * (limit_s - 1)
        assert found[-1] is not None
        assert "for 600 s without progress" in found[-1]


def test_a_preparation_that_goes_on_is_left_alone() -> None:
    """A record in nine minutes is progress; and a worker that is ready for once starts anew."""
    looks = Looks()
    for second in range(10_000):
        assert looks.look(preparing=second // 540, behind={}) is None
    for second in range(10_000):
        assert looks.look(preparing=0 if second % 540 else None, behind={}) is None


def test_a_worker_without_partitions_is_left_alone() -> None:
    """A group may have more workers than partitions: it is ready, and nothing waits for it."""
    looks = Looks()
    for _ in range(10_000):
        assert looks.look(behind={}) is None
