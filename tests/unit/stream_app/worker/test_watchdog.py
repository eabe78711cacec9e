"""When the watchdog ends a worker, and when it must not. The clock is the test's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from faust.types import TP

from schemas.kafka import clients
from schemas.partitioning import PARTITIONS
from stream_app.settings import WorkerSettings
from stream_app.worker import watchdog
from stream_app.worker.app import FundingApp, faust_app
from stream_app.worker.watchdog import (
    FALLEN_GRACE_S,
    MAX_STEP_S,
    ONE_PARTITION_FACTOR,
    RECOVERY_FACTOR,
    STOP_BOUND_S,
    Observation,
    Partition,
    StallDetector,
    Watchdog,
    Work,
)

PATIENCE_S = 60.0
A, B = ("funding.raw.kucoin", 0), ("funding.raw.kucoin", 1)
CRASHED = "Faust has crashed (RuntimeError())"


class Watched:
    """A judge, and a clock that goes a second from look to look."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self.judge = StallDetector(patience_s)
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
        return self.judge.reason(
            Observation(
                self.now_s, answered, fallen, asked_to_stop, behind, kafka_answers, preparing
            )
        )


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


def test_a_rebalance_is_no_fault() -> None:
    """No partition is assigned: waiting begins anew afterwards."""
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


def test_a_silent_broker_is_no_fault() -> None:
    """While Kafka does not answer nothing can be processed: that time does not count."""
    watched = Watched()
    for _ in range(30):
        assert watched.look(behind={A: 7}) is None
    for preparing in (None, 0):
        for _ in range(2_000):
            assert watched.look(kafka_answers=False, preparing=preparing) is None
    for _ in range(30):
        assert watched.look(behind={A: 7}) is None
    assert watched.look(behind={A: 7}) is not None


def test_a_preparation_without_progress_ends_the_process() -> None:
    """A start, rebalance or recovery that stands still, and one that starts again and again."""
    for turns in (1, 3):
        watched = Watched()
        limit_s = int(PATIENCE_S * RECOVERY_FACTOR)
        watched.look(preparing=turns, behind={})
        looks = [watched.look(preparing=second % turns, behind={}) for second in range(limit_s)]
        assert looks[:-1] == [None] * (limit_s - 1)
        assert looks[-1] is not None
        assert "for 600 s without progress" in looks[-1]


