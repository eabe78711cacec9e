"""What both Binance futures exchanges share: messages, replies, one pool of limits.

binance_usdm.py and binance_coinm.py hold hosts, streams, and how history is asked for
(docs/exchanges/binance-usdm.md, docs/exchanges/binance-coinm.md).
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from producers.exchanges.json_slicing import (
    ABSENT,
    Rows,
    decoder,
    first_byte,
    micros,
    present,
    raws,
    slices_of,
)
from producers.exchanges.spec import (
    Control,
    Exchange,
    Frame,
    Listing,
    PayloadFields,
    RateLimit,
    RestCall,
    Slice,
    piece_of,
)
from schemas.errors import MalformedInputError
from schemas.venues.binance import LIMITS_GROUP

HISTORY_LIMIT = 1000
WEIGHT = "weight"
WEIGHT_LIMIT = RateLimit(2400, 60.0)
"""One pool for fapi and dapi since 2026-06-30 (docs/exchanges/binance-usdm.md §9)."""
TICKER_WEIGHT = 40
"""Of ticker/24hr without a symbol (docs/exchanges/binance-usdm.md §9e, binance-coinm.md §6e)."""
USED_WEIGHT_HEADER = "X-MBX-USED-WEIGHT-1M"
SILENT_S = 10.0
CONTRACT_SILENT_S = 5.0
FALLBACK_S = 5.0
"""Twice within the stale threshold of 10 s; 120 of the 2400 weight a minute each."""
MAX_AGE_S = 23 * 3600.0
_MARK_PRICE = "markPriceUpdate"
_BANNED_UNTIL = re.compile(rb"banned until (\d{13})(?!\d)")
"""In the text of a 418 or 429: until when, ms since the epoch."""


class _Row(msgspec.Struct, gc=False):
    s: str
    event_ms: object = msgspec.field(name="E", default=None)
    event: object = msgspec.field(name="e", default=None)


class _Event(msgspec.Struct, gc=False):
    """What any event has; the API for orders wraps it once more (`{"event":{"e":…}}`)."""

    name: object = msgspec.field(name="e", default=None)
    wrapped: msgspec.Raw = msgspec.field(name="event", default=ABSENT)


class Named(Protocol):
    """An entry of exchangeInfo."""

    @property
    def symbol(self) -> str:
        """The contract."""
        ...


class _Named(msgspec.Struct, gc=False):
    symbol: str


class _Wrapped(msgspec.Struct, gc=False):
    data: msgspec.Raw
    stream: str | None = None


class _ExchangeInfo(msgspec.Struct, gc=False):
    symbols: msgspec.Raw


class Settled(msgspec.Struct, gc=False, rename="camel"):
    """A row of settled rates, as far as paging has to know it (docs/exchanges/binance-usdm.md §9b,
    binance-coinm.md §6b).
    """

    symbol: str
    funding_time: int


_rows = Rows(_Row)
_row: Callable[[Any], _Row] = decoder(_Row)
_event: Callable[[Any], _Event] = decoder(_Event)
_named = Rows(_Named)
_one_named: Callable[[Any], _Named] = decoder(_Named)
_wrapped: Callable[[Any], _Wrapped] = decoder(_Wrapped)
_exchange_info: Callable[[Any], _ExchangeInfo] = decoder(_ExchangeInfo)
settled = Rows(Settled)

PREMIUM_INDEX_FIELDS = PayloadFields(
    (
        *("symbol", "markPrice", "indexPrice", "estimatedSettlePrice", "lastFundingRate"),
        *("interestRate", "nextFundingTime", "time"),
    ),
    sometimes=("pair",),
)
"""docs/exchanges/binance-usdm.md §9a, binance-coinm.md §6a."""


def _event_us(rows: Iterable[_Row | None]) -> int | None:
    """Return when a frame was made: the newest event time in it.

    A frame cannot be older than any of its rows. A row that the exchange computed earlier than the
    others is no sign that the frame was long on its way, wherever in the array it stands.
    """
    times = (None if row is None else micros(row.event_ms, us_per=1_000) for row in rows)
    return max((time for time in times if time is not None), default=None)


def _other_event(name: object) -> str | None:
    """Return the name of an event that is no mark price; None: it is one, or does not say."""
    return name if isinstance(name, str) and name != _MARK_PRICE else None


def _other_event_of(data: Any) -> str | None:
    """Read the event of what cannot be read as mark prices, of an array by its first element."""
    try:
        if first_byte(memoryview(data)) == ord("["):
            data = next(iter(raws(data)), b"null")
        event = _event(data)
        return _other_event(_event(event.wrapped).name if present(event.wrapped) else event.name)
    except MalformedInputError:
        return None


class Binance(Exchange):
    """The common part of both descriptions."""

    silent_s = CONTRACT_SILENT_S
    fallback_s = FALLBACK_S
    limits_group = LIMITS_GROUP
    premium_index: RestCall
    listed: Callable[[Any], Sequence[tuple[Named | None, bytes]]]
    """Reads the entries of exchangeInfo, with all that `listing` looks at."""

    @abstractmethod
    def channel(self, stream: str) -> str:
        """Return the channel of a combined frame's stream; "" is a raw frame's."""

    @abstractmethod
    def listing(self, payload: bytes) -> Listing | None:
        """Read one entry of exchangeInfo; None: it is no perpetual. Raises MalformedInputError."""

    def snapshot_calls(self, symbols: Sequence[str]) -> Sequence[RestCall]:
        """One call brings all (docs/exchanges/binance-usdm.md §9a, binance-coinm.md §6a)."""
        del symbols
        return (self.premium_index,)

    def slice_frame(self, data: bytes) -> Frame:
        """Cut an array, a single row or a combined `{"stream":…,"data":…}` frame."""
        if first_byte(data) != ord("["):
            if b'"data"' in data[:512] or b'"stream"' in data[:512]:
                wrapped = _wrapped(data)
                return self._frame(wrapped.stream, memoryview(wrapped.data))
            if b'"result"' in data[:512] or b'"error"' in data[:512] or b'"code"' in data[:64]:
                return Frame("control", (), Control(refused=b'"result"' not in data[:512]))
        return self._frame("", data)

    def _frame(self, stream: str | None, data: bytes | memoryview) -> Frame:
        """Cut mark prices; any other event is named and left out (`serverShutdown`, §8)."""
        channel = self.channel(stream or "")
        try:
            rows = _rows(data) if first_byte(data) == ord("[") else [(_row(data), bytes(data))]
        except MalformedInputError:
            unknown = _other_event_of(data)
            if unknown is None:
                raise
            return Frame(channel, (), unknown=unknown)
        others = [
            _other_event_of(piece) if row is None else _other_event(row.event)
            for row, piece in rows
        ]
        unknown = next(filter(None, others), None)
        if unknown is not None:
            rows = [row for row, other in zip(rows, others, strict=True) if other is None]
        pieces = slices_of(rows, lambda row: row.s)
        return Frame(channel, pieces, event_us=_event_us(row for row, _ in rows), unknown=unknown)

    def slice_reply(self, call: RestCall, body: bytes) -> Sequence[Slice]:
        """Cut a reply into one piece per row; a bare object (`symbol=`) is one row."""
        if call.resource == "exchangeInfo":
            return self._entries(_exchange_info(body).symbols)
        if first_byte(body) != ord("["):
            return [piece_of(_one_named(body).symbol, body)]
        return slices_of(_named(body), lambda row: row.symbol)

    def _entries(self, array: msgspec.Raw) -> list[Slice]:
        return slices_of(self.listed(array), lambda entry: entry.symbol)

    def listings(self, call: RestCall, slices: Sequence[Slice]) -> Iterable[Listing] | None:
        """Read exchangeInfo; the other replies do not say."""
        if call.resource != "exchangeInfo":
            return None
        entries = (self.listing(piece.payload) for piece in slices if piece.readable)
        return [entry for entry in entries if entry is not None]

    def retry_after_s(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> float | None:
        """Read Retry-After and until when the text of a ban says that it lasts: the later counts.

        A ban's Retry-After may be 0 (docs/exchanges/binance-usdm.md §9).
        """
        match = _BANNED_UNTIL.search(body)
        banned_s = None if match is None else (int(match[1]) - now_ms) / 1_000
        told_s = super().retry_after_s(headers, body, now_ms)
        return max((term_s for term_s in (told_s, banned_s) if term_s is not None), default=None)

    def used(self, headers: Mapping[str, str]) -> Mapping[str, int]:
        """Read X-MBX-USED-WEIGHT-1M."""
        text = headers.get(USED_WEIGHT_HEADER, "")
        usable = text.isascii() and text.isdigit() and len(text) < 12
        return {WEIGHT: int(text)} if usable else {}
