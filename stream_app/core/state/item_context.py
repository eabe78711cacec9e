"""The raw item at hand: where it stands in the log and what its batch says of it. Pure."""

from __future__ import annotations

from copy import copy
from typing import NamedTuple
from zlib import crc32

from schemas.records import IntervalSource, RawBatch
from stream_app.core.state.waiting_room import WaitingItem


class ItemContext:
    """Where the item at hand stands in the log, and what its batch says.

    One object for a batch: `item` and `received_at` move on.
    """

    __slots__ = (
        "applied_by",
        "applied_item",
        "batch_received_at",
        "boundary",
        "channel",
        "connection",
        "feed",
        "is_stream",
        "item",
        "now_us",
        "offset",
        "partition",
        "purpose",
        "received_at",
        "topic",
        "transport",
    )

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        batch: RawBatch,
        boundary: int,
        now_us: int,
    ) -> None:
        """`boundary`: the flush boundary at or before the batch."""
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.applied_by = offset
        """Offset of the record that brings the item into the state: its own, or, of an item that
        waited for its contract to be listed, that of the listing."""
        self.applied_item = -1
        """The listing's item; −1: it did not wait."""
        self.feed = batch["feed"]
        self.connection = crc32(batch["connection_id"].encode())
        """A number that tells connections apart: their ids have no bound."""
        self.transport = batch["transport"]
        self.purpose = batch["purpose"]
        self.channel = batch["channel"]
        self.is_stream = batch["purpose"] == "stream" and batch["transport"] == "ws"
        self.batch_received_at = batch["received_at"]
        self.boundary = boundary
        self.now_us = now_us
        self.item = -1
        self.received_at = 0

    @property
    def place(self) -> tuple[int, int]:
        """Offset and item in whose turn the item at hand is applied."""
        return self.applied_by, self.item if self.applied_item < 0 else self.applied_item

    def of_waiting(self, waiting: WaitingItem) -> ItemContext:
        """Return the position of an item that has waited and is applied now, in its own place."""
        at = copy(self)
        at.applied_item = self.item
        at.offset, at.item = waiting.raw_offset, waiting.raw_item
        at.received_at = at.batch_received_at = waiting.received_at
        at.purpose, at.transport = waiting.purpose, waiting.transport
        at.channel, at.connection = waiting.channel, waiting.connection
        at.is_stream = waiting.purpose == "stream" and waiting.transport == "ws"
        return at


class Interval(NamedTuple):
    """A funding interval and where it was learnt."""

    hours: float
    source: IntervalSource
