"""Reads JSON of an exchange: typed decoders that raise one error, exact cuts, subscribe chunks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from producers.exchanges.spec import Slice, piece_of
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


class Rows(Generic[T]):
    """Reads arrays row by row: what one row holds costs none of the others.

    An array of which no row can be read is no array of this kind: it is refused as a whole, so that
    a changed format makes one dead letter of a message and not one of each row.
    """

    def __init__(self, kind: type[T], check: Callable[[T], object] = lambda _row: None) -> None:
        """`check` may refuse a row with MalformedInputError."""
        self._all: Callable[[Any], list[T]] = decoder(list[kind])  # type: ignore[valid-type]
        self._one: Callable[[Any], T] = decoder(kind)
        self._check = check

    def __call__(self, array: Any) -> list[tuple[T | None, bytes]]:
        """Return each row as it is read, None where it cannot be, and its exact bytes.

        Raises:
            MalformedInputError: no array, or one without a single readable row.
        """
        pieces = [bytes(raw) for raw in raws(array)]
        try:
            rows = self._all(array)
            for row in rows:
                self._check(row)
        except MalformedInputError as error:
            read = [(self._or_none(piece), piece) for piece in pieces]
            if all(row is None for row, _ in read):
                raise MalformedInputError(f"no readable row: {error}") from None
            return read
        return list(zip(rows, pieces, strict=True))

    def _or_none(self, piece: bytes) -> T | None:
        try:
            row = self._one(piece)
            self._check(row)
        except MalformedInputError:
            return None
        return row


def slices_of(
    rows: Iterable[tuple[T | None, bytes]], symbol: Callable[[T], str | None]
) -> list[Slice]:
    """Return a piece for each row, unreadable ones as such."""
    return [
        Slice(None, piece, readable=False) if row is None else piece_of(symbol(row), piece)
        for row, piece in rows
    ]


def micros(value: object, *, per_us: int = 1, us_per: int = 1) -> int | None:
    """Read the time of a frame; None: there is none, or it makes no sense.

    Units of `us_per` µs each, or `per_us` of them in a µs. It only tells how old a frame is, so an
    odd one costs neither its row nor its frame.
    """
    if type(value) is not int or not 0 < value < _MAX_TIME:
        return None
    return value * us_per // per_us


_MAX_TIME = 1 << 62
ABSENT = msgspec.Raw(b"")
"""Default of a key that may be missing; the text of one that is there is never empty. (msgspec
reads `Raw | None` as `None`.)"""


def present(raw: msgspec.Raw) -> bool:
    """Tell whether a key was there with a value: `null` says no more than an absent key."""
    return bytes(memoryview(raw)[:5]) not in {b"", b"null"}


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
    """The bytes of a frame before and behind a value, or the rows of an array or map, in it."""

    head: bytes
    tail: bytes

    def around(self, row: bytes) -> bytes:
        """Return the frame as it would read with this value, or with this single element."""
        return self.head + row + self.tail


def envelope(data: bytes, key: str, array: bytes) -> Envelope:
    """Find an array, or a map of rows, under a key of the frame's outermost object.

    Args:
        data: the frame.
        key: the key.
        array: the exact bytes of the array or map.

    Raises:
        MalformedInputError: it is not there.
    """
    start = _start_of(data, key, array)
    end = start + len(array)
    return Envelope(data[: start + 1], data[end - 1 :])


def surroundings(data: bytes, key: str, value: msgspec.Raw) -> Envelope:
    """Return what stands around a value that was decoded under a key of the outermost object.

    Raises:
        MalformedInputError: it is not there.
    """
    text = bytes(value)
    start = data.find(text)
    if start < 0 or data.find(text, start + 1) >= 0:
        start = _start_of(data, key, text)
    return Envelope(data[:start], data[start + len(text) :])


def _start_of(data: bytes, key: str, value: bytes) -> int:
    """Find where a value begins that stands under a key of the outermost object."""
    quoted = b'"' + key.encode() + b'"'
    depth, before, last = 0, b"", b""
    for match in _TOKEN.finditer(data):
        token = match[0]
        if depth == 1 and before == quoted and last == b":":
            if not data.startswith(value, match.start()):
                break
            return match.start()
        if token in b"{[":
            depth += 1
        elif token in b"}]":
            depth -= 1
        before, last = last, token
    raise MalformedInputError(f"no such value under {key!r}")


class Member(NamedTuple):
    """A row of an object whose keys name the rows."""

    key: str
    row: bytes
    """Its exact bytes."""
    member: bytes
    """Key and row as they stand in the object: what `Envelope.around` takes."""


_members: Callable[[Any], dict[str, msgspec.Raw]] = decoder(dict[str, msgspec.Raw])


def keyed_rows(table: bytes) -> list[Member]:
    """Return the rows of an object that is a map of rows; of a key that stands twice the last one.

    A key that is written with escapes is written anew in `Member.member`.

    Raises:
        MalformedInputError: no object.
    """
    found = []
    at = 0
    for key, raw in _members(table).items():
        row, quoted = bytes(raw), _ENCODER.encode(key)
        member, at = _member(table, at, quoted, row)
        found.append(Member(key, row, member))
    return found


_TRIES = 3
"""A key may hold what looks like its row; one that does so more often is written anew."""


def _member(table: bytes, since: int, quoted: bytes, row: bytes) -> tuple[bytes, int]:
    """Return a member as it stands in the table behind a place, and the place behind it."""
    start = since
    for _ in range(_TRIES):
        start = table.find(row, start)
        key_at = table.rfind(quoted, since, max(start, since))
        if start < 0:
            break
        if key_at >= 0 and table[key_at + len(quoted) : start].strip() == b":":
            return table[key_at : start + len(row)], start + len(row)
        start += 1
    return b"%b:%b" % (quoted, row), since


_fields: Callable[[Any], dict[str, msgspec.Raw]] = decoder(dict[str, msgspec.Raw])


def values_of(row: bytes, keys: Iterable[str]) -> bytes:
    """Return what stands under these keys of an object, for `Exchange.fact_identity`.

    Null says no more than an absent key.

    Raises:
        MalformedInputError: no object.
    """
    fields = _fields(row)
    values = [fields.get(key, ABSENT) for key in keys]
    return b"\n".join(bytes(value) if present(value) else b"" for value in values)


_MAX_TIME_DIGITS = 15


def time_or_none(value: object) -> int | None:
    """Read a time that is a number, or text of plain digits; None: it is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value) if len(value) <= _MAX_TIME_DIGITS else None
    return value if type(value) is int and 0 <= value < 10**_MAX_TIME_DIGITS else None


