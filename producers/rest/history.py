"""Carries out the history of a feed: walks page by page, marks backfills, moves the bookmark.

What is fetched when is decided by a schedule (policy/history: BulkSchedule for exchanges that send
all contracts' settlements at once, ContractSchedule for the others), how an exchange pages by its
description (exchanges/). A restart goes on from the bookmark.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from producers.exchanges.spec import NO_KEYS, Exchange, HistoryPage, HistoryWalk, RestCall
from producers.kafka.publisher import Publisher
from producers.policy.history.actions import (
    Action,
    Announce,
    Fetch,
    HistorySchedule,
    HistoryView,
    Release,
    Wait,
    WalkEnd,
)
from producers.policy.history.bulk_schedule import BulkSchedule
from producers.policy.history.contract_schedule import ContractSchedule
from producers.policy.instruments import InstrumentRegistry
from producers.policy.throttle import Throttle
from producers.rest.bookmark import Bookmark
from producers.rest.client import BACKGROUND_SHARE, RestClient, RestError
from producers.rest.history_publisher import HistoryPublisher
from producers.rest.waiting import sleep_until_ms
from producers.settings import ProducerSettings
from schemas.clock import Clock
from schemas.errors import MalformedInputError

log = logging.getLogger(__name__)

PROGRESS_EVERY_PAGES = 20


@dataclass(frozen=True, slots=True)
class PageRetries:
    """How often, and after which pause, a page is asked for again."""

    failed_s: float = 10.0
    unreadable_s: float = 60.0
    unreadable_attempts: int = 3
    """Then a walk ends: what nobody can read does not become readable by asking again."""


@dataclass(slots=True)
class _Failures:
    """Attempts at the current page that failed."""

    failed: int = 0
    unreadable: int = 0


class HistoryRunner:
    """The settled history of one feed."""

    def __init__(
        self,
        exchange: Exchange,
        rest: RestClient,
        publisher: Publisher,
        bookmark: Bookmark,
        schedule: HistorySchedule,
        contracts: Callable[[], Sequence[str]],
        throttle: Throttle,
        clock: Clock,
        retries: PageRetries = PageRetries(),
        keys: Callable[[], Mapping[str, str]] = lambda: NO_KEYS,
        released: Callable[[], None] = lambda: None,
    ) -> None:
        """`contracts` returns those whose settlements are wanted now.

        `throttle`: a turn for each row; all feeds of a process share it. `keys` returns what
        requests call contracts that do not go by their symbols. `released` is called when the
        history of some contracts has been loaded.
        """
        self._exchange = exchange
        self._rest = rest
        self._to = HistoryPublisher(exchange.feed, publisher, clock)
        self._bookmark = bookmark
        self._schedule = schedule
        self._contracts = contracts
        self._throttle = throttle
        self._clock = clock
        self._retries = retries
        self._keys = keys
        self._released = released
        self._missed = asyncio.Event()
        self.rows = 0
        self.calls = 0
        self._pages = 0

    @property
    def complete(self) -> int:
        """Contracts whose history is published; all where none is asked for."""
        return self._schedule.complete(self._view())

    @property
    def progress(self) -> float:
        """Share of the history at start that is published, 0 to 1; 1: all of it."""
        return self._schedule.progress(self._view())

    def _view(self) -> HistoryView:
        bookmark, now_ms = self._bookmark, self._clock.now_us() // 1_000
        feed_ms, contract_ms = bookmark.feed_ms, bookmark.contract_ms
        return HistoryView(self._contracts(), feed_ms, contract_ms, bookmark.announced, now_ms)

    async def fill(self) -> None:
        """Publish what is missing, once; afterwards `progress` is 1 if all of it came."""
        while not self._schedule.caught_up:
            await self.step()

    async def run(self) -> None:
        """Publish what is missing, then what settles, until cancelled."""
        while True:
            await self.step()

    async def step(self) -> None:
        """Carry out the next step of the schedule."""
        await self._do(self._schedule.next(self._view()))

    def missed_an_hour(self) -> None:
        """Take note that the stream was away over a full hour, so settlements were missed."""
        self._schedule.missed_an_hour(self._clock.now_us() // 1_000)
        self._missed.set()

    async def _do(self, action: Action) -> None:
        match action:
            case Announce(contracts):
                log.info("%s: backfill of %d contracts", self._exchange.feed, len(contracts))
                # Noted before it is announced, so that a restart knows which contracts to release.
                self._bookmark.announce(contracts)
                await self._to.announce(contracts)
            case Fetch():
                calls = self.calls
                finished = await self._fetch(action)
                end = WalkEnd(finished, self.calls - calls)
                self._schedule.ended(action, end, self._clock.now_us() // 1_000)
            case Release(contracts):
                if await self._to.release(contracts):
                    self._bookmark.release(contracts)
                    self._released()
            case Wait(until_ms):
                self._missed.clear()
                await sleep_until_ms(until_ms, self._clock, self._missed)

    async def _fetch(self, fetch: Fetch) -> bool:
        """Publish a walk; set the bookmark once Kafka has it. False: it could not be finished."""
        until_ms = self._clock.now_us() // 1_000
        walk = self._exchange.history(fetch.contracts, fetch.since_ms, until_ms, self._keys())
        rows = self.rows
        if not await self._walk(fetch, walk):
            log.warning("%s: a walk over the history is unfinished", self._exchange.feed)
            return False
        if fetch.needs_rows and self.rows == rows:
            log.warning("%s: the history holds no settlement", self._exchange.feed)
            return False
        if await self._to.acknowledged():
            if fetch.moves == "feed":
                self._bookmark.move_feed(until_ms)
            elif fetch.moves == "contract":
                self._bookmark.move_contract(fetch.contracts[0], until_ms)
        return True

    async def _walk(self, fetch: Fetch, walk: HistoryWalk) -> bool:
        """Publish all pages of a walk; False: one of them did not come."""
        known = frozenset(fetch.contracts)
        failures = _Failures()
        while (call := walk.next_call()) is not None:
            if failures.unreadable >= self._retries.unreadable_attempts or (
                fetch.attempts is not None and failures.failed >= fetch.attempts
            ):
                return False
            body = await self._body(call)
            received_at = self._clock.now_us()
            page = None if body is None else await self._page(walk, body, received_at, failures)
            if page is None:
                failures.failed += 1
                continue
            failures = _Failures()
            await self._to.page(call.resource, page.slices, known, received_at)
            await self._count(len(page.slices))
            self._schedule.walked(fetch, walk.progress)
        return True

    async def _body(self, call: RestCall) -> bytes | None:
        """Return the reply to a call; None, after a pause: there is none."""
        self.calls += 1
        try:
            return await self._rest.fetch(call, BACKGROUND_SHARE)
        except RestError as error:
            pause_s = self._retries.failed_s
            log.warning("%s: %s; again in %.0f s", self._exchange.feed, error, pause_s)
            await asyncio.sleep(pause_s)
            return None

    async def _page(
        self, walk: HistoryWalk, body: bytes, received_at: int, failures: _Failures
    ) -> HistoryPage | None:
        """Read a page; None, after a pause: it cannot be read and is a dead letter."""
        try:
            return walk.take(body)
        except MalformedInputError as error:
            failures.unreadable += 1
            log.warning("%s: unreadable history page: %s", self._exchange.feed, error)
            await self._to.unreadable_page(body, received_at)
            await asyncio.sleep(self._retries.unreadable_s)
            return None

    async def _count(self, rows: int) -> None:
        """Count the rows of a page and take as many turns of the pace that is allowed."""
        self.rows += rows
        self._pages += 1
        if self._pages % PROGRESS_EVERY_PAGES == 0:
            feed, percent = self._exchange.feed, 100 * self.progress
            log.info("%s: history %.0f %%, %d rows", feed, percent, self.rows)
        await asyncio.sleep(self._throttle.wait_s(self._clock.monotonic_s(), rows))


def history_of(
    exchange: Exchange,
    rest: RestClient,
    publisher: Publisher,
    settings: ProducerSettings,
    registry: InstrumentRegistry,
    throttle: Throttle,
    cluster_id: str,
    clock: Clock,
    released: Callable[[], None] = lambda: None,
) -> HistoryRunner:
    """Return the history of a feed, scheduled as its exchange has to be asked."""
    days, calls_per_hour = settings.producer_history_days, exchange.true_up_calls_per_hour
    path = Path(settings.producer_data_dir) / f"{exchange.feed}.json"
    bulk = calls_per_hour is None
    return HistoryRunner(
        exchange,
        rest,
        publisher,
        Bookmark(path, cluster_id),
        BulkSchedule(days) if calls_per_hour is None else ContractSchedule(days, calls_per_hour),
        # Asked for one by one, delisted contracts are not worth their calls.
        lambda: sorted(registry.listed if bulk else registry.subscribed),
        throttle,
        clock,
        keys=lambda: registry.keys,
        released=released,
    )
