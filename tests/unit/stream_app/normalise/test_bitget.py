"""What Bitget's numbers mean, and which rows have no rate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.contract_status import ContractStatus
from schemas.errors import MalformedInputError
from schemas.records import Purpose
from stream_app.model import InstrumentUpdate, NoRate, RateUpdate, SettlementUpdate, Update
from stream_app.normalise.bitget import normalise, split_symbol
from tests.support.paths import SHARED_FIXTURES

AT_US = 1_790_000_123_456_789
NEXT_MS = 1_790_006_400_000
ROW: dict[str, Any] = {
    "instId": "SOLUSDT",
    "fundingRate": "-0.000213",
    "nextFundingTime": str(NEXT_MS),
    "markPrice": "141.25",
    "indexPrice": "141.3125",
    "ts": "1790000123400",
}


def read(purpose: Purpose, channel: str, symbol: str, row: Any) -> Update:
    """The one update in a payload."""
    (update,) = normalise(purpose, channel, symbol, json.dumps(row).encode(), AT_US)
    return update


def ticker(symbol: str = "SOLUSDT", *, arg: Any = None, **row: Any) -> Update:
    """What a frame with a row means."""
    whole = {"arg": arg or {}, "data": [row], "ts": 1_790_000_123_404}
    return read("stream", "ticker", symbol, whole)


def test_a_ticker_names_contract_and_time_in_the_row_or_in_the_frame() -> None:
    """v2 in the row, v3 in the frame, which has a time of its own."""
    v2 = ticker(**ROW)
    assert v2 == RateUpdate(
        "SOLUSDT", -0.000213, 1_790_000_123_400_000, 141.25, 141.3125, NEXT_MS * 1_000
    )
    row = {name: value for name, value in ROW.items() if name not in {"instId", "ts"}}
    v3 = ticker(arg={"topic": "ticker", "symbol": "SOLUSDT"}, **row)
    assert v3 == RateUpdate(
        "SOLUSDT", -0.000213, 1_790_000_123_404_000, 141.25, 141.3125, NEXT_MS * 1_000
    )


@pytest.mark.parametrize(
    "row",
    [
        {"fundingRate": "0", "nextFundingTime": "0", "symbolType": "2"},
        {"fundingRate": "", "nextFundingTime": "", "deliveryTime": "1798185600000"},
        {"fundingRate": "0"},
        {"fundingRate": None},
    ],
)
def test_a_dated_contract_has_no_rate(row: dict[str, Any]) -> None:
    """A rate of "0" without a next time means that there is no funding: not a rate of 0."""
    assert isinstance(ticker("BTCUSDZ26", **{**row, "instId": "BTCUSDZ26"}), NoRate)


@pytest.mark.parametrize("next_update", ["0", 0, "", None])
def test_a_dated_contract_has_no_rate_in_a_list_either(next_update: object) -> None:
    """The list of coin-margined contracts has some; they have no interval (§4a)."""
    row = {"symbol": "BTCUSDZ26", "fundingRate": "0", "nextUpdate": next_update}
    found = read("fallback", "current-fund-rate", "BTCUSDZ26", row)
    assert isinstance(found, NoRate)
    caps = {**row, "fundingRateInterval": "0", "maxFundingRate": "0", "minFundingRate": "0"}
    facts = read("contract", "current-fund-rate", "BTCUSDZ26", caps)
    assert isinstance(facts, InstrumentUpdate)
    assert facts.interval_hours is None


def test_a_rate_of_0_with_a_next_time_is_one() -> None:
    """And a rate whose next time is missing stays a rate."""
    found = ticker(**{**ROW, "fundingRate": "0"})
    assert isinstance(found, RateUpdate)
    assert found.rate == 0
    found = ticker(**{**ROW, "nextFundingTime": ""})
    assert isinstance(found, RateUpdate)
    assert found.next_funding_time is None


def test_a_frame_of_many_rows_is_no_piece() -> None:
    """Nor is one without a contract."""
    payload = json.dumps({"data": [ROW, ROW]}).encode()
    with pytest.raises(MalformedInputError, match="2 rows"):
        normalise("stream", "ticker", "SOLUSDT", payload, AT_US)
    with pytest.raises(MalformedInputError, match="without a symbol"):
        ticker("SOLUSDT", **{**ROW, "instId": None})


def test_the_current_rate_brings_its_interval_in_hours() -> None:
    """As text; the caps are facts, and it has no time of its own."""
    row = {
        "symbol": "ETHPERP",
        "fundingRate": "0.0001",
        "fundingRateInterval": "4",
        "nextUpdate": str(NEXT_MS),
        "minFundingRate": "-0.0031",
        "maxFundingRate": "0.0029",
    }
    assert read("fallback", "current-fund-rate", "ETHPERP", row) == RateUpdate(
        "ETHPERP", 0.0001, next_funding_time=NEXT_MS * 1_000, interval_hours=4.0
    )
    assert read("contract", "current-fund-rate", "ETHPERP", row) == InstrumentUpdate(
        "ETHPERP", interval_hours=4.0, rate_cap=0.0029, rate_floor=-0.0031
    )


def test_a_test_symbol_has_no_caps() -> None:
    """Null is none, not 0."""
    row = {"symbol": "A", "fundingRateInterval": "8", "maxFundingRate": None}
    found = read("contract", "current-fund-rate", "A", row)
    assert found == InstrumentUpdate("A", interval_hours=8.0)


def test_a_settlement_is_of_its_time() -> None:
    """Which is text."""
    row = {"symbol": "BTCUSD", "fundingRate": "0.0005", "fundingTime": "1789977600000"}
    assert read("history", "history-fund-rate", "BTCUSD", row) == SettlementUpdate(
        "BTCUSD", 1_789_977_600_000_000, 0.0005
    )


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("normal", ContractStatus.TRADING),
        ("listed", ContractStatus.PRE_LAUNCH),
        ("off", ContractStatus.DELISTED),
        ("maintain", ContractStatus.HALTED),
        ("limit_open", ContractStatus.HALTED),
        ("restrictedAPI", ContractStatus.HALTED),
        ("new word", ContractStatus.HALTED),
    ],
)
def test_the_states_of_a_contract(word: str, status: ContractStatus) -> None:
    """A word that is not known halts it."""
    found = read("contract", "contracts", "A", {"symbol": "A", "symbolStatus": word})
    assert isinstance(found, InstrumentUpdate)
    assert (found.status, found.status_word) == (status, word)


def test_a_contract_has_its_coin_and_its_multiplier() -> None:
    """From the list, or else from the symbol; a launch that is not told is none."""
    row = {
        "symbol": "1000BONKUSDT",
        "baseCoin": "1000BONK",
        "quoteCoin": "USDT",
        "symbolStatus": "normal",
        "fundInterval": "8",
        "launchTime": "",
    }
    assert read("contract", "contracts", "1000BONKUSDT", row) == InstrumentUpdate(
        "1000BONKUSDT",
        base="BONK",
        quote="USDT",
        multiplier=1_000.0,
        status=ContractStatus.TRADING,
        status_word="normal",
        interval_hours=8.0,
    )
    assert split_symbol("哈基米USDT") == ("哈基米", "USDT")
    assert split_symbol("ETHPERP") == ("ETH", "USDC")
    assert split_symbol("ETHUSD") == ("ETH", "USD")
    assert split_symbol("USDT") == ("USDT", "")


def test_open_interest_is_told_in_coins_and_read_in_the_quote_currency() -> None:
    """Of an inverse contract as well; without a price there is none."""
    row = {"symbol": "BTCUSD", "quoteVolume": "5000.5", "holdingAmount": "2", "markPrice": "80000"}
    assert read("contract", "tickers", "BTCUSD", row) == InstrumentUpdate(
        "BTCUSD", turnover_24h=5_000.5, open_interest=160_000.0
    )
    found = read("contract", "tickers", "BTCUSD", {**row, "markPrice": "0"})
    assert found == InstrumentUpdate("BTCUSD", turnover_24h=5_000.5)


def captured(name: str) -> bytes:
    """A captured message, where the folder of them is at hand."""
    path: Path = SHARED_FIXTURES / "messages" / "bitget" / name
    if not path.exists():
        pytest.skip("the captured messages are not here")
    return path.read_bytes().strip()


def test_captured_rows_of_rest() -> None:
    """Rows without their envelope."""
    row = captured("obs_current_fund_rate_row_rest.json")
    assert normalise("fallback", "current-fund-rate", "BTCUSDT", row, 1_789_455_000_000_000) == (
        RateUpdate("BTCUSDT", 0.0001, next_funding_time=1_789_459_200_000_000, interval_hours=8.0),
    )
    (facts,) = normalise("contract", "current-fund-rate", "BTCUSDT", row, AT_US)
    assert isinstance(facts, InstrumentUpdate)
    assert (facts.rate_cap, facts.rate_floor) == (0.003, -0.003)
    rows = json.loads(captured("bx_history_fund_rate_rows_rest.json"))
    found = [read("history", "history-fund-rate", "BTCUSDT", row) for row in rows]
    assert len(found) == 5
    assert found[0] == SettlementUpdate("BTCUSDT", 1_790_352_000_000_000, 0.000078)
    assert found[-1] == SettlementUpdate("BTCUSDT", 1_790_236_800_000_000, 0.000059)
    first = json.loads(captured("doc_history_fund_rate_rest.json"))["data"][0]
    assert read("history", "history-fund-rate", "BTCUSDT", first) == SettlementUpdate(
        "BTCUSDT", 1_695_776_400_000_000, 0.0005
    )
