"""`/live`: what an open page gets, in which order, and what a slow or hostile one costs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from schemas.errors import FatalError
from stream_app.web.live import hub as hub_module
from stream_app.web.live.clients import MAX_WAITING_BYTES, Frame, Recent, Waiting
from stream_app.web.live.frames import FrameMaker
from tests.support.fleet_records import NOW_US, zscore
from tests.support.waiting import eventually
from tests.unit.stream_app.web.test_frames import opened
from tests.unit.stream_app.web.test_server import EPOCH, site


async def test_a_socket_gets_a_snapshot_and_then_what_changes() -> None:
    """In the order of the frames; at least one each second."""
    async with site() as page, page.http.ws_connect(f"{page.url}/live") as socket:
        first = opened((await socket.receive(5)).data)
        assert (first["type"], first["epoch"]) == ("snapshot", EPOCH)
        page.fleet.take_zscore(zscore(), NOW_US)
        frames = [opened((await socket.receive(5)).data) for _ in range(3)]
        assert [frame["seq"] for frame in frames] == [first["seq"] + n for n in (1, 2, 3)]
        assert sum("contracts" in frame for frame in frames) == 1


async def test_what_changed_while_nobody_looked_is_not_new() -> None:
    """It is in the snapshot; the first delta has what came after."""
    async with site() as page:
        page.fleet.take_zscore(zscore(), NOW_US)
        async with page.http.ws_connect(f"{page.url}/live") as socket:
            first = opened((await socket.receive(5)).data)
            assert first["contracts"]["symbol"] == ["BTCUSDT"]
            page.fleet.take_zscore(zscore("ETHUSDT"), NOW_US)
            delta = opened((await socket.receive(5)).data)
            assert delta["contracts"]["symbol"] == ["ETHUSDT"]


async def test_who_was_away_for_a_moment_gets_what_it_missed() -> None:
    """And a snapshot where that is forgotten, or was of another life of the server."""
    async with site() as page:
        page.fleet.take_zscore(zscore(), NOW_US)
        async with page.http.ws_connect(f"{page.url}/live") as socket:
            seen = opened((await socket.receive(5)).data)["seq"]
        page.fleet.take_zscore(zscore("ETHUSDT"), NOW_US)
        async with page.http.ws_connect(f"{page.url}/live?epoch={EPOCH}&seq={seen}") as socket:
            frame = opened((await socket.receive(5)).data)
            assert (frame["type"], frame["seq"]) == ("delta", seen + 1)
            assert "ETHUSDT" in json.dumps(frame)
        for query in ("epoch=other&seq=1", f"epoch={EPOCH}&seq=99999", f"epoch={EPOCH}&seq=-1",
                      f"epoch={EPOCH}&seq=" + "9" * 500, "epoch=%00&seq=%F0%9F%92%A9"):  # fmt: skip
            async with page.http.ws_connect(f"{page.url}/live?{query}") as socket:
                assert opened((await socket.receive(5)).data)["type"] == "snapshot"
        assert page.hub.resumed == 1


async def test_the_time_is_told_and_nothing_else() -> None:
    """Whatever a client sends instead ends its connection."""
    async with site() as page:
        async with page.http.ws_connect(f"{page.url}/live") as socket:
            await socket.send_str('{"ping": 1.5}')
            answer = await text(socket)
            assert answer["pong"] == 1.5
            assert abs(answer["now"] - page.clock.now_us()) < 5_000_000
        for bad in ("x", "{}", '{"ping": "1"}', '{"ping": 1, "x": 2}', '{"ping": NaN}', "[1]",
                    '{"ping": true}', b"\x00"):  # fmt: skip
            async with page.http.ws_connect(f"{page.url}/live") as socket:
                await (socket.send_bytes(bad) if isinstance(bad, bytes) else socket.send_str(bad))
                assert await closed(socket) == aiohttp.WSCloseCode.UNSUPPORTED_DATA, bad
        async with page.http.ws_connect(f"{page.url}/live") as socket:
            await socket.send_str(json.dumps({"ping": 1, "x": "y" * 1_000}))
            assert await closed(socket) == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        async with page.http.ws_connect(f"{page.url}/live") as socket:
            for _ in range(50):
                await socket.send_str('{"ping": 1}')
            assert await closed(socket) == aiohttp.WSCloseCode.POLICY_VIOLATION


async def text(socket: aiohttp.ClientWebSocketResponse) -> Any:
    """The next text message."""
    while True:
        message = await socket.receive(5)
        if message.type is WSMsgType.TEXT:
            return json.loads(message.data)


async def closed(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    """The code by which the server closed."""
    while True:
        message = await socket.receive(5)
        if message.type in {WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING}:
            return socket.close_code


async def test_no_more_pages_than_allowed() -> None:
    """The next one is told why; there is room again when one has gone."""
    async with site(web_max_clients=1) as page:
        async with page.http.ws_connect(f"{page.url}/live") as socket:
            await socket.receive(5)
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await page.http.ws_connect(f"{page.url}/live")
            assert refused.value.status == 503

        async def gone() -> bool:
            return page.hub.clients == 0

        await eventually(gone, "the page is gone", 5)
        async with page.http.ws_connect(f"{page.url}/live") as socket:
            assert (await socket.receive(5)).type is WSMsgType.BINARY
        assert (await page.get("/live"))[0] == 426


async def test_pages_that_open_at_once_are_counted_as_well() -> None:
    """Forty handshakes in one moment."""
    async with site(web_max_clients=5) as page:

        async def opened_one() -> aiohttp.ClientWebSocketResponse | None:
            try:
                return await page.http.ws_connect(f"{page.url}/live")
            except aiohttp.WSServerHandshakeError:
                return None

        found = await asyncio.gather(*(opened_one() for _ in range(40)))
        sockets = [socket for socket in found if socket is not None]
        assert len(sockets) == 5
        for socket in sockets:
            await socket.close()

        async def gone() -> bool:
            return page.hub.places == 0

        await eventually(gone, "all places are free", 5)


async def test_a_page_whose_frames_cannot_be_made_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection ends with an error, so that it tries again and says that it is frozen."""

    def broken(_self: object, _now_us: int) -> bytes:
        raise RuntimeError("a bug")

    async with site() as page:
        monkeypatch.setattr(FrameMaker, "snapshot", broken)
        async with page.http.ws_connect(f"{page.url}/live") as socket:
            assert await closed(socket) is not None
        assert page.hub.clients == 0


