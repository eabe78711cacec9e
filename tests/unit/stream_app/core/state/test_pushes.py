"""One push that two producers bring is one update, where frames carry no time (Hyperliquid)."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.feed_spec import SAME_PUSH_S
from schemas.records import RawBatch
from schemas.times import US_PER_HOUR, US_PER_S
from stream_app.core.output.outputs import Output
from stream_app.core.partition import FeedPartition
from stream_app.core.state.pushes import WINDOW_US
from stream_app.normalise import normaliser
from tests.support.partitions import audits, know, of

S = US_PER_S
HOUR_US = 1_791_273_600_000_000
T0 = HOUR_US + 100 * S
Reading = tuple[str, str, str]
SAME: Reading = ("0.0000125", "80654.0", "80698.0")
READINGS = st.sampled_from(
    [(rate, mark, "80698.0") for rate in ("0.0000125", "-0.0000031") for mark in ("1", "2")]
)


class Arrival(NamedTuple):
    """A push as one connection brings it: its number, when it is received, what it reads."""

    number: int
    received_at: int
    update: Reading


def batch(connection: str, received_at: int, update: Reading, coin: str = "BTC") -> RawBatch:
    """A raw record with one frame."""
    rate, mark, oracle = update
    context = {"funding": rate, "markPx": mark, "oraclePx": oracle, "premium": "0.1"}
    frame = {"channel": "activeAssetCtx", "data": {"coin": coin, "ctx": context}}
    payload = json.dumps(frame).encode()
    return {
        "feed": "hyperliquid",
        "transport": "ws",
        "purpose": "stream",
        "channel": "activeAssetCtx",
        "connection_id": connection,
        "sequence": 0,
        "received_at": received_at,
        "items": [{"symbol": coin, "payload": payload, "received_at": received_at}],
    }


class Hyperliquid(FeedPartition):
    """A partition that is given the next offset with each batch."""

    def __init__(self, blocks: Iterable[bytes] = (), offset: int = 0) -> None:
        super().__init__("hyperliquid", 0, normaliser("hyperliquid"), blocks)
        self.offset = offset

    def bring(self, connection: str, received_at: int, update: Reading) -> list[Output]:
        """What a frame leads to."""
        raw = batch(connection, received_at, update)
        know(self, raw, self.offset)
        self.apply(raw, self.offset, received_at)
        self.offset += 1
        return self.take_outputs().records()

    def again(self) -> Hyperliquid:
        """A partition with what this one has stored."""
        self.store.mark_applied(self.offset - 1)
        return Hyperliquid([block for _, block in self.store.take_dirty()[0]], self.offset)


def listed() -> Hyperliquid:
    """A partition that knows the coin."""
    partition = Hyperliquid()
    facts = batch("facts", T0 - S, SAME)
    facts["items"][0]["payload"] = b'{"name":"BTC","szDecimals":5,"maxLeverage":40}'
    facts["purpose"], facts["channel"], facts["transport"] = "contract", "meta", "rest"
    partition.apply(facts, partition.offset, T0 - S)
    partition.offset += 1
    partition.take_outputs()
    return partition


def rows(outputs: Iterable[Output]) -> list[tuple[float, float]]:
    """Rate and mark price of the rows, in the order of their times."""
    found = sorted(of(list(outputs), "rates"), key=lambda row: row["event_time"])
    return [(row["rate"], row["mark_price"]) for row in found]


def pushed(count: int, chance: random.Random) -> list[int]:
    """When an exchange pushes: 0.8 to 1.8 s apart."""
    times = [T0]
    for _ in range(count - 1):
        times.append(times[-1] + chance.randrange(800_000, 1_800_000))
    return times[:count]


def arrivals(times: list[int], readings: list[Reading], chance: random.Random) -> list[Arrival]:
    """What one connection brings, each push with a delay of its own below the window."""
    return [
        Arrival(number, at + chance.randrange(WINDOW_US), update)
        for number, (at, update) in enumerate(zip(times, readings, strict=True))
    ]


def interleaved(
    one: list[Arrival], two: list[Arrival], chance: random.Random, lag: int
) -> list[tuple[str, Arrival]]:
    """The log: each connection's own in order, one behind the other by up to `lag` pushes."""
    log: list[tuple[str, Arrival]] = []
    left = {"one": list(one), "two": list(two)}
    while left["one"] or left["two"]:
        first = {name: items[0].number for name, items in left.items() if items}
        able = [name for name, number in first.items() if number <= min(first.values()) + lag]
        name = chance.choice(able)
        log.append((name, left[name].pop(0)))
    return log


