"""What all normalisers share: decoding by channel, and the check whose row a payload is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from schemas.errors import MalformedInputError
from schemas.records import Purpose, RawItem
from stream_app.model import ReadItem, SettledColumns, StreamColumns, Unreadable, Update
from stream_app.normalise.columns import ColumnReader

ANY_CHANNEL = "*"
"""In a table of readers: every channel of the purpose that has no reader of its own."""
MIN_TOGETHER = 4
"""Fewer payloads than this are as quick to read one by one."""


def with_faults(symbol: str, faults: Sequence[str], *updates: Update) -> Sequence[Update]:
    """Return the updates of a row, and what of the row could not be read, if anything."""
    return (*updates, Unreadable(symbol, "; ".join(faults))) if faults else updates


class Item(NamedTuple):
    """What is known of a payload beside its bytes."""

    symbol: str
    received_at_us: int


Row = TypeVar("Row")


class PayloadReader(Generic[Row]):
    """Decodes payloads of one shape, and tells what they mean."""

    def __init__(
        self, row_type: type[Row], meaning: Callable[[Row, Item], Sequence[Update]]
    ) -> None:
        """`meaning` raises MalformedInputError for values that make no sense."""
        self.row_type = row_type
        self._name = row_type.__name__.lstrip("_")
        self._meaning = meaning
        self._decode = msgspec.json.Decoder(row_type).decode
        self._decode_all = msgspec.json.Decoder(list[row_type]).decode  # type: ignore[valid-type]

    def one(self, payload: bytes, item: Item) -> Sequence[Update]:
        """Read a payload.

        Raises:
            MalformedInputError: it has another shape, or is another contract's.
        """
        try:
            row = self._decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedInputError(f"not a {self._name}: {error}") from None
        return self._read(row, item)

    def all(self, items: Sequence[RawItem]) -> list[ReadItem] | None:
        """Read the payloads of many items by decoding them as one array, at half the cost.

        None if they are not all of this shape, or some have no symbol: then each must be read
        alone. Payloads are JSON values cut by our own slicers: pieces that are JSON only when they
        are put together are not told from whole ones.
        """
        payloads = [item["payload"] for item in items]
        if not all(p[:1] == b"{" and p[-1:] == b"}" for p in payloads):
            return None
        try:
            rows = self._decode_all(b"[%b]" % b",".join(payloads))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if len(rows) != len(items):
            return None
        found: list[ReadItem] = []
        for row, item in zip(rows, items, strict=True):
            symbol = item["symbol"]
            if symbol is None:
                return None
            try:
                found.append(self._read(row, Item(symbol, item["received_at"])))
            except MalformedInputError as error:
                found.append(error)
        return found

    def _read(self, row: Row, item: Item) -> Sequence[Update]:
        updates = self._meaning(row, item)
        for update in updates:
            if update.symbol != item.symbol:
                raise MalformedInputError(
                    f"a row of {update.symbol!r:.60} in an item of {item.symbol!r:.60}"
                )
        return updates


class ChannelNormaliser:
    """The normaliser of a feed: a reader for each purpose and channel."""

    def __init__(
        self,
        readers: Mapping[tuple[Purpose, str], PayloadReader[Any]],
        column_readers: Mapping[str, ColumnReader[Any, StreamColumns]] | None = None,
        settled_readers: Mapping[str, ColumnReader[Any, SettledColumns]] | None = None,
    ) -> None:
        """`column_readers`: of streams by channel, where many updates can be read at once.

        `settled_readers`: the same of the history.
        """
        self._readers = readers
        self._settled_readers = settled_readers or {}
        self._column_readers = column_readers or {}

    def __call__(
        self, purpose: Purpose, channel: str, symbol: str, payload: bytes, received_at_us: int
    ) -> Sequence[Update]:
        """Read one payload."""
        reader = self.reader(purpose, channel)
        if reader is None:
            raise MalformedInputError(f"unknown channel {channel!r} for purpose {purpose!r}")
        return reader.one(payload, Item(symbol, received_at_us))

    def frame(
        self, purpose: Purpose, channel: str, items: Sequence[RawItem]
    ) -> list[ReadItem] | None:
        """Read all items of a batch at once; None if they must be read one by one."""
        if len(items) < MIN_TOGETHER:
            return None
        reader = self.reader(purpose, channel)
        return None if reader is None else reader.all(items)

    def reader(self, purpose: Purpose, channel: str) -> PayloadReader[Any] | None:
        """Return the reader of a purpose and channel; None if no such payloads are known."""
        return self._readers.get((purpose, channel)) or self._readers.get((purpose, ANY_CHANNEL))

    def column_reader(self, channel: str) -> ColumnReader[Any, StreamColumns] | None:
        """Return what reads many updates of a channel of the stream at once; None: nothing does."""
        return self._column_readers.get(channel) or self._column_readers.get(ANY_CHANNEL)

    def settled_reader(self, channel: str) -> ColumnReader[Any, SettledColumns] | None:
        """Return what reads many settlements of a channel of the history at once; None: nothing."""
        return self._settled_readers.get(channel)
