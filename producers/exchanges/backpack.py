"""Backpack (docs/exchanges/backpack.md): one stream per contract on one socket, without acks.

The newest row of history is an interval still running; it is published as it is, and the normaliser
tells it from settled ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from producers.exchanges.history_paging import Offset, PerSymbolWalk, SettledRow, Span
from producers.exchanges.json_slicing import (
    ABSENT,
    Rows,
    chunks,
    decoder,
    json_text,
    micros,
    present,
    slices_of,
)
from producers.exchanges.spec import (
    NO_KEYS,
    Control,
    Exchange,
    Frame,
    HistoryWalk,
    Listing,
    PayloadFields,
    RateLimit,
    RestCall,
    Slice,
    SocketKind,
    SubscribeFrame,
    optional,
    piece_of,
)
from schemas.errors import MalformedInputError
from schemas.venues.backpack import FEED

HISTORY_LIMIT = 1000
STREAMS_PER_FRAME = 90
"""91 in one frame were seen to work (§1)."""
STREAMS_PER_SOCKET = 500
SILENT_S = 10.0
CONTRACT_SILENT_S = 5.0
FALLBACK_S = 5.0
MAX_AGE_S = 23 * 3600.0
"""No lifetime is documented (§1)."""
MAX_SNAPSHOT_AGE_S = 5
"""The CDN may serve an old reply, and says how old (§4a)."""
CHANNEL = "markPrice"
_REQUESTS = "requests"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Message(msgspec.Struct, gc=False):
    stream: str | None = None
    data: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


class _Made(msgspec.Struct, gc=False):
    event_us: object = msgspec.field(name="E", default=None)


class _Named(msgspec.Struct, gc=False):
    symbol: str


class _Market(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    market_type: str | None = None
    order_book_state: str | None = None


class _Settled(msgspec.Struct, gc=False, rename="camel"):
    interval_end_timestamp: str


_message: Callable[[Any], _Message] = decoder(_Message)
_made: Callable[[Any], _Made] = decoder(_Made)
_named = Rows(_Named)
_markets = Rows(_Market)
_market: Callable[[Any], _Market] = decoder(_Market)


def _frames(method: str, symbols: Sequence[str]) -> list[SubscribeFrame]:
    return [
        SubscribeFrame(
            json_text({"method": method, "params": [f"{CHANNEL}.{symbol}" for symbol in chunk]}),
            chunk,
        )
        for chunk in chunks(symbols, STREAMS_PER_FRAME)
    ]


def _call(symbol: str, span: Span) -> RestCall:
    # Newest first, one row an hour, and the one still running: no more than the span has (§4b).
    limit = min(HISTORY_LIMIT, span.hours + 2)
    params = {"symbol": symbol, "limit": str(limit), "offset": str(span.offset)}
    return RestCall("fundingRates", "/api/v1/fundingRates", params, {_REQUESTS: 1})


@lru_cache(maxsize=4_096)  # all contracts settle at the same hours
def _time_ms(text: str) -> int:
    """Read a naive ISO time, which is UTC (§4b)."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise MalformedInputError(f"not an ISO time: {text!r:.60}") from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return (time - _EPOCH) // timedelta(milliseconds=1)


_settled = Rows(_Settled, check=lambda row: _time_ms(row.interval_end_timestamp))


def _read(body: bytes) -> list[SettledRow]:
    return [
        SettledRow(_time_ms(row.interval_end_timestamp) if row else None, piece)
        for row, piece in _settled(body)
    ]


class Backpack(Exchange):
    """The description."""

    feed = FEED.name
    rest_url = "https://api.backpack.exchange"
    silent_s = CONTRACT_SILENT_S
    fallback_s = FALLBACK_S
    limits: Mapping[str, RateLimit] = {_REQUESTS: RateLimit(5, 1.0)}
    limits_group = "backpack"
    fact_calls = (
        RestCall("markets", "/api/v1/markets", {"marketType": "PERP"}, {_REQUESTS: 1}),
        optional(RestCall("tickers", "/api/v1/tickers", costs={_REQUESTS: 1}, every=2)),
        optional(RestCall("openInterest", "/api/v1/openInterest", costs={_REQUESTS: 1}, every=2)),
    )
    documented: Mapping[str, PayloadFields] = {
        CHANNEL: PayloadFields(("stream", *(f"data.{name}" for name in "eETspifn")), every_s=1.0),
        "markPrices": PayloadFields(
            ("symbol", "markPrice", "indexPrice", "fundingRate", "nextFundingTimestamp")
        ),
        "fundingRates": PayloadFields(("symbol", "fundingRate", "intervalEndTimestamp")),
    }
    true_up_calls_per_hour = 6
    socket_kinds = (
        SocketKind(
            "mark-price",
            SILENT_S,
            MAX_AGE_S,
            urls=("wss://ws.backpack.exchange/",),
            capacity=STREAMS_PER_SOCKET,
            subscribe=lambda symbols: _frames("SUBSCRIBE", symbols),
            unsubscribe=lambda symbols: _frames("UNSUBSCRIBE", symbols),
        ),
    )

    def snapshot_calls(self, symbols: Sequence[str]) -> Sequence[RestCall]:
        """One call brings all (§4a)."""
        del symbols
        return (RestCall("markPrices", "/api/v1/markPrices", costs={_REQUESTS: 1}),)

    def slice_frame(self, data: bytes) -> Frame:
        """A row is one piece; its symbol follows the first dot of the stream (§2)."""
        message = _message(data)
        channel, dot, symbol = (message.stream or "").partition(".")
        if dot and channel != CHANNEL and present(message.data):
            return Frame(channel, (), unknown=channel)
        if dot and symbol and present(message.data):
            return Frame(
                channel, [piece_of(symbol, data)], event_us=micros(_made(message.data).event_us)
            )
        if present(message.error):
            return Frame("control", (), Control(refused=True))
        raise MalformedInputError("neither a stream's data nor an error")

    def slice_reply(self, call: RestCall, body: bytes) -> Sequence[Slice]:
        """Cut a reply into one piece per row."""
        if call.resource == "markets":
            return slices_of(_markets(body), lambda market: market.symbol)
        return slices_of(_named(body), lambda row: row.symbol)

    def listings(self, call: RestCall, slices: Sequence[Slice]) -> Iterable[Listing] | None:
        """Perpetuals, streaming while their book is Open (§3)."""
        if call.resource != "markets":
            return None
        entries = (_market(piece.payload) for piece in slices if piece.readable)
        return [
            Listing(entry.symbol, FEED.status_of(entry.order_book_state))
            for entry in entries
            if entry.market_type == "PERP"
        ]

    def history(
        self,
        symbols: Sequence[str],
        since_ms: int,
        until_ms: int,
        keys: Mapping[str, str] = NO_KEYS,
    ) -> HistoryWalk:
        """Walk one contract, newest first (§4b): the days that are wanted are one call."""
        del keys
        (symbol,) = symbols
        span = Span(since_ms, until_ms)
        return PerSymbolWalk(symbol, span, Offset(min(HISTORY_LIMIT, span.hours + 2)), _call, _read)

    def fault(self, call: RestCall, headers: Mapping[str, str], body: bytes) -> str | None:
        """Refuse a snapshot that is older than it may be."""
        del body
        age = headers.get("age", "")
        if call.resource == "markPrices" and age.isascii() and age.isdigit():
            age_s = min(int(age[:12]), 10**9)
            if age_s > MAX_SNAPSHOT_AGE_S:
                return f"the reply is {age_s} s old"
        return None


EXCHANGE = Backpack()
