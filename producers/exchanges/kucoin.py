"""KuCoin futures (docs/exchanges/kucoin.md): two sockets that say the same; the UTA one says it in
one go.

The UTA socket brings every contract's rate, interval and last settlement once a minute. The classic
one is the second source: a topic per contract, and announcements of settlements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from producers.exchanges.history_paging import PerSymbolWalk, SettledRow, Span, Windows
from producers.exchanges.json_slicing import (
    ABSENT,
    Rows,
    chunks,
    decoder,
    envelope,
    first_byte,
    json_text,
    micros,
    percent,
    present,
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
    Ticket,
    piece_of,
)
from schemas.errors import MalformedInputError
from schemas.venues.kucoin import FEED

UTA_CHANNEL = "funding-fee-all-symbols"
TOPICS_PER_FRAME = 100
CONTRACTS_PER_SOCKET = 115
"""Each is two topics: below the 250 that are safe on a connection (§B)."""
HISTORY_INTERVALS = 90
UTA_SILENT_S = 150.0
"""It pushes once a minute (§A, docs/exchanges/README.md §8)."""
CONTRACT_SILENT_S = 75.0
FALLBACK_S = 30.0
CLASSIC_SILENT_S = 30.0
"""Its mark prices come each second."""
MAX_AGE_S = 23 * 3600.0
"""The classic token, and perhaps its connection, ends after 24 h (§B)."""
PING_EVERY_S = 18.0
"""Where the greeting does not say otherwise."""
GREETING_TIMEOUT_S = 10.0
_WEIGHT = "weight"
_SUCCESS = "200000"
_DATED = "FFICSX"
_TOPIC = "/contract/"
_INSTRUMENT = "/contract/instrument"
_ANNOUNCEMENT = "/contract/announcement"
_UNPUBLISHED = frozenset({"mark-price", "instrument:mark.index.price"})
"""Channels without a rate."""
_CHANNELS = _UNPUBLISHED | {
    *(UTA_CHANNEL, "funding-fee"),
    *("instrument:funding.rate", "announcement:funding.begin", "announcement:funding.end"),
}


class _Row(msgspec.Struct, gc=False):
    s: str


class _Symbol(msgspec.Struct, gc=False):
    symbol: str


class _Uta(msgspec.Struct, gc=False):
    """Any frame of either socket: which keys are there tells which."""

    channel: str | None = msgspec.field(name="T", default=None)
    data: msgspec.Raw = msgspec.field(name="d", default=ABSENT)
    pushed_ns: object = msgspec.field(name="P", default=None)
    type: str | None = None
    message: msgspec.Raw = ABSENT
    result: msgspec.Raw = ABSENT
    ping_interval_ms: float | None = msgspec.field(name="pingInterval", default=None)
    topic: str | None = None
    subject: str | None = None
    classic: msgspec.Raw = msgspec.field(name="data", default=ABSENT)


class _Reply(msgspec.Struct, gc=False):
    code: str
    data: msgspec.Raw = ABSENT


class _Contract(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    type: str | None = None
    status: str | None = None


class _Settled(msgspec.Struct, gc=False):
    timepoint: int


class _Server(msgspec.Struct, gc=False):
    endpoint: str


class _Bullet(msgspec.Struct, gc=False, rename="camel"):
    token: str
    instance_servers: list[_Server]


_message: Callable[[Any], _Uta] = decoder(_Uta)
_row: Callable[[Any], _Row] = decoder(_Row)
_rows = Rows(_Row)
_symbol: Callable[[Any], _Symbol] = decoder(_Symbol)
_reply: Callable[[Any], _Reply] = decoder(_Reply)
_contract: Callable[[Any], _Contract] = decoder(_Contract)
_contracts = Rows(_Contract)
_settled = Rows(_Settled)
_bullet: Callable[[Any], _Bullet] = decoder(_Bullet)

_LASTING = (
    *("symbol", "type", "status", "baseCurrency", "quoteCurrency", "settleCurrency", "multiplier"),
    *("isInverse", "fundingRateGranularity", "currentFundingRateGranularity", "marketStage"),
    *("effectiveFundingRateCycleStartTime", "fundingRateCap", "fundingRateFloor", "expireDate"),
    "firstOpenDate",
)
"""Keys of contracts/active that are facts; the others are prices and counters (§5a). The date of
the first opening tells a ticker that is used again from the contract that had it before."""


def _change(kind: str, identity: str, topic: str) -> str:
    """Write a text that subscribes to, or leaves, a topic of the classic socket."""
    return json_text(
        {"id": identity, "type": kind, "topic": topic, "privateChannel": False, "response": True}
    )


def _topics(kind: str, symbols: Sequence[str]) -> list[SubscribeFrame]:
    """A contract's estimates, which name the contracts, and its announcements.

    Newer documents name a contract in the topic of announcements, older ones do not; nobody saw
    which of the two delivers. Both are asked for: a settlement that is told twice counts once.
    """
    frames: list[SubscribeFrame] = []
    for number, chunk in enumerate(chunks(symbols, TOPICS_PER_FRAME), 1):
        names = ",".join(chunk)
        frames += (
            SubscribeFrame(_change(kind, f"{kind}{number}", f"{_INSTRUMENT}:{names}"), chunk),
            SubscribeFrame(_change(kind, f"{kind}{number}a", f"{_ANNOUNCEMENT}:{names}"), ()),
        )
    return frames


def _ping(number: int) -> str:
    return json_text({"id": f"ping{number}", "type": "ping"})


def _classic_url(body: bytes, connect_id: str) -> str:
    """Return where the reply to bullet-public says to connect (§B)."""
    bullet = _bullet(_reply(body).data)
    if not bullet.instance_servers:
        raise MalformedInputError("bullet-public names no server")
    endpoint = bullet.instance_servers[0].endpoint
    return f"{endpoint}?token={percent(bullet.token)}&connectId={percent(connect_id)}"


def _call(symbol: str, span: Span) -> RestCall:
    params = {"symbol": symbol, "from": str(span.from_ms), "to": str(span.to_ms)}
    return RestCall("funding-rates", "/api/v1/contract/funding-rates", params, {_WEIGHT: 5})


def _read(body: bytes) -> list[SettledRow]:
    data = _reply(body).data
    if not present(data):
        return []
    return [SettledRow(row.timepoint if row else None, piece) for row, piece in _settled(data)]


def _uta_frame(channel: str, inner: msgspec.Raw, data: bytes) -> Frame:
    """Cut an array into its rows, each in the frame's envelope; a single row is the frame."""
    if channel not in _CHANNELS:
        return Frame(channel, (), unknown=channel)
    if first_byte(memoryview(inner)) != ord("["):
        published = channel not in _UNPUBLISHED
        return Frame(channel, [piece_of(_row(inner).s, data)], published=published)
    around = envelope(data, "d", bytes(inner)).around
    pieces = slices_of(_rows(inner), lambda row: row.s)
    return Frame(
        channel,
        [
            piece._replace(payload=around(piece.payload)) if piece.readable else piece
            for piece in pieces
        ],
    )


