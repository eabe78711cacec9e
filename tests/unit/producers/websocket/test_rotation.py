"""A connection that grows old is relieved without a break, and one that cannot be read is ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from producers.exchanges.spec import SocketKind, SubscribeFrame
from producers.websocket import connection, session, transport
from producers.websocket.connection import ConnectionCallbacks, ManagedConnection
from producers.websocket.session import FrameOutcome
from schemas.audit_facts import AuditCause
from tests.unit.producers.websocket.test_connection import Recorder, connected, kind_of, server

AGE_S = 0.3
"""Old enough to be relieved; a successor has so long before it is relieved itself."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "DISMISSED_CHECK_S", 0.01)
    monkeypatch.setattr(session, "DRAIN_S", 0.02)


class Exchange:
    """A server whose sockets say what the test has them say."""

    def __init__(self) -> None:
        self.sockets: list[ServerConnection] = []
        self.refuses = False
        self.refused = 0
        self.changed = asyncio.Event()

    async def handle(self, socket: ServerConnection) -> None:
        """Remember a socket."""
        self.sockets.append(socket)
        self.changed.set()
        await socket.wait_closed()

    def answer(self, socket: ServerConnection, _request: Request) -> Response | None:
        """Refuse handshakes while asked to."""
        self.changed.set()
        if not self.refuses:
            return None
        self.refused += 1
        return socket.respond(HTTPStatus.SERVICE_UNAVAILABLE, "")

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a socket, or an attempt, that makes the condition true."""
        async with asyncio.timeout(10):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def say(self, number: int, text: str) -> None:
        """Send on the n-th socket, once it is there."""
        await self.until(lambda: len(self.sockets) > number)
        await self.sockets[number].send(text)

    async def tell_all(self, text: str) -> None:
        """Send on every socket that is open."""
        for socket in self.sockets:
            with contextlib.suppress(ConnectionClosed):
                await socket.send(text)


@asynccontextmanager
async def exchange() -> AsyncIterator[tuple[Exchange, str]]:
    """An exchange on loopback and its URL."""
    made = Exchange()
    async with serve(made.handle, "127.0.0.1", 0, process_request=made.answer) as running:
        port = next(iter(running.sockets)).getsockname()[1]
        yield made, f"ws://127.0.0.1:{port}/"


def outcome(recorder: Recorder, text: bytes) -> Callable[[], bool]:
    """Whether a message has arrived."""
    return lambda: text in [message for _, message in recorder.frames]


async def test_the_old_one_goes_on_until_the_new_one_brings_what_it_did() -> None:
    """A new connection that brings a part of it relieves nobody yet."""
    async with exchange() as (there, url), connected(url, max_age_s=AGE_S) as (_, recorder):
        await there.say(0, "data A B")
        await recorder.until(outcome(recorder, b"data A B"))
        await there.say(1, "data A")
        await recorder.until(outcome(recorder, b"data A"))
        for number in range(9):
            await there.say(0, f"tick {number}")
            await recorder.until(outcome(recorder, b"tick %d" % number))
        assert recorder.closed == []
        await there.say(1, "data B")
        await recorder.until(lambda: bool(recorder.closed))
    first, second = (identity for identity, _ in recorder.frames[:2])
    assert first != second
    assert recorder.closed[0].identity == first
    assert recorder.closed[0].relieved
    assert recorder.closed[0].reason == "relieved by a newer connection"


async def test_nearly_all_is_enough() -> None:
    """A contract that is gone since the morning keeps nobody."""
    all_of_them = [f"S{n}" for n in range(20)]
    async with exchange() as (there, url), connected(url, max_age_s=AGE_S) as (_, recorder):
        await there.say(0, "data " + " ".join(all_of_them))
        await there.say(1, "data " + " ".join(all_of_them[:19]))
        await recorder.until(lambda: bool(recorder.closed))
        assert recorder.closed[0].relieved


async def test_nothing_is_missed_over_many_rotations() -> None:
    """Whoever sends each tick to all that are open finds that it arrived; nobody backs off."""
    ticks = 0
    async with (
        exchange() as (there, url),
        connected(url, max_age_s=0.05) as (managed, recorder),
    ):
        await there.until(lambda: len(there.sockets) == 1)
        while managed.connects < 6:
            ticks += 1
            await there.tell_all(f"tick {ticks}")
            await recorder.until(outcome(recorder, b"tick %d" % ticks))
        assert managed._backoff.failures == 0
        assert all(closed.relieved for closed in recorder.closed)
        assert len(recorder.closed) >= 4
        # One relieves another: never more than two, and never none.
        assert managed.open in {1, 2}
    numbers = [int(message.split()[1]) for _, message in recorder.frames]
    assert sorted(set(numbers)) == list(range(1, ticks + 1))


async def test_a_successor_that_stays_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its acks are no data: the old one goes on, and another attempt follows that delivers."""
    monkeypatch.setattr(connection, "RELIEF_TIMEOUT_S", 0.1)
    async with exchange() as (there, url), connected(url, max_age_s=AGE_S) as (_, recorder):
        await there.say(0, "data A")
        await recorder.until(outcome(recorder, b"data A"))
        await there.say(1, "ack")
        await recorder.until(lambda: len(recorder.closed) == 1)
        assert recorder.closed[0].last_data_at is None
        await there.say(0, "tick still")
        await recorder.until(outcome(recorder, b"tick still"))
        assert recorder.frames[-1][0] == recorder.frames[0][0]
        await there.until(lambda: len(there.sockets) >= 3)
        await there.tell_all("data A")
        await recorder.until(
            lambda: recorder.frames[0][0] in [closed.identity for closed in recorder.closed]
        )
    (first,) = (c for c in recorder.closed if c.identity == recorder.frames[0][0])
    assert first.relieved
    assert first.last_data_at is not None


