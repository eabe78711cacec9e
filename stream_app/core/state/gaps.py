"""Gaps in a contract's stream: which ticks did not come, when it fell silent, what filled it. Pure.

A gap is told by the contract's own stream of event times, and opened by receipt: only the flush
boundary knows that nothing came. Both follow from the log alone, whichever boundaries were really
flushed. Where only changes are pushed, a contract that REST shows has no gap, and misses no tick.
Gaps of connections are told by the producers (producers/policy/outages.py).
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from schemas.feed_spec import FeedSpec
from schemas.times import US_PER_S
from stream_app.core.scoring.zones import FLUSH_US, flush_boundary
from stream_app.core.state.clock_skew import SKEW_US


class Pace(NamedTuple):
    """How often a feed pushes, when a push was missed, and for how long a rate holds; µs."""

    cadence_us: int
    missed_us: int
    stale_us: int
    skew_us: int = SKEW_US
    """Event times and receipts may move on differently by this much."""
    flush_phase_us: int = 0
    """As of `flush_boundary`."""
    changes_alone: bool = False
    """As `FeedSpec.pushes_changes`."""

    @classmethod
    def of(cls, feed: FeedSpec, skew_us: int = SKEW_US, flush_phase_us: int = 0) -> Pace:
        """Return the pace of a feed."""
        return cls(
            int(feed.cadence_s * US_PER_S),
            int(feed.missed_after_s * US_PER_S),
            int(feed.stale_s * US_PER_S),
            skew_us,
            flush_phase_us,
            feed.pushes_changes,
        )


LAG_RISES_BY = 8
"""A lag that stays is believed after so many times itself."""


class StreamState(msgspec.Struct, array_like=True, gc=False):
    """The newest update of a contract's stream, and what REST filled in since."""

    event_time: int = 0
    """Of the newest stream update; 0: there was none."""
    received_at: int = 0
    raw_offset: int = -1
    raw_item: int = -1
    opened: bool = False
    """The event gap_opened of the present gap was published."""
    filled_us: int = 0
    """For how long a REST rate holds, of the time since `event_time`."""
    filled_to: int = 0
    """Until when the newest of them holds; 0: there was none."""
    fills: int = 0
    lag_us: int = 0
    """How far the stream's times lie behind their receipts: the least of the newest updates."""
    due_since: int = 0
    """While there was no stream update: since when one is due, µs of receipt; 0: none is."""
    awaited: bool = False
    """It was listed and nothing has streamed since, neither it nor others of its partition."""

    @classmethod
    def ended(cls, received_at: int) -> StreamState:
        """Return the state of a contract that begins anew: what comes next ends no gap."""
        return cls(received_at=received_at)

    @property
    def since(self) -> int:
        """From when on something is missing, if anything is: the newest update, or when it was due.

        0: nothing is due.
        """
        return self.event_time or self.due_since

    def expect(self, received_at: int, raw_offset: int, raw_item: int) -> bool:
        """Await the stream of a contract, of which nothing has come, by the record that lists it.

        False: something has come, or it is awaited already.
        """
        if self.since or self.awaited:
            return False
        self.awaited, self.received_at = True, received_at
        self.raw_offset, self.raw_item = raw_offset, raw_item
        return True

    def become_due(self, received_at: int) -> None:
        """Make the first update due: others of the feed stream after this one was listed."""
        self.awaited = False
        self.received_at = self.due_since = max(self.received_at, received_at)

    def time_of_receipt(self, received_at: int) -> int:
        """Return the exchange's time at a receipt, as far as the stream shows it; µs.

        A REST row that names no time stands there. By our own clock alone it would hold the
        contract against a returning stream whose times lie behind: by the way of a push, or by an
        exchange's clock that is slow.
        """
        if self.event_time == 0:
            return received_at
        stands_at = received_at - self.lag_us
        # One that was received before the newest push says nothing newer than that.
        return stands_at if received_at < self.received_at else max(stands_at, self.event_time)

    def held_us(self, pace: Pace) -> int:
        """Return for how long from `since` on nothing newer has to come before it is a gap."""
        if not pace.changes_alone:
            return pace.stale_us
        return max(pace.stale_us, self.filled_to - self.since)

    def silent_at(self, boundary: int, pace: Pace) -> bool:
        """Tell whether a gap is to be opened at a flush boundary."""
        if self.since == 0 or self.opened:
            return False
        return boundary - self.received_at >= self.held_us(pace)

    def silent_from(self, pace: Pace) -> int:
        """Return the first flush boundary at which a gap is due, whichever is the one at hand."""
        due_at = self.received_at + self.held_us(pace)
        return flush_boundary(due_at + FLUSH_US - 1, pace.flush_phase_us)

    def fill(self, event_time: int, stale_us: int) -> None:
        """Note a REST rate that is in force from `event_time` on, at most `stale_us`."""
        end = event_time + stale_us
        start, since = max(event_time, self.filled_to), self.since
        if since == 0 or event_time < since or end <= start:
            return
        self.filled_us += end - start
        self.filled_to = end
        self.fills += 1

    def advance(
        self, event_time: int, received_at: int, raw_offset: int, raw_item: int, pace: Pace
    ) -> Step | None:
        """Take a newer stream update; return what was missing before it, if anything was."""
        # Each update of each stream comes by here.
        since = self.event_time
        step = None
        if since and (self.opened or event_time - since > pace.missed_us):
            step = self._step(event_time, received_at, pace)
            self.opened = False
        elif self.due_since:
            step = self._first(received_at, pace)
            self.opened, self.due_since = False, 0
        if self.fills:
            self.filled_us = self.filled_to = self.fills = 0
        self._follow(event_time, received_at)
        self.event_time = event_time
        self.received_at = max(self.received_at, received_at)
        self.raw_offset = raw_offset
        self.raw_item = raw_item
        return step

    def _follow(self, event_time: int, received_at: int) -> None:
        """Follow the lag: down at once, up slowly: one push that was held up is no slow clock."""
        lag_us = max(0, received_at - event_time)
        if self.event_time:
            elapsed_us = max(0, received_at - self.received_at)
            lag_us = min(lag_us, self.lag_us + elapsed_us // LAG_RISES_BY)
        self.lag_us = lag_us

    def _first(self, received_at: int, pace: Pace) -> Step | None:
        """Return the gap before the first update, if there was one; by receipt: there was no time.

        A contract that is listed may begin to stream a while later: only what is a gap is missing.
        """
        since = self.due_since
        until = max(since, received_at)
        if not self.opened and until - since <= self.held_us(pace):
            return None
        return Step(
            since=since,
            until=until,
            missed=_ticks(until - since, pace),
            shifted_us=0,
            is_gap=True,
            is_first=True,
            was_opened=self.opened,
            opened_at=min(self.silent_from(pace), until),
            filled_us=max(0, self.filled_us - max(0, self.filled_to - until)),
            fills=self.fills,
        )

    def _step(self, event_time: int, received_at: int, pace: Pace) -> Step:
        since = self.event_time
        duration_us, receipts_us = event_time - since, received_at - self.received_at
        shifted_us = duration_us - receipts_us
        skewed = abs(shifted_us) > pace.skew_us
        missed, held_us = 0, self.held_us(pace)
        silence_us = min(duration_us, receipts_us) if skewed else duration_us
        if silence_us > pace.missed_us:
            missed = max(0, _ticks(silence_us, pace) - 1)
        if skewed:
            # By event time alone it would be the clock's step, or the delay's, that is told.
            is_gap = self.opened or receipts_us > held_us
            duration_us = max(duration_us, receipts_us) if is_gap else duration_us
        else:
            is_gap = self.opened or duration_us > held_us
        until = since + duration_us
        return Step(
            since=since,
            until=until,
            missed=missed,
            shifted_us=shifted_us if skewed else 0,
            is_gap=is_gap,
            is_first=False,
            was_opened=self.opened,
            opened_at=min(self.silent_from(pace), until),
            filled_us=max(0, self.filled_us - max(0, self.filled_to - event_time)),
            fills=self.fills,
        )


def _ticks(silence_us: int, pace: Pace) -> int:
    """Return how many pushes were due in a silence."""
    return 0 if pace.changes_alone else (silence_us + pace.cadence_us // 2) // pace.cadence_us


class Step(NamedTuple):
    """From one stream update to the next, where something is missing between; times in µs."""

    since: int
    until: int
    missed: int
    """Ticks that did not come; where the clock has changed, by the shorter of both its steps."""
    shifted_us: int
    """By how much more the event times moved on than the receipts, where that is more than a skew:
    the exchange's clock was set, or updates had been delayed; else 0."""
    is_gap: bool
    is_first: bool
    """There was no stream update before it, since the contract was listed or trades again."""
    was_opened: bool
    """gap_opened was published before the gap ended."""
    opened_at: int
    """If it was not: the time that gap_opened gets now."""
    filled_us: int
    fills: int
    """REST updates."""

    @property
    def seconds(self) -> float:
        """How long: by event time; where the clock has changed, by receipt if that is longer."""
        return (self.until - self.since) / US_PER_S

    def describe(self) -> str:
        """Say how long the stream was away and what filled it."""
        filled = "nothing filled it"
        if self.fills:
            updates = "update" if self.fills == 1 else "updates"
            filled = f"rest filled {self.filled_us / US_PER_S:.1f} s with {self.fills} {updates}"
        return f"{self.seconds:.1f} s without stream; {filled}"
