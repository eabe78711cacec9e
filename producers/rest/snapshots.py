"""Current rates by REST: instead of the stream (fallback, poll) and to compare it (reconcile)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping

from producers.exchanges.spec import Exchange, Slice
from producers.policy.instruments import InstrumentRegistry
from producers.policy.outages import Filled
from producers.policy.polling import Polling, affordable_s, reconcile_due_ms
from producers.rest.client import FOREGROUND_SHARE, SNAPSHOT_SHARE, SNAPSHOT_TIMEOUT_S
from producers.rest.raw_replies import RawReplies
from producers.rest.waiting import sleep_until_ms, wait_for_event
from schemas.clock import Clock
from schemas.errors import MalformedInputError
from schemas.records import Purpose

RECONCILE_ATTEMPTS = 3
RECONCILE_RETRY_S = 30.0


class Snapshots:
    """Takes snapshots of one feed's contracts."""

    def __init__(
        self,
        exchange: Exchange,
        raw_replies: RawReplies,
        registry: InstrumentRegistry,
        polling: Polling,
        clock: Clock,
        timeout_s: float = SNAPSHOT_TIMEOUT_S,
        polled: Callable[[Mapping[str, bytes], int], None] = lambda _rates, _received_at: None,
        unseen: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """`polling` decides when rates are asked for; a call may take `timeout_s`.

        `polled` is called with the rates, as `Exchange.shown_rate` has them, of each reply that
        brought some in place of a stream, by contract, and its time of receipt, µs. `unseen`
        returns contracts whose rate of the hour the stream may not have brought: they have it from
        the reply that the stream is compared with.
        """
        self._exchange = exchange
        self._raw_replies = raw_replies
        self._registry = registry
        self.polling = polling
        self._clock = clock
        self._timeout_s = timeout_s
        self._polled = polled
        self._unseen = unseen
        self._changed = asyncio.Event()
        self.polls = 0
        """Polls instead of the stream that brought rates."""
        self.rates = 0
        """Rates that were published instead of the stream's."""

    @property
    def filled(self) -> Filled:
        """What was published so far instead of the stream's rates."""
        return Filled(self.polls, self.rates)

    def want(self, silent: Collection[str], quiet: frozenset[str] = frozenset()) -> None:
        """Set the contracts whose rates the stream does not bring, and which are quiet."""
        self.polling.want(silent, self._clock.monotonic_s(), quiet)
        if silent:
            self._changed.set()

    def loaded(self) -> None:
        """Note that the history of some contracts was loaded."""
        self.polling.loaded()
        self._changed.set()

    async def serve(self) -> None:
        """Ask for the rates that the stream does not bring, until cancelled."""
        polling = self.polling
        while True:
            self._changed.clear()
            calls = self._exchange.snapshot_calls(sorted(polling.wanted))
            floor_s = affordable_s(calls, self._exchange.limits)
            due_s = polling.due_s(len(self._registry.streaming), floor_s)
            wait_s = None if due_s is None else due_s - self._clock.monotonic_s()
            if wait_s is None or wait_s > 0:
                await wait_for_event(self._changed, wait_s)
                continue
            polling.begun(self._clock.monotonic_s())
            # Evaluated again with each reply: what the stream brought meanwhile is not published.
            served = await self._take(polling.wanted, "fallback", lambda: polling.wanted)
            polling.ended(self._clock.monotonic_s(), served=served)

    async def poll(self) -> None:
        """Ask for all contracts at the polling's period, until cancelled: there is no stream."""
        polling = self.polling
        while True:
            began_s = self._clock.monotonic_s()
            self.want(self._registry.streaming)
            polling.begun(began_s)
            streaming = self._registry.streaming
            # The reply brings halted contracts as well, whose rates are wanted when they come.
            served = await self._take(streaming, "fallback", lambda: self._registry.subscribed)
            polling.ended(self._clock.monotonic_s(), served=served)
            await asyncio.sleep(max(0.0, began_s + polling.period_s - self._clock.monotonic_s()))

    async def reconcile(self, period_s: float | None) -> None:
        """Fetch what the stream's rates are compared with, until cancelled.

        `period_s` None: after each full hour.
        """
        while True:
            if period_s is None:
                due_ms = reconcile_due_ms(self._clock.now_us() // 1_000)
                await sleep_until_ms(due_ms, self._clock, asyncio.Event())
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
        """Publish the rates of contracts that are `wanted` when a reply comes; True if any came."""
        share = SNAPSHOT_SHARE if purpose == "fallback" else FOREGROUND_SHARE
        published = 0
        needed = True
        for call in self._exchange.snapshot_calls(sorted(symbols)):
            reply = await self._raw_replies.fetch(call, share, self._timeout_s)
            if reply is None:
                continue
            # Delisted contracts stay in the reply, frozen.
            chosen = wanted()
            needed = bool(chosen)
            pieces = [piece for piece in reply.slices if _asked(piece, chosen)]
            await self._raw_replies.publish(call, purpose, pieces, reply.received_at)
            published += sum(piece.readable for piece in pieces)
            if purpose == "reconcile" and (unseen := frozenset(self._unseen())):
                pieces = [piece for piece in pieces if piece.symbol in unseen]
                await self._raw_replies.publish(call, "fallback", pieces, reply.received_at)
                self._polled(self._rates(call.resource, pieces), reply.received_at)
            elif purpose == "fallback":
                self._polled(self._rates(call.resource, pieces), reply.received_at)
        if purpose == "fallback":
            self.polls += published > 0
            self.rates += published
        return published > 0 or not needed

    def _rates(self, resource: str, pieces: Iterable[Slice]) -> dict[str, bytes]:
        rates = {}
        for piece in pieces:
            if piece.readable and piece.symbol is not None:
                try:
                    rates[piece.symbol] = self._exchange.shown_rate(resource, piece.payload)
                except MalformedInputError:
                    rates[piece.symbol] = b""
        return rates


def _asked(piece: Slice, chosen: Collection[str]) -> bool:
    return piece.symbol in chosen or not piece.readable
