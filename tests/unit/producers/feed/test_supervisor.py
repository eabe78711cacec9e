"""A feed that fails is run anew, told of and given up in the end; what concerns all passes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, cast

import pytest

from producers.exchanges.spec import Slice
from producers.feed.service import log_errors
from producers.feed.supervisor import (
    HEALTHY_S,
    MAX_IN_A_ROW,
    FeedFailedError,
    FeedSupervisor,
    concerning_all,
)
from producers.kafka.event_log import FeedEventLog
from producers.rest.client import RestError
from producers.websocket.transport import TransportError
from schemas.audit_kinds import AuditKind
from schemas.clock import Clock
from schemas.control_items import FeedEvent
from schemas.errors import ConfigurationError, FundingStreamError, MalformedInputError
from tests.support.clock import START_US, ManualClock

FEED = "kucoin"


class Kafka:
    """A publisher that keeps what it gets; it counts how often it is served."""

    def __init__(self) -> None:
        self.events: list[FeedEvent] = []
        self.served = 0
        self.serving = asyncio.Event()
        self.forgotten: list[str] = []
        self.error: FundingStreamError | None = None

    async def publish(self, slices: list[Slice], **_rest: Any) -> int:
        self.events += [FeedEvent.unpack(piece.payload) for piece in slices]
        return len(slices)

    async def serve(self) -> None:
        self.served += 1
        self.serving.set()
        if self.error is not None:
            raise self.error
        await asyncio.Event().wait()

    def forget_all_but(self, connection_id: str) -> None:
        self.forgotten.append(connection_id)

    @property
    def kinds(self) -> list[str]:
        """What was told, in its order."""
        return [event.kind for event in self.events]


class Feeds:
    """Makes feeds that do what a script says, one entry a run: fail with an error, or last."""

    def __init__(self, *script: BaseException | None) -> None:
        self.script = list(script)
        self.made: list[Feed] = []
        self.runs = 0
        self.lasting = asyncio.Event()
        self.on_run: Callable[[], None] = lambda: None

    def make(self, event_log: FeedEventLog) -> Any:
        """Return a new one."""
        self.made.append(Feed(self, event_log))
        return self.made[-1]


class Feed:
    """A feed as far as its supervisor knows it."""

    def __init__(self, feeds: Feeds, event_log: FeedEventLog) -> None:
        self.feeds = feeds
        self.event_log = event_log
        self.contradicted = 0

    def list_contradicted(self) -> None:
        """Count it."""
        self.contradicted += 1

    async def run(self) -> None:
        """Note the start; fail in a task of a group, as a feed does, or stay."""
        at = START_US
        self.event_log.note(FeedEvent(AuditKind.STARTED, FEED, at, at))
        error = self.feeds.script[self.feeds.runs]
        self.feeds.runs += 1
        self.feeds.on_run()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._part(error))

    async def _part(self, error: BaseException | None) -> None:
        if error is not None:
            raise error
        self.feeds.lasting.set()
        await asyncio.Event().wait()


def kept(
    feeds: Feeds,
    kafka: Kafka,
    chance: Callable[[], float] = lambda: 0.001,
    clock: Clock | None = None,
) -> FeedSupervisor:
    """A supervisor with hardly any delay."""
    return FeedSupervisor(FEED, cast("Any", kafka), feeds.make, clock or ManualClock(), chance)


async def until_lasting(supervisor: FeedSupervisor, feeds: Feeds) -> None:
    """Run it until one of its feeds goes on; then stop it, as SIGTERM does."""
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(10):
        await feeds.lasting.wait()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert running.cancelled()


async def test_an_unexpected_error_is_told_and_a_new_feed_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With its traceback, on the event log that the runs share; the counters begin anew."""
    feeds, kafka = Feeds(KeyError("markPrice\nX"), None), Kafka()
    supervisor = kept(feeds, kafka)
    first = supervisor.feed
    await until_lasting(supervisor, feeds)
    assert supervisor.failures == 1
    assert supervisor.feed is cast("Any", feeds.made[1])
    assert supervisor.feed is not first
    assert kafka.kinds == ["started", "feed_failed"]
    assert kafka.events[1].subject == FEED
    assert kafka.events[1].detail.startswith("KeyError: 'markPrice\\nX'; again in ")
    assert feeds.made[0].event_log is feeds.made[1].event_log
    assert [event.kind for event in feeds.made[1].event_log._waiting] == ["started"]
    assert kafka.served == 1, "what is on its way is looked after between the runs"
    assert kafka.forgotten == [feeds.made[0].event_log.identity]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert "in _part" in caplog.text


async def test_a_contradiction_reaches_the_feed_that_runs_now() -> None:
    """Not one that has failed."""
    feeds = Feeds(KeyError(), None)
    supervisor = kept(feeds, Kafka())
    supervisor.list_contradicted()
    await until_lasting(supervisor, feeds)
    supervisor.list_contradicted()
    supervisor.list_contradicted()
    assert [feed.contradicted for feed in feeds.made] == [1, 2]


@pytest.mark.parametrize("error", [ConfigurationError("set it"), FundingStreamError("away")])
async def test_what_concerns_all_feeds_passes_as_it_is(error: FundingStreamError) -> None:
    """With its exit code, out of the groups that it was raised in."""
    feeds, kafka = Feeds(error), Kafka()
    supervisor = kept(feeds, kafka)
    with pytest.raises(FundingStreamError) as caught:
        await supervisor.run()
    assert caught.value is error
    assert (supervisor.failures, feeds.runs) == (0, 1)


