"""Who owns a feed's contracts, the stream or REST: one table of every transition. Pure.

What the stream delivers is the stream's, contract by contract; the rest is REST's until the stream
has it again (make before break). The feed's state sums that up. docs/ownership.md holds the table
for people; a test keeps the two equal. Not responsible for: who delivers (liveness.py), polling
(polling.py), telling the world (watch.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from schemas.records import FeedState, Transport

WHOLE_SHARE = 0.95
"""Of the expected contracts; the stream counts as whole from here on (design §4)."""
NOTHING_SHARE = 0.05
"""Of the expected contracts: a stream that delivers fewer delivers nothing to speak of."""
STEADY_LOOKS = 120
"""Observations (four a second) without progress: what was returning has stopped to."""
STEP_SHARE = 0.02
"""Of the expected contracts: fewer that come or go are no change of direction."""


class Stream(StrEnum):
    """What the stream does now."""

    WHOLE = "whole"
    """It delivers nearly all expected contracts."""
    RETURNING = "returning"
    """It delivers some, and more than it did."""
    PART = "part"
    """It delivers some, and no more than it did."""
    NONE = "none"
    """It delivers nothing, or next to nothing."""


class Rest(StrEnum):
    """What REST does now for the contracts that the stream does not deliver."""

    IDLE = "idle"
    """It is not asked, or has not answered yet."""
    SERVING = "serving"
    """The newest poll brought rates."""
    FAILING = "failing"
    """It has brought nothing for some time."""


_ALL = tuple(Rest)
_SOME = (Stream.RETURNING, Stream.PART)


def _table() -> Mapping[tuple[FeedState, Stream, Rest], FeedState]:
    """Return the state that follows, for every state and every observation."""
    table: dict[tuple[FeedState, Stream, Rest], FeedState] = {}

    def rule(
        states: tuple[FeedState, ...],
        streams: tuple[Stream, ...],
        rests: tuple[Rest, ...],
        following: FeedState,
    ) -> None:
        for state in states:
            for stream in streams:
                for rest in rests:
                    assert (state, stream, rest) not in table
                    table[state, stream, rest] = following

    begun: tuple[FeedState, ...] = ("stalled", "fallback", "recovering", "down")
    none = (Stream.NONE,)
    rule(("connecting", "live", *begun), (Stream.WHOLE,), _ALL, "live")
    rule(("live",), (*_SOME, *none), _ALL, "stalled")

    rule(("connecting",), (*_SOME, *none), (Rest.IDLE,), "connecting")
    rule(("connecting",), (*_SOME, *none), (Rest.SERVING,), "fallback")
    rule(("connecting",), _SOME, (Rest.FAILING,), "connecting")

    rule(begun, (Stream.RETURNING,), (Rest.SERVING,), "recovering")
    rule(begun, (Stream.PART, *none), (Rest.SERVING,), "fallback")
    rule(begun, (Stream.RETURNING,), (Rest.IDLE, Rest.FAILING), "recovering")
    rule(begun, (Stream.PART,), (Rest.IDLE, Rest.FAILING), "stalled")
    rule(("stalled", "fallback", "recovering"), none, (Rest.IDLE,), "stalled")
    rule(("down",), none, (Rest.IDLE,), "down")
    rule(("connecting", *begun), none, (Rest.FAILING,), "down")
    return table


TRANSITIONS = _table()


def transport(state: FeedState) -> Transport | None:
    """Return who delivers most in a state; None: nobody."""
    if state == "live":
        return "ws"
    return "rest" if state in {"fallback", "recovering"} else None


class Ownership:
    """The state of one feed."""

    def __init__(self) -> None:
        self.state: FeedState = "connecting"
        self._extreme = 0
        """Fewest contracts since the stream last lost some."""
        self._returning = False
        self._steady = 0

    def observe(self, expected: int, streamed: int, rest: Rest) -> FeedState:
        """Take an observation and return the state that follows.

        `expected`, `streamed`: contracts that should deliver, and that the stream does deliver.
        """
        self.state = TRANSITIONS[self.state, self._stream(expected, streamed), rest]
        return self.state

    def _stream(self, expected: int, streamed: int) -> Stream:
        self._follow(max(1, int(expected * STEP_SHARE)), streamed)
        if streamed == 0 or streamed < expected * NOTHING_SHARE:
            return Stream.NONE
        if streamed >= expected * WHOLE_SHARE:
            return Stream.WHOLE
        return Stream.RETURNING if self._returning else Stream.PART

    def _follow(self, step: int, streamed: int) -> None:
        """Follow the direction: it turns when the count has left its extreme by a step."""
        if self._returning:
            self._steady += 1
            if streamed > self._extreme:
                self._extreme, self._steady = streamed, 0
            elif self._steady > STEADY_LOOKS:
                self._returning = False
            elif streamed <= self._extreme - step:
                self._returning, self._extreme = False, streamed
        elif streamed < self._extreme:
            self._extreme = streamed
        elif streamed >= self._extreme + step:
            self._returning, self._extreme, self._steady = True, streamed, 0
