"""Binance USD-M payloads of REST: each documented edge case of docs/exchanges/binance-usdm.md §9
and README.md §8.3.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from schemas.contract_status import ContractStatus
from schemas.records import Purpose
from stream_app.model import (
    InstrumentUpdate,
    NoRate,
    RateUpdate,
    SettlementUpdate,
    Unreadable,
    Update,
)
from stream_app.normalise.binance_usdm import normalise
from tests.venues.binance_usdm import INFO, LISTED, PREMIUM, SETTLED
from tests.venues.samples import RECEIVED_AT_US


def without(row: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The row without some keys."""
    return {key: value for key, value in row.items() if key not in keys}


def read_all(row: Any, purpose: Purpose, channel: str) -> Sequence[Update]:
    """The readings of a row, in an item of the row's own symbol."""
    payload = json.dumps(row).encode()
    return normalise(purpose, channel, row["symbol"], payload, RECEIVED_AT_US)


def read(row: Any, purpose: Purpose, channel: str) -> Update:
    """The one reading of a row."""
    (update,) = read_all(row, purpose, channel)
    return update


@pytest.mark.parametrize("purpose", ["fallback", "reconcile"])
def test_a_premium_index_row_is_a_rate(purpose: Purpose) -> None:
    """The same reading as the stream's: `time` is its event time, and interestRate no rate."""
    assert read(PREMIUM, purpose, "premiumIndex") == RateUpdate(
        "ETHUSDT",
        0.00038246,
        event_time=1_791_280_495_002_000,
        mark_price=3793.63104562,
        index_price=3781.8049597,
        next_funding_time=1_791_302_400_000_000,
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"lastFundingRate": "", "nextFundingTime": 0}, "empty rate"),
        ({"lastFundingRate": "", "interestRate": ""}, "empty rate"),
        ({"lastFundingRate": None}, "empty rate"),
        ({"lastFundingRate": "0.00000000", "nextFundingTime": 0}, "no next funding time"),
    ],
)
def test_a_delivery_row_of_the_premium_index_is_no_rate(
    change: dict[str, Any], reason: str
) -> None:
    """Documented for dapi, handled the same way here (§9a)."""
    row = {**PREMIUM, "symbol": "ETHUSDT_260925", **change}
    assert read(row, "fallback", "premiumIndex") == NoRate("ETHUSDT_260925", reason)


def test_a_history_row_is_a_settlement_with_its_raw_stamp() -> None:
    """The +1 ms of the exchange is kept (docs/exchanges/README.md §8.3.20); the mark price is not
    the rate.
    """
    assert read(SETTLED, "history", "fundingRate") == SettlementUpdate(
        "0GUSDT", 1_791_273_600_001_000, -0.00005, source="history", interval_hours=None
    )


@pytest.mark.parametrize("word", ["Regular", "REGULAR", "", None])
def test_a_regular_history_row_is_the_same_settlement_as_one_without_a_type(
    word: str | None,
) -> None:
    """A newer key (docs/exchanges/README.md §8.3.19), empty or null as good as absent."""
    with_type = read({**SETTLED, "rateType": word}, "history", "fundingRate")
    assert with_type == read(without(SETTLED, "markPrice"), "history", "fundingRate")
    assert isinstance(with_type, SettlementUpdate)
    assert with_type.kind == "regular"


@pytest.mark.parametrize("word", ["Special", "special", "Regularly", "AWordOfTomorrow"])
def test_a_settlement_of_any_other_type_is_special(word: str) -> None:
    """What may be extra funding must not enter the statistics (§9b)."""
    assert read({**SETTLED, "rateType": word}, "history", "fundingRate") == SettlementUpdate(
        "0GUSDT", 1_791_273_600_001_000, -0.00005, kind="special"
    )


@pytest.mark.parametrize("junk", [True, 1, ["Regular"], {"is": "Regular"}])
def test_a_type_that_is_no_word_is_special_and_reported(junk: Any) -> None:
    """It costs neither the rate nor the statistics."""
    settlement, fault = read_all({**SETTLED, "rateType": junk}, "history", "fundingRate")
    assert isinstance(settlement, SettlementUpdate)
    assert (settlement.rate, settlement.kind) == (-0.00005, "special")
    assert isinstance(fault, Unreadable)
    assert fault.reason.startswith("rateType is no text")


@pytest.mark.parametrize("zero", ["0.00000000", "0", 0, "-0.0"])
def test_a_rate_of_zero_without_a_settle_price_is_no_rate(zero: Any) -> None:
    """A delisted contract is listed on, with a current time (§9a)."""
    row = {**PREMIUM, "lastFundingRate": "0.00000000", "estimatedSettlePrice": zero}
    for purpose in ("fallback", "reconcile"):
        update = read(row, purpose, "premiumIndex")
        assert isinstance(update, NoRate)
        assert "trades no more" in update.reason


