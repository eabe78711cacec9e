"""Backpack payloads: each documented edge case of docs/exchanges/backpack.md §2-4 and
README.md §8.3.
"""

from __future__ import annotations

import json
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
from stream_app.normalise.backpack import normalise
from tests.venues.backpack import BACKPACK_FRAME, BACKPACK_SETTLED, BACKPACK_SNAPSHOT, MARKET
from tests.venues.samples import RECEIVED_AT_US

DATA = BACKPACK_FRAME["data"]
TWO_PM_US = 1_789_999_200_000_000
RATE = RateUpdate(
    "AAPL.US_USDC_PERP",
    0.00000625,
    event_time=1_790_000_123_147_601,
    mark_price=340.43,
    index_price=340.52,
    next_funding_time=1_790_002_800_000_000,
)
SETTLEMENT = SettlementUpdate("BTC_USDC_PERP", TWO_PM_US, 0.000010077)


def read_all(
    row: Any, purpose: Purpose, channel: str, received_at_us: int = RECEIVED_AT_US
) -> Sequence[Update]:
    """The readings of a payload, in an item of its own symbol."""
    data = row.get("data", row)
    symbol = data.get("s") or data.get("symbol")
    return normalise(purpose, channel, symbol, json.dumps(row).encode(), received_at_us)


def read(row: Any, purpose: Purpose, channel: str, received_at_us: int = RECEIVED_AT_US) -> Update:
    """The one reading of a payload."""
    (update,) = read_all(row, purpose, channel, received_at_us)
    return update


def read_frame(*without: str, **change: Any) -> Update:
    """The reading of a stream frame with other values."""
    data = {key: value for key, value in {**DATA, **change}.items() if key not in without}
    return read({**BACKPACK_FRAME, "data": data}, "stream", "markPrice")


def read_settled(received_at_us: int = RECEIVED_AT_US, **change: Any) -> Update:
    """The reading of a history row with other values."""
    return read({**BACKPACK_SETTLED, **change}, "history", "fundingRates", received_at_us)


def test_a_frame_is_a_rate_that_does_not_say_its_interval() -> None:
    """E in µs beside n in ms, T not read, dots in the symbol (docs/exchanges/README.md §8.3.12).

    The list of markets tells the interval.
    """
    assert read_frame() == RATE


def test_the_order_of_the_keys_is_free() -> None:
    """The wire has `data` before `stream`, the documentation the reverse."""
    frame = dict(reversed(BACKPACK_FRAME.items()))
    assert read(frame, "stream", "markPrice") == RATE


@pytest.mark.parametrize("event", [1_790_000_123_147, 1_790_000_123_147_000_000])
def test_the_unit_of_a_time_is_told_by_magnitude(event: int) -> None:
    """Should E become ms or ns."""
    update = read_frame(E=event)
    assert isinstance(update, RateUpdate)
    assert update.event_time == 1_790_000_123_147_000


@pytest.mark.parametrize("without", [("f",), ("f", "i", "n")])
def test_a_prediction_market_has_no_rate(without: tuple[str, ...]) -> None:
    """f, i and n are absent there: never 0 (§2)."""
    assert read_frame(*without) == NoRate("AAPL.US_USDC_PERP", "no funding rate")


@pytest.mark.parametrize("nothing", [None, "", "null"])
def test_an_empty_rate_is_no_rate(nothing: str | None) -> None:
    """Nor is it when the key is there."""
    assert read_frame(f=nothing) == NoRate("AAPL.US_USDC_PERP", "no funding rate")


def test_without_index_and_next_time_the_rate_stands() -> None:
    """Both null, nothing stands in for them."""
    update = read_frame("i", "n")
    assert isinstance(update, RateUpdate)
    assert (update.rate, update.mark_price) == (RATE.rate, RATE.mark_price)
    assert (update.index_price, update.next_funding_time) == (None, None)


@pytest.mark.parametrize("text", ["0", "0.0", "-0", "-0.00000000"])
def test_zero_is_a_rate_without_a_sign(text: str) -> None:
    """What the exchange says."""
    update = read_frame(f=text)
    assert isinstance(update, RateUpdate)
    assert repr(update.rate) == "0.0"