async def test_what_concerns_all_feeds_passes_between_runs_too() -> None:
    """Kafka refuses for good while the supervisor waits."""
    feeds, kafka = Feeds(KeyError(), None), Kafka()
    kafka.error = ConfigurationError("Kafka refuses")
    with pytest.raises(ConfigurationError, match="Kafka refuses"):
        await kept(feeds, kafka).run()
    assert feeds.runs == 1


@pytest.mark.parametrize(
    "error", [MalformedInputError("odd"), RestError("HTTP 500", 500), TransportError("closed")]
)
async def test_typed_errors_about_one_exchange_are_that_feeds(error: Exception) -> None:
    """Where they escape somebody forgot to handle them; the others have no part in it."""
    feeds = Feeds(error, None)
    supervisor = kept(feeds, Kafka())
    await until_lasting(supervisor, feeds)
    assert supervisor.failures == 1


async def test_an_unexpected_error_beside_one_that_passes_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is not lost behind the one line that the command prints."""
    both = ExceptionGroup("", [ZeroDivisionError("ours"), ConfigurationError("theirs")])
    with pytest.raises(ConfigurationError, match="theirs"):
        await kept(Feeds(both), Kafka()).run()
    assert "ZeroDivisionError: ours (and 1 more)" in caplog.text


async def test_a_stray_cancellation_or_a_plain_end_is_a_failure_as_well() -> None:
    """Nobody cancelled the supervisor, so the feed has to run."""
    feeds = Feeds(asyncio.CancelledError(), None)
    supervisor = kept(feeds, Kafka())
    await until_lasting(supervisor, feeds)
    assert (supervisor.failures, feeds.runs) == (1, 2)


async def test_failures_in_a_row_are_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """By a typed error that names the feed and the last failure, for the supervisor to see."""
    feeds = Feeds(*(ValueError(f"no. {n}") for n in range(1, 20)))
    supervisor = kept(feeds, Kafka(), lambda: 0.0001)
    with pytest.raises(FeedFailedError, match=f"{FEED} failed 5 times .* ValueError: no. 5: the"):
        await supervisor.run()
    assert feeds.runs == supervisor.failures == MAX_IN_A_ROW == 5
    assert [bool(record.exc_info) for record in caplog.records].count(True) == MAX_IN_A_ROW


@pytest.mark.parametrize(("lasted_s", "given_up"), [(HEALTHY_S, False), (HEALTHY_S - 1, True)])
async def test_a_run_that_lasts_makes_the_next_failure_a_first_one(
    lasted_s: float,
    given_up: bool,  # noqa: FBT001 - a parameter of the case
) -> None:
    """However often a feed fails in all."""
    clock = ManualClock()
    feeds = Feeds(*(KeyError(n) for n in range(MAX_IN_A_ROW + 1)), None)
    feeds.on_run = lambda: clock.advance(lasted_s)
    supervisor = kept(feeds, Kafka(), lambda: 0.0, clock)
    if given_up:
        with pytest.raises(FeedFailedError):
            await supervisor.run()
    else:
        await until_lasting(supervisor, feeds)
        assert supervisor.failures == MAX_IN_A_ROW + 1


async def test_it_stops_at_once_while_it_waits() -> None:
    """SIGTERM does not wait for the backoff."""
    feeds, kafka = Feeds(KeyError(), None), Kafka()
    running = asyncio.create_task(kept(feeds, kafka, lambda: 1e9).run())
    async with asyncio.timeout(10):
        await kafka.serving.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert feeds.runs == 1


async def test_a_failure_at_the_moment_of_the_stop_does_not_undo_the_stop() -> None:
    """A task group that is cancelled tells its task's failure instead of the cancellation."""

    class Stubborn(Feed):
        async def _part(self, error: BaseException | None) -> None:
            self.feeds.lasting.set()
            try:
                await asyncio.Event().wait()
            finally:
                raise KeyError("in a finally")

    feeds = Feeds(None, None)
    supervisor = FeedSupervisor(
        FEED,
        cast("Any", Kafka()),
        lambda event_log: cast("Any", Stubborn(feeds, event_log)),
        ManualClock(),
        lambda: 0.001,
    )
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(10):
        await feeds.lasting.wait()
        running.cancel()
        with pytest.raises(BaseExceptionGroup):
            await running
    assert feeds.runs == 1


def test_the_first_error_that_concerns_all_is_found_in_groups_of_groups() -> None:
    """And none where there is none."""
    wanted = ConfigurationError("this")
    inner = ExceptionGroup("", [RestError("no"), wanted])
    assert concerning_all(ExceptionGroup("", [KeyError(), inner])) is wanted
    assert concerning_all(ExceptionGroup("", [KeyError(), RestError("no")])) is None
    assert concerning_all(wanted) is wanted


def test_errors_while_stopping_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """A cancellation is none."""
    log_errors([asyncio.CancelledError(), ConfigurationError("typed"), KeyError("ours")])
    assert [(r.getMessage(), bool(r.exc_info)) for r in caplog.records] == [
        ("while stopping: typed", False),
        ("while stopping: 'ours'", True),
    ]
