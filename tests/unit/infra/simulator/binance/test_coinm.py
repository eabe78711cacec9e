"""Simulated Binance COIN-M without sockets: what differs from USD-M."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.simulator.binance.coinm import BinanceCoinm, CoinmOptions, Route
from infra.simulator.binance.streams import BinanceSession
from infra.simulator.exchange import Exchange, Frame, RestCall, RestReply
from infra.simulator.market.history import HISTORY_DAYS
from infra.simulator.options import SimulatorOptions
from infra.simulator.registry import create_exchanges

NOW_MS = 1_791_269_856_400
TICK_MS = NOW_MS // 3_000 * 3_000 + 3_000  # a tick of the slow streams too
DAY_MS = 86_400_000


@pytest.fixture
def exchange() -> BinanceCoinm:
    """A small exchange at a fixed time."""
    return BinanceCoinm(7, CoinmOptions(contracts=8, held_back=2), NOW_MS)


def opened(exchange: BinanceCoinm, path: str, **query: str) -> BinanceSession:
    """A session at a path."""
    session = exchange.session(path, query)
    assert session is not None
    return session


def delivered(exchange: BinanceCoinm, session: BinanceSession, at_ms: int = TICK_MS) -> list[Any]:
    """What a tick brings to a session."""
    return [json.loads(frame.payload) for frame in exchange.prepare(at_ms).frames(session)]


def call(exchange: Exchange, path: str, now_ms: int = NOW_MS, **query: Any) -> RestReply:
    """The reply to a REST call."""
    texts = {key: str(value) for key, value in query.items()}
    return exchange.rest(RestCall("GET", path, texts, b"", "127.0.0.1", now_ms))


def get(exchange: BinanceCoinm, name: str, now_ms: int = NOW_MS, **query: Any) -> Any:
    """The document of a REST call that succeeds."""
    reply = call(exchange, f"/dapi/v1/{name}", now_ms, **query)
    assert reply.status == 200
    return json.loads(reply.body)


def test_symbol_streams_are_wrapped_objects(exchange: BinanceCoinm) -> None:
    """The combined form that the exchange sends: docs/exchanges/binance-coinm.md §4."""
    names = "btcusd_perp@markPrice@1s/ethusd_perp@markPrice"
    frames = delivered(exchange, opened(exchange, "/stream", streams=names))
    assert [frame["stream"] for frame in frames] == names.split("/")
    row = frames[0]["data"]
    assert list(row) == ["e", "E", "s", "p", "ap", "P", "i", "r", "T", "st"]
    assert (row["s"], row["st"]) == ("BTCUSD_PERP", 2)
    assert len({row[key] for key in ("p", "ap", "P", "i")}) == 4
    later = delivered(exchange, opened(exchange, "/stream", streams=names), TICK_MS + 1_000)
    assert [frame["stream"] for frame in later] == ["btcusd_perp@markPrice@1s"]


def test_pair_streams_are_arrays_with_the_delivery_rows(exchange: BinanceCoinm) -> None:
    """Dated contracts carry no rate and no time; the perpetual's row is that of its own stream."""
    (array,) = delivered(exchange, opened(exchange, "/ws/btcusd@markPrice@1s"))
    rows = {row["s"]: row for row in array}
    assert list(rows) == ["BTCUSD_PERP", "BTCUSD_261225", "BTCUSD_270326"]
    assert {(row["r"], row["T"]) for name, row in rows.items() if "PERP" not in name} == {("", 0)}
    (own,) = delivered(exchange, opened(exchange, "/ws/btcusd_perp@markPrice"))
    assert own == rows["BTCUSD_PERP"]


@pytest.mark.parametrize("delivering", ["", "/market"])
def test_one_of_two_routes_delivers(delivering: Route) -> None:
    """The other acks and stays silent: binance-coinm.md §1."""
    exchange = BinanceCoinm(7, CoinmOptions(contracts=2, delivering=delivering), NOW_MS)
    subscribe = '{"method":"SUBSCRIBE","params":["btcusd_perp@markPrice@1s"],"id":1}'
    for route in ("", "/market"):
        session = opened(exchange, f"{route}/ws")
        (ack,) = session.on_text(subscribe, NOW_MS)
        assert isinstance(ack, Frame)
        assert json.loads(ack.payload) == {"result": None, "id": 1}
        assert len(delivered(exchange, session)) == (route == delivering)
    assert exchange.session("/nowhere", {}) is None


