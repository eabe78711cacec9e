"""WhiteBIT payloads: each trap that docs/exchanges/whitebit.md §2 to §4 name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.contract_status import ContractStatus
from schemas.errors import MalformedInputError
from schemas.records import Purpose
from stream_app.model import InstrumentUpdate, NoRate, RateUpdate, SettlementUpdate, Update
from stream_app.normalise.whitebit import normalise, split_symbol
from tests.venues.samples import RECEIVED_AT_US
from tests.venues.whitebit import FUTURE, PUSH, SETTLED

ROW = PUSH["params"][0]
RATE = RateUpdate(
    "SOL_PERP",
    0.00009417,
    event_time=1_790_000_123_417_268,
    mark_price=141.7302,
    index_price=141.6915,
    next_funding_time=1_790_006_400_000_000,
)


def read_all(row: Any, purpose: Purpose, channel: str, symbol: str = "SOL_PERP") -> list[Update]:
    """What a payload means."""
    payload = json.dumps(row).encode()
    return list(normalise(purpose, channel, symbol, payload, RECEIVED_AT_US))


def pushed(place: int, value: Any) -> list[Update]:
    """What a push means with another value at a place of its row."""
    row = [value if at == place else was for at, was in enumerate(ROW)]
    return read_all({**PUSH, "params": [row]}, "stream", "premiumIndex")


def future(purpose: Purpose = "fallback", channel: str = "futures", **change: Any) -> list[Update]:
    """What an entry of the list means with other values."""
    return read_all({**FUTURE, **change}, purpose, channel)


def test_a_row_of_a_push_stands_in_an_array_or_is_it() -> None:
    """The push of a named market is flat (§2)."""
    assert read_all(PUSH, "stream", "premiumIndex") == [RATE]
    assert read_all({**PUSH, "params": ROW}, "stream", "premiumIndex") == [RATE]


@pytest.mark.parametrize(
    "value", [1_790_006_400_000, 1_790_006_400, "1790006400000", "1790006400", 1_790_006_400.0]
)
def test_the_next_settlement_is_in_ms_or_as_documented_in_seconds(value: Any) -> None:
    """§2."""
    assert pushed(4, value) == [RATE]
    (listed,) = future(next_funding_rate_timestamp=value)
    assert isinstance(listed, RateUpdate)
    assert listed.next_funding_time == RATE.next_funding_time


def test_the_time_of_sending_has_microseconds() -> None:
    """Seconds with a fraction; a row without it has none."""
    assert pushed(5, 1_790_000_123.0) == [
        RateUpdate(**{**_fields(RATE), "event_time": 1_790_000_123_000_000})
    ]
    without = {**PUSH, "params": [ROW[:5]]}
    assert read_all(without, "stream", "premiumIndex") == [
        RateUpdate(**{**_fields(RATE), "event_time": None})
    ]
    odd: object
    for odd in (17.0, "soon", []):
        rate, fault = pushed(5, odd)
        assert rate == RateUpdate(**{**_fields(RATE), "event_time": None})
        assert "send time" in str(fault)


@pytest.mark.parametrize("value", ["", None])
def test_a_push_without_a_rate_has_none(value: Any) -> None:
    """It is not 0."""
    assert pushed(3, value) == [NoRate("SOL_PERP", "no funding rate")]


def test_prices_that_are_not_there_are_none() -> None:
    """`""` of a mark that is not fresh, `"0"` of an index that there is none of (§4a)."""
    (update,) = future(mark_price="", index_price="0")
    assert isinstance(update, RateUpdate)
    assert (update.mark_price, update.index_price) == (None, None)
    (streamed,) = pushed(1, "")
    assert isinstance(streamed, RateUpdate)
    assert streamed.mark_price is None


def test_a_row_of_rest_names_the_interval_and_no_time() -> None:
    """Minutes as a number, the next settlement as text (§4a)."""
    assert future() == [
        RateUpdate(
            "SOL_PERP",
            0.00009416,
            mark_price=141.7302,
            index_price=141.6915,
            next_funding_time=1_790_006_400_000_000,
            interval_hours=8.0,
        )
    ]


def test_a_settlement_is_at_its_funding_time_in_seconds() -> None:
    """And not when its rate was calculated, an interval before (§4b)."""
    assert read_all(SETTLED, "history", "funding-history") == [
        SettlementUpdate("SOL_PERP", 1_789_977_600_000_000, -0.00001906)
    ]
    in_ms = {**SETTLED, "fundingTime": "1789977600000"}
    assert read_all(in_ms, "history", "funding-history") == read_all(
        SETTLED, "history", "funding-history"
    )


def test_what_is_in_the_list_trades() -> None:
    """Its facts, and the bounds as fractions (§3, §4c)."""
    assert future("contract") == [
        InstrumentUpdate(
            "SOL_PERP",
            base="SOL",
            quote="USDT",
            multiplier=1.0,
            status=ContractStatus.TRADING,
            interval_hours=8.0,
            rate_cap=0.00375,
            rate_floor=-0.00374,
        )
    ]


def test_liquidity_is_in_the_quote_currency() -> None:
    """Open interest is in units of the asset; without a mark its last price counts (§4c)."""
    (update,) = future("contract", "liquidity")
    assert isinstance(update, InstrumentUpdate)
    assert update.turnover_24h == 30_447_205.6
    assert update.open_interest == pytest.approx(80_417.25 * 141.7302)
    assert not update.lists
    (stale,) = future("contract", "liquidity", mark_price="")
    assert isinstance(stale, InstrumentUpdate)
    assert stale.open_interest == pytest.approx(80_417.25 * 141.71)


def test_names_are_by_the_coin() -> None:
    """There are no multipliers, and 1INCH is a name (§3)."""
    assert split_symbol("PEPE_PERP") == ("PEPE", "USDT")
    assert split_symbol("1INCH_PERP") == ("1INCH", "USDT")
    assert split_symbol("BTC_USDT") == ("BTC_USDT", "")


def test_columns_read_what_rows_mean() -> None:
    """Of pushes of one row; a flat one is left to the normaliser, as is an odd time."""
    reader = normalise.column_reader("premiumIndex")
    assert reader is not None
    usual = json.dumps(PUSH).encode()
    odd = json.dumps({**PUSH, "params": [[*ROW[:5], 17.5]]}).encode()
    columns = reader.read([usual, odd])
    assert columns is not None
    assert list(columns.symbols) == ["SOL_PERP", "SOL_PERP"]
    assert columns.event_times.item(0) == RATE.event_time
    assert columns.rates.item(0) == RATE.rate
    assert columns.next_funding_times.item(0) == RATE.next_funding_time
    assert columns.rates.item(1) != columns.rates.item(1)
    assert reader.read([json.dumps({**PUSH, "params": ROW}).encode()]) is None


@pytest.mark.parametrize(
    "params", [[], ["SOL_PERP"], [["SOL_PERP", "1"]], [{}], [5], ["SOL_PERP", "1", "1", "0"]]
)
def test_a_push_of_another_form_is_malformed(params: Any) -> None:
    """It goes to the dead letters."""
    with pytest.raises(MalformedInputError):
        read_all({**PUSH, "params": params}, "stream", "premiumIndex")


def _fields(update: RateUpdate) -> dict[str, Any]:
    return {name: getattr(update, name) for name in update.__struct_fields__}


def test_a_share_is_no_coin_of_its_ticker() -> None:
    """`CAT_PERP` is Caterpillar (§3)."""
    row = {**FUTURE, "ticker_id": "CAT_PERP", "stock_currency": "CAT"}
    (facts,) = read_all(row, "contract", "futures", "CAT_PERP")
    assert isinstance(facts, InstrumentUpdate)
    assert facts.base == "CATERPILLAR"
