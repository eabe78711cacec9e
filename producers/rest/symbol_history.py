"""Settled rates where each contract has to be asked for by itself.

At start contract by contract, as fast as half of the limits allow; each is complete for itself, so
its z-score appears early. Then slowly round and round: the hour's settlements reach the worker in
the stream, or derived. A contract whose history cannot be had takes its turns like the others and
is released to the worker, which rates it by what it has. Not responsible for: walking and
publishing (history.py), paging (exchanges/).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from producers.exchanges.spec import Exchange
from producers.kafka.publisher import Publisher
from producers.policy.instruments import InstrumentRegistry
from producers.policy.throttle import Throttle
from producers.rest.client import RestClient
from producers.rest.history import (
    MS_PER_HOUR,
    OVERLAP_MS,
    Bookmark,
    History,
    HistoryRunner,
    sleep_until_ms,
)
from producers.settings import ProducerSettings
from schemas.clock import now_us

log = logging.getLogger(__name__)

LATE_MS = 300_000
"""A settlement may appear this long after its hour."""
ATTEMPTS = 3
ROUNDS = 3
"""Then a contract waits for its turn in the slow round."""
ROUND_PAUSE_S = 60.0
"""Before those are tried again that failed in a round."""
PROGRESS_EVERY_SYMBOLS = 25
_S_PER_HOUR = 3_600.0


def due(through_ms: int, now_ms: int) -> bool:
    """Tell whether a contract may have settled since its history was published through a time."""
    return (through_ms - LATE_MS) // MS_PER_HOUR < now_ms // MS_PER_HOUR


class SymbolHistory(HistoryRunner):
    """Publishes the settled rates of a feed, one contract at a time."""

    def __init__(self, *args: Any) -> None:
        """As HistoryRunner."""
        super().__init__(*args)
        self._attempted_ms: dict[str, float] = {}
        self._gap = asyncio.Event()

    def _complete_symbols(self, symbols: Sequence[str]) -> list[str]:
        oldest_ms = self._oldest_ms()
        return [s for s in symbols if (self._bookmark.read_ms(s) or 0) >= oldest_ms]

    @property
    def complete(self) -> int:
        """Contracts whose 30 days are published; all where none are asked for."""
        symbols = self._symbols()
        return len(self._complete_symbols(symbols) if self._days else symbols)

    async def fill(self) -> None:
        """Publish what is missing, once; `progress` is 1 if all of it came."""
        await self._release_left()
        await self._catch_up(self._symbols())
        symbols = self._symbols()
        self.progress = len(self._complete_symbols(symbols)) / max(1, len(symbols))

    async def run(self) -> None:
        """Fill what is missing, then go round, until cancelled."""
        await self.fill()
        while True:
            calls = self.calls
            await self._true_up()
            per_hour = self._exchange.true_up_calls_per_hour or 1
            pause_s = max(1, self.calls - calls) * _S_PER_HOUR / per_hour
            await self._pause(min(pause_s, _S_PER_HOUR))

    def missed_an_hour(self) -> None:
        """Take note that the stream was away over a full hour, so settlements were missed."""
        self._gap.set()

    async def _pause(self, pause_s: float) -> None:
        """Wait for the next turn; after a gap in the stream all are asked for what they missed."""
        try:
            async with asyncio.timeout(pause_s):
                await self._gap.wait()
        except TimeoutError:
            return
        hour_ms = now_us() // 1_000 // MS_PER_HOUR * MS_PER_HOUR
        await sleep_until_ms(hour_ms + LATE_MS)
        self._gap.clear()
        await self._catch_up(self._symbols())

    async def _release_left(self) -> None:
        """End what an earlier run began and this one does not begin again: done, or delisted."""
        symbols = self._symbols()
        missing = set(symbols) - set(self._complete_symbols(symbols))
        await self._end(self._bookmark.begun - missing)

    async def _true_up(self) -> None:
        """Fetch what is new of the contract whose last attempt is the longest ago.

        Attempts count, not successes: one that fails waits a round for its next turn. Newly listed
        contracts go first, all of them.
        """
        symbols = self._symbols()
        complete = set(self._complete_symbols(symbols))
        new = sorted(set(symbols) - complete - self._attempted_ms.keys())
        if new:
            await self._catch_up(new)
        elif symbols:
            await self._take_turn(min(symbols, key=self._last_attempt_ms), complete)

    def _last_attempt_ms(self, symbol: str) -> float:
        return max(self._bookmark.read_ms(symbol) or 0, self._attempted_ms.get(symbol, 0))

    async def _take_turn(self, symbol: str, complete: Iterable[str]) -> None:
        if symbol in complete:
            await self._visit(symbol)
            return
        await self._begin([symbol])
        await self._visit(symbol)
        await self._end([symbol])

    async def _catch_up(self, symbols: Sequence[str]) -> None:
        """Fetch contracts one by one until all are complete; those without any history first."""
        complete = set(self._complete_symbols(symbols))
        missing = [symbol for symbol in symbols if symbol not in complete]
        now_ms = now_us() // 1_000
        behind = [
            s for s in symbols if s in complete and due(self._bookmark.read_ms(s) or 0, now_ms)
        ]
        if missing:
            feed, days = self._exchange.feed, self._days
            log.info("%s: backfill of %d contracts by %d days", feed, len(missing), days)
            await self._begin(missing)
        left = deque([*missing, *behind])
        total, failed = len(left), 0
        visits: Counter[str] = Counter()
        while left:
            symbol = left.popleft()
            if symbol not in self._symbols():
                await self._end({symbol} - complete)
                continue
            if await self._visit(symbol):
                failed = 0
                await self._end({symbol} - complete)
                self._log_progress(total, len(left))
                continue
            visits[symbol] += 1
            if visits[symbol] < ROUNDS:
                left.append(symbol)
            else:
                log.warning("%s: no history of %r for now", self._exchange.feed, symbol)
                await self._end({symbol} - complete)
            failed += 1
            if failed > len(left):
                failed = 0
                await asyncio.sleep(ROUND_PAUSE_S)

    async def _visit(self, symbol: str) -> bool:
        """Publish what a contract settled since it was last visited, with an overlap."""
        self._attempted_ms[symbol] = now_us() / 1_000
        through_ms = self._bookmark.read_ms(symbol) or 0
        since_ms = max(self._oldest_ms(), through_ms - OVERLAP_MS)
        return await self._walk(since_ms, [symbol], symbol, ATTEMPTS)

    def _log_progress(self, total: int, left: int) -> None:
        self.progress = max(self.progress, 1 - left / total)
        if left % PROGRESS_EVERY_SYMBOLS == 0:
            log.info(
                "%s: history of %d of %d contracts, %d rows",
                self._exchange.feed,
                total - left,
                total,
                self.rows,
            )


def history_of(
    exchange: Exchange,
    rest: RestClient,
    publisher: Publisher,
    settings: ProducerSettings,
    registry: InstrumentRegistry,
    throttle: Throttle,
    cluster_id: str,
) -> HistoryRunner:
    """Return the history of a feed, as its exchange has to be asked."""
    by_symbol = exchange.true_up_calls_per_hour is not None
    kind = SymbolHistory if by_symbol else History
    return kind(
        exchange,
        rest,
        publisher,
        Bookmark(Path(settings.producer_data_dir) / f"{exchange.feed}.json", cluster_id),
        settings.producer_history_days,
        # Asked for one by one, contracts that no longer trade are not worth their calls.
        lambda: sorted(registry.streaming if by_symbol else registry.listed),
        throttle,
    )
