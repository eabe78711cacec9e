"""The rotation of a socket keeps its promises whatever happens to its connections."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from producers.policy.rotation import (
    HANDED_OVER,
    TOO_LITTLE,
    Action,
    AskTurn,
    Close,
    Open,
    Promote,
    Retry,
    ReturnTurn,
    Rotation,
    RotationConfig,
)
from schemas.backoff import Backoff

SYMBOLS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CONFIG = RotationConfig()
SILENT_S = 30.0
MAX_AGE_S = 3_600.0
FIRST_S = 1_000.0


class Connection:
    """A connection of the world outside, as the rotation's caller knows it."""

    def __init__(self) -> None:
        self.opened_s: float | None = None
        self.delivered: dict[str, float] = {}
        self.data = False
        self.closing = False

    def delivering(self, since_s: float) -> int:
        return sum(at_s >= since_s for at_s in self.delivered.values())


class Sockets(RuleBasedStateMachine):
    """One socket whose connections open, deliver, end and age as hypothesis wants."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = FIRST_S
        self.jitter = 0.5
        self.rotation = Rotation(
            Backoff(lambda: self.jitter), max_age_s=MAX_AGE_S, silent_s=SILENT_S, config=CONFIG
        )
        self.connections: dict[int, Connection] = {}
        self.newest = 0
        self.serving: int | None = None
        self.begun_with = 0
        """What the serving connection delivered when its successor was begun."""
        self.turn = "none"
        self.wanted: int | None = 0

    def follow(self, actions: Sequence[Action]) -> None:
        """Carry out the actions and check that each is allowed now."""
        for action in actions:
            match action:
                case Open(number, candidate):
                    assert number > self.newest, "a number is never used again"
                    assert candidate >= 0
                    self.newest = number
                    if self.serving is None:
                        assert self.wanted != 0
                        self.serving = number
                    else:
                        assert self.turn == "held", "a second connection needs the feed's turn"
                        serving = self.connections[self.serving]
                        self.begun_with = serving.delivering(self.now_s - SILENT_S)
                    self.connections[number] = Connection()
                case Close(number, reason):
                    assert number != self.serving, "the serving connection is never closed"
                    assert not self.connections[number].closing
                    assert self.rotation.handed_over(number) == (reason == HANDED_OVER)
                    assert reason in {HANDED_OVER, TOO_LITTLE}
                    self.connections[number].closing = True
                case Promote(number):
                    self.promoted(number)
                case AskTurn():
                    assert self.turn == "none"
                    self.turn = "asked"
                case ReturnTurn():
                    assert self.turn == "held"
                    self.turn = "none"
                case Retry(_, delay_s):
                    assert 0.0 <= delay_s <= 60.0

    def promoted(self, number: int) -> None:
        """A connection takes over: it brings as much, or the old one has ended."""
        assert self.serving is not None
        new, old = self.connections[number], self.connections.get(self.serving)
        assert not new.closing
        if old is not None:
            assert new.data, "what brings nothing takes over from nobody who is open"
            since_s = self.now_s - SILENT_S
            needed = min(self.begun_with, old.delivering(since_s))
            assert len(new.delivered) >= needed * CONFIG.takeover_share
        self.serving = number

    @initialize(contracts=st.none() | st.integers(0, len(SYMBOLS)))
    def begin(self, contracts: int | None) -> None:
        """Start with some contracts, or with none yet."""
        self.want(contracts)

    @rule(contracts=st.none() | st.integers(0, len(SYMBOLS)))
    def want(self, contracts: int | None) -> None:
        """The exchange lists other contracts."""
        self.wanted = contracts
        self.follow(self.rotation.want(contracts, self.now_s))

    @rule(
        passed_s=st.sampled_from([0.0, 0.5, 2.0, 10.0, 60.0, 120.0, 4_000.0]),
        jitter=st.floats(0.0, 1.0, exclude_max=True),
    )
    def wait(self, passed_s: float, jitter: float) -> None:
        """Time passes; the caller wakes up on time, or late."""
        self.jitter = jitter
        self.now_s += passed_s
        self.follow(self.rotation.tick(self.now_s))

    @precondition(lambda self: self.rotation.next_due_s() is not None)
    @rule()
    def wait_until_due(self) -> None:
        """Time passes until exactly the moment that the rotation asked for."""
        due_s = self.rotation.next_due_s()
        assert due_s is not None
        self.now_s = max(self.now_s, due_s)
        self.follow(self.rotation.tick(self.now_s))

    @precondition(lambda self: self.turn == "asked")
    @rule()
    def grant(self) -> None:
        """The feed's turn comes."""
        self.turn = "held"
        self.follow(self.rotation.turn_granted(self.now_s))

    @precondition(lambda self: self.opened_serving() is not None and self.turn == "none")
    @rule(ready=st.booleans())
    def grow_old(self, *, ready: bool) -> None:
        """The serving connection, which still delivers, reaches its age; its successor opens."""
        serving = self.opened_serving()
        assert self.serving is not None
        assert serving is not None
        self.now_s += MAX_AGE_S
        self.bring(self.serving, SYMBOLS)
        self.follow(self.rotation.tick(self.now_s))
        assert self.turn == "asked"
        self.grant()
        (number,) = self.candidates()
        if ready:
            self.connections[number].opened_s = self.now_s
            self.follow(self.rotation.opened(number, self.now_s))

    def opened_serving(self) -> Connection | None:
        """The connection that serves, if it is open."""
        serving = self.connections.get(self.serving or 0)
        return serving if serving is not None and serving.opened_s is not None else None

    @precondition(lambda self: any(c.opened_s is None for c in self.connections.values()))
    @rule(data=st.data())
    def open(self, data: st.DataObject) -> None:
        """An attempt succeeds."""
        waiting = [n for n, c in self.connections.items() if c.opened_s is None]
        number = data.draw(st.sampled_from(waiting))
        self.connections[number].opened_s = self.now_s
        self.follow(self.rotation.opened(number, self.now_s))

    @precondition(lambda self: any(c.opened_s is not None for c in self.connections.values()))
    @rule(data=st.data(), symbols=st.sets(st.sampled_from(SYMBOLS)), everything=st.booleans())
    def deliver(self, data: st.DataObject, symbols: set[str], *, everything: bool) -> None:
        """A frame arrives, also on a connection that is about to be closed."""
        opened = [n for n, c in self.connections.items() if c.opened_s is not None]
        number = data.draw(st.sampled_from(opened))
        self.bring(number, SYMBOLS if everything else sorted(symbols))

    def bring(self, number: int, symbols: Sequence[str]) -> None:
        """A connection brings these contracts."""
        connection = self.connections[number]
        connection.data = True
        connection.delivered.update(dict.fromkeys(symbols, self.now_s))
        self.follow(self.rotation.delivered(number, symbols, self.now_s))

    @precondition(lambda self: self.connections)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """A connection ends, or an attempt fails, asked for or not."""
        number = data.draw(st.sampled_from(sorted(self.connections)))
        del self.connections[number]
        served = number == self.serving
        successors = self.candidates()
        actions = self.rotation.ended(number, "ended", self.now_s)
        if served and successors:
            assert isinstance(actions[0], Promote), "a successor takes over without a delay"
        elif served:
            assert isinstance(actions[0], Retry)
            self.serving = None
        self.follow(actions)

    def candidates(self) -> list[int]:
        """Connections that could serve and do not."""
        return [
            number
            for number, connection in self.connections.items()
            if number != self.serving
            and not connection.closing
            and not self.rotation.handed_over(number)
        ]

    @invariant()
    def at_most_one_successor(self) -> None:
        """Beside the serving connection at most one is on its way, and only with the turn."""
        candidates = self.candidates()
        assert len(candidates) <= 1
        if candidates:
            assert self.turn == "held"

    @invariant()
    def the_turn_is_not_kept(self) -> None:
        """It is held only while a successor is open or on its way."""
        if self.turn == "held":
            others = [n for n in self.connections if n != self.serving]
            assert [n for n in others if not self.rotation.handed_over(n)]

    @invariant()
    def something_will_happen(self) -> None:
        """A socket that is needed has a connection, or the time at which it gets one."""
        due_s = self.rotation.next_due_s()
        if self.wanted != 0 and self.serving is None:
            assert due_s is not None
            assert due_s <= self.now_s + 60.0
        if self.serving is not None:
            assert self.serving in self.connections
        drains = [n for n, c in self.connections.items() if self.rotation.handed_over(n)]
        if any(not self.connections[n].closing for n in drains):
            assert due_s is not None
            assert due_s <= self.now_s + CONFIG.drain_s

    @invariant()
    def the_caller_never_spins(self) -> None:
        """After a tick the next one is due later."""
        self.follow(self.rotation.tick(self.now_s))
        due_s = self.rotation.next_due_s()
        assert due_s is None or due_s > self.now_s


Sockets.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestSockets = Sockets.TestCase
