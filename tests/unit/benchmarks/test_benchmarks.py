"""The worker's benchmarks: that their input is what they say, and their figures add up."""

from __future__ import annotations

import json

import pytest

from benchmarks.feeding import BURST_CONTRACTS, cycle
from benchmarks.load import (
    FEED,
    SETTLEMENTS_EACH,
    WINDOW_SETTLEMENTS,
    facts_batches,
    history_batches,
    market,
    update_batch,
)
from benchmarks.rivals.job import step
from benchmarks.throughput import OURS, Sample, Speed, table
from schemas.partitioning import PARTITIONS, partition_of
from schemas.times import US_PER_HOUR, US_PER_S
from schemas.topics import RATES, SETTLEMENTS, ZSCORES
from stream_app.core.partition import FeedPartition
from stream_app.normalise import normaliser

NOW_US = 1_790_000_000 * US_PER_S // US_PER_HOUR * US_PER_HOUR


def test_the_market_lives_in_its_partitions() -> None:
    """The load is spread as real contracts are."""
    contracts = market(5)
    assert [len(part) for part in contracts] == [5] * PARTITIONS
    for partition, part in enumerate(contracts):
        assert {partition_of(each.contract_id) for each in part} == {partition}


def test_the_same_seed_gives_the_same_rows() -> None:
    """Two runs measure the same rows, as long as real ones."""
    first, second = (update_batch(market(3)[0], 1_790_000_000_000, NOW_US) for _ in range(2))
    assert first == second
    assert all(170 <= len(item["payload"]) <= 230 for item in first["items"])


def test_the_worker_scores_the_load_as_the_rivals_do() -> None:
    """Worker and rivals score against the same mean and deviation."""
    instruments = market(20)[0]
    state = FeedPartition(FEED, 0, normaliser(FEED))
    before = NOW_US + US_PER_S
    batches = [*facts_batches(instruments, before), *history_batches(instruments, before)]
    for second in range(2, 5):
        at = NOW_US + second * US_PER_S
        batches.append(update_batch(instruments, at // 1_000, at))
    for offset, batch in enumerate(batches):
        state.apply(batch, offset, before)
    taken = state.take_outputs()
    assert not taken.dead_letters
    outputs = taken.records()
    settled = [o.record for o in outputs if o.topic is SETTLEMENTS]
    # The first of a contract is told again when the second shows its interval.
    assert len(settled) == 20 * (SETTLEMENTS_EACH + 1)
    assert len({(s["symbol"], s["funding_time"]) for s in settled}) == 20 * SETTLEMENTS_EACH
    assert sum(output.topic is RATES for output in outputs) == 20 * 3
    zscores = {o.record["symbol"]: o.record for o in outputs if o.topic is ZSCORES}
    for each in instruments:
        record = zscores[each.symbol]
        assert record["samples"] == WINDOW_SETTLEMENTS
        assert record["mean"] == pytest.approx(each.mean)
        assert record["std"] == pytest.approx(each.std)


def test_the_rivals_drop_repeats_and_score_changes() -> None:
    """The rivals' step is the job's."""
    statistics = {"x": (0.0, 1.0)}
    update = {"contract_id": "x", "rate": 3.0, "event_time": 10}
    first = step(None, update, statistics)
    assert first is not None
    state, z = first
    assert (state, z) == ({"rate": 3.0, "event_time": 10, "updates": 1}, None)
    assert step(state, update, statistics) is None
    assert step(state, {**update, "event_time": 11}, statistics) == (
        {"rate": 3.0, "event_time": 11, "updates": 2},
        None,
    )
    changed = step(state, {**update, "event_time": 11, "rate": 4.0}, statistics)
    assert changed is not None
    assert changed[1] == 4.0


def test_a_cycle_has_every_contract_once_and_the_burst_at_one_instant() -> None:
    """The paced stream has the shape of the exchanges."""
    contracts = market(BURST_CONTRACTS + 30)
    sends = cycle(contracts, 1.0)
    sent = [each.contract_id for send in sends for each in send.instruments]
    assert sorted(sent) == sorted(each.contract_id for part in contracts for each in part)
    bursts = [send for send in sends if len(send.instruments) == BURST_CONTRACTS]
    assert [send.at_s for send in bursts] == [0.0] * PARTITIONS
    assert {send.partition for send in bursts} == set(range(PARTITIONS))


def test_speed_counts_between_the_samples_only() -> None:
    """What came before the first sample took unknown time."""
    speed = Speed.between(Sample(1.0, 100, 2.0), Sample(3.0, 1_100, 2.5), 1_100, complete=True)
    assert speed == Speed(1_100, 500.0, 500.0, complete=True)
    assert Speed.between(Sample(1.0, 5, 0.0), Sample(1.0, 5, 0.0), 5, complete=True) == Speed(
        5, 0.0, 0.0, complete=False
    )


def test_the_table_gives_ratios_and_names_what_was_not_finished() -> None:
    """Ratios are ours to theirs, more is better."""
    speeds = {
        63: {
            OURS: Speed(10, 900.0, 10.0, complete=True),
            "other": Speed(4, 300.0, 40.0, complete=False),
        }
    }
    result = table(speeds)
    assert result["63 a record: other, of the backlog done"] == 4
    assert result[f"63 a record: {OURS} / other, by updates/s, by CPU"] == (3.0, 4.0)
    assert json.dumps(result)
