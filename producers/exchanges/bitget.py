"""Bitget futures (docs/exchanges/bitget.md): one subscription per contract, full frames.

The v2 socket is used, whose rows name their contract; frames of the v3 socket, whose rows do not,
are read as well. Three families of contracts share the socket and the calls: each has a product
type, which the ending of a symbol tells. A subscription with the wrong one is acknowledged and
silent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from producers.exchanges.history_paging import Pages, PerSymbolWalk, SettledRow, Span
from producers.exchanges.json_slicing import (
    ABSENT,
    Rows,
    chunks,
    code_reader,
    decoder,
    envelope,
    json_text,
    micros,
    present,
    slices_of,
    time_of,
    time_or_none,
    values_of,
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
    SubscribeFrame,
    optional,
)
from schemas.errors import MalformedInputError
from schemas.symbols import symbol_fault
from schemas.venues.bitget import FEED

ARGS_PER_FRAME = 20
"""A frame may have 4,096 bytes; 25 arguments and more have closed the v3 socket (§1)."""
CHANNELS_PER_SOCKET = 50
"""What the exchange recommends of the 1,000 that it allows (§1)."""
PING_EVERY_S = 25.0
SILENT_S = 30.0
CONTRACT_SILENT_S = 100.0
FALLBACK_S = 20.0
"""An outage takes a call of a product type each so often, of 20 a second (§4)."""
QUIET_EVERY_S = 480.0
"""Whether every contract is pushed while nothing of it changes is not known (§1). Contracts that
are silent are asked for within the 600 s after which a rate is stale, with at most 22 calls an hour
(§4)."""
QUIET_SOCKET_S = 300.0
"""All contracts of a socket may be quiet for a while; it answers pings meanwhile."""
MAX_AGE_S = 23 * 3600.0
"""No lifetime is documented (§1)."""
BARRED_S = 60.0
"""How long after code 429, which does not say it: the longest window of the limits (§4)."""
HISTORY_LIMIT = 100
HISTORY_LEAST = 20
"""How many rows a page has when none are asked for (§4b)."""
CHANNEL = "ticker"
CURRENT = "current-fund-rate"
LISTS = {
    "contracts": "USDT-FUTURES",
    "contracts-usdc": "USDC-FUTURES",
    "contracts-coin": "COIN-FUTURES",
}
"""The product type of each resource that lists contracts."""
_LARGE = "USDT-FUTURES"
_LIQUIDITY_EVERY, _CAPS_EVERY, _SMALL_EVERY = 2, 6, 6
"""In each so many-th refresh; the two small product types are asked about once an hour."""
_MARKET = "/api/v2/mix/market/"
_ALL = "all"
_SUCCESS, _TOO_MANY = "00000", "429"
_PERPETUAL = "perpetual"
_named_in_text = re.compile(r'(?:instId|symbol)"?\s*:\s*"?([^",\s}]+)').search
_LASTING = {
    **dict.fromkeys(
        LISTS,
        (
            *("symbol", "baseCoin", "quoteCoin", "symbolType", "symbolStatus", "fundInterval"),
            *("launchTime", "offTime", "isRwa"),
        ),
    ),
    CURRENT: ("symbol", "fundingRateInterval", "minFundingRate", "maxFundingRate"),
}
"""Keys of a fact whose change is worth publishing it again."""


class _Arg(msgspec.Struct, gc=False, rename="camel"):
    """What a frame is about: `channel` and `instId` of v2, `topic` and `symbol` of v3."""

    channel: str | None = None
    topic: str | None = None
    inst_type: str | None = None
    inst_id: str | None = None
    symbol: str | None = None

    @property
    def has_funding(self) -> bool:
        """Whether its product type has; v3 writes those in small letters."""
        return (self.inst_type or _LARGE).upper() in LISTS.values()


class _Message(msgspec.Struct, gc=False):
    arg: _Arg | None = None
    data: msgspec.Raw = ABSENT
    ts: object = None
    event: str | None = None
    msg: object = None


class _Row(msgspec.Struct, gc=False, rename="camel"):
    funding_rate: msgspec.Raw = ABSENT
    inst_id: str | None = None
    symbol: str | None = None
    ts: object = None
    next_funding_time: msgspec.Raw = ABSENT


class _Single(msgspec.Struct, gc=False):
    """A frame as nearly all are: data, of one row that can be read."""

    arg: _Arg
    data: tuple[_Row]
    ts: object = None


class _Reply(msgspec.Struct, gc=False):
    code: object = None
    data: msgspec.Raw = ABSENT


class _Named(msgspec.Struct, gc=False):
    symbol: str


class _Contract(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    symbol_type: str | None = None
    symbol_status: str | None = None


class _Settled(msgspec.Struct, gc=False, rename="camel"):
    funding_time: object


_message: Callable[[Any], _Message] = decoder(_Message)
_single = msgspec.json.Decoder(_Single).decode
_reply: Callable[[Any], _Reply] = decoder(_Reply)
_code = code_reader(_Reply, lambda reply: reply.code)
_contract: Callable[[Any], _Contract] = decoder(_Contract)
_rows = Rows(_Row)
_named = Rows(_Named)
_contracts = Rows(_Contract)


def product_type(symbol: str) -> str:
    """Return the family that a contract belongs to: BTCUSDT, BTCPERP (USDC), BTCUSD (coin)."""
    if symbol.endswith("PERP"):
        return "USDC-FUTURES"
    return "COIN-FUTURES" if symbol.endswith("USD") else "USDT-FUTURES"


def _subscription(symbol: str) -> dict[str, str]:
    return {"instType": product_type(symbol), "channel": CHANNEL, "instId": symbol}


def _frames(op: str, symbols: Sequence[str]) -> list[SubscribeFrame]:
    return [
        SubscribeFrame(json_text({"op": op, "args": list(map(_subscription, chunk))}), chunk)
        for chunk in chunks(symbols, ARGS_PER_FRAME)
    ]


_settled = Rows(_Settled, check=lambda row: time_of(row.funding_time))


def _bulk(resource: str, path: str, product: str, every: int = 1) -> RestCall:
    """Ask for all contracts of a product type."""
    costs = {path: 1, _ALL: 1}
    return RestCall(resource, _MARKET + path, {"productType": product}, costs, every=every)


def _facts(resource: str, path: str, product: str, every: int = 1) -> RestCall:
    return _bulk(resource, path, product, every if product == _LARGE else _SMALL_EVERY)


def _call(symbol: str, span: Span) -> RestCall:
    path = "history-fund-rate"
    params = {
        "symbol": symbol,
        "productType": product_type(symbol),
        "pageSize": str(HISTORY_LIMIT),
        "pageNo": str(span.page),
    }
    return RestCall(path, _MARKET + path, params, {path: 1, _ALL: 1})


def _read(body: bytes) -> list[SettledRow]:
    data = _reply(body).data
    if not present(data):
        return []
    return [
        SettledRow(time_of(row.funding_time) if row else None, piece)
        for row, piece in _settled(data)
    ]


def _piece(row: _Row, arg: _Arg, ts: object, payload: bytes) -> Slice:
    """Return the piece of a row, `payload` being the row in its frame."""
    symbol = row.inst_id or row.symbol or arg.inst_id or arg.symbol
    if symbol is None or symbol_fault(symbol) is not None:
        return Slice(None, payload, readable=False)
    terms = bytes(row.funding_rate) + b"," + bytes(row.next_funding_time)
    event_us = micros(time_or_none(row.ts), us_per=1_000) or micros(time_or_none(ts), us_per=1_000)
    return Slice(symbol, payload, terms=terms, event_us=event_us)


def _ticker(arg: _Arg, message: _Message, data: bytes) -> Frame:
    """Cut a frame into its rows, each in the frame's envelope."""
    channel = arg.channel or arg.topic
    if channel is None:
        raise MalformedInputError("data without a channel")
    if channel != CHANNEL:
        return Frame(channel, (), unknown=channel)
    if not arg.has_funding:
        return Frame(channel, (), unknown=f"{channel} {arg.inst_type}")
    around = envelope(data, "data", bytes(message.data)).around
    pieces = []
    for row, text in _rows(message.data):
        if row is None or not (row.inst_id or row.symbol or present(row.funding_rate)):
            # It names neither its contract nor a rate.
            pieces.append(Slice(None, text, readable=False))
        else:
            pieces.append(_piece(row, arg, message.ts, around(text)))
    event_us = next((piece.event_us for piece in pieces if piece.readable), None)
    return Frame(channel, pieces, event_us=event_us)