async def test_a_successor_that_brings_a_part_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one goes on with all, and others are tried."""
    monkeypatch.setattr(connection, "RELIEF_TIMEOUT_S", 0.1)
    async with exchange() as (there, url), connected(url, max_age_s=AGE_S) as (_, recorder):
        await there.say(0, "data A B C")
        await recorder.until(outcome(recorder, b"data A B C"))
        await there.say(1, "data A")
        await recorder.until(lambda: bool(recorder.closed))
        assert recorder.closed[0].identity != recorder.frames[0][0]
        assert not recorder.closed[0].relieved
        await there.say(0, "data A B C again")
        await recorder.until(outcome(recorder, b"data A B C again"))
        assert recorder.frames[-1][0] == recorder.frames[0][0]


async def test_a_socket_that_brings_a_part_is_relieved(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exchange that has lost a subscription is asked for all of them anew."""
    monkeypatch.setattr(connection, "PARTIAL_S", 0.1)
    monkeypatch.setattr(connection, "PARTIAL_CHECK_S", 0.02)
    kind = SocketKind(
        "mark",
        1.0,  # a busy machine may send nothing for long
        3_600.0,
        capacity=10,
        subscribe=lambda symbols: [SubscribeFrame(" ".join(symbols), tuple(symbols))],
    )
    async with exchange() as (there, url), connected(url, kind=kind, wanted="ABC") as (_, recorder):
        stop = asyncio.Event()

        async def keep(number: int, text: str) -> None:
            while not stop.is_set():
                await there.say(number, text)
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(keep(0, "data A"))
            await recorder.until(outcome(recorder, b"data A"))
            tasks.create_task(keep(1, "data A B C"))
            await recorder.until(lambda: bool(recorder.closed))
            stop.set()
        assert recorder.closed[0].relieved


async def test_refused_successors_do_not_end_the_old_one() -> None:
    """The exchange is in maintenance for new ones: attempts go on, so does the stream."""
    async with exchange() as (there, url), connected(url, max_age_s=AGE_S) as (managed, recorder):
        await there.say(0, "data A")
        await recorder.until(outcome(recorder, b"data A"))
        there.refuses = True
        await there.until(lambda: there.refused >= 3)
        await there.say(0, "tick on")
        await recorder.until(outcome(recorder, b"tick on"))
        assert (managed.connects, managed.open, recorder.closed) == (1, 1, [])
        there.refuses = False
        await there.say(1, "data A")
        await recorder.until(lambda: bool(recorder.closed))
        assert recorder.closed[0].relieved


