"""Channels that are ours and no exchange's: how a producer tells the worker what it is doing.

Not responsible for: the exchanges' own channels (producers/exchanges).
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from schemas.errors import MalformedInputError
from schemas.symbols import MAX_SYMBOL_BYTES

BACKFILL_BEGIN = "fundingstream.backfill-begin"
BACKFILL_END = "fundingstream.backfill-end"
"""An item names a contract and has an empty payload (purpose `history`). Between begin and end the
contract's baseline is partial, so the worker withholds its z: a z-score over a third of the
settlements would be a wrong number that looks right."""

UNREADABLE = "fundingstream.unreadable"
"""The one item, without a symbol, is a whole message that could not be cut into pieces; the worker
sends it to the dead letters."""
MAX_UNREADABLE_BYTES = 1 << 20
"""A longer message is kept up to here."""

TICK = "fundingstream.tick"
"""One item without a symbol and payload, on each partition every TICK_S while its producer runs: it
carries the log's time over partitions in which nothing happens."""
TICK_S = 5.0

FEED_EVENT = "fundingstream.event"
"""Items without a symbol, on partition 0: what a producer decided, for the audit. The payload is a
FeedEvent."""

Time = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
"""µs since the epoch."""


class FeedEvent(msgspec.Struct, frozen=True):
    """A producer's decision, or what it saw of a feed; the worker makes an audit event of it."""

    kind: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_SYMBOL_BYTES)]
    subject: str
    """The feed, or one of its contracts."""
    first_event_time: Time
    last_event_time: Time
    """The time that it is about, from and to; µs since the epoch, by the producer's clock."""
    count: Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)] = 1
    detail: str = ""

    def pack(self) -> bytes:
        """Return the payload of an item."""
        return msgspec.json.encode(self)

    @classmethod
    def unpack(cls, payload: bytes) -> FeedEvent:
        """Read a payload.

        Raises:
            MalformedInputError: it is none.
        """
        try:
            return msgspec.json.decode(payload, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedInputError(f"not a feed event: {error}") from error
