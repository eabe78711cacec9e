"""Gate perpetuals (docs/exchanges/gate.md): one subscription per contract, full frames on change.

Three families of contracts, by what they are settled in, have sockets and REST paths of their own;
the ending of a symbol tells the family. Rows of settled rates name no contract.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from producers.exchanges.history_paging import FixedWindows, PerSymbolWalk, SettledRow, Span
from producers.exchanges.json_slicing import (
    ABSENT,
    Rows,
    chunks,
    decoder,
    envelope,
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
from schemas.errors import MalformedInputError
from schemas.venues.gate import FEED, IN_DELISTING

CHANNEL = "futures.tickers"
FUNDING = "funding_rate"
USDT, USD1, BTC = "usdt", "usd1", "btc"
LISTS = {"contracts": USDT, "contracts-usd1": USD1, "contracts-btc": BTC}
"""The family of each resource that lists contracts with their current rates."""
_LIST_OF = {family: resource for resource, family in LISTS.items()}
CONTRACTS_PER_FRAME = 100
CONTRACTS_PER_SOCKET = 200
"""No cap is published; 150 on one socket have worked (§3)."""
PING_EVERY_S = 15.0
SILENT_S = 60.0
"""Some of 200 contracts change all the time (§5)."""
FEW_SILENT_S = 300.0
"""The two small families may change rarely."""
CONTRACT_SILENT_S = 140.0
FALLBACK_S = 10.0
"""An outage takes a call of a family each so often, of 200 in 10 s (§9)."""
QUIET_EVERY_S = 450.0
"""Contracts that are silent are asked for within the 600 s after which a rate is stale, with at
most 24 calls an hour (§10)."""
QUIET_SOCKET_S = 300.0
"""All contracts of a socket may be quiet for a while; it answers pings meanwhile."""
MAX_AGE_S = 23 * 3600.0
"""No lifetime is documented (§3)."""
WINDOW_MS = 30 * 86_400_000
"""A reply has the rows of so long after `from` (§9b)."""
KEPT_MS = 179 * 86_400_000
"""What lies further back is refused (§9b)."""
SYSTEM = "futures.system"
_UPGRADES = frozenset({"upgrade", "service_upgrade"})
"""What a frame of the system says where the connection will be closed (§3)."""
_TIME = 123_456
"""`time` of what we send: it is demanded, and the documentation's own examples have this (§2)."""
_SMALL_LISTS_EVERY, _TICKERS_EVERY, _SMALL_TICKERS_EVERY = 6, 2, 6
_MS_PER_S = 1_000
_named_in_text = re.compile(r"currency pair:?\s*([^\s,\"]+)").search
_RESET_HEADER = "X-Gate-RateLimit-Reset-Timestamp"
_LASTING = (
    *("name", "status", "in_delisting", "is_pre_market", "type", "quanto_multiplier"),
    *("funding_interval", "funding_rate_limit", "launch_time", "contract_type"),
)
"""Keys of a contract whose change is worth publishing it again."""


class _Message(msgspec.Struct, gc=False):
    type: object = None
    channel: str | None = None
    event: str | None = None
    payload: object = None
    time_ms: object = None
    error: msgspec.Raw = ABSENT
    result: msgspec.Raw = ABSENT


class _Error(msgspec.Struct, gc=False):
    message: object = None


class _System(msgspec.Struct, gc=False):
    type: object = None


class _Row(msgspec.Struct, gc=False):
    contract: str
    t: object = None


class _Single(msgspec.Struct, gc=False):
    """A frame as nearly all are: an update of one row that can be read."""

    channel: str
    event: str
    result: tuple[_Row]
    time_ms: object = None


class _Contract(msgspec.Struct, gc=False):
    name: str
    status: str | None = None
    in_delisting: object = None
    is_pre_market: object = None


class _Ticker(msgspec.Struct, gc=False):
    contract: str


class _Settled(msgspec.Struct, gc=False):
    t: object


def _time_ms(row: _Settled) -> int:
    return settled_ms(row.t)


_decode_single = msgspec.json.Decoder(_Single).decode
_message: Callable[[Any], _Message] = decoder(_Message)
_error: Callable[[Any], _Error] = decoder(_Error)
_system: Callable[[Any], _System] = decoder(_System)
_rows = Rows(_Row)
_contracts = Rows(_Contract)
_contract: Callable[[Any], _Contract] = decoder(_Contract)
_tickers = Rows(_Ticker)
_settled = Rows(_Settled, check=_time_ms)


def family(symbol: str) -> str:
    """Return what a contract is settled in, by the ending of its name (§8)."""
    if symbol.endswith("_USDT"):
        return USDT
    return USD1 if symbol.endswith("_USD1") else BTC


def _answered(event: str, payload: object) -> str:
    """Return what tells a request from others: its answer repeats event and payload."""
    names = payload if isinstance(payload, list) else ()
    return f"{event} {','.join(map(str, names))}"


