"""Keeps the registry of contracts true: facts are fetched, published when they change, told.

Not responsible for: what a list means (contracts.py), sockets (sockets.py).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice

from producers.exchanges.spec import Exchange, RestCall, unreadable
from producers.policy.instruments import Change, InstrumentRegistry
from producers.rest.raw_replies import RawReplies
from schemas.backoff import Backoff, ceiling_s
from schemas.feeds import spec

log = logging.getLogger(__name__)

RETRY_S = 5.0
AGAIN_S = 3_600.0
"""All facts are published so often. Who reads a raw log whose beginning is cut off, as it is after
7 days, knows no contract before the first facts."""
GATHER_S = 1.0
"""Several unknown symbols within this ask for one refresh, not for many."""
DOUBT_EVERY_S = 300.0
UNKNOWN_EVERY_S = 60.0
"""Between two refreshes for unknown symbols; twice as long after each that lists none of them."""
ASKS_EACH = 4
"""A symbol that streams before the list knows it is asked about so often, over about 7 minutes;
then the next regular refresh finds it, or nothing does."""
MAX_ASKED_ABOUT = 1_000


class InstrumentRefresh:
    """The registry of one feed and what keeps it up to date."""

    def __init__(
        self,
        exchange: Exchange,
        raw_replies: RawReplies,
        refresh_s: float,
        changed: Callable[[Change], None],
    ) -> None:
        """`changed` is called after each reply that lists contracts."""
        self._exchange = exchange
        self._raw_replies = raw_replies
        self._refresh_s = refresh_s
        self._changed = changed
        self.registry = InstrumentRegistry(
            exchange.fact_identity, spec(exchange.feed).max_contracts
        )
        self.known = asyncio.Event()
        """Set once contracts are listed."""
        self.complete = asyncio.Event()
        """Set once all of their facts have come."""
        self._wanted = asyncio.Event()
        self._asked_about: Counter[str] = Counter()
        self._refreshes = 0
        self._doubted_s = self._unknown_s = float("-inf")
        self._in_vain = 0
        """Refreshes for unknown symbols since one of them listed something new."""

    async def run(self) -> None:
        """Refresh at intervals, and soon when asked to, until cancelled."""
        retries = Backoff(random.random, RETRY_S, self._refresh_s)
        published_s = time.monotonic()
        while True:
            if time.monotonic() - published_s > AGAIN_S:
                published_s = time.monotonic()
                self.registry.forget_published()
            if await self.refresh():
                retries = Backoff(random.random, RETRY_S, retries.cap_s)
                wait_s = self._refresh_s
            else:
                wait_s = RETRY_S + retries.failed()
            try:
                async with asyncio.timeout(wait_s):
                    await self._wanted.wait()
                await asyncio.sleep(GATHER_S)
            except TimeoutError:
                pass
            self._wanted.clear()

    async def refresh(self) -> bool:
        """Fetch the contracts' facts and publish what changed; True if all calls succeeded."""
        turn, complete, new = self._refreshes, True, False
        # Counted at once: whoever asks for a full refresh meanwhile gets one.
        self._refreshes += 1
        for call in self._exchange.fact_calls:
            if turn % call.every and not new:
                continue
            change = await self._ask(call)
            if change is None:
                complete = False
            elif change.listed:
                new = True
        if not complete:
            # One that failed is asked for again in full: its turn may be far away.
            self._refreshes = 0
        else:
            self.complete.set()
        return complete

    async def _ask(self, call: RestCall) -> Change | None:
        reply = await self._raw_replies.fetch(call)
        if reply is None:
            return None
        odd = unreadable(reply.slices)
        listings = self._exchange.listings(call, reply.slices)
        change = self.registry.update(call.resource, reply.slices, listings, partial=bool(odd))
        await self._raw_replies.publish(call, "contract", [*change.facts, *odd], reply.received_at)
        if change.doubtful:
            self._refresh_soon()
        if change.listed:
            self._in_vain = 0
        if self.registry.listed:
            # Without the other facts an interval is assumed, and flagged; the stream goes on.
            self.known.set()
            self._changed(change)
        return change

    @property
    def _unknown_every_s(self) -> float:
        """How long after a refresh for unknown symbols there may be another one."""
        longest_s = max(self._refresh_s, UNKNOWN_EVERY_S)
        return ceiling_s(max(0, self._in_vain - 1), UNKNOWN_EVERY_S, longest_s)

    def ask_about(self, symbols: Iterable[str]) -> None:
        """Have the registry refreshed for symbols that it does not list, ASKS_EACH times for each.

        An exchange that makes up symbols does not make us ask all the time: each refresh that lists
        nothing new doubles the time to the next one, up to that between regular refreshes.
        """
        if not self.known.is_set():
            return
        listed, asked = self.registry.listed, self._asked_about
        unknown = {s for s in symbols if s not in listed and asked[s] < ASKS_EACH}
        now_s = time.monotonic()
        since_s = now_s - self._unknown_s
        if not unknown or since_s < self._unknown_every_s:
            return
        if since_s >= 2 * self._refresh_s:
            self._in_vain = 0
        self._in_vain += 1
        self._unknown_s = now_s
        if len(asked) + len(unknown) > MAX_ASKED_ABOUT:
            asked.clear()
        asked.update(islice(unknown, MAX_ASKED_ABOUT))
        self._refresh_soon()

    def doubt(self) -> None:
        """Have the registry refreshed because listed contracts are silent: they may be delisted."""
        now_s = time.monotonic()
        if self.known.is_set() and now_s - self._doubted_s >= DOUBT_EVERY_S:
            self._doubted_s = now_s
            self._refresh_soon()

    def _refresh_soon(self) -> None:
        self._refreshes = 0
        self._wanted.set()
