"""Binance USD-M (docs/exchanges/binance-usdm.md): one array stream, three REST resources, one
history walk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from producers.exchanges.binance import (
    HISTORY_LIMIT,
    MAX_AGE_S,
    PREMIUM_INDEX_FIELDS,
    SILENT_S,
    TICKER_WEIGHT,
    WEIGHT,
    WEIGHT_LIMIT,
    Binance,
    Settled,
    settled,
)
from producers.exchanges.json_slicing import Rows, decoder, slices_of
from producers.exchanges.spec import (
    NO_KEYS,
    HistoryPage,
    HistoryWalk,
    Listing,
    PayloadFields,
    RateLimit,
    RestCall,
    Slice,
    SocketKind,
    optional,
)
from schemas.feed_spec import FeedSpec
from schemas.venues.binance_usdm import FEED

STREAM = "!markPrice@arr@1s"
PERPETUAL_TYPES = frozenset({"PERPETUAL", "TRADIFI_PERPETUAL"})
"""A filter on PERPETUAL alone loses about 170 equity and commodity contracts (§8)."""
FUNDING = "funding"
SETTLED_CALL = RestCall("fundingRate", "/fapi/v1/fundingRate", costs={FUNDING: 1})
"""Asks for settled rates; the times and the contract are added for each page."""


class _Listed(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    status: str | None = None
    contract_type: str | None = None


_listed: Callable[[Any], _Listed] = decoder(_Listed)
_all_listed = Rows(_Listed)


class BinanceUsdm(Binance):
    """The description. One connection carries everything (§10).

    Exchanges that took over this interface describe what differs in a subclass.
    """

    facts: FeedSpec = FEED
    """Of the same feed as `feed`."""
    feed = FEED.name
    rest_url = "https://fapi.binance.com"
    limits: Mapping[str, RateLimit] = {WEIGHT: WEIGHT_LIMIT, FUNDING: RateLimit(500, 300.0)}
    fact_calls: Sequence[RestCall] = (
        RestCall("exchangeInfo", "/fapi/v1/exchangeInfo", costs={WEIGHT: 1}),
        RestCall("fundingInfo", "/fapi/v1/fundingInfo", costs={FUNDING: 1}, every=2),
        optional(
            RestCall("ticker/24hr", "/fapi/v1/ticker/24hr", costs={WEIGHT: TICKER_WEIGHT}, every=2)
        ),
    )
    listed = staticmethod(_all_listed)
    premium_index = RestCall("premiumIndex", "/fapi/v1/premiumIndex", costs={WEIGHT: 10})
    settled_call = SETTLED_CALL
    documented: Mapping[str, PayloadFields] = {
        STREAM: PayloadFields(
            ("e", "E", "s", "p", "P", "i", "r", "T"), sometimes=("ap", "st"), every_s=1.0
        ),
        "premiumIndex": PREMIUM_INDEX_FIELDS,
        "fundingRate": PayloadFields(
            ("symbol", "fundingRate", "fundingTime"), sometimes=("markPrice", "rateType")
        ),
        "fundingInfo": PayloadFields(
            (
                *("symbol", "adjustedFundingRateCap", "adjustedFundingRateFloor"),
                *("fundingIntervalHours", "disclaimer"),
            )
        ),
    }
    # The routed path: the unrouted one acks and stays silent (§1).
    socket_kinds = (
        SocketKind(
            "mark-price", SILENT_S, MAX_AGE_S, (f"wss://fstream.binance.com/market/ws/{STREAM}",)
        ),
    )

    def channel(self, stream: str) -> str:
        """Return the stream's name."""
        return stream or STREAM

    def listing(self, payload: bytes) -> Listing | None:
        """Perpetuals of both kinds, streaming while TRADING."""
        entry = _listed(payload)
        if entry.contract_type not in PERPETUAL_TYPES:
            return None
        return Listing(entry.symbol, self.facts.status_of(entry.status))

    def history(
        self,
        symbols: Sequence[str],
        since_ms: int,
        until_ms: int,
        keys: Mapping[str, str] = NO_KEYS,
    ) -> HistoryWalk:
        """Walk all symbols' rows at once, forward in time (§11): about 110 calls for 33 days."""
        del keys
        return WindowWalk(symbols, since_ms, until_ms, call=self.settled_call)


