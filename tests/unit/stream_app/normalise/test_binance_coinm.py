"""Binance COIN-M payloads: where they differ from USD-M (docs/exchanges/binance-coinm.md §4-6 and
README.md §8.3).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.contract_status import ContractStatus
from schemas.errors import MalformedInputError
from schemas.records import Purpose
from stream_app.model import (
    InstrumentUpdate,
    NoRate,
    RateUpdate,
    SettlementUpdate,
    Unreadable,
    Update,
)
from stream_app.normalise.binance_coinm import normalise

RECEIVED_AT_US = 1_790_373_638_437_219
# binance-coinm.md §4, captured 2026-09-25, with `ap` moved away from `p`.
ROW: dict[str, Any] = {
    "e": "markPriceUpdate",
    "E": 1_790_373_638_000,
    "s": "BTCUSD_PERP",
    "p": "83732.50000000",
    "ap": "83730.10000000",
    "P": "83805.72765516",
    "i": "83786.17543766",
    "r": "-0.00000573",
    "T": 1_790_380_800_000,
    "st": 2,
}
RATE = RateUpdate(
    "BTCUSD_PERP",
    -0.00000573,
    event_time=1_790_373_638_000_000,
    mark_price=83732.5,
    index_price=83786.17543766,
    next_funding_time=1_790_380_800_000_000,
)


def read(row: dict[str, Any], purpose: Purpose = "stream", channel: str = "markPrice") -> Update:
    """The one reading of a row, in an item of the row's own symbol."""
    symbol = row.get("s") or row["symbol"]
    payload = json.dumps(row).encode()
    (update,) = normalise(purpose, channel, symbol, payload, RECEIVED_AT_US)
    return update


@pytest.mark.parametrize("absent", [(), ("ap",), ("st",), ("ap", "st")])
def test_a_mark_price_row_is_a_rate(absent: tuple[str, ...]) -> None:
    """`ap` and `st` are absent in older sources."""
    assert read({key: value for key, value in ROW.items() if key not in absent}) == RATE


def test_a_row_of_2021_has_no_index_price() -> None:
    """As captured then: neither `i`, `ap` nor `st`."""
    row = {
        "e": "markPriceUpdate",
        "E": 1_617_309_477_000,
        "s": "ETHUSD_PERP",
        "p": "1912.56007222",
        "P": "1896.00503145",
        "r": "0.00073689",
        "T": 1_617_321_600_000,
    }
    assert read(row) == RateUpdate(
        "ETHUSD_PERP",
        0.00073689,
        event_time=1_617_309_477_000_000,
        mark_price=1912.56007222,
        next_funding_time=1_617_321_600_000_000,
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        # The pair stream's delivery row, §4.
        ({**ROW, "s": "BTCUSD_201225", "r": "", "T": 0}, "empty rate"),
        ({**ROW, "s": "BTCUSD_201225", "r": "0.00000000", "T": 0}, "no next funding time"),
        ({k: v for k, v in ROW.items() if k not in "rTi"}, "empty rate"),
        ({**ROW, "s": "BTCUSDT", "st": 1}, "a row of another market: st is 1"),
    ],
)
def test_a_row_without_a_rate_of_this_market_is_no_rate(row: dict[str, Any], reason: str) -> None:
    """Delivery contracts, with r and T empty or absent, and rows of USD-M."""
    assert read(row) == NoRate(row["s"], reason)


def test_a_rate_without_a_next_funding_time_is_malformed() -> None:
    """Delivery rows say 0, or have no rate either."""
    with pytest.raises(MalformedInputError, match="without a next funding time"):
        read({key: value for key, value in ROW.items() if key != "T"})


