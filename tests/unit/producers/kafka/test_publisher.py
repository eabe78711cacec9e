"""Publishing: each piece once on its contract's partition, numbered without gaps, never dropped."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.exchanges.spec import Slice
from producers.kafka import publisher
from producers.kafka.publisher import Publisher, UndeliveredError
from producers.settings import ProducerSettings
from schemas.control_items import MAX_UNREADABLE_BYTES, TICK, UNREADABLE
from schemas.errors import UnavailableError
from schemas.kafka import clients
from schemas.partitioning import PARTITIONS, contract_id, partition_of
from schemas.records import MAX_BATCH_ITEMS, RawBatch, RawItem

FEED = "binance-usdm"


class FakeProducer:
    """librdkafka's producer as far as the publisher uses it; refuses while `full`."""

    def __init__(self, _config: dict[str, Any], **_more: Any) -> None:
        self.sent: list[tuple[str, Any, bytes | None, int]] = []
        self.callbacks: list[Callable[[Any, Any], None]] = []
        self.full = 0
        self.left = 0

    def produce(
        self, topic: str, value: Any, key: bytes | None, partition: int, on_delivery: Any
    ) -> None:
        if self.full:
            self.full -= 1
            raise BufferError
        self.sent.append((topic, value, key, partition))
        self.callbacks.append(on_delivery)

    def poll(self, _timeout: float) -> int:
        return 0

    def flush(self, _timeout: float) -> int:
        return self.left


class FakeCatalog:
    """Encodes nothing: records arrive at the fake producer as they are."""

    def encoder(self, _topic: Any) -> Any:
        return SimpleNamespace(encode=lambda record: record)


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> tuple[Publisher, FakeProducer]:
    """A publisher and the producer below it."""
    monkeypatch.setattr(clients, "producer", FakeProducer)
    monkeypatch.setattr(publisher, "_FULL_S", 0.001)
    made = Publisher(FEED, ProducerSettings(), cast("Any", FakeCatalog()))
    return made, cast("FakeProducer", made._producer)


async def publish(to: Publisher, slices: list[Slice], connection: str = "c/1") -> int:
    """Publish the pieces of one frame."""
    return await to.publish(
        slices,
        transport="ws",
        purpose="stream",
        channel="!markPrice@arr@1s",
        connection_id=connection,
        received_at=1_700_000_000_000_000,
    )


def batches(fake: FakeProducer) -> list[tuple[int, RawBatch]]:
    """What was produced: partition and record."""
    return [(partition, value) for _topic, value, _key, partition in fake.sent]


@given(st.lists(st.integers(0, 300), max_size=60), st.integers(1, 400))
def test_chunks_lose_nothing_and_stay_below_the_bound(sizes: list[int], bound: int) -> None:
    """Order is kept, no chunk is empty, and only a single larger item exceeds the bound."""
    items: list[RawItem] = [
        {"symbol": str(n), "payload": b"x" * size, "received_at": n} for n, size in enumerate(sizes)
    ]
    with mock.patch.object(publisher, "BATCH_BYTES", bound):
        chunks = list(publisher._chunks(items))
    assert [item for chunk in chunks for item in chunk] == items
    for chunk in chunks:
        assert chunk
        assert len(chunk) == 1 or sum(len(item["payload"]) for item in chunk) <= bound


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


