"""WhiteBIT (docs/exchanges/whitebit.md): one subscription brings all contracts, positional rows.

A frame of all contracts is cut into frames of one; that of a single named contract is flat, and
published as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from producers.exchanges.history_paging import PerSymbolWalk, SettledRow, Span, Windows
from producers.exchanges.json_slicing import (
    ABSENT,
    Rows,
    decoder,
    envelope,
    first_byte,
    json_text,
    percent,
    present,
    settled_ms,
    slices_of,
)
from producers.exchanges.spec import (
    NO_KEYS,
    ClientPing,
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
    optional,
)
from schemas.errors import MalformedInputError
from schemas.symbols import symbol_fault
from schemas.venues.whitebit import FEED

CHANNEL = "premiumIndex"
LIQUIDITY = "liquidity"
_PUSH = f"{CHANNEL}_update"
_FUTURES = "futures"
_HISTORY = "funding-history"
_REQUESTS = "requests"
_PUBLIC = "/api/v4/public"
HISTORY_LIMIT = 100
"""Rows of a page: what is sent without a limit, and more may not be (§4b)."""
HISTORY_INTERVALS = 90
"""Settlements that a page should hold: a full page then shows that something was cut off."""
SILENT_S = 8.0
CONTRACT_SILENT_S = 5.0
FALLBACK_S = 5.0
PING_S = 20.0
"""The server closes after 60 s without a message from us (§1)."""
MAX_AGE_S = 23 * 3600.0
"""No lifetime is documented (§1)."""
_MIN_S, _MAX_S = 10**9, 10**10
_US_PER_S, _MS_PER_S = 1_000_000, 1_000


class _Message(msgspec.Struct, gc=False):
    method: str | None = None
    params: msgspec.Raw = ABSENT
    result: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


class _Row(msgspec.Struct, gc=False, array_like=True):
    """A row of a push, §2: more fields may follow."""

    market: str
    mark: msgspec.Raw
    index: msgspec.Raw
    rate: msgspec.Raw
    next_time: msgspec.Raw
    sent_s: object = None


class _Reply(msgspec.Struct, gc=False):
    success: object = None
    message: object = None
    result: msgspec.Raw = ABSENT


class _Status(msgspec.Struct, gc=False):
    status: str


class _Future(msgspec.Struct, gc=False):
    ticker_id: str
    product_type: object = None

    @property
    def is_perpetual(self) -> bool:
        """Whether it does not say that it is something else (§4c)."""
        return not isinstance(self.product_type, str) or self.product_type == "Perpetual"


class _Facts(msgspec.Struct, gc=False):
    """What of a contract's entry is worth publishing it again; prices and volumes are not."""

    ticker_id: msgspec.Raw = ABSENT
    stock_currency: msgspec.Raw = ABSENT
    money_currency: msgspec.Raw = ABSENT
    product_type: msgspec.Raw = ABSENT
    funding_interval_minutes: msgspec.Raw = ABSENT
    funding_cap: msgspec.Raw = ABSENT
    funding_floor: msgspec.Raw = ABSENT


class _Settled(msgspec.Struct, gc=False, rename="camel"):
    funding_time: object


_message: Callable[[Any], _Message] = decoder(_Message)
_row: Callable[[Any], _Row] = decoder(_Row)
_rows = Rows(_Row)
_reply: Callable[[Any], _Reply] = decoder(_Reply)
_status: Callable[[Any], _Status] = decoder(_Status)
_futures = Rows(_Future)
_future: Callable[[Any], _Future] = decoder(_Future)
_facts: Callable[[Any], _Facts] = decoder(_Facts)


def _sent_us(value: object) -> int | None:
    """Read when a row was sent, in seconds with a fraction; None: there is none."""
    is_time = isinstance(value, int | float) and _MIN_S <= value < _MAX_S
    return round(value * _US_PER_S) if is_time else None  # type: ignore[operator]


def _time_ms(row: _Settled) -> int:
    return settled_ms(row.funding_time)


_settled = Rows(_Settled, check=_time_ms)


def _is_ack(result: msgspec.Raw) -> bool:
    """Tell a pong or the answer to a subscription from any other result (§1)."""
    text = bytes(result)
    try:
        return text == b'"pong"' or _status(text).status == "success"
    except MalformedInputError:
        return False


def _piece(row: _Row, payload: bytes) -> Slice:
    if symbol_fault(row.market) is not None:
        return Slice(None, payload, readable=False)
    terms = bytes(row.rate) + b"," + bytes(row.next_time)
    return Slice(row.market, payload, terms=terms, event_us=_sent_us(row.sent_s))


def _request(path: str, resource: str, *, every: int = 1) -> RestCall:
    return RestCall(resource, f"{_PUBLIC}/{path}", costs={_REQUESTS: 1}, every=every)