@pytest.mark.parametrize("purpose", ["fallback", "reconcile"])
def test_a_premium_index_row_is_a_rate(purpose: Purpose) -> None:
    """§6a: `pair` is beside the symbol, and interestRate is not the rate."""
    row = {
        "symbol": "BTCUSD_PERP",
        "pair": "BTCUSD",
        "markPrice": "83029.69574559",
        "indexPrice": "82979.14437500",
        "estimatedSettlePrice": "82981.74168236",
        "lastFundingRate": "0.00071003",
        "interestRate": "0.00010000",
        "nextFundingTime": 1_790_380_800_000,
        "time": 1_790_373_642_000,
    }
    assert read(row, purpose, "premiumIndex") == RateUpdate(
        "BTCUSD_PERP",
        0.00071003,
        event_time=1_790_373_642_000_000,
        mark_price=83029.69574559,
        index_price=82979.144375,
        next_funding_time=1_790_380_800_000_000,
    )
    dated = {**row, "symbol": "BTCUSD_260925", "lastFundingRate": "", "nextFundingTime": 0}
    assert read(dated, purpose, "premiumIndex") == NoRate("BTCUSD_260925", "empty rate")


@pytest.mark.parametrize("more", [{}, {"markPrice": "83000.1"}])
def test_a_history_row_is_a_settlement(more: dict[str, Any]) -> None:
    """§6b: newer rows add the mark price."""
    row = {
        "symbol": "BTCUSD_PERP",
        "fundingTime": 1_790_352_000_002,
        "fundingRate": "-0.003",
        **more,
    }
    assert read(row, "history", "fundingRate") == SettlementUpdate(
        "BTCUSD_PERP", 1_790_352_000_002_000, -0.003
    )


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("TRADING", ContractStatus.TRADING),
        ("PENDING_TRADING", ContractStatus.PRE_LAUNCH),
        ("PRE_SETTLE", ContractStatus.HALTED),
        ("DELIVERED", ContractStatus.DELISTED),
    ],
)
def test_the_status_is_contract_status(word: str, status: ContractStatus) -> None:
    """§5: not `status`. A lot of 100 USD is no multiplier of the coin."""
    row = {
        "symbol": "BTCUSD_PERP",
        "pair": "BTCUSD",
        "contractType": "CURRENT_QUARTER DELIVERING",
        "contractStatus": word,
        "status": "OTHER",
        "contractSize": 100,
        "baseAsset": "BTC",
        "quoteAsset": "USD",
        "marginAsset": "MARGIN",
    }
    assert read(row, "contract", "exchangeInfo") == InstrumentUpdate(
        "BTCUSD_PERP",
        base="BTC",
        quote="USD",
        multiplier=1.0,
        status=status,
        status_word=word,
    )


@pytest.mark.parametrize("junk", [True, 1, [], {"is": "TRADING"}])
def test_nothing_stands_in_for_a_status_that_cannot_be_read(junk: Any) -> None:
    """The known one stays, whatever `status` says beside it."""
    row = {"symbol": "BTCUSD_PERP", "contractStatus": junk, "status": "OTHER", "baseAsset": "BTC"}
    facts, fault = normalise(
        "contract", "exchangeInfo", "BTCUSD_PERP", json.dumps(row).encode(), RECEIVED_AT_US
    )
    assert facts == InstrumentUpdate("BTCUSD_PERP", base="BTC", multiplier=1.0)
    assert isinstance(fault, Unreadable)
    assert fault.reason.startswith("contractStatus is no text")


def test_funding_info_gives_interval_and_bounds() -> None:
    """§6c: the shape of USD-M."""
    row = {
        "symbol": "SOLUSD_PERP",
        "adjustedFundingRateCap": "0.03",
        "adjustedFundingRateFloor": "-0.02",
        "fundingIntervalHours": 8,
    }
    assert read(row, "contract", "fundingInfo") == InstrumentUpdate(
        "SOLUSD_PERP", interval_hours=8.0, rate_cap=0.03, rate_floor=-0.02
    )


def test_a_row_of_another_symbol_is_malformed() -> None:
    """The pair stream brings more than one contract: each is cut into its own item."""
    with pytest.raises(MalformedInputError, match="'BTCUSD_PERP' in an item of 'BTCUSD_260925'"):
        normalise("stream", "markPrice", "BTCUSD_260925", json.dumps(ROW).encode(), RECEIVED_AT_US)
