"""Gate payloads: each edge case of docs/exchanges/gate.md. In every row each field has a value of
its own, so that no field can be read for another.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from stream_app.normalise.gate import normalise, split_symbol
from tests.venues.gate import CHANNEL, CONTRACT, ROW, SETTLED, TICKER, frame, text

RECEIVED_US = 1_790_000_123_456_789
RATE = RateUpdate(
    "SUI_USDT",
    -0.000213,
    event_time=1_790_000_122_987_000,
    mark_price=3.1461,
    index_price=3.1468,
    next_funding_time=1_790_006_400_000_000,
    interval_hours=4.0,
)


def streamed(**changes: Any) -> Sequence[Update]:
    """What a frame of one row means."""
    row = {key: value for key, value in {**ROW, **changes}.items() if value is not ...}
    return normalise("stream", CHANNEL, row["contract"], text(frame(row)), RECEIVED_US)


def read(purpose: Purpose, channel: str, row: dict[str, Any], symbol: str = "") -> Sequence[Update]:
    """What a row of REST means."""
    name = symbol or row.get("name") or row["contract"]
    return normalise(purpose, channel, name, text(row), RECEIVED_US)


def test_seconds_and_milliseconds_stand_in_one_frame() -> None:
    """Interval and next time are s, `t` and `time_ms` ms (§6)."""
    assert streamed() == (RATE,)


def test_seconds_may_be_written_as_a_decimal_number() -> None:
    """What is none, or no finite number, is left out alone."""
    (update,) = streamed(funding_next_apply=1_790_006_400.0)
    assert update == RATE
    odd: object
    for odd in (1e300, True, [], "1e9"):
        (update,) = streamed(funding_next_apply=odd)
        assert isinstance(update, RateUpdate)
        assert update.next_funding_time is None


def test_a_frame_of_before_2024_has_a_rate_alone() -> None:
    """Without interval and next time both are unknown, and its own time counts (§6)."""
    (found,) = streamed(funding_interval=..., funding_next_apply=..., t=...)
    assert found == RateUpdate(
        "SUI_USDT",
        -0.000213,
        event_time=1_790_000_123_206_000,
        mark_price=3.1461,
        index_price=3.1468,
    )


def test_a_dated_contract_has_no_rate() -> None:
    """Empty texts are not 0 (§8)."""
    assert streamed(contract="BTC_USDT_20261225", funding_rate="") == (
        NoRate("BTC_USDT_20261225", "no funding rate: a dated contract"),
    )
    (zero,) = streamed(funding_rate="0")
    assert isinstance(zero, RateUpdate)
    assert zero.rate == 0.0


@pytest.mark.parametrize("interval", [8, 14_400_000, "x"])
def test_an_interval_in_another_unit_is_not_believed(interval: object) -> None:
    """The rate beside it is (§6)."""
    found, fault = streamed(funding_interval=interval)
    assert isinstance(found, RateUpdate)
    assert (found.rate, found.interval_hours) == (RATE.rate, None)
    assert isinstance(fault, Unreadable)


def test_a_piece_is_of_one_row() -> None:
    """The description cuts frames of several."""
    for rows in ((), (ROW, ROW)):
        with pytest.raises(MalformedInputError):
            normalise("stream", CHANNEL, "SUI_USDT", text(frame(*rows)), RECEIVED_US)


def test_current_rates_have_no_time_of_their_own() -> None:
    """A row of the list is its contract's current rate, too (§9a)."""
    for purpose in ("fallback", "reconcile"):
        assert read(purpose, "contracts", CONTRACT) == (
            RateUpdate(
                "PEPE_USDT",
                0.000116,
                mark_price=0.00000571,
                index_price=0.00000572,
                next_funding_time=1_790_006_400_000_000,
                interval_hours=8.0,
            ),
        )


def test_a_contract_of_the_pre_market_has_no_rate() -> None:
    """It shows one of 0 (§8)."""
    row = {**CONTRACT, "is_pre_market": True, "funding_rate": "0"}
    assert read("fallback", "contracts", row) == (
        NoRate("PEPE_USDT", "a contract of the pre-market"),
    )


@pytest.mark.parametrize("late_s", [0, 3])
def test_settled_rates_name_no_contract_and_come_late(late_s: int) -> None:
    """By up to 3 s in one capture, by none in another (§9b)."""
    row = {**SETTLED, "t": 1_789_977_600 + late_s}
    assert read("history", "funding_rate", row, "SUI_USDT") == (
        SettlementUpdate("SUI_USDT", (1_789_977_600 + late_s) * 1_000_000, -0.000052),
    )


def test_facts() -> None:
    """The quanto multiplier is the size of a contract, and no multiplier of the price (§8)."""
    (found,) = read("contract", "contracts", CONTRACT)
    assert isinstance(found, InstrumentUpdate)
    assert found.open_interest == pytest.approx(41_601_316 * 10_000 * 0.00000571)
    assert found == InstrumentUpdate(
        "PEPE_USDT",
        base="PEPE",
        quote="USDT",
        multiplier=1.0,
        status=ContractStatus.TRADING,
        status_word="trading",
        interval_hours=8.0,
        rate_cap=0.0175,
        rate_floor=-0.0175,
        listed_at=1_683_500_400_000_000,
        open_interest=found.open_interest,
    )


def test_an_inverse_contract_is_of_a_unit_of_the_quote_currency() -> None:
    """Its multiplier is "0", and what is held counts in USD (§8)."""
    row = {**CONTRACT, "name": "BTC_USD", "type": "inverse", "quanto_multiplier": "0"}
    (found,) = read("contract", "contracts-btc", row)
    assert isinstance(found, InstrumentUpdate)
    assert found.open_interest == 41_601_316.0
    assert (found.base, found.quote) == ("BTC", "USD")


def test_a_contract_that_is_being_delisted_is_halted() -> None:
    """Its flag tells it before its status does (§8)."""
    (found,) = read("contract", "contracts", {**CONTRACT, "in_delisting": True})
    assert isinstance(found, InstrumentUpdate)
    assert (found.status, found.status_word) == (ContractStatus.HALTED, "delisting")


def test_turnover_is_in_the_quote_currency() -> None:
    """Neither in contracts nor in coins (§9c)."""
    assert read("contract", "tickers", TICKER) == (
        InstrumentUpdate("PEPE_USDT", turnover_24h=524_988.61),
    )


def test_symbols_are_split_at_the_last_underscore() -> None:
    """Names may have several, and other scripts (§8)."""
    assert split_symbol("BTC_USD1") == ("BTC", "USD1")
    assert split_symbol("A_B_USDT") == ("A_B", "USDT")
    assert split_symbol("龙虾_USDT") == ("龙虾", "USDT")
    assert split_symbol("ODD") == ("ODD", "")
