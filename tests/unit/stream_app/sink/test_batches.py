"""The sink's batching: every message in exactly one chunk, chunks that come about again."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from stream_app.sink.batches import (
    Chunk,
    Limits,
    Message,
    OffsetRange,
    TopicBatcher,
    parse_plan,
    pending_plans,
    plan_text,
)

LIMITS = Limits(rows=5, age_s=1.0)
TOPIC = "funding.rates"


def message(partition: int, offset: int) -> Message:
    """A message whose content does not matter."""
    return Message(partition, offset, b"key", b"value")


def numbered(partitions: list[int]) -> list[Message]:
    """Give each message the next offset of its partition."""
    next_offset: defaultdict[int, int] = defaultdict(lambda: 100)
    messages = []
    for partition in partitions:
        messages.append(message(partition, next_offset[partition]))
        next_offset[partition] += 1
    return messages


streams = st.lists(st.integers(0, 3), max_size=60).map(numbered)


@given(stream=streams, cuts=st.lists(st.integers(0, 60), max_size=8))
def test_rows_close_the_same_chunks_however_polls_are_cut(
    stream: list[Message], cuts: list[int]
) -> None:
    """Where one poll ends and the next begins changes no chunk that is closed by rows."""
    at_once = TopicBatcher(TOPIC, LIMITS)
    expected = [c for m in stream for c in at_once.add(m, 0.0)]
    in_polls = TopicBatcher(TOPIC, LIMITS)
    got: list[Chunk] = []
    bounds = [0, *sorted(min(c, len(stream)) for c in cuts), len(stream)]
    for low, high in pairwise(bounds):
        for m in stream[low:high]:
            got += in_polls.add(m, 0.5)
        got += in_polls.due(0.9)
    assert got == expected
    assert all(len(c.messages) == LIMITS.rows for c in got)


def offsets(chunk: Chunk) -> str:
    """What a token says beside its checksum."""
    return chunk.token.partition("@")[0]


@given(stream=streams, times=st.lists(st.floats(0, 2), min_size=60, max_size=60))
def test_nothing_is_lost_or_twice(stream: list[Message], times: list[float]) -> None:
    """All chunks together hold each message once, and cover just their offsets."""
    batcher = TopicBatcher(TOPIC, LIMITS)
    now_s = 0.0
    chunks: list[Chunk] = []
    for m, step_s in zip(stream, times, strict=False):
        now_s += step_s
        chunks += batcher.due(now_s)
        chunks += batcher.add(m, now_s)
    chunks += batcher.drain(now_s)
    stored = [m for c in chunks for m in c.messages]
    assert sorted(stored) == sorted(stream)
    for c in chunks:
        covered = [(r.partition, o) for r in c.ranges for o in range(r.first, r.last + 1)]
        assert covered == [(m.partition, m.offset) for m in c.messages]
    assert len({c.token for c in chunks}) == len(chunks)
    assert batcher.rows == 0


@given(stream=streams, data=st.data())
def test_a_plan_is_formed_again_in_any_order_of_partitions(
    stream: list[Message], data: st.DataObject
) -> None:
    """After a crash the planned chunk comes first and alone, however partitions interleave."""
    first = TopicBatcher(TOPIC, Limits(rows=10, age_s=1.0))
    closed = [c for m in stream for c in first.add(m, 0.0)] + first.drain(0.0)
    if not closed:
        return
    planned = closed[0]
    queues: dict[int, list[Message]] = defaultdict(list)
    for m in stream:
        queues[m.partition].append(m)
    again = TopicBatcher(TOPIC, LIMITS, [planned.ranges])
    chunks: list[Chunk] = []
    while any(queues.values()):
        partition = data.draw(st.sampled_from(sorted(p for p in queues if queues[p])))
        chunks += again.add(queues[partition].pop(0), 0.0)
    chunks += again.drain(0.0)
    assert chunks[0] == planned
    assert chunks[0].token == planned.token
    assert sorted(m for c in chunks for m in c.messages) == sorted(stream)


def test_a_topic_that_was_made_anew_has_other_tokens() -> None:
    """Its offsets are those of the old one, whose tokens ClickHouse may still know."""
    ranges = (OffsetRange(0, 0, 1),)
    old, new = (
        Chunk(TOPIC, ranges, (Message(0, 0, b"k", first), Message(0, 1, b"k", None)))
        for first in (b"of the old topic", b"of the new topic")
    )
    assert offsets(old) == offsets(new) == "funding.rates:0:0-1"
    assert old.token != new.token
    assert old.token == Chunk(TOPIC, ranges, (*old.messages,)).token


def test_age_closes_a_chunk_from_its_first_message() -> None:
    """The age counts from the first message, not from the newest."""
    batcher = TopicBatcher(TOPIC, LIMITS)
    batcher.add(message(0, 7), 10.0)
    batcher.add(message(1, 3), 10.9)
    assert batcher.due(10.99) == []
    (chunk,) = batcher.due(11.0)
    assert offsets(chunk) == "funding.rates:0:7-7,1:3-3"
    assert batcher.due(99.0) == []


def test_a_plan_whose_last_message_is_gone_ends_with_the_next() -> None:
    """Compaction may remove the last planned message: a later one ends the wait."""
    batcher = TopicBatcher(TOPIC, LIMITS, [(OffsetRange(0, 5, 9),)])
    assert batcher.add(message(0, 6), 0.0) == []
    (chunk,) = batcher.add(message(0, 12), 0.0)
    assert offsets(chunk) == "funding.rates:0:5-9"
    assert [m.offset for m in chunk.messages] == [6]
    assert [m.offset for c in batcher.drain(0.0) for m in c.messages] == [12]


def test_a_plan_that_cannot_be_met_is_abandoned_and_nothing_is_lost() -> None:
    """Messages that never come do not hold the others for more than the plan's patience."""
    batcher = TopicBatcher(TOPIC, LIMITS, [(OffsetRange(0, 5, 9), OffsetRange(1, 0, 3))])
    batcher.add(message(0, 5), 0.0)
    batcher.add(message(2, 1), 0.0)
    assert batcher.due(29.0) == []
    assert batcher.due(30.0) == []
    (chunk,) = batcher.due(31.0)
    assert offsets(chunk) == "funding.rates:0:5-5,2:1-1"


