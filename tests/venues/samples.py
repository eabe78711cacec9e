"""Messages of every registered venue, for the suites that run over all of them.

Each venue's are in the module of its name beside this one: `SAMPLES` for the contract suite, and
`PAYLOADS`, from which the property tests and fuzzers of normalisers and slicers start. They are
written from docs/exchanges, and every field has a value of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal, NamedTuple

from producers.exchanges.spec import Control, Slice
from schemas.feeds import FEEDS, spec
from schemas.records import Purpose
from stream_app.model import Update

RECEIVED_AT_US = 1_790_000_123_456_789
"""2026-09-21 14:15:23 UTC; the payloads are of that minute."""

Piece = tuple[str | None, bytes]


@dataclass(frozen=True)
class Expected:
    """What a data frame is cut into."""

    channel: str
    symbols: Sequence[str]
    payloads: Callable[[bytes], Sequence[bytes]] = lambda frame: [frame]
    published: bool = True
    event_us: int | None = None


@dataclass(frozen=True)
class Samples:
    """One exchange's messages. `pieces` and `listed` are by resource, as `replies`."""

    data: Sequence[tuple[bytes, Expected]]
    control: Sequence[tuple[bytes, Control]]
    replies: Mapping[str, bytes]
    pieces: Mapping[str, Sequence[Piece]]
    listed: Mapping[str, Mapping[str, bool]]
    history_symbol: str
    history_page: bytes
    history_rows: Sequence[bytes]
    history_time: str
    """The field of a settled row that says when."""
    unknown: Sequence[tuple[bytes, str]] = ()
    """Frames of events that are not read, and what those are called."""
    composed: frozenset[str] = frozenset()
    """Resources whose pieces are put together of several parts of the reply."""
    history_empty: bytes = b"[]"
    history_span: tuple[int, int] = field(default=(1_790_000_000_000, 1_790_030_000_000))


def just(*payloads: bytes) -> Callable[[bytes], Sequence[bytes]]:
    """These payloads."""
    return lambda _frame: payloads


def in_its_frame(piece: Slice) -> bytes:
    """A piece in the form in which it is published; a row of changes as it was sent."""
    if piece.partial is None:
        return piece.payload
    return piece.partial.head + piece.payload + piece.partial.tail


def array(*rows: bytes) -> bytes:
    """A JSON array of rows."""
    return b"[" + b", ".join(rows) + b"]"


class Sample(NamedTuple):
    """A payload and the item that it stands in."""

    feed: str
    purpose: Purpose
    channel: str
    symbol: str
    row: Any
    wrap: Callable[[Any], Any] | None = None
    """Makes the whole message of the row; None: a frame is the row, a reply is an array of it."""
    asked: bool = True
    """False: no call asks for this resource."""

    @property
    def payload(self) -> bytes:
        """The row as it is sent."""
        return json.dumps(self.row, ensure_ascii=False).encode()

    @property
    def message(self) -> bytes:
        """The whole message as the exchange sends it."""
        if self.wrap is not None:
            whole = self.wrap(self.row)
        else:
            whole = self.row if self.purpose == "stream" else [self.row]
        return json.dumps(whole, ensure_ascii=False).encode()


class Captured(NamedTuple):
    """A message that somebody captured from the exchange; the files are outside of the repository.

    `means` is what the normaliser makes of the piece of `symbol` (of all rows of a page of history,
    oldest first), written from what the file's index states; empty where only the cutting is
    checked.
    """

    file: str
    kind: Literal["data", "control", "ignored", "refused", "reply", "history", "barred"]
    """A data frame, one without data, one that is not published, one that cannot be read; the body
    of a REST reply, of a page of settled rates, of one that tells of too many calls."""
    channel: str = ""
    """Of a data frame; the REST resource of a reply."""
    symbol: str = ""
    purpose: Purpose = "stream"
    means: tuple[Update, ...] = ()
    symbols: Sequence[str | None] | None = None
    """All contracts that it is cut into, in order; None: it is checked that `symbol` is one."""
    received_at_us: int = RECEIVED_AT_US
    around: tuple[bytes, bytes] = (b"", b"")
    """What stands around it in the exchange's message, where a part of one was captured."""


@dataclass(frozen=True)
class ContractList:
    """The reply of a venue's first call for facts, as its page describes it."""

    reply: Callable[[Sequence[str]], str]
    """The whole reply with some entries, each of them a JSON text."""
    entry: Callable[[str], Mapping[str, Any]]
    """An entry with what it must have, of a contract with this name that trades."""
    optional: Sequence[str]
    """Fields of an entry that may be null or absent."""
    unlistable: Mapping[str, Any]
    """A field of an entry with a value of a kind that it never has."""
    names: tuple[str, str] = ("A", "B")
    """Names that contracts can have."""
    odd_names: Sequence[str] = ("", " ", "-")
    """Names that are none; no names where an entry cannot lack one."""


@dataclass(frozen=True)
class Documented:
    """What a venue's page states of it, to which its description is held."""

    sockets: Sequence[str]
    """The addresses of its sockets, in the order of their kinds."""
    rest_url: str
    costs: Mapping[str, Sequence[int]]
    """What a call for facts or current rates draws from each pool, by resource."""
    contracts: ContractList
    server_pings: bool = False
    """True: the server asks whether the client lives, which need not ask itself."""
    rows_in: frozenset[str] = frozenset({"data", "d", "symbols"})
    """Keys of a message below which its rows are."""
    keyed_in: frozenset[str] = frozenset()
    """Keys of a message whose values are maps of rows."""
    joined: bool = False
    """True: rows are joined by their places, so that an odd one cannot stand among them."""


def listed(*rows: str, before: str = "[", after: str = "]") -> str:
    """A reply with rows in an array."""
    return f"{before}{','.join(rows)}{after}"


def documented(feed: str) -> Documented:
    """What the page of a feed states."""
    found: Documented = module_of(feed).DOCUMENTED
    return found


def captured(feed: str) -> Sequence[Captured]:
    """The captured messages of a feed."""
    found: Sequence[Captured] = getattr(module_of(feed), "CAPTURED", ())
    return found


def module_of(feed: str) -> Any:
    """Return the module of this repository's feed; another's is `samples` by its description."""
    package, _, name = spec(feed).description.rpartition(".")
    own = package == "producers.exchanges"
    return import_module(f"tests.venues.{name}" if own else f"{package}.samples")


def samples(feed: str) -> Samples:
    """The messages of a feed for the contract suite."""
    found: Samples = module_of(feed).SAMPLES
    return found


def payloads() -> tuple[Sample, ...]:
    """A valid payload for every feed, purpose and channel."""
    return tuple(sample for feed in FEEDS for sample in module_of(feed).PAYLOADS)