@pytest.mark.parametrize(
    ("rate", "settle_price"),
    [
        ("0.00000000", "3785.16138815"),
        ("0.00000000", None),
        ("0.00000000", ""),
        ("0.00000523", "0.00000000"),
        ("0.00000523", None),
    ],
)
def test_a_live_contract_has_a_settle_price_or_a_rate(rate: str, settle_price: Any) -> None:
    """Only both zeros together say that it trades no more."""
    row = {**PREMIUM, "lastFundingRate": rate, "estimatedSettlePrice": settle_price}
    update = read(row, "fallback", "premiumIndex")
    assert isinstance(update, RateUpdate)
    assert update.rate == float(rate)
    if settle_price is None:
        assert read(without(row, "estimatedSettlePrice"), "fallback", "premiumIndex") == update


@pytest.mark.parametrize("junk", [True, [], {}, "soon"])
def test_an_unreadable_settle_price_is_reported_beside_a_rate_of_zero(junk: Any) -> None:
    """It cannot say that the contract trades no more."""
    row = {**PREMIUM, "lastFundingRate": "0.00000000", "estimatedSettlePrice": junk}
    update, fault = read_all(row, "fallback", "premiumIndex")
    assert isinstance(update, RateUpdate)
    assert isinstance(fault, Unreadable)
    assert fault.reason.startswith("estimatedSettlePrice is ")


@pytest.mark.parametrize("row", [{**SETTLED, "fundingRate": ""}, without(SETTLED, "fundingRate")])
def test_a_settlement_without_a_rate_is_none(row: dict[str, Any]) -> None:
    """It never enters a baseline as 0."""
    assert read(row, "history", "fundingRate") == NoRate("0GUSDT", "empty settled rate")


def test_funding_info_gives_interval_and_bounds() -> None:
    """Cap and floor each from their own key."""
    assert read(INFO, "contract", "fundingInfo") == InstrumentUpdate(
        "BLZUSDT", interval_hours=4.0, rate_cap=0.025, rate_floor=-0.015
    )


@pytest.mark.parametrize("hours", [-8, 24.5, 28_800, "8h", True])
def test_an_interval_that_nothing_can_be_divided_by_costs_the_interval_alone(hours: Any) -> None:
    """Negative, or in another unit: a rate divided by it would be nonsense."""
    facts, fault = read_all({**INFO, "fundingIntervalHours": hours}, "contract", "fundingInfo")
    assert facts == InstrumentUpdate("BLZUSDT", rate_cap=0.025, rate_floor=-0.015)
    assert isinstance(fault, Unreadable)
    assert fault.reason.startswith("fundingIntervalHours is ")


@pytest.mark.parametrize(
    ("stated", "hours"), [(0, None), (None, None), ("", None), ("8", 8.0), (1, 1.0), (24, 24.0)]
)
def test_an_interval_may_be_text_or_not_stated(stated: Any, hours: float | None) -> None:
    """None leaves in force what is known; zero would be divided by."""
    facts = read({**INFO, "fundingIntervalHours": stated}, "contract", "fundingInfo")
    assert facts == InstrumentUpdate(
        "BLZUSDT", interval_hours=hours, rate_cap=0.025, rate_floor=-0.015
    )


def test_exchange_info_gives_status_and_assets() -> None:
    """The base is canonical, its unit the multiplier; interval and bounds stay as they were."""
    assert read(LISTED, "contract", "exchangeInfo") == InstrumentUpdate(
        "1000PEPEUSDT",
        base="PEPE",
        quote="USDT",
        multiplier=1000.0,
        status=ContractStatus.DELISTED,
        status_word="SETTLING",
        listed_at=1_683_500_400_000_000,
    )


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("TRADING", ContractStatus.TRADING),
        ("PENDING_TRADING", ContractStatus.PRE_LAUNCH),
        ("CLOSE", ContractStatus.DELISTED),
        ("AWordOfTomorrow", ContractStatus.HALTED),
        ("", None),
    ],
)
def test_the_exchanges_word_is_one_of_our_states(word: str, status: ContractStatus | None) -> None:
    """A word that nobody knows halts the contract: it is not gone."""
    facts = read({**LISTED, "status": word}, "contract", "exchangeInfo")
    assert isinstance(facts, InstrumentUpdate)
    assert (facts.status, facts.status_word) == (status, word or None)


@pytest.mark.parametrize("nothing", [0, "0", "", None])
def test_without_a_date_of_listing_there_is_none(nothing: Any) -> None:
    """Never 1970."""
    facts = read({**LISTED, "onboardDate": nothing}, "contract", "exchangeInfo")
    assert facts == read(without(LISTED, "onboardDate"), "contract", "exchangeInfo")
    assert isinstance(facts, InstrumentUpdate)
    assert facts.listed_at is None


def test_exchange_info_without_assets_says_nothing_of_them() -> None:
    """None leaves in force what is known."""
    row = {"symbol": "BTCUSDT", "status": "TRADING"}
    assert read(row, "contract", "exchangeInfo") == InstrumentUpdate(
        "BTCUSDT", status=ContractStatus.TRADING, status_word="TRADING"
    )
