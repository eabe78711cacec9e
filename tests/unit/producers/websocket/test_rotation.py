"""A connection is replaced without a gap before it is too old, and ended when it is not read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from producers.exchanges.spec import SocketKind, SubscribeFrame
from producers.websocket.config import DEFAULT_CONFIG, ConnectionConfig
from producers.websocket.connection import ConnectionCallbacks, ManagedConnection
from producers.websocket.session import FrameOutcome
from schemas.audit_facts import AuditCause
from schemas.clock import SystemClock
from tests.support.rotating_exchange import AGE_S, connected, exchange, outcome, soon
from tests.unit.producers.websocket.test_connection import Recorder, kind_of, no_delay, server


async def test_the_old_one_goes_on_until_the_new_one_brings_what_it_did() -> None:
    """The old connection stays while the new one brings only a part of its contracts."""
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
    assert recorder.closed[0].connection_id == first
    assert recorder.closed[0].handed_over
    assert recorder.closed[0].reason == "handed over to a newer connection"


async def test_a_connection_that_will_be_ended_is_replaced_before() -> None:
    """When the exchange says so, long before its age; a second word of it changes nothing."""
    async with exchange() as (there, url), connected(url) as (managed, recorder):
        await there.say(0, "data A")
        await recorder.until(outcome(recorder, b"data A"))
        await there.say(0, "notice")
        await there.say(0, "notice")
        await there.say(1, "data A")
        await recorder.until(lambda: bool(recorder.closed))
        assert managed.connects == len(there.sockets) == 2
        await there.say(1, "tick")
        await recorder.until(outcome(recorder, b"tick"))
    assert recorder.closed[0].connection_id == recorder.frames[0][0]
    assert recorder.closed[0].handed_over
    assert recorder.frames[-1][0] != recorder.frames[0][0]


async def test_nearly_all_is_enough() -> None:
    """A contract that no longer streams does not delay the handover."""
    all_of_them = [f"S{n}" for n in range(20)]
    async with exchange() as (there, url), connected(url, max_age_s=AGE_S) as (_, recorder):
        await there.say(0, "data " + " ".join(all_of_them))
        await there.say(1, "data " + " ".join(all_of_them[:19]))
        await recorder.until(lambda: bool(recorder.closed))
        assert recorder.closed[0].handed_over


async def test_nothing_is_missed_over_many_rotations() -> None:
    """Each tick arrives on at least one open connection, and no connection is delayed by
    backoff.
    """
    ticks, backoff = 0, no_delay()
    async with (
        exchange() as (there, url),
        connected(url, max_age_s=0.05, backoff=backoff) as (managed, recorder),
    ):
        await there.until(lambda: len(there.sockets) == 1)
        while managed.connects < 6:
            ticks += 1
            await there.tell_all(f"tick {ticks}")
            await recorder.until(outcome(recorder, b"tick %d" % ticks))
        assert backoff.failures == 0
        assert all(closed.handed_over for closed in recorder.closed)
        assert len(recorder.closed) >= 4
        # One replaces another: never more than two, and never none.
        assert managed.open in {1, 2}
    numbers = [int(message.split()[1]) for _, message in recorder.frames]
    assert sorted(set(numbers)) == list(range(1, ticks + 1))


async def test_a_successor_that_stays_silent_is_given_up() -> None:
    """Its acks are no data: the old one goes on, and another attempt follows that delivers."""
    config = soon(handover_timeout_s=0.1)
    async with (
        exchange() as (there, url),
        connected(url, max_age_s=AGE_S, config=config) as (_, recorder),
    ):
        await there.say(0, "data A")
        await recorder.until(outcome(recorder, b"data A"))
        await there.say(1, "ack")
        await recorder.until(lambda: len(recorder.closed) == 1)
        assert recorder.closed[0].last_data_at_us is None
        await there.say(0, "tick still")
        await recorder.until(outcome(recorder, b"tick still"))
        assert recorder.frames[-1][0] == recorder.frames[0][0]
        await there.until(lambda: len(there.sockets) >= 3)
        await there.tell_all("data A")
        await recorder.until(
            lambda: recorder.frames[0][0] in [closed.connection_id for closed in recorder.closed]
        )
    (first,) = (c for c in recorder.closed if c.connection_id == recorder.frames[0][0])
    assert first.handed_over
    assert first.last_data_at_us is not None


async def test_a_successor_that_brings_a_part_is_given_up() -> None:
    """The old one goes on with all, and others are tried."""
    config = soon(handover_timeout_s=0.1)
    async with (
        exchange() as (there, url),
        connected(url, max_age_s=AGE_S, config=config) as (_, recorder),
    ):
        await there.say(0, "data A B C")
        await recorder.until(outcome(recorder, b"data A B C"))
        await there.say(1, "data A")
        await recorder.until(lambda: bool(recorder.closed))
        assert recorder.closed[0].connection_id != recorder.frames[0][0]
        assert not recorder.closed[0].handed_over
        await there.say(0, "data A B C again")
        await recorder.until(outcome(recorder, b"data A B C again"))
        assert recorder.frames[-1][0] == recorder.frames[0][0]


async def test_a_socket_that_brings_a_part_is_replaced() -> None:
    """An exchange that has lost a subscription is asked for all of them anew."""
    config = soon(partial_s=0.1, partial_check_s=0.02)
    kind = SocketKind(
        "mark",
        1.0,  # a busy machine may send nothing for long
        3_600.0,
        capacity=10,
        subscribe=lambda symbols: [SubscribeFrame(" ".join(symbols), tuple(symbols))],
    )
    async with (
        exchange() as (there, url),
        connected(url, kind=kind, wanted="ABC", config=config) as (_, recorder),
    ):
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
        assert recorder.closed[0].handed_over


async def test_a_successor_is_not_measured_by_contracts_that_need_not_deliver() -> None:
    """A halted one that happened to come on the old connection may be silent on the new one."""
    kind = kind_of(1.0, AGE_S, capacity=10)
    async with exchange() as (there, url), connected(url, kind=kind) as (managed, recorder):
        managed.want(frozenset("ABH"), frozenset("AB"))
        await there.say(0, "data A B H")
        await recorder.until(outcome(recorder, b"data A B H"))
        await there.say(1, "data A H")
        await recorder.until(outcome(recorder, b"data A H"))
        assert recorder.closed == []
        await there.say(1, "data B")
        await recorder.until(lambda: bool(recorder.closed))
    assert recorder.closed[0].handed_over


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
        assert recorder.closed[0].handed_over


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
    assert not recorder.closed[0].handed_over
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

        callbacks = ConnectionCallbacks(refuse, lambda _closed: None)
        kind = kind_of(max_age_s=AGE_S)
        managed = ManagedConnection(
            "test", "mark", kind, address, callbacks, SystemClock(), no_delay(), config=soon()
        )
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
    config: ConnectionConfig = DEFAULT_CONFIG,
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

        callbacks = ConnectionCallbacks(on_frame, recorder.on_close)
        managed = ManagedConnection(
            "test", "mark", kind, address, callbacks, SystemClock(), no_delay(), config=config
        )
        running = asyncio.create_task(managed.run())
        try:
            async with asyncio.timeout(10):
                await until.wait()
                return recorder, managed.connects
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


async def test_a_reader_that_was_paused_ends_its_connection() -> None:
    """What the socket holds by then is old: it would be published with a wrong time of receipt."""
    config = ConnectionConfig(paused_s=0.05, close_timeout_s=0.05)
    frames: list[tuple[str, bytes]] = []
    again = asyncio.Event()

    async def on_frame(identity: str, message: bytes, _received_at: int) -> FrameOutcome:
        frames.append((identity, message))
        if message == b"data 3":
            await asyncio.sleep(0.06)  # Kafka takes nothing for so long
        if frames[0][0] != identity:
            again.set()
        return FrameOutcome(data=True)

    recorder, _ = await paused(kind_of(), on_frame, again, config)
    assert recorder.reasons[0] == "reading paused: Kafka took nothing for 0 s"
    assert recorder.closed[0].cause is AuditCause.KAFKA_FULL
    assert recorder.closed[0].last_data_at_us is not None
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