async def test_the_exchange_closes_the_old_one_meanwhile() -> None:
    """Its successor is there already: it goes on, and no third one is needed for that."""
    async with exchange() as (there, url), connected(url, max_age_s=AGE_S) as (managed, recorder):
        await there.say(0, "data A B")
        await recorder.until(outcome(recorder, b"data A B"))
        await there.say(1, "data A")
        await recorder.until(outcome(recorder, b"data A"))
        await there.sockets[0].close(1001, "Going away")
        await recorder.until(lambda: len(recorder.closed) == 1)
        assert managed.open >= 1
        await there.say(1, "tick on")
        await recorder.until(outcome(recorder, b"tick on"))
    assert not recorder.closed[0].relieved
    assert "1001" in recorder.closed[0].reason
    first, second, third = (identity for identity, _ in recorder.frames)
    assert first != second == third


async def test_both_are_closed_meanwhile() -> None:
    """Then it connects again, as ever."""
    async with exchange() as (there, url), connected(url, max_age_s=AGE_S) as (_, recorder):
        await there.say(0, "data A B")
        await recorder.until(outcome(recorder, b"data A B"))
        await there.until(lambda: len(there.sockets) == 2)
        for number in (1, 0):
            await there.sockets[number].close(1001)
        await there.until(lambda: len(there.sockets) >= 3)
        await there.tell_all("data again")
        await recorder.until(outcome(recorder, b"data again"))


async def test_an_error_of_ours_in_a_successor_ends_it() -> None:
    """As in the first: Kafka refuses a record for good."""

    async def refuse(_identity: str, message: bytes, _received_at: int) -> FrameOutcome:
        if message == b"bad":
            raise ZeroDivisionError
        return FrameOutcome(data=True)

    async with exchange() as (there, url):

        async def address(_attempt: int) -> str:
            return url

        watcher = ConnectionCallbacks(refuse, lambda _closed: None)
        managed = ManagedConnection("test", "mark", kind_of(max_age_s=AGE_S), address, watcher)
        running = asyncio.create_task(managed.run())
        await there.say(0, "good")
        await there.say(1, "bad")
        with pytest.raises(ZeroDivisionError):
            async with asyncio.timeout(10):
                await running
        assert managed.open == 0


async def paused(
    kind: SocketKind,
    on_frame: Callable[[str, bytes, int], Awaitable[FrameOutcome]],
    until: asyncio.Event,
) -> tuple[Recorder, int]:
    """Run a connection that delivers steadily, its frames handed over by `on_frame`."""
    recorder = Recorder()

    async def delivering(socket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            for number in range(1_000):
                await socket.send(f"data {number}")
            await socket.wait_closed()

    async with server(delivering) as url:

        async def address(_attempt: int) -> str:
            return url

        watcher = ConnectionCallbacks(on_frame, recorder.on_close)
        managed = ManagedConnection("test", "mark", kind, address, watcher)
        running = asyncio.create_task(managed.run())
        try:
            async with asyncio.timeout(10):
                await until.wait()
                return recorder, managed.connects
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


async def test_a_reader_that_was_paused_ends_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the socket holds by then is old: it would be published with a wrong time of receipt."""
    monkeypatch.setattr(session, "PAUSED_S", 0.05)
    monkeypatch.setattr(transport, "CLOSE_TIMEOUT_S", 0.05)
    frames: list[tuple[str, bytes]] = []
    again = asyncio.Event()

    async def on_frame(identity: str, message: bytes, _received_at: int) -> FrameOutcome:
        frames.append((identity, message))
        if message == b"data 3":
            await asyncio.sleep(0.06)  # Kafka takes nothing for so long
        if frames[0][0] != identity:
            again.set()
        return FrameOutcome(data=True)

    recorder, _ = await paused(kind_of(), on_frame, again)
    assert recorder.reasons[0] == "reading paused: Kafka took nothing for 0 s"
    assert recorder.closed[0].cause is AuditCause.KAFKA_FULL
    assert recorder.closed[0].last_data_at is not None
    first = [message for identity, message in frames if identity == frames[0][0]]
    assert first == [b"data 0", b"data 1", b"data 2", b"data 3"]


async def test_a_short_pause_ends_nothing() -> None:
    """Below the limit the frames just come later."""
    done = asyncio.Event()
    seen: list[bytes] = []

    async def on_frame(_identity: str, message: bytes, _received_at: int) -> FrameOutcome:
        await asyncio.sleep(0)
        seen.append(message)
        if message == b"data 999":
            done.set()
        return FrameOutcome(data=True)

    recorder, connects = await paused(kind_of(), on_frame, done)
    assert seen == [b"data %d" % number for number in range(1_000)]
    assert connects == 1
    assert [closed.reason for closed in recorder.closed] == ["stopped"]
