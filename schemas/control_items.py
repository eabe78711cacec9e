"""Channels that no exchange has: on them a producer tells the worker what it does."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from schemas.audit_facts import NO_FACTS, AuditFacts
from schemas.audit_kinds import AuditKind
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
"""Items without a symbol, on partition 0, whose payload is a FeedEvent: what a producer decided,
for the audit."""

Time = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
"""µs since the epoch."""


_KINDS = frozenset(AuditKind)


class _Named(msgspec.Struct):
    """The kind of an event, whichever version of the producers wrote it."""

    kind: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_SYMBOL_BYTES)]
    detail: str = ""


class FeedEvent(msgspec.Struct, frozen=True):
    """What a producer decided about a feed or saw of it; the worker makes an audit event of it."""

    kind: AuditKind
    subject: str
    """The feed, or one of its contracts."""
    first_event_time: Time
    last_event_time: Time
    """The time span that it is about; µs since the epoch, by the producer's clock."""
    count: Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)] = 1
    detail: str = ""
    """One sentence for people."""
    facts: AuditFacts = NO_FACTS

    def pack(self) -> bytes:
        """Return the payload of an item."""
        return msgspec.json.encode(self)

    @classmethod
    def unpack(cls, payload: bytes) -> FeedEvent:
        """Read a payload of this version or another one.

        An event of a kind that is not enumerated is of the kind `other`, and its detail begins with
        the kind.

        Raises:
            MalformedInputError: the payload is no event.
        """
        try:
            named = msgspec.json.decode(payload, type=_Named)
            if named.kind in _KINDS:
                return msgspec.json.decode(payload, type=cls)
            fields = msgspec.json.decode(payload, type=dict[str, Any])
            fields |= {"kind": AuditKind.OTHER, "detail": f"{named.kind}: {named.detail}"}
            return msgspec.convert(fields, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedInputError(f"not a feed event: {error}") from error
