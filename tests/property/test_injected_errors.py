"""An exception in any function of the core leaves nothing half done.

One is raised at one call of each function that a log leads through (tests/support/market_logs.py).
An item that fails so is in the dead letters, and all else is as if it had failed before anything
was done with it. What fails outside of items ends the process, and a restart makes everything good.
"""

from __future__ import annotations

import inspect
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from unittest.mock import patch

import pytest

import stream_app.core
from schemas.records import RawItem
from schemas.serde.raw_frames import RawFrame
from stream_app.core.columns import funding_times
from stream_app.core.feed_pass import Placed as PlacedFrame
from stream_app.core.feed_pass import apply_records
from stream_app.core.output.outputs import DeadLetter
from stream_app.core.partition import FeedPartition
from tests.property.test_columns import NOW, Stored, last_offsets
from tests.support.market_logs import Market, Placed

CORE = str(Path(stream_app.core.__file__).parent)
Item = tuple[int, int, int]
"""Partition, offset and item."""


class InjectedError(Exception):
    """What is raised."""


class Tracer:
    """Counts the calls of each function of the core; raises at one of them, if it is told to."""

    def __init__(self, function: CodeType | None = None, call: int = 0) -> None:
        self.calls: Counter[CodeType] = Counter()
        self.raised = False
        self._function = function
        self._call = call

    def __call__(self, frame: FrameType, event: str, _arg: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(CORE):
            return
        if code.co_flags & inspect.CO_GENERATOR:
            # It is called once more when it is thrown away, where nobody can catch anything.
            return
        self.calls[code] += 1
        if code is self._function and self.calls[code] == self._call:
            # Python removes a tracer that raises, so this happens once.
            self.raised = True
            raise InjectedError(f"injected into {code.co_qualname}")


@contextmanager
def traced(tracer: Tracer) -> Iterator[None]:
    """Call the tracer at each call."""
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        yield
    finally:
        sys.settrace(before)


def identities(published: dict[Any, list[Any]]) -> dict[Any, Any]:
    """Each distinct record by what it is; the dead letters of injected errors left out."""
    found: dict[Any, Any] = {}
    for key, records in published.items():
        for record in records:
            if isinstance(record, DeadLetter):
                if record.stage != "core":
                    found[key, record.stage, record.offset, record.item] = record.value
            else:
                found[key, json.dumps(record, sort_keys=True)] = True
    return found


def failed_items(published: dict[Any, list[Any]]) -> set[Item]:
    """The items that failed."""
    return {
        (letter.partition, letter.offset, letter.item)
        for records in published.values()
        for letter in records
        if isinstance(letter, DeadLetter) and letter.stage == "core"
    }


def run(log: Sequence[Placed], tracer: Tracer | None = None) -> Stored:
    """Apply a log in batches of five records, and store all after each.

    After a crash it starts again from what is stored.
    """
    stored = Stored()
    partitions = stored.restart()
    at = 0
    while at < len(log):
        batch = log[at : at + 5]
        records: dict[FeedPartition, list[PlacedFrame]] = {}
        for number, offset, raw in batch:
            placed = PlacedFrame(offset, RawFrame.of(raw))
            records.setdefault(partitions[number], []).append(placed)
        try:
            if tracer is not None and not tracer.raised:
                with traced(tracer):
                    apply_records(partitions[0].columns, records, NOW)
            else:
                apply_records(partitions[0].columns, records, NOW)
        except InjectedError:
            # What was applied since the last flush comes again.
            partitions = stored.restart()
            continue
        at += 5
        stored.take(partitions)
        stored.store(partitions, last_offsets(log[:at]))
    return stored


@contextmanager
def failing(items: set[Item]) -> Iterator[None]:
    """Let items fail before anything is done with them."""
    apply_item = FeedPartition._apply_item

    def refuse(partition: FeedPartition, item: RawItem, symbol: str, at: Any, read: Any) -> None:
        if (at.partition, at.offset, at.item) in items:
            raise InjectedError
        apply_item(partition, item, symbol, at, read)

    with patch.object(FeedPartition, "_apply_item", refuse):
        yield


@pytest.mark.parametrize("seed", [0, 7])
@patch("stream_app.core.feed_pass.MIN_UPDATES", 1)
def test_an_error_in_any_function_leaves_nothing_half_done(seed: int) -> None:
    """State and outputs are those of a run in which the item failed at once."""
    log = Market(seed, 4).make(12)
    chance = random.Random(seed)
    known = Tracer()
    undisturbed = run(log, known)
    assert len(known.calls) > 150, "the log leads through most of the core"
    passes = any(function is funding_times._step.__code__ for function in known.calls)
    assert passes == (seed == 7), "in one of the logs a funding time passes in the rows"
    for function, calls in known.calls.items():
        tracer = Tracer(function, chance.randint(1, calls))
        found = run(log, tracer)
        assert tracer.raised
        items = failed_items(found.published)
        expected = undisturbed
        if items:
            with failing(items):
                expected = run(log)
        where = f"{function.co_qualname} in {function.co_filename.removeprefix(CORE)}"
        assert identities(found.published) == identities(expected.published), where
        assert found.state() == expected.state(), where