def _frames(event: str, symbols: Sequence[str]) -> list[SubscribeFrame]:
    return [
        SubscribeFrame(
            json_text({"time": _TIME, "channel": CHANNEL, "event": event, "payload": list(chunk)}),
            chunk,
            _answered(event, list(chunk)),
        )
        for chunk in chunks(symbols, CONTRACTS_PER_FRAME)
    ]


def _ping(_number: int) -> str:
    return json_text({"time": _TIME, "channel": "futures.ping"})


def _kind(settle: str, silent_s: float, max_sockets: int) -> SocketKind:
    return SocketKind(
        settle,
        silent_s,
        MAX_AGE_S,
        urls=(f"wss://fx-ws.gateio.ws/v4/ws/{settle}",),
        capacity=CONTRACTS_PER_SOCKET,
        max_sockets=max_sockets,
        takes=lambda symbol: family(symbol) == settle,
        subscribe=lambda symbols: _frames("subscribe", symbols),
        unsubscribe=lambda symbols: _frames("unsubscribe", symbols),
        ping=ClientPing(PING_EVERY_S, _ping),
        splits_refused=True,
        quiet_s=QUIET_SOCKET_S,
    )


def _bulk(resource: str, settle: str, name: str, every: int = 1) -> RestCall:
    """Ask for all contracts of a family. Without `limit`: it may be 100 at most (§9a)."""
    return RestCall(resource, f"/api/v4/futures/{settle}/{name}", costs={name: 1}, every=every)


