"""A managed connection comes back after every end, and a connection without data is ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from producers.exchanges.spec import ClientPing, Control, SocketKind, SubscribeFrame
from producers.websocket.config import DEFAULT_CONFIG, ConnectionConfig
from producers.websocket.connection import Closed, ConnectionCallbacks, ManagedConnection
from producers.websocket.session import FrameOutcome
from schemas.audit_facts import AuditCause
from schemas.backoff import Backoff
from schemas.clock import SystemClock
from tests.support.waiting import until_changed

Handler = Callable[[ServerConnection], Awaitable[None]]


class Recorder:
    """Keeps what a connection reports through its callbacks."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, str]] = []
        self.closed: list[Closed] = []
        self.frames: list[tuple[str, bytes]] = []
        self.changed = asyncio.Event()

    async def on_frame(self, identity: str, message: bytes, received_at: int) -> FrameOutcome:
        assert received_at > 0
        assert ("mark", identity) in self.opened
        self.frames.append((identity, message))
        self.changed.set()
        kind, _, text = message.decode(errors="replace").partition(" ")
        if kind == "welcome":
            return FrameOutcome(data=False, control=Control(greeting=True, ping_every_s=0.01))
        if kind == "notice":
            return FrameOutcome(data=False, control=Control(ends=True))
        if kind == "acked":
            return FrameOutcome(data=False, control=Control(acknowledged=(text,)))
        return FrameOutcome(data=message != b"ack", symbols=text.split() if kind == "data" else ())

    def on_open(self, socket: str, identity: str) -> None:
        self.opened.append((socket, identity))

    def on_close(self, closed: Closed) -> None:
        assert closed.socket == "mark"
        assert closed.connection_id.startswith("test/mark/")
        self.closed.append(closed)
        self.changed.set()

    @property
    def reasons(self) -> list[str]:
        """Why connections ended, in their order."""
        return [closed.reason for closed in self.closed]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a report that makes the condition true."""
        await until_changed(self.changed, condition)


def kind_of(silent_s: float = 30.0, max_age_s: float = 3_600.0, **more: Any) -> SocketKind:
    """A kind of socket."""
    return SocketKind("mark", silent_s, max_age_s, **more)


def no_delay() -> Backoff:
    """A back-off whose delays are all 0 s; its failures can be read."""
    return Backoff(lambda: 0.0)


def each(word: str) -> Callable[[Sequence[str]], list[SubscribeFrame]]:
    """A frame for each symbol."""
    return lambda symbols: [SubscribeFrame(f"{word} {symbol}", (symbol,)) for symbol in symbols]


@asynccontextmanager
async def connected(
    url: str,
    silent_s: float = 30.0,
    subscribe: tuple[str, ...] = (),
    max_age_s: float = 3_600.0,
    *,
    kind: SocketKind | None = None,
    wanted: Iterable[str] = (),
    config: ConnectionConfig = DEFAULT_CONFIG,
    backoff: Backoff | None = None,
) -> AsyncIterator[tuple[ManagedConnection, Recorder]]:
    """A running connection that retries without a delay; `url` may name several candidates."""
    recorder = Recorder()
    urls = url.split(" ")

    async def address(candidate: int) -> str:
        return urls[candidate % len(urls)]

    connection = ManagedConnection(
        "test",
        "mark",
        kind or kind_of(silent_s, max_age_s),
        address,
        ConnectionCallbacks(recorder.on_frame, recorder.on_close, recorder.on_open),
        SystemClock(),
        backoff or no_delay(),
        opening=subscribe,
        config=config,
    )
    connection.want(frozenset(wanted))
    running = asyncio.create_task(connection.run())
    try:
        yield connection, recorder
    finally:
        assert not running.done(), "a managed connection never gives up"
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    """A WebSocket server on loopback; yields its URL."""
    async with serve(handler, "127.0.0.1", 0) as running:
        port = next(iter(running.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/"


async def test_it_subscribes_and_hands_over_frames_byte_for_byte() -> None:
    """Text or binary, as they came, under one id per socket."""
    asked: list[str | bytes] = []

    async def exchange(socket: ServerConnection) -> None:
        asked.append(await socket.recv())
        await socket.send('{"s":"币"}')
        await socket.send(b"\x00\x01")
        await socket.wait_closed()

    async with server(exchange) as url, connected(url, subscribe=("SUB",)) as (_, recorder):
        await recorder.until(lambda: len(recorder.frames) == 2)
    assert asked == ["SUB"]
    assert [message for _, message in recorder.frames] == ['{"s":"币"}'.encode(), b"\x00\x01"]
    assert len({identity for identity, _ in recorder.frames}) == 1


async def test_it_reconnects_after_a_close_and_says_so() -> None:
    """Each under a new id; the reason is the exchange's, and when data came last is told."""

    async def exchange(socket: ServerConnection) -> None:
        await socket.send("data")
        await socket.close(1001, "Going away")

    async with server(exchange) as url, connected(url) as (connection, recorder):
        await recorder.until(lambda: len(recorder.frames) >= 3)
        assert connection.connects >= 3
    first = recorder.closed[0]
    assert "1001" in first.reason
    assert first.cause is AuditCause.CLOSED
    assert first.connection_id == recorder.frames[0][0]
    assert first.last_data_at_us is not None
    assert not first.handed_over
    assert len({identity for identity, _ in recorder.frames[:3]}) == 3


