"""Stepping by columns gives what applying record by record gives: the same records for each key.

Any log (tests/support/market_logs.py), cut into batches anywhere, over two partitions at once, and
with a restart from stored state anywhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest.mock import patch

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.serde.raw_frames import RawFrame
from stream_app.core.columns.judging import Encoders
from stream_app.core.feed_pass import Placed as PlacedFrame
from stream_app.core.feed_pass import apply_records
from stream_app.core.partition import FeedPartition, new_columns
from stream_app.normalise.binance_usdm import normalise
from tests.support.encoders import OUTPUT_ENCODERS
from tests.support.market_logs import Market, Placed, S, published

FEED = "binance-usdm"
NOW = 1_791_273_600_000_000


class Stored:
    """What of two partitions survives a restart, and what they have published."""

    def __init__(self) -> None:
        self.blocks: list[dict[int, bytes]] = [{}, {}]
        self.baselines: dict[str, bytes] = {}
        self.published: dict[tuple[int, str, str], list[Any]] = {}

    def restart(self) -> list[FeedPartition]:
        """Return partitions made from what is stored, which share their columns."""
        columns = new_columns(FEED, Encoders.of(OUTPUT_ENCODERS))
        return [
            FeedPartition(
                FEED,
                number,
                normalise,
                [blocks[index] for index in sorted(blocks)],
                self.baselines.get,
                columns=columns,
                flush_phase_us=number * S,
            )
            for number, blocks in enumerate(self.blocks)
        ]

    def state(self) -> Any:
        """What the stored bytes say, whichever flush has stored them."""
        found: list[Any] = []
        for partition in self.restart():
            blocks = [
                (
                    [msgspec.structs.asdict(contract) for contract in shard.block.contracts],
                    sorted(msgspec.to_builtins(shard.block.audits)),
                    shard.block.letters,
                    shard.block.waiting,
                )
                for shard in partition.store.all_shards
            ]
            settled = {
                symbol: (entry.baseline.settled, entry.baseline.specials)
                for symbol, entry in partition.store.entries.items()
            }
            found.append((blocks, settled))
        return found

    def take(self, partitions: Sequence[FeedPartition]) -> None:
        """Take over what partitions have published."""
        for partition in partitions:
            for (topic, key), records in published(partition).items():
                self.published.setdefault((partition.partition, topic, key), []).extend(records)

    def store(self, partitions: Sequence[FeedPartition], applied: Sequence[int]) -> None:
        """Store what has changed."""
        for partition, offset in zip(partitions, applied, strict=True):
            partition.store.mark_applied(offset)
            blocks, baselines = partition.take_dirty()
            self.blocks[partition.partition].update(blocks)
            self.baselines.update(baselines)


def alone(log: Sequence[Placed]) -> Stored:
    """Apply a log record by record."""
    stored = Stored()
    partitions = stored.restart()
    for number, offset, raw in log:
        partitions[number].apply(raw, offset, NOW)
    stored.take(partitions)
    stored.store(partitions, last_offsets(log))
    return stored


def last_offsets(log: Sequence[Placed]) -> list[int]:
    """The newest offset of each partition; −1: it has none."""
    return [max((p.offset for p in log if p.partition == part), default=-1) for part in range(2)]


def batches(log: Sequence[Placed], chance: random.Random) -> Iterator[Sequence[Placed]]:
    """Cut a log anywhere."""
    at = 0
    while at < len(log):
        size = chance.choice([1, 2, 5, 20, 100])
        yield log[at : at + size]
        at += size


def by_columns(log: Sequence[Placed], chance: random.Random, restart_at: int) -> Stored:
    """Apply a log in batches by columns; store all and start again after so many records."""
    stored = Stored()
    for begin, end in ((0, restart_at), (restart_at, len(log))):
        partitions = stored.restart()
        for batch in batches(log[begin:end], chance):
            records: dict[FeedPartition, list[PlacedFrame]] = {}
            for number, offset, raw in batch:
                frames = records.setdefault(partitions[number], [])
                frames.append(PlacedFrame(offset, RawFrame.of(raw)))
            apply_records(partitions[0].columns, records, NOW)
            if chance.random() < 0.2:
                done = log[: log.index(batch[-1]) + 1]
                stored.store(partitions, last_offsets(done))
        stored.take(partitions)
        assert not any(partition.counts["column_failures"] for partition in partitions)
        stored.store(partitions, last_offsets(log[:end]))
    return stored


@patch("stream_app.core.feed_pass.MIN_UPDATES", 1)
@patch("stream_app.core.updates.admission.WAITING_US", 20 * S)
@patch("stream_app.core.state.contract_store.BLOCK_CONTRACTS", 3)
@patch("stream_app.core.scoring.zones.QUIET_US", 12 * S)
@patch.dict("stream_app.core.scoring.zones.LASTING_US", {2.0: 6 * S, 3.0: 2 * S})
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), contracts=st.integers(1, 8), seconds=st.integers(1, 60))
def test_any_batches_give_what_single_records_give(seed: int, contracts: int, seconds: int) -> None:
    """Same records for each key in the same order, and the same stored state."""
    log = Market(seed, contracts).make(seconds)
    chance = random.Random(seed)
    expected = alone(log)
    found = by_columns(log, chance, chance.randrange(len(log)))

    assert found.published == expected.published
    assert found.state() == expected.state()


class UndisturbedMarket(Market):
    """Frames alone, over a funding time."""

    def __init__(self) -> None:
        super().__init__(seed=7, contracts=8)
        self.now = self.coming - 4 * S + S // 3

    def _oddities(self) -> list[Callable[[int], None]]:
        return [lambda _part: None]


def test_a_funding_time_passes_in_the_rows() -> None:
    """The first updates after it are stepped by columns, as the ones before it are."""
    market = UndisturbedMarket()
    log = market.make(4)
    partitions = Stored().restart()
    columns = partitions[0].columns
    for number, offset, raw in log:
        frame = PlacedFrame(offset, RawFrame.of(raw))
        apply_records(columns, {partitions[number]: [frame]}, NOW)
    updated = [item["symbol"] for placed in log[-2:] for item in placed.raw["items"]]
    rows = np.nonzero(columns.resident)[0]
    assert len(rows) > 0.8 * len(updated), "one that is applied alone is taken out of its row"
    named = {columns.next_funding_time.item(row) for row in rows}
    assert named == {market.coming}
