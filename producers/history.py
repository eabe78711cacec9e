"""Settled rates: 30 days at start, then the newest after each full hour, published raw.

Resumable: how far the walk came is kept in a file, bound to the Kafka cluster that has the rows.
Not responsible for: how an exchange pages (exchanges/), what a settlement means (stream_app).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from producers.exchanges.description import Exchange, RestCall, Slice
from producers.publisher import Publisher, connection_id
from producers.rest import RestClient, RestError
from schemas.errors import MalformedInputError
from schemas.markers import BACKFILL_BEGIN, BACKFILL_END, MAX_UNREADABLE_BYTES, UNREADABLE
from schemas.times import now_us

log = logging.getLogger(__name__)

_MS_PER_HOUR = 3_600_000
_MS_PER_DAY = 24 * _MS_PER_HOUR
OVERLAP_MS = _MS_PER_HOUR
SETTLED_AFTER_S = (20.0, 300.0)
"""When, after a full hour, the newest settlements are asked for: soon, and once more for those
that the exchange publishes late."""
RETRY_S = 10.0
UNREADABLE_RETRY_S = 60.0
PROGRESS_EVERY_PAGES = 20
PAGE_PAUSE_S = 0.05
"""Between pages, so that a fast exchange's history does not queue up before the live stream."""


class Bookmark:
    """How far the settled history of a feed is published, in a small file."""

    def __init__(self, path: Path, cluster_id: str) -> None:
        self._path = path
        self._cluster_id = cluster_id

    def read_ms(self) -> int | None:
        """Return the time up to which all settlements are published; None: unknown."""
        try:
            stored = json.loads(self._path.read_text(encoding="utf-8"))
            if stored["cluster_id"] == self._cluster_id:
                return int(stored["through_ms"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None

    def write_ms(self, through_ms: int) -> None:
        """Replace the bookmark."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".tmp")
        text = json.dumps({"cluster_id": self._cluster_id, "through_ms": through_ms})
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self._path)


class History:
    """Publishes the settled rates of one feed."""

    def __init__(
        self,
        exchange: Exchange,
        rest: RestClient,
        publisher: Publisher,
        bookmark: Bookmark,
        days: int,
        symbols: Callable[[], Sequence[str]],
    ) -> None:
        self._exchange = exchange
        self._rest = rest
        self._publisher = publisher
        self._bookmark = bookmark
        self._days = days
        self._symbols = symbols
        self._connection_id = connection_id(exchange.feed, "history")
        self.progress = 0.0
        self.rows = 0

    async def run(self) -> None:
        """Fill what is missing, then follow each hour's settlements, until cancelled."""
        await self._backfill()
        while True:
            hour_ms = now_us() // 1_000 // _MS_PER_HOUR * _MS_PER_HOUR
            for after_s in SETTLED_AFTER_S:
                await _sleep_until_ms(hour_ms + _MS_PER_HOUR + int(after_s * 1_000))
                await self._follow()

    async def _backfill(self) -> None:
        through_ms = self._bookmark.read_ms()
        symbols = self._symbols()
        oldest_ms = now_us() // 1_000 - self._days * _MS_PER_DAY
        if through_ms is not None and through_ms >= oldest_ms:
            await self._walk(through_ms - OVERLAP_MS, symbols)
        else:
            log.info("%s: backfill of %d days begins", self._exchange.feed, self._days)
            await self._mark(BACKFILL_BEGIN, symbols)
            await self._walk(oldest_ms, symbols)
            await self._mark(BACKFILL_END, symbols)
            log.info("%s: backfill is complete, %d rows", self._exchange.feed, self.rows)
        self.progress = 1.0

    async def _follow(self) -> None:
        through_ms = self._bookmark.read_ms() or now_us() // 1_000
        await self._walk(through_ms - OVERLAP_MS, self._symbols())

    async def _walk(self, since_ms: int, symbols: Sequence[str]) -> None:
        """Publish all settlements since `since_ms`; note how far once they are on Kafka."""
        until_ms = now_us() // 1_000
        walk = self._exchange.history(symbols, since_ms, until_ms)
        known = frozenset(symbols)
        pages = 0
        while (call := walk.next_call()) is not None:
            body = await self._get(call)
            received_at = now_us()
            try:
                page = walk.take(body)
            except MalformedInputError as error:
                await self._unreadable(body, received_at, error)
                continue
            await self._publisher.publish(
                (piece for piece in page.slices if piece.symbol in known),
                transport="rest",
                purpose="history",
                channel=call.resource,
                connection_id=self._connection_id,
                received_at=received_at,
            )
            self.rows += len(page.slices)
            await asyncio.sleep(PAGE_PAUSE_S)
            self.progress = max(self.progress, walk.progress)
            pages += 1
            if pages % PROGRESS_EVERY_PAGES == 0:
                log.info(
                    "%s: history %.0f %%, %d rows",
                    self._exchange.feed,
                    100 * walk.progress,
                    self.rows,
                )
        await self._publisher.delivered()
        self._bookmark.write_ms(until_ms)

    async def _get(self, call: RestCall) -> bytes:
        while True:
            try:
                return await self._rest.get(call)
            except RestError as error:
                log.warning("%s: %s; again in %.0f s", self._exchange.feed, error, RETRY_S)
                await asyncio.sleep(RETRY_S)

    async def _unreadable(self, body: bytes, received_at: int, error: Exception) -> None:
        log.warning("%s: unreadable history page: %s", self._exchange.feed, error)
        await self._publisher.publish(
            (Slice(None, body[:MAX_UNREADABLE_BYTES]),),
            transport="rest",
            purpose="history",
            channel=UNREADABLE,
            connection_id=self._connection_id,
            received_at=received_at,
        )
        await asyncio.sleep(UNREADABLE_RETRY_S)

    async def _mark(self, marker: str, symbols: Sequence[str]) -> None:
        await self._publisher.publish(
            (Slice(symbol, b"") for symbol in symbols),
            transport="rest",
            purpose="history",
            channel=marker,
            connection_id=self._connection_id,
            received_at=now_us(),
        )


async def _sleep_until_ms(time_ms: int) -> None:
    while (left_s := time_ms / 1_000 - now_us() / 1_000_000) > 0:  # noqa: ASYNC110 - the clock
        # may be set meanwhile, so it is looked at again each minute
        await asyncio.sleep(min(left_s, 60.0))
