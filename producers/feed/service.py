"""Runs feeds in one process until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import uvloop

from producers.exchanges import exchange
from producers.feed.feed import Feed
from producers.feed.metrics import serve_feeds
from producers.feed.startup import Prepared, prepared
from producers.feed.supervisor import FeedSupervisor
from producers.kafka.worker_reports import following_workers
from producers.policy.rate_limiter import rate_limiters
from producers.rest.client import http_session
from producers.settings import ProducerSettings, check_limit_factor
from schemas.clock import Clock, SystemClock
from schemas.errors import FundingStreamError
from schemas.kafka.admin import await_kafka
from schemas.process.heartbeat import Heartbeat

log = logging.getLogger(__name__)

_BEAT_EVERY_S = 1.0
_HANGS_AFTER_S = 15.0


def run_producer(settings: ProducerSettings, feeds: Sequence[str]) -> None:
    """Run feeds in this process until SIGTERM or SIGINT.

    Raises:
        UnavailableError: Kafka, the registry or a topic is missing, or another process runs a feed.
        ConfigurationError: a setting cannot be used.
        SchemaError: a schema is not registered.
        FundingStreamError: a feed has failed again and again.
    """
    check_limit_factor(settings)
    await_kafka(settings)
    clock = SystemClock()
    with prepared(settings, feeds, clock) as found:
        uvloop.run(_run(settings, found, clock))


async def _run(settings: ProducerSettings, found: Prepared, clock: Clock) -> None:
    publishers = found.publishers
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with (
        http_session() as session,
        following_workers(settings, found.catalog, clock) as reports,
    ):
        exchanges = {name: exchange(name) for name in publishers}
        shared = rate_limiters(exchanges.values(), settings.producer_limit_factor)
        supervisors = [
            FeedSupervisor(
                name,
                publisher,
                partial(
                    Feed,
                    exchanges[name],
                    settings,
                    publisher,
                    session,
                    shared[exchanges[name].limits_group],
                    reports.throttle,
                    found.cluster_id,
                    clock,
                ),
                clock,
                random.random,
            )
            for name, publisher in publishers.items()
        ]
        for one in supervisors:
            reports.when_contradicted(one.name, one.list_contradicted)
        heartbeat = Heartbeat(clock, _HANGS_AFTER_S)
        serve_feeds(supervisors, settings, heartbeat)
        beating = asyncio.create_task(_beat(heartbeat))
        running: list[asyncio.Task[Any]] = [asyncio.create_task(one.run()) for one in supervisors]
        stopped: asyncio.Task[Any] = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([*running, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        beating.cancel()
        for task in running:
            task.cancel()
        ended = await asyncio.gather(*running, return_exceptions=True)
        left = await asyncio.gather(
            *(publisher.delivered() for publisher in publishers.values()), return_exceptions=True
        )
        # The error that ended the process comes first; errors while stopping are only logged.
        first = [error for task, error in zip(running, ended, strict=True) if task in done]
        later = [error for task, error in zip(running, ended, strict=True) if task not in done]
        errors = [error for error in (*first, *left) if error is not None]
        log_errors([*errors[1:], *later])
        if errors:
            raise errors[0]


async def _beat(heartbeat: Heartbeat) -> None:
    while True:
        heartbeat.beat()
        await asyncio.sleep(_BEAT_EVERY_S)


def log_errors(errors: Iterable[BaseException]) -> None:
    """Log errors that are not raised: the unexpected ones with their tracebacks."""
    for error in errors:
        if not isinstance(error, asyncio.CancelledError):
            unexpected = None if isinstance(error, FundingStreamError) else error
            log.error("while stopping: %s", error, exc_info=unexpected)