def test_a_preparation_that_goes_on_is_left_alone() -> None:
    """A record in nine minutes is progress; and a worker that is ready for once starts anew."""
    watched = Watched()
    for second in range(10_000):
        assert watched.look(preparing=second // 540, behind={}) is None
    for second in range(10_000):
        assert watched.look(preparing=0 if second % 540 else None, behind={}) is None


def test_a_worker_without_partitions_is_left_alone() -> None:
    """A group may have more workers than partitions: it is ready, and nothing waits for it."""
    watched = Watched()
    for _ in range(10_000):
        assert watched.look(behind={}) is None


class EndedError(Exception):
    """What ending the process is in these tests."""


class Clock:
    """Time that goes on when somebody sleeps, for twenty minutes."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Let time go on."""
        self.now_s += seconds
        if self.now_s > 2_200.0:
            raise TimeoutError("the watchdog has not ended the process")


class Kafka:
    """An admin client: one partition has ten records, and the group has committed none of them."""

    def __init__(self, fails_every: int = 0, error: Exception | None = None) -> None:
        self.fails_every = fails_every
        self.error = error or KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        self.asked = 0
        self.commit_error: KafkaError | None = None

    def _answer(self, result: Any) -> Any:
        return SimpleNamespace(result=lambda _timeout: result)

    def list_offsets(self, asked: Mapping[Any, Any], **_kwargs: Any) -> dict[Any, Any]:
        """Oldest 0, end 10; the first of each round of questions may fail."""
        is_oldest = any(spec._value == -2 for spec in asked.values())
        self.asked += is_oldest
        if is_oldest and self.fails_every and self.asked % self.fails_every == 0:
            raise self.error.with_traceback(None)
        return {at: self._answer(SimpleNamespace(offset=0 if is_oldest else 10)) for at in asked}

    def list_consumer_group_offsets(self, request: list[Any], **_kwargs: Any) -> dict[str, Any]:
        """Nothing is committed."""
        found = [
            SimpleNamespace(
                topic=at.topic, partition=at.partition, offset=-1001, error=self.commit_error
            )
            for at in request[0].topic_partitions
        ]
        return {request[0].group_id: self._answer(SimpleNamespace(topic_partitions=found))}

    def list_topics(self, timeout: float) -> None:
        """Fail as often as the others."""
        self.asked += 1
        if self.fails_every and self.asked % self.fails_every == 0:
            raise self.error.with_traceback(None)


class Loop:
    """An event loop that calls at once, or never."""

    def __init__(self, *, answers: bool = True) -> None:
        self.answers = answers

    def call_soon_threadsafe(self, call: Any) -> None:
        """Call it."""
        if self.answers:
            call()


def why_ended(
    monkeypatch: pytest.MonkeyPatch,
    kafka: Kafka,
    work: Work,
    *,
    fallen: str | None = None,
    answers: bool = True,
    patience_s: float = PATIENCE_S,
) -> str:
    """Let a watchdog run until it ends the process, and return why.

    Raises:
        TimeoutError: it did not within twenty minutes.
    """

    def end(reason: str) -> None:
        raise EndedError(reason)

    monkeypatch.setattr(clients, "admin_client", lambda _config: kafka)
    monkeypatch.setattr(watchdog, "time", Clock())
    monkeypatch.setattr(watchdog, "end_process", end)
    settings = WorkerSettings(worker_watchdog_s=patience_s)
    loop: Any = Loop(answers=answers)
    with pytest.raises(EndedError) as ended:
        Watchdog(settings, loop, lambda: work, lambda: fallen, lambda: False).run()
    return str(ended.value)


WORKING = Work(frozenset({A}))


def test_questions_that_fail_do_not_hide_a_stuck_worker(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each fourth question to Kafka fails: what was known before still holds."""
    assert "funding.raw.kucoin/0" in why_ended(monkeypatch, Kafka(fails_every=4), WORKING)
    assert "Kafka does not tell the watchdog" in caplog.text


def test_that_kafka_refuses_is_told_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It says nothing about what waits, whichever part of the answer is refused."""
    denied = KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)
    refused_commits = Kafka()
    refused_commits.commit_error = denied
    for kafka in (Kafka(fails_every=1, error=KafkaException(denied)), refused_commits):
        caplog.clear()
        with pytest.raises(TimeoutError):
            why_ended(monkeypatch, kafka, WORKING)
        told = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert 18 <= len(told) <= 21


@pytest.mark.parametrize(
    ("fallen", "answers", "why"),
    [(CRASHED, True, CRASHED), (None, False, "the event loop has not answered")],
)
def test_a_question_that_breaks_disables_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
    fallen: str | None,
    answers: bool,  # noqa: FBT001 - pytest passes parameters so
    why: str,
) -> None:
    """Asked at every look, and an error of an unknown kind each time: the rest is still seen."""
    kafka = Kafka(fails_every=1, error=RuntimeError("unknown"))
    broken: Any = kafka
    monkeypatch.setattr(watchdog._GroupLag, "behind", broken.list_topics)
    ended = why_ended(monkeypatch, kafka, WORKING, fallen=fallen, answers=answers, patience_s=4.0)
    assert why in ended


@pytest.mark.parametrize("fails_every", [0, 4])
def test_a_worker_that_never_gets_ready_is_ended(
    monkeypatch: pytest.MonkeyPatch, fails_every: int
) -> None:
    """Also where Kafka fails now and then; where it is away, it is no fault of the worker."""
    preparing = Work(preparing=0)
    assert "can process nothing" in why_ended(monkeypatch, Kafka(fails_every), preparing)
    with pytest.raises(TimeoutError):
        why_ended(monkeypatch, Kafka(fails_every=1), preparing)


def test_the_worker_tells_getting_ready_from_having_no_partition(tmp_path: Any) -> None:
    """Faust's flags say it, and the offsets of the changelogs say how far a recovery is."""

    async def check() -> None:
        app: FundingApp = faust_app(WorkerSettings(worker_data_dir=str(tmp_path)), "one-1")
        assigned: list[tuple[str, int]] = []
        processor: Any = SimpleNamespace(assigned=lambda: iter(assigned))
        app.processor = processor
        assert app.processing() == Work(preparing=0)  # it has not joined the group yet
        app.on_rebalance_start()
        assert app.processing() == Work(preparing=0)
        app.in_recovery = True
        offsets: Any = app.tables.recovery.active_offsets
        offsets.update({TP("a", 0): 40, TP("a", 1): 2})
        offsets[TP("a", PARTITIONS - 1)] = None
        assert app.processing() == Work(preparing=42)
        app.rebalancing = False
        assert app.processing() == Work(preparing=42)
        app.in_recovery = False
        assert app.processing() == Work()
        assigned.append(A)
        assert app.processing() == WORKING

    asyncio.run(check())