def test_what_waits_behind_a_plan_is_bounded() -> None:
    """A flood on other partitions ends the plan instead of filling memory."""
    batcher = TopicBatcher(TOPIC, LIMITS, [(OffsetRange(0, 5, 9),)])
    chunks = [c for offset in range(9_000) for c in batcher.add(message(1, offset), 0.0)]
    assert sum(len(c.messages) for c in chunks) == 9_000
    assert batcher.rows <= LIMITS.rows


def test_partitions_past_their_part_of_a_plan_are_named_until_it_is_closed() -> None:
    """Whoever consumes can pause them, so that a backlog does not end the plan."""
    batcher = TopicBatcher(TOPIC, LIMITS, [(OffsetRange(0, 5, 5), OffsetRange(1, 0, 1))])
    assert batcher.ahead == frozenset()
    batcher.add(message(1, 0), 0.0)
    assert batcher.ahead == frozenset()
    batcher.add(message(0, 5), 0.0)
    batcher.add(message(2, 7), 0.0)
    assert batcher.ahead == {0, 2}
    (chunk,) = batcher.add(message(1, 1), 0.0)
    assert offsets(chunk) == "funding.rates:0:5-5,1:0-1"
    assert batcher.ahead == frozenset()


def test_a_plan_s_patience_does_not_run_while_nothing_is_consumed() -> None:
    """An outage of ClickHouse must not end the plans of topics that wait for another's insert."""
    batcher = TopicBatcher(TOPIC, LIMITS, [(OffsetRange(0, 5, 9),)])
    batcher.add(message(0, 5), 10.0)
    batcher.not_consumed(600.0)
    assert batcher.due(639.0) == []
    assert batcher.ahead == frozenset()
    (chunk,) = batcher.add(message(0, 9), 639.5)
    assert offsets(chunk) == "funding.rates:0:5-9"


