"""Publishing: each piece once on its contract's partition, in order, numbered without gaps."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from producers.exchanges.spec import Slice
from producers.kafka.batching import RecordLimits
from producers.kafka.publisher import Publisher
from schemas.control_items import TICK
from schemas.partitioning import PARTITIONS, contract_id, partition_of
from schemas.records import RawBatch
from tests.support.fake_kafka import FEED, FakeProducer, batches, publish, publisher_of


async def test_every_piece_lands_once_on_the_partition_of_its_contract(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """In the frame's order within a partition, and in no more records than there are partitions."""
    to, fake = kafka
    slices = [Slice(f"S{n}USDT", f'{{"s":"S{n}USDT"}}'.encode()) for n in range(200)]
    assert await publish(to, slices) == 200
    sent: dict[int, list[Slice]] = defaultdict(list)
    for partition, batch in batches(fake):
        sent[partition] += [Slice(item["symbol"], item["payload"]) for item in batch["items"]]
    assert len(fake.sent) == len(sent) == 8
    for partition, pieces in sent.items():
        wanted = [s for s in slices if partition_of(contract_id(FEED, str(s.symbol))) == partition]
        assert pieces == wanted


async def test_pieces_without_a_symbol_go_to_partition_0(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """A whole unreadable message belongs to no contract."""
    to, fake = kafka
    await publish(to, [Slice(None, b"junk")])
    await to.flush()
    ((partition, batch),) = batches(fake)
    assert partition == 0
    assert batch["items"][0] == {
        "symbol": None,
        "payload": b"junk",
        "received_at": 1_700_000_000_000_000,
    }


async def test_sequences_have_no_gap_per_connection_and_partition() -> None:
    """Also where one frame needs several records; another connection counts by itself."""
    to, fake = publisher_of(RecordLimits(batch_bytes=500))
    slices = [Slice(f"S{n}USDT", b"x" * 100) for n in range(60)]
    for connection in ("c/1", "c/2", "c/1"):
        await publish(to, slices, connection)
    seen: dict[tuple[str, int], list[int]] = defaultdict(list)
    for partition, batch in batches(fake):
        seen[batch["connection_id"], partition].append(batch["sequence"])
    assert len(seen) == 16
    assert max(map(len, seen.values())) > 2
    for numbers in seen.values():
        assert numbers == list(range(len(numbers)))


frames_st = st.lists(
    st.tuples(st.sampled_from(["c/1", "c/2"]), st.lists(st.integers(0, 30), max_size=10)),
    max_size=40,
)


@given(frames_st)
@settings(max_examples=30)
def test_gathering_keeps_each_piece_once_and_in_order(
    frames: list[tuple[str, list[int]]],
) -> None:
    """Per connection and partition: the pieces as they came, in records numbered without gaps."""

    async def scenario() -> None:
        to, fake = publisher_of()
        sent: dict[tuple[str, int], list[bytes]] = defaultdict(list)
        for number, (connection, rows) in enumerate(frames):
            slices = [Slice(f"S{row}USDT", b"%d/%d" % (number, row)) for row in rows]
            await publish(to, slices, connection)
            for piece in slices:
                partition = partition_of(contract_id(FEED, str(piece.symbol)))
                sent[connection, partition].append(piece.payload)
        await to.flush()
        got: dict[tuple[str, int], list[bytes]] = defaultdict(list)
        numbers: dict[tuple[str, int], list[int]] = defaultdict(list)
        for partition, batch in batches(fake):
            key = (batch["connection_id"], partition)
            got[key] += [item["payload"] for item in batch["items"]]
            numbers[key].append(batch["sequence"])
        assert got == sent
        assert all(found == list(range(len(found))) for found in numbers.values())

    asyncio.run(scenario())


async def test_frames_of_a_row_each_share_records(kafka: tuple[Publisher, FakeProducer]) -> None:
    """326 contracts with a frame each do not make 326 records; each keeps its time of receipt."""
    to, fake = kafka
    for n in range(40):
        await to.publish(
            [Slice(f"S{n}USDT", b"{}")],
            transport="ws",
            purpose="stream",
            channel="activeAssetCtx",
            connection_id="c/1",
            received_at=1_000 + n,
        )
    assert fake.sent == []
    await to.flush()
    assert len(fake.sent) == 8
    received = [item["received_at"] for _, batch in batches(fake) for item in batch["items"]]
    assert sorted(received) == [1_000 + n for n in range(40)]
    for _, batch in batches(fake):
        assert batch["received_at"] == batch["items"][0]["received_at"]


async def test_nothing_overtakes_what_waits(kafka: tuple[Publisher, FakeProducer]) -> None:
    """A call that goes out at once takes the waiting pieces before it."""
    to, fake = kafka
    await publish(to, [Slice("AUSDT", b"first")])
    await to.publish(
        [Slice("AUSDT", b"second")],
        transport="rest",
        purpose="fallback",
        channel="premiumIndex",
        connection_id="rest",
        received_at=7,
    )
    assert [batch["items"][0]["payload"] for _, batch in batches(fake)] == [b"first", b"second"]


async def test_a_tick_reaches_every_partition_behind_what_came_before(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """All until its time is on the log then: nothing that is older may stand behind it."""
    to, fake = kafka
    slices = [Slice(f"S{n}USDT", b"{}") for n in range(60)]
    for piece in slices:
        await publish(to, [piece])
    await to.tick("binance-usdm/producer/1", 1_700_000_000_000_001)
    await publish(to, slices)
    await to.tick("binance-usdm/producer/1", 1_700_000_005_000_002)
    by_partition: dict[int, list[RawBatch]] = defaultdict(list)
    for partition, batch in batches(fake):
        by_partition[partition].append(batch)
    assert by_partition.keys() == set(range(PARTITIONS))
    for found in by_partition.values():
        ticks = [batch for batch in found if batch["channel"] == TICK]
        assert [(b["sequence"], b["received_at"], b["transport"], b["purpose"]) for b in ticks] == [
            (0, 1_700_000_000_000_001, "rest", "contract"),
            (1, 1_700_000_005_000_002, "rest", "contract"),
        ]
        for batch in ticks:
            assert batch["connection_id"] == "binance-usdm/producer/1"
            (item,) = batch["items"]
            assert (item["symbol"], item["payload"]) == (None, b"")
        assert [batch["channel"] == TICK for batch in found][-1]
        order = [item["received_at"] for batch in found for item in batch["items"]]
        first = [batch["channel"] for batch in found].index(TICK)
        pieces = [item for batch in found[:first] for item in batch["items"]]
        later = [item for batch in found[first + 1 : -1] for item in batch["items"]]
        assert [p["symbol"] for p in pieces] == [p["symbol"] for p in later]
        assert len(order) == len(pieces) + len(later) + 2
    assert sum(len(b["items"]) for found in by_partition.values() for b in found) == (
        2 * len(slices) + 2 * PARTITIONS
    )


async def test_a_closed_connection_is_forgotten_behind_its_last_pieces(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """The counters of thousands of reconnects do not pile up, and none is reused too early."""
    to, fake = kafka
    await publish(to, [Slice(f"S{n}USDT", b"{}") for n in range(20)], "c/1")
    await publish(to, [Slice("S1USDT", b"{}")], "c/1")
    to.forget("c/1")
    await to.flush()
    assert not to._sequences
    last = [batch["sequence"] for _, batch in batches(fake)][-1]
    assert last == 1