async def test_a_page_that_can_make_no_frames_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """After some in a row."""

    def broken(_self: object, _now_us: int) -> bytes:
        raise ValueError("a bug")

    monkeypatch.setattr(FrameMaker, "delta", broken)
    monkeypatch.setattr(hub_module, "FRAME_S", 0.001)
    async with site() as page, page.http.ws_connect(f"{page.url}/live") as socket:
        await socket.receive(5)
        page.fleet.take_zscore(zscore(), NOW_US)
        with pytest.raises(FatalError, match="cannot make its frames"):
            await asyncio.wait_for(page.hub.run(), 10)


async def test_a_slow_reader_costs_a_fixed_amount_and_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It gets a snapshot instead of all that it missed; others are not held up."""
    monkeypatch.setattr(hub_module, "SEND_TIMEOUT_S", 1.0)
    async with site() as page:
        release = asyncio.Event()
        got: list[bytes] = []

        async def slow(data: bytes) -> None:
            got.append(data)
            await release.wait()

        serving = asyncio.create_task(page.hub.serve(slow, "", None))
        with pytest.raises(TimeoutError):
            await serving
        assert page.hub.clients == 0
        assert len(got) == 1


def test_what_waits_for_a_client_is_bounded() -> None:
    """Beyond the bound a snapshot replaces it."""
    waiting = Waiting()
    waiting.begin([])
    piece = b"x" * (MAX_WAITING_BYTES // 4)
    for number in range(4):
        waiting.offer(Frame(number, piece))
    assert waiting.dropped == 0
    waiting.offer(Frame(4, b"x"))
    assert waiting.needs_snapshot
    assert waiting.take() is None
    assert waiting.dropped == 1
    waiting.offer(Frame(5, b"y"))
    waiting.begin([Frame(6, b"z")])
    waiting.offer(Frame(7, b"a"))
    assert [waiting.take(), waiting.take(), waiting.take()] == [b"z", b"a", None]


def test_recent_frames_are_bounded_and_whole() -> None:
    """Either all that were missed, or none."""
    recent = Recent(max_bytes=30, max_frames=5)
    assert recent.after(7) == []
    for number in range(1, 9):
        recent.add(Frame(number, b"x" * 10))
    numbers: Callable[[int], list[int] | None] = lambda sequence: (  # noqa: E731
        None if (found := recent.after(sequence)) is None else [each.sequence for each in found]
    )
    assert numbers(8) == []
    assert numbers(5) == [6, 7, 8]
    assert numbers(4) is None
    assert numbers(9) is None
    recent.add(Frame(9, b"x" * 31))
    assert numbers(8) is None
    assert numbers(9) == []