async def test_acks_do_not_keep_a_silent_socket_alive() -> None:
    """Health is data: an open socket that only acks is closed and tried again."""

    async def exchange(socket: ServerConnection) -> None:
        with contextlib.suppress(Exception):
            while True:
                await socket.send("ack")
                await asyncio.sleep(0.01)

    async with server(exchange) as url, connected(url, silent_s=0.1) as (connection, recorder):
        await recorder.until(lambda: connection.connects > 1)
    assert recorder.reasons[0] == "no data for 0.1 s"
    assert recorder.closed[0].cause is AuditCause.SILENT
    assert recorder.closed[0].last_data_at_us is None
    assert recorder.frames


async def test_data_keeps_a_socket_open_beyond_the_silence_limit() -> None:
    """Each data frame begins the silence anew."""
    end = asyncio.Event()

    async def exchange(socket: ServerConnection) -> None:
        for _ in range(30):
            await socket.send("data")
            await asyncio.sleep(0.02)
        end.set()
        await socket.wait_closed()

    async with server(exchange) as url, connected(url, silent_s=0.5) as (connection, recorder):
        async with asyncio.timeout(10):
            await end.wait()
        assert connection.connects == 1
        assert recorder.reasons == []


async def test_failures_are_counted_towards_the_backoff() -> None:
    """Short-lived connections count as failures: a socket that opens and ends at once backs off."""

    async def exchange(socket: ServerConnection) -> None:
        await socket.send("data")

    backoff = no_delay()
    async with server(exchange) as url, connected(url, backoff=backoff) as (_, recorder):
        await recorder.until(lambda: len(recorder.reasons) >= 3)
    assert backoff.failures >= 2


async def test_a_silent_candidate_is_followed_by_the_next_and_the_winner_is_kept() -> None:
    """Also when the winner's connection ends: it had delivered
    (docs/exchanges/binance-coinm.md §1).
    """

    async def silent(socket: ServerConnection) -> None:
        await socket.send("ack")
        await socket.wait_closed()

    async def delivering(socket: ServerConnection) -> None:
        won.append(1)
        await socket.send("data")
        await socket.close(1001)

    won: list[int] = []
    async with (
        server(silent) as first,
        server(delivering) as second,
        connected(f"{first} {second}", silent_s=0.1) as (_, recorder),
    ):
        await recorder.until(lambda: len(recorder.reasons) >= 4)
    assert recorder.reasons[0] == "no data for 0.1 s"
    assert all("1001" in reason for reason in recorder.reasons[1:4])
    assert len(won) >= 3


async def test_contracts_come_and_go_without_a_reconnect() -> None:
    """A listing is subscribed and a delisting unsubscribed on the socket that is up."""
    outcome: asyncio.Queue[str | bytes] = asyncio.Queue()

    async def exchange(socket: ServerConnection) -> None:
        async for message in socket:
            outcome.put_nowait(message)

    kind = kind_of(capacity=9, subscribe=each("sub"), unsubscribe=each("unsub"))
    async with (
        server(exchange) as url,
        connected(url, kind=kind, wanted=("B", "A")) as (connection, _),
        asyncio.timeout(10),
    ):
        assert [await outcome.get(), await outcome.get()] == ["sub A", "sub B"]
        connection.want(frozenset({"B", "C"}))
        assert [await outcome.get(), await outcome.get()] == ["unsub A", "sub C"]
        assert connection.connects == 1


