"""What MEXC's numbers mean, and that a rate of 0 is one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.contract_status import ContractStatus
from schemas.errors import MalformedInputError
from schemas.records import Purpose
from stream_app.model import InstrumentUpdate, NoRate, RateUpdate, SettlementUpdate, Update
from stream_app.normalise.mexc import normalise, split_symbol
from tests.support.paths import SHARED_FIXTURES

AT_US = 1_790_000_123_456_789
NEXT_MS = 1_790_006_400_000


def read(purpose: Purpose, channel: str, symbol: str, row: Any) -> Update:
    """The one update in a payload."""
    payload = row if isinstance(row, bytes) else json.dumps(row).encode()
    (update,) = normalise(purpose, channel, symbol, payload, AT_US)
    return update


def push(**data: Any) -> Update:
    """What a push means."""
    row = {"symbol": "A_USDT", "nextSettleTime": NEXT_MS, **data}
    frame = {"channel": "push.funding.rate", "data": row, "ts": 1_790_000_123_407}
    return read("stream", "push.funding.rate", "A_USDT", frame)


def test_a_push_has_rate_and_next_time_alone() -> None:
    """And the time of the frame."""
    assert push(rate=-0.000213) == RateUpdate(
        "A_USDT", -0.000213, 1_790_000_123_407_000, next_funding_time=NEXT_MS * 1_000
    )


def test_numbers_may_have_exponents() -> None:
    """As Java prints them."""
    text = (
        b'{"channel":"push.funding.rate","data":{"symbol":"A_USDT","rate":-5.9E-05,'
        b'"nextSettleTime":1790006400000},"ts":1790000123407}'
    )
    found = read("stream", "push.funding.rate", "A_USDT", text)
    assert isinstance(found, RateUpdate)
    assert found.rate == -0.000059


@pytest.mark.parametrize(("rate", "is_one"), [(0, True), (0.0, True), (None, False), ("", False)])
def test_a_rate_of_0_is_one(rate: object, *, is_one: bool) -> None:
    """A fifth of the contracts is charged 0; a missing one is none."""
    assert isinstance(push(rate=rate), RateUpdate if is_one else NoRate)
    row = {"symbol": "A_USDT", "fundingRate": rate, "settleTime": 1_789_977_600_000}
    found = read("history", "funding_rate/history", "A_USDT", row)
    assert isinstance(found, SettlementUpdate if is_one else NoRate)


def test_another_channel_is_no_push() -> None:
    """A ticker has a rate of another moment, and no next time."""
    frame = {"channel": "push.ticker", "data": {"symbol": "A_USDT", "fundingRate": 0.1}}
    with pytest.raises(MalformedInputError, match=r"push\.ticker"):
        read("stream", "push.funding.rate", "A_USDT", frame)


def test_the_list_of_rates_has_the_whole_record() -> None:
    """Mark and index price, and the interval in hours; the caps are facts."""
    row = {
        "symbol": "ETH_USDC",
        "fundingRate": 0.0001,
        "maxFundingRate": 0.0029,
        "minFundingRate": -0.0031,
        "collectCycle": 24,
        "nextSettleTime": NEXT_MS,
        "timestamp": 1_790_000_122_345,
        "idxPrice": 2811.25,
        "fairPrice": 2811.75,
    }
    assert read("fallback", "funding_rate", "ETH_USDC", row) == RateUpdate(
        "ETH_USDC", 0.0001, 1_790_000_122_345_000, 2811.75, 2811.25, NEXT_MS * 1_000, 24.0
    )
    assert read("contract", "funding_rate", "ETH_USDC", row) == InstrumentUpdate(
        "ETH_USDC", interval_hours=24.0, rate_cap=0.0029, rate_floor=-0.0031
    )
    bare = {"symbol": "ETH_USDC", "fundingRate": 0.0001, "idxPrice": 0, "fairPrice": 0}
    assert read("fallback", "funding_rate", "ETH_USDC", bare) == RateUpdate("ETH_USDC", 0.0001)


def test_a_settlement_names_its_interval_in_newer_replies() -> None:
    """Older ones do not."""
    row = {"symbol": "A", "fundingRate": 0.0005, "settleTime": 1_789_977_600_000}
    assert read("history", "funding_rate/history", "A", row) == SettlementUpdate(
        "A", 1_789_977_600_000_000, 0.0005
    )
    assert read("history", "funding_rate/history", "A", {**row, "collectCycle": 4}) == (
        SettlementUpdate("A", 1_789_977_600_000_000, 0.0005, interval_hours=4.0)
    )


@pytest.mark.parametrize(
    ("name", "kind", "asset"),
    [
        ("AAPLSTOCK", 2, "AAPL"),
        ("AAPLSTOCK", 1, "AAPLSTOCK"),
        ("AAPLSTOCK", None, "AAPLSTOCK"),
        ("CATSTOCK", 2, "CATERPILLAR"),
        ("CAT", 1, "CAT"),
        ("TSTOCK", 2, "AT&T"),
        ("METASTOCK", 2, "META"),
        ("META", 1, "METACOIN"),
        ("NVIDIA", 2, "NVDA"),
        ("SILVER", 2, "XAG"),
    ],
)
def test_a_share_is_told_by_its_type(name: str, kind: int | None, asset: str) -> None:
    """One whose ticker is a coin's on most venues is named by the company."""
    row = {"symbol": f"{name}_USDT", "baseCoin": name, "state": 0, "type": kind}
    found = read("contract", "detail", f"{name}_USDT", row)
    assert isinstance(found, InstrumentUpdate)
    assert found.base == asset


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (0, ContractStatus.TRADING),
        (1, ContractStatus.HALTED),
        (2, ContractStatus.DELISTED),
        (3, ContractStatus.DELISTED),
        (4, ContractStatus.HALTED),
        (77, ContractStatus.HALTED),
        (None, None),
    ],
)
def test_the_states_of_a_contract_are_numbers(
    state: int | None, status: ContractStatus | None
) -> None:
    """Their texts are the words that are stored."""
    row = {"symbol": "1000BONK_USDT", "baseCoin": "1000BONK", "quoteCoin": "USDT", "state": state}
    found = read("contract", "detail", "1000BONK_USDT", row)
    assert found == InstrumentUpdate(
        "1000BONK_USDT",
        base="BONK",
        quote="USDT",
        multiplier=1_000.0,
        status=status,
        status_word=None if state is None else str(state),
    )