_Read = tuple[Settled | None, bytes]
"""A row of a page as it is read, None where it cannot be, and its exact bytes."""


def _fresh(read: Sequence[_Read], taken: frozenset[bytes]) -> list[Slice]:
    """Return the pieces of a page without the rows that the page before has brought."""
    return slices_of(
        ((row, piece) for row, piece in read if row is None or piece not in taken),
        lambda row: row.symbol,
    )


def _rows_at(stamp_ms: int, read: Sequence[_Read]) -> frozenset[bytes]:
    """Return the rows of one stamp."""
    return frozenset(
        piece for row, piece in read if row is not None and row.funding_time == stamp_ms
    )


class WindowWalk:
    """Pages of fundingRate without `symbol`, forward from `since_ms` (§9b, §11).

    A row that cannot be read is published as such and plays no part in paging. A full page may end
    inside one timestamp, so the next one starts at the last stamp inclusively and rows already
    taken are left out. They are known by their bytes: one contract may have a regular and a special
    settlement of one stamp. If a page holds a single timestamp, the walk cannot go on that way and
    asks for each symbol apart.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        since_ms: int,
        until_ms: int,
        limit: int = HISTORY_LIMIT,
        call: RestCall = SETTLED_CALL,
    ) -> None:
        """`limit`: rows of a full page. `call`: what asks for one, without its parameters."""
        self._limit = limit
        self._call = call
        self._since_ms = since_ms
        self._until_ms = until_ms
        self._cursor_ms = since_ms
        self._at_cursor: frozenset[bytes] = frozenset()
        """The rows of the cursor's stamp that the page before brought."""
        self._symbols = list(symbols)
        self._pending_symbols: list[str] | None = None
        self._symbol_cursor_ms = since_ms
        self._at_symbol_cursor: frozenset[bytes] = frozenset()
        self._done = since_ms > until_ms

    def next_call(self) -> RestCall | None:
        """Return the next page's call, or None when done."""
        if self._done:
            return None
        params = {
            "startTime": str(self._cursor_ms),
            "endTime": str(self._until_ms),
            "limit": str(self._limit),
        }
        if self._pending_symbols is not None:
            params["symbol"] = self._pending_symbols[-1]
            params["startTime"] = str(self._symbol_cursor_ms)
        return replace(self._call, params=params)

    def take(self, body: bytes) -> HistoryPage:
        """Take the reply to the last call. Raises MalformedInputError; the page stays wanted."""
        read = settled(body)
        rows = [row for row, _ in read if row is not None]
        full = len(read) >= self._limit
        if self._pending_symbols is not None:
            return self._take_symbol(read, rows[-1].funding_time if full else None)
        fresh = _fresh(read, self._at_cursor)
        if not full:
            self._cursor_ms = self._until_ms
            self._done = True
            return HistoryPage(fresh)
        last_ms = rows[-1].funding_time
        if last_ms <= self._cursor_ms:
            self._pending_symbols = sorted(self._symbols)
            self._symbol_cursor_ms = self._cursor_ms
            self._done = not self._pending_symbols
            return HistoryPage(fresh)
        self._cursor_ms = last_ms
        self._at_cursor = _rows_at(last_ms, read)
        return HistoryPage(fresh)

    def _take_symbol(self, read: Sequence[_Read], last_ms: int | None) -> HistoryPage:
        """Take a contract's page; `last_ms` is its newest row, None: there are no more."""
        assert self._pending_symbols
        fresh = _fresh(read, self._at_symbol_cursor)
        self._at_symbol_cursor = frozenset()
        if last_ms is None or last_ms < self._symbol_cursor_ms:
            self._pending_symbols.pop()
            self._symbol_cursor_ms = self._cursor_ms
            self._done = not self._pending_symbols
        elif last_ms == self._symbol_cursor_ms:
            # A page of one stamp: there is no way to ask for what it may have left out.
            self._symbol_cursor_ms = last_ms + 1
        else:
            self._symbol_cursor_ms = last_ms
            self._at_symbol_cursor = _rows_at(last_ms, read)
        return HistoryPage(fresh)

    @property
    def progress(self) -> float:
        """Share of the time span that is done."""
        if self._done:
            return 1.0
        span = max(1, self._until_ms - self._since_ms)
        return (self._cursor_ms - self._since_ms) / span


EXCHANGE = BinanceUsdm()
