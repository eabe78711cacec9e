"""The simulator over real sockets: what clients get is what the truth says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from infra.simulator.binance.streams import RULES
from infra.simulator.binance.usdm import BinanceOptions, BinanceUsdm
from infra.simulator.market.truth import TruthLog
from infra.simulator.server import connection as server_side
from infra.simulator.server.server import SimulatorServer
from tests.support.waiting import eventually

OPTIONS = BinanceOptions(contracts=24, settling=2, tick_ms=50, rows_per_array=10)
ALL = "market/ws/!markPrice@arr@1s"


@asynccontextmanager
async def simulator(
    data_dir: Path, options: BinanceOptions = OPTIONS, shift_ms: int = 0
) -> AsyncIterator[SimulatorServer]:
    """A server on a free port whose clock runs shift_ms ahead."""

    def wall_ns() -> int:
        return time.time_ns() + shift_ms * 1_000_000

    with TruthLog(data_dir, seed=7) as truth:
        exchange = BinanceUsdm(7, options, wall_ns() // 1_000_000)
        server = SimulatorServer([exchange], truth, port=0, wall_ns=wall_ns, housekeeping_s=0.02)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


@asynccontextmanager
async def client(server: SimulatorServer, path: str) -> AsyncIterator[ClientConnection]:
    """A websockets client at a path of the feed."""
    url = f"ws://127.0.0.1:{server.port}/binance-usdm/{path}"
    async with websockets.connect(url, max_size=None, ping_interval=None) as ws:
        yield ws


async def next_json(ws: ClientConnection) -> Any:
    """The next frame, decoded."""
    async with asyncio.timeout(5):
        return json.loads(await ws.recv())


async def closed(ws: ClientConnection) -> tuple[int | None, str | None]:
    """Read to the end; the close code and reason."""
    async with asyncio.timeout(5):
        with contextlib.suppress(websockets.ConnectionClosedError):
            async for _ in ws:
                pass
    return ws.close_code, ws.close_reason


async def post(server: SimulatorServer, path: str, **body: Any) -> Any:
    """Ask the fault control."""
    url = f"http://127.0.0.1:{server.port}{path}"
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as reply:
        return reply.status, await reply.json()


async def get(server: SimulatorServer, path: str) -> Any:
    """A JSON document of the server."""
    url = f"http://127.0.0.1:{server.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        return json.loads(await reply.read())


def truth_of(data_dir: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """The recorded updates by contract and event time; fails on a repeated one."""
    path = data_dir / "truth" / "binance-usdm.ndjson"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = {(row["contract_id"], row["event_time"]): row for row in rows}
    assert len(found) == len(rows)
    return found


def updates_in(frame: Any) -> list[tuple[tuple[str, int], str]]:
    """Key and rate text of each row that carries a rate."""
    data = frame["data"] if isinstance(frame, dict) and "data" in frame else frame
    rows = data if isinstance(data, list) else [data]
    return [((f"binance-usdm:{r['s']}", r["E"] * 1_000), r["r"]) for r in rows if r.get("r")]


async def test_the_truth_is_what_a_client_received(tmp_path: Path) -> None:
    """To the last digit, to the last frame before the graceful stop, once for two clients."""
    received: dict[tuple[str, int], str] = {}

    async def read(ws: ClientConnection) -> int | None:
        async for frame in ws:
            received.update(updates_in(json.loads(frame)))
        return ws.close_code

    async with (
        simulator(tmp_path) as server,
        client(server, ALL) as first,
        client(server, ALL) as second,
    ):
        readers = [asyncio.create_task(read(ws)) for ws in (first, second)]
        await eventually(lambda: _at_least(received, 24 * 10))
        await server.stop()
        assert await asyncio.gather(*readers) == [1001, 1001]
    truth = truth_of(tmp_path)
    assert truth.keys() == received.keys()
    for key, rate in received.items():
        row = truth[key]
        assert set(row) == {"contract_id", "event_time", "sent_at", "rate"}
        assert row["rate"] == float(rate)
        assert 0 <= row["sent_at"] - row["event_time"] < 2_000_000


async def test_nothing_is_truth_before_somebody_listens(tmp_path: Path) -> None:
    """Ticks without a subscriber, and wrong routes, leave no line."""
    async with simulator(tmp_path) as server, client(server, "ws/!markPrice@arr@1s") as silent:
        await silent.send('{"method":"SUBSCRIBE","params":["!markPrice@arr"],"id":1}')
        assert await next_json(silent) == {"result": None, "id": 1}
        ticks = server.counts["ticks:binance-usdm"]
        await eventually(lambda: _more_ticks(server, ticks + 5))
        assert server.counts["frames:binance-usdm"] == 0
    assert not (tmp_path / "truth" / "binance-usdm.ndjson").exists()


async def test_subscribe_after_connecting(tmp_path: Path) -> None:
    """/market/ws and a SUBSCRIBE frame; the combined path wraps."""
    async with simulator(tmp_path) as server:
        async with client(server, "market/ws") as ws:
            await ws.send('{"method":"SUBSCRIBE","params":["btcusdt@markPrice@1s"],"id":1}')
            assert await next_json(ws) == {"result": None, "id": 1}
            assert (await next_json(ws))["s"] == "BTCUSDT"
        path = "market/stream?streams=btcusdt@markPrice@1s/!markPrice@arr@1s"
        async with client(server, path) as ws:
            streams = {(await next_json(ws))["stream"] for _ in range(8)}
            assert streams == {"btcusdt@markPrice@1s", "!markPrice@arr@1s"}
        async with client(
            server, "market/ws/%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9Fusdt@markPrice"
        ) as ws:
            assert (await next_json(ws))["s"] == "币安人生USDT"


async def test_a_binary_frame_closes_1008(tmp_path: Path) -> None:
    """Control frames must be text."""
    async with simulator(tmp_path) as server, client(server, "market/ws") as ws:
        await ws.send(b'{"method":"LIST_SUBSCRIPTIONS","id":1}')
        assert await closed(ws) == (1008, "Invalid request")


async def test_eleven_messages_in_a_second_close_1008(tmp_path: Path) -> None:
    """Ten are answered, the eleventh ends the connection."""
    async with simulator(tmp_path) as server, client(server, "market/ws") as ws:
        for number in range(11):
            await ws.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
        answers = [await next_json(ws) for _ in range(10)]
        assert [answer["id"] for answer in answers] == list(range(10))
        assert await closed(ws) == (1008, "Too many requests")


async def test_pings_are_answered_and_a_mute_client_is_closed(tmp_path: Path) -> None:
    """A client that PONGs stays, one that does not is closed."""
    rules = replace(RULES, ping_every_s=0.15, pong_within_s=0.3)
    async with simulator(tmp_path, replace(OPTIONS, rules=rules)) as server:
        url = f"http://127.0.0.1:{server.port}/binance-usdm/market/ws"
        async with aiohttp.ClientSession() as session, client(server, "market/ws") as good:
            async with session.ws_connect(url, autoping=False) as mute:
                kinds = []
                while not mute.closed:
                    message = await mute.receive(timeout=5)
                    kinds.append(message.type)
                assert aiohttp.WSMsgType.PING in kinds
                assert mute.close_code == 1008
            await (await good.ping())
            await good.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
            assert await next_json(good) == {"result": [], "id": 1}


async def test_a_connection_ends_with_its_age(tmp_path: Path) -> None:
    """Binance ends each connection after 24 h."""
    options = replace(OPTIONS, rules=replace(RULES, max_age_s=0.1))
    async with simulator(tmp_path, options) as server, client(server, "market/ws") as ws:
        assert await closed(ws) == (1001, "Connection age")


@pytest.mark.integration
async def test_a_slow_client_is_cut_and_delays_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queue is bounded; the other client keeps its pace; the truth has what was sent."""
    monkeypatch.setattr(server_side, "MAX_QUEUED_BYTES", 200_000)
    options = replace(OPTIONS, contracts=400, rows_per_array=300)
    received: dict[tuple[str, int], str] = {}
    async with simulator(tmp_path, options) as server:
        url = f"ws://127.0.0.1:{server.port}/binance-usdm/{ALL}"
        slow = await websockets.connect(url, max_size=None, max_queue=1, ping_interval=None)
        slow.transport.pause_reading()
        async with client(server, ALL) as quick:

            async def one_left() -> bool:
                received.update(updates_in(await next_json(quick)))
                return len(server.connections["binance-usdm"]) == 1

            async with asyncio.timeout(60):
                while not await one_left():
                    pass
            slow.transport.abort()
            before = server.counts["ticks:binance-usdm"]
            await server.stop()
            async for frame in quick:
                received.update(updates_in(json.loads(frame)))
    assert before > 0
    truth = truth_of(tmp_path)
    assert received.keys() <= truth.keys()
    assert all(truth[key]["rate"] == float(rate) for key, rate in received.items())


