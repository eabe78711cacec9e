"""One open connection on a scripted wire: its deadlines to the second, without waiting for them."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterable, Sequence
from typing import Any, cast

import pytest

from producers.exchanges.decoding import gunzip
from producers.exchanges.spec import Control, SocketKind, SubscribeFrame
from producers.policy.asking_again import AskingAgain
from producers.policy.quarantine import Quarantine
from producers.policy.replies import Replies
from producers.websocket.config import ConnectionConfig
from producers.websocket.session import (
    REPLIES_QUEUED,
    ConnectionContext,
    FrameOutcome,
    Session,
    SessionEnd,
)
from producers.websocket.transport import TransportError
from schemas.audit_facts import AuditCause

CONFIG = ConnectionConfig()
SILENT_S = 30.0


class Wire:
    """A connection and the clock of its world: waiting for a message is what makes time pass."""

    def __init__(self, script: Iterable[tuple[float, bytes | TransportError]] = ()) -> None:
        """`script`: what comes at which second, in order; after it nothing comes."""
        self.now_s = 0.0
        self._script = list(script)
        self.sent: list[str] = []

    def monotonic_s(self) -> float:
        return self.now_s

    def now_us(self) -> int:
        return int(self.now_s * 1_000_000)

    async def recv(self, timeout_s: float) -> bytes | None:
        assert 0 < timeout_s <= CONFIG.check_s
        await asyncio.sleep(0)
        until_s = self.now_s + timeout_s
        if not self._script or self._script[0][0] > until_s:
            self.now_s = until_s
            return None
        at_s, message = self._script.pop(0)
        self.now_s = max(self.now_s, at_s)
        if isinstance(message, TransportError):
            raise message
        return message

    async def send(self, text: str) -> None:
        self.sent.append(text)


class StuckWire(Wire):
    """An exchange that reads nothing."""

    async def send(self, text: str) -> None:
        await asyncio.Event().wait()


class Case:
    """A session on a scripted wire, and what it reports."""

    def __init__(self, wire: Wire, **kind: Any) -> None:
        self.wire = wire
        self.data: list[tuple[float, list[str]]] = []
        self.frames: list[tuple[str, bytes, int]] = []
        self.asking_again = AskingAgain()
        self.replies = Replies()
        self.wanted: frozenset[str] = frozenset()
        self.takes_s = 0.0
        """How long handing over a frame takes."""
        self.quarantine = Quarantine()
        self.owed_from_s = 0.0
        """From when a subscribed contract has to deliver."""
        context = ConnectionContext(
            "test/mark",
            SocketKind("mark", SILENT_S, 3_600.0, **kind),
            self.on_frame,
            self.quarantine,
            self.asking_again,
            self.replies,
            ("HELLO",),
            None,
            lambda: self.wanted,
            wire,
            CONFIG,
            lambda: wire.now_s >= self.owed_from_s,
        )
        self.session = Session(context, cast("Any", wire), "test/mark/1", self.on_data)

    async def on_frame(
        self, connection_id: str, message: bytes, received_at_us: int
    ) -> FrameOutcome:
        self.frames.append((connection_id, message, received_at_us))
        self.wire.now_s += self.takes_s
        if message == b"welcome":
            return FrameOutcome(data=False, control=Control(greeting=True))
        word, *rest = message.decode().split()
        if word == "ping":
            return FrameOutcome(data=False, control=Control(reply=" ".join(rest)))
        answers = {
            "refused": Control(refused=True, refused_symbols=tuple(rest)),
            "taken": Control(acknowledged=tuple(rest)),
        }
        if word in answers:
            return FrameOutcome(data=False, control=answers[word])
        if word == "incomplete":
            return FrameOutcome(data=True, incomplete=rest)
        if word == "lost":
            return FrameOutcome(data=True, lost=True)
        return FrameOutcome(data=message != b"ack", symbols=[word, *rest])

    def on_data(self, symbols: Sequence[str]) -> None:
        self.data.append((self.wire.now_s, list(symbols)))
        if "ASK" in symbols:
            self.session.ask_again({"A", "B"})
        if "CLOSE" in symbols:
            self.session.close("handed over")

    async def run(self) -> SessionEnd:
        async with asyncio.timeout(10):
            return await self.session.run()


async def test_it_ends_when_no_data_came_for_the_silence_limit() -> None:
    """Counted from its newest data; acknowledgements are no data."""
    case = Case(Wire([(7.0, b"A B"), (20.0, b"ack"), (36.5, b"ack")]))
    assert await case.run() == SessionEnd("no data for 30 s", cause=AuditCause.SILENT)
    assert case.wire.now_s == 37.0
    assert case.data == [(7.0, ["A", "B"])]
    assert case.session.last_data_at_us == 7_000_000


@pytest.mark.parametrize(
    ("script", "ended_s", "reason"),
    [
        # Its contracts may all be quiet, but not for ever.
        ([(7.0, b"A"), *((at_s, b"ping x") for at_s in range(20, 200, 25))], 107.0, "100"),
        # Without answers it is as dead as any other.
        ([(7.0, b"A"), (20.0, b"ping x")], 50.0, "43"),
        ([(7.0, b"A")], 37.0, "30"),
        # It has brought nothing yet, so that nothing shows that it would.
        ([(20.0, b"ping x"), (40.0, b"ping x")], 30.0, "30"),
    ],
)
async def test_a_socket_of_quiet_contracts_lives_while_it_answers(
    script: list[tuple[float, bytes | TransportError]], ended_s: float, reason: str
) -> None:
    """Answers within the silence limit, after data."""
    case = Case(Wire(script), quiet_s=100.0)
    assert await case.run() == SessionEnd(f"no data for {reason} s", cause=AuditCause.SILENT)
    assert case.wire.now_s == ended_s


async def test_without_any_data_silence_counts_from_the_opening() -> None:
    """The exchange accepted the connection and never delivered."""
    case = Case(Wire())
    assert await case.run() == SessionEnd("no data for 30 s", cause=AuditCause.SILENT)
    assert case.wire.now_s == SILENT_S
    assert case.session.last_data_at_us is None


async def test_where_no_contract_has_to_deliver_silence_ends_nothing() -> None:
    """Once one has to, it has the usual time for it."""
    case = Case(Wire([(7.0, b"A")]))
    case.owed_from_s = 3_600.0
    assert await case.run() == SessionEnd("no data for 30 s", cause=AuditCause.SILENT)
    assert 3_600.0 + SILENT_S - CONFIG.check_s <= case.wire.now_s <= 3_600.0 + SILENT_S


async def test_it_ends_when_the_greeting_does_not_come() -> None:
    """Nothing is sent before the greeting."""
    case = Case(Wire(), greeting_timeout_s=10.0)
    assert await case.run() == SessionEnd("no greeting within 10 s", cause=AuditCause.NO_GREETING)
    assert (case.wire.now_s, case.wire.sent) == (10.0, [])


async def test_after_the_greeting_only_silence_ends_it() -> None:
    """What opens the stream is sent once the greeting is there."""
    case = Case(Wire([(9.0, b"welcome")]), greeting_timeout_s=10.0)
    assert await case.run() == SessionEnd("no data for 30 s", cause=AuditCause.SILENT)
    assert case.wire.sent == ["HELLO"]


async def test_frames_are_handed_over_with_the_time_of_their_receipt() -> None:
    """And with the id of the connection."""
    case = Case(Wire([(1.5, b"A"), (2.0, b"B")]))
    await case.run()
    assert case.frames == [("test/mark/1", b"A", 1_500_000), ("test/mark/1", b"B", 2_000_000)]


@pytest.mark.parametrize(("takes_s", "ended"), [(5.0, False), (5.5, True)])
async def test_a_frame_that_waits_too_long_for_kafka_ends_it(takes_s: float, ended: object) -> None:
    """What the socket holds behind it is old by then."""
    case = Case(Wire([(1.0, b"A"), (2.0, b"B")]))
    case.takes_s = takes_s
    end = await case.run()
    assert (end.reason == "reading paused: Kafka took nothing for 6 s") is ended
    assert len(case.frames) == (1 if ended else 2)


async def test_closing_it_lets_the_frame_in_hand_finish() -> None:
    """The rest of what came is not read any more."""
    case = Case(Wire([(1.0, b"CLOSE"), (1.5, b"A")]))
    assert await case.run() == SessionEnd("handed over", cause=AuditCause.STOPPED)
    assert [message for _, message, _ in case.frames] == [b"CLOSE"]


async def test_closing_a_quiet_connection_is_noticed_within_the_check_interval() -> None:
    """It waits for frames that do not come."""
    case = Case(Wire())
    running = asyncio.create_task(case.run())
    await asyncio.sleep(0)
    case.session.close("handed over")
    assert await running == SessionEnd("handed over", cause=AuditCause.STOPPED)
    assert case.wire.now_s <= CONFIG.check_s


@pytest.mark.parametrize("farewell", [True, False])
async def test_an_end_without_a_close_frame_is_abrupt(farewell: object) -> None:
    """An unknown contract makes an exchange end a connection like that."""
    error = TransportError("closed", farewell=bool(farewell))
    case = Case(Wire([(3.0, error)]))
    assert await case.run() == SessionEnd("closed", abrupt=not farewell)


def of(word: str) -> Any:
    """Makes a text for each contract."""
    return lambda symbols: [SubscribeFrame(f"{word} {symbol}", (symbol,)) for symbol in symbols]


async def test_a_contract_whose_whole_row_is_missing_is_subscribed_anew() -> None:
    """It alone, and not again so soon."""
    case = Case(
        Wire([(1.0, b"A"), (2.0, b"incomplete A"), (3.0, b"incomplete A"), (4.0, b"B")]),
        capacity=9,
        subscribe=of("+"),
        unsubscribe=of("-"),
    )
    case.wanted = frozenset({"A", "B"})
    assert (await case.run()).cause is AuditCause.SILENT
    assert case.wire.sent == ["HELLO", "+ A", "+ B", "- A", "+ A"]


async def test_what_is_not_subscribed_is_not_asked_for_again() -> None:
    """It was given up meanwhile."""
    case = Case(
        Wire([(1.0, b"A"), (2.0, b"incomplete Z"), (4.0, b"B")]),
        capacity=9,
        subscribe=of("+"),
        unsubscribe=of("-"),
    )
    case.wanted = frozenset({"A"})
    await case.run()
    assert case.wire.sent == ["HELLO", "+ A"]


@pytest.mark.parametrize(
    ("message", "capacity", "cause"),
    [
        (b"incomplete A", None, AuditCause.INCOMPLETE),
        (b"lost", None, AuditCause.MESSAGE_LOST),
        (b"lost", 9, AuditCause.MESSAGE_LOST),
    ],
)
async def test_where_a_contract_cannot_be_asked_for_alone_the_connection_ends(
    message: bytes, capacity: int | None, cause: AuditCause
) -> None:
    """The next one begins with whole rows; an exchange that never sends them ends not every one."""
    case = Case(Wire([(1.0, message), (2.0, b"A")]), capacity=capacity)
    assert (await case.run()).cause is cause
    assert case.wire.now_s == 1.0
    again = Case(Wire([(2.0, message)]), capacity=capacity)
    again.asking_again.due(["mark"], 1.0)
    assert (await again.run()).cause is AuditCause.SILENT


async def test_an_answer_that_the_exchange_asks_for_is_sent_at_once() -> None:
    """And is no sign of health."""
    case = Case(Wire([(1.0, b"ping 17"), (2.0, b"ping 18")]))
    assert (await case.run()).cause is AuditCause.SILENT
    assert case.wire.sent == ["HELLO", "17", "18"]
    assert case.data == []


async def test_an_exchange_that_asks_for_too_many_answers_gets_a_few() -> None:
    """What it may have us send is bounded."""
    case = Case(Wire([(1.0, b"ping %d" % number) for number in range(50)]))
    await case.run()
    assert case.wire.sent == ["HELLO", "0", "1", "2", "3", "4"]
    assert (case.replies.total, case.replies.refused) == (5, 45)


async def test_an_answer_for_which_the_queue_has_no_room_was_not_sent() -> None:
    """The exchange reads none: what waits and what is dropped is not counted as sent."""
    pings = [(float(number), b"ping %d" % number) for number in range(REPLIES_QUEUED + 4)]
    case = Case(StuckWire(pings))
    await case.run()
    assert case.wire.sent == []
    assert (case.replies.total, case.replies.refused) == (0, 3)


async def test_a_message_is_decoded_before_it_is_read() -> None:
    """One that cannot be is handed over as it came: to be read as plain text, or not at all."""
    case = Case(Wire([(1.0, gzip.compress(b"A")), (2.0, b"B")]), decode=gunzip)
    await case.run()
    assert [message for _, message, _ in case.frames] == [b"A", b"B"]


def together(symbols: Sequence[str]) -> list[SubscribeFrame]:
    """One text for all contracts."""
    return [SubscribeFrame("+ " + " ".join(symbols), tuple(symbols))] if symbols else []


async def test_a_refused_text_is_asked_for_in_halves_until_the_bad_one_stands_alone() -> None:
    """It is held back; the others stay subscribed."""
    script = [(1.0, b"refused"), (2.0, b"A"), (3.0, b"refused"), (4.0, b"B"), (5.0, b"refused C")]
    case = Case(Wire([*script, (6.0, b"A")]), capacity=9, subscribe=together, splits_refused=True)
    case.wanted = frozenset("ABC")
    await case.run()
    assert case.wire.sent == ["HELLO", "+ A B C", "+ A", "+ B C", "+ B", "+ C"]
    assert case.quarantine.allowed("ABC", 6.0) == ["A", "B"]


async def test_without_splitting_a_refusal_has_nothing_asked_for_again() -> None:
    """Most exchanges take the others of a text."""
    case = Case(Wire([(1.0, b"refused A"), (2.0, b"B")]), capacity=9, subscribe=together)
    case.wanted = frozenset("AB")
    await case.run()
    assert case.wire.sent == ["HELLO", "+ A B"]
    assert case.quarantine.total == 0


@pytest.mark.parametrize(
    ("splits_refused", "taken"),
    [(True, {"A", "B"}), (False, {"A", "B", "D"})],
)
async def test_a_contract_is_taken_once_the_exchange_confirms_or_brings_it(
    *, splits_refused: bool, taken: set[str]
) -> None:
    """One that is refused is not, nor one that was not asked for. D has no answer: it is taken
    where answers name none.
    """
    script = [(1.0, b"X"), (2.0, b"taken A X"), (3.0, b"B"), (4.0, b"refused C"), (5.0, b"CLOSE")]
    case = Case(Wire(script), capacity=9, subscribe=of("+"), splits_refused=splits_refused)
    case.wanted = frozenset("ABCD")
    await case.run()
    assert case.session.taken == taken


async def test_a_contract_that_is_asked_for_anew_is_not_taken_before_its_answer() -> None:
    """The exchange may have sent nothing of it since."""
    script = [(1.0, b"taken A B"), (2.0, b"incomplete A"), (3.0, b"CLOSE")]
    case = Case(
        Wire(script), capacity=9, subscribe=of("+"), unsubscribe=together, splits_refused=True
    )
    case.wanted = frozenset("AB")
    await case.run()
    assert case.session.taken == {"B"}


async def test_a_contract_whose_changes_are_not_pushed_is_subscribed_anew() -> None:
    """It alone, and not again so soon; one that is not taken yet is not asked for again."""
    case = Case(
        Wire([(1.0, b"A"), (2.0, b"A ASK"), (3.0, b"A ASK"), (4.0, b"B")]),
        capacity=9,
        subscribe=of("+"),
        unsubscribe=of("-"),
        splits_refused=True,
    )
    case.wanted = frozenset("AB")
    await case.run()
    assert case.wire.sent == ["HELLO", "+ A", "+ B", "- A", "+ A"]


async def test_where_a_connection_brings_all_it_goes_on() -> None:
    """Nothing can be subscribed anew, and ending it would lose what the others say."""
    case = Case(Wire([(1.0, b"A ASK"), (2.0, b"B")]))
    assert (await case.run()).cause is AuditCause.SILENT
    assert (case.wire.sent, case.session.taken) == (["HELLO"], None)
