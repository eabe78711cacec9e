"""Bybit payloads: each documented edge case of docs/exchanges/bybit.md and README.md §8.3."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
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
from stream_app.normalise.bybit import normalise, split_symbol
from tests.venues.bybit import INSTRUMENT, POLLED, SETTLED, STREAMED, TICKER
from tests.venues.samples import RECEIVED_AT_US

SYMBOL = "1000PEPEUSDT"
ESTIMATE = RateUpdate(
    SYMBOL,
    0.00006301,
    event_time=1_790_000_123_071_000,
    mark_price=0.0043188,
    index_price=0.0043207,
    next_funding_time=1_790_006_400_000_000,
    interval_hours=8.0,
)


def read_all(
    payload: Any, purpose: Purpose, channel: str, symbol: str = SYMBOL
) -> Sequence[Update]:
    """The readings of a payload."""
    return normalise(purpose, channel, symbol, json.dumps(payload).encode(), RECEIVED_AT_US)


def streamed(*without: str, **change: Any) -> Sequence[Update]:
    """The readings of a frame of a row with other values."""
    row = {name: v for name, v in {**STREAMED["data"], **change}.items() if name not in without}
    return read_all({**STREAMED, "data": row}, "stream", "tickers")


def polled(purpose: Purpose = "fallback", **change: Any) -> Sequence[Update]:
    """The readings of a reply of tickers of a row with other values."""
    row = {**TICKER, **change}
    reply = {**POLLED, "result": {"category": "linear", "list": [row]}}
    return read_all(reply, purpose, "tickers/linear", row["symbol"])


def listed(**change: Any) -> Sequence[Update]:
    """The readings of a row of the list with other values."""
    return read_all({**INSTRUMENT, **change}, "contract", "instruments-info/linear")


def test_a_completed_row_is_an_estimate() -> None:
    """Of the settlement to come; its time is the frame's."""
    assert streamed() == (ESTIMATE,)


def test_a_polled_row_has_the_reply_s_time() -> None:
    """And the same fields (§4a)."""
    (update,) = polled()
    assert update == RateUpdate(
        SYMBOL,
        0.00006218,
        event_time=1_790_000_123_402_000,
        mark_price=0.0043188,
        index_price=0.0043207,
        next_funding_time=1_790_006_400_000_000,
        interval_hours=8.0,
    )
    assert polled("reconcile") == (update,)


def test_where_a_message_has_no_time_that_of_receipt_stands_in() -> None:
    """In both sources; a time that is none is a fault beside the rate."""
    frame = {name: value for name, value in STREAMED.items() if name != "ts"}
    assert read_all(frame, "stream", "tickers") == (
        msgspec.structs.replace(ESTIMATE, event_time=None),
    )
    row = {"category": "linear", "list": [TICKER]}
    (update,) = read_all({"retCode": 0, "result": row}, "fallback", "tickers/linear", SYMBOL)
    assert isinstance(update, RateUpdate)
    assert update.event_time is None
    assert update.next_funding_time == 1_790_006_400_000_000
    found = read_all({**STREAMED, "ts": "soon"}, "stream", "tickers")
    assert {type(update) for update in found} == {Unreadable, RateUpdate}


def test_a_change_that_was_not_completed_has_no_rate() -> None:
    """Missing means unchanged, and never 0 (§8.3.14)."""
    assert streamed("fundingRate") == (NoRate(SYMBOL, "no funding rate"),)


def test_a_dated_row_has_no_rate() -> None:
    """Its texts are empty, and its next time is no year 1970 (§8.3.15)."""
    dated: dict[str, Any] = {"fundingRate": "", "nextFundingTime": "0", "fundingIntervalHour": ""}
    assert polled(deliveryTime="1798185600000", **dated) == (NoRate(SYMBOL, "no funding rate"),)
    for no_time in ("0", "", None):
        zero = {**dated, "fundingRate": "0", "nextFundingTime": no_time}
        for hours in ("", "8"):
            zero["fundingIntervalHour"] = hours
            found = polled(deliveryTime="1798185600000", **zero)
            assert found == (NoRate(SYMBOL, "a dated contract"),)


@pytest.mark.parametrize(("hours", "count"), [("", 1), (None, 1), ("480", 2)])
def test_a_perpetual_that_ends_has_its_rate_to_the_end(hours: object, count: int) -> None:
    """It has a time of delivery, and funding until then, whatever its interval says."""
    update, *told = streamed(deliveryTime="1798185600000", fundingIntervalHour=hours)
    assert isinstance(update, RateUpdate)
    assert (update.rate, update.interval_hours) == (ESTIMATE.rate, None)
    assert update.next_funding_time == ESTIMATE.next_funding_time
    assert len(told) == count - 1


def test_a_rate_of_zero_is_one_unless_the_coin_is_not_listed_yet() -> None:
    """§8.3.16: the same row, told apart by the phase."""
    (update,) = streamed(fundingRate="0")
    assert isinstance(update, RateUpdate)
    assert update.rate == 0.0
    early = streamed(fundingRate="0", curPreListingPhase="ContinuousTrading")
    assert early == (NoRate(SYMBOL, "before its listing"),)


@pytest.mark.parametrize("stated", ["0", "", None, "17", "soon"])
def test_a_next_time_that_is_none_is_left_out(stated: object) -> None:
    """The rate beside it is good."""
    (update,) = streamed(nextFundingTime=stated)
    assert isinstance(update, RateUpdate)
    assert update.next_funding_time is None


