"""History by columns gives what row by row gives: the same records, state, stored bytes and counts.

Any log (tests/support/history_logs.py), with flushes and restarts anywhere, and with a failure in
any function of the fast way.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import RawBatch
from schemas.serde.raw_frames import RawFrame
from schemas.serde.settlement_columns import SettlementEncoder
from stream_app.core import history
from stream_app.core.feed_pass import Placed, apply_records
from stream_app.core.history import HistoryPages
from stream_app.core.output.collector import OutputCollector
from stream_app.core.partition import FeedPartition
from stream_app.core.scoring import settled_runs
from stream_app.core.scoring.baseline import Baseline
from stream_app.core.state.contract_store import ContractStore
from stream_app.normalise import normaliser
from tests.support.history_logs import DIALECTS, History
from tests.support.market_logs import published

NOW = 1_797_811_200_000_000
seeds = st.integers(0, 2**32)
dialects = st.sampled_from(DIALECTS)


class Stored:
    """What of a partition survives a restart, and what it has published and counted."""

    def __init__(self, feed: str) -> None:
        self.feed = feed
        self.blocks: dict[int, bytes] = {}
        self.baselines: dict[str, bytes] = {}
        self.published: dict[tuple[str, str], list[Any]] = {}
        self.counts: Counter[str] = Counter()

    def start(self) -> FeedPartition:
        """Return a partition made from what is stored."""
        blocks = [self.blocks[index] for index in sorted(self.blocks)]
        known = self.baselines.get
        return FeedPartition(self.feed, 0, normaliser(self.feed), blocks, known)

    def store(self, partition: FeedPartition, offset: int) -> None:
        """Store what has changed."""
        partition.store.mark_applied(offset)
        blocks, baselines = partition.take_dirty()
        self.blocks.update(blocks)
        self.baselines.update(baselines)

    def take(self, partition: FeedPartition) -> None:
        """Take over what was published and counted."""
        for key, records in published(partition).items():
            self.published.setdefault(key, []).extend(records)
        self.counts += partition.counts

    def state(self) -> Any:
        """What the stored blocks say, whatever they were packed from."""
        return [
            (
                [msgspec.structs.asdict(contract) for contract in shard.block.contracts],
                sorted(msgspec.to_builtins(shard.block.audits)),
                shard.block.letters,
                shard.block.waiting,
            )
            for shard in self.start().store.all_shards
        ]


def run(feed: str, log: Sequence[RawBatch], seed: int, *, alone: bool = False) -> Stored:
    """Apply a log; store and restart where the seed says, and deliver some records again.

    `alone`: each row by itself, those of the stream included.
    """
    chance = random.Random(seed)
    stored = Stored(feed)
    partition = stored.start()
    kept = offset = 0
    while offset < len(log):
        if alone:
            partition.apply(log[offset], offset, NOW)
        else:
            placed = Placed(offset, RawFrame.of(log[offset]))
            apply_records(partition.columns, {partition: [placed]}, NOW)
        if chance.random() < 0.2:
            stored.store(partition, offset)
            stored.take(partition)
            kept = offset + 1
        offset += 1
        if chance.random() < 0.03:
            # What was applied since is lost, with what it led to.
            offset = chance.randint(max(0, kept - 2), kept)
            partition = stored.start()
    stored.store(partition, len(log) - 1)
    stored.take(partition)
    return stored


def one_by_one(feed: str, log: Sequence[RawBatch], seed: int) -> Stored:
    """Apply a log row by row."""
    with patch.object(HistoryPages, "apply", lambda *_: False):
        return run(feed, log, seed, alone=True)


def assert_same(found: Stored, expected: Stored) -> None:
    """Hold two runs to be the same."""
    del found.counts["column_failures"]
    assert found.published == expected.published
    assert found.counts == expected.counts
    assert found.state() == expected.state()
    assert found.baselines == expected.baselines


@patch("stream_app.core.state.contract_store.BLOCK_CONTRACTS", 2)
@patch("stream_app.core.feed_pass.MIN_UPDATES", 1)
@patch("stream_app.core.history.MIN_ROWS", 1)
@settings(max_examples=40, deadline=None)
@given(seed=seeds, dialect=dialects)
def test_any_log_gives_what_rows_alone_give(seed: int, dialect: Any) -> None:
    """The same to the last byte, whatever stands between the rows that are plain."""
    log = History(seed, dialect).make()
    found = run(dialect.feed, log, seed)
    assert not found.counts["column_failures"]
    assert_same(found, one_by_one(dialect.feed, log, seed))


FAST = (
    (HistoryPages, "_read"),
    (HistoryPages, "_apply_together"),
    (HistoryPages, "_decide"),
    (HistoryPages, "_write"),
    (HistoryPages, "_holes_filled"),
    (HistoryPages, "_records"),
    (HistoryPages, "_name"),
    (HistoryPages, "_touch"),
    (SettlementEncoder, "encode"),
    (OutputCollector, "told"),
    (ContractStore, "baseline_grown"),
    (ContractStore, "baseline_changed"),
    (history, "addition"),
    (Baseline, "settlements_changed"),
    (history, "add_all"),
    (history, "new_run"),
    (history, "known_run"),
    (history, "_addition"),
    (history, "_estimated_from"),
    (settled_runs, "settled_interval"),
    (settled_runs, "spacing_at"),
    (settled_runs, "hole_between"),
    (settled_runs, "judged_anew"),
    (settled_runs, "_is_regular"),
    (settled_runs, "_agreeing"),
    (settled_runs, "_filled"),
)
"""The functions of the fast way; some are used when rows are applied alone, too."""


def failing(function: Callable[..., Any], chance: random.Random) -> Callable[..., Any]:
    """Return a function that fails now and then, where it is called by the fast way."""

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if In.fast and chance.random() < 0.3:
            raise RuntimeError("injected")
        return function(*arguments, **named)

    return wrapped


@cache
def known_good(seed: int, dialect: Any) -> tuple[list[RawBatch], Stored]:
    """Return a log, and what it leads to row by row."""
    log = History(seed, dialect).make()
    return log, one_by_one(dialect.feed, log, seed)


class In:
    """Whether rows are being applied together now."""

    fast = False


def marked(apply: Callable[..., bool]) -> Callable[..., bool]:
    """Return HistoryPages.apply, noting when it is at work itself."""

    def wrapped(pages: HistoryPages, frame: Any, at: Any, alone: Any) -> bool:
        def outside(rows: Sequence[int]) -> None:
            In.fast = False
            alone(rows)
            In.fast = True

        In.fast = True
        try:
            return apply(pages, frame, at, outside)
        finally:
            In.fast = False

    return wrapped


@pytest.mark.parametrize(("owner", "name"), FAST, ids=[name for _, name in FAST])
@patch("stream_app.core.state.contract_store.BLOCK_CONTRACTS", 2)
@patch("stream_app.core.feed_pass.MIN_UPDATES", 1)
@patch("stream_app.core.history.MIN_ROWS", 1)
def test_a_failure_anywhere_changes_nothing(owner: Any, name: str) -> None:
    """What is left of the record is applied row by row, and nothing twice."""
    failures = 0
    for seed, dialect in enumerate(DIALECTS):
        log, expected = known_good(seed, dialect)
        broken = failing(getattr(owner, name), random.Random(seed))
        with (
            patch.object(HistoryPages, "apply", marked(HistoryPages.apply)),
            patch.object(owner, name, broken),
        ):
            found = run(dialect.feed, log, seed)
        failures += found.counts["column_failures"]
        assert_same(found, expected)
    assert failures