@given(st.lists(READINGS, max_size=25), st.randoms(use_true_random=False), st.integers(0, 4))
def test_two_copies_give_the_rows_of_one(
    readings: list[Reading], chance: random.Random, lag: int
) -> None:
    """Whatever is pushed again unchanged, whoever is first, across a restart at any point."""
    times = pushed(len(readings), chance)
    one, two = (arrivals(times, readings, chance) for _ in range(2))
    log = interleaved(one, two, chance, lag)
    partition, outputs = listed(), []
    for connection, arrival in log:
        if chance.random() < 0.1:
            partition = partition.again()
        outputs += partition.bring(connection, arrival.received_at, arrival.update)
    assert sorted(rows(outputs)) == sorted((float(rate), float(mark)) for rate, mark, _ in readings)


@given(st.lists(READINGS, max_size=25), st.randoms(use_true_random=False))
def test_one_copy_is_untouched(readings: list[Reading], chance: random.Random) -> None:
    """An unchanged reading is a push like any other; several within the window as well."""
    partition = listed()
    times = sorted(T0 + chance.randrange(len(readings) * S) for _ in readings)
    if any(before == after for before, after in pairwise(times)):
        return
    outputs = [
        output
        for at, update in zip(times, readings, strict=True)
        for output in partition.bring("one", at, update)
    ]
    assert rows(outputs) == [(float(rate), float(mark)) for rate, mark, _ in readings]


def test_a_copy_is_counted_and_is_no_row() -> None:
    """The stream goes on with it: it is evidence that the feed is alive."""
    partition = listed()
    assert len(of(partition.bring("one", T0, SAME), "rates")) == 1
    assert of(partition.bring("two", T0 + 300_000, SAME), "rates") == []
    assert partition.counts["duplicate"] == 1
    told = partition.bring("one", T0 + 60 * S, SAME)
    assert audits(told, "duplicate") == [("hyperliquid:BTC", "duplicate", 1, "rate 1.25e-05")]


def test_a_copy_across_the_hour_is_one() -> None:
    """The next funding time follows from the receipt, and is no part of what was pushed."""
    partition = listed()
    hour = HOUR_US + US_PER_HOUR
    partition.bring("one", hour - 100_000, SAME)
    assert of(partition.bring("two", hour + 100_000, SAME), "rates") == []


@pytest.mark.parametrize(
    ("connection", "after_s", "update"),
    [
        ("one", 0.3, SAME),
        ("two", SAME_PUSH_S, SAME),
        ("two", 0.3, ("0.0000126", "80654.0", "80698.0")),
        ("two", 0.3, ("0.0000125", "80654.5", "80698.0")),
        ("two", 0.3, ("0.0000125", "80654.0", "80698.5")),
    ],
)
def test_what_differs_is_another_push(connection: str, after_s: float, update: Reading) -> None:
    """By its connection, its moment, or anything that the row shows."""
    partition = listed()
    partition.bring("one", T0, SAME)
    assert len(of(partition.bring(connection, T0 + int(after_s * S), update), "rates")) == 1


def test_a_second_copy_of_the_same_connection_is_another_push() -> None:
    """The n-th of one is the n-th of the other."""
    partition = listed()
    found = [
        len(of(partition.bring(connection, T0 + after_ms * 1_000, SAME), "rates"))
        for connection, after_ms in [
            ("one", 0), ("two", 100), ("two", 1_000), ("one", 1_100), ("two", 2_000), ("one", 3_000)
        ]
    ]  # fmt: skip
    assert found == [1, 0, 1, 0, 1, 1]
