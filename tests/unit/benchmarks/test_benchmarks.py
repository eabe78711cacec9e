"""The worker's benchmarks: that their input is what they say, and their figures add up."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks.feeding import BURST_CONTRACTS, as_exchanges_send, spread_out
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
from benchmarks.speed import Followed, Sample, Speed
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


def test_a_period_has_every_contract_once_and_the_burst_at_one_instant() -> None:
    """The paced stream has the shape of the exchanges."""
    contracts = market(BURST_CONTRACTS + 30)
    period_s, sends = as_exchanges_send(contracts, 2.0)
    sent = [each.contract_id for send in sends for each in send.instruments]
    assert sorted(sent) == sorted(each.contract_id for part in contracts for each in part)
    bursts = [send for send in sends if len(send.instruments) == BURST_CONTRACTS]
    assert [send.at_s for send in bursts] == [0.0] * PARTITIONS
    assert {send.partition for send in bursts} == set(range(PARTITIONS))
    assert period_s == 0.5
    assert all(send.at_s < period_s for send in sends)


def test_records_of_one_size_are_spread_over_the_period() -> None:
    """Each contract once, the last record of a partition may be smaller."""
    contracts = market(5)
    _, sends = spread_out(contracts, 1.0, per_record=3)
    assert [send.at_s for send in sends] == sorted(send.at_s for send in sends)
    assert len({send.at_s for send in sends}) == len(sends) == 2 * PARTITIONS
    assert sorted(len(send.instruments) for send in sends) == [2] * PARTITIONS + [3] * PARTITIONS


def test_a_market_may_have_more_contracts_beyond_the_threshold() -> None:
    """With a share of 1 all z-scores are high, whatever the rates do."""
    for instrument in market(2, high_share=1.0)[0]:
        row = msgspec.json.decode(instrument.row(NOW_US // 1_000, NOW_US // 1_000))
        assert (float(row["r"]) - instrument.mean) / instrument.std > 2


def test_contracts_beyond_the_distinct_ones_have_their_settlements_and_other_names() -> None:
    """Each is in the partition of its own name."""
    contracts = market(10, distinct=3)
    every = [each for part in contracts for each in part]
    assert len({each.contract_id for each in every}) == 10 * PARTITIONS
    assert len({tuple(each.settled) for each in every}) == 3
    for partition, part in enumerate(contracts):
        assert {partition_of(each.contract_id) for each in part} == {partition}


def test_speed_counts_between_the_samples_only() -> None:
    """What came before the first sample took unknown time."""
    samples = [Sample(1.0, 100, 2.0), Sample(2.0, 700, 2.2), Sample(3.0, 1_100, 2.5)]
    assert Followed(samples, complete=True).speed == Speed(1_000, 500.0, 500.0, complete=True)
    nothing = Speed(0, 0.0, 0.0, complete=False)
    assert Followed(samples[:1], complete=True).speed == nothing
    assert Followed([], complete=False).speed == nothing
