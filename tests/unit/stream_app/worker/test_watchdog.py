"""What the watchdog sees of a worker and of Kafka, and that it ends the process for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from faust.types import TP

from schemas.partitioning import PARTITIONS
from stream_app.settings import WorkerSettings
from stream_app.worker.app import faust_app
from stream_app.worker.funding_app import FundingApp
from stream_app.worker.group_lag import GroupLag
from stream_app.worker.stall_detector import Work
from stream_app.worker.watchdog import Watchdog, Watched
from tests.support.clock import ManualClock

PATIENCE_S = 60.0
A = ("funding.raw.kucoin", 0)
CRASHED = "Faust has crashed (RuntimeError())"


class EndedError(Exception):
    """What ending the process is in these tests."""


class Clock(ManualClock):
    """A clock that only sleeping advances, for at most twenty minutes."""

    def sleep(self, seconds: float) -> None:
        """Let time go on."""
        self.advance(seconds)
        if self.time_s > 2_200.0:
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

    loop: Any = Loop(answers=answers)
    clock = Clock()
    watchdog = Watchdog(
        Watched(loop, lambda: work, lambda: fallen, lambda: False),
        GroupLag(kafka, "fundingstream", clock),
        clock,
        patience_s,
        end=end,
        sleep=clock.sleep,
    )
    with pytest.raises(EndedError) as ended:
        watchdog.run()
    return str(ended.value)


WORKING = Work(frozenset({A}))


def test_questions_that_fail_do_not_hide_a_stuck_worker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each fourth question to Kafka fails: what was known before still holds."""
    assert "funding.raw.kucoin/0" in why_ended(Kafka(fails_every=4), WORKING)
    assert "Kafka does not tell the watchdog" in caplog.text


def test_that_kafka_refuses_is_told_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It says nothing about what waits, whichever part of the answer is refused."""
    denied = KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)
    refused_commits = Kafka()
    refused_commits.commit_error = denied
    for kafka in (Kafka(fails_every=1, error=KafkaException(denied)), refused_commits):
        caplog.clear()
        with pytest.raises(TimeoutError):
            why_ended(kafka, WORKING)
        told = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert 18 <= len(told) <= 21


@pytest.mark.parametrize(
    ("fallen", "answers", "why"),
    [(CRASHED, True, CRASHED), (None, False, "the event loop has not answered")],
)
def test_a_question_that_breaks_disables_nothing_else(
    fallen: str | None,
    answers: bool,  # noqa: FBT001 - pytest passes parameters so
    why: str,
) -> None:
    """Asked at every look, and an error of an unknown kind each time: the rest is still seen."""
    kafka = Kafka(fails_every=1, error=RuntimeError("unknown"))
    ended = why_ended(kafka, WORKING, fallen=fallen, answers=answers, patience_s=4.0)
    assert why in ended


@pytest.mark.parametrize("fails_every", [0, 4])
def test_a_worker_that_never_gets_ready_is_ended(fails_every: int) -> None:
    """Also where Kafka fails now and then; where it is away, it is no fault of the worker."""
    preparing = Work(preparing=0)
    assert "can process nothing" in why_ended(Kafka(fails_every), preparing)
    with pytest.raises(TimeoutError):
        why_ended(Kafka(fails_every=1), preparing)


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
