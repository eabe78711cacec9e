"""Simulated Backpack: what its connections tell and refuse, one through the server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest
import websockets

from infra.simulator.backpack.exchange import (
    RULES,
    Backpack,
    BackpackOptions,
    BackpackTick,
    create,
)
from infra.simulator.exchange import Frame, SocketRules
from infra.simulator.market.truth import TruthLog
from infra.simulator.options import SimulatorOptions
from infra.simulator.server.server import SimulatorServer
from tests.support.paths import SHARED_FIXTURES
from tests.support.simulated_backpack import (
    HOUR_MS,
    NOW_MS,
    TICK_MS,
    control,
    delivered,
    open_perps,
    opened,
    rows,
    subscribed,
)

FIXTURES = SHARED_FIXTURES / "messages" / "backpack"


@pytest.fixture
def exchange() -> Backpack:
    """A small exchange at a fixed time."""
    return Backpack(7, BackpackOptions(contracts=40, held_back=2), NOW_MS)


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
    ("text", "code"),
    [
        (control("SUBSCRIBE", "nosuch.BTC_USDC_PERP"), 4006),
        (control("SUBSCRIBE", "markPrice"), 4006),
        (control("SUBSCRIBE", "markPrice."), 4006),
        (control("SUBSCRIBE", "markPrice.BTC_USDC_PERP", "!markPrice@arr", id=5), 4006),
        (control("SUBSCRIBE", "depth.100ms.BTC_USDC_PERP", id=6), 4008),
        ("nonsense", 4002),
        ("[1]", 4002),
        ("[" * 100_000, 4002),
        ('{"method":"SUBSCRIBE","params":"markPrice.BTC_USDC_PERP"}', 4002),
        ('{"method":"SUBSCRIBE","params":[7]}', 4002),
        ('{"method":"NO","params":[]}', 4002),
    ],
)
def test_errors_come_as_objects(exchange: Backpack, text: str, code: int) -> None:
    """With their code and never with the request's id, and nothing is subscribed."""
    session = opened(exchange)
    (answer,) = session.on_text(text, NOW_MS)
    assert isinstance(answer, Frame)
    reply = json.loads(answer.payload)
    assert (reply["id"], reply["error"]["code"]) == (None, code)
    assert reply["error"]["message"]
    assert session.subscribed() == []


@pytest.mark.parametrize("name", ["depth.BTC_USDC_PERP", "depth.200ms.BTC_USDC_PERP", "depth.5.X"])
def test_other_streams_are_accepted_and_silent(exchange: Backpack, name: str) -> None:
    """Books are not simulated; an unknown depth that is no window was seen to be silent, too."""
    session = opened(exchange)
    assert session.on_text(control("SUBSCRIBE", name), NOW_MS) == ()
    assert delivered(exchange, session) == []


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
