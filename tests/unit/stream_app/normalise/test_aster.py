"""Aster payloads: each edge case of docs/exchanges/aster.md. In every row each field has a value of
its own, so that no field can be read for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from schemas.contract_status import ContractStatus
from schemas.errors import MalformedInputError
from schemas.records import Purpose
from stream_app.model import InstrumentUpdate, NoRate, RateUpdate, SettlementUpdate, Update
from stream_app.normalise.aster import normalise, split_symbol
from tests.venues.aster import INFO, LISTED, PREMIUM, ROW, SETTLED, STREAM, TICKER, text

RATE = RateUpdate(
    "1000PEPEUSDT",
    -0.00031207,
    event_time=1_790_000_123_000_000,
    mark_price=0.00485721,
    index_price=0.00485533,
    next_funding_time=1_790_006_400_000_000,
)


def read(purpose: Purpose, channel: str, row: dict[str, Any]) -> Sequence[Update]:
    """What a row means."""
    symbol = row.get("s") or row["symbol"]
    return normalise(purpose, channel, symbol, text(row), 0)


def test_a_row_of_the_stream_says_no_market_and_is_read() -> None:
    """There is no `st`; whatever stands there is no market of ours (§6)."""
    assert read("stream", STREAM, ROW) == (RATE,)
    for unknown in ({"st": 2}, {"st": "x"}, {"ap": "9"}, {"X": "MARKET"}):
        assert read("stream", STREAM, {**ROW, **unknown}) == (RATE,)


def test_many_rows_are_read_as_columns() -> None:
    """They mean what they mean one by one; a row of another kind is left to the reader."""
    reader = normalise.column_reader(STREAM)
    assert reader is not None
    found = reader.read([text(ROW), text({**ROW, "e": "other"}), text({**ROW, "st": 2})])
    assert found is not None
    assert found.rates.tolist()[::2] == [RATE.rate] * 2
    assert found.rates[1] != found.rates[1]
    assert found.mark_prices[0] == RATE.mark_price
    assert found.next_funding_times[0] == RATE.next_funding_time
    with pytest.raises(MalformedInputError):
        read("stream", STREAM, {**ROW, "e": "other"})


def test_a_row_without_a_rate_is_no_rate_of_0() -> None:
    """§8."""
    assert read("stream", STREAM, {**ROW, "r": ""}) == (NoRate(ROW["s"], "empty rate"),)
    (update,) = read("stream", STREAM, {**ROW, "r": "0.00000000"})
    assert isinstance(update, RateUpdate)
    assert update.rate == 0.0


def test_current_rates() -> None:
    """The estimate of the coming settlement, on stocks too (§9a)."""
    for purpose in ("fallback", "reconcile"):
        assert read(purpose, "premiumIndex", PREMIUM) == (
            RateUpdate(
                "TSLAUSDT",
                0.00001715,
                event_time=1_790_000_124_000_000,
                mark_price=410.51856917,
                index_price=410.30879286,
                next_funding_time=1_790_006_400_000_000,
            ),
        )


def test_settled_rates() -> None:
    """Every one is regular (§9b)."""
    assert read("history", "fundingRate", SETTLED) == (
        SettlementUpdate("SUIUSDT", 1_789_977_600_002_000, -0.0175),
    )


@pytest.mark.parametrize("cap", [0.0175, "0.0175"])
def test_intervals_and_caps(cap: float | str) -> None:
    """Caps are numbers; as text they mean the same (§9c)."""
    assert read("contract", "fundingInfo", {**INFO, "fundingFeeCap": cap}) == (
        InstrumentUpdate("KAITOUSDT", interval_hours=4.0, rate_cap=0.0175, rate_floor=-0.0125),
    )


def test_turnover_is_in_the_quote_currency() -> None:
    """Not in coins; what is missing is not known (§9d)."""
    assert read("contract", "ticker/24hr", TICKER) == (
        InstrumentUpdate("ETHUSDT", turnover_24h=196_424_881.71),
    )
    assert read("contract", "ticker/24hr", {**TICKER, "quoteVolume": None}) == (
        InstrumentUpdate("ETHUSDT"),
    )


def test_the_list_has_multipliers_and_no_dated_facts() -> None:
    """1000FLOKI is 1000 FLOKI (§8)."""
    (facts,) = read("contract", "exchangeInfo", LISTED)
    assert facts == InstrumentUpdate(
        "1000FLOKIUSDT",
        base="FLOKI",
        quote="USDT",
        multiplier=1_000.0,
        status=ContractStatus.TRADING,
        status_word="TRADING",
        listed_at=1_758_252_400_000_000,
    )


def test_symbols_are_split_at_their_quote() -> None:
    """§8."""
    assert split_symbol("BTCUSD1") == ("BTC", "USD1")
    assert split_symbol("1000PEPEUSDT") == ("1000PEPE", "USDT")
