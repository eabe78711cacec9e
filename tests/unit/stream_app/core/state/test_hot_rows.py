"""Blocks some of whose contracts are stored as columns."""

from __future__ import annotations

import msgspec
import pytest

from schemas.errors import StateError
from schemas.serde.raw_frames import RawFrame
from stream_app.core.feed_pass import Placed, apply_records
from stream_app.core.partition import FeedPartition
from stream_app.core.state.contract_state import VERSION, VERSION_WITH_ROWS, ContractBlock
from stream_app.normalise.binance_usdm import normalise
from tests.support.partitions import NOW, T0, Partition, S, at_z, batch, rated_partition, tick


def stepped() -> Partition:
    """A partition one of whose contracts is in its row, with a bar and updates that are held."""
    partition = rated_partition()
    partition.facts({"symbol": "AUSDT", "fundingIntervalHours": 8}, "fundingInfo")
    partition.facts({"symbol": "AUSDT", "status": "TRADING"}, "exchangeInfo")
    for second in range(20):
        at = T0 + second * S
        frames = [
            Placed(
                partition.offset + number,
                RawFrame.of(batch([tick("AUSDT", at_z(0.1 * second), at + number)], at)),
            )
            for number in range(0, 7_000, 1_000)
        ]
        apply_records(partition.columns, {partition: frames}, NOW)
        partition.offset += 7_000
    assert partition.store.entries["AUSDT"].resident
    return partition


def packed(partition: FeedPartition) -> bytes:
    """The first block, as it is stored."""
    for shard in partition.store.shards:
        shard.dirty = True
    blocks, _ = partition.take_dirty()
    return dict(blocks)[0]


def test_a_block_with_rows_is_read_as_what_it_was() -> None:
    """Held updates, the open bar, the stream, the current rate. The version tells old programs."""
    partition = stepped()
    data = packed(partition)
    assert msgspec.msgpack.decode(data)[0] == VERSION_WITH_ROWS
    read = ContractBlock.unpack(data)
    assert (read.version, read.rows) == (VERSION, None)
    expected = list(partition.contracts)
    assert read.contracts == expected
    assert expected[0].bars.bar is not None
    assert len(expected[0].bars.held) > 10


def test_a_restart_goes_on_from_it() -> None:
    """The next update finds what was stored."""
    partition = stepped()
    partition.store.mark_applied(partition.offset - 1)
    blocks, baselines = partition.take_dirty()
    again = FeedPartition("binance-usdm", 3, normalise, [blocks[0][1]], dict(baselines).get)
    at = T0 + 30 * S
    for each in (partition, again):
        each.apply(batch([tick("AUSDT", at_z(0.5), at)], at), partition.offset, NOW)
    assert list(again.contracts) == list(partition.contracts)


@pytest.mark.parametrize("field", range(8))
def test_damaged_rows_are_refused(field: int) -> None:
    """Bytes that are cut, and positions and counts that fit nothing."""
    block = msgspec.msgpack.decode(packed(stepped()))
    rows = block[-1]
    value = rows[field]
    if isinstance(value, dict):
        rows[field] = {name: data[:-3] for name, data in value.items()}
    else:
        rows[field] = value[:-3] if isinstance(value, bytes) else [99 for _ in value]
    with pytest.raises(StateError, match="damaged"):
        ContractBlock.unpack(msgspec.msgpack.encode(block))


def test_what_is_packed_once_is_packed_anew_when_it_changes() -> None:
    """An alert's state changes beside the columns."""
    partition = stepped()
    before = ContractBlock.unpack(packed(partition)).contracts[0].alerts
    at = T0 + 20 * S
    frames = [
        Placed(
            partition.offset + number,
            RawFrame.of(batch([tick("AUSDT", at_z(2.2), at + number * 1_000)], at)),
        )
        for number in range(7)
    ]
    apply_records(partition.columns, {partition: frames}, NOW)
    after = ContractBlock.unpack(packed(partition)).contracts[0].alerts
    assert before.excursions == []
    assert [excursion.threshold for excursion in after.excursions] == [2.0]
    assert partition.store.entries["AUSDT"].resident
