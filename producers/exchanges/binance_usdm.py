"""Binance USD-M (exchanges.md §1): one array stream, three REST resources, one history walk.

Not responsible for: what a row means (stream_app/normalise/binance_usdm.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from producers.exchanges.description import (
    Frame,
    HeartbeatKind,
    HistoryPage,
    HistoryWalk,
    Listing,
    RateLimit,
    RestCall,
    Slice,
    SocketPlan,
)
from schemas.errors import MalformedInputError

STREAM = "!markPrice@arr@1s"
PERPETUAL_TYPES = frozenset({"PERPETUAL", "TRADIFI_PERPETUAL"})
"""A filter on PERPETUAL alone loses about 170 equity and commodity contracts (§1.8)."""
STREAMING_STATUS = "TRADING"
HISTORY_LIMIT = 1000
_WEIGHT = "weight"
_FUNDING = "funding"
USED_WEIGHT_HEADER = "X-MBX-USED-WEIGHT-1M"


class _Row(msgspec.Struct, gc=False):
    s: str


class _Named(msgspec.Struct, gc=False):
    symbol: str


class _Listed(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    status: str | None = None
    contract_type: str | None = None


class _Settled(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    funding_time: int


class _Wrapped(msgspec.Struct, gc=False):
    data: msgspec.Raw
    stream: str = ""


class _ExchangeInfo(msgspec.Struct, gc=False):
    symbols: list[msgspec.Raw]


T = TypeVar("T")


def _decoder(kind: type[T] | Any) -> Callable[[Any], T]:
    decode = msgspec.json.Decoder(kind).decode

    def checked(data: Any) -> T:
        try:
            value: T = decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedInputError(f"binance-usdm: {error}") from None
        return value

    return checked


_rows: Callable[[Any], list[_Row]] = _decoder(list[_Row])
_row: Callable[[Any], _Row] = _decoder(_Row)
_named: Callable[[Any], list[_Named]] = _decoder(list[_Named])
_one_named: Callable[[Any], _Named] = _decoder(_Named)
_raws: Callable[[Any], list[msgspec.Raw]] = _decoder(list[msgspec.Raw])
_wrapped: Callable[[Any], _Wrapped] = _decoder(_Wrapped)
_listed: Callable[[Any], _Listed] = _decoder(_Listed)
_exchange_info: Callable[[Any], _ExchangeInfo] = _decoder(_ExchangeInfo)
_settled: Callable[[Any], list[_Settled]] = _decoder(list[_Settled])


def _first_byte(data: bytes | memoryview) -> int:
    for byte in bytes(data[:64]):
        if byte not in b" \t\r\n":
            return byte
    return 0


def _array(data: bytes | memoryview) -> list[Slice]:
    return [Slice(row.s, bytes(raw)) for row, raw in zip(_rows(data), _raws(data), strict=True)]


def _slice(channel: str, data: bytes | memoryview) -> Frame:
    if _first_byte(data) == ord("["):
        return Frame(channel, _array(data))
    return Frame(channel, [Slice(_row(data).s, bytes(data))])


class BinanceUsdm:
    """The description. One connection carries everything (§1.10)."""

    feed = "binance-usdm"
    ws_url = "wss://fstream.binance.com"
    rest_url = "https://fapi.binance.com"
    heartbeat: HeartbeatKind = "server_ping"
    silent_s = 10.0
    max_age_s = 23 * 3600.0
    limits: Mapping[str, RateLimit] = {
        _WEIGHT: RateLimit(2400, 60.0),
        _FUNDING: RateLimit(500, 300.0),
    }
    fact_calls: Sequence[RestCall] = (
        RestCall("exchangeInfo", "/fapi/v1/exchangeInfo", costs={_WEIGHT: 1}),
        RestCall("fundingInfo", "/fapi/v1/fundingInfo", costs={_FUNDING: 1}),
    )
    snapshot_calls: Sequence[RestCall] = (
        RestCall("premiumIndex", "/fapi/v1/premiumIndex", costs={_WEIGHT: 10}),
    )

    def sockets(self, symbols: Sequence[str]) -> Sequence[SocketPlan]:
        """One socket on the routed path: the unrouted one acks and stays silent (§1.1)."""
        del symbols
        return (SocketPlan("mark-price", f"/market/ws/{STREAM}"),)

    def slice_frame(self, data: bytes) -> Frame:
        """Cut an array, a single row or a combined `{"stream":…,"data":…}` frame."""
        if _first_byte(data) == ord("["):
            return Frame(STREAM, _array(data))
        if b'"data"' in data[:512] or b'"stream"' in data[:512]:
            wrapped = _wrapped(data)
            return _slice(wrapped.stream or STREAM, memoryview(wrapped.data))
        if b'"result"' in data[:512] or b'"error"' in data[:512] or b'"code"' in data[:64]:
            return Frame("control", [Slice(None, data)], control=True)
        return _slice(STREAM, data)

    def slice_reply(self, call: RestCall, body: bytes) -> Sequence[Slice]:
        """Cut a reply into one piece per row; a bare object (`symbol=`) is one row."""
        raws: list[msgspec.Raw]
        if call.resource == "exchangeInfo":
            raws = _exchange_info(body).symbols
            return [Slice(_one_named(raw).symbol, bytes(raw)) for raw in raws]
        if _first_byte(body) != ord("["):
            return [Slice(_one_named(body).symbol, body)]
        return [
            Slice(row.symbol, bytes(raw))
            for row, raw in zip(_named(body), _raws(body), strict=True)
        ]

    def listings(self, call: RestCall, slices: Sequence[Slice]) -> Iterable[Listing] | None:
        """Read exchangeInfo: perpetuals of both kinds, streaming while TRADING."""
        if call.resource != "exchangeInfo":
            return None
        entries = [_listed(piece.payload) for piece in slices]
        return [
            Listing(entry.symbol, entry.status == STREAMING_STATUS)
            for entry in entries
            if entry.contract_type in PERPETUAL_TYPES
        ]

    def history(self, symbols: Sequence[str], since_ms: int, until_ms: int) -> HistoryWalk:
        """Walk all symbols' rows at once, forward in time (§1.11): about 100 calls for 30 days."""
        return WindowWalk(symbols, since_ms, until_ms)

    def used(self, headers: Mapping[str, str]) -> Mapping[str, int]:
        """Read X-MBX-USED-WEIGHT-1M."""
        text = headers.get(USED_WEIGHT_HEADER, "")
        return {_WEIGHT: int(text)} if text.isascii() and text.isdigit() else {}


