"""Keeps the registry of instruments up to date: fetches them, publishes those that changed."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from producers.exchanges.spec import Exchange, RestCall, Slice, unreadable
from producers.policy.instruments import Change, InstrumentRegistry, one_each
from producers.rest.raw_replies import RawReplies
from producers.rest.waiting import wait_for_event
from schemas.backoff import Backoff, ceiling_s
from schemas.clock import Clock
from schemas.contract_status import ContractStatus
from schemas.feeds import spec

log = logging.getLogger(__name__)

UNKNOWN_EVERY_S = 60.0
"""Between two refreshes for unknown symbols; doubled after each one that lists none of them."""
ASKS_EACH = 4
"""A symbol that streams before the list knows it is asked about so often, over about 7 minutes;
then the next regular refresh finds it, or nothing does."""
MAX_ASKED_ABOUT = 1_000


@dataclass(frozen=True, slots=True)
class RefreshTimes:
    """Intervals of the refreshes beside the regular one."""

    retry_s: float = 5.0
    """Least pause after a refresh that failed."""
    again_s: float = 3_600.0
    """All instruments are published so often, changed or not: a reader of a raw log whose beginning
    is cut off, as it is after 7 days, knows no contract before."""
    gather_s: float = 1.0
    """Pause before a refresh that was asked for, so that several unknown symbols make one."""
    doubt_every_s: float = 300.0
    """Least time between two refreshes for silent contracts."""


class InstrumentRefresh:
    """Refreshes the registry of one feed."""

    def __init__(
        self,
        exchange: Exchange,
        raw_replies: RawReplies,
        refresh_s: float,
        changed: Callable[[Change], None],
        clock: Clock,
        chance: Callable[[], float],
        times: RefreshTimes = RefreshTimes(),
    ) -> None:
        """`changed` is called after each reply while contracts are listed.

        `refresh_s`: interval of the regular refreshes. `chance`: uniform in [0, 1), for delays.
        """
        self._exchange = exchange
        self._raw_replies = raw_replies
        self._refresh_s = refresh_s
        self._changed = changed
        self._clock = clock
        self._chance = chance
        self._times = times
        self.registry = InstrumentRegistry(
            exchange.fact_identity, spec(exchange.feed).max_contracts
        )
        self.known = asyncio.Event()
        """Set once contracts are listed."""
        self.complete = asyncio.Event()
        """Set once all vital calls of a refresh have succeeded, so that intervals are known too."""
        self._twice: dict[str, frozenset[str]] = {}
        """By resource: the contracts that its last reply named more than once."""
        self._letters: dict[str, frozenset[int]] = {}
        """By resource: hashes of the unreadable rows of its last reply."""
        self._wanted = asyncio.Event()
        self._asked_about: Counter[str] = Counter()
        self._refreshes = 0
        self._doubted_s = self._unknown_s = float("-inf")
        self._in_vain = 0
        """Refreshes for unknown symbols since one of them listed something new."""

    async def run(self) -> None:
        """Refresh at intervals, and soon when asked to, until cancelled."""
        retries = Backoff(self._chance, self._times.retry_s, self._refresh_s)
        published_s = self._clock.monotonic_s()
        while True:
            if self._clock.monotonic_s() - published_s > self._times.again_s:
                published_s = self._clock.monotonic_s()
                self.registry.forget_published()
            if await self.refresh():
                retries = Backoff(self._chance, self._times.retry_s, retries.cap_s)
                wait_s = self._refresh_s
            else:
                wait_s = self._times.retry_s + retries.failed()
            if await wait_for_event(self._wanted, wait_s):
                await asyncio.sleep(self._times.gather_s)
            self._wanted.clear()

    async def refresh(self) -> bool:
        """Fetch the instruments and publish those that changed; True if all that matters came.

        What does not (`RestCall.vital`) and has failed is asked for again when it is its turn.
        """
        turn, complete, new = self._refreshes, True, False
        # Counted before the calls, so that a full refresh that is asked for meanwhile is made.
        self._refreshes += 1
        for call in self._exchange.fact_calls:
            if turn % call.every and not new:
                continue
            change = await self._ask(call)
            if change is None:
                complete = complete and not call.vital
            elif change.listed:
                new = True
        if not complete:
            # The next refresh is a full one: the turn of the call that failed may be far away.
            self._refreshes = 0
        else:
            self.complete.set()
        return complete

    async def _ask(self, call: RestCall) -> Change | None:
        reply = await self._raw_replies.fetch(call)
        if reply is None:
            return None
        odd = unreadable(reply.slices)
        slices = self._one_each(call, reply.slices)
        listings = self._exchange.listings(call, slices)
        change = self.registry.update(call.resource, slices, listings, partial=bool(odd))
        letters = self._new_letters(call.resource, odd)
        pieces = [*change.facts, *letters]
        await self._raw_replies.publish(call, "contract", pieces, reply.received_at)
        if change.doubtful:
            self._refresh_soon()
        if change.listed:
            self._in_vain = 0
        if self.registry.listed:
            # Without the other calls the worker assumes an interval and flags the row.
            self.known.set()
            self._changed(change)
        return change

    def _one_each(self, call: RestCall, slices: Sequence[Slice]) -> Sequence[Slice]:
        """Leave out further entries of a contract; log once which contracts have some."""

        def status(piece: Slice) -> ContractStatus | None:
            listings = self._exchange.listings(call, [piece]) or ()
            return next((entry.status for entry in listings), None)

        def identity(piece: Slice) -> bytes:
            return self._exchange.fact_identity(call.resource, piece.payload)

        found = one_each(slices, status, identity)
        if found.twice != self._twice.get(call.resource, frozenset()):
            self._twice[call.resource] = found.twice
            if found.twice:
                feed, count, example = self._exchange.feed, len(found.twice), min(found.twice)
                log.warning(
                    "%s: %s names %d contracts more than once, among them %s: one entry counts",
                    feed,
                    call.resource,
                    count,
                    example,
                )
        return found.slices

    def _new_letters(self, resource: str, odd: Sequence[Slice]) -> list[Slice]:
        """Return the unreadable rows that the reply before did not have: each is one dead letter.

        Whoever asks every 10 minutes would make one of the same row each time.
        """
        before = self._letters.get(resource, frozenset())
        self._letters[resource] = frozenset(hash(piece.payload) for piece in odd)
        return [piece for piece in odd if hash(piece.payload) not in before]

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
        now_s = self._clock.monotonic_s()
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
        """Have the registry refreshed because a few contracts are silent: they may be delisted."""
        now_s = self._clock.monotonic_s()
        if self.known.is_set() and now_s - self._doubted_s >= self._times.doubt_every_s:
            self._doubted_s = now_s
            self._refresh_soon()

    def contradicted(self) -> None:
        """Have the registry refreshed because the stream contradicts what the list says.

        The caller bounds how often (producers/policy/contradictions.py).
        """
        if self.known.is_set():
            log.info("%s: the stream contradicts the list, it is asked for", self._exchange.feed)
            self._refresh_soon()

    def _refresh_soon(self) -> None:
        self._refreshes = 0
        self._wanted.set()
