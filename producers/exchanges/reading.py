"""Reading JSON of an exchange: typed decoders that raise one error, exact cuts, subscribe chunks.

Not responsible for: any exchange's fields (its own module).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import msgspec

from schemas.errors import MalformedInputError

T = TypeVar("T")

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s"{}\[\],:]+')


def decoder(kind: type[T] | Any) -> Callable[[Any], T]:
    """Return a decoder of one JSON type whose only error is MalformedInputError."""
    decode = msgspec.json.Decoder(kind).decode

    def checked(data: Any) -> T:
        try:
            value: T = decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedInputError(f"not as documented: {error}") from None
        return value

    return checked


raws: Callable[[Any], list[msgspec.Raw]] = decoder(list[msgspec.Raw])
"""The elements of an array as their exact bytes."""

ABSENT = msgspec.Raw(b"")
"""Default of a key that may be missing; its text, `null` included, is never empty. (msgspec reads
`Raw | None` as `None`.)"""


def present(raw: msgspec.Raw) -> bool:
    """Tell whether a key was there."""
    return bool(memoryview(raw))


_ENCODER = msgspec.json.Encoder()


def json_text(value: Any) -> str:
    """Write what we send."""
    return _ENCODER.encode(value).decode()


def first_byte(data: bytes | memoryview) -> int:
    """Return the first byte that is no white space, 0 if there is none in the first 64."""
    for byte in bytes(data[:64]):
        if byte not in b" \t\r\n":
            return byte
    return 0


class Envelope(NamedTuple):
    """The bytes of a frame before the first and behind the last element of an array in it."""

    head: bytes
    tail: bytes

    def around(self, row: bytes) -> bytes:
        """Return the frame as it would read with a single row."""
        return self.head + row + self.tail


def envelope(data: bytes, key: str, array: bytes) -> Envelope:
    """Find an array that stands under a key of the frame's outermost object.

    Args:
        data: the frame.
        key: the key.
        array: the array's exact bytes.

    Raises:
        MalformedInputError: it is not there.
    """
    quoted = b'"' + key.encode() + b'"'
    depth, before, last = 0, b"", b""
    for match in _TOKEN.finditer(data):
        token = match[0]
        if depth == 1 and before == quoted and last == b":":
            start = match.start()
            if not data.startswith(array, start):
                break
            end = start + len(array)
            return Envelope(data[: start + 1], data[end - 1 :])
        if token in b"{[":
            depth += 1
        elif token in b"}]":
            depth -= 1
        before, last = last, token
    raise MalformedInputError(f"no array under {key!r}")


def percent(text: str) -> str:
    """Quote text for the query of a URL."""
    return "".join(
        chr(byte) if (chr(byte).isalnum() and byte < 128) or byte in b"-_.~" else f"%{byte:02X}"
        for byte in text.encode("utf-8", "surrogatepass")
    )


def chunks(symbols: Iterable[str], size: int) -> Iterable[tuple[str, ...]]:
    """Cut symbols into tuples of at most `size`."""
    rest = iter(symbols)
    while chunk := tuple(islice(rest, size)):
        yield chunk