def test_plans_of_two_members_are_kept_one_after_the_other() -> None:
    """Who inherits the partitions of two sinks repeats the chunks of both."""
    plans = [(OffsetRange(0, 1, 2),), (OffsetRange(1, 4, 4),)]
    batcher = TopicBatcher(TOPIC, LIMITS, plans)
    chunks = [
        c
        for m in (message(1, 4), message(1, 5), message(0, 1), message(0, 2))
        for c in batcher.add(m, 0.0)
    ]
    assert [offsets(c) for c in chunks] == ["funding.rates:0:1-2", "funding.rates:1:4-4"]
    assert batcher.rows == 1


ranges = st.lists(
    st.tuples(st.integers(0, 63), st.integers(0, 10**12), st.integers(0, 10**6)),
    unique_by=lambda item: item[0],
    min_size=1,
    max_size=16,
).map(lambda items: tuple(OffsetRange(p, first, first + n) for p, first, n in sorted(items)))


@given(plan=ranges)
def test_plan_text_is_read_back(plan: tuple[OffsetRange, ...]) -> None:
    """What is written into offset metadata is what is found there."""
    assert parse_plan(plan_text(plan)) == plan


@given(text=st.text(max_size=60) | st.from_regex(r"[0-9:,-]{0,40}", fullmatch=True))
def test_foreign_metadata_never_fails(text: str) -> None:
    """Metadata of other tools is no plan, or a well-formed one."""
    plan = parse_plan(text)
    assert plan is None or all(r.first <= r.last for r in plan)


def test_a_plan_too_long_to_commit_is_not_written() -> None:
    """A commit with too much metadata would fail for good."""
    assert plan_text(tuple(OffsetRange(p, 10**12, 10**12) for p in range(1_000))) == ""


def test_only_an_unconfirmed_plan_is_pending() -> None:
    """A plan counts while each of its partitions is ours and stands at its first offset."""
    text = "0:5-9,1:7-7"
    plan = parse_plan(text)
    assert pending_plans({0: (5, text), 1: (7, text), 2: (0, "")}) == [plan]
    assert pending_plans({0: (10, ""), 1: (8, "")}) == []
    assert pending_plans({0: (5, text)}) == []
    assert pending_plans({0: (5, text), 1: (6, text)}) == []
    assert pending_plans({0: (-1001, ""), 1: (3, "a note")}) == []


def test_large_messages_close_a_chunk_before_its_rows() -> None:
    """The bytes in memory are bounded whatever the sizes of records."""
    batcher = TopicBatcher(TOPIC, Limits(rows=1_000, age_s=1.0, bytes=100))
    large = [Message(0, offset, b"key", b"v" * 57) for offset in range(4)]
    chunks = [chunk for m in large for chunk in batcher.add(m, 0.0)]
    assert [offsets(c) for c in chunks] == [f"{TOPIC}:0:0-1", f"{TOPIC}:0:2-3"]
    assert batcher.rows == 0


@given(planned=st.integers(1, 12), ahead=st.integers(0, 12))
def test_large_messages_end_a_plan_and_none_is_lost(planned: int, ahead: int) -> None:
    """Neither what waits behind a plan nor the plan itself may fill the memory."""
    limits = Limits(rows=1_000, age_s=1.0, bytes=100)
    plan = (OffsetRange(0, 0, 99), OffsetRange(1, 0, 0))
    batcher = TopicBatcher(TOPIC, limits, [plan])
    stream = [Message(0, offset, None, b"v" * 50) for offset in range(planned)]
    stream += [Message(1, offset, None, b"v" * 50) for offset in range(1, 1 + ahead)]
    chunks = [chunk for m in stream for chunk in batcher.add(m, 0.0)]
    stored = [m for c in chunks for m in c.messages]
    assert bool(stored) == (len(stream) > 8)
    assert len(stream) - len(stored) == batcher.rows <= 8
    assert sorted(stored) == sorted(m for m in stream if m in stored)