@pytest.mark.parametrize(("stated", "hours"), [("1", 1.0), ("2", 2.0), ("4", 4.0), ("", None)])
def test_the_interval_is_the_row_s(stated: str, hours: float | None) -> None:
    """In hours; it is never assumed (§3)."""
    (update,) = streamed(fundingIntervalHour=stated)
    assert isinstance(update, RateUpdate)
    assert update.interval_hours == hours


def test_a_bad_field_costs_no_rate() -> None:
    """What is wrong is told beside it."""
    update, told = streamed(markPrice="?", fundingIntervalHour="480")
    assert isinstance(update, RateUpdate)
    assert (update.rate, update.mark_price, update.interval_hours) == (0.00006301, None, None)
    assert isinstance(told, Unreadable)
    assert "markPrice" in told.reason
    assert "fundingIntervalHour" in told.reason


@pytest.mark.parametrize("change", [{"fundingRate": "x"}, {"symbol": "OTHERUSDT"}])
def test_a_row_that_makes_no_sense_is_malformed(change: dict[str, Any]) -> None:
    """A rate that is no number, or another contract's row."""
    with pytest.raises(MalformedInputError):
        streamed(**change)


@pytest.mark.parametrize("rows", [[], [TICKER, TICKER]])
def test_a_piece_has_one_row(rows: list[Any]) -> None:
    """Any other number of rows was not cut by us."""
    with pytest.raises(MalformedInputError):
        read_all({**POLLED, "result": {"list": rows}}, "fallback", "tickers/linear")


@pytest.mark.parametrize(
    ("change", "turnover", "held"),
    [
        ({}, 180_344_021.553, 194_816_172.14),
        ({"singleOpenInterestValue": ""}, 180_344_021.553, 194_816_172.14),
        ({"singleOpenInterestValue": None, "openInterestValue": "50"}, 180_344_021.553, 25.0),
        ({"turnover24h": "", "openInterestValue": "", "singleOpenInterestValue": ""}, None, None),
        ({"symbol": "BTCPERP"}, 180_344_021.553, 194_816_172.14),
        ({"symbol": "BTCUSD"}, 41_884_402_100.0, 45_108_866_500.0),
        ({"symbol": "BTCUSD", "singleOpenInterest": ""}, 41_884_402_100.0, 45_108_866_500.0),
    ],
)
def test_liquidity_is_of_one_side_and_in_the_quote_currency(
    change: dict[str, Any], turnover: float | None, held: float | None
) -> None:
    """`openInterest` counts both sides; an inverse contract is one USD (§3)."""
    symbol = change.get("symbol", SYMBOL)
    (facts,) = polled("contract", **change)
    assert facts == InstrumentUpdate(symbol, turnover_24h=turnover, open_interest=held)


def test_a_listed_contract_has_its_facts() -> None:
    """The interval is in minutes there (§4c)."""
    assert listed() == (
        InstrumentUpdate(
            SYMBOL,
            base="PEPE",
            quote="USDT",
            multiplier=1000.0,
            status=ContractStatus.TRADING,
            status_word="Trading",
            interval_hours=8.0,
            rate_cap=0.0155,
            rate_floor=-0.0145,
            listed_at=1_683_331_200_000_000,
        ),
    )


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("Delivering", ContractStatus.HALTED),
        ("Closed", ContractStatus.DELISTED),
        ("Settling", ContractStatus.SETTLING),
        ("PreLaunch", ContractStatus.PRE_LAUNCH),
        ("NewWord", ContractStatus.HALTED),
        (None, None),
    ],
)
def test_the_states_of_a_contract(word: str | None, status: ContractStatus | None) -> None:
    """A word that is not known means that it is halted."""
    (facts,) = listed(status=word)
    assert isinstance(facts, InstrumentUpdate)
    assert (facts.status, facts.status_word) == (status, word)


@pytest.mark.parametrize(
    ("minutes", "hours"), [(60, 1.0), ("240", 4.0), (0, None), (None, None), ("", None)]
)
def test_an_interval_of_the_list_is_in_minutes(minutes: object, hours: float | None) -> None:
    """0 of a dated contract is none."""
    (facts,) = listed(fundingInterval=minutes)
    assert isinstance(facts, InstrumentUpdate)
    assert facts.interval_hours == hours


def test_an_interval_in_another_unit_is_told() -> None:
    """8 minutes are no interval: hours would be meant."""
    facts, told = listed(fundingInterval=8)
    assert isinstance(facts, InstrumentUpdate)
    assert facts.interval_hours is None
    assert isinstance(told, Unreadable)


def test_a_settled_rate() -> None:
    """Its stamp is on the grid (§4b)."""
    assert read_all(SETTLED, "history", "funding/history") == (
        SettlementUpdate(SYMBOL, 1_789_977_600_000_000, -0.00001133),
    )
    for none in ("", None):
        row = {**SETTLED, "fundingRate": none}
        assert read_all(row, "history", "funding/history") == (NoRate(SYMBOL, "no settled rate"),)


@pytest.mark.parametrize(
    ("symbol", "parts"),
    [
        ("BTCUSDT", ("BTC", "USDT")),
        ("BTCPERP", ("BTC", "USDC")),
        ("BTCUSD", ("BTC", "USD")),
        ("USDT", ("USDT", "")),
        ("BTCUSDT-25DEC26", ("BTCUSDT-25DEC26", "")),
    ],
)
def test_base_and_quote_of_a_symbol(symbol: str, parts: tuple[str, str]) -> None:
    """A name that ends otherwise is its own base."""
    assert split_symbol(symbol) == parts