def test_a_snapshot_row_is_a_rate_stamped_on_receipt() -> None:
    """28 significant digits, to the nearest double (§4a)."""
    for purpose in ("fallback", "reconcile"):
        assert read(BACKPACK_SNAPSHOT, purpose, "markPrices") == RateUpdate(
            "BTC_USDC_PERP",
            0.00024385653670333054,
            event_time=None,
            mark_price=50001.5,
            index_price=50000.25,
            next_funding_time=1_790_002_800_000_000,
        )


def test_a_snapshot_row_of_a_spot_market_has_no_rate() -> None:
    """Only perpetuals carry one."""
    row = {"symbol": "SOL_USDC", "markPrice": "128.7"}
    assert read(row, "fallback", "markPrices") == NoRate("SOL_USDC", "no funding rate")


def test_a_next_time_out_of_place_is_dropped() -> None:
    """The synthetic sample of §4a is in 2009."""
    row = {**BACKPACK_SNAPSHOT, "nextFundingTimestamp": 1_234_567_890_000}
    update = read(row, "fallback", "markPrices")
    assert isinstance(update, RateUpdate)
    assert update.next_funding_time is None


def test_a_history_row_is_a_settlement() -> None:
    """A time without a zone is UTC (§4b)."""
    assert read_settled() == SETTLEMENT


@pytest.mark.parametrize(
    "text", ["2026-09-21T14:00:00Z", "2026-09-21T14:00:00+00:00", "2026-09-21T16:00:00+02:00"]
)
def test_a_zone_that_is_stated_holds(text: str) -> None:
    """None is documented; should one come, it counts."""
    assert read_settled(intervalEndTimestamp=text) == SETTLEMENT


@pytest.mark.parametrize("before_us", [1, 1_000_000, 3_599_000_000])
def test_the_interval_still_running_is_no_settlement(before_us: int) -> None:
    """The first row is an estimate until its interval has ended
    (docs/exchanges/README.md §8.3.13).
    """
    assert read_settled(TWO_PM_US - before_us) == NoRate("BTC_USDC_PERP", "interval still running")


@pytest.mark.parametrize("after_us", [0, 1, 86_400_000_000])
def test_an_interval_that_has_ended_is_a_settlement(after_us: int) -> None:
    """From its end on."""
    assert read_settled(TWO_PM_US + after_us) == SETTLEMENT


def test_an_empty_settled_rate_is_no_rate() -> None:
    """It never enters a baseline as 0."""
    assert read_settled(fundingRate="") == NoRate("BTC_USDC_PERP", "no settled rate")


@pytest.mark.parametrize(
    "text", ["", "14:00", "2026-09-21", "2026-13-01T00:00:00", "1970-01-01T00:00:00", 5, None]
)
def test_a_settlement_at_no_time_is_malformed(text: Any) -> None:
    """Also the epoch's beginning, where a zero was formatted."""
    with pytest.raises(MalformedInputError):
        read_settled(intervalEndTimestamp=text)


def test_a_market_gives_the_facts() -> None:
    """Bounds are in basis points, the interval in ms (§3); kPEPE is a thousand PEPE."""
    assert read(MARKET, "contract", "markets") == InstrumentUpdate(
        "kPEPE_USDC_PERP",
        base="PEPE",
        quote="USDC",
        multiplier=1000.0,
        status=ContractStatus.HALTED,
        status_word="PostOnly",
        interval_hours=1.0,
        rate_cap=0.015,
        rate_floor=-0.01,
    )


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("Open", ContractStatus.TRADING),
        ("Closed", ContractStatus.HALTED),
        ("CancelOnly", ContractStatus.HALTED),
        ("LimitOnly", ContractStatus.HALTED),
        ("AWordOfTomorrow", ContractStatus.HALTED),
        ("", None),
        (None, None),
    ],
)
def test_the_state_of_the_book_is_the_status(
    word: str | None, status: ContractStatus | None
) -> None:
    """Funding may go on while orders are restricted, so that only an open book says more (§4c)."""
    facts = read({**MARKET, "orderBookState": word}, "contract", "markets")
    assert isinstance(facts, InstrumentUpdate)
    assert (facts.status, facts.status_word) == (status, word or None)


