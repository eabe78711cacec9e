"""Settled rates: 30 days at start, then the newest after each full hour, published raw.

For exchanges that return all contracts' settlements at once; symbol_history.py is for the others.
Resumable: how far the walk came is kept in a file, bound to the Kafka cluster that has the rows.
Not responsible for: how an exchange pages (exchanges/), what a settlement means (stream_app).
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from producers.exchanges.spec import Exchange, RestCall, Slice, unreadable
from producers.kafka.publisher import Publisher, UndeliveredError, connection_id
from producers.policy.throttle import Throttle
from producers.rest.client import BACKGROUND_SHARE, RestClient, RestError
from schemas.backoff import ceiling_s
from schemas.clock import now_us
from schemas.control_items import BACKFILL_BEGIN, BACKFILL_END, MAX_UNREADABLE_BYTES, UNREADABLE
from schemas.errors import MalformedInputError
from schemas.process.files import write_atomically

log = logging.getLogger(__name__)

MS_PER_HOUR = 3_600_000
MS_PER_DAY = 24 * MS_PER_HOUR
OVERLAP_MS = MS_PER_HOUR
SETTLED_AFTER_S = (20.0, 300.0)
"""When, after a full hour, the newest settlements are asked for: soon, and once more for those
that the exchange publishes late."""
RETRY_S = 10.0
UNREADABLE_RETRY_S = 60.0
UNREADABLE_ATTEMPTS = 3
"""Then a walk ends where it is: a page that nobody can read does not become readable by asking."""
FIRST_AGAIN_S = 600.0
MAX_AGAIN_S = 6 * 3600.0
"""Until an unfinished walk is begun again; what settles meanwhile is fetched all the same."""
RECENT_MS = 2 * MS_PER_HOUR
PROGRESS_EVERY_PAGES = 20
DELIVERY_ATTEMPTS = 10
"""Waits of 30 s for Kafka; after them the bookmark stays where it is."""
ALL = ""
"""Key of a bookmark that holds for all contracts."""


class Bookmark:
    """How far the settled history of a feed, or of each of its contracts, is published; in a file.

    A damaged file, or another Kafka cluster's, is no bookmark: fetching again is safe.
    """

    def __init__(self, path: Path, cluster_id: str) -> None:
        self._path = path
        self._cluster_id = cluster_id
        self._through_ms: dict[str, int] | None = None
        self._begun: set[str] = set()

    def read_ms(self, symbol: str = ALL) -> int | None:
        """Return the time up to which all settlements are published; None: unknown."""
        return self._read().get(symbol)

    def write_ms(self, through_ms: int, symbol: str = ALL) -> None:
        """Move the bookmark."""
        self._read()[symbol] = through_ms
        self._write()

    @property
    def begun(self) -> frozenset[str]:
        """Contracts whose backfill was announced and whose end Kafka may not have."""
        self._read()
        return frozenset(self._begun)

    def begin(self, symbols: Iterable[str]) -> None:
        """Note whose backfill is about to be announced."""
        self._read()
        self._begun.update(symbols)
        self._write()

    def end(self, symbols: Iterable[str]) -> None:
        """Note whose end Kafka has."""
        self._read()
        self._begun.difference_update(symbols)
        self._write()

    def _write(self) -> None:
        """Write the file. A full disk costs a second fetch after a restart, and not the feed."""
        text = json.dumps(
            {
                "cluster_id": self._cluster_id,
                "through_ms": self._read(),
                "begun": sorted(self._begun),
            }
        )
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, text)
        except OSError as error:
            log.error("cannot write %s, a restart will fetch again: %s", self._path, error)  # noqa: TRY400 - its cause is in the message

    def _read(self) -> dict[str, int]:
        if self._through_ms is None:
            self._through_ms = {}
            try:
                stored = json.loads(self._path.read_text(encoding="utf-8"))
                if stored["cluster_id"] == self._cluster_id:
                    found = {str(key): int(ms) for key, ms in stored["through_ms"].items()}
                    self._through_ms = found
                    self._begun = {str(symbol) for symbol in stored.get("begun", ())}
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                pass
        return self._through_ms


class HistoryRunner(ABC):
    """What both kinds of history share: walks, marks, and the bookmark behind them."""

    def __init__(
        self,
        exchange: Exchange,
        rest: RestClient,
        publisher: Publisher,
        bookmark: Bookmark,
        days: int,
        symbols: Callable[[], Sequence[str]],
        throttle: Throttle,
    ) -> None:
        """`pacer`: a turn for each row; all feeds of a process share it."""
        self._exchange = exchange
        self._throttle = throttle
        self._rest = rest
        self._publisher = publisher
        self._bookmark = bookmark
        self._days = days
        self._symbols = symbols
        self._connection_id = connection_id(exchange.feed, "history")
        self.progress = 0.0
        self.rows = 0
        self.calls = 0

    @property
    def complete(self) -> int:
        """Contracts whose history at start is published; all where none is asked for."""
        return len(self._symbols()) if self.progress >= 1.0 or not self._days else 0

    @abstractmethod
    async def fill(self) -> None:
        """Publish what is missing, once; `progress` is 1 if all of it came."""

    @abstractmethod
    async def run(self) -> None:
        """Fill what is missing, then follow what settles, until cancelled."""

    def missed_an_hour(self) -> None:
        """Take note that the stream was away over a full hour: by default, nothing to do."""
        return

    def _oldest_ms(self) -> int:
        return now_us() // 1_000 - self._days * MS_PER_DAY

    async def _walk(
        self,
        since_ms: int,
        symbols: Sequence[str],
        key: str | None,
        attempts: int | None = None,
        *,
        may_be_empty: bool = True,
    ) -> bool:
        """Publish all settlements since `since_ms`; note how far once they are on Kafka.

        Returns False when a page failed `attempts` times (None: it is asked for until it comes), or
        was unreadable a few times, or when there is no row and `may_be_empty` is not set: then the
        bookmark stays. `key` None: it stays in any case.
        """
        until_ms = now_us() // 1_000
        walk = self._exchange.history(symbols, since_ms, until_ms)
        known = frozenset(symbols)
        pages = failed = unread = 0
        rows = self.rows
        while (call := walk.next_call()) is not None:
            if unread >= UNREADABLE_ATTEMPTS or (attempts is not None and failed >= attempts):
                return False
            body = await self._get(call)
            if body is None:
                failed += 1
                continue
            received_at = now_us()
            try:
                page = walk.take(body)
            except MalformedInputError as error:
                failed += 1
                unread += 1
                await self._unreadable(body, received_at, error)
                continue
            await self._publish_page(call, page.slices, known, received_at)
            failed = unread = 0
            self.rows += len(page.slices)
            await asyncio.sleep(self._throttle.wait_s(time.monotonic(), len(page.slices)))
            if key == ALL:
                self.progress = max(self.progress, walk.progress)
            pages += 1
            if pages % PROGRESS_EVERY_PAGES == 0:
                feed, percent = self._exchange.feed, 100 * walk.progress
                log.info("%s: history %.0f %%, %d rows", feed, percent, self.rows)
        if self.rows == rows and not may_be_empty:
            log.warning("%s: no settlement in %d days", self._exchange.feed, self._days)
            return False
        if await self._acknowledged() and key is not None:
            self._bookmark.write_ms(until_ms, key)
        return True

    async def _publish_page(
        self, call: RestCall, slices: Sequence[Slice], known: frozenset[str], received_at: int
    ) -> None:
        odd = unreadable(slices)
        if odd:
            feed, first = self._exchange.feed, odd[0].payload[:200]
            log.warning("%s: %d unreadable rows of history: %r", feed, len(odd), first)
        ours = [piece for piece in slices if piece.symbol in known or not piece.readable]
        await self._publish(ours, call.resource, received_at)

    async def _acknowledged(self) -> bool:
        """Wait for Kafka; False: it is away for long, what was published stays on its way."""
        for _ in range(DELIVERY_ATTEMPTS):
            try:
                await self._publisher.acknowledged()
            except UndeliveredError as error:
                log.warning("%s: %s", self._exchange.feed, error)
            else:
                return True
        return False

    async def _get(self, call: RestCall) -> bytes | None:
        self.calls += 1
        try:
            return await self._rest.fetch(call, BACKGROUND_SHARE)
        except RestError as error:
            log.warning("%s: %s; again in %.0f s", self._exchange.feed, error, RETRY_S)
            await asyncio.sleep(RETRY_S)
            return None

    async def _unreadable(self, body: bytes, received_at: int, error: Exception) -> None:
        log.warning("%s: unreadable history page: %s", self._exchange.feed, error)
        await self._publish([Slice(None, body[:MAX_UNREADABLE_BYTES])], UNREADABLE, received_at)
        await asyncio.sleep(UNREADABLE_RETRY_S)

    async def _begin(self, symbols: Sequence[str]) -> None:
        """Announce a backfill. It is noted before, so that a restart knows whom to release."""
        self._bookmark.begin(symbols)
        await self._mark(BACKFILL_BEGIN, symbols)

    async def _end(self, symbols: Iterable[str]) -> None:
        """Release contracts, whether their history came or not: the worker waits for this."""
        names = sorted(symbols)
        if names:
            await self._mark(BACKFILL_END, names)
            if await self._acknowledged():
                self._bookmark.end(names)

    async def _mark(self, marker: str, symbols: Sequence[str]) -> None:
        await self._publish([Slice(symbol, b"") for symbol in symbols], marker, now_us())

    async def _publish(self, slices: Sequence[Slice], channel: str, received_at: int) -> None:
        await self._publisher.publish(
            slices,
            transport="rest",
            purpose="history",
            channel=channel,
            connection_id=self._connection_id,
            received_at=received_at,
        )


class History(HistoryRunner):
    """Publishes the settled rates of a feed, all contracts in one walk."""

    _again_s = 0.0
    """Before this monotonic time an unfinished walk is not begun again; 0: none is unfinished."""
    _failures = 0

    async def fill(self) -> None:
        """Publish what is missing; `progress` says whether all of it came."""
        await self._catch_up()

    async def run(self) -> None:
        """Fill what is missing, then follow each hour's settlements, until cancelled."""
        await self.fill()
        while True:
            hour_ms = now_us() // 1_000 // MS_PER_HOUR * MS_PER_HOUR
            for after_s in SETTLED_AFTER_S:
                await sleep_until_ms(hour_ms + MS_PER_HOUR + int(after_s * 1_000))
                await self._follow()

    async def _catch_up(self) -> None:
        """Walk from the bookmark, or all 30 days; unfinished, not again before some time."""
        through_ms = self._bookmark.read_ms()
        oldest_ms = self._oldest_ms()
        if through_ms is not None and through_ms >= oldest_ms:
            finished = await self._walk(through_ms - OVERLAP_MS, self._symbols(), ALL)
            await self._end(self._bookmark.begun)
        else:
            finished = await self._backfill(oldest_ms)
        if finished:
            self.progress = 1.0
            self._failures, self._again_s = 0, 0.0
        else:
            delay_s = ceiling_s(self._failures, FIRST_AGAIN_S, MAX_AGAIN_S)
            self._failures += 1
            self.progress = min(self.progress, 0.99)
            self._again_s = time.monotonic() + delay_s
            feed = self._exchange.feed
            log.warning("%s: history is unfinished; again in %.0f s", feed, delay_s)

    async def _backfill(self, oldest_ms: int) -> bool:
        feed, symbols = self._exchange.feed, self._symbols()
        log.info("%s: backfill of %d days begins", feed, self._days)
        await self._begin(symbols)
        finished = await self._walk(oldest_ms, symbols, ALL, may_be_empty=not symbols)
        await self._end(self._bookmark.begun)
        return finished

    async def _follow(self) -> None:
        """Fetch what is new; the last hours by themselves where the walk to them is stuck."""
        if time.monotonic() >= self._again_s:
            await self._catch_up()
        if self._again_s:
            since_ms = now_us() // 1_000 - RECENT_MS
            await self._walk(since_ms, self._symbols(), None)


async def sleep_until_ms(time_ms: int) -> None:
    """Sleep until a wall-clock time, UTC ms."""
    while (left_s := time_ms / 1_000 - now_us() / 1_000_000) > 0:  # noqa: ASYNC110 - the clock
        # may be set meanwhile, so it is looked at again each minute
        await asyncio.sleep(min(left_s, 60.0))
