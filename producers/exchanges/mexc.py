"""MEXC futures (docs/exchanges/mexc.md): one subscription per contract, pushed when a rate changes.

An ack names the method and never the contract. One REST call brings every contract's rate, mark and
index price, interval and next funding time: it fills in what the stream does not bring.
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
    code_reader,
    decoder,
    json_text,
    micros,
    present,
    settled_ms,
    slices_of,
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
    piece_of,
)
from schemas.contract_status import ContractStatus
from schemas.venues.mexc import FEED

CONTRACTS_PER_SOCKET = 150
"""So many were seen to work; no limit is published (§1)."""
FRAMES_PER_S = 20.0
"""Each subscribes one contract; so many a second were seen to work (§1)."""
PING_EVERY_S = 15.0
SILENT_S = 150.0
CONTRACT_SILENT_S = 100.0
"""A contract is pushed every 25 to 79 s while its rate changes (§1)."""
FALLBACK_S = 30.0
"""A reply has all contracts in 243 KB, and rates are made anew once a minute (§4a)."""
QUIET_EVERY_S = 200.0
"""A rate that does not change is not pushed, and many rates are 0 for good (§5)."""
MAX_AGE_S = 23 * 3600.0
"""No lifetime is documented (§1)."""
HISTORY_LIMIT = 100
HISTORY_LEAST = 20
"""A page size that the exchange does not like becomes this one (§4b)."""
BARRED_S = 5.0
"""The exchange does not say for how long (§4)."""
CHANNEL = "push.funding.rate"
CURRENT, DETAIL, TICKER, HISTORY = "funding_rate", "detail", "ticker", "funding_rate/history"
_CAPS_EVERY, _LIQUIDITY_EVERY = 2, 2
_API = "/api/v1/contract/"
_NO_ERROR, _TOO_OFTEN = "0", "510"
_PERPETUAL = "1"
_named_in_text = re.compile(r"\[([^\[\]]+)\]").search
_LASTING = {
    DETAIL: (
        *("symbol", "baseCoin", "quoteCoin", "settleCoin", "state", "futureType", "type"),
        "contractSize",
    ),
    CURRENT: ("symbol", "collectCycle", "maxFundingRate", "minFundingRate"),
}
"""Keys of a fact whose change is worth publishing it again."""


class _Message(msgspec.Struct, gc=False):
    channel: str
    symbol: str | None = None
    data: msgspec.Raw = ABSENT
    ts: object = None


class _Reply(msgspec.Struct, gc=False):
    success: object = None
    code: object = None
    data: msgspec.Raw = ABSENT


class _Named(msgspec.Struct, gc=False):
    symbol: str


class _Contract(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    state: object = None
    future_type: object = None

    @property
    def status(self) -> ContractStatus:
        """Its state is a number; what is neither number nor text says as little as none."""
        word = str(self.state) if isinstance(self.state, int | str) else None
        return FEED.status_of(word)

    @property
    def is_perpetual(self) -> bool:
        """Whether `futureType` does not say otherwise (§5)."""
        return not isinstance(self.future_type, int | str) or str(self.future_type) == _PERPETUAL


class _Settled(msgspec.Struct, gc=False, rename="camel"):
    settle_time: object


class _Page(msgspec.Struct, gc=False, rename="camel"):
    result_list: msgspec.Raw = ABSENT


def _time_ms(row: _Settled) -> int:
    return settled_ms(row.settle_time)


_message: Callable[[Any], _Message] = decoder(_Message)
_reply: Callable[[Any], _Reply] = decoder(_Reply)
_success = code_reader(_Reply, lambda reply: reply.success)
_code = code_reader(
    _Reply, lambda reply: str(reply.code) if isinstance(reply.code, int | str) else None
)
_named: Callable[[Any], _Named] = decoder(_Named)
_contract: Callable[[Any], _Contract] = decoder(_Contract)
_page: Callable[[Any], _Page] = decoder(_Page)
_text: Callable[[Any], str] = decoder(str)
_names = Rows(_Named)
_contracts = Rows(_Contract)
_settled = Rows(_Settled, check=_time_ms)


def _frames(method: str, symbols: Sequence[str]) -> list[SubscribeFrame]:
    return [
        SubscribeFrame(json_text({"method": method, "param": {"symbol": symbol}}), (symbol,))
        for symbol in symbols
    ]


def _bulk(resource: str, every: int = 1) -> RestCall:
    """Ask for all contracts."""
    return RestCall(resource, _API + resource, costs={resource: 1}, every=every)


def _call(symbol: str, span: Span) -> RestCall:
    params = {"symbol": symbol, "page_num": str(span.page), "page_size": str(HISTORY_LIMIT)}
    return RestCall(HISTORY, _API + HISTORY, params, {HISTORY: 1})


def _read(body: bytes) -> list[SettledRow]:
    data = _reply(body).data
    rows = _page(data).result_list if present(data) else ABSENT
    if not present(rows):
        return []
    return [SettledRow(_time_ms(row) if row else None, piece) for row, piece in _settled(rows)]


def _control(message: _Message) -> Frame:
    """Read a pong, an ack or a refusal: only the last names a contract, in its text (§1)."""
    channel = message.channel
    if channel == "pong":
        return Frame("control", (), Control())
    if not channel.startswith("rs."):
        return Frame(channel, (), unknown=channel)
    told = bytes(message.data)
    if channel != "rs.error" and told == b'"success"':
        return Frame("control", (), Control())
    text = _text(told) if told.startswith(b'"') else ""
    named = _named_in_text(text)
    return Frame("control", (), Control(refused=True, refused_symbols=(named[1],) if named else ()))


class Mexc(Exchange):
    """The description."""

    feed = FEED.name
    rest_url = "https://api.mexc.com"
    silent_s = CONTRACT_SILENT_S
    fallback_s = FALLBACK_S
    quiet_every_s = QUIET_EVERY_S
    limits: Mapping[str, RateLimit] = {
        **dict.fromkeys((CURRENT, TICKER, HISTORY), RateLimit(20, 2.0)),
        # One in 5 s.
        DETAIL: RateLimit(2, 10.0),
    }
    limits_group = "mexc"
    fact_calls = (
        _bulk(DETAIL),
        _bulk(CURRENT, _CAPS_EVERY),
        optional(_bulk(TICKER, _LIQUIDITY_EVERY)),
    )
    documented: Mapping[str, PayloadFields] = {
        CHANNEL: PayloadFields(
            ("channel", "symbol", "ts", "data.symbol", "data.rate", "data.nextSettleTime"),
            every_s=60.0,
        ),
        CURRENT: PayloadFields(
            (
                *("symbol", "fundingRate", "maxFundingRate", "minFundingRate", "collectCycle"),
                *("nextSettleTime", "timestamp", "idxPrice", "fairPrice"),
            )
        ),
        HISTORY: PayloadFields(("symbol", "fundingRate", "settleTime", "collectCycle")),
    }
    frames_per_s = FRAMES_PER_S
    snapshot_at_start = True
    true_up_calls_per_hour = 6
    socket_kinds = (
        SocketKind(
            "funding-rate",
            SILENT_S,
            MAX_AGE_S,
            urls=("wss://contract.mexc.com/edge",),
            capacity=CONTRACTS_PER_SOCKET,
            subscribe=lambda symbols: _frames("sub.funding.rate", symbols),
            unsubscribe=lambda symbols: _frames("unsub.funding.rate", symbols),
            ping=ClientPing(PING_EVERY_S, lambda _number: json_text({"method": "ping"})),
        ),
    )

    def snapshot_calls(self, symbols: Sequence[str]) -> Sequence[RestCall]:
        """One call brings all (§4a)."""
        del symbols
        return (_bulk(CURRENT),)

    def slice_frame(self, data: bytes) -> Frame:
        """A push is one piece; all else is an answer, or a channel that is not read (§1)."""
        message = _message(data)
        if message.channel != CHANNEL:
            return _control(message)
        symbol = message.symbol or _named(message.data).symbol
        event_us = micros(message.ts, us_per=1_000)
        return Frame(CHANNEL, (piece_of(symbol, data),), event_us=event_us)

    def slice_reply(self, call: RestCall, body: bytes) -> Sequence[Slice]:
        """Cut `data`, or the list of settlements in it, into one piece per row."""
        data = _reply(body).data
        if call.resource == HISTORY:
            data = _page(data).result_list
        if call.resource == DETAIL:
            return slices_of(_contracts(data), lambda contract: contract.symbol)
        return slices_of(_names(data), lambda row: row.symbol)

    def shown_rate(self, resource: str, payload: bytes) -> bytes:
        """Return the rate as it stands in the row."""
        del resource
        return values_of(payload, ("fundingRate",))

    def listings(self, call: RestCall, slices: Sequence[Slice]) -> Iterable[Listing] | None:
        """Perpetuals alone (§5)."""
        if call.resource != DETAIL:
            return None
        entries = (_contract(piece.payload) for piece in slices if piece.readable)
        return [Listing(entry.symbol, entry.status) for entry in entries if entry.is_perpetual]

    def fact_identity(self, resource: str, payload: bytes) -> bytes:
        """Return the lasting keys: a rate in the same row changes with each reply."""
        keys = _LASTING.get(resource)
        if keys is None:
            return payload
        return values_of(payload, keys)

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
        paging = Pages(HISTORY_LEAST)
        return PerSymbolWalk(symbol, Span(since_ms, until_ms), paging, _call, _read)

    def barred_s(self, call: RestCall, headers: Mapping[str, str], body: bytes) -> float | None:
        """Too many calls are told by a code in a reply with HTTP 200 (§4)."""
        del call, headers
        return BARRED_S if _code(body) == _TOO_OFTEN else None

    def fault(self, call: RestCall, headers: Mapping[str, str], body: bytes) -> str | None:
        """Errors come with HTTP 200 and a code, which is 0 where all is well (§4)."""
        del call, headers
        code = _code(body)
        if code not in {None, _NO_ERROR}:
            return f"code {code:.40}"
        return "the reply says that it is no success" if _success(body) is False else None


EXCHANGE = Mexc()
