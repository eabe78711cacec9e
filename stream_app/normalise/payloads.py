"""What all normalisers share: decoding by channel, and the check that a payload is the item's own.

Not responsible for: which channels an exchange has and what their fields mean (one module each).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias, TypeVar

import msgspec

from schemas.errors import MalformedInputError
from schemas.records import Purpose
from stream_app.normalise.readings import Normaliser, Reading

ANY_CHANNEL = "*"
"""In a table of readers: every channel of the purpose that has no reader of its own."""


class Item(NamedTuple):
    """What is known of a payload beside its bytes."""

    symbol: str
    received_at_us: int


PayloadReader: TypeAlias = Callable[[bytes, Item], Sequence[Reading]]
Row = TypeVar("Row")


def reader(row_type: type[Row], meaning: Callable[[Row, Item], Sequence[Reading]]) -> PayloadReader:
    """Return a function that decodes a payload as `row_type` and gives what it means.

    The function raises MalformedInputError for bytes of another shape.
    """
    decode = msgspec.json.Decoder(row_type).decode
    name = row_type.__name__.lstrip("_")

    def read(payload: bytes, item: Item) -> Sequence[Reading]:
        try:
            row = decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedInputError(f"not a {name}: {error}") from None
        return meaning(row, item)

    return read


def by_channel(readers: Mapping[tuple[Purpose, str], PayloadReader]) -> Normaliser:
    """Return the normaliser of a feed: a reader for each purpose and channel."""

    def normalise(
        purpose: Purpose, channel: str, symbol: str, payload: bytes, received_at_us: int
    ) -> Sequence[Reading]:
        read = readers.get((purpose, channel)) or readers.get((purpose, ANY_CHANNEL))
        if read is None:
            raise MalformedInputError(f"unknown channel {channel!r} for purpose {purpose!r}")
        readings = read(payload, Item(symbol, received_at_us))
        for reading in readings:
            if reading.symbol != symbol:
                raise MalformedInputError(
                    f"a row of {reading.symbol!r:.60} in an item of {symbol!r:.60}"
                )
        return readings

    return normalise
