"""Lighter: percent becomes a fraction, and the last settlement is no estimate."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.contract_status import ContractStatus
from schemas.errors import MalformedInputError
from schemas.feed_spec import RateKind
from schemas.records import Purpose
from schemas.times import US_PER_MINUTE, US_PER_S
from schemas.venues.lighter import FEED
from stream_app.model import InstrumentUpdate, NoRate, RateUpdate, SettlementUpdate, Update
from stream_app.normalise.lighter import SETTLED_SAID_US, fraction, normalise, split_symbol
from tests.venues.samples import RECEIVED_AT_US

HOUR_US = 1_789_999_200 * US_PER_S
"""14:00 UTC; what is received is of 14:15:23."""
STATS: dict[str, Any] = {
    "symbol": "SOL",
    "market_id": 2,
    "mark_price": "141.25",
    "index_price": "141.31",
    "current_funding_rate": "0.0037",
    "funding_rate": "-0.0041",
    "funding_timestamp": HOUR_US // 1_000 + 1,
}


def read(
    payload: Any, symbol: str = "SOL", purpose: Purpose = "stream", channel: str = "market_stats"
) -> list[Update]:
    """What a payload means."""
    data = json.dumps(payload).encode()
    return list(normalise(purpose, channel, symbol, data, RECEIVED_AT_US))


def frame(at_us: int | None, **changes: Any) -> dict[str, Any]:
    """A frame of one market, of a time."""
    row = {key: value for key, value in {**STATS, **changes}.items() if value is not None}
    whole = {"channel": "market_stats:all", "market_stats": {"2": row}, "type": "update/x"}
    return whole if at_us is None else {**whole, "timestamp": at_us // 1_000}


def test_the_feed_says_that_it_sends_percent_per_hour() -> None:
    """Its pages and tables show the number as it was sent from this."""
    assert FEED.rate_kind is RateKind.HOURLY_PERCENT_ESTIMATE
    assert FEED.thinned
    assert FEED.derive_settlements


@pytest.mark.parametrize("percent", ["0.0012", "-0.0028", "0.0000", "4.0000", "-0.1234", "1e-3"])
def test_percent_is_divided_without_a_rounding_of_our_own(percent: str) -> None:
    """The double is the nearest one of the fraction's own text."""
    shifted = f"{float(percent) / 100:.8f}"
    assert fraction(percent, "rate") == float(shifted)


def test_the_estimate_is_of_the_hour_that_comes() -> None:
    """The frame's own stamp is of the hour before (docs/exchanges/lighter.md §6)."""
    at_us = HOUR_US + 40 * US_PER_MINUTE
    assert read(frame(at_us)) == [
        RateUpdate(
            "SOL",
            0.000037,
            event_time=at_us,
            mark_price=141.25,
            index_price=141.31,
            next_funding_time=HOUR_US + 60 * US_PER_MINUTE,
        )
    ]


@pytest.mark.parametrize("off_ms", [1, 0, -1, 2_000, -2_000])
@pytest.mark.parametrize(
    ("hours_behind", "for_the_hour_just_ended"), [(0, False), (1, True), (2, False), (3, False)]
)
def test_an_estimate_is_of_the_hour_before_until_the_exchange_turns(
    hours_behind: int, off_ms: int, *, for_the_hour_just_ended: bool
) -> None:
    """It names the settlement before the last one then; a market is never two hours behind.

    The settlement's time may be a little before its hour or after it.
    """
    at_us = HOUR_US + 16 * US_PER_MINUTE
    settled_ms = HOUR_US // 1_000 + off_ms - hours_behind * 3_600_000
    row = frame(at_us, funding_timestamp=settled_ms)
    (rate,) = read(row)
    assert isinstance(rate, RateUpdate)
    coming = HOUR_US if for_the_hour_just_ended else HOUR_US + 60 * US_PER_MINUTE
    assert rate.next_funding_time == coming
    reader = normalise.column_reader("market_stats")
    assert reader is not None
    columns = reader.read([json.dumps(row).encode()])
    assert columns is not None
    assert columns.next_funding_times.tolist() == [coming]


def test_a_frame_of_one_market_means_the_same() -> None:
    """`market_stats/2` has the row without a map (docs/exchanges/lighter.md §2)."""
    at_us = HOUR_US + 40 * US_PER_MINUTE
    single = {**frame(at_us), "market_stats": STATS, "channel": "market_stats:2"}
    assert read(single) == read(frame(at_us))


def test_the_last_settlement_is_told_while_it_is_new() -> None:
    """Beside the estimate, with the time of the hour that has begun; never as the estimate."""
    at_us = HOUR_US + 5 * US_PER_MINUTE
    rate, settled = read(frame(at_us))
    assert isinstance(rate, RateUpdate)
    assert rate.rate == 0.000037
    assert settled == SettlementUpdate(
        "SOL", HOUR_US + 1_000, -0.000041, source="stream", interval_hours=1.0
    )
    assert len(read(frame(HOUR_US + 1_000 + SETTLED_SAID_US))) == 1


@pytest.mark.parametrize("seconds", [-1, 0, 2])
def test_a_settlement_whose_rate_may_be_the_one_before_is_not_told(seconds: int) -> None:
    """The next frame says it again."""
    assert len(read(frame(HOUR_US + 1_000 + seconds * US_PER_S))) == 1


