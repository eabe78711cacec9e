"""Pacifica: the estimate is the one of two rates, fractions per hour."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.contract_status import ContractStatus
from schemas.errors import MalformedInputError
from schemas.feed_spec import RateKind
from schemas.records import Purpose
from schemas.times import US_PER_MS
from schemas.venues.pacifica import FEED
from stream_app.model import InstrumentUpdate, NoRate, RateUpdate, SettlementUpdate, Update
from stream_app.normalise.pacifica import normalise, split_symbol
from tests.support.paths import SHARED_FIXTURES
from tests.venues.samples import RECEIVED_AT_US

HOUR_MS = 1_790_002_800_000
"""15:00 UTC, of the next settlement."""
PRICE: dict[str, Any] = {
    "symbol": "SOL",
    "funding": "0.0000211",
    "next_funding": "-0.0000037",
    "mark": "141.25",
    "oracle": "141.31",
    "timestamp": HOUR_MS - 1,
    "open_interest": "200",
    "volume_24h": "5000.5",
}


def read(
    payload: Any, symbol: str = "SOL", purpose: Purpose = "fallback", channel: str = "info/prices"
) -> list[Update]:
    """What a payload means."""
    data = json.dumps(payload).encode()
    return list(normalise(purpose, channel, symbol, data, RECEIVED_AT_US))


def test_the_estimate_is_next_funding_and_never_the_settled_rate() -> None:
    """`funding` is the last payment (docs/exchanges/pacifica.md §6); ccxt takes it for the rate."""
    expected = RateUpdate(
        "SOL",
        -0.0000037,
        event_time=(HOUR_MS - 1) * US_PER_MS,
        mark_price=141.25,
        index_price=141.31,
        next_funding_time=HOUR_MS * US_PER_MS,
    )
    assert read(PRICE) == [expected]
    frame = {"channel": "prices", "data": [PRICE]}
    assert read(frame, purpose="stream", channel="prices") == [expected]
    assert FEED.rate_kind is RateKind.HOURLY_ESTIMATE
    assert FEED.derive_settlements


def test_a_row_of_the_full_hour_is_of_the_next_one() -> None:
    """The settlement at its time is over."""
    (update,) = read({**PRICE, "timestamp": HOUR_MS})
    assert isinstance(update, RateUpdate)
    assert update.next_funding_time == (HOUR_MS + 3_600_000) * US_PER_MS


@pytest.mark.parametrize("stamp", [None, "", "soon", 5, [], 0])
def test_an_odd_time_does_not_cost_the_rate(stamp: object) -> None:
    """That of receipt stands in."""
    rate, *faults = read({**PRICE, "timestamp": stamp})
    assert isinstance(rate, RateUpdate)
    assert rate.event_time is None
    assert rate.next_funding_time == HOUR_MS * US_PER_MS
    assert len(faults) == (0 if stamp in (None, "", 0) else 1)
    assert read({key: PRICE[key] for key in PRICE if key != "timestamp"})[:1] == [rate]


@pytest.mark.parametrize("late_ms", [0, -777, 777, 29_999, -30_000])
def test_a_stamp_beside_the_hour_is_kept(late_ms: int) -> None:
    """The worker rounds it to the minute."""
    row = {"funding_rate": "0.1", "created_at": HOUR_MS + late_ms}
    (update,) = read(row, purpose="history", channel="funding_rate/history")
    assert isinstance(update, SettlementUpdate)
    assert update.funding_time_raw == (HOUR_MS + late_ms) * US_PER_MS


@pytest.mark.parametrize("late_ms", [60_000, 1_800_000, 3_500_000])
def test_a_row_that_is_written_later_settled_at_its_hour(late_ms: int) -> None:
    """Every symbol settles on the hour (docs/exchanges/pacifica.md §9b)."""
    row = {"funding_rate": "0.1", "created_at": HOUR_MS + late_ms}
    (update,) = read(row, purpose="history", channel="funding_rate/history")
    assert isinstance(update, SettlementUpdate)
    assert update.funding_time_raw == HOUR_MS * US_PER_MS


@pytest.mark.parametrize("rate", [None, "", "n/a"])
def test_a_missing_estimate_is_none_even_beside_a_settled_rate(rate: str | None) -> None:
    """It is neither 0 nor the settled one."""
    assert read({**PRICE, "next_funding": rate}) == [NoRate("SOL", "no funding rate")]


@pytest.mark.parametrize("data", [[], [PRICE, PRICE], PRICE, None])
def test_a_frame_that_is_not_of_one_row_is_malformed(data: Any) -> None:
    """The producers cut it so that there is one."""
    with pytest.raises(MalformedInputError):
        read({"channel": "prices", "data": data}, purpose="stream", channel="prices")


def test_a_settled_rate_has_the_time_that_its_row_names() -> None:
    """The prediction in the same row is none (docs/exchanges/pacifica.md §9b)."""
    row = {"funding_rate": "-0.0000125", "next_funding_rate": "0.5", "created_at": HOUR_MS - 777}
    assert read(row, purpose="history", channel="funding_rate/history") == [
        SettlementUpdate("SOL", (HOUR_MS - 777) * US_PER_MS, -0.0000125, interval_hours=1.0)
    ]


def test_a_listed_perpetual_trades_and_settles_each_hour() -> None:
    """A kBONK is 1000 BONK, whether or not the base says so."""
    for base in ("kBONK", "BONK", None):
        row = {"symbol": "kBONK", "base_asset": base, "instrument_type": "perpetual"}
        assert read(row, "kBONK", "contract", "info") == [
            InstrumentUpdate(
                "kBONK",
                base="BONK",
                quote="USDC",
                multiplier=1_000.0,
                status=ContractStatus.TRADING,
                interval_hours=1.0,
            )
        ]
    assert split_symbol("kBONK") == ("kBONK", "USDC")


def test_what_is_held_is_counted_in_the_base() -> None:
    """And valued at the mark; what was traded is in USD (docs/exchanges/pacifica.md §6)."""
    assert read(PRICE, purpose="contract", channel="liquidity") == [
        InstrumentUpdate(
            "SOL", turnover_24h=5_000.5, open_interest=28_250.0, open_interest_units=200.0
        )
    ]
    bare = {**PRICE, "mark": "0"}
    assert read(bare, purpose="contract", channel="liquidity") == [
        InstrumentUpdate("SOL", turnover_24h=5_000.5, open_interest_units=200.0)
    ]


def captured(name: str) -> Any:
    """A message that somebody captured."""
    path = SHARED_FIXTURES / "messages" / "pacifica" / name
    if not path.exists():
        pytest.skip("the captured messages are not here")
    return json.loads(path.read_bytes())


def test_a_row_that_was_captured() -> None:
    """A stock; the same row comes by REST and in the stream."""
    (update,) = read(captured("g_prices_row_NVDA_rest.json"), "NVDA")
    assert isinstance(update, RateUpdate)
    assert (update.rate, update.mark_price, update.index_price, update.event_time) == (
        0.0000125,
        223.14,
        223.128564,
        1_790_585_552_699_000,
    )


def test_a_settlement_of_the_documentation() -> None:
    """Its time is not near a full hour: it is of the hour that had begun."""
    (row,) = captured("doc_funding_rate_history_rest.json")["data"]
    assert read(row, "BTC", "history", "funding_rate/history") == [
        SettlementUpdate("BTC", 1_753_804_800_000_000, 0.0000125, interval_hours=1.0)
    ]
