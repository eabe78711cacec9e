"""REST replies of one feed: fetched, cut into pieces, published raw."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from producers.exchanges.spec import Exchange, RestCall, Slice, unreadable
from producers.kafka.publisher import Publisher, connection_id
from producers.rest.client import FOREGROUND_SHARE, TIMEOUT_S, RestClient, RestError
from schemas.clock import Clock
from schemas.control_items import MAX_UNREADABLE_BYTES, UNREADABLE
from schemas.errors import MalformedInputError
from schemas.records import Purpose

log = logging.getLogger(__name__)


MAX_PAGES = 20
"""Pages of one reply: a list that goes on behind them is refused as a whole."""


class RawReply(NamedTuple):
    """A usable reply: its pieces and its time of receipt, µs."""

    slices: Sequence[Slice]
    received_at: int


class _Page(NamedTuple):
    slices: Sequence[Slice]
    received_at: int
    following: RestCall | None


class RawReplies:
    """Fetches and publishes the replies of one feed, all under one connection id."""

    def __init__(
        self, exchange: Exchange, rest: RestClient, publisher: Publisher, clock: Clock
    ) -> None:
        self._exchange = exchange
        self._rest = rest
        self._publisher = publisher
        self._clock = clock
        self._identity = connection_id(exchange.feed, "rest", clock.now_us())

    async def fetch(
        self, call: RestCall, share: float = FOREGROUND_SHARE, timeout_s: float = TIMEOUT_S
    ) -> RawReply | None:
        """Return a reply with all of its pages; None if there is no usable one, which is logged."""
        pieces: list[Slice] = []
        for _ in range(MAX_PAGES):
            page = await self._page(call, share, timeout_s)
            if page is None:
                return None
            pieces += page.slices
            if page.following is None:
                return RawReply(pieces, page.received_at)
            call = page.following
        feed = self._exchange.feed
        log.warning(
            "%s: %s goes on behind %d pages, it is not used", feed, call.resource, MAX_PAGES
        )
        return None

    async def _page(self, call: RestCall, share: float, timeout_s: float) -> _Page | None:
        feed = self._exchange.feed
        try:
            body = await self._rest.fetch(call, share, timeout_s)
        except RestError as error:
            log.warning("%s: %s", feed, error)
            return None
        received_at = self._clock.now_us()
        try:
            slices = self._exchange.slice_reply(call, body)
            following = self._exchange.following_page(call, body)
        except MalformedInputError as error:
            log.warning("%s: unreadable %s: %s", feed, call.resource, error)
            whole = (Slice(None, body[:MAX_UNREADABLE_BYTES]),)
            await self._publish(UNREADABLE, "stream", whole, received_at)
            return None
        log_unreadable(feed, call.resource, slices)
        return _Page(slices, received_at, following)

    async def publish(
        self, call: RestCall, purpose: Purpose, slices: Sequence[Slice], received_at: int
    ) -> None:
        """Publish pieces of a call's reply."""
        await self._publish(call.resource, purpose, slices, received_at)

    async def _publish(
        self, channel: str, purpose: Purpose, slices: Sequence[Slice], received_at: int
    ) -> None:
        await self._publisher.publish(
            slices,
            transport="rest",
            purpose=purpose,
            channel=channel,
            connection_id=self._identity,
            received_at=received_at,
        )


def log_unreadable(feed: str, channel: str, slices: Sequence[Slice]) -> int:
    """Log the rows of a message that go to the dead letters; return how many they are."""
    odd = unreadable(slices)
    if odd:
        log.warning(
            "%s: %d unreadable rows in %s: %r", feed, len(odd), channel, odd[0].payload[:200]
        )
    return len(odd)
