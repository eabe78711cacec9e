"""Bybit (docs/exchanges/bybit.md): linear and inverse perpetuals, a topic per contract.

The stream names what has changed, so that its rows are completed before they are published
(`spec.Partial`). Each of the two families has a socket and REST calls of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from producers.exchanges.history_paging import Backward, PerSymbolWalk, SettledRow, Span
from producers.exchanges.json_slicing import (
    ABSENT,
    Rows,
    chunks,
    code_reader,
    decoder,
    json_text,
    micros,
    present,
    slices_of,
    surroundings,
    time_of,
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
    Partial,
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
from schemas.venues.bybit import FEED

HISTORY_LIMIT = 200
LIST_LIMIT = 1000
"""Rows of a page of the list (§4c)."""
MAX_CURSOR_CHARS = 512
TOPICS_PER_FRAME = 50
TOPICS_PER_SOCKET = 200
"""Their names together stay far below the 21,000 characters of a connection (§1)."""
SILENT_S = 60.0
CONTRACT_SILENT_S = 100.0
FALLBACK_S = 15.0
QUIET_EVERY_S = 300.0
"""What does not change is not pushed: shares while their market is closed, for example (§1)."""
QUIET_SOCKET_S = 300.0
"""All contracts of a socket may be quiet for a while; it answers pings meanwhile."""
MAX_AGE_S = 23 * 3600.0
"""No lifetime is documented (§1)."""
PING_EVERY_S = 20.0
BANNED_S = 600.0
"""How long nothing is to be asked after `access too frequent` (§4)."""
TOO_MANY_S = 60.0
"""How long after code 10006, which does not say it (§4)."""
CHANNEL = "tickers"
_REQUESTS = "requests"
_COST: Mapping[str, int] = {_REQUESTS: 1}
_FAMILIES = ("linear", "inverse")
_INSTRUMENTS = "instruments-info/"
_TICKERS = "tickers/"
_PERPETUAL = ("LinearPerpetual", "InversePerpetual")
_TOO_MANY = frozenset({10006, 10018})
_TOPIC = re.compile(r"tickers\.([^\s,\]\"']+)")
"""A topic in the text of a refusal, with its contract."""
_ALREADY = "already subscribed"


class _Message(msgspec.Struct, gc=False):
    """Any frame: data has a topic, an answer has an op."""

    topic: str | None = None
    type: str | None = None
    data: msgspec.Raw = ABSENT
    ts: object = None
    op: str | None = None
    success: object = None
    ret_msg: object = None
    req_id: object = None


class _Named(msgspec.Struct, gc=False):
    symbol: str


class _Instrument(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    contract_type: str | None = None
    status: str | None = None
    is_pre_listing: object = None


class _Settled(msgspec.Struct, gc=False, rename="camel"):
    funding_rate_timestamp: str


class _Reply(msgspec.Struct, gc=False, rename="camel"):
    result: msgspec.Raw


class _Result(msgspec.Struct, gc=False, rename="camel"):
    list: msgspec.Raw
    next_page_cursor: object = None


class _Code(msgspec.Struct, gc=False, rename="camel"):
    ret_code: int


_message: Callable[[Any], _Message] = decoder(_Message)
_row: Callable[[Any], _Named] = decoder(_Named)
_rows = Rows(_Named)
_instruments = Rows(_Instrument)
_instrument: Callable[[Any], _Instrument] = decoder(_Instrument)
_reply: Callable[[Any], _Reply] = decoder(_Reply)
_result: Callable[[Any], _Result] = decoder(_Result)
_code = code_reader(_Code, lambda code: code.ret_code)

_LASTING = (
    *("symbol", "contractType", "status", "baseCoin", "quoteCoin", "settleCoin", "launchTime"),
    *("deliveryTime", "fundingInterval", "upperFundingRate", "lowerFundingRate", "isPreListing"),
)
"""Keys of instruments-info that are facts of a contract; the others are rules of its orders."""


_settled = Rows(_Settled, check=lambda row: time_of(row.funding_rate_timestamp))


def is_inverse(symbol: str) -> bool:
    """Tell the family of a perpetual: BTCUSD is inverse; BTCUSDT and BTCPERP are linear (§3)."""
    return symbol.endswith("USD")


def _family(symbol: str) -> str:
    return "inverse" if is_inverse(symbol) else "linear"


def _frames(op: str, symbols: Sequence[str]) -> list[SubscribeFrame]:
    frames = []
    for chunk in chunks(symbols, TOPICS_PER_FRAME):
        # The answer repeats it; no two requests that are under way have the same first contract.
        identity = f"{op} {chunk[0]} {len(chunk)}"
        topics = [f"{CHANNEL}.{symbol}" for symbol in chunk]
        text = json_text({"req_id": identity, "op": op, "args": topics})
        frames.append(SubscribeFrame(text, chunk, identity))
    return frames


def _kind(family: str, takes: Callable[[str], bool]) -> SocketKind:
    return SocketKind(
        family,
        SILENT_S,
        MAX_AGE_S,
        urls=(f"wss://stream.bybit.com/v5/public/{family}",),
        capacity=TOPICS_PER_SOCKET,
        takes=takes,
        subscribe=lambda symbols: _frames("subscribe", symbols),
        unsubscribe=lambda symbols: _frames("unsubscribe", symbols),
        ping=ClientPing(
            PING_EVERY_S, lambda number: json_text({"req_id": f"ping{number}", "op": "ping"})
        ),
        splits_refused=True,
        quiet_s=QUIET_SOCKET_S,
    )


def _listed(family: str, every: int) -> RestCall:
    params = {"category": family, "limit": str(LIST_LIMIT)}
    resource = f"{_INSTRUMENTS}{family}"
    return RestCall(resource, "/v5/market/instruments-info", params, _COST, every=every)


def _tickers(family: str, every: int = 1) -> RestCall:
    params = {"category": family}
    return RestCall(f"{_TICKERS}{family}", "/v5/market/tickers", params, _COST, every=every)


def _call(symbol: str, span: Span) -> RestCall:
    params = {
        "category": _family(symbol),
        "symbol": symbol,
        "startTime": str(span.from_ms),
        "endTime": str(span.to_ms),
        "limit": str(HISTORY_LIMIT),
    }
    return RestCall("funding/history", "/v5/market/funding/history", params, _COST)


def _read(body: bytes) -> list[SettledRow]:
    return [
        SettledRow(time_of(row.funding_rate_timestamp) if row else None, piece)
        for row, piece in _settled(_result(_reply(body).result).list)
    ]


def _control(message: _Message) -> Control:
    """Read an answer; only a refusal may name contracts, in its text (§1)."""
    answers = message.req_id if isinstance(message.req_id, str) else ""
    if message.success is not False:
        return Control(answers=answers)
    told = message.ret_msg if isinstance(message.ret_msg, str) else ""
    named = tuple(dict.fromkeys(_TOPIC.findall(told)))
    if _ALREADY in told.lower():
        # What is named is subscribed; the rest of the text has failed with it.
        return Control(acknowledged=named, refused=True, answers=answers)
    return Control(refused=True, refused_symbols=named, answers=answers)


class Bybit(Exchange):
    """The description."""

    feed = FEED.name
    rest_url = "https://api.bybit.com"
    silent_s = CONTRACT_SILENT_S
    fallback_s = FALLBACK_S
    quiet_every_s = QUIET_EVERY_S
    limits: Mapping[str, RateLimit] = {_REQUESTS: RateLimit(600, 5.0)}
    limits_group = "bybit"
    fact_calls = (
        _listed("linear", every=1),
        _listed("inverse", every=2),
        optional(_tickers("linear", every=2)),
        optional(_tickers("inverse", every=2)),
    )
    row_fields = frozenset({
        *("symbol", "fundingRate", "fundingIntervalHour", "nextFundingTime", "markPrice"),
        *("indexPrice", "deliveryTime", "curPreListingPhase"),
    })  # fmt: skip
    row_terms = ("fundingRate", "fundingIntervalHour", "nextFundingTime")
    documented: Mapping[str, PayloadFields] = {
        CHANNEL: PayloadFields(
            (
                *("topic", "type", "ts", "data.symbol", "data.fundingRate", "data.markPrice"),
                *("data.nextFundingTime", "data.fundingIntervalHour", "data.indexPrice"),
            ),
            sometimes=("cs", "data.curPreListingPhase", "data.deliveryTime"),
        ),
        "funding/history": PayloadFields(("symbol", "fundingRate", "fundingRateTimestamp")),
    }
    true_up_calls_per_hour = 6
    socket_kinds = (
        _kind("linear", lambda symbol: not is_inverse(symbol)),
        _kind("inverse", is_inverse),
    )

    def snapshot_calls(self, symbols: Sequence[str]) -> Sequence[RestCall]:
        """One call brings all of a family (§4a)."""
        wanted = {_family(symbol) for symbol in symbols} or set(_FAMILIES)
        return [_tickers(family) for family in _FAMILIES if family in wanted]

    def slice_frame(self, data: bytes) -> Frame:
        """A row is one piece: a whole one, or what has changed since the last (§2)."""
        message = _message(data)
        if message.topic is not None and present(message.data):
            channel, _, contract = message.topic.partition(".")
            if channel != CHANNEL:
                return Frame(channel, (), unknown=channel)
            piece = piece_of(_row(message.data).symbol, bytes(message.data))
            if piece.symbol != contract:
                # Changes of one contract must not complete the row of another.
                piece = Slice(None, data, readable=False)
            if piece.readable:
                head, tail = surroundings(data, "data", message.data)
                piece = piece._replace(partial=Partial(head, tail, message.type == "snapshot"))
            return Frame(channel, [piece], event_us=micros(message.ts, us_per=1_000))
        if message.op is not None or message.success is not None:
            return Frame("control", (), _control(message))
        raise MalformedInputError("neither a topic's data nor an answer")

    def slice_reply(self, call: RestCall, body: bytes) -> Sequence[Slice]:
        """Cut a reply into one piece per row; a ticker keeps the reply around it, with its time."""
        outer = _reply(body).result
        inner = _result(outer).list
        if call.resource.startswith(_INSTRUMENTS):
            return slices_of(_instruments(inner), lambda entry: entry.symbol)
        pieces = slices_of(_rows(inner), lambda row: row.symbol)
        around_result = surroundings(body, "result", outer)
        around_list = surroundings(bytes(outer), "list", inner)
        head = around_result.head + around_list.head + b"["
        tail = b"]" + around_list.tail + around_result.tail
        return [
            piece._replace(payload=head + piece.payload + tail) if piece.readable else piece
            for piece in pieces
        ]

    def following_page(self, call: RestCall, body: bytes) -> RestCall | None:
        """A cursor leads to the next page of the list, until it is empty (§4c)."""
        if not call.resource.startswith(_INSTRUMENTS):
            return None
        cursor = _result(_reply(body).result).next_page_cursor
        if not isinstance(cursor, str) or not 0 < len(cursor) <= MAX_CURSOR_CHARS:
            return None
        return replace(call, params={**call.params, "cursor": cursor})

    def shown_rate(self, resource: str, payload: bytes) -> bytes:
        """Return the rate as it stands in the row."""
        del resource
        ((_, row),) = _rows(_result(_reply(payload).result).list)
        return values_of(row, ("fundingRate",))

    def listings(self, call: RestCall, slices: Sequence[Slice]) -> Iterable[Listing] | None:
        """Perpetuals; not those whose coin is not listed yet (§3)."""
        if not call.resource.startswith(_INSTRUMENTS):
            return None
        entries = (_instrument(piece.payload) for piece in slices if piece.readable)
        return [
            Listing(entry.symbol, FEED.status_of(entry.status))
            for entry in entries
            if entry.contract_type in _PERPETUAL and entry.is_pre_listing is not True
        ]

    def fact_identity(self, resource: str, payload: bytes) -> bytes:
        """Return the lasting keys of a listed contract; its liquidity is published whenever asked.

        Other keys of the list change with the risk limits of a contract.
        """
        if not resource.startswith(_INSTRUMENTS):
            return payload
        return values_of(payload, _LASTING)

    def history(
        self,
        symbols: Sequence[str],
        since_ms: int,
        until_ms: int,
        keys: Mapping[str, str] = NO_KEYS,
    ) -> HistoryWalk:
        """Walk one contract, newest first, by the end of the span (§4b)."""
        del keys
        (symbol,) = symbols
        span = Span(since_ms, until_ms)
        return PerSymbolWalk(symbol, span, Backward(HISTORY_LIMIT), _call, _read)

    def retry_after_s(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> float | None:
        """A ban names no time, and lasts ten minutes at least (§4)."""
        told_s = super().retry_after_s(headers, body, now_ms)
        return BANNED_S if told_s is None and b"access too frequent" in body[:1_000] else told_s

    def barred_s(self, call: RestCall, headers: Mapping[str, str], body: bytes) -> float | None:
        """Too many calls are told with HTTP 200 (§4)."""
        del call, headers
        return TOO_MANY_S if _code(body) in _TOO_MANY else None

    def fault(self, call: RestCall, headers: Mapping[str, str], body: bytes) -> str | None:
        """Errors come with HTTP 200 and a code (§4)."""
        del call, headers
        code = _code(body)
        return f"retCode {code}" if code else None


EXCHANGE = Bybit()