def _call(symbol: str, span: Span) -> RestCall:
    params = {
        "startDate": str(span.from_ms // _MS_PER_S),
        "endDate": str(-(-span.to_ms // _MS_PER_S)),
        "limit": str(HISTORY_LIMIT),
    }
    path = f"{_PUBLIC}/{_HISTORY}/{percent(symbol)}"
    return RestCall(_HISTORY, path, params, {_REQUESTS: 1})


def _read(body: bytes) -> list[SettledRow]:
    return [SettledRow(_time_ms(row) if row else None, piece) for row, piece in _settled(body)]


class WhiteBit(Exchange):
    """The description."""

    feed = FEED.name
    rest_url = "https://whitebit.com"
    silent_s = CONTRACT_SILENT_S
    fallback_s = FALLBACK_S
    limits: Mapping[str, RateLimit] = {_REQUESTS: RateLimit(2000, 10.0)}
    limits_group = "whitebit"
    fact_calls = (_request(_FUTURES, _FUTURES), optional(_request(_FUTURES, LIQUIDITY, every=2)))
    documented: Mapping[str, PayloadFields] = {
        CHANNEL: PayloadFields(("method", "params[]"), sometimes=("id",), every_s=0.5),
        _FUTURES: PayloadFields(
            (
                *("ticker_id", "stock_currency", "money_currency", "last_price", "stock_volume"),
                *("money_volume", "bid", "ask", "high", "low", "product_type", "open_interest"),
                *("index_price", "index_name", "index_currency", "mark_price", "funding_rate"),
                *("next_funding_rate_timestamp", "funding_interval_minutes", "funding_cap"),
                *("funding_floor", "brackets", "max_leverage"),
            )
        ),
        _HISTORY: PayloadFields(
            ("market", "fundingTime", "fundingRate", "settlementPrice", "rateCalculatedTime")
        ),
    }
    true_up_calls_per_hour = 18
    socket_kinds = (
        SocketKind(
            "premium-index",
            SILENT_S,
            MAX_AGE_S,
            urls=("wss://wss.whitebit.com/ws", "wss://api.whitebit.com/ws"),
            opening=(json_text({"id": 0, "method": f"{CHANNEL}_subscribe", "params": []}),),
            ping=ClientPing(
                PING_S, lambda number: json_text({"id": number, "method": "ping", "params": []})
            ),
        ),
    )

    def snapshot_calls(self, symbols: Sequence[str]) -> Sequence[RestCall]:
        """One call brings all (§4a)."""
        del symbols
        return (_request(_FUTURES, _FUTURES),)

    def slice_frame(self, data: bytes) -> Frame:
        """Cut the rows of a push; all else answers what we sent (§1)."""
        message = _message(data)
        if message.method == _PUSH:
            return self._push(data, bytes(message.params))
        if message.method:
            return Frame(message.method, (), unknown=message.method)
        if present(message.error):
            return Frame("control", (), Control(refused=True))
        if present(message.result):
            if _is_ack(message.result):
                return Frame("control", (), Control())
            return Frame("result", (), unknown="result")
        raise MalformedInputError("neither a push nor an answer")

    def _push(self, data: bytes, params: bytes) -> Frame:
        if first_byte(params[1:]) == ord('"'):
            pieces = [_piece(_row(params), data)]
        else:
            around = envelope(data, "params", params).around
            pieces = [
                Slice(None, payload, readable=False)
                if row is None
                else _piece(row, around(payload))
                for row, payload in _rows(params)
            ]
        times = [piece.event_us for piece in pieces if piece.event_us is not None]
        return Frame(CHANNEL, pieces, event_us=max(times, default=None))

    def slice_reply(self, call: RestCall, body: bytes) -> Sequence[Slice]:
        """Cut a reply into one piece per contract."""
        del call
        return slices_of(_futures(_reply(body).result), lambda row: row.ticker_id)

    def listings(self, call: RestCall, slices: Sequence[Slice]) -> Iterable[Listing] | None:
        """Perpetuals; what is delisted has left the list (§4c)."""
        if call.resource != _FUTURES:
            return None
        entries = (_future(piece.payload) for piece in slices if piece.readable)
        return [
            Listing(entry.ticker_id, FEED.status_of("listed"))
            for entry in entries
            if entry.is_perpetual
        ]

    def history(
        self,
        symbols: Sequence[str],
        since_ms: int,
        until_ms: int,
        keys: Mapping[str, str] = NO_KEYS,
    ) -> HistoryWalk:
        """Walk one contract by windows, whatever the order of a page is (§4b)."""
        del keys
        (symbol,) = symbols
        span = Span(since_ms, until_ms)
        return PerSymbolWalk(symbol, span, Windows(HISTORY_INTERVALS), _call, _read)

    def fact_identity(self, resource: str, payload: bytes) -> bytes:
        """Leave out what changes all the time: prices, volumes, the rate."""
        if resource != _FUTURES:
            return payload
        return b",".join(bytes(raw) for raw in msgspec.structs.astuple(_facts(payload)))

    def fault(self, call: RestCall, headers: Mapping[str, str], body: bytes) -> str | None:
        """An error has `success` false and a message (§4d); the history is a bare array."""
        del headers
        if call.resource == _HISTORY:
            return None
        try:
            reply = _reply(body)
        except MalformedInputError:
            return None
        return f"the exchange says: {reply.message!r:.120}" if reply.success is False else None


EXCHANGE = WhiteBit()
