"""Pacifica (docs/exchanges/pacifica.md): one subscription brings all symbols, history by cursor.

Spot markets stand among the perpetuals everywhere, and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from producers.exchanges.history_paging import Cursor, PerSymbolWalk, SettledRow, Span
from producers.exchanges.json_slicing import (
    ABSENT,
    Rows,
    code_reader,
    decoder,
    envelope,
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
    optional,
    piece_of,
)
from schemas.errors import MalformedInputError
from schemas.venues.pacifica import FEED

CHANNEL = "prices"
HISTORY_ROWS = 4_000
SILENT_S = 20.0
CONTRACT_SILENT_S = 100.0
FALLBACK_S = 10.0
QUIET_EVERY_S = 150.0
"""A symbol that does not change is not pushed (§6): REST brings it twice before it is stale, and
the hour has fewer than 48 calls all the same."""
MAX_AGE_S = 23 * 3600.0
"""A connection is closed after 24 hours (§5)."""
CREDITS = 125
"""Each minute, for an address without a key (§4)."""
PER_CREDIT = 10
"""Headers count tenths of credits (§4)."""
_POOL = "credits"
_HISTORY_CREDITS = 12
_WINDOW_S = 60.0
_TOO_MANY = "429"
_PERPETUAL = "perpetual"
_SPOT_ENDING = "-USDC"
_FIELDS = (
    *("symbol", "funding", "next_funding", "mark", "mid", "oracle", "open_interest", "timestamp"),
    *("volume_24h", "yesterday_price"),
)
_LEFT = re.compile(r";\s*r=(\d{1,9})\b")
_RESET_S = re.compile(r";\s*t=(\d{1,6})\b")


class _Message(msgspec.Struct, gc=False):
    channel: str | None = None
    data: msgspec.Raw = ABSENT
    err: msgspec.Raw = ABSENT


class _Price(msgspec.Struct, gc=False):
    symbol: str
    next_funding: msgspec.Raw = ABSENT
    timestamp: object = None


class _Market(msgspec.Struct, gc=False):
    symbol: str
    instrument_type: str | None = None
    base_asset: object = None


class _Settled(msgspec.Struct, gc=False):
    created_at: object


class _Reply(msgspec.Struct, gc=False):
    data: msgspec.Raw = ABSENT
    success: object = None
    code: object = None
    next_cursor: object = None
    has_more: object = None


def _time_ms(row: _Settled) -> int:
    return settled_ms(row.created_at)


_message: Callable[[Any], _Message] = decoder(_Message)
_reply: Callable[[Any], _Reply] = decoder(_Reply)
_code = code_reader(_Reply, lambda reply: reply.code)
_success = code_reader(_Reply, lambda reply: reply.success)
_prices = Rows(_Price)
_markets = Rows(_Market)
_market: Callable[[Any], _Market] = decoder(_Market)
_settled = Rows(_Settled, check=_time_ms)


def is_spot(symbol: str) -> bool:
    """Tell a spot market by its name, a pair as `SOL-USDC` (§8): rows say nothing else of it."""
    return symbol.endswith(_SPOT_ENDING)


def _cut(array: msgspec.Raw, around: Callable[[bytes], bytes]) -> list[Slice]:
    """Return a piece for each perpetual of an array of prices."""
    found = []
    for row, piece in _prices(array):
        if row is None:
            found.append(Slice(None, piece, readable=False))
        elif not is_spot(row.symbol):
            event_us = micros(row.timestamp, us_per=1_000)
            found.append(_piece(row, piece, around)._replace(event_us=event_us))
    return found


def _piece(row: _Price, text: bytes, around: Callable[[bytes], bytes]) -> Slice:
    piece = piece_of(row.symbol, text)
    if not piece.readable:
        return piece
    return piece._replace(payload=around(text), terms=bytes(row.next_funding))


def _as_it_is(piece: bytes) -> bytes:
    return piece


def _listed(market: _Market) -> bool:
    """Whether an entry of the list is a perpetual; one that does not say is told by its name."""
    kind = market.instrument_type or ("spot" if is_spot(market.symbol) else _PERPETUAL)
    return kind == _PERPETUAL


def _prices_call(resource: str, every: int = 1) -> RestCall:
    return RestCall(resource, "/api/v1/info/prices", costs={_POOL: 1}, every=every)


def _call(symbol: str, span: Span) -> RestCall:
    params = {"symbol": symbol, "limit": str(min(HISTORY_ROWS, span.hours + 2))}
    if span.cursor:
        params["cursor"] = span.cursor
    return RestCall(
        "funding_rate/history", "/api/v1/funding_rate/history", params, {_POOL: _HISTORY_CREDITS}
    )


def _read(body: bytes) -> list[SettledRow]:
    rows = _settled(_reply(body).data)
    return [SettledRow(_time_ms(row) if row else None, piece) for row, piece in rows]


def _cursor(body: bytes) -> str:
    """Return where the next page begins; `has_more` ends the history only where it says so."""
    reply = _reply(body)
    is_last = reply.has_more is False or not isinstance(reply.next_cursor, str)
    return "" if is_last else str(reply.next_cursor)


class Pacifica(Exchange):
    """The description."""

    feed = FEED.name
    rest_url = "https://api.pacifica.fi"
    silent_s = CONTRACT_SILENT_S
    fallback_s = FALLBACK_S
    quiet_every_s = QUIET_EVERY_S
    limits: Mapping[str, RateLimit] = {_POOL: RateLimit(CREDITS, _WINDOW_S)}
    limits_group = "pacifica"
    fact_calls = (
        RestCall("info", "/api/v1/info", costs={_POOL: 1}),
        optional(_prices_call("liquidity", every=2)),
    )
    documented: Mapping[str, PayloadFields] = {
        CHANNEL: PayloadFields(("channel", *(f"data[].{name}" for name in _FIELDS)), every_s=1.0),
        "info/prices": PayloadFields(_FIELDS),
        "funding_rate/history": PayloadFields(
            (
                *("oracle_price", "bid_impact_price", "ask_impact_price", "funding_rate"),
                *("next_funding_rate", "created_at"),
            )
        ),
    }
    true_up_calls_per_hour = 6
    socket_kinds = (
        SocketKind(
            "prices",
            SILENT_S,
            MAX_AGE_S,
            urls=("wss://ws.pacifica.fi/ws",),
            max_sockets=1,
            opening=('{"method":"subscribe","params":{"source":"prices"}}',),
            ping=ClientPing(30.0, lambda _number: '{"method":"ping"}'),
        ),
    )

    def snapshot_calls(self, symbols: Sequence[str]) -> Sequence[RestCall]:
        """One call brings all (§9a)."""
        del symbols
        return (_prices_call("info/prices"),)

    def slice_frame(self, data: bytes) -> Frame:
        """A row is one piece, in a frame of its own; its time is in the row (§6)."""
        message = _message(data)
        if message.channel == CHANNEL and present(message.data):
            array = bytes(message.data)
            return Frame(CHANNEL, _cut(message.data, envelope(data, "data", array).around))
        if message.channel in {"subscribe", "unsubscribe", "pong"}:
            return Frame("control", (), Control())
        if present(message.err):
            return Frame("control", (), Control(refused=True))
        if message.channel and message.channel != CHANNEL:
            return Frame(message.channel, (), unknown=message.channel)
        raise MalformedInputError("neither a channel's data nor an error")

    def slice_reply(self, call: RestCall, body: bytes) -> Sequence[Slice]:
        """Cut a reply into its rows; spot markets are left out."""
        reply = _reply(body)
        if call.resource != "info":
            return [piece._replace(terms=None) for piece in _cut(reply.data, _as_it_is)]
        markets = [(row, piece) for row, piece in _markets(reply.data) if not row or _listed(row)]
        return slices_of(markets, lambda market: market.symbol)

    def shown_rate(self, resource: str, payload: bytes) -> bytes:
        """Return the rate as it stands in the row."""
        del resource
        return values_of(payload, ("next_funding",))

    def listings(self, call: RestCall, slices: Sequence[Slice]) -> Iterable[Listing] | None:
        """What is in the list trades (§8)."""
        if call.resource != "info":
            return None
        trading = FEED.status_of("trading")
        return [Listing(piece.symbol, trading) for piece in slices if piece.symbol is not None]

    def fact_identity(self, resource: str, payload: bytes) -> bytes:
        """Rates stand beside the facts; as liquidity the numbers are what is wanted (§9c)."""
        return msgspec.json.encode(_market(payload)) if resource == "info" else payload

    def history(
        self,
        symbols: Sequence[str],
        since_ms: int,
        until_ms: int,
        keys: Mapping[str, str] = NO_KEYS,
    ) -> HistoryWalk:
        """Walk one symbol, newest first (§9b): the days that are wanted are one call."""
        del keys
        (symbol,) = symbols
        span = Span(since_ms, until_ms)
        return PerSymbolWalk(symbol, span, Cursor(), _call, _read, _cursor)

    def used(self, headers: Mapping[str, str]) -> Mapping[str, int]:
        """Headers count tenths of credits (§4): used is what is not left."""
        left = _LEFT.search(headers.get("ratelimit", ""))
        if left is None:
            return {}
        return {_POOL: max(0, CREDITS - int(left[1]) // PER_CREDIT)}

    def retry_after_s(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> float | None:
        """The time until the credits are new, where no other is told (§4)."""
        told_s = super().retry_after_s(headers, body, now_ms)
        reset = _RESET_S.search(headers.get("ratelimit", ""))
        return float(reset[1]) if told_s is None and reset else told_s

    def barred_s(self, call: RestCall, headers: Mapping[str, str], body: bytes) -> float | None:
        """The body's code may tell of too many calls with HTTP 200 (§4)."""
        del call
        if str(_code(body)) != _TOO_MANY:
            return None
        told_s = self.retry_after_s(headers, body, 0)
        return _WINDOW_S if told_s is None else told_s

    def fault(self, call: RestCall, headers: Mapping[str, str], body: bytes) -> str | None:
        """Every reply has `success`, which is false in an error (§9)."""
        del call, headers
        return "the reply says that it is no success" if _success(body) is False else None


EXCHANGE = Pacifica()