def test_there_is_no_stream_of_all_markets(exchange: BinanceCoinm) -> None:
    """It is not documented for COIN-M."""
    assert delivered(exchange, opened(exchange, "/ws/!markPrice@arr@1s")) == []


def test_a_text_is_an_id_as_well(exchange: BinanceCoinm) -> None:
    """As on USD-M: the official SDK sends UUIDs."""
    session = exchange.session("/ws", {})
    assert session is not None
    text = '{"method":"SUBSCRIBE","params":["btcusd_perp@markPrice@1s"],"id":"5e0f-a1"}'
    (answer,) = session.on_text(text, NOW_MS)
    assert isinstance(answer, Frame)
    assert json.loads(answer.payload) == {"result": None, "id": "5e0f-a1"}


def test_premium_index_is_always_an_array(exchange: BinanceCoinm) -> None:
    """With a symbol too; the same texts as the stream; `pair` is ignored; weight 10."""
    tick = exchange.prepare(TICK_MS)
    tick.published()
    streamed = json.loads(next(tick.frames(opened(exchange, "/ws/btcusd@markPrice"))).payload)
    rows = {row["symbol"]: row for row in get(exchange, "premiumIndex", pair="ETHUSD")}
    assert len(rows) == 12
    for row in streamed:
        shown = rows[row["s"]]
        assert (shown["pair"], shown["lastFundingRate"], shown["nextFundingTime"]) == (
            "BTCUSD", row["r"], row["T"],
        )  # fmt: skip
        assert (shown["markPrice"], shown["time"]) == (row["p"], row["E"])
    assert rows["BTCUSD_261225"]["interestRate"] == ""
    assert get(exchange, "premiumIndex", symbol="BTCUSD_PERP") == [rows["BTCUSD_PERP"]]
    used = call(exchange, "/dapi/v1/time").headers["X-MBX-USED-WEIGHT-1M"]
    assert used == "21"


def test_funding_rate_needs_a_symbol(exchange: BinanceCoinm) -> None:
    """Ascending, at most 1000, nothing for a delivery contract."""
    reply = call(exchange, "/dapi/v1/fundingRate")
    assert (reply.status, json.loads(reply.body)["code"]) == (400, -1102)
    rows = get(exchange, "fundingRate", symbol="BTCUSD_PERP", startTime=0, limit=1000)
    assert len(rows) == HISTORY_DAYS * 3
    assert list(rows[0]) == ["symbol", "fundingTime", "fundingRate"]
    times = [row["fundingTime"] for row in rows]
    assert times == sorted(times)
    page = get(exchange, "fundingRate", symbol="BTCUSD_PERP", startTime=times[3] + 1, limit=2)
    assert page == rows[4:6]
    assert get(exchange, "fundingRate", symbol="BTCUSD_261225", startTime=0) == []
    too_many = call(exchange, "/dapi/v1/fundingRate", symbol="BTCUSD_PERP", limit=1001)
    assert too_many.status == 400


def test_exchange_info_says_contract_status(exchange: BinanceCoinm) -> None:
    """Not `status`; types, pairs, and intervals that fundingInfo knows."""
    symbols = {row["symbol"]: row for row in get(exchange, "exchangeInfo")["symbols"]}
    assert len(symbols) == 12
    assert not any("status" in row for row in symbols.values())
    perpetual, dated = symbols["BTCUSD_PERP"], symbols["BTCUSD_261225"]
    assert (perpetual["contractStatus"], perpetual["contractType"]) == ("TRADING", "PERPETUAL")
    assert (dated["contractType"], dated["pair"]) == ("CURRENT_QUARTER", "BTCUSD")
    assert symbols["ETHUSD_270326"]["contractType"] == "NEXT_QUARTER"
    assert (perpetual["contractSize"], symbols["ETHUSD_PERP"]["contractSize"]) == (100, 10)
    for row in symbols.values():
        assert row["filters"][0]["filterType"] == "PRICE_FILTER"
        assert float(row["filters"][0]["tickSize"]) > 0
    hours = {r["symbol"]: r["fundingIntervalHours"] for r in get(exchange, "fundingInfo")}
    assert set(hours.values()) == {4, 8}
    for contract in exchange.contracts[:8]:
        assert hours.get(contract.symbol, 8) == contract.interval_hours


