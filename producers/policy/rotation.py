"""Decides when a socket's connections are opened, replaced and closed: make before break.

A socket of a feed is served by one connection. Before that connection reaches its maximum age, when
the exchange says that it will end it, or when it has brought only a part of its contracts for long,
a successor is opened beside it. The successor takes over once it brings what the serving connection
brought, and only then is the old one closed, after a short drain. When the serving connection ends
by itself and there is no successor, a new one is opened after a back-off.

This is a state machine without I/O. Each method that takes `now_s` is an event; it returns the
actions that the caller has to carry out, in their order. `next_due_s` says when `tick` has to be
called even if nothing happens. Times are seconds of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from schemas.backoff import Backoff

MAX_CONTRACTS = 10_000
"""Contracts that are remembered of a connection; more can only be invented by the exchange."""
HANDED_OVER = "handed over to a newer connection"
TOO_LITTLE = "brought too little to take over from another connection"
_NEVER_S = float("-inf")


@dataclass(frozen=True, slots=True)
class RotationConfig:
    """The durations and the share that decide about a rotation."""

    takeover_share: float = 0.95
    """A successor takes over when it brings this share of the contracts that the serving
    connection brought; a connection that brings less than this share of the wanted ones brings
    only a part."""
    handover_timeout_s: float = 120.0
    """A successor that does not bring enough within this time is closed."""
    partial_s: float = 120.0
    """A connection that brings only a part for this long, or for the socket's silence limit if that
    is longer, is replaced."""
    partial_again_s: float = 1_800.0
    """The shortest time between two replacements that are due to a missing part."""
    partial_check_s: float = 10.0
    """How often it is checked whether only a part arrives."""
    announced_again_s: float = 60.0
    """The shortest time between two replacements of connections whose end was announced."""
    drain_s: float = 2.0
    """How long the old connection is read after the hand-over, for what is still on its way."""


class Open(NamedTuple):
    """Open a connection under this number, to the n-th of the socket's addresses."""

    number: int
    candidate: int


class Close(NamedTuple):
    """Close a connection, or stop opening it."""

    number: int
    reason: str


class Promote(NamedTuple):
    """The connection serves the socket from now on; its predecessor had this age."""

    number: int
    after_s: float


class AskTurn(NamedTuple):
    """Ask for the feed's turn to rotate and call `turn_granted` once it is there."""


class ReturnTurn(NamedTuple):
    """Give the turn back."""


class Retry(NamedTuple):
    """An attempt or a connection has failed: the next attempt follows after this delay."""

    reason: str
    delay_s: float


Action = Open | Close | Promote | AskTurn | ReturnTurn | Retry


class _Turn(Enum):
    NONE = auto()
    ASKED = auto()
    HELD = auto()