def _classic_frame(message: _Uta, data: bytes) -> Frame:
    """Name the channel by topic and subject; the symbol stands in the topic or in the data."""
    if not message.topic or not message.subject:
        raise MalformedInputError("a message without a topic or a subject")
    kind, _, symbol = message.topic.removeprefix(_TOPIC).partition(":")
    channel = f"{kind}:{message.subject}"
    if channel not in _CHANNELS:
        return Frame(channel, (), unknown=channel)
    if channel in _UNPUBLISHED:
        return Frame(channel, (), published=False)
    if not symbol or symbol == "ALL":
        symbol = _symbol(message.classic).symbol
    return Frame(channel, [piece_of(symbol, data)])


def _control(message: _Uta) -> Control | None:
    """Read a greeting, an ack, an error or a pong of either socket; None: it is none of them."""
    welcome = message.type == "welcome" or bytes(message.message) == b'"welcome"'
    if welcome:
        ping_ms = message.ping_interval_ms
        usable = ping_ms is not None and 1_000 <= ping_ms <= 60_000
        return Control(greeting=True, ping_every_s=ping_ms / 1_000 if ping_ms and usable else None)
    if message.type in {"ack", "pong"}:
        return Control()
    if message.type == "error":
        return Control(refused=True)
    if present(message.result):
        # The documentation shows "true", the wire true (§A).
        return Control(refused=bytes(message.result) not in {b"true", b'"true"'})
    return None


