"""Simulated Backpack without sockets, and one connection through the server."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.simulator import backpack_universe
from infra.simulator.backpack import (
    RULES,
    Backpack,
    BackpackOptions,
    BackpackSession,
    BackpackTick,
    create,
)
from infra.simulator.backpack_frames import history_text, rate_text
from infra.simulator.feed import Frame, RestCall, RestReply, SocketRules
from infra.simulator.options import SimulatorOptions
from infra.simulator.server import SimulatorServer
from infra.simulator.truth import TruthLog

NOW_MS = 1_791_269_856_400
TICK_MS = NOW_MS // 1_000 * 1_000 + 1_000
HOUR_MS = 3_600_000
CRYPTO = backpack_universe.contracts(20, 0)[0]
STOCK = next(c for c in backpack_universe.contracts(20, 0) if backpack_universe.is_halved(c))
FIXTURES = Path(__file__).resolve().parents[3] / "shared" / "fixtures" / "messages" / "backpack"


@pytest.fixture
def exchange() -> Backpack:
    """A small exchange at a fixed time."""
    return Backpack(7, BackpackOptions(contracts=40, held_back=2), NOW_MS)


def opened(exchange: Backpack) -> BackpackSession:
    """A new connection."""
    session = exchange.session("/", {})
    assert session is not None
    return session


def control(method: str, *streams: str, **more: Any) -> str:
    """A control frame."""
    return json.dumps({"method": method, "params": list(streams), **more})


def subscribed(exchange: Backpack, *symbols: str) -> BackpackSession:
    """A connection with mark prices."""
    session = opened(exchange)
    names = [f"markPrice.{symbol}" for symbol in symbols]
    assert session.on_text(control("SUBSCRIBE", *names), NOW_MS) == ()
    return session


def delivered(exchange: Backpack, session: BackpackSession, at_ms: int = TICK_MS) -> list[Any]:
    """What a tick brings; it is published."""
    tick = exchange.prepare(at_ms)
    frames = [json.loads(frame.payload) for frame in tick.frames(session)]
    tick.published()
    return frames


def get(exchange: Backpack, name: str, now_ms: int = NOW_MS, **query: Any) -> RestReply:
    """The reply to a REST call."""
    texts = {key: str(value) for key, value in query.items()}
    return exchange.rest(RestCall("GET", f"/api/v1/{name}", texts, b"", "127.0.0.1", now_ms))


def rows(exchange: Backpack, name: str, now_ms: int = NOW_MS, **query: Any) -> Any:
    """The decoded body of a call that succeeds."""
    reply = get(exchange, name, now_ms, **query)
    assert reply.status == 200
    return json.loads(reply.body)


def open_perps(exchange: Backpack) -> list[str]:
    """The symbols that stream rates."""
    markets = rows(exchange, "markets", marketType="PERP")
    return [m["symbol"] for m in markets if m["orderBookState"] == "Open"]


def test_success_has_no_answer(exchange: Backpack) -> None:
    """Neither subscribing nor unsubscribing is acked."""
    session = opened(exchange)
    assert session.on_text(control("SUBSCRIBE", "markPrice.BTC_USDC_PERP"), NOW_MS) == ()
    assert session.subscribed() == ["markPrice.BTC_USDC_PERP"]
    assert session.on_text(control("UNSUBSCRIBE", "markPrice.BTC_USDC_PERP"), NOW_MS) == ()
    assert session.subscribed() == []
    many = [f"markPrice.{symbol}" for symbol in open_perps(exchange)]
    assert session.on_text(control("SUBSCRIBE", *many), NOW_MS) == ()
    assert len(delivered(exchange, session)) == 40


@pytest.mark.parametrize(
    ("text", "code", "request_id"),
    [
        (control("SUBSCRIBE", "nosuch.BTC_USDC_PERP"), 4006, None),
        (control("SUBSCRIBE", "markPrice"), 4006, None),
        (control("SUBSCRIBE", "markPrice."), 4006, None),
        (control("SUBSCRIBE", "markPrice.BTC_USDC_PERP", "!markPrice@arr", id=5), 4006, 5),
        ("nonsense", 4002, None),
        ("[1]", 4002, None),
        ("[" * 100_000, 4002, None),
        ('{"method":"SUBSCRIBE","params":"markPrice.BTC_USDC_PERP"}', 4002, None),
        ('{"method":"SUBSCRIBE","params":[7]}', 4002, None),
        ('{"method":"NO","params":[]}', 4002, None),
    ],
)
def test_errors_come_as_objects(
    exchange: Backpack, text: str, code: int, request_id: int | None
) -> None:
    """With their code, and nothing is subscribed."""
    session = opened(exchange)
    (answer,) = session.on_text(text, NOW_MS)
    assert isinstance(answer, Frame)
    reply = json.loads(answer.payload)
    assert (reply["id"], reply["error"]["code"]) == (request_id, code)
    assert reply["error"]["message"]
    assert session.subscribed() == []


def test_frames_and_errors_have_the_captured_shape(exchange: Backpack) -> None:
    """The same keys in the same order, the same error."""
    if not FIXTURES.is_dir():
        pytest.skip("no captured messages here")
    captured = json.loads((FIXTURES / "obs_ws_mark_price_AAPL.json").read_text(encoding="utf-8"))
    (frame,) = delivered(exchange, subscribed(exchange, "AAPL.US_USDC_PERP"))
    assert list(frame) == list(captured)
    assert list(frame["data"]) == list(captured["data"])
    assert {k: type(v) for k, v in frame["data"].items()} == {
        k: type(v) for k, v in captured["data"].items()
    }
    error = json.loads((FIXTURES / "obs_ws_error_invalid_stream.json").read_text(encoding="utf-8"))
    (answer,) = opened(exchange).on_text(control("SUBSCRIBE", "x.y"), NOW_MS)
    assert isinstance(answer, Frame)
    assert json.loads(answer.payload) == error


def test_times_are_in_two_units(exchange: Backpack) -> None:
    """E and T in µs, n in ms; symbols with a dot and with lower case."""
    names = ("BTC_USDC_PERP", "kPEPE_USDC_PERP", "AAPL.US_USDC_PERP")
    frames = delivered(exchange, subscribed(exchange, *names))
    assert [frame["stream"] for frame in frames] == [f"markPrice.{name}" for name in names]
    for frame in frames:
        data = frame["data"]
        assert data["s"] == frame["stream"].partition(".")[2]
        assert 0 <= data["E"] - TICK_MS * 1_000 < 1_000
        assert 0 < data["E"] - data["T"] < 1_000
        assert data["n"] == TICK_MS // HOUR_MS * HOUR_MS + HOUR_MS
        assert data["p"] != data["i"]
    assert len({frame["data"]["E"] for frame in frames}) == 3


def test_prediction_markets_have_no_rate(exchange: Backpack) -> None:
    """No f, no i, no n; they are not truth, and no perpetual either."""
    symbol = "FEDCUT.DEC_USDC_PREDICTION"
    session = subscribed(exchange, symbol)
    (frame,) = exchange.prepare(TICK_MS).frames(session)
    assert list(json.loads(frame.payload)["data"]) == ["E", "T", "e", "p", "s"]
    assert frame.ledger is not None
    assert frame.ledger.claim(frame.rows, 1) == []
    assert symbol not in {row["symbol"] for row in rows(exchange, "markPrices")}
    found = rows(exchange, "markPrices", marketType="PREDICTION")
    assert [sorted(row) for row in found] == [["markPrice", "symbol"]] * 2


def test_unknown_and_closed_symbols_are_silent(exchange: Backpack) -> None:
    """Also wrong case, other stream types, and markets that are not listed."""
    markets = rows(exchange, "markets", marketType="PERP")
    closed = [m["symbol"] for m in markets if m["orderBookState"] == "Closed"]
    assert closed
    held_back = exchange.contracts[-1].symbol
    session = subscribed(exchange, *closed, held_back, "NOSUCH_USDC_PERP", "btc_usdc_perp")
    session.on_text(control("SUBSCRIBE", "ticker.BTC_USDC_PERP"), NOW_MS)
    assert delivered(exchange, session) == []
    assert exchange.session("/stream", {}) is None


def test_each_second_even_when_nothing_has_changed(exchange: Backpack) -> None:
    """A resting market repeats its rate with a new event time."""
    session = subscribed(exchange, "SOL_USDC_PERP")
    frames = [
        delivered(exchange, session, TICK_MS + n * 1_000)[0]["data"] for n in range(5)
    ]  # fmt: skip
    assert {frame["f"] for frame in frames} == {"0.0000125"}
    assert len({frame["E"] for frame in frames}) == 5


def test_the_documented_counts() -> None:
    """91 open perpetuals, of them 17 on stocks and commodities, and 12 that are closed."""
    exchange = Backpack(7, BackpackOptions(), NOW_MS)
    markets = rows(exchange, "markets")
    perps = [m for m in markets if m["marketType"] == "PERP"]
    live = [m for m in perps if m["orderBookState"] == "Open"]
    assert (len(perps), len(live), sum("rwaMarketType" in m for m in live)) == (103, 91, 17)
    assert {m["marketType"] for m in markets} == {"PERP", "PREDICTION", "SPOT"}
    assert {m["fundingInterval"] for m in perps} == {HOUR_MS}
    assert {m["visible"] for m in perps if m not in live} == {False}
    bounds = [m["fundingRateUpperBound"] for m in perps]
    assert (bounds.count("150"), bounds.count("100")) == (100, 3)
    assert all(m["fundingRateLowerBound"] == f"-{m['fundingRateUpperBound']}" for m in perps)
    assert {row["symbol"] for row in rows(exchange, "markPrices")} == {m["symbol"] for m in perps}


def test_mark_prices_equal_the_stream(exchange: Backpack) -> None:
    """One call for all; long rates are the same text."""
    symbols = open_perps(exchange)
    frames = delivered(exchange, subscribed(exchange, *symbols))
    streamed = {frame["data"]["s"]: frame["data"] for frame in frames}
    shown = {row["symbol"]: row for row in rows(exchange, "markPrices")}
    for symbol in symbols:
        row, data = shown[symbol], streamed[symbol]
        assert (row["fundingRate"], row["markPrice"]) == (data["f"], data["p"])
        assert (row["indexPrice"], row["nextFundingTimestamp"]) == (data["i"], data["n"])
    digits = [len(row["fundingRate"].lstrip("-0.").replace(".", "")) for row in shown.values()]
    assert max(digits) >= 27
    assert rows(exchange, "markPrices", symbol="ETH_USDC_PERP") == [shown["ETH_USDC_PERP"]]


def test_a_cached_copy_tells_its_age() -> None:
    """Values of then, and the header `age`; none without a copy."""
    fresh = Backpack(7, BackpackOptions(contracts=8), NOW_MS)
    cached = Backpack(7, BackpackOptions(contracts=8, age_s=40), NOW_MS)
    reply = get(cached, "markPrices")
    assert reply.headers["age"] == "40"
    assert "age" not in get(fresh, "markPrices").headers
    fresh.prepare(NOW_MS // 1_000 * 1_000 - 40_000).published()
    assert json.loads(reply.body) == rows(fresh, "markPrices")


def test_the_first_row_of_the_history_is_not_settled(exchange: Backpack) -> None:
    """It ends in the future; the others are the truth, rounded to 9 decimals, newest first."""
    symbol = "ETH_USDC_PERP"
    found = rows(exchange, "fundingRates", symbol=symbol, limit=10_000)
    ends = [row["intervalEndTimestamp"] for row in found]
    assert ends == sorted(ends, reverse=True)
    assert (ends[0], ends[1]) == ("2026-10-06T07:00:00", "2026-10-06T06:00:00")
    assert len(found) == 721
    truth = [rate for rate in exchange.settled_at_start() if rate.symbol == symbol]
    assert [row["fundingRate"] for row in found[:0:-1]] == [rate.rate for rate in truth]
    assert max(len(rate.rate.partition(".")[2]) for rate in truth) == 9
    (running,) = rows(exchange, "markPrices", symbol=symbol)
    assert abs(Decimal(found[0]["fundingRate"]) - Decimal(running["fundingRate"])) < Decimal("1e-6")
    assert {row["symbol"] for row in found} == {symbol}


def test_pages_of_the_history(exchange: Backpack) -> None:
    """100 rows unless asked for more; offset counts from the newest."""
    symbol = "kPEPE_USDC_PERP"
    everything = rows(exchange, "fundingRates", symbol=symbol, limit=1_000)
    assert rows(exchange, "fundingRates", symbol=symbol) == everything[:100]
    reply = get(exchange, "fundingRates", symbol=symbol, limit=50, offset=100)
    assert json.loads(reply.body) == everything[100:150]
    assert reply.headers == {
        "X-PAGE-COUNT": "15",
        "X-CURRENT-PAGE": "3",
        "X-PAGE-SIZE": "50",
        "X-TOTAL": "721",
    }
    assert rows(exchange, "fundingRates", symbol=symbol, offset=721) == []


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("fundingRates", {}),
        ("fundingRates", {"symbol": "NOSUCH"}),
        ("fundingRates", {"symbol": "btc_usdc_perp"}),
        ("fundingRates", {"symbol": "BTC_USDC_PERP", "limit": 10_001}),
        ("fundingRates", {"symbol": "BTC_USDC_PERP", "limit": 0}),
        ("fundingRates", {"symbol": "BTC_USDC_PERP", "offset": -1}),
        ("markPrices", {"symbol": "NOSUCH_USDC_PERP"}),
        ("markPrices", {"marketType": "perp"}),
        ("markets", {"marketType": "x"}),
    ],
)
def test_bad_parameters(exchange: Backpack, name: str, query: dict[str, Any]) -> None:
    """400 INVALID_CLIENT_REQUEST."""
    reply = get(exchange, name, **query)
    assert reply.status == 400
    assert json.loads(reply.body)["code"] == "INVALID_CLIENT_REQUEST"


def test_a_funding_time_passes(exchange: Backpack) -> None:
    """What settles is the last estimate, rounded; then the next interval runs."""
    funding_ms = NOW_MS // HOUR_MS * HOUR_MS + HOUR_MS
    symbols = open_perps(exchange)
    session = subscribed(exchange, *symbols)
    before = {f["data"]["s"]: f["data"] for f in delivered(exchange, session, funding_ms - 1_000)}
    after = {f["data"]["s"]: f["data"] for f in delivered(exchange, session, funding_ms)}
    assert {data["n"] for data in before.values()} == {funding_ms}
    assert {data["n"] for data in after.values()} == {funding_ms + HOUR_MS}
    settled = {rate.symbol: rate for rate in exchange.settle(funding_ms)}
    assert settled.keys() == set(symbols)
    for symbol, rate in settled.items():
        assert rate.rate == history_text(before[symbol]["f"])
        assert (rate.funding_ms, rate.interval_hours) == (funding_ms, 1)
    assert list(exchange.settle(funding_ms)) == []
    running, last = rows(exchange, "fundingRates", funding_ms, symbol="ETH_USDC_PERP", limit=2)
    assert last["fundingRate"] == settled["ETH_USDC_PERP"].rate
    assert running["intervalEndTimestamp"] > last["intervalEndTimestamp"]


@settings(deadline=None)
@given(units=st.integers(-1_500_000, 1_500_000))
def test_rate_texts(units: int) -> None:
    """28 digits at most, exactly half for stocks, 9 decimals in the history, never -0."""
    for contract, part in ((CRYPTO, Decimal(1)), (STOCK, Decimal("0.5"))):
        text = rate_text(contract, units)
        assert len(text.lstrip("-0.").replace(".", "")) <= 28
        assert text.count(".") <= 1
        assert "e" not in text.lower()
        assert not text.endswith(".")
        assert text != "-0"
        assert abs(Decimal(text) / part - Decimal(units) / 10**8) <= Decimal("0.00002002")
        settled = history_text(text)
        assert abs(Decimal(settled) - Decimal(text)) <= Decimal("5e-10")
        assert len(settled.partition(".")[2]) <= 9


def test_plain_answers(exchange: Backpack) -> None:
    """Time and ping are text, status is JSON."""
    assert get(exchange, "time").body == str(NOW_MS).encode()
    assert (get(exchange, "ping").body, get(exchange, "ping").content_type) == (
        b"pong",
        "text/plain",
    )
    assert rows(exchange, "status") == {"message": None, "status": "Ok"}
    assert get(exchange, "nosuch").status == 404
    assert exchange.rest(RestCall("GET", "/time", {}, b"", "c", NOW_MS)).status == 404
    assert exchange.rest(RestCall("POST", "/api/v1/time", {}, b"", "c", NOW_MS)).status == 405


def test_too_many_requests() -> None:
    """429 with its code until the next minute; open limits know none."""
    options = BackpackOptions(contracts=4, requests_per_minute=3, retry_after=True)
    exchange = Backpack(7, options, NOW_MS)
    assert [get(exchange, "time").status for _ in range(4)] == [200, 200, 200, 429]
    refused = get(exchange, "ping")
    assert json.loads(refused.body)["code"] == "TOO_MANY_REQUESTS"
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert get(exchange, "time", NOW_MS + 60_000).status == 200
    open_ = create(SimulatorOptions(open_limits=True), 4, NOW_MS)
    assert {get(open_, "time").status for _ in range(2_001)} == {200}


def test_listing_and_delisting(exchange: Backpack) -> None:
    """Absent everywhere, then it streams; delisted it is Closed, silent, and keeps its price."""
    symbol = exchange.contracts[-2].symbol
    session = subscribed(exchange, symbol)
    assert symbol not in open_perps(exchange)
    assert get(exchange, "markPrices", symbol=symbol).status == 400
    exchange.listings.list_symbol(symbol)
    assert symbol in open_perps(exchange)
    (frame,) = delivered(exchange, session)
    assert len(rows(exchange, "fundingRates", symbol=symbol)) == 1
    exchange.listings.delist(symbol)
    assert delivered(exchange, session, TICK_MS + 90_000) == []
    (market,) = [m for m in rows(exchange, "markets") if m["symbol"] == symbol]
    assert market["orderBookState"] == "Closed"
    (row,) = rows(exchange, "markPrices", symbol=symbol)
    assert row["markPrice"] == frame["data"]["p"]
    funding_ms = NOW_MS // HOUR_MS * HOUR_MS + HOUR_MS
    assert symbol not in {rate.symbol for rate in exchange.settle(funding_ms)}
    assert rows(exchange, "fundingRates", symbol=symbol) == []


def test_the_server_pings_each_minute() -> None:
    """And waits two for the PONG; the option for other exchanges makes it no slower."""
    assert (RULES.ping_every_s, RULES.pong_within_s) == (60.0, 120.0)
    assert opened(create(SimulatorOptions(), 4, NOW_MS)).rules == RULES
    quick = opened(create(SimulatorOptions(ping_every_s=5.0), 4, NOW_MS))
    assert quick.rules.ping_every_s == 5.0


def test_a_tick_is_published_after_its_last_event_time(exchange: Backpack) -> None:
    """So that no frame leaves before the time in it."""
    tick: BackpackTick = exchange.prepare(TICK_MS)
    session = subscribed(exchange, *open_perps(exchange))
    times = [json.loads(frame.payload)["data"]["E"] for frame in tick.frames(session)]
    assert max(times) <= tick.event_ms * 1_000


async def test_over_a_socket(tmp_path: Path) -> None:
    """What a client got is what the truth says, to the last digit; a mute one is closed."""
    rules = SocketRules(ping_every_s=0.1, pong_within_s=0.2)
    options = BackpackOptions(contracts=12, tick_ms=50, rules=rules)
    received: dict[tuple[str, int], float] = {}
    with TruthLog(tmp_path, seed=7) as truth:
        exchange = Backpack(7, options, NOW_MS)
        server = SimulatorServer([exchange], truth, port=0, housekeeping_s=0.02)
        await server.start()
        host = f"127.0.0.1:{server.port}/backpack"
        symbols = open_perps(exchange)
        try:
            async with asyncio.timeout(30), aiohttp.ClientSession() as client:
                async with client.ws_connect(f"ws://{host}", autoping=False) as mute:
                    while not mute.closed:
                        await mute.receive()
                    assert mute.close_code == 1008
                async with websockets.connect(f"ws://{host}", ping_interval=None) as ws:
                    names = [f"markPrice.{symbol}" for symbol in symbols]
                    await ws.send(control("SUBSCRIBE", *names))
                    while len(received) < 5 * len(symbols):
                        _receive(received, await ws.recv())
                    await server.stop()
                    async for frame in ws:
                        _receive(received, frame)
        finally:
            await server.stop()
    lines = (tmp_path / "truth" / "backpack.ndjson").read_text(encoding="utf-8").splitlines()
    found = {(row["contract_id"], row["event_time"]): row for row in map(json.loads, lines)}
    assert len(found) == len(lines)
    assert {key: row["rate"] for key, row in found.items()} == received
    assert all(row["sent_at"] >= row["event_time"] for row in found.values())


def _receive(received: dict[tuple[str, int], float], frame: str | bytes) -> None:
    data = json.loads(frame)["data"]
    received[f"backpack:{data['s']}", data["E"]] = float(data["f"])