class WindowWalk:
    """Pages of fundingRate without `symbol`, forward from `since_ms` (§1.9b, §1.11).

    A full page may end inside one timestamp, so the next one starts at the last stamp inclusively
    and rows already taken are left out. If a page holds a single timestamp, the walk cannot go on
    that way and asks for each symbol apart.
    """

    def __init__(self, symbols: Sequence[str], since_ms: int, until_ms: int) -> None:
        self._since_ms = since_ms
        self._until_ms = until_ms
        self._cursor_ms = since_ms
        self._at_cursor: set[str] = set()
        self._symbols = list(symbols)
        self._pending_symbols: list[str] | None = None
        self._symbol_cursor_ms = since_ms
        self._done = since_ms > until_ms

    def next_call(self) -> RestCall | None:
        """Return the next page's call, or None when done."""
        if self._done:
            return None
        params = {
            "startTime": str(self._cursor_ms),
            "endTime": str(self._until_ms),
            "limit": str(HISTORY_LIMIT),
        }
        if self._pending_symbols is not None:
            params["symbol"] = self._pending_symbols[-1]
            params["startTime"] = str(self._symbol_cursor_ms)
        return RestCall("fundingRate", "/fapi/v1/fundingRate", params, costs={_FUNDING: 1})

    def take(self, body: bytes) -> HistoryPage:
        """Take the reply to the last call."""
        rows = _settled(body)
        pieces = [bytes(raw) for raw in _raws(body)]
        if self._pending_symbols is not None:
            return self._take_symbol(rows, pieces)
        fresh = [
            Slice(row.symbol, piece)
            for row, piece in zip(rows, pieces, strict=True)
            if row.funding_time != self._cursor_ms or row.symbol not in self._at_cursor
        ]
        if len(rows) < HISTORY_LIMIT:
            self._cursor_ms = self._until_ms
            self._done = True
            return HistoryPage(fresh, len(rows))
        last_ms = rows[-1].funding_time
        if last_ms <= self._cursor_ms:
            self._pending_symbols = sorted(self._symbols)
            self._symbol_cursor_ms = self._cursor_ms
            self._done = not self._pending_symbols
            return HistoryPage(fresh, len(rows))
        self._cursor_ms = last_ms
        self._at_cursor = {row.symbol for row in rows if row.funding_time == last_ms}
        return HistoryPage(fresh, len(rows))

    def _take_symbol(self, rows: Sequence[_Settled], pieces: Sequence[bytes]) -> HistoryPage:
        assert self._pending_symbols
        slices = [Slice(row.symbol, piece) for row, piece in zip(rows, pieces, strict=True)]
        if len(rows) < HISTORY_LIMIT:
            self._pending_symbols.pop()
            self._symbol_cursor_ms = self._cursor_ms
            self._done = not self._pending_symbols
        else:
            self._symbol_cursor_ms = rows[-1].funding_time + 1
        return HistoryPage(slices, len(rows))

    @property
    def progress(self) -> float:
        """Share of the time span that is done."""
        if self._done:
            return 1.0
        span = max(1, self._until_ms - self._since_ms)
        return (self._cursor_ms - self._since_ms) / span

    @property
    def position_ms(self) -> int:
        """All settlements before this time were taken."""
        return self._cursor_ms


EXCHANGE = BinanceUsdm()
