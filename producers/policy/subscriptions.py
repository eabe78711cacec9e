"""Which subscriptions of a connection are answered, and what a refusal of many means. Pure.

Some exchanges fail a whole subscribe text because of one contract in it that they do not take. What
the refusal names is left out and the rest is asked for again; where it names nothing, the contracts
are asked for in halves, until the one that is refused stands alone. What a refusal says may be
wrong: only contracts that its text asked for are touched, and each step asks for fewer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from producers.exchanges.spec import Control, SubscribeFrame

ANSWER_S = 20.0
"""What is not answered within this time is asked for once more."""
AGAIN_S = 5.0
"""A contract that stands alone and is refused without being named is asked for once more after this
time: exchanges also refuse what comes too fast."""


class Consequence(NamedTuple):
    """What follows from an answer."""

    again: Sequence[tuple[str, ...]] = ()
    """Groups of contracts to be asked for now, each in texts of its own."""
    refused: Sequence[str] = ()
    """Contracts that the exchange does not take."""
    taken: Sequence[str] = ()
    """Contracts that it takes."""


NOTHING = Consequence()


class _Sent:
    """A text that was sent."""

    __slots__ = ("identity", "number", "pending", "sent_s")

    def __init__(self, number: int, frame: SubscribeFrame, sent_s: float) -> None:
        self.number = number
        self.identity = frame.identity
        self.sent_s = sent_s
        self.pending = dict.fromkeys(frame.symbols)
        """The contracts of which nothing is known yet, in their order."""


class Subscriptions:
    """The subscribe texts of one connection that wait for an answer. Times: monotonic seconds."""

    def __init__(self) -> None:
        self._number = 0
        self._waiting: dict[int, _Sent] = {}
        """The texts in the order in which they were sent."""
        self._of: dict[str, _Sent] = {}
        """By contract: the text that asks for it."""
        self._asked_twice: set[str] = set()
        """Contracts that were asked for once more because no answer came."""
        self._suspects: dict[str, float] = {}
        """Contracts that were refused alone without being named, and when each is asked for once
        more."""

    def sent(self, frame: SubscribeFrame, now_s: float) -> None:
        """Note a text that is sent now."""
        self.forget(frame.symbols)
        if not frame.symbols:
            return
        self._number += 1
        sent = self._waiting[self._number] = _Sent(self._number, frame, now_s)
        self._of.update(dict.fromkeys(sent.pending, sent))

    def forget(self, symbols: Iterable[str]) -> None:
        """Wait no longer for answers about these contracts."""
        for symbol in symbols:
            sent = self._of.pop(symbol, None)
            if sent is not None:
                del sent.pending[symbol]
                if not sent.pending:
                    del self._waiting[sent.number]

    def confirmed(self, symbols: Iterable[str]) -> None:
        """Note contracts that are acknowledged, or delivered: the exchange takes them."""
        if not self._of and not self._suspects:
            return
        taken = list(symbols)
        self.forget(taken)
        for symbol in taken:
            self._suspects.pop(symbol, None)

    def answered(self, control: Control, now_s: float) -> Consequence:
        """Take an answer of the exchange; it may be one to a text that is not waited for."""
        self.confirmed(control.acknowledged)
        if control.refused:
            # Too much was asked, or too fast: what was asked still waits for its answer, and is
            # asked for once more when none has come.
            return self._refused(control, now_s) if control.of_contracts else NOTHING
        if control.answers and not control.acknowledged:
            sent = self._named(control.answers)
            taken = () if sent is None else tuple(sent.pending)
            self.confirmed(taken)
            return Consequence(taken=taken)
        return NOTHING

    def _refused(self, control: Control, now_s: float) -> Consequence:
        sent = self._meant(control)
        if sent is None:
            return NOTHING
        pending = tuple(sent.pending)
        self.forget(pending)
        named = [symbol for symbol in pending if symbol in control.refused_symbols]
        # A refusal that names all of many says no more than one that names none.
        if named and (len(named) < len(pending) or len(pending) == 1):
            rest = tuple(symbol for symbol in pending if symbol not in named)
            return Consequence((rest,) if rest else (), named)
        if len(pending) > 1:
            half = len(pending) // 2
            return Consequence((pending[:half], pending[half:]))
        (alone,) = pending
        if alone in self._suspects:
            del self._suspects[alone]
            return Consequence(refused=pending)
        self._suspects[alone] = now_s + AGAIN_S
        return NOTHING

    def _meant(self, control: Control) -> _Sent | None:
        """Return the text that a refusal is about; None: none that is waited for."""
        if control.answers:
            return self._named(control.answers)
        for symbol in control.refused_symbols:
            if symbol in self._of:
                return self._of[symbol]
        return next(iter(self._waiting.values()), None)

    def _named(self, identity: str) -> _Sent | None:
        return next((sent for sent in self._waiting.values() if sent.identity == identity), None)

    def due(self, now_s: float) -> list[tuple[str, ...]]:
        """Return the groups to be asked for once more now, because nothing is known of them."""
        groups = []
        for sent in list(self._waiting.values()):
            if now_s - sent.sent_s < ANSWER_S:
                break
            again = tuple(symbol for symbol in sent.pending if symbol not in self._asked_twice)
            self.forget(list(sent.pending))
            self._asked_twice.update(again)
            if again:
                groups.append(again)
        for symbol, due_s in self._suspects.items():
            if due_s <= now_s:
                self._suspects[symbol] = float("inf")
                groups.append((symbol,))
        return groups

    def next_due_s(self) -> float | None:
        """Return when `due` has something to look at; None: nothing is waited for."""
        times = [sent.sent_s + ANSWER_S for sent in self._waiting.values()][:1]
        times += [due_s for due_s in self._suspects.values() if due_s < float("inf")]
        return min(times, default=None)
