"""Binance COIN-M: one stream per contract on one connection, whose path is disputed.

The facts are in docs/exchanges/binance-coinm.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    settled,
)
from producers.exchanges.history_paging import Forward, PerSymbolWalk, SettledRow, Span
from producers.exchanges.json_slicing import Rows, chunks, decoder, json_text
from producers.exchanges.spec import (
    NO_KEYS,
    HistoryWalk,
    Listing,
    PayloadFields,
    RateLimit,
    RestCall,
    SocketKind,
    SubscribeFrame,
    optional,
)
from schemas.venues.binance_coinm import FEED

CHANNEL = "markPrice"
"""One for all contracts, although each has a stream of its own: records are made by channel."""
STREAMS_PER_FRAME = 50
STREAMS_PER_SOCKET = 200
"""The lower of the documented figures (docs/exchanges/binance-usdm.md §3, binance-coinm.md §3)."""


class _Listed(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    contract_status: str | None = None
    contract_type: str | None = None


_listed: Callable[[Any], _Listed] = decoder(_Listed)
_all_listed = Rows(_Listed)


def _frames(method: str, symbols: Sequence[str]) -> list[SubscribeFrame]:
    return [
        SubscribeFrame(
            json_text(
                {
                    "method": method,
                    "params": [f"{symbol.lower()}@markPrice@1s" for symbol in chunk],
                    "id": number,
                }
            ),
            chunk,
        )
        for number, chunk in enumerate(chunks(symbols, STREAMS_PER_FRAME), 1)
    ]


def _call(symbol: str, span: Span) -> RestCall:
    params = {
        "symbol": symbol,
        "startTime": str(span.from_ms),
        "endTime": str(span.to_ms),
        "limit": str(HISTORY_LIMIT),
    }
    return RestCall("fundingRate", "/dapi/v1/fundingRate", params, {WEIGHT: 1})


def _read(body: bytes) -> list[SettledRow]:
    return [SettledRow(row.funding_time if row else None, piece) for row, piece in settled(body)]


class BinanceCoinm(Binance):
    """The description."""

    feed = FEED.name
    rest_url = "https://dapi.binance.com"
    limits: Mapping[str, RateLimit] = {WEIGHT: WEIGHT_LIMIT}
    fact_calls = (
        RestCall("exchangeInfo", "/dapi/v1/exchangeInfo", costs={WEIGHT: 1}),
        RestCall("fundingInfo", "/dapi/v1/fundingInfo", costs={WEIGHT: 1}, every=2),
        optional(
            RestCall("ticker/24hr", "/dapi/v1/ticker/24hr", costs={WEIGHT: TICKER_WEIGHT}, every=2)
        ),
    )
    listed = staticmethod(_all_listed)
    premium_index = RestCall("premiumIndex", "/dapi/v1/premiumIndex", costs={WEIGHT: 10})
    documented: Mapping[str, PayloadFields] = {
        CHANNEL: PayloadFields(
            ("e", "E", "s", "p", "P", "r", "T"), sometimes=("ap", "st", "i"), every_s=1.0
        ),
        "premiumIndex": PREMIUM_INDEX_FIELDS,
        "fundingRate": PayloadFields(("symbol", "fundingRate", "fundingTime")),
    }
    true_up_calls_per_hour = 2
    socket_kinds = (
        SocketKind(
            "mark-price",
            SILENT_S,
            MAX_AGE_S,
            # Sources disagree on the path; all ack, not all deliver (§1).
            urls=(
                "wss://dstream.binance.com/stream",
                "wss://dstream.binance.com/market/stream",
                "wss://fstream.binance.com/market/stream",
            ),
            capacity=STREAMS_PER_SOCKET,
            subscribe=lambda symbols: _frames("SUBSCRIBE", symbols),
            unsubscribe=lambda symbols: _frames("UNSUBSCRIBE", symbols),
        ),
    )

    def channel(self, stream: str) -> str:
        """Return one channel for all streams."""
        del stream
        return CHANNEL

    def listing(self, payload: bytes) -> Listing | None:
        """Perpetuals, streaming while `contractStatus` is TRADING (§5)."""
        entry = _listed(payload)
        if entry.contract_type != "PERPETUAL":
            return None
        return Listing(entry.symbol, FEED.status_of(entry.contract_status))

    def history(
        self,
        symbols: Sequence[str],
        since_ms: int,
        until_ms: int,
        keys: Mapping[str, str] = NO_KEYS,
    ) -> HistoryWalk:
        """Walk one contract: `symbol` is required (§6b), 33 days are one call."""
        del keys
        (symbol,) = symbols
        return PerSymbolWalk(symbol, Span(since_ms, until_ms), Forward(HISTORY_LIMIT), _call, _read)


EXCHANGE = BinanceCoinm()