async def test_rest_and_stream_agree(tmp_path: Path) -> None:
    """A premiumIndex row of an event time carries the streamed rate of that time."""
    async with simulator(tmp_path, replace(OPTIONS, tick_ms=500)) as server:
        async with client(server, "market/ws/btcusdt@markPrice@1s") as ws:
            row = await next_json(ws)
            shown = await get(server, "/binance-usdm/fapi/v1/premiumIndex?symbol=BTCUSDT")
            assert (shown["time"], shown["lastFundingRate"]) == (row["E"], row["r"])
        stats = await get(server, "/stats")
        assert stats["counts"]["rest:binance-usdm/fapi/v1/premiumIndex"] == 1
        assert (await get(server, "/healthz")) == {"status": "ok"}


async def test_a_funding_time_reaches_the_truth(tmp_path: Path) -> None:
    """A settlement passes while clients listen: its rate is the last estimate, in one file once."""
    hour_ms = 3_600_000
    now_ms = time.time_ns() // 1_000_000
    funding_ms = now_ms // (8 * hour_ms) * 8 * hour_ms + 8 * hour_ms
    shift_ms = funding_ms - now_ms - 700
    last: dict[str, tuple[int, str]] = {}
    async with simulator(tmp_path, shift_ms=shift_ms) as server, client(server, ALL) as ws:

        async def all_moved_on() -> bool:
            for row in await next_json(ws):
                if row["T"] == funding_ms:
                    last[row["s"]] = row["T"], row["r"]
            return server.counts["settled:binance-usdm"] > 0

        await eventually(all_moved_on)
    path = tmp_path / "truth" / "settlements.ndjson"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    new = {r["contract_id"]: r for r in rows if r["funding_time"] == funding_ms * 1_000}
    assert len(new) == len(last) == 24
    for symbol, (_, rate) in last.items():
        assert new[f"binance-usdm:{symbol}"]["rate"] == float(rate)
    async with simulator(tmp_path, shift_ms=shift_ms):
        pass
    again = path.read_text(encoding="utf-8").splitlines()
    assert len(again) == len(set(again)) == len(rows)


