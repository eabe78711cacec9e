"""dYdX payloads: each trap that docs/exchanges/dydx.md §2 to §4 name."""

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
from stream_app.normalise.dydx import normalise, split_symbol
from tests.venues.dydx import MARKET, ROW, SETTLED
from tests.venues.samples import RECEIVED_AT_US

THREE_PM_US = 1_790_002_800_000_000


def read_all(
    row: Any,
    purpose: Purpose = "stream",
    channel: str = "v4_markets",
    received_at_us: int = RECEIVED_AT_US,
) -> list[Update]:
    """What a payload means."""
    payload = json.dumps(row).encode()
    return list(normalise(purpose, channel, "SOL-USD", payload, received_at_us))


def test_the_rate_is_per_hour_for_the_coming_full_hour() -> None:
    """20 digits, no time; the oracle price is index and mark (§2, §3)."""
    expected = RateUpdate(
        "SOL-USD",
        -0.00000937416666666667,
        mark_price=141.6915231,
        index_price=141.6915231,
        next_funding_time=THREE_PM_US,
        interval_hours=1.0,
    )
    assert read_all(ROW) == [expected]
    assert read_all(MARKET, "fallback", "perpetualMarkets") == [expected]


def test_at_the_full_hour_the_next_one_is_coming() -> None:
    """The next funding time lies ahead of the receipt."""
    (update,) = read_all(ROW, received_at_us=THREE_PM_US)
    assert isinstance(update, RateUpdate)
    assert update.next_funding_time == THREE_PM_US + 3_600_000_000


def test_a_rate_that_is_not_there_is_none() -> None:
    """Neither absent nor null is 0; "0" is."""
    without = {key: value for key, value in ROW.items() if key != "nextFundingRate"}
    for row in (without, {**ROW, "nextFundingRate": None}, {**ROW, "nextFundingRate": ""}):
        assert read_all(row) == [NoRate("SOL-USD", "no funding rate")]
    (update,) = read_all({**ROW, "nextFundingRate": "0"})
    assert isinstance(update, RateUpdate)
    assert update.rate == 0.0


@pytest.mark.parametrize(
    ("word", "halted"),
    [("PAUSED", True), ("CANCEL_ONLY", True), ("FINAL_SETTLEMENT", False), ("INITIALIZING", False)],
)
def test_the_rate_of_a_market_that_is_not_active_is_none(word: str, *, halted: bool) -> None:
    """Funding is paid on active ones alone (§3)."""
    assert read_all({**ROW, "status": word}) == [
        NoRate("SOL-USD", f"the market is {word}", halted=halted)
    ]


@pytest.mark.parametrize("oracle_price", [None, "", "0", "0.0", 0])
@pytest.mark.parametrize("rate", ["0", "0.0001"])
def test_a_market_without_an_oracle_price_has_no_rate(oracle_price: object, rate: str) -> None:
    """It is halted, as the list says (§3)."""
    assert read_all({**ROW, "oraclePrice": oracle_price, "nextFundingRate": rate}) == [
        NoRate("SOL-USD", "a rate without an oracle price", halted=True)
    ]
    (facts,) = read_all({**MARKET, "oraclePrice": oracle_price}, "contract", "perpetualMarkets")
    assert isinstance(facts, InstrumentUpdate)
    assert facts.status is ContractStatus.HALTED


def test_a_bad_price_does_not_cost_the_rate() -> None:
    """It is told beside it."""
    update, fault = read_all({**ROW, "oraclePrice": "?"})
    assert isinstance(update, RateUpdate)
    assert isinstance(fault, Unreadable)


def test_a_settlement_has_its_stamp() -> None:
    """ISO text in UTC, a little late (§4b)."""
    assert read_all(SETTLED, "history", "historicalFunding") == [
        SettlementUpdate("SOL-USD", 1_789_995_600_117_000, 0.00000225)
    ]
    assert read_all({**SETTLED, "rate": None}, "history", "historicalFunding") == [
        NoRate("SOL-USD", "no settled rate")
    ]
    with pytest.raises(MalformedInputError):
        read_all({**SETTLED, "effectiveAt": "0001-01-01T00:00:00Z"}, "history", "historicalFunding")


def test_settlements_are_read_by_columns() -> None:
    """As they are one by one."""
    reader = normalise.settled_reader("historicalFunding")
    assert reader is not None
    columns = reader.read([json.dumps(SETTLED).encode()])
    assert columns is not None
    assert columns.funding_times_raw.tolist() == [1_789_995_600_117_000]
    assert columns.rates.tolist() == [0.00000225]


def test_facts_of_a_market() -> None:
    """Hourly, in USD; what has no price does not trade (§3)."""
    facts = InstrumentUpdate(
        "SOL-USD",
        base="SOL",
        quote="USD",
        multiplier=1.0,
        status=ContractStatus.TRADING,
        status_word="ACTIVE",
        interval_hours=1.0,
    )
    assert read_all(MARKET, "contract", "perpetualMarkets") == [facts]
    (dead,) = read_all({**MARKET, "oraclePrice": None}, "contract", "perpetualMarkets")
    assert isinstance(dead, InstrumentUpdate)
    assert dead.status is ContractStatus.HALTED
    odd, _ = read_all({**MARKET, "oraclePrice": "?"}, "contract", "perpetualMarkets")
    assert isinstance(odd, InstrumentUpdate)
    assert odd.status is None


def test_liquidity_is_in_the_quote_currency() -> None:
    """Open interest is in units of the asset (§4a)."""
    (update,) = read_all(MARKET, "contract", "liquidity")
    assert isinstance(update, InstrumentUpdate)
    assert update.turnover_24h == 30_447_205.61
    assert update.open_interest == pytest.approx(80_417.25 * 141.6915231)
    assert not update.lists


def test_a_long_name_begins_with_its_asset() -> None:
    """The pool and the token's address follow (§3)."""
    assert split_symbol("BUFFI,uniswap_v3,0x4c1b-USD") == ("BUFFI", "USD")
    assert split_symbol("BTC-USD") == ("BTC", "USD")
    assert split_symbol("-USD") == ("-USD", "")
    assert split_symbol("BTCUSD") == ("BTCUSD", "")
