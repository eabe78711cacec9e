"""The console command `fundingstream backfill`: settled rates only, with a progress bar, then ends.

It does what a producer does at start: it goes on where it or a producer stopped, and uses no more
than half of the exchanges' limits.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import aiohttp
import click
import uvloop

from producers.exchanges import exchange
from producers.exchanges.spec import Exchange
from producers.feed.lock import hold_feed
from producers.feed.supervisor import concerning_all
from producers.kafka.publisher import Publisher
from producers.kafka.worker_reports import yielding_throttle
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
from schemas.config.settings import load_settings
from schemas.errors import UnavailableError
from schemas.feeds import FEEDS
from schemas.kafka.admin import require_topics
from schemas.process.logs import setup_logging
from schemas.serde.registry import SchemaCatalog
from schemas.topics import STATUS, WORKERS, raw_topic

STEPS = 1_000
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


@click.command()
@click.argument("feeds", nargs=-1, type=click.Choice(FEEDS), metavar="FEED...")
@click.option("--days", type=click.IntRange(1, 90), help="FUNDING_PRODUCER_HISTORY_DAYS.")
@click.option("--base-url", help="Root of the exchanges, for a simulator.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def backfill(
    feeds: Sequence[str],
    days: int | None,
    base_url: str | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Fetch the settled rates of the given feeds (default: all) to Kafka, then end."""
    settings = load_settings(
        ProducerSettings, producer_history_days=days, exchange_base_url=base_url
    )
    setup_logging("WARNING" if sys.stderr.isatty() else settings.log_level)
    check_limit_factor(settings)
    names = feeds or FEEDS
    catalog = SchemaCatalog(settings)
    cluster_id = require_topics(settings, [*map(raw_topic, names), STATUS.name, WORKERS.name])
    clock = SystemClock()
    with ExitStack() as locks:
        for name in names:
            locks.enter_context(hold_feed(settings.producer_data_dir, name))
        publishers = {feed: Publisher(feed, settings, catalog, clock) for feed in names}
        results = uvloop.run(_fill(settings, publishers, catalog, cluster_id, clock))
    if as_json:
        click.echo(json.dumps(results, indent=2))
    for feed, result in results.items():
        if not as_json:
            click.echo(f"{feed}: {result['rows']} settlements in {result['calls']} calls")
    unfinished = [feed for feed, result in results.items() if not result["finished"]]
    if unfinished:
        raise UnavailableError(
            f"the history of {', '.join(unfinished)} is unfinished: run it again, it goes on "
            "where it stopped"
        )


async def _fill(
    settings: ProducerSettings,
    publishers: Mapping[str, Publisher],
    catalog: SchemaCatalog,
    cluster_id: str,
    clock: Clock,
) -> dict[str, dict[str, Any]]:
    exchanges = {name: exchange(name) for name in publishers}
    shared = rate_limiters(exchanges.values(), settings.producer_limit_factor)
    async with (
        http_session() as session,
        yielding_throttle(settings, catalog, clock) as throttle,
    ):
        fillings = [
            _filling(
                found, settings, publishers[name], session, shared, throttle, cluster_id, clock
            )
            for name, found in exchanges.items()
        ]
        try:
            await _fill_all(fillings)
        except BaseExceptionGroup as errors:
            common = concerning_all(errors)
            if common is None:
                raise
            raise common from errors
    return {one.exchange.feed: one.result() for one in fillings}


async def _fill_all(fillings: Sequence[_Filling]) -> None:
    """Fill all; an error in any of the tasks ends the others at once."""
    async with asyncio.TaskGroup() as tasks:
        around = [tasks.create_task(one.publisher.serve()) for one in fillings]
        around.append(tasks.create_task(_show(fillings)))
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
    """Nothing is streamed, so nobody has to know of a change."""


async def _fill_one(one: _Filling) -> None:
    async with asyncio.TaskGroup() as tasks:
        listing = tasks.create_task(one.instruments.run())
        try:
            async with asyncio.timeout(LISTED_WITHIN_S):
                # Including the intervals, by which the worker reads settlements.
                await one.instruments.complete.wait()
        except TimeoutError:
            raise UnavailableError(
                f"{one.exchange.feed}: the list of contracts has not come within "
                f"{LISTED_WITHIN_S:g} s; the log says why"
            ) from None
        listing.cancel()
    await one.history.fill()


async def _show(fillings: Sequence[_Filling]) -> None:
    """Draw one bar over all feeds on a terminal, until cancelled."""
    with click.progressbar(
        length=STEPS, label="settled rates", file=sys.stderr, item_show_func=lambda item: item
    ) as bar:
        while True:
            done = int(STEPS * sum(one.history.progress for one in fillings) / len(fillings))
            rows = sum(one.history.rows for one in fillings)
            bar.update(done - bar.pos, f"{rows} rows")
            await asyncio.sleep(SHOWN_EVERY_S)
