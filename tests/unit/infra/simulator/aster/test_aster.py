"""Simulated Aster without sockets: its streams, REST and limits (docs/exchanges/aster.md)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.simulator.aster.exchange import Aster, AsterOptions, create
from infra.simulator.binance.streams import BinanceSession
from infra.simulator.exchange import Close, Frame, RestCall, RestReply
from infra.simulator.options import SimulatorOptions

NOW_MS = 1_790_269_856_400
TICK_MS = NOW_MS // 3_000 * 3_000 + 3_000
ROW_KEYS = ["e", "E", "s", "p", "P", "i", "r", "T"]


@pytest.fixture
def exchange() -> Aster:
    """A small exchange at a fixed time."""
    return Aster(7, AsterOptions(contracts=50, held_back=2), NOW_MS)


def opened(exchange: Aster, path: str, **query: str) -> BinanceSession:
    """A session at a path."""
    session = exchange.session(path, query)
    assert session is not None
    return session


def delivered(exchange: Aster, session: BinanceSession, at_ms: int = TICK_MS) -> list[Any]:
    """What a tick brings to a session."""
    return [json.loads(frame.payload) for frame in exchange.prepare(at_ms).frames(session)]


def get(exchange: Aster, path: str, **query: Any) -> RestReply:
    """The reply to a REST call."""
    texts = {key: str(value) for key, value in query.items()}
    return exchange.rest(RestCall("GET", path, texts, b"", "127.0.0.1", NOW_MS))


def rows(exchange: Aster, path: str, **query: Any) -> Any:
    """The document that a REST call returns."""
    return json.loads(get(exchange, path, **query).body)


def test_all_contracts_are_in_one_array_without_st(exchange: Aster) -> None:
    """On the one path that there is, on the whole second, with the documented keys."""
    (array,) = delivered(exchange, opened(exchange, "/ws/!markPrice@arr@1s"))
    assert len(array) == 50
    assert {row["E"] for row in array} == {TICK_MS}
    assert all(list(row) == ROW_KEYS for row in array)
    prices = [(float(row["p"]), float(row["P"]), float(row["i"])) for row in array]
    assert all(len({mark, settle, index}) == 3 for mark, settle, index in prices)
    assert any(row["s"].endswith("USD1") for row in array)


def test_combined_and_slow_streams(exchange: Aster) -> None:
    """`/stream` wraps its frames; the form without `@1s` comes every 3 s."""
    session = opened(exchange, "/stream", streams="btcusdt@markPrice/!markPrice@arr")
    one, every = delivered(exchange, session)
    assert one["stream"] == "btcusdt@markPrice"
    assert one["data"]["s"] == "BTCUSDT"
    assert len(every["data"]) == 50
    assert delivered(exchange, session, TICK_MS + 1_000) == []
    assert exchange.session("/market/ws/!markPrice@arr", {}) is None


def test_a_request_without_an_id_is_taken(exchange: Aster) -> None:
    """A client of others sends none (§2)."""
    session = opened(exchange, "/ws")
    (answer,) = session.on_text('{"method":"SUBSCRIBE","params":["btcusdt@markPrice@1s"]}', NOW_MS)
    assert isinstance(answer, Frame)
    assert json.loads(answer.payload) == {"result": None, "id": None}
    (row,) = delivered(exchange, session)
    assert row["s"] == "BTCUSDT"


def test_more_than_200_streams_close(exchange: Aster) -> None:
    """§3."""
    text = json.dumps({"method": "SUBSCRIBE", "params": [str(n) for n in range(201)], "id": 1})
    (answer,) = opened(exchange, "/ws").on_text(text, NOW_MS)
    assert isinstance(answer, Close)


@pytest.mark.parametrize("version", ["v1", "v3"])
def test_both_versions_answer(exchange: Aster, version: str) -> None:
    """The legacy calls still work (§9)."""
    assert get(exchange, f"/fapi/{version}/premiumIndex").status == 200
    assert get(exchange, f"/fapi/{version}/ticker/24hr", symbol="BTCUSDT").status == 200
    assert get(exchange, "/fapi/v2/premiumIndex").status == 404


def test_intervals_of_every_contract_with_caps_as_numbers(exchange: Aster) -> None:
    """§9c."""
    listed = rows(exchange, "/fapi/v3/fundingInfo")
    assert {row["symbol"] for row in listed} >= {c.symbol for c in exchange.contracts[:50]}
    assert {row["fundingIntervalHours"] for row in listed} == {1, 4, 8}
    assert all(type(row["fundingFeeCap"]) is float for row in listed)
    assert all(row["fundingFeeFloor"] == -row["fundingFeeCap"] < 0 for row in listed)


def test_interest_is_0_on_stocks(exchange: Aster) -> None:
    """§9a."""
    current = {row["symbol"]: row for row in rows(exchange, "/fapi/v3/premiumIndex")}
    assert current["NVDAUSDT"]["interestRate"] == "0"
    assert current["BTCUSDT"]["interestRate"] == "0.00010000"


def test_settled_rates_have_three_keys_and_come_from_the_start(exchange: Aster) -> None:
    """Ascending; the newest hundred without times (§9b)."""
    latest = rows(exchange, "/fapi/v3/fundingRate")
    assert len(latest) == 100
    assert len(rows(exchange, "/fapi/v3/fundingRate", limit=900)) == 900
    assert all(set(row) == {"symbol", "fundingRate", "fundingTime"} for row in latest)
    since = rows(exchange, "/fapi/v3/fundingRate", startTime=1, limit=1_000)
    times = [row["fundingTime"] for row in since]
    assert times == sorted(times)
    assert times[-1] < latest[0]["fundingTime"]


def test_turnover_of_24_hours(exchange: Aster) -> None:
    """Of all contracts for a weight of 40, of one for 1 (§9d)."""
    before = int(get(exchange, "/fapi/v3/ping").headers["X-MBX-USED-WEIGHT-1M"])
    reply = get(exchange, "/fapi/v3/ticker/24hr")
    assert int(reply.headers["X-MBX-USED-WEIGHT-1M"]) == before + 40
    tickers = {row["symbol"]: row for row in json.loads(reply.body)}
    assert len({row["quoteVolume"] for row in tickers.values()}) > 40
    one = rows(exchange, "/fapi/v3/ticker/24hr", symbol="ETHUSDT")
    assert one == tickers["ETHUSDT"]


@pytest.mark.parametrize("kind", ["PERPETUAL", "TRADIFI_PERPETUAL"])
def test_the_type_of_stocks_can_be_either(kind: str) -> None:
    """§8: no source tells."""
    exchange = create(SimulatorOptions(own={"aster_stocks": kind}), 20, NOW_MS)
    listed = {row["symbol"]: row for row in rows(exchange, "/fapi/v3/exchangeInfo")["symbols"]}
    assert listed["NVDAUSDT"]["contractType"] == kind
    assert listed["NVDAUSDT"]["underlyingType"] == "EQUITY"
    assert listed["BTCUSDT"]["contractType"] == "PERPETUAL"
    assert {row["status"] for row in listed.values()} == {"TRADING", "SETTLING"}


def test_too_much_weight_is_refused(exchange: Aster) -> None:
    """429 with the words of the family (§9)."""
    replies = [get(exchange, "/fapi/v3/ticker/24hr") for _ in range(61)]
    assert [reply.status for reply in replies] == [200] * 60 + [429]
    assert json.loads(replies[-1].body)["code"] == -1003