class Kucoin(Exchange):
    """The description."""

    feed = FEED.name
    rest_url = "https://api-futures.kucoin.com"
    silent_s = CONTRACT_SILENT_S
    fallback_s = FALLBACK_S
    limits: Mapping[str, RateLimit] = {_WEIGHT: RateLimit(2000, 30.0)}
    limits_group = "kucoin"
    active = RestCall("contracts/active", "/api/v1/contracts/active", costs={_WEIGHT: 3})
    fact_calls = (active,)
    documented: Mapping[str, PayloadFields] = {
        UTA_CHANNEL: PayloadFields(
            (
                *("T", "P", "d[].s", "d[].fr", "d[].ft", "d[].lfr", "d[].nt", "d[].gl"),
                *("d[].fc", "d[].ff"),
            ),
            every_s=60.0,
        ),
        "instrument:funding.rate": PayloadFields(
            (
                *("topic", "type", "subject", "data.granularity", "data.fundingRate"),
                "data.timestamp",
            ),
            sometimes=("data.period",),
            every_s=60.0,
        ),
        "funding-rates": PayloadFields(("symbol", "fundingRate", "timepoint")),
    }
    snapshot_at_start = True
    true_up_calls_per_hour = 6
    socket_kinds = (
        SocketKind(
            "uta",
            UTA_SILENT_S,
            MAX_AGE_S,
            urls=("wss://x-push-futures.kucoin.com/",),
            opening=(json_text({"id": "1", "action": "SUBSCRIBE", "channel": UTA_CHANNEL}),),
            ping=ClientPing(PING_EVERY_S, _ping),
            greeting_timeout_s=GREETING_TIMEOUT_S,
        ),
        SocketKind(
            "classic",
            CLASSIC_SILENT_S,
            MAX_AGE_S,
            ticket=Ticket(
                RestCall(
                    "bullet-public", "/api/v1/bullet-public", costs={_WEIGHT: 10}, method="POST"
                ),
                _classic_url,
            ),
            capacity=CONTRACTS_PER_SOCKET,
            opening=(_change("subscribe", "announcement", _ANNOUNCEMENT),),
            subscribe=lambda symbols: _topics("subscribe", symbols),
            unsubscribe=lambda symbols: _topics("unsubscribe", symbols),
            ping=ClientPing(PING_EVERY_S, _ping),
            greeting_timeout_s=GREETING_TIMEOUT_S,
            secondary=True,
        ),
    )

    def snapshot_calls(self, symbols: Sequence[str]) -> Sequence[RestCall]:
        """One call brings all (§5a)."""
        del symbols
        return (self.active,)

    def slice_frame(self, data: bytes) -> Frame:
        """Cut a frame of either socket; the keys tell which it is."""
        message = _message(data)
        if message.channel is not None and present(message.data):
            event_us = micros(message.pushed_ns, per_us=1_000)
            return _uta_frame(message.channel, message.data, data)._replace(event_us=event_us)
        if message.type == "message":
            return _classic_frame(message, data)
        control = _control(message)
        if control is None and message.type:
            return Frame("control", (), unknown=message.type)
        if control is None:
            raise MalformedInputError("neither data nor a control frame")
        return Frame("control", (), control)

    def slice_reply(self, call: RestCall, body: bytes) -> Sequence[Slice]:
        """Cut `data` into one piece per row."""
        del call
        return slices_of(_contracts(_reply(body).data), lambda contract: contract.symbol)

    def listings(self, call: RestCall, slices: Sequence[Slice]) -> Iterable[Listing] | None:
        """Perpetuals: every type but the dated one (§4)."""
        if call.resource != self.active.resource:
            return None
        entries = (_contract(piece.payload) for piece in slices if piece.readable)
        return [
            Listing(entry.symbol, FEED.status_of(entry.status))
            for entry in entries
            if entry.type != _DATED
        ]

    def fact_identity(self, resource: str, payload: bytes) -> bytes:
        """Return the lasting keys: prices in the same row change with each reply."""
        del resource
        return values_of(payload, _LASTING)

    def history(
        self,
        symbols: Sequence[str],
        since_ms: int,
        until_ms: int,
        keys: Mapping[str, str] = NO_KEYS,
    ) -> HistoryWalk:
        """Walk one contract in windows of 90 intervals (§5b), the oldest first."""
        del keys
        (symbol,) = symbols
        paging = Windows(HISTORY_INTERVALS)
        return PerSymbolWalk(symbol, Span(since_ms, until_ms), paging, _call, _read)

    def used(self, headers: Mapping[str, str]) -> Mapping[str, int]:
        """Read gw-ratelimit-limit less gw-ratelimit-remaining."""
        limit = _whole(headers.get("gw-ratelimit-limit"))
        remaining = _whole(headers.get("gw-ratelimit-remaining"))
        if limit is None or remaining is None:
            return {}
        return {_WEIGHT: max(0, limit - remaining)}

    def retry_after_s(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> float | None:
        """Read Retry-After, else gw-ratelimit-reset, in ms (§5). Without: overload."""
        reset_ms = _whole(headers.get("gw-ratelimit-reset"))
        told_s = super().retry_after_s(headers, body, now_ms)
        return reset_ms / 1_000 if told_s is None and reset_ms is not None else told_s

    def fault(self, call: RestCall, headers: Mapping[str, str], body: bytes) -> str | None:
        """Business errors come with HTTP 200 and a code (§5)."""
        del call, headers
        try:
            code = _reply(body).code
        except MalformedInputError:
            return None  # whoever reads the reply will say so
        return None if code == _SUCCESS else f"code {code[:20]}"


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else None


EXCHANGE = Kucoin()