@pytest.mark.parametrize(("stated", "hours"), [("28800000", 8.0), (14_400_000, 4.0), (None, None)])
def test_the_interval_is_that_of_the_list(stated: Any, hours: float | None) -> None:
    """In ms, as text or as a number; nothing is assumed where the list does not say."""
    facts = read({**MARKET, "fundingInterval": stated}, "contract", "markets")
    assert isinstance(facts, InstrumentUpdate)
    assert facts.interval_hours == hours


def test_a_market_without_assets_is_read_from_its_symbol() -> None:
    """Base and quote stand in it (§3)."""
    row = {"symbol": "SOL_USDC_PERP", "orderBookState": "Closed"}
    assert read(row, "contract", "markets") == InstrumentUpdate(
        "SOL_USDC_PERP",
        base="SOL",
        quote="USDC",
        multiplier=1.0,
        status=ContractStatus.HALTED,
        status_word="Closed",
    )


def test_a_quote_that_nothing_tells_is_not_known() -> None:
    """None leaves in force what is known."""
    row = {"symbol": "LUNA", "baseSymbol": "LUNA"}
    assert read(row, "contract", "markets") == InstrumentUpdate("LUNA", base="LUNA", multiplier=1.0)


@pytest.mark.parametrize("bound", ["0.015", "0", None, "20000"])
def test_a_bound_that_is_not_in_basis_points_is_dropped(bound: str | None) -> None:
    """A fraction divided by 10,000 would be a cap that every rate exceeds."""
    facts = read({**MARKET, "fundingRateUpperBound": bound}, "contract", "markets")
    assert isinstance(facts, InstrumentUpdate)
    assert (facts.rate_cap, facts.rate_floor) == (None, -0.01)


@pytest.mark.parametrize("interval", [1, 3_600, 3_600_000_000, -3_600_000, "1h"])
def test_an_interval_in_another_unit_costs_the_interval_alone(interval: Any) -> None:
    """Hours, seconds, µs: rates are divided by it, so it is left out and reported."""
    without = read({**MARKET, "fundingInterval": None}, "contract", "markets")
    facts, fault = read_all({**MARKET, "fundingInterval": interval}, "contract", "markets")
    assert facts == without
    assert isinstance(fault, Unreadable)
    assert fault.reason.startswith("fundingInterval is ")


@pytest.mark.parametrize(
    "change",
    [
        {"e": "ticker"},
        {"E": 1_790_000_123},
        {"E": None},
        {"E": "noon"},
        {"f": "NaN%"},
        {"f": "1e999"},
        {"f": True},
        {"s": 7},
    ],
)
def test_a_frame_with_a_wrong_value_is_malformed(change: dict[str, Any]) -> None:
    """It goes to the dead letters instead of being guessed at."""
    frame = {**BACKPACK_FRAME, "data": {**DATA, **change}}
    with pytest.raises(MalformedInputError):
        normalise("stream", "markPrice", DATA["s"], json.dumps(frame).encode(), RECEIVED_AT_US)


@pytest.mark.parametrize(
    ("row", "purpose", "channel"),
    [
        (BACKPACK_FRAME, "stream", "markPrice"),
        (BACKPACK_SNAPSHOT, "fallback", "markPrices"),
        (BACKPACK_SETTLED, "history", "fundingRates"),
        (MARKET, "contract", "markets"),
    ],
)
def test_a_row_of_another_symbol_is_malformed(row: Any, purpose: Purpose, channel: str) -> None:
    """The item's symbol decided on its partition."""
    with pytest.raises(MalformedInputError, match="in an item of"):
        normalise(purpose, channel, "ETH_USDC_PERP", json.dumps(row).encode(), RECEIVED_AT_US)


def test_an_error_frame_is_malformed() -> None:
    """Errors are control frames; one that reaches a contract's item is no rate."""
    payload = b'{"id":null,"error":{"code":4006,"message":"Invalid stream"}}'
    with pytest.raises(MalformedInputError, match="not a MarkPriceFrame"):
        normalise("stream", "markPrice", "BTC_USDC_PERP", payload, RECEIVED_AT_US)