async def test_sequences_have_no_gap_per_connection_and_partition(
    kafka: tuple[Publisher, FakeProducer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where one frame needs several records; another connection counts by itself."""
    monkeypatch.setattr(publisher, "BATCH_BYTES", 500)
    to, fake = kafka
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


async def test_a_full_queue_makes_the_caller_wait_and_drops_nothing(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """While Kafka is away `publish` does not return; afterwards everything is there once."""
    to, fake = kafka
    fake.full = 5
    slices = [Slice(f"S{n}USDT", b"{}") for n in range(50)]
    assert await publish(to, slices) == 50
    assert to.waits == 5
    assert sum(len(batch["items"]) for _, batch in batches(fake)) == 50


async def test_a_refused_record_is_told_by_whoever_asks_next(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """Serving, publishing and waiting for delivery all end with the broker's reason."""
    to, fake = kafka
    await publish(to, [Slice("AUSDT", b"{}")])
    await to.flush()
    error = "Broker: Message size too large"
    fake.callbacks[0](error, SimpleNamespace(topic=lambda: "funding.raw.binance-usdm"))
    more = [Slice(f"S{n}USDT", b"{}") for n in range(publisher.GATHER_BELOW)]
    for attempt in (to.serve(), publish(to, more), to.delivered()):
        with pytest.raises(UnavailableError, match="was refused: Broker: Message size too large"):
            await attempt


async def test_what_is_undelivered_at_the_end_is_told(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """A stop that could not hand everything over does not look like a clean one."""
    to, fake = kafka
    await to.delivered()
    fake.left = 3
    with pytest.raises(UnavailableError, match="3 records"):
        await to.delivered(0.1)


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
        with mock.patch.object(clients, "producer", FakeProducer):
            to = Publisher(FEED, ProducerSettings(), cast("Any", FakeCatalog()))
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
        for partition, batch in batches(cast("FakeProducer", to._producer)):
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


async def test_a_piece_too_long_for_a_record_goes_to_the_dead_letters(
    kafka: tuple[Publisher, FakeProducer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its beginning is kept, it is counted, and the others are published as ever."""
    monkeypatch.setattr(publisher, "MAX_ITEM_BYTES", 10)
    monkeypatch.setattr(publisher, "MAX_UNREADABLE_BYTES", 4)
    to, fake = kafka
    await publish(to, [Slice("AUSDT", b"0123456789"), Slice("BUSDT", b"01234567890")])
    await to.flush()
    assert to.oversized == 1
    found = {batch["channel"]: (p, batch["items"][0]) for p, batch in batches(fake)}
    assert found["!markPrice@arr@1s"][1]["payload"] == b"0123456789"
    partition, item = found[UNREADABLE]
    assert (partition, item["symbol"], item["payload"]) == (0, None, b"0123")


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


async def test_history_is_waited_for_by_itself(kafka: tuple[Publisher, FakeProducer]) -> None:
    """A stream that never pauses does not keep it from being acknowledged."""
    to, fake = kafka
    await publish(to, [Slice("AUSDT", b"{}")])
    await to.publish(
        [Slice("AUSDT", b"{}")],
        transport="rest",
        purpose="history",
        channel="fundingRate",
        connection_id="history",
        received_at=7,
    )
    with pytest.raises(UndeliveredError, match="1 records"):
        await to.acknowledged(0.01)
    fake.callbacks[-1](None, None)
    await to.acknowledged(0.01)


async def test_an_unreadable_row_goes_to_the_dead_letters(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """Byte for byte and counted, whatever the purpose; the rows beside it as ever."""
    to, fake = kafka
    odd = Slice(None, b"{odd}", readable=False)
    await publish(to, [Slice("AUSDT", b"{}"), odd, Slice("BUSDT", b"{}")])
    await to.flush()
    found = [
        (batch["channel"], p, item["symbol"], item["payload"])
        for p, batch in batches(fake)
        for item in batch["items"]
    ]
    assert (UNREADABLE, 0, None, b"{odd}") in found
    assert sorted(str(symbol) for _, _, symbol, _ in found) == ["AUSDT", "BUSDT", "None"]
    assert (to.unreadable, to.oversized) == (1, 0)


async def test_a_symbol_that_is_none_makes_no_record_too_large(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """Kafka would refuse the record, and that ends all feeds: its row goes to the dead letters."""
    to, fake = kafka
    long = "A" * (3 << 20)
    await publish(
        to, [Slice(long, b"{long}"), Slice("A\nB", b"{odd}"), Slice("币安人生USDT", b"{}")]
    )
    await to.flush()
    found = [
        (b["channel"], i["symbol"], i["payload"]) for _, b in batches(fake) for i in b["items"]
    ]
    assert sorted(found, key=str) == [
        ("!markPrice@arr@1s", "币安人生USDT", b"{}"),
        (UNREADABLE, None, b"{long}"),
        (UNREADABLE, None, b"{odd}"),
    ]
    assert to.unreadable == 2


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


async def test_how_long_kafka_takes_nothing_is_known(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """While a record waits for room in the queue; not before, and no longer behind it."""
    to, fake = kafka
    assert to.full_for_s == 0.0
    fake.full = 1_000_000
    waiting = asyncio.create_task(publish(to, [Slice(f"S{n}USDT", b"{}") for n in range(50)]))
    async with asyncio.timeout(10):
        while to.full_for_s == 0.0:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
    fake.full = 0
    assert await waiting == 50
    assert to.full_for_s == 0.0


async def test_a_cancelled_flush_loses_nothing(kafka: tuple[Publisher, FakeProducer]) -> None:
    """What waits for room when a feed is ended goes out with the next flush, in order, once."""
    to, fake = kafka
    pieces = [Slice(f"S{n}USDT", b"%d" % n) for n in range(50)]
    fake.full = 1_000_000
    waiting = asyncio.create_task(publish(to, pieces))
    async with asyncio.timeout(10):
        while to.full_for_s == 0.0:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    fake.full = 0
    await publish(to, [Slice("S0USDT", b"later")])
    await to.flush()
    sent = [item for _, batch in batches(fake) for item in batch["items"]]
    expected = sorted([*(piece.payload for piece in pieces), b"later"])
    assert sorted(item["payload"] for item in sent) == expected
    mine = [item["payload"] for item in sent if item["symbol"] == "S0USDT"]
    assert mine == [b"0", b"later"]


async def test_what_is_closed_is_forgotten_though_a_flush_was_cancelled(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """By the next one; a feed that runs anew keeps its journal's counters alone."""
    to, fake = kafka
    for connection in ("old/ws", "old/rest", "journal"):
        await publish(to, [Slice("AUSDT", b"1")], connection)
    await to.flush()
    await publish(to, [Slice("AUSDT", b"2")], "journal")
    to.forget_all_but("journal")
    fake.full = 1_000_000
    flushing = asyncio.create_task(to.flush())
    async with asyncio.timeout(10):
        while to.full_for_s == 0.0:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
    flushing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await flushing
    fake.full = 0
    await to.flush()
    assert {connection for connection, _ in to._sequences} == {"journal"}
    assert [b["sequence"] for _, b in batches(fake) if b["connection_id"] == "journal"] == [0, 1]


async def test_serving_goes_on_after_it_was_cancelled(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """What was gathered between the two, while nobody served, is sent by the second."""
    to, fake = kafka
    for number in (b"1", b"2"):
        await publish(to, [Slice("AUSDT", number)])
        serving = asyncio.create_task(to.serve())
        async with asyncio.timeout(10):
            while len(fake.sent) < int(number):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0)
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    assert [b["items"][0]["payload"] for _, b in batches(fake)] == [b"1", b"2"]


HOSTILE = ["", "A B", "A\x00", "BTC\u202eTDSU", "<b>", "X" * 1_000_000]


@pytest.mark.parametrize("symbol", HOSTILE, ids=lambda symbol: repr(symbol[:8]))
async def test_a_symbol_that_can_be_none_is_a_dead_letter(
    kafka: tuple[Publisher, FakeProducer], symbol: str
) -> None:
    """Without a name, on partition 0, and counted; the others of its message go out."""
    to, fake = kafka
    await publish(to, [Slice(symbol, b"{}"), Slice("AUSDT", b"[]")])
    await to.flush()
    by_channel = {batch["channel"]: (partition, batch) for partition, batch in batches(fake)}
    partition, odd = by_channel[UNREADABLE]
    assert (partition, odd["items"][0]["symbol"], odd["items"][0]["payload"]) == (0, None, b"{}")
    assert by_channel["!markPrice@arr@1s"][1]["items"][0]["symbol"] == "AUSDT"
    assert (to.unreadable, to.items) == (1, 2)


async def test_a_message_makes_only_so_many_dead_letters(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """The last one has all the other pieces, as far as it goes; each is counted."""
    to, fake = kafka
    many = [Slice(None, b"piece %d" % n, readable=False) for n in range(90_000)]
    await publish(to, many)
    payloads = [item["payload"] for _, batch in batches(fake) for item in batch["items"]]
    assert len(payloads) == publisher.MAX_LETTERS
    assert payloads[:2] == [b"piece 0", b"piece 1"]
    assert payloads[-1].startswith(b"piece 31\npiece 32\n")
    assert len(payloads[-1]) <= MAX_UNREADABLE_BYTES
    assert to.unreadable == 90_000


async def test_a_channel_without_a_bound_is_none(kafka: tuple[Publisher, FakeProducer]) -> None:
    """An exchange names its streams as it likes; ours have a hundred characters at most."""
    to, fake = kafka
    await to.publish(
        [Slice("AUSDT", b"{}")],
        transport="ws",
        purpose="stream",
        channel="c" * 1_000,
        connection_id="c/1",
        received_at=1,
    )
    await to.flush()
    assert [batch["channel"] for _, batch in batches(fake)] == [UNREADABLE]


async def test_a_record_has_only_so_many_items(kafka: tuple[Publisher, FakeProducer]) -> None:
    """However short they are: the worker refuses records that are much longer."""
    to, fake = kafka
    count = 2 * MAX_BATCH_ITEMS + 1
    await publish(to, [Slice("AUSDT", b"{}")] * count)
    sizes = [len(batch["items"]) for _, batch in batches(fake)]
    assert sizes == [MAX_BATCH_ITEMS, MAX_BATCH_ITEMS, 1]