async def test_fault_control(tmp_path: Path) -> None:
    """Silence keeps sockets open without data, refuse rejects, close closes, resume ends all."""
    async with simulator(tmp_path) as server, client(server, ALL) as ws:
        await next_json(ws)
        assert (await post(server, "/control/silence", feed="binance-usdm"))[0] == 200
        ticks = server.counts["ticks:binance-usdm"]
        await eventually(lambda: _more_ticks(server, ticks + 2))
        frames = server.counts["frames:binance-usdm"]
        await eventually(lambda: _more_ticks(server, ticks + 6))
        assert server.counts["frames:binance-usdm"] == frames
        assert (await post(server, "/control/refuse", target="all"))[1]["faults"] == [
            "refuse-rest:*",
            "refuse-ws:*",
            "silence:binance-usdm",
        ]
        with pytest.raises(websockets.InvalidStatus):
            async with client(server, ALL):
                pass
        await post(server, "/control/resume")
        await ws.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        async with asyncio.timeout(5):
            while "btcusdt" not in (await ws.recv()).lower():
                pass
        assert (await post(server, "/control/close", code=1012))[1]["done"] == 1
        assert (await closed(ws))[0] == 1012
        async with client(server, ALL) as other:
            assert (await post(server, "/control/close", abort=True))[1]["done"] == 1
            assert (await closed(other))[0] == 1006


async def test_faults_end_by_themselves(tmp_path: Path) -> None:
    """With `seconds` no resume is needed."""
    async with simulator(tmp_path) as server, client(server, ALL) as ws:
        await post(server, "/control/silence", seconds=0.2)
        await eventually(lambda: _no_fault(server))
        assert updates_in(await next_json(ws))


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("close", {"feed": "nosuch"}),
        ("close", {"code": 7}),
        ("silence", {"seconds": -1}),
        ("refuse", {"target": "x"}),
        ("nosuch", {}),
    ],
)
async def test_bad_control_requests(tmp_path: Path, action: str, body: dict[str, Any]) -> None:
    """400 with a reason."""
    async with simulator(tmp_path) as server:
        status, reply = await post(server, f"/control/{action}", **body)
        assert status == 400
        assert reply["error"]


async def _at_least(received: dict[tuple[str, int], str], count: int) -> bool:
    return len(received) >= count


async def _more_ticks(server: SimulatorServer, count: int) -> bool:
    return server.counts["ticks:binance-usdm"] >= count


async def _no_fault(server: SimulatorServer) -> bool:
    return not server.faults.names()