def test_a_settlement_beside_a_bad_estimate_is_good() -> None:
    """And an estimate beside a bad settlement: each costs itself alone."""
    at_us = HOUR_US + 5 * US_PER_MINUTE
    settled, fault = read(frame(at_us, current_funding_rate="?"))
    assert isinstance(settled, SettlementUpdate)
    assert "current_funding_rate" in str(fault)
    rate, fault = read(frame(at_us, funding_rate=[]))
    assert isinstance(rate, RateUpdate)
    assert "funding_rate" in str(fault)
    assert read(frame(at_us, current_funding_rate=None, funding_rate=None)) == [
        NoRate("SOL", "no funding rate")
    ]


def test_a_frame_without_a_time_is_of_its_receipt() -> None:
    """As rows of 2025 were (docs/exchanges/lighter.md §10)."""
    (rate,) = read(frame(None))
    assert isinstance(rate, RateUpdate)
    assert rate.event_time is None
    assert rate.next_funding_time == HOUR_US + 60 * US_PER_MINUTE


@pytest.mark.parametrize("table", [{}, {"2": STATS, "3": STATS}, {"2": {}}, [], 7, {"2": 5}])
def test_a_frame_that_is_not_of_one_market_is_malformed(table: Any) -> None:
    """The producers cut it so that there is one."""
    with pytest.raises(MalformedInputError):
        read({**frame(HOUR_US), "market_stats": table})


@pytest.mark.parametrize(
    ("rate", "hourly"),
    [(0.00009599999999999999, 0.000012), (-0.000344, -0.000043), (0, 0.0), (8e-6, 1e-6)],
)
def test_the_list_of_rates_is_per_eight_hours(rate: float, hourly: float) -> None:
    """Another unit than the stream's; noise of the exchange's division is gone (§9a)."""
    row = {"market_id": 2, "exchange": "lighter", "symbol": "SOL", "rate": rate}
    (update,) = read(row, purpose="reconcile", channel="funding-rates")
    assert isinstance(update, RateUpdate)
    assert update.rate == hourly
    assert update.mark_price is None


def test_another_exchange_s_rate_is_none_of_ours() -> None:
    """It stands in the same list (docs/exchanges/lighter.md §9a)."""
    row = {"market_id": 2, "exchange": "binance", "symbol": "SOL", "rate": 0.0001}
    with pytest.raises(MalformedInputError, match="another exchange"):
        read(row, purpose="fallback", channel="funding-rates")


@pytest.mark.parametrize(
    ("rate", "direction", "settled"),
    [("0.0012", "long", 0.000012), ("0.0033", "short", -0.000033), ("0.0000", "short", 0.0)],
)
def test_the_sign_of_the_history_is_its_direction(
    rate: str, direction: str, settled: float
) -> None:
    """The rate is unsigned percent, the time in seconds (docs/exchanges/lighter.md §9b)."""
    row = {"timestamp": 1_789_995_600, "value": "0.1", "rate": rate, "direction": direction}
    (update,) = read(row, purpose="history", channel="fundings")
    assert update == SettlementUpdate("SOL", 1_789_995_600 * US_PER_S, settled, interval_hours=1.0)
    assert str(update.rate) != "-0.0"


@pytest.mark.parametrize(
    "row",
    [
        {"timestamp": 1_789_995_600, "rate": "-0.0012", "direction": "short"},
        {"timestamp": 1_789_995_600, "rate": "0.0012", "direction": "sideways"},
        {"timestamp": 1_789_995_600, "rate": "0.0012"},
        {"timestamp": 1_789_995, "rate": "0.0012", "direction": "long"},
    ],
)
def test_a_settlement_whose_sign_or_time_would_be_a_guess_is_malformed(row: Any) -> None:
    """A wrong sign is worse than a missing row."""
    with pytest.raises(MalformedInputError):
        read(row, purpose="history", channel="fundings")


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("active", ContractStatus.TRADING),
        ("inactive", ContractStatus.DELISTED),
        ("paused", ContractStatus.HALTED),
    ],
)
def test_a_market_of_the_list(word: str, status: ContractStatus) -> None:
    """The symbol is the base; everything is settled in USDC each hour."""
    row = {"symbol": "1000BONK", "market_id": 18, "status": word, "market_type": "perp"}
    assert read(row, "1000BONK", "contract", "orderBookDetails") == [
        InstrumentUpdate(
            "1000BONK",
            base="BONK",
            quote="USDC",
            multiplier=1_000.0,
            status=status,
            status_word=word,
            interval_hours=1.0,
        )
    ]
    assert split_symbol("1000BONK") == ("1000BONK", "USDC")


def test_what_is_held_is_counted_in_the_base() -> None:
    """And valued at the mark; without one at that of before (docs/exchanges/lighter.md §9c)."""
    row = {
        "symbol": "SOL",
        "daily_quote_token_volume": 5_000.5,
        "open_interest": 12.5,
        "mark_price": "140",
    }
    assert read(row, purpose="contract", channel="liquidity") == [
        InstrumentUpdate(
            "SOL",
            mark_price=140.0,
            turnover_24h=5_000.5,
            open_interest=1_750.0,
            open_interest_units=12.5,
        )
    ]
    assert read({**row, "mark_price": "0"}, purpose="contract", channel="liquidity") == [
        InstrumentUpdate("SOL", turnover_24h=5_000.5, open_interest_units=12.5)
    ]