def _call(symbol: str, span: Span) -> RestCall:
    params = {
        "contract": symbol,
        "from": str(-(-span.from_ms // _MS_PER_S)),
        "to": str(span.to_ms // _MS_PER_S),
        "limit": "1000",
    }
    return RestCall(FUNDING, f"/api/v4/futures/{family(symbol)}/{FUNDING}", params, {FUNDING: 1})


def _read(body: bytes) -> list[SettledRow]:
    return [SettledRow(_time_ms(row) if row else None, piece) for row, piece in _settled(body)]


def _control(message: _Message) -> Control:
    """Read an answer: it repeats what was asked, and is one for all of it (§2)."""
    answers = _answered(message.event or "", message.payload)
    if present(message.error):
        text = _error(message.error).message
        found = _named_in_text(text) if isinstance(text, str) else None
        named = (found[1],) if found else ()
        return Control(refused=True, refused_symbols=named, answers=answers)
    if message.event != "subscribe" or not isinstance(message.payload, list):
        return Control(answers=answers)
    names = tuple(name for name in message.payload if isinstance(name, str))
    return Control(acknowledged=names, answers=answers)


def _announces_upgrade(message: _Message) -> bool:
    """Whether the exchange says that it will close the connection, in either form (§3)."""
    kind = message.type
    if message.channel == SYSTEM and present(message.result):
        try:
            kind = _system(message.result).type
        except MalformedInputError:
            return False
    return isinstance(kind, str) and message.channel in {None, "", SYSTEM} and kind in _UPGRADES


class Gate(Exchange):
    """The description."""

    feed = FEED.name
    rest_url = "https://api.gateio.ws"
    silent_s = CONTRACT_SILENT_S
    fallback_s = FALLBACK_S
    quiet_every_s = QUIET_EVERY_S
    snapshot_at_start = True
    limits: Mapping[str, RateLimit] = dict.fromkeys(
        ("contracts", "tickers", FUNDING), RateLimit(200, 10.0)
    )
    limits_group = "gate"
    fact_calls = (
        _bulk("contracts", USDT, "contracts"),
        _bulk("contracts-usd1", USD1, "contracts", _SMALL_LISTS_EVERY),
        _bulk("contracts-btc", BTC, "contracts", _SMALL_LISTS_EVERY),
        optional(_bulk("tickers", USDT, "tickers", _TICKERS_EVERY)),
        optional(_bulk("tickers", USD1, "tickers", _SMALL_TICKERS_EVERY)),
        optional(_bulk("tickers", BTC, "tickers", _SMALL_TICKERS_EVERY)),
    )
    documented: Mapping[str, PayloadFields] = {
        CHANNEL: PayloadFields(
            (
                *("time", "time_ms", "channel", "event", "result[].contract", "result[].last"),
                *("result[].mark_price", "result[].index_price", "result[].funding_rate"),
                *("result[].funding_rate_indicative", "result[].funding_interval"),
                *("result[].funding_next_apply", "result[].funding_offset", "result[].t"),
                *("result[].change_percentage", "result[].total_size", "result[].volume_24h"),
                *("result[].volume_24h_base", "result[].volume_24h_quote", "result[].low_24h"),
                *("result[].volume_24h_settle", "result[].quanto_base_rate", "result[].high_24h"),
            ),
            sometimes=("result[].price_type", "result[].change_from", "result[].change_price"),
        ),
        FUNDING: PayloadFields(("r", "t")),
    }
    true_up_calls_per_hour = 7
    socket_kinds = (
        _kind(USDT, SILENT_S, 16),
        _kind(USD1, FEW_SILENT_S, 2),
        _kind(BTC, FEW_SILENT_S, 2),
    )

    def snapshot_calls(self, symbols: Sequence[str]) -> Sequence[RestCall]:
        """One call for each family that the contracts are of (§9a)."""
        wanted = {family(symbol) for symbol in symbols} or set(LISTS.values())
        return [_bulk(_LIST_OF[f], f, "contracts") for f in LISTS.values() if f in wanted]

    def slice_frame(self, data: bytes) -> Frame:
        """Cut an update into its rows, each in the frame's envelope; nearly all have one."""
        try:
            single = _decode_single(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            if single.channel == CHANNEL and single.event == "update":
                (row,) = single.result
                event_us = _event_us(row, single.time_ms)
                piece = piece_of(row.contract, data)._replace(event_us=event_us)
                return Frame(CHANNEL, (piece,), event_us=event_us)
        message = _message(data)
        if _announces_upgrade(message):
            return Frame("control", (), Control(ends=True))
        if message.event == "update":
            return self._update(message, data)
        if present(message.error) or message.event in {"subscribe", "unsubscribe"}:
            return Frame("control", (), _control(message))
        if message.channel == "futures.pong":
            return Frame("control", (), Control())
        if message.channel:
            return Frame("control", (), unknown=f"{message.channel} {message.event or ''}".strip())
        raise MalformedInputError("neither an update nor an answer")

    def _update(self, message: _Message, data: bytes) -> Frame:
        if message.channel != CHANNEL:
            return Frame("control", (), unknown=message.channel or "an update of no channel")
        if not present(message.result):
            raise MalformedInputError("an update without a result")
        around = envelope(data, "result", bytes(message.result)).around
        pieces = [
            Slice(None, text, readable=False)
            if row is None
            else piece_of(row.contract, around(text))._replace(
                event_us=_event_us(row, message.time_ms)
            )
            for row, text in _rows(message.result)
        ]
        times = [piece.event_us for piece in pieces if piece.event_us is not None]
        return Frame(CHANNEL, pieces, event_us=max(times, default=None))

    def slice_reply(self, call: RestCall, body: bytes) -> Sequence[Slice]:
        """Cut a reply into one piece per row."""
        if call.resource in LISTS:
            return slices_of(_contracts(body), lambda contract: contract.name)
        return slices_of(_tickers(body), lambda row: row.contract)

    def shown_rate(self, resource: str, payload: bytes) -> bytes:
        """Return the rate as it stands in the row."""
        del resource
        return values_of(payload, ("funding_rate",))

    def listings(self, call: RestCall, slices: Sequence[Slice]) -> Iterable[Listing] | None:
        """Perpetuals of a family, without those of the pre-market (§8)."""
        if call.resource not in LISTS:
            return None
        entries = (_contract(piece.payload) for piece in slices if piece.readable)
        return [
            Listing(entry.name, FEED.status_of(_status_word(entry)))
            for entry in entries
            if entry.is_pre_market is not True
        ]

    def fact_identity(self, resource: str, payload: bytes) -> bytes:
        """Return the lasting keys: rate and prices in the same row change with each reply."""
        if resource not in LISTS:
            return payload
        return values_of(payload, _LASTING)

    def history(
        self,
        symbols: Sequence[str],
        since_ms: int,
        until_ms: int,
        keys: Mapping[str, str] = NO_KEYS,
    ) -> HistoryWalk:
        """Walk one contract, in windows of 30 days (§9b)."""
        del keys
        (symbol,) = symbols
        span = Span(max(since_ms, until_ms - KEPT_MS), until_ms)
        return PerSymbolWalk(symbol, span, FixedWindows(WINDOW_MS), _call, _read)

    def retry_after_s(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> float | None:
        """Read Retry-After and when the window of the limit ends: the later counts.

        An end that has passed says nothing: replies have named the second in which they were sent
        (§9).
        """
        told_s = super().retry_after_s(headers, body, now_ms)
        text = headers.get(_RESET_HEADER, "")
        if not (text.isascii() and text.isdigit() and len(text) < 12):
            return told_s
        left_s = int(text) - now_ms / _MS_PER_S
        return max(left_s, told_s or 0.0) if left_s > 0 else told_s


def _status_word(entry: _Contract) -> str | None:
    word = entry.status
    return IN_DELISTING.get(word or "", word) if entry.in_delisting is True else word


def _event_us(row: _Row, time_ms: object) -> int | None:
    """Return the time of a row's price; frames of before 2024 have that of the frame alone (§6)."""
    return micros(row.t, us_per=1_000) or micros(time_ms, us_per=1_000)


EXCHANGE = Gate()
