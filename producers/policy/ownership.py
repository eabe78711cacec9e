"""Whether the stream or REST provides a feed's rates: the feed's state and every transition. Pure.

Contract by contract, what the stream delivers is taken from the stream, and the rest is polled by
REST until the stream delivers it again (make before break). The feed's state sums that up. Where a
feed has no stream, what REST brings is observed in its place, and nothing stands in for it.
docs/ownership.md holds the same table for people; a test keeps the two equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from schemas.records import FeedState, Transport

WHOLE_SHARE = 0.95
"""The share of the expected contracts from which on the stream counts as whole
(docs/decisions/stream-first-rest-below.md)."""
NOTHING_SHARE = 0.05
"""A stream that delivers a smaller share of the expected contracts counts as delivering nothing."""
STEADY_LOOKS = 120
"""After this many observations (four per second) without progress the stream is not returning any
more."""
STEP_SHARE = 0.02
"""A change by less than this share of the expected contracts is no change of direction."""


class Stream(StrEnum):
    """What the stream delivers now."""

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
    """It is not asked, or it has not answered yet."""
    SERVING = "serving"
    """The newest poll has brought rates."""
    FAILING = "failing"
    """It has brought nothing for some time."""


_ALL = tuple(Rest)
_SOME = (Stream.RETURNING, Stream.PART)


def _table() -> Mapping[tuple[FeedState, Stream, Rest], FeedState]:
    """Return the next state for every state and every observation."""
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


def transport(state: FeedState, source: Transport = "ws") -> Transport | None:
    """Return which transport delivers most rates in a state; None: neither.

    `source`: "rest" for a feed without a stream, whose states are those of REST.
    """
    if state == "live":
        return source
    return "rest" if state in {"fallback", "recovering"} else None


class Ownership:
    """The state of one feed."""

    def __init__(self) -> None:
        self.state: FeedState = "connecting"
        self._extreme = 0
        """The count of contracts at which the direction turned last, or its extreme since then."""
        self._returning = False
        self._steady = 0

    def observe(self, expected: int, streamed: int, rest: Rest) -> FeedState:
        """Take an observation and return the next state.

        `expected`: how many contracts should deliver. `streamed`: how many the stream delivers,
        the quiet ones included.
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
        """Follow whether the count grows: the direction turns a step away from the last extreme."""
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
