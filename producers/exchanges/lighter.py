"""Lighter (docs/exchanges/lighter.md): one subscription brings all markets, in maps by market id.

REST calls name a market by its id, which the list tells; frames name id and symbol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from producers.exchanges.history_paging import PerSymbolWalk, SettledRow, Span, Windows
from producers.exchanges.json_slicing import (
    ABSENT,
    Member,
    Rows,
    code_reader,
    decoder,
    envelope,
    keyed_rows,
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
from schemas.venues.lighter import FEED

CHANNEL = "market_stats"
SILENT_S = 10.0
CONTRACT_SILENT_S = 60.0
FALLBACK_S = 20.0
QUIET_EVERY_S = 225.0
"""A market that does not change is not pushed (§6): REST brings it twice before it is stale, and
the hour has fewer than 48 calls all the same."""
MAX_AGE_S = 23 * 3600.0
"""Every connection is dropped after 24 hours (§4)."""
PING_EVERY_S = 30.0
"""A frame of the client is wanted within 2 minutes (§5)."""
HISTORY_ROWS = 750
"""Most rows of a reply (§9b)."""
BARRED_S = 60.0
"""So long the firewall refuses an address that has asked too often (§4)."""
GOOD, TOO_MANY = "200", "23000"
"""Codes of replies, numbers or text (§9)."""
_REQUESTS = "requests"
_PERP = "perp"
_MAX_ID_DIGITS = 9
_PONG = '{"type":"pong"}'


class _Message(msgspec.Struct, gc=False):
    type: str | None = None
    channel: str | None = None
    timestamp: object = None
    market_stats: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


class _Stats(msgspec.Struct, gc=False):
    symbol: str
    current_funding_rate: msgspec.Raw = ABSENT


class _Rate(msgspec.Struct, gc=False):
    symbol: str
    exchange: str


class _Market(msgspec.Struct, gc=False):
    symbol: str
    market_id: object = None
    market_type: str | None = None
    status: object = None

    @property
    def key(self) -> str:
        """Its id, as calls name it; empty where there is none that can be read."""
        digits = str(self.market_id) if isinstance(self.market_id, int | str) else ""
        return digits if len(digits) <= _MAX_ID_DIGITS and digits.isdigit() else ""


class _Settled(msgspec.Struct, gc=False):
    timestamp: object


class _Reply(msgspec.Struct, gc=False):
    code: object = None
    funding_rates: msgspec.Raw = ABSENT
    order_book_details: msgspec.Raw = ABSENT
    fundings: msgspec.Raw = ABSENT


def _time_ms(row: _Settled) -> int:
    return settled_ms(row.timestamp)


_message: Callable[[Any], _Message] = decoder(_Message)
_stats: Callable[[Any], _Stats] = decoder(_Stats)
_reply: Callable[[Any], _Reply] = decoder(_Reply)
_code = code_reader(_Reply, lambda reply: reply.code)
_rates = Rows(_Rate)
_markets = Rows(_Market)
_market: Callable[[Any], _Market] = decoder(_Market)
_settled = Rows(_Settled, check=_time_ms)


def _cut(around: Callable[[bytes], bytes], member: Member) -> Slice:
    """Return the piece of a market: the frame as it would read with this one alone."""
    try:
        stats = _stats(member.row)
    except MalformedInputError:
        return Slice(None, member.row, readable=False)
    piece = _piece(stats, member.row)
    return piece._replace(payload=around(member.member)) if piece.readable else piece


def _piece(stats: _Stats, payload: bytes) -> Slice:
    return piece_of(stats.symbol, payload)._replace(terms=bytes(stats.current_funding_rate))


def _pieces(message: _Message, data: bytes) -> list[Slice]:
    """Cut a frame of all markets, or of one where a single market was subscribed (§2)."""
    table = bytes(message.market_stats)
    if (message.channel or "").rpartition(":")[2].isdigit():
        return [_piece(_stats(table), data)]
    members = keyed_rows(table)
    markets = [member for member in members if member.key.isdigit()]
    if members and not markets:
        raise MalformedInputError("market_stats names no market by its id")
    around = envelope(data, CHANNEL, table).around
    pieces = [_cut(around, member) for member in markets]
    if pieces and not any(piece.readable for piece in pieces):
        raise MalformedInputError("no readable row in market_stats")
    return pieces


def _control(message: _Message) -> Frame:
    """Read a frame without data (§3, §5)."""
    if present(message.error):
        return Frame("control", (), Control(refused=True))
    if message.type == "connected":
        return Frame("control", (), Control(greeting=True))
    if message.type == "ping":
        return Frame("control", (), Control(reply=_PONG))
    if message.type == "shutdown":
        return Frame("control", (), Control(ends=True))
    if message.type in {"pong", "unsubscribed"}:
        return Frame("control", (), Control())
    if message.type:
        return Frame(message.type, (), unknown=message.type)
    raise MalformedInputError("neither a typed message nor an error")


def _details(resource: str, every: int = 1) -> RestCall:
    return RestCall(resource, "/api/v1/orderBookDetails", costs={_REQUESTS: 1}, every=every)


def _read(body: bytes) -> list[SettledRow]:
    rows = _settled(_reply(body).fundings)
    return [SettledRow(_time_ms(row) if row else None, piece) for row, piece in rows]


class Lighter(Exchange):
    """The description."""

    feed = FEED.name
    rest_url = "https://mainnet.zklighter.elliot.ai"
    silent_s = CONTRACT_SILENT_S
    fallback_s = FALLBACK_S
    quiet_every_s = QUIET_EVERY_S
    limits: Mapping[str, RateLimit] = {_REQUESTS: RateLimit(60, 60.0)}
    limits_group = "lighter"
    fact_calls = (_details("orderBookDetails"), optional(_details("liquidity", every=2)))
    documented: Mapping[str, PayloadFields] = {
        CHANNEL: PayloadFields(("type", "channel", "timestamp", "market_stats"), every_s=1.0),
        "funding-rates": PayloadFields(("market_id", "exchange", "symbol", "rate")),
        "fundings": PayloadFields(("timestamp", "value", "rate", "direction")),
    }
    true_up_calls_per_hour = 6
    socket_kinds = (
        SocketKind(
            "market-stats",
            SILENT_S,
            MAX_AGE_S,
            urls=("wss://mainnet.zklighter.elliot.ai/stream",),
            max_sockets=1,
            opening=('{"type":"subscribe","channel":"market_stats/all"}',),
            ping=ClientPing(PING_EVERY_S, lambda _number: '{"type":"ping"}'),
        ),
    )

    def snapshot_calls(self, symbols: Sequence[str]) -> Sequence[RestCall]:
        """One call brings all rates; the marks beside them are in the list alone (§9a)."""
        del symbols
        return (RestCall("funding-rates", "/api/v1/funding-rates", costs={_REQUESTS: 1}),)

    def slice_frame(self, data: bytes) -> Frame:
        """A market's row is one piece, in a frame of its own (§6)."""
        message = _message(data)
        is_stats = (message.type or "").endswith("/" + CHANNEL)
        if not (is_stats and present(message.market_stats)):
            return _control(message)
        pieces = _pieces(message, data)
        return Frame(CHANNEL, pieces, event_us=micros(message.timestamp, us_per=1_000))

    def slice_reply(self, call: RestCall, body: bytes) -> Sequence[Slice]:
        """Cut a reply into its rows; those of other exchanges and kinds of market are left out."""
        reply = _reply(body)
        if call.resource == "funding-rates":
            rates = _rates(reply.funding_rates)
            own = [(row, piece) for row, piece in rates if row is None or row.exchange == FEED.name]
            return slices_of(own, lambda row: row.symbol)
        markets = _markets(reply.order_book_details)
        perps = [
            (row, piece)
            for row, piece in markets
            if row is None or (row.market_type or _PERP) == _PERP
        ]
        return slices_of(perps, lambda row: row.symbol)

    def shown_rate(self, resource: str, payload: bytes) -> bytes:
        """Return the rate as it stands in the row."""
        del resource
        return values_of(payload, ("rate",))

    def listings(self, call: RestCall, slices: Sequence[Slice]) -> Iterable[Listing] | None:
        """Perpetuals, streaming while they are active; calls name them by their ids (§9)."""
        if call.resource != "orderBookDetails":
            return None
        found = []
        for piece in slices:
            if piece.symbol is not None:
                market = _market(piece.payload)
                word = market.status if isinstance(market.status, str) else None
                found.append(Listing(piece.symbol, FEED.status_of(word), market.key))
        return found

    def fact_identity(self, resource: str, payload: bytes) -> bytes:
        """Prices and volumes stand beside the facts; as liquidity they are what is wanted (§9c)."""
        if resource != "orderBookDetails":
            return payload
        return msgspec.json.encode(_market(payload))

    def history(
        self,
        symbols: Sequence[str],
        since_ms: int,
        until_ms: int,
        keys: Mapping[str, str] = NO_KEYS,
    ) -> HistoryWalk:
        """Walk one market in windows that no reply cuts (§9b): 33 days are two calls.

        A market without an id cannot be asked for: the walk has no calls.
        """
        (symbol,) = symbols
        market_id = keys.get(symbol, "")

        def call(_symbol: str, span: Span) -> RestCall:
            params = {
                "market_id": market_id,
                "resolution": "1h",
                "start_timestamp": str(span.from_ms // 1_000),
                "end_timestamp": str(span.to_ms // 1_000),
                "count_back": str(span.hours + 1),
            }
            return RestCall("fundings", "/api/v1/fundings", params, {_REQUESTS: 1})

        # A row at both ends, and one for the second that is cut off.
        windows = Windows(HISTORY_ROWS - 3)
        span = Span(since_ms, until_ms if market_id else since_ms - 1)
        return PerSymbolWalk(symbol, span, windows, call, _read)

    def barred_s(self, call: RestCall, headers: Mapping[str, str], body: bytes) -> float | None:
        """A limit was told in HTTP 200 (§4)."""
        del call, headers
        return BARRED_S if str(_code(body)) == TOO_MANY else None

    def fault(self, call: RestCall, headers: Mapping[str, str], body: bytes) -> str | None:
        """Errors may come with HTTP 200 and a code of their own (§9)."""
        del call, headers
        code = _code(body)
        is_good = code is None or str(code) == GOOD
        return None if is_good else f"the reply's code is {code!r:.40}"


EXCHANGE = Lighter()