class _Connection:
    """What is known of one connection."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.opened_s: float | None = None
        self.last_data_s: float | None = None
        self.closing = False
        self.announced_s: float | None = None
        """When the exchange said that it will end it; infinite once that has had a successor."""
        self.delivered: dict[str, float] = {}
        """When it brought each contract last."""

    @property
    def healthy_s(self) -> float:
        """From its opening to its newest data; 0 if it brought none."""
        if self.opened_s is None or self.last_data_s is None:
            return 0.0
        return self.last_data_s - self.opened_s

    def note(self, symbols: Iterable[str], now_s: float) -> None:
        self.last_data_s = now_s
        for symbol in symbols:
            if symbol in self.delivered or len(self.delivered) < MAX_CONTRACTS:
                self.delivered[symbol] = now_s

    def delivering(self, since_s: float) -> int:
        """Count the contracts that it has brought since then."""
        return sum(at_s >= since_s for at_s in self.delivered.values())


class Rotation:
    """The state of one socket: which connection serves it and which one is to take over."""

    def __init__(
        self,
        backoff: Backoff,
        *,
        max_age_s: float,
        silent_s: float,
        replaces_part: bool = True,
        config: RotationConfig | None = None,
    ) -> None:
        """`backoff` gives the delays after failures.

        `max_age_s`: a connection is replaced at this age. `silent_s`: a contract counts as
        delivered for this long after its newest data. `replaces_part`: a connection that
        brings only a part of the contracts for long is replaced; not where contracts are quiet.
        """
        self._backoff = backoff
        self._max_age_s = max_age_s
        self._silent_s = silent_s
        self._replaces_part = replaces_part
        self._config = config or RotationConfig()
        self._needed = False
        self._wanted = 0
        self._owes_nothing = False
        """The socket carries contracts, and none of them has to deliver."""
        self._numbers = 0
        self._candidate = 0
        self._serving: _Connection | None = None
        self._successor: _Connection | None = None
        self._draining: dict[int, float] = {}
        """When a connection that was handed over is closed, by its number."""
        self._turn = _Turn.NONE
        self._expected = 0
        """Contracts that the serving connection brought when its successor was begun."""
        self._begun_s = _NEVER_S
        """When a successor was last begun."""
        self._retry_s = _NEVER_S
        """No connection is opened before this time."""
        self._partial_since_s: float | None = None
        self._checked_s = _NEVER_S

    def want(
        self, contracts: int | None, now_s: float, expected: int | None = None
    ) -> Sequence[Action]:
        """Set how many contracts the socket carries.

        None: it carries whatever the exchange lists, without a count. 0: it is not needed, so it
        is not opened again once it ends. `expected`: how many of them should deliver (None: all);
        the others may be silent, and `delivered` is not told of them.
        """
        self._needed = contracts is None or contracts > 0
        self._wanted = (contracts if expected is None else expected) if contracts else 0
        self._owes_nothing = bool(contracts) and self._wanted == 0
        return self.tick(now_s)

    def opened(self, number: int, now_s: float) -> Sequence[Action]:
        """Note that a connection is open."""
        self._checked_s = now_s
        for connection in (self._serving, self._successor):
            if connection is not None and connection.number == number:
                connection.opened_s = now_s
        return ()

    def delivered(self, number: int, symbols: Iterable[str], now_s: float) -> Sequence[Action]:
        """Note a frame with data about these contracts; a successor that brings enough serves."""
        serving, successor = self._serving, self._successor
        if serving is not None and number == serving.number:
            serving.note(symbols, now_s)
        elif successor is not None and number == successor.number:
            successor.note(symbols, now_s)
            enough = self._expected * self._config.takeover_share
            if not successor.closing and len(successor.delivered) >= enough:
                return self._promote(successor, now_s)
        return ()

    def announced(self, number: int, now_s: float) -> Sequence[Action]:
        """Note that the exchange will end a connection: it is replaced at once, but not twice."""
        for connection in (self._serving, self._successor):
            if connection is None or connection.number != number:
                continue
            if connection.announced_s is None:
                connection.announced_s = now_s
        return self.tick(now_s)

    def ended(self, number: int, reason: str, now_s: float) -> Sequence[Action]:
        """Note that a connection has ended, for whatever reason, or could not be opened."""
        actions: list[Action] = []
        if self._draining.pop(number, None) is not None:
            pass
        elif self._successor is not None and number == self._successor.number:
            actions += self._successor_ended(self._successor, reason, now_s)
        elif self._serving is not None and number == self._serving.number:
            actions += self._serving_ended(self._serving, reason, now_s)
        return [*actions, *self.tick(now_s)]

    def turn_granted(self, now_s: float) -> Sequence[Action]:
        """Begin the successor that the turn was asked for, unless there is no need any more."""
        self._turn = _Turn.HELD
        self._check_share(now_s)
        if self._serving is not None and now_s >= self._rotation_due_s(self._serving):
            return self._begin_successor(self._serving, now_s)
        return [self._return_turn(), *self.tick(now_s)]

    def tick(self, now_s: float) -> Sequence[Action]:
        """Do what is due at this time."""
        actions: list[Action] = []
        for number, until_s in self._draining.items():
            if now_s >= until_s:
                self._draining[number] = float("inf")
                actions.append(Close(number, HANDED_OVER))
        if self._serving is None:
            if self._needed and now_s >= self._retry_s:
                self._serving, action = self._open()
                actions.append(action)
        elif self._successor is None:
            self._check_share(now_s)
            if self._turn is _Turn.NONE and now_s >= self._rotation_due_s(self._serving):
                self._turn = _Turn.ASKED
                actions.append(AskTurn())
        elif not self._successor.closing and now_s >= self._handover_until_s:
            actions += self._judge(self._serving, self._successor, now_s)
        return actions

    def next_due_s(self) -> float | None:
        """When `tick` is to be called next; None: only an event can bring something to do."""
        times = [until_s for until_s in self._draining.values() if until_s != float("inf")]
        if self._serving is None:
            if self._needed:
                times.append(self._retry_s)
        elif self._successor is not None:
            if not self._successor.closing:
                times.append(self._handover_until_s)
        elif self._turn is _Turn.NONE and self._serving.opened_s is not None:
            times.append(self._rotation_due_s(self._serving))
            if self._wanted:
                times.append(self._checked_s + self._config.partial_check_s)
        return min(times, default=None)

    def handed_over(self, number: int) -> bool:
        """Whether another connection has taken over from this one."""
        return number in self._draining

    @property
    def _handover_until_s(self) -> float:
        return self._begun_s + self._config.handover_timeout_s

    def _open(self) -> tuple[_Connection, Open]:
        self._numbers += 1
        return _Connection(self._numbers), Open(self._numbers, self._candidate)

    def _rotation_due_s(self, serving: _Connection) -> float:
        """Return when the connection is to be replaced."""
        if serving.opened_s is None:
            return float("inf")
        due_s = serving.opened_s + self._max_age_s
        if serving.announced_s is not None:
            again_s = self._begun_s + self._config.announced_again_s
            due_s = min(due_s, max(serving.announced_s, again_s))
        if self._partial_since_s is not None:
            patience_s = max(self._config.partial_s, self._silent_s)
            again_s = self._begun_s + self._config.partial_again_s
            due_s = min(due_s, max(self._partial_since_s + patience_s, again_s))
        return max(due_s, self._retry_s)

    def _check_share(self, now_s: float) -> None:
        """Follow since when the serving connection brings only a part of the wanted contracts.

        Exchanges lose single subscriptions; a new connection subscribes to all contracts anew.
        """
        self._checked_s = now_s
        serving = self._serving
        if serving is None or serving.opened_s is None or not self._replaces_part:
            return
        enough = self._wanted * self._config.takeover_share
        if serving.delivering(now_s - self._silent_s) >= enough:
            self._partial_since_s = None
        elif self._partial_since_s is None:
            self._partial_since_s = now_s

    def _begin_successor(self, serving: _Connection, now_s: float) -> Sequence[Action]:
        self._expected = serving.delivering(now_s - self._silent_s)
        self._begun_s = now_s
        if serving.announced_s is not None:
            serving.announced_s = float("inf")
        self._successor, action = self._open()
        return [action]

    def _judge(
        self, serving: _Connection, successor: _Connection, now_s: float
    ) -> Sequence[Action]:
        """Decide about a successor whose time is up: it serves if it brings as much by now.

        Where no contract has to deliver, an open successor is as good as an open predecessor.
        """
        if self._owes_nothing and successor.opened_s is not None:
            return self._promote(successor, now_s)
        since_s = now_s - self._silent_s
        brought = successor.delivering(since_s)
        if brought and brought >= serving.delivering(since_s) * self._config.takeover_share:
            return self._promote(successor, now_s)
        successor.closing = True
        return [Close(successor.number, TOO_LITTLE)]

    def _promote(self, successor: _Connection, now_s: float) -> Sequence[Action]:
        """Make the successor the serving connection and let the old one drain."""
        old = self._serving
        assert old is not None
        assert old.opened_s is not None
        self._draining[old.number] = now_s + self._config.drain_s
        return self._take_over(old, successor, now_s - old.opened_s)

    def _take_over(
        self, old: _Connection, successor: _Connection, age_s: float
    ) -> Sequence[Action]:
        self._backoff.healthy(old.healthy_s)
        self._serving, self._successor = successor, None
        self._partial_since_s = None
        return [Promote(successor.number, age_s), self._return_turn()]

    def _serving_ended(self, serving: _Connection, reason: str, now_s: float) -> Sequence[Action]:
        """Have a successor that is under way take over at once, else connect after a delay."""
        self._try_next_address(serving)
        self._partial_since_s = None
        if self._successor is not None and not self._successor.closing:
            opened_s = now_s if serving.opened_s is None else serving.opened_s
            return self._take_over(serving, self._successor, now_s - opened_s)
        self._serving = None
        return [self._retry_after(serving, reason, now_s)]

    def _successor_ended(
        self, successor: _Connection, reason: str, now_s: float
    ) -> Sequence[Action]:
        self._try_next_address(successor)
        self._successor = None
        if self._serving is None:
            return [self._return_turn()]
        return [self._return_turn(), self._retry_after(successor, reason, now_s)]

    def _retry_after(self, connection: _Connection, reason: str, now_s: float) -> Retry:
        delay_s = self._backoff.failed(connection.healthy_s)
        self._retry_s = now_s + delay_s
        return Retry(reason, delay_s)

    def _try_next_address(self, connection: _Connection) -> None:
        """Go on to the next address after one that brought no data; keep the one that did."""
        if connection.last_data_s is None:
            self._candidate += 1

    def _return_turn(self) -> ReturnTurn:
        self._turn = _Turn.NONE
        return ReturnTurn()
