"""Fetches settled rates only, then ends.

It does what a producer does when it starts: it goes on where it or a producer stopped, and takes no
more than half of the exchanges' limits.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import aiohttp
import uvloop

from producers.exchanges import exchange
from producers.exchanges.spec import Exchange
from producers.feed.startup import Prepared, prepared
from producers.feed.supervisor import concerning_all
from producers.kafka.publisher import Publisher
from producers.kafka.worker_reports import following_workers
from producers.policy.endpoints import Endpoints
from producers.policy.instruments import Change
from producers.policy.rate_limiter import RateLimiter, rate_limiters
from producers.policy.throttle import Throttle
from producers.rest.client import RestClient, http_session
from producers.rest.history import HistoryRunner, history_of
from producers.rest.instruments import InstrumentRefresh
from producers.rest.raw_replies import RawReplies
from producers.settings import ProducerSettings, check_limit_factor
from schemas.clock import Clock, SystemClock
from schemas.errors import UnavailableError

SHOWN_EVERY_S = 0.2
LISTED_WITHIN_S = 60.0


class _Filling(NamedTuple):
    exchange: Exchange
    publisher: Publisher
    instruments: InstrumentRefresh
    history: HistoryRunner

    def result(self) -> dict[str, Any]:
        """Return the result as the command prints it."""
        return {
            "contracts": len(self.instruments.registry.listed),
            "complete": self.history.complete,
            "finished": self.history.progress >= 1.0,
            "rows": self.history.rows,
            "calls": self.history.calls,
        }


def run_backfill(
    settings: ProducerSettings, feeds: Sequence[str], show: Callable[[float, int], None]
) -> dict[str, dict[str, Any]]:
    """Fetch the settled rates of feeds to Kafka; return what came of it, by feed.

    Args:
        settings: How many days, and where everything is.
        feeds: The feeds to fill.
        show: Called every SHOWN_EVERY_S with the share that is done, 0 to 1, and the rows so far.

    Raises:
        UnavailableError: Kafka, the registry, a topic or an exchange is missing, or another process
            runs a feed.
        ConfigurationError: a setting cannot be used.
    """
    check_limit_factor(settings)
    clock = SystemClock()
    with prepared(settings, feeds, clock) as found:
        return uvloop.run(_fill(settings, found, show, clock))


def require_finished(results: Mapping[str, Mapping[str, Any]]) -> None:
    """Check what `run_backfill` has returned.

    Raises:
        UnavailableError: the history of a feed is unfinished.
    """
    unfinished = [feed for feed, result in results.items() if not result["finished"]]
    if unfinished:
        raise UnavailableError(
            f"the history of {', '.join(unfinished)} is unfinished: run it again, it goes on "
            "where it stopped"
        )


async def _fill(
    settings: ProducerSettings,
    found: Prepared,
    show: Callable[[float, int], None],
    clock: Clock,
) -> dict[str, dict[str, Any]]:
    exchanges = {name: exchange(name) for name in found.publishers}
    shared = rate_limiters(exchanges.values(), settings.producer_limit_factor)
    async with (
        http_session() as session,
        following_workers(settings, found.catalog, clock) as reports,
    ):
        fillings = [
            _filling(
                exchanges[name],
                settings,
                publisher,
                session,
                shared,
                reports.throttle,
                found.cluster_id,
                clock,
            )
            for name, publisher in found.publishers.items()
        ]
        try:
            await _fill_all(fillings, show)
        except BaseExceptionGroup as errors:
            common = concerning_all(errors)
            if common is None:
                raise
            raise common from errors
    return {one.exchange.feed: one.result() for one in fillings}


async def _fill_all(fillings: Sequence[_Filling], show: Callable[[float, int], None]) -> None:
    """Fill all; an error in any of the tasks ends the others at once."""
    async with asyncio.TaskGroup() as tasks:
        around = [tasks.create_task(one.publisher.serve()) for one in fillings]
        around.append(tasks.create_task(_show(fillings, show)))
        async with asyncio.TaskGroup() as filling:
            for one in fillings:
                filling.create_task(_fill_one(one))
        for one in fillings:
            await one.publisher.delivered()
        for task in around:
            task.cancel()


def _filling(
    found: Exchange,
    settings: ProducerSettings,
    publisher: Publisher,
    session: aiohttp.ClientSession,
    shared: Mapping[str, RateLimiter],
    throttle: Throttle,
    cluster_id: str,
    clock: Clock,
) -> _Filling:
    url = Endpoints(found.feed, settings.exchange_base_url).rest(found.rest_url)
    rest = RestClient(found, url, session, shared[found.limits_group], clock)
    instruments = InstrumentRefresh(
        found,
        RawReplies(found, rest, publisher, clock),
        settings.producer_registry_refresh_s,
        _ignore,
        clock,
        random.random,
    )
    history = history_of(
        found, rest, publisher, settings, instruments.registry, throttle, cluster_id, clock
    )
    return _Filling(found, publisher, instruments, history)


def _ignore(_change: Change) -> None:
    """Ignore a change of the list: a backfill streams nothing."""


async def _fill_one(one: _Filling) -> None:
    async with asyncio.TaskGroup() as tasks:
        listing = tasks.create_task(one.instruments.run())
        try:
            async with asyncio.timeout(LISTED_WITHIN_S):
                # Including the intervals, by which the worker reads settlements.
                await one.instruments.complete.wait()
        except TimeoutError:
            raise UnavailableError(
                f"{one.exchange.feed}: the contracts and their terms have not come within "
                f"{LISTED_WITHIN_S:g} s; the log says why"
            ) from None
        listing.cancel()
    await one.history.fill()


async def _show(fillings: Sequence[_Filling], show: Callable[[float, int], None]) -> None:
    """Report the progress of all feeds together, until cancelled."""
    while True:
        rows = sum(one.history.rows for one in fillings)
        show(sum(one.history.progress for one in fillings) / len(fillings), rows)
        await asyncio.sleep(SHOWN_EVERY_S)