async def test_a_socket_without_contracts_waits_for_some() -> None:
    """It does not connect to hear nothing."""

    async def exchange(socket: ServerConnection) -> None:
        await socket.send("data")
        await socket.wait_closed()

    kind = kind_of(capacity=9, subscribe=each("sub"))
    async with server(exchange) as url, connected(url, kind=kind) as (connection, recorder):
        await asyncio.sleep(0)  # let it come to its wait
        assert (connection.open, connection.attempts) == (0, 0)
        connection.want(frozenset({"A"}))
        await recorder.until(lambda: len(recorder.frames) == 1)
        assert (connection.open, connection.attempts) == (1, 1)


async def test_the_greeting_comes_before_the_first_word_and_sets_the_pings() -> None:
    """What we send before it would be lost (docs/exchanges/kucoin.md §A, §B)."""
    outcome: list[str | bytes] = []
    done = asyncio.Event()

    async def exchange(socket: ServerConnection) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await socket.recv()
        await socket.send("welcome")
        async for message in socket:
            outcome.append(message)
            if len(outcome) == 4:
                done.set()

    kind = kind_of(
        capacity=9,
        subscribe=each("sub"),
        greeting_timeout_s=10.0,
        ping=ClientPing(3_600.0, lambda number: f"ping {number}"),
    )
    async with (
        server(exchange) as url,
        connected(url, subscribe=("HELLO",), kind=kind, wanted=("A",)),
        asyncio.timeout(10),
    ):
        await done.wait()
    assert [m for m in outcome if not str(m).startswith("ping")][:2] == ["HELLO", "sub A"]
    assert [m for m in outcome if str(m).startswith("ping")][:2] == ["ping 1", "ping 2"]


async def test_a_missing_greeting_is_an_end() -> None:
    """Another attempt is worth more than waiting."""

    async def exchange(socket: ServerConnection) -> None:
        await socket.wait_closed()

    kind = kind_of(greeting_timeout_s=0.05)
    async with server(exchange) as url, connected(url, kind=kind) as (_, recorder):
        await recorder.until(lambda: len(recorder.reasons) >= 1)
    assert recorder.reasons[0] == "no greeting within 0.05 s"
    assert recorder.closed[0].cause is AuditCause.NO_GREETING


async def test_the_contract_that_kills_the_socket_is_held_back() -> None:
    """Acks come in order: the first missing one is the suspect, and the others live on
    (docs/exchanges/hyperliquid.md §3).

    First it is put last, so that an innocent would be acknowledged; the second time it is held.
    """
    complete = asyncio.Event()
    rounds: list[list[str]] = []

    async def exchange(socket: ServerConnection) -> None:
        rounds.append([])
        subscribed: list[str] = []
        async for message in socket:
            symbol = str(message).removeprefix("sub ")
            rounds[-1].append(symbol)
            if symbol == "BAD":
                socket.transport.abort()
                return
            subscribed.append(symbol)
            await socket.send(f"acked {symbol}")
            if subscribed == ["A", "Z"] and len(rounds) == 3:
                complete.set()

    kind = kind_of(capacity=9, subscribe=each("sub"), quarantines=True)
    async with (
        server(exchange) as url,
        connected(url, kind=kind, wanted=("A", "BAD", "Z")) as (connection, _),
        asyncio.timeout(10),
    ):
        await complete.wait()
        assert connection.quarantine.total == 1
        assert connection.quarantine.held(0.0) == 1
    assert rounds == [["A", "BAD"], ["A", "Z", "BAD"], ["A", "Z"]]


async def test_a_token_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Neither when the connection opens, nor when its URL is none, nor at DEBUG."""

    async def exchange(socket: ServerConnection) -> None:
        await socket.send("data")
        await socket.close(1000)

    caplog.set_level("DEBUG")
    async with (
        server(exchange) as url,
        connected(f"http://127.0.0.1/?token=SECRET {url}?token=SECRET") as (_, recorder),
    ):
        await recorder.until(lambda: len(recorder.reasons) >= 2)
    ours = [r for r in caplog.records if r.name != "websockets.server"]
    assert ours
    assert not any("SECRET" in record.getMessage() for record in ours)
