"""The raw item at hand: its place in the log, and what its record says of it."""

from __future__ import annotations

from copy import copy
from zlib import crc32

from schemas.serde.raw_frames import RawFrame
from stream_app.core.state.waiting_room import WaitingItem


class ItemContext:
    """The place of the item at hand in the log, and what its record says of it.

    There is one object for a record: `item` and `received_at` change from item to item.
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
        frame: RawFrame,
        boundary: int,
        now_us: int,
    ) -> None:
        """`boundary`: the flush boundary (µs) at or before the record's receipt."""
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.applied_by = offset
        """Offset of the record that changes the state: the item's own, or that of the listing if it
        waited for its contract to be listed."""
        self.applied_item = -1
        """Item of that listing; −1: the item did not wait."""
        self.feed = frame.feed
        self.connection = crc32(frame.connection_id.encode())
        """A number that identifies the connection: its id is text of any length."""
        self.transport = frame.transport
        self.purpose = frame.purpose
        self.channel = frame.channel
        self.is_stream = frame.is_stream
        self.batch_received_at = frame.received_at
        self.boundary = boundary
        self.now_us = now_us
        self.item = -1
        self.received_at = 0

    @property
    def place(self) -> tuple[int, int]:
        """Offset and item of the log at which the item at hand is applied."""
        return self.applied_by, self.item if self.applied_item < 0 else self.applied_item

    def of_waiting(self, waiting: WaitingItem) -> ItemContext:
        """Return the context of an item that waited: applied now, with its own coordinates."""
        at = copy(self)
        at.applied_item = self.item
        at.offset, at.item = waiting.raw_offset, waiting.raw_item
        at.received_at = at.batch_received_at = waiting.received_at
        at.purpose, at.transport = waiting.purpose, waiting.transport
        at.channel, at.connection = waiting.channel, waiting.connection
        at.is_stream = waiting.purpose == "stream" and waiting.transport == "ws"
        return at