def test_listing_and_delisting(exchange: BinanceCoinm) -> None:
    """Held back: nowhere. Listed: everywhere. Delisted: silent, frozen, SETTLING, unsettled."""
    symbol = exchange.contracts[-2].symbol
    stream = f"/ws/{symbol.lower()}@markPrice@1s"
    assert delivered(exchange, opened(exchange, stream)) == []
    assert symbol not in {row["symbol"] for row in get(exchange, "premiumIndex")}
    assert call(exchange, "/dapi/v1/fundingRate", symbol=symbol).status == 400
    assert exchange.listings.list_next() == symbol
    session = opened(exchange, stream)
    for at_ms in (TICK_MS, TICK_MS + 1_000):
        tick = exchange.prepare(at_ms)
        (frame,) = tick.frames(session)
        tick.published()
    assert get(exchange, "fundingRate", symbol=symbol) == []
    assert symbol in {rate.symbol for rate in exchange.settle(NOW_MS + DAY_MS)}
    exchange.listings.delist(symbol)
    assert delivered(exchange, session, TICK_MS + 2_000) == []
    exchange.prepare(TICK_MS + 2_000).published()
    exchange.prepare(TICK_MS + 3_000).published()
    row = json.loads(frame.payload)
    (frozen,) = get(exchange, "premiumIndex", symbol=symbol)
    assert (frozen["lastFundingRate"], frozen["time"]) == (row["r"], row["E"])
    infos = {info["symbol"]: info for info in get(exchange, "exchangeInfo")["symbols"]}
    assert infos[symbol]["contractStatus"] == "SETTLING"
    assert infos["BTCUSD_PERP"]["contractStatus"] == "TRADING"
    assert symbol not in {rate.symbol for rate in exchange.settle(NOW_MS + 2 * DAY_MS)}
    assert len(get(exchange, "fundingRate", symbol=symbol)) in {3, 6}


def test_the_weights_are_one_pool_with_usdm() -> None:
    """2400 a minute for both together, and bans hold for both; each pool of its own otherwise."""
    options = SimulatorOptions(retry_after=True)
    usdm, coinm = create_exchanges(["binance-usdm", "binance-coinm"], options, 8, NOW_MS)
    used = "X-MBX-USED-WEIGHT-1M"
    assert call(usdm, "/fapi/v1/premiumIndex").headers[used] == "10"
    assert call(coinm, "/dapi/v1/premiumIndex").headers[used] == "20"
    for _ in range(119):
        call(usdm, "/fapi/v1/premiumIndex")
        call(coinm, "/dapi/v1/premiumIndex")
    statuses = [call(coinm, "/dapi/v1/time").status for _ in range(11)]
    assert statuses == [429] * 10 + [418]
    banned = call(usdm, "/fapi/v1/time")
    assert banned.status == 418
    assert json.loads(banned.body)["code"] == -1003
    assert 0 < int(banned.headers["Retry-After"]) <= 120
    alone = BinanceCoinm(7, CoinmOptions(contracts=2), NOW_MS)
    assert call(alone, "/dapi/v1/time").status == 200


def test_limits_can_be_wide_open() -> None:
    """For demos that poll as they like."""
    (coinm,) = create_exchanges(["binance-coinm"], SimulatorOptions(open_limits=True), 4, NOW_MS)
    statuses = {call(coinm, "/dapi/v1/premiumIndex").status for _ in range(300)}
    assert statuses == {200}