def _control(message: _Message) -> Frame:
    """Read an ack or a refusal: each is of one argument; v3 names it in the text alone (§1)."""
    arg = message.arg
    symbol = arg and (arg.inst_id or arg.symbol)
    if message.event == "subscribe":
        return Frame("control", (), Control(acknowledged=(symbol,) if symbol else ()))
    if message.event == "unsubscribe":
        return Frame("control", (), Control())
    if message.event == "error":
        if not symbol and isinstance(message.msg, str) and (found := _named_in_text(message.msg)):
            symbol = found[1]
        refused = (symbol,) if symbol else ()
        return Frame("control", (), Control(refused=True, refused_symbols=refused))
    if message.event:
        return Frame("control", (), unknown=message.event)
    raise MalformedInputError("neither data nor an event")


class Bitget(Exchange):
    """The description."""

    feed = FEED.name
    rest_url = "https://api.bitget.com"
    silent_s = CONTRACT_SILENT_S
    fallback_s = FALLBACK_S
    quiet_every_s = QUIET_EVERY_S
    limits: Mapping[str, RateLimit] = {
        **dict.fromkeys(("contracts", CURRENT, "tickers", "history-fund-rate"), RateLimit(20, 1.0)),
        _ALL: RateLimit(6_000, 60.0),
    }
    limits_group = "bitget"
    fact_calls = (
        *(_facts(resource, "contracts", product) for resource, product in LISTS.items()),
        *(_facts(CURRENT, CURRENT, product, _CAPS_EVERY) for product in LISTS.values()),
        *(
            optional(_facts("tickers", "tickers", product, _LIQUIDITY_EVERY))
            for product in LISTS.values()
        ),
    )
    documented: Mapping[str, PayloadFields] = {
        CHANNEL: PayloadFields(
            (
                *("action", "arg.instType", "arg.channel", "arg.instId", "ts"),
                *("data[].instId", "data[].symbol", "data[].symbolType", "data[].ts"),
                *("data[].fundingRate", "data[].nextFundingTime", "data[].markPrice"),
                *("data[].indexPrice", "data[].lastPr", "data[].bidPr", "data[].askPr"),
                *("data[].bidSz", "data[].askSz", "data[].open24h", "data[].high24h"),
                *("data[].low24h", "data[].change24h", "data[].holdingAmount"),
                *("data[].baseVolume", "data[].quoteVolume", "data[].openUtc"),
            ),
            every_s=1.0,
        ),
        CURRENT: PayloadFields(
            (
                *("symbol", "fundingRate", "fundingRateInterval", "nextUpdate"),
                *("minFundingRate", "maxFundingRate"),
            )
        ),
        "history-fund-rate": PayloadFields(("symbol", "fundingRate", "fundingTime")),
    }
    true_up_calls_per_hour = 6
    socket_kinds = (
        SocketKind(
            "ticker",
            SILENT_S,
            MAX_AGE_S,
            urls=("wss://ws.bitget.com/v2/ws/public",),
            capacity=CHANNELS_PER_SOCKET,
            subscribe=lambda symbols: _frames("subscribe", symbols),
            unsubscribe=lambda symbols: _frames("unsubscribe", symbols),
            ping=ClientPing(PING_EVERY_S, lambda _number: "ping"),
            splits_refused=True,
            quiet_s=QUIET_SOCKET_S,
        ),
    )

    def snapshot_calls(self, symbols: Sequence[str]) -> Sequence[RestCall]:
        """One call for each product type that the contracts are of (§4a); of none: for all."""
        wanted = {product_type(symbol) for symbol in symbols} or set(LISTS.values())
        return [_bulk(CURRENT, CURRENT, p) for p in LISTS.values() if p in wanted]

    def slice_frame(self, data: bytes) -> Frame:
        """Cut a frame of either version; the answer to a ping is no JSON (§1)."""
        if data == b"pong":
            return Frame("control", (), Control())
        try:
            frame = _single(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            if CHANNEL in (frame.arg.channel, frame.arg.topic) and frame.arg.has_funding:
                piece = _piece(frame.data[0], frame.arg, frame.ts, data)
                if piece.readable and present(frame.data[0].funding_rate):
                    return Frame(CHANNEL, (piece,), event_us=piece.event_us)
        message = _message(data)
        if message.arg is not None and present(message.data):
            return _ticker(message.arg, message, data)
        return _control(message)

    def slice_reply(self, call: RestCall, body: bytes) -> Sequence[Slice]:
        """Cut `data` into one piece per row."""
        data = _reply(body).data
        if call.resource in LISTS:
            return slices_of(_contracts(data), lambda contract: contract.symbol)
        return slices_of(_named(data), lambda row: row.symbol)

    def shown_rate(self, resource: str, payload: bytes) -> bytes:
        """Return the rate as it stands in the row."""
        del resource
        return values_of(payload, ("fundingRate",))

    def listings(self, call: RestCall, slices: Sequence[Slice]) -> Iterable[Listing] | None:
        """Perpetuals of one product type: dated contracts have no funding (§5)."""
        if call.resource not in LISTS:
            return None
        entries = (_contract(piece.payload) for piece in slices if piece.readable)
        return [
            Listing(entry.symbol, FEED.status_of(entry.symbol_status))
            for entry in entries
            if entry.symbol_type == _PERPETUAL
        ]

    def fact_identity(self, resource: str, payload: bytes) -> bytes:
        """Return the lasting keys: a rate in the same row changes with each reply."""
        keys = _LASTING.get(resource)
        return payload if keys is None else values_of(payload, keys)

    def history(
        self,
        symbols: Sequence[str],
        since_ms: int,
        until_ms: int,
        keys: Mapping[str, str] = NO_KEYS,
    ) -> HistoryWalk:
        """Walk one contract by page number, newest first (§4b)."""
        del keys
        (symbol,) = symbols
        return PerSymbolWalk(symbol, Span(since_ms, until_ms), Pages(HISTORY_LEAST), _call, _read)

    def barred_s(self, call: RestCall, headers: Mapping[str, str], body: bytes) -> float | None:
        """Too many calls may be told by a code in a reply with HTTP 200 (§4)."""
        del call, headers
        return BARRED_S if str(_code(body)) == _TOO_MANY else None

    def fault(self, call: RestCall, headers: Mapping[str, str], body: bytes) -> str | None:
        """A reply has a code, which is "00000" where all is well (§4)."""
        del call, headers
        code = _code(body)
        return None if code is None or code == _SUCCESS else f"code {code!s:.20}"


EXCHANGE = Bitget()
