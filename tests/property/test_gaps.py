"""Gaps and missed ticks: they add up, and are the same however the log is cut and restarted."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.audit_facts import AuditCause
from schemas.audit_kinds import AuditKind
from schemas.control_items import TICK
from schemas.records import RawBatch, RawItem
from schemas.times import US_PER_HOUR
from stream_app.core.output.outputs import Output
from stream_app.core.partition import FeedPartition
from stream_app.core.state.gaps import Pace, StreamState
from stream_app.normalise.binance_usdm import normalise
from tests.support.audit_kinds import FIELDS
from tests.support.partitions import know, of

S = 1_000_000
HOUR_US = 1_791_273_600_000_000
SYMBOLS = ("AUSDT", "BUSDT", "CUSDT")
PACE = Pace(cadence_us=S, missed_us=3 * S // 2, stale_us=10 * S)


class Second(NamedTuple):
    """What comes in one second: which contracts are listed, streamed, polled; a tick of time."""

    step_s: int
    listed: frozenset[str]
    streamed: frozenset[str]
    polled: frozenset[str]
    ticks: bool


subsets = st.frozensets(st.sampled_from(SYMBOLS))
rare = st.just(frozenset[str]()) | subsets
seconds = st.lists(
    st.builds(Second, st.sampled_from([1, 1, 1, 2, 7, 15, 63]), rare, subsets, rare, st.booleans()),
    min_size=1,
    max_size=40,
)


def raw(channel: str, purpose: Any, items: list[RawItem], received_at: int) -> RawBatch:
    """A raw record."""
    return {
        "feed": "binance-usdm",
        "transport": "ws" if purpose == "stream" else "rest",
        "purpose": purpose,
        "channel": channel,
        "connection_id": "c",
        "sequence": 0,
        "received_at": received_at,
        "items": items,
    }


def stream_item(symbol: str, at: int) -> RawItem:
    """A row of the stream."""
    row = {"e": "markPriceUpdate", "E": at // 1_000, "s": symbol, "p": "7.5", "r": "0.0001",
           "T": (HOUR_US + 8 * US_PER_HOUR) // 1_000}  # fmt: skip
    return {"symbol": symbol, "payload": json.dumps(row).encode(), "received_at": at + 2_000}


def fact_item(symbol: str, at: int) -> RawItem:
    """A contract that trades, told just before the second's stream."""
    row = {"symbol": symbol, "status": "TRADING", "baseAsset": symbol[0], "quoteAsset": "USDT"}
    return {"symbol": symbol, "payload": json.dumps(row).encode(), "received_at": at + 1_000}