def test_symbols_are_base_and_quote() -> None:
    """Of all four quotes."""
    assert split_symbol("BTC_USD") == ("BTC", "USD")
    assert split_symbol("SOL_USD1") == ("SOL", "USD1")
    assert split_symbol("A_B") == ("A_B", "")


def test_turnover_is_told_in_what_a_contract_is_settled_in() -> None:
    """Of an inverse one in coins; open interest in contracts is not read."""
    row = {"symbol": "BTC_USDT", "amount24": 5_000.5, "holdVol": 7, "fairPrice": 80_000}
    assert read("contract", "ticker", "BTC_USDT", row) == InstrumentUpdate(
        "BTC_USDT", mark_price=80_000.0, turnover_24h=5_000.5
    )
    inverse = {**row, "symbol": "BTC_USD", "amount24": 2}
    assert read("contract", "ticker", "BTC_USD", inverse) == InstrumentUpdate(
        "BTC_USD", mark_price=80_000.0, turnover_24h=160_000.0
    )
    assert read("contract", "ticker", "BTC_USD", {**inverse, "fairPrice": 0}) == (
        InstrumentUpdate("BTC_USD")
    )


def test_captured_rows_of_rest() -> None:
    """A row without its envelope, and a page of settlements."""
    folder = SHARED_FIXTURES / "messages" / "mexc"
    if not folder.exists():
        pytest.skip("the captured messages are not here")
    row = (folder / "obs_funding_rate_row_rest.json").read_bytes().strip()
    assert read("fallback", "funding_rate", "BTC_USDT", row) == RateUpdate(
        "BTC_USDT",
        0.000067,
        1_789_455_551_670_000,
        77240.4,
        77271.6,
        1_789_459_200_000_000,
        8.0,
    )
    facts = read("contract", "funding_rate", "BTC_USDT", row)
    assert isinstance(facts, InstrumentUpdate)
    assert (facts.rate_cap, facts.rate_floor) == (0.0018, -0.0018)
    page = json.loads((folder / "g_funding_rate_history_rest.json").read_bytes())
    rows = page["data"]["resultList"]
    assert len(rows) == 2
    assert read("history", "funding_rate/history", "BTC_USDT", rows[0]) == SettlementUpdate(
        "BTC_USDT", 1_787_155_200_000_000, 0.0001, interval_hours=8.0
    )
