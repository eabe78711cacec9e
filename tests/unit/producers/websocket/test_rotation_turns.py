"""Rotations that wait: for their turn, for a successor that never opens, for a drain."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from producers.websocket.connection import ConnectionCallbacks, ManagedConnection
from schemas.clock import SystemClock
from tests.support.rotating_exchange import AGE_S, connected, exchange, outcome, soon
from tests.unit.producers.websocket.test_connection import Recorder, kind_of, no_delay


async def test_a_successor_that_never_opens_is_given_up() -> None:
    """Its handshake is not waited for longer than for its data; others are tried."""
    config = soon(handover_timeout_s=0.1)
    hanging = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hanging.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    silent = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with silent, exchange() as (there, url):
        urls = iter([url, f"ws://127.0.0.1:{port}/"])

        async def address(_candidate: int) -> str:
            return next(urls, url)

        recorder = Recorder()
        managed = ManagedConnection(
            "test",
            "mark",
            kind_of(max_age_s=AGE_S),
            address,
            ConnectionCallbacks(recorder.on_frame, recorder.on_close, recorder.on_open),
            SystemClock(),
            no_delay(),
            config=config,
        )
        async with running(managed):
            await there.say(0, "data A")
            await recorder.until(outcome(recorder, b"data A"))
            async with asyncio.timeout(10):
                await hanging.wait()
            await there.say(1, "data A")
            await recorder.until(lambda: bool(recorder.closed))
    assert recorder.closed[0].handed_over
    assert recorder.closed[0].connection_id == recorder.frames[0][0]


@asynccontextmanager
async def running(*connections: ManagedConnection) -> AsyncIterator[None]:
    """Run connections, which never end by themselves."""
    tasks = [asyncio.create_task(connection.run()) for connection in connections]
    try:
        yield
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Turn(asyncio.Lock):
    """The turn to rotate, which tells when two sockets have asked for it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.asked_by_two = asyncio.Event()

    async def acquire(self) -> Literal[True]:
        self.asked += 1
        if self.asked == 2:
            self.asked_by_two.set()
        return await super().acquire()


async def test_one_socket_of_a_feed_rotates_at_a_time() -> None:
    """Exchanges limit how many connections an address may have."""
    turn, recorder = Turn(), Recorder()
    async with exchange() as (there, url):

        async def address(_candidate: int) -> str:
            return url

        first, second = (
            ManagedConnection(
                "test",
                "mark",
                kind_of(max_age_s=AGE_S),
                address,
                ConnectionCallbacks(recorder.on_frame, recorder.on_close, recorder.on_open),
                SystemClock(),
                no_delay(),
                rotating=turn,
                config=soon(),
            )
            for _ in range(2)
        )
        async with running(first, second):
            await there.until(lambda: len(there.sockets) == 2)
            await there.tell_all("data A")
            async with asyncio.timeout(10):
                await turn.asked_by_two.wait()
            await there.until(lambda: len(there.sockets) == 3)
            # Both are too old; the successor of one keeps the turn while it brings no data.
            assert (turn.asked, len(there.sockets)) == (2, 3)
            await there.sockets[2].send("data A")
            await there.until(lambda: len(there.sockets) == 4)
            await recorder.until(lambda: bool(recorder.closed))
    assert recorder.closed[0].handed_over


async def test_the_exchange_closes_an_old_one_that_drains() -> None:
    """That is a hand-over all the same: its successor serves already."""
    config = soon(drain_s=3_600.0)
    async with (
        exchange() as (there, url),
        connected(url, max_age_s=AGE_S, config=config) as (managed, recorder),
    ):
        await there.say(0, "data A")
        await recorder.until(outcome(recorder, b"data A"))
        await there.say(1, "data A again")
        await recorder.until(outcome(recorder, b"data A again"))
        await there.sockets[0].close(1001, "Going away")
        await recorder.until(lambda: bool(recorder.closed))
        assert managed.open >= 1
    assert "1001" in recorder.closed[0].reason
    assert recorder.closed[0].handed_over