def rest_item(symbol: str, at: int) -> RawItem:
    """A row of REST, a quarter of a second younger."""
    row = {"symbol": symbol, "markPrice": "7.5", "lastFundingRate": "0.0002",
           "nextFundingTime": (HOUR_US + 8 * US_PER_HOUR) // 1_000,
           "time": (at + 250_000) // 1_000}  # fmt: skip
    return {"symbol": symbol, "payload": json.dumps(row).encode(), "received_at": at + 260_000}


def log_of(story: list[Second]) -> list[RawBatch]:
    """The raw records of a story: one for each message."""
    at, log = HOUR_US, []
    for second in story:
        at += second.step_s * S
        if second.listed:
            items = [fact_item(symbol, at) for symbol in sorted(second.listed)]
            log.append(raw("exchangeInfo", "contract", items, at + 1_000))
        if second.streamed:
            items = [stream_item(symbol, at) for symbol in sorted(second.streamed)]
            log.append(raw("!markPrice@arr@1s", "stream", items, at + 2_000))
        if second.polled:
            items = [rest_item(symbol, at) for symbol in sorted(second.polled)]
            log.append(raw("premiumIndex", "fallback", items, at + 260_000))
        if second.ticks:
            nameless: RawItem = {"symbol": None, "payload": b"", "received_at": at + 300_000}
            log.append(raw(TICK, "stream", [nameless], at + 300_000))
    return log


def cut(log: list[RawBatch], lengths: list[int]) -> list[RawBatch]:
    """The same items in shorter records."""
    shorter: list[RawBatch] = []
    for index, record in enumerate(log):
        length = lengths[index % len(lengths)]
        items, received_at = record["items"], record["received_at"]
        shorter += [
            raw(record["channel"], record["purpose"], items[first : first + length], received_at)
            for first in range(0, len(items), length)
        ]
    return shorter


def audited(log: list[RawBatch], restart_each: int = 10**9) -> list[dict[str, Any]]:
    """Audit events of a log."""
    partition = FeedPartition("binance-usdm", 3, normalise)
    outputs: list[Output] = []
    for offset, record in enumerate(log):
        know(partition, record, offset)
        partition.apply(record, offset, 1)
        if offset % restart_each == 0:
            partition.store.mark_applied(offset)
            outputs += partition.take_outputs().records()
            blocks = [shard.pack() for shard in partition.store.shards]
            partition = FeedPartition("binance-usdm", 3, normalise, blocks)
    partition.flush(HOUR_US + US_PER_HOUR, 1)
    outputs += partition.take_outputs().records()
    return of(outputs, "audit")


def told(log: list[RawBatch], restart_each: int = 10**9) -> Counter[tuple[Any, ...]]:
    """Audit events of a log, without where they stand in it."""
    fields = ("subject", "kind", "count", "first_event_time", "last_event_time", "detail", *FIELDS)
    return Counter(
        tuple(record[field] for field in fields) for record in audited(log, restart_each)
    )


@settings(max_examples=60, deadline=None)
@given(
    story=seconds,
    lengths=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    restart_each=st.integers(1, 5),
)
def test_gaps_do_not_depend_on_cuts_and_restarts(
    story: list[Second], lengths: list[int], restart_each: int
) -> None:
    """Each event, its times, counts, fields and words."""
    log = log_of(story)
    expected = told(log)
    assert told(cut(log, lengths)) == expected
    assert told(cut(log, lengths), restart_each) == expected


@settings(max_examples=60, deadline=None)
@given(story=seconds)
def test_gaps_do_not_depend_on_ticks(story: list[Second]) -> None:
    """They come earlier with them, and say the same."""
    without = [second._replace(ticks=False) for second in story]
    assert told(log_of(story)) == told(log_of(without))


@settings(max_examples=60, deadline=None)
@given(story=seconds)
def test_every_gap_is_opened_before_it_is_closed(story: list[Second]) -> None:
    """As many times, with one beginning; what stays open is the last of its contract."""
    events = told(log_of(story))
    assert set(events.values()) <= {1}
    opened = {(subject, first) for subject, kind, _, first, *_ in events if kind == "gap_opened"}
    closed = {(subject, first) for subject, kind, _, first, *_ in events if kind == "gap_closed"}
    assert closed <= opened
    still_open = Counter(subject for subject, _ in opened - closed)
    assert all(count == 1 for count in still_open.values())


@settings(max_examples=120, deadline=None)
@given(story=seconds)
def test_the_fields_of_a_gap_say_what_its_sentence_says(story: list[Second]) -> None:
    """Why it began, and what filled it: within its time, and nothing where nothing came."""
    for event in audited(log_of(story)):
        if event["kind"] == AuditKind.GAP_OPENED:
            assert event["cause"] in {AuditCause.SILENT, AuditCause.NEVER_STREAMED}
        elif event["kind"] == AuditKind.GAP_CLOSED:
            assert event["cause"] == AuditCause.STREAMED
            filled_s, updates = event["rest_filled_s"], event["rest_updates"]
            length_us = event["last_event_time"] - event["first_event_time"]
            assert 0 <= filled_s <= length_us / S
            words = f"rest filled {filled_s:.1f} s with {updates} update"
            assert (words if updates else "nothing filled it") in event["detail"]


@given(
    delivered=st.sets(st.integers(0, 400), min_size=1),
    jitter_ms=st.lists(st.integers(-200, 200), min_size=1, max_size=9),
)
def test_missed_ticks_add_up(delivered: set[int], jitter_ms: list[int]) -> None:
    """Those of a regular stream that did not come between the first and the last that did."""
    state, missed = StreamState(), 0
    for index, number in enumerate(sorted(delivered)):
        at = HOUR_US + number * S + jitter_ms[index % len(jitter_ms)] * 1_000
        step = state.advance(at, at, index, 0, PACE)
        missed += step.missed if step else 0
    assert missed == max(delivered) - min(delivered) + 1 - len(delivered)


@given(polls=st.lists(st.integers(-5 * S, 90 * S), max_size=12), end=st.integers(11 * S, 100 * S))
def test_what_filled_a_gap_is_the_time_that_rest_rates_held(polls: list[int], end: int) -> None:
    """Each until the next, at most the stale threshold, within the gap."""
    state = StreamState()
    state.advance(HOUR_US, HOUR_US, 0, 0, PACE)
    in_order = sorted(poll for poll in polls if poll < end)
    for poll in in_order:
        state.fill(HOUR_US + poll, PACE.stale_us)
    step = state.advance(HOUR_US + end, HOUR_US + end, 1, 0, PACE)
    assert step is not None
    held = 0
    for poll, following in pairwise([*in_order, end]):
        if poll >= 0:  # what is older than the stream's newest rate is not in force
            held += min(poll + PACE.stale_us, following) - poll
    assert step.filled_us == held


@given(polls=st.lists(st.integers(0, 90 * S), max_size=12), end=st.integers(11 * S, 100 * S))
def test_where_changes_are_pushed_a_gap_is_a_time_without_any_rate_that_holds(
    polls: list[int], end: int
) -> None:
    """The flush boundaries open it exactly then, and no tick is missed."""
    pace, state = PACE._replace(changes_alone=True), StreamState()
    state.advance(HOUR_US, HOUR_US, 0, 0, pace)
    held_until, boundary, holds = 0, 5 * S, True
    for poll in [*sorted(poll for poll in polls if poll < end), end]:
        while boundary <= poll:
            holds = holds and boundary < held_until + pace.stale_us
            state.opened = state.opened or state.silent_at(HOUR_US + boundary, pace)
            boundary += 5 * S
        assert state.opened == (not holds)
        if poll < end:
            state.fill(HOUR_US + poll, pace.stale_us)
            held_until = poll
    holds = holds and end <= held_until + pace.stale_us
    step = state.advance(HOUR_US + end, HOUR_US + end, 1, 0, pace)
    assert step is not None
    assert (step.missed, step.is_gap) == (0, not holds)


@given(
    lag_us=st.integers(-5 * S, 300 * S),
    jitter_us=st.integers(0, S // 2),
    pushes=st.lists(st.integers(S, 90 * S), min_size=1, max_size=8),
    at=st.integers(-5 * S, 200 * S),
)
def test_a_rest_row_without_a_time_stands_between_the_pushes_around_it(
    lag_us: int, jitter_us: int, pushes: list[int], at: int
) -> None:
    """Whatever the lag of the exchange's clock: never behind one that is received after it."""
    state, received_at, row_at = StreamState(), HOUR_US, HOUR_US + at
    state.advance(received_at - lag_us, received_at, 0, 0, PACE)
    for step_us in pushes:
        if row_at <= received_at:
            return
        before, received_at = state.event_time, received_at + step_us
        # Each push is somewhat quicker than the one before it: the row is placed by that.
        event_time = received_at - lag_us + jitter_us
        if row_at < received_at:
            assert before <= state.time_of_receipt(row_at) <= max(row_at, event_time, before)
            if lag_us >= 0:
                assert state.time_of_receipt(row_at) < event_time
        state.advance(event_time, received_at, 0, 0, PACE)
        lag_us -= jitter_us