def time_of(value: object) -> int:
    """Read a time that is a number, or text of plain digits.

    Raises:
        MalformedInputError: it is none.
    """
    found = time_or_none(value)
    if found is None:
        shown = repr(value[:60]) if isinstance(value, str) else type(value).__name__
        raise MalformedInputError(f"not a time: {shown}")
    return found


_MIN_S, _MAX_S = 10**9, 10**10
"""Seconds from 2001 to 2286; the same years in ms do not overlap."""


def settled_ms(value: object) -> int:
    """Read when something settled, in ms: given in s or ms, as a number or as text of digits.

    The normalisers read the same ones (`stream_app.normalise.numbers.settled_us`). A time of no
    such size would end a walk through history that compares it with what is wanted.

    Raises:
        MalformedInputError: in neither unit does it lie between 2001 and 2286.
    """
    time = time_of(int(value) if isinstance(value, float) and value.is_integer() else value)
    if _MIN_S <= time < _MAX_S:
        return time * 1_000
    if _MIN_S * 1_000 <= time < _MAX_S * 1_000:
        return time
    raise MalformedInputError(f"not the time of a settlement: {time}")


Reply = TypeVar("Reply")
Code = TypeVar("Code")


def code_reader(kind: type[Reply], code: Callable[[Reply], Code]) -> Callable[[bytes], Code | None]:
    """Return a reader of the code in replies that tell of errors with HTTP 200.

    It returns None for what is no such reply: whoever reads the reply will say what is wrong.
    """
    read: Callable[[Any], Reply] = decoder(kind)

    def read_code(body: bytes) -> Code | None:
        try:
            return code(read(body))
        except MalformedInputError:
            return None

    return read_code


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
