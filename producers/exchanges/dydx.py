"""dYdX v4's indexer (docs/exchanges/dydx.md): one subscription brings all markets.

It begins with whole rows of all; after that a frame names the fields that have changed, of rates
and of oracle prices apart, under the market's ticker. The messages of a connection are counted, so
that a lost one is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from producers.exchanges.history_paging import Backward, PerSymbolWalk, SettledRow, Span
from producers.exchanges.json_slicing import (
    ABSENT,
    Rows,
    decoder,
    first_byte,
    json_text,
    keyed_rows,
    percent,
    present,
    raws,
    settled_ms,
    values_of,
)
from producers.exchanges.spec import (
    NO_KEYS,
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
    optional,
    piece_of,
)
from schemas.contract_status import ContractStatus
from schemas.errors import MalformedInputError
from schemas.venues.dydx import FEED, has_price, status_of

CHANNEL = "v4_markets"
LIQUIDITY = "liquidity"
_MARKETS = "perpetualMarkets"
_HISTORY = "historicalFunding"
_REQUESTS = "requests"
HISTORY_LIMIT = 1000
CONTRACT_SILENT_S = 100.0
FALLBACK_S = 30.0
QUIET_EVERY_S = 150.0
"""Twice within the 300 s after which a rate is stale, and 30 calls an hour at most (§5)."""
SILENT_S = 120.0
"""Some market's oracle price moves all the time (§1)."""
MAX_AGE_S = 23 * 3600.0
"""No lifetime is documented (§1)."""
_ROW_FIELDS = frozenset({"ticker", "status", "nextFundingRate", "oraclePrice"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE, _CHANGE = Partial(b"", b"", whole=True), Partial(b"", b"", whole=False)


class _Message(msgspec.Struct, gc=False):
    type: str
    channel: str | None = None
    message_id: int | None = None
    contents: msgspec.Raw = ABSENT


class _Contents(msgspec.Struct, gc=False, rename="camel"):
    """What a message brings: whole rows, changes, oracle prices (§2)."""

    markets: msgspec.Raw = ABSENT
    trading: msgspec.Raw = ABSENT
    oracle_prices: msgspec.Raw = ABSENT


class _Market(msgspec.Struct, gc=False, rename="camel"):
    ticker: str | None = None
    """A row without it stands under it."""
    status: object = None
    oracle_price: object = None

    @property
    def state(self) -> ContractStatus:
        """The state that its word and its price make (§3)."""
        return status_of(self.status if isinstance(self.status, str) else None, self.oracle_price)


class _Reply(msgspec.Struct, gc=False, rename="camel"):
    markets: msgspec.Raw = ABSENT
    historical_funding: msgspec.Raw = ABSENT


class _Settled(msgspec.Struct, gc=False, rename="camel"):
    effective_at: str


_message: Callable[[Any], _Message] = decoder(_Message)
_fields: Callable[[Any], dict[str, msgspec.Raw]] = decoder(dict[str, msgspec.Raw])
_contents: Callable[[Any], _Contents] = decoder(_Contents)
_market: Callable[[Any], _Market] = decoder(_Market)
_reply: Callable[[Any], _Reply] = decoder(_Reply)


@lru_cache(maxsize=4_096)  # markets settle at the same hours
def _time_ms(text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise MalformedInputError(f"not an ISO time: {text!r:.60}") from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return settled_ms((time - _EPOCH) // timedelta(milliseconds=1))


_settled = Rows(_Settled, check=lambda row: _time_ms(row.effective_at))


def _iso(at_ms: int) -> str:
    time = _EPOCH + timedelta(milliseconds=at_ms)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{at_ms % 1_000:03d}Z"


def _rows(table: msgspec.Raw, partial: Partial | None = None) -> list[Slice]:
    """Cut a map of rows; a key without a hyphen is no market's, but one of the map itself.

    Without `partial` each row tells by its fields whether it is whole.
    """
    if not present(table):
        return []
    return [
        piece_of(member.key, member.row)._replace(partial=partial or _partial(member.row))
        if first_byte(member.row) == ord("{")
        else Slice(None, member.row, readable=False)
        for member in keyed_rows(bytes(table))
        if "-" in member.key
    ]


def _partial(row: bytes) -> Partial:
    """A row that names every field is whole, wherever it stands."""
    try:
        return _WHOLE if _fields(row).keys() >= _ROW_FIELDS else _CHANGE
    except MalformedInputError:
        return _CHANGE


def _pieces(contents: msgspec.Raw) -> list[Slice]:
    """Cut the contents of a message, several of which may stand in an array (§1), or none."""
    if not present(contents):
        return []
    texts: Iterable[Any] = (contents,)
    if first_byte(memoryview(contents)) == ord("["):
        texts = raws(contents)
    pieces: list[Slice] = []
    for text in texts:
        found = _contents(text)
        pieces += _rows(found.markets, _WHOLE)
        pieces += _rows(found.trading)
        pieces += _rows(found.oracle_prices, _CHANGE)
    return pieces


def _markets_call(resource: str, *, every: int = 1) -> RestCall:
    return RestCall(resource, f"/v4/{_MARKETS}", costs={_REQUESTS: 1}, every=every)


def _call(symbol: str, span: Span) -> RestCall:
    params = {
        "limit": str(min(HISTORY_LIMIT, span.hours + 2)),
        "effectiveBeforeOrAt": _iso(span.to_ms),
    }
    return RestCall(_HISTORY, f"/v4/{_HISTORY}/{percent(symbol)}", params, {_REQUESTS: 1})


def _read(body: bytes) -> list[SettledRow]:
    return [
        SettledRow(_time_ms(row.effective_at) if row else None, piece)
        for row, piece in _settled(_reply(body).historical_funding)
    ]


class Dydx(Exchange):
    """The description."""

    feed = FEED.name
    rest_url = "https://indexer.dydx.trade"
    silent_s = CONTRACT_SILENT_S
    fallback_s = FALLBACK_S
    quiet_every_s = QUIET_EVERY_S
    limits: Mapping[str, RateLimit] = {_REQUESTS: RateLimit(100, 10.0)}
    limits_group = "dydx"
    fact_calls = (_markets_call(_MARKETS), optional(_markets_call(LIQUIDITY, every=2)))
    row_fields = _ROW_FIELDS
    documented: Mapping[str, PayloadFields] = {
        CHANNEL: PayloadFields(
            ("ticker", "status", "nextFundingRate", "oraclePrice"), every_s=FEED.cadence_s
        ),
        _MARKETS: PayloadFields(
            (
                *("clobPairId", "ticker", "status", "oraclePrice", "priceChange24H", "volume24H"),
                *("trades24H", "nextFundingRate", "initialMarginFraction"),
                *("maintenanceMarginFraction", "openInterest", "atomicResolution"),
                *("quantumConversionExponent", "tickSize", "stepSize", "stepBaseQuantums"),
                *("subticksPerTick", "marketType", "openInterestLowerCap"),
                *("openInterestUpperCap", "baseOpenInterest"),
            ),
            sometimes=("defaultFundingRate1H",),
        ),
        _HISTORY: PayloadFields(("ticker", "rate", "price", "effectiveAt", "effectiveAtHeight")),
    }
    true_up_calls_per_hour = 7
    socket_kinds = (
        SocketKind(
            "markets",
            SILENT_S,
            MAX_AGE_S,
            urls=("wss://indexer.dydx.trade/v4/ws",),
            opening=(json_text({"type": "subscribe", "channel": CHANNEL}),),
            greeting_timeout_s=10.0,
        ),
    )

    def snapshot_calls(self, symbols: Sequence[str]) -> Sequence[RestCall]:
        """One call brings all (§4a)."""
        del symbols
        return (_markets_call(_MARKETS),)

    def slice_frame(self, data: bytes) -> Frame:
        """Cut a snapshot of whole rows, or changes; all else is about the connection (§1)."""
        message = _message(data)
        number = message.message_id
        if message.type == "connected":
            return Frame("control", (), Control(greeting=True), sequence=number)
        if message.type == "error":
            return Frame("control", (), Control(refused=True), sequence=number)
        if message.type == "unsubscribed":
            return Frame("control", (), Control(), sequence=number)
        if message.type not in {"subscribed", "channel_data", "channel_batch_data"}:
            return Frame(message.type, (), unknown=message.type, sequence=number)
        if message.channel != CHANNEL:
            name = message.channel or message.type
            return Frame(name, (), unknown=name, sequence=number)
        return Frame(CHANNEL, _pieces(message.contents), sequence=number)

    def slice_reply(self, call: RestCall, body: bytes) -> Sequence[Slice]:
        """Cut the map of all markets into its rows (§4a)."""
        del call
        pieces = []
        for member in keyed_rows(bytes(_reply(body).markets)):
            try:
                ticker = _market(member.row).ticker or member.key
                pieces.append(piece_of(ticker, member.row))
            except MalformedInputError:
                pieces.append(Slice(None, member.row, readable=False))
        if pieces and not any(piece.readable for piece in pieces):
            raise MalformedInputError("no readable row in markets")
        return pieces

    def shown_rate(self, resource: str, payload: bytes) -> bytes:
        """Return the rate as it stands in the row."""
        del resource
        return values_of(payload, ("nextFundingRate",))

    def listings(self, call: RestCall, slices: Sequence[Slice]) -> Iterable[Listing] | None:
        """All markets: one that does not trade stays in the list (§3)."""
        if call.resource != _MARKETS:
            return None
        return [
            Listing(piece.symbol, _market(piece.payload).state)
            for piece in slices
            if piece.symbol is not None
        ]

    def history(
        self,
        symbols: Sequence[str],
        since_ms: int,
        until_ms: int,
        keys: Mapping[str, str] = NO_KEYS,
    ) -> HistoryWalk:
        """Walk one market, newest first (§4b): the days that are wanted are one call."""
        del keys
        (symbol,) = symbols
        span = Span(since_ms, until_ms)
        return PerSymbolWalk(
            symbol, span, Backward(min(HISTORY_LIMIT, span.hours + 2)), _call, _read
        )

    def fact_identity(self, resource: str, payload: bytes) -> bytes:
        """Leave out what changes all the time; that there is a price is a fact (§3)."""
        if resource != _MARKETS:
            return payload
        market = _market(payload)
        return msgspec.json.encode((market.ticker, market.status, has_price(market.oracle_price)))


EXCHANGE = Dydx()
