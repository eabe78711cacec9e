"""Current rates by REST: instead of the stream (fallback, poll) and against it (reconcile).

Not responsible for: when instead of the stream (polling.py), comparing (the worker does).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

from producers.exchanges.spec import Exchange, Slice
from producers.policy.instruments import InstrumentRegistry
from producers.policy.outages import Filled
from producers.policy.polling import Polling, affordable_s
from producers.rest.client import FOREGROUND_SHARE, SNAPSHOT_SHARE, SNAPSHOT_TIMEOUT_S
from producers.rest.history import MS_PER_HOUR, sleep_until_ms
from producers.rest.raw_replies import RawReplies
from schemas.clock import now_us
from schemas.records import Purpose

RECONCILE_ATTEMPTS = 3
RECONCILE_RETRY_S = 30.0
RECONCILE_AFTER_S = 150.0
"""After the full hour, when what settled has settled (exchanges.md §8.2)."""


class Snapshots:
    """Takes snapshots of one feed's contracts."""

    def __init__(
        self,
        exchange: Exchange,
        raw_replies: RawReplies,
        registry: InstrumentRegistry,
        period_s: float,
    ) -> None:
        """`period_s`: between two snapshots instead of the stream."""
        self._exchange = exchange
        self._raw_replies = raw_replies
        self._registry = registry
        self.polling = Polling(period_s)
        self._changed = asyncio.Event()
        self.polls = 0
        """That brought rates."""
        self.rates = 0
        """Published instead of the stream's."""

    @property
    def filled(self) -> Filled:
        """What was brought so far instead of the stream."""
        return Filled(self.polls, self.rates)

    def want(self, silent: Collection[str]) -> None:
        """Set the contracts that the stream does not bring."""
        self.polling.want(silent, time.monotonic())
        if silent:
            self._changed.set()

    async def serve(self) -> None:
        """Ask for what the stream does not bring, until cancelled."""
        polling = self.polling
        while True:
            self._changed.clear()
            calls = self._exchange.snapshot_calls(sorted(polling.wanted))
            floor_s = affordable_s(calls, self._exchange.limits)
            due_s = polling.due_s(len(self._registry.streaming), floor_s)
            wait_s = None if due_s is None else due_s - time.monotonic()
            if wait_s is None or wait_s > 0:
                try:
                    async with asyncio.timeout(wait_s):
                        await self._changed.wait()
                except TimeoutError:
                    pass
                continue
            polling.begun(time.monotonic())
            # Asked again when a reply is there: what the stream has brought meanwhile is its own.
            served = await self._take(polling.wanted, "fallback", lambda: polling.wanted)
            polling.ended(time.monotonic(), served=served)

    async def poll(self) -> None:
        """Ask for all contracts at the polling's period, until cancelled: without a stream."""
        polling = self.polling
        while True:
            began_s = time.monotonic()
            self.want(self._registry.streaming)
            polling.begun(began_s)
            streaming = self._registry.streaming
            served = await self._take(streaming, "fallback", lambda: self._registry.streaming)
            polling.ended(time.monotonic(), served=served)
            await asyncio.sleep(max(0.0, began_s + polling.period_s - time.monotonic()))

    async def reconcile(self, period_s: float | None) -> None:
        """Fetch what the stream's rates are compared with, until cancelled.

        `period_s` None: after each full hour.
        """
        while True:
            if period_s is None:
                hour_ms = now_us() // 1_000 // MS_PER_HOUR * MS_PER_HOUR
                due_ms = hour_ms + int(RECONCILE_AFTER_S * 1_000)
                await sleep_until_ms(due_ms + MS_PER_HOUR * (due_ms <= now_us() // 1_000))
            else:
                await asyncio.sleep(period_s)
            for _ in range(RECONCILE_ATTEMPTS):
                streaming = self._registry.streaming
                if await self._take(streaming, "reconcile", lambda: self._registry.streaming):
                    break
                await asyncio.sleep(RECONCILE_RETRY_S)

    async def _take(
        self, symbols: Collection[str], purpose: Purpose, wanted: Callable[[], Collection[str]]
    ) -> bool:
        """Publish the current rates of what is `wanted` then; True if any of them came."""
        share = SNAPSHOT_SHARE if purpose == "fallback" else FOREGROUND_SHARE
        published = 0
        needed = True
        for call in self._exchange.snapshot_calls(sorted(symbols)):
            reply = await self._raw_replies.fetch(call, share, SNAPSHOT_TIMEOUT_S)
            if reply is None:
                continue
            # Delisted contracts stay in the reply, frozen (exchanges.md §1.8).
            chosen = wanted()
            needed = bool(chosen)
            pieces = [piece for piece in reply.slices if _asked(piece, chosen)]
            await self._raw_replies.publish(call, purpose, pieces, reply.received_at)
            published += sum(piece.readable for piece in pieces)
        if purpose == "fallback":
            self.polls += published > 0
            self.rates += published
        return published > 0 or not needed


def _asked(piece: Slice, chosen: Collection[str]) -> bool:
    return piece.symbol in chosen or not piece.readable
