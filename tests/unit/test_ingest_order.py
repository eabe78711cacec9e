"""Ingest: outputs, then baselines, then blocks, then acks; and what the log's holes lead to.

Store, Log and Outbox are protocols of ours; here they keep a journal of what is asked of them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from schemas.codec import Decoder, Encoder
from schemas.errors import StateError, UnavailableError
from schemas.records import RAW_BATCH, HourlyBar, Purpose, RawItem
from schemas.times import US_PER_HOUR
from stream_app.core.outputs import DeadLetter, Output, Outputs
from stream_app.ingest import QUIET_ROUNDS, HoleError, Ingest
from stream_app.outbox import Generation, Outbox

TOPIC = "funding.raw.binance-usdm"
S = 1_000_000
HOUR_US = 1_791_273_600_000_000
encode = Encoder(RAW_BATCH, 1).encode


@dataclass
class Journal:
    """What happened, in order."""

    entries: list[tuple[str, Any]] = field(default_factory=list)

    def of(self, kind: str) -> list[Any]:
        """What happened of one kind."""
        return [what for happened, what in self.entries if happened == kind]

    def kinds(self) -> list[str]:
        """The kinds in order, each run of the same one once."""
        found: list[str] = []
        for kind, _ in self.entries:
            if found[-1:] != [kind]:
                found.append(kind)
        return found


class MemoryStore:
    """A table in memory. A value is stored when its changelog future is awaited."""

    def __init__(self, journal: Journal, name: str) -> None:
        self.journal, self.name = journal, name
        self.values: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """A stored value."""
        return self.values.get(key)

    def put(self, partition: int, key: bytes, value: bytes) -> Awaitable[Any]:
        """Store, durable a moment later."""

        async def changelog() -> None:
            await asyncio.sleep(0)
            self.values[key] = value
            self.journal.entries.append((f"{self.name} stored", (partition, key)))

        return changelog()


class MemoryBars:
    """The table of bars."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.bars: list[HourlyBar] = []

    def put(self, partition: int, bar: HourlyBar) -> Awaitable[Any]:
        """Store, durable a moment later."""

        async def changelog() -> None:
            await asyncio.sleep(0)
            self.bars.append(bar)
            self.journal.entries.append(("bars stored", (partition, bar["hour"])))

        return changelog()

    def newest(self, contract: str, limit: int) -> list[HourlyBar]:
        """All of a contract."""
        return [bar for bar in self.bars if bar["contract_id"] == contract][-limit:]


class MemoryLog:
    """A raw log that only notes where it is asked to read on."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.ends: dict[tuple[str, int], int] = {}
        self.begins: dict[tuple[str, int], int] = {}

    async def begin(self, topic: str, partition: int) -> int:
        """The oldest record that is still there."""
        return self.begins.get((topic, partition), 0)

    def end(self, topic: str, partition: int) -> int | None:
        """The end of the log."""
        return self.ends.get((topic, partition))


class MemoryOutbox:
    """Keeps what is published; delivers when it is asked to, or fails to."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.outputs: list[Output] = []
        self.letters: list[DeadLetter] = []
        self.undelivered: list[Output] = []
        self.error: Exception | None = None
        self.asked = asyncio.Event()

    def publish(self, taken: Outputs, partition: int) -> int:
        """Take records."""
        outputs = taken.records()
        self.outputs += outputs
        self.letters += taken.dead_letters
        self.undelivered += outputs
        if outputs or taken.dead_letters:
            self.journal.entries.append(("published", partition))
        return 0

    def cut(self) -> Generation:
        """What was published so far."""
        generation = Generation()
        generation.pending = len(self.undelivered)
        return generation

    async def delivered(self, generation: Generation) -> None:
        """Wait for the broker."""
        self.asked.set()
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        del self.undelivered[: generation.pending]
        self.journal.entries.append(("delivered", generation.pending))

    def records(self, topic: str) -> list[Any]:
        """What was published to a topic."""
        return [o.record for o in self.outputs if o.topic.name == topic]


@dataclass
class Message:
    """A Kafka message, as Faust's events carry it."""

    offset: int
    value: bytes | None
    partition: int = 0
    topic: str = TOPIC
    timestamp: float = HOUR_US / S + 7.5


class Event:
    """A Faust event."""

    def __init__(self, journal: Journal, message: Message) -> None:
        self.journal, self.message = journal, message

    def ack(self) -> None:
        """Note the ack."""
        self.journal.entries.append(("acked", self.message.offset))


def raw(
    items: list[RawItem], received_at: int, purpose: Purpose = "stream", channel: str = "c"
) -> bytes:
    """The value of a raw record."""
    return encode(
        {
            "feed": "binance-usdm",
            "transport": "ws",
            "purpose": purpose,
            "channel": channel,
            "connection_id": "c",
            "sequence": 0,
            "received_at": received_at,
            "items": items,
        }
    )


def tick(rate: float, at: int, symbol: str = "AUSDT") -> bytes:
    """A raw record of one row of the stream."""
    row = {
        "e": "markPriceUpdate",
        "E": at // 1_000,
        "s": symbol,
        "p": "7.5",
        "r": repr(rate),
        "T": (HOUR_US + 8 * US_PER_HOUR) // 1_000,
    }
    return raw([{"symbol": symbol, "payload": json.dumps(row).encode(), "received_at": at}], at)


def settled(hours: int, symbol: str = "AUSDT") -> bytes:
    """A raw record of one settlement."""
    at = HOUR_US + hours * US_PER_HOUR
    row = {"symbol": symbol, "fundingTime": at // 1_000, "fundingRate": "0.0001"}
    item: RawItem = {"symbol": symbol, "payload": json.dumps(row).encode(), "received_at": at}
    return raw([item], HOUR_US, "history", "fundingRate")


class Bench:
    """An Ingest with its surroundings; `restart` keeps the tables alone."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.contracts = MemoryStore(self.journal, "blocks")
        self.baselines = MemoryStore(self.journal, "baselines")
        self.bars = MemoryBars(self.journal)
        self.log = MemoryLog(self.journal)
        self.outbox = MemoryOutbox(self.journal)
        self.restart()

    def restart(self) -> None:
        """A new process."""
        self.ingest = Ingest(
            Decoder(RAW_BATCH, lambda _id: RAW_BATCH.text),
            cast("Outbox", self.outbox),
            self.contracts,
            self.baselines,
            self.bars,
            self.log,
        )

    async def feed(self, *messages: Message) -> None:
        """Hand over messages in this order."""
        for message in messages:
            await self.ingest.handle(Event(self.journal, message))

    def applied(self) -> list[int]:
        """Offsets of the accepted rates, in the order in which they were applied."""
        return [record["raw_offset"] for record in self.outbox.records("funding.rates")]


@pytest.fixture
def bench() -> Bench:
    """Fresh tables and an empty log."""
    return Bench()


def ticks(first: int, last: int) -> list[Message]:
    """Raw records at consecutive offsets, each with an update of its own."""
    return [
        Message(offset, tick(0.0001 + offset * 1e-7, HOUR_US + offset * S))
        for offset in range(first, last + 1)
    ]


class TestFlush:
    """The order that makes it correct (design §6)."""

    async def test_a_closed_bar_is_published_and_stored_before_its_block(
        self, bench: Bench
    ) -> None:
        """The table has what the topic has."""
        await bench.feed(
            Message(5, tick(0.0001, HOUR_US)),
            Message(6, tick(0.0002, HOUR_US + US_PER_HOUR + 11 * S)),
            Message(7, tick(0.0002, HOUR_US + US_PER_HOUR + 16 * S)),
        )
        await bench.ingest.flush()
        assert [bar["hour"] for bar in bench.bars.bars] == [HOUR_US]
        assert bench.outbox.records("funding.bars") == bench.bars.bars
        names = [name for name, _ in bench.journal.entries]
        assert names.index("delivered") < names.index("bars stored") < names.index("blocks stored")

    async def test_outputs_then_baselines_then_blocks_then_acks(self, bench: Bench) -> None:
        """Each step complete before the next begins."""
        await bench.feed(Message(5, settled(0)), Message(6, tick(0.0001, HOUR_US + S)))
        await bench.ingest.flush()
        assert bench.journal.kinds() == [
            "published",
            "delivered",
            "baselines stored",
            "blocks stored",
            "acked",
        ]
        assert bench.journal.of("delivered") == [3]
        assert bench.journal.of("baselines stored") == [(0, b"binance-usdm:AUSDT")]
        assert bench.journal.of("blocks stored") == [(0, b"binance-usdm/0/0")]
        assert bench.journal.of("acked") == [5, 6]

    async def test_nothing_is_acked_before_a_flush(self, bench: Bench) -> None:
        """A crash would lose it."""
        await bench.feed(*ticks(5, 9))
        assert bench.journal.of("acked") == []

    async def test_an_undelivered_output_stops_the_flush(self, bench: Bench) -> None:
        """No state moves past outputs that the broker does not have."""
        await bench.feed(*ticks(5, 6))
        bench.outbox.error = UnavailableError("no broker")
        with pytest.raises(UnavailableError):
            await bench.ingest.flush()
        assert bench.journal.kinds() == ["published"]
        assert (bench.contracts.values, bench.baselines.values) == ({}, {})

    async def test_a_flush_without_changes_stores_and_acks_nothing(self, bench: Bench) -> None:
        """Every second on a silent log."""
        await bench.feed(*ticks(5, 5))
        await bench.ingest.flush()
        before = len(bench.journal.entries)
        await bench.ingest.flush()
        assert [kind for kind, _ in bench.journal.entries[before:]] == ["delivered"]

    async def test_what_arrives_during_a_flush_waits_for_the_next(self, bench: Bench) -> None:
        """It is in no stored block, so it must not be acked with it."""
        await bench.feed(*ticks(5, 6))
        flushing = asyncio.create_task(bench.ingest.flush())
        await bench.outbox.asked.wait()
        await bench.feed(*ticks(7, 7))
        await flushing
        assert bench.journal.of("acked") == [5, 6]
        await bench.ingest.flush()
        assert bench.journal.of("acked") == [5, 6, 7]

    async def test_partitions_are_flushed_together(self, bench: Bench) -> None:
        """Each into its own block."""
        await bench.feed(
            Message(5, tick(0.0001, HOUR_US), partition=0),
            Message(9, tick(0.0002, HOUR_US, "BUSDT"), partition=1),
        )
        await bench.ingest.flush()
        assert sorted(bench.contracts.values) == [b"binance-usdm/0/0", b"binance-usdm/1/0"]
        assert bench.journal.of("acked") == [5, 9]


class TestRestart:
    """The tables carry on where the last flush stood."""

    async def test_a_redelivery_after_a_restart_is_skipped(self, bench: Bench) -> None:
        """Stored, not acked: the offsets in the blocks tell. It is acked all the same."""
        await bench.feed(*ticks(5, 7))
        await bench.ingest.flush()
        bench.restart()
        await bench.feed(*ticks(6, 9))
        assert bench.applied() == [5, 6, 7, 8, 9]
        await bench.ingest.flush()
        assert bench.journal.of("acked") == [5, 6, 7, 6, 7, 8, 9]

    async def test_what_was_not_flushed_is_applied_again(self, bench: Bench) -> None:
        """Its outputs come twice, with the same coordinates."""
        await bench.feed(*ticks(5, 6))
        await bench.ingest.flush()
        await bench.feed(*ticks(7, 8))
        bench.restart()
        await bench.feed(*ticks(7, 8))
        assert bench.applied() == [5, 6, 7, 8, 7, 8]
        rates = bench.outbox.records("funding.rates")
        assert rates[2:4] == rates[4:6]

    async def test_a_partition_is_loaded_with_all_its_blocks(self, bench: Bench) -> None:
        """More contracts than one block holds, and their baselines."""
        items: list[RawItem] = [
            {
                "symbol": symbol,
                "payload": json.dumps({"symbol": symbol, "fundingIntervalHours": 4}).encode(),
                "received_at": 1,
            }
            for symbol in (f"C{index}USDT" for index in range(300))
        ]
        await bench.feed(
            Message(5, raw(items, HOUR_US, "contract", "fundingInfo")),
            Message(6, settled(0, "C299USDT")),
        )
        await bench.ingest.flush()
        bench.restart()
        bench.ingest.assign(TOPIC, 0)
        (state,) = bench.ingest.partitions()
        assert len(list(state.contracts)) == 300
        assert len(state.store.cells["C299USDT"].baseline) == 1

    async def test_a_revoked_partition_is_loaded_anew(self, bench: Bench) -> None:
        """Its unflushed state belongs to whoever gets it now."""
        await bench.feed(*ticks(5, 6))
        bench.ingest.revoke(TOPIC, 0)
        assert list(bench.ingest.partitions()) == []
        await bench.ingest.flush()
        assert bench.journal.of("acked") == []


class TestHoles:
    """The log is applied without a gap, or the gap is told."""

    async def stored_up_to_7(self, bench: Bench) -> None:
        """Offsets 5 to 7 applied and stored, in an earlier process."""
        await bench.feed(*ticks(5, 7))
        await bench.ingest.flush()
        bench.journal.entries.clear()
        bench.restart()

    async def test_a_hole_ends_the_process(self, bench: Bench) -> None:
        """Nothing beyond it is applied or acked; a restart reads on from the last ack."""
        await self.stored_up_to_7(bench)
        with pytest.raises(HoleError, match="record 11 came, and 8 has not"):
            await bench.feed(*ticks(11, 11))
        await bench.ingest.flush()
        assert bench.applied() == [5, 6, 7]
        assert bench.journal.of("acked") == []
        bench.restart()
        await bench.feed(*ticks(8, 11))
        assert bench.applied() == list(range(5, 12))

    async def test_records_that_the_log_no_longer_has_are_counted(self, bench: Bench) -> None:
        """The oldest that is there is the next one."""
        await self.stored_up_to_7(bench)
        bench.log.begins[TOPIC, 0] = 11
        await bench.feed(*ticks(11, 13))
        assert bench.applied() == [5, 6, 7, 11, 12, 13]
        assert bench.ingest.counts["lost_records"] == 3

    async def test_what_is_lost_is_told_though_the_next_cannot_be_read(self, bench: Bench) -> None:
        """At Kafka's time of the record that shows it."""
        await self.stored_up_to_7(bench)
        bench.log.begins[TOPIC, 0] = 11
        await bench.feed(Message(11, b"no record"))
        (told,) = [e for e in bench.outbox.records("funding.audit") if e["kind"] == "lost_records"]
        assert (told["subject"], told["count"], told["raw_offset"]) == ("binance-usdm", 3, 11)
        assert told["first_event_time"] == told["last_event_time"] == HOUR_US + 7_500_000
        assert told["detail"] == "offsets 8 to 10 are gone from the log"

    async def test_a_restart_after_records_without_effect_sees_no_hole(self, bench: Bench) -> None:
        """Control frames change no state, but the stored offset follows the ack."""
        await bench.feed(*ticks(5, 7))
        await bench.ingest.flush()
        control: RawItem = {"symbol": None, "payload": b"{}", "received_at": HOUR_US}
        await bench.feed(*(Message(offset, raw([control], HOUR_US)) for offset in (8, 9)))
        await bench.ingest.flush()
        bench.restart()
        await bench.feed(*ticks(10, 11))
        assert bench.applied() == [5, 6, 7, 10, 11]
        assert bench.ingest.counts["lost_records"] == 0

    async def test_without_state_the_first_record_is_the_beginning(self, bench: Bench) -> None:
        """A new worker on an old log: there is no hole to speak of."""
        await bench.feed(*ticks(700, 701))
        assert bench.applied() == [700, 701]


class TestDeadLetters:
    """A record that cannot be read is told, acked and passed over."""

    @pytest.mark.parametrize("value", [b"", None, b"plain text", tick(0.1, HOUR_US)[:-1]])
    async def test_a_malformed_record_is_a_dead_letter(
        self, bench: Bench, value: bytes | None
    ) -> None:
        """With its bytes and coordinates, and the next record is applied."""
        await bench.feed(Message(5, value), *ticks(6, 6))
        (letter,) = bench.outbox.letters
        assert (letter.value, letter.stage) == (value or b"", "decode")
        assert letter[4:] == (TOPIC, 0, 5, -1)
        assert bench.applied() == [6]
        await bench.ingest.flush()
        assert bench.journal.of("acked") == [5, 6]
        assert bench.ingest.counts["dead_letter"] == 1

    async def test_a_malformed_item_is_a_dead_letter(self, bench: Bench) -> None:
        """From within a record that is otherwise applied."""
        broken: RawItem = {"symbol": "AUSDT", "payload": b"{", "received_at": HOUR_US}
        await bench.feed(Message(5, raw([broken], HOUR_US)))
        assert [(letter.stage, letter.item) for letter in bench.outbox.letters] == [
            ("normalise", 0)
        ]


class TestForeignLogs:
    """The log is another one than the state was made from."""

    async def test_a_topic_that_was_made_anew_is_told(self, bench: Bench) -> None:
        """Its records would pass for known ones and be skipped in silence."""
        await bench.feed(*ticks(5, 9))
        await bench.ingest.flush()
        bench.restart()
        bench.log.ends[TOPIC, 0] = 3
        with pytest.raises(StateError, match="made anew"):
            await bench.feed(*ticks(0, 1))

    async def test_a_redelivery_is_no_new_topic(self, bench: Bench) -> None:
        """Known records come again after a crash."""
        await bench.feed(*ticks(5, 9))
        await bench.ingest.flush()
        bench.restart()
        bench.log.ends[TOPIC, 0] = 10
        await bench.feed(*ticks(6, 9))


class TestQuietLogs:
    """The wall clock flushes what no batch does, at the end of the log alone."""

    @pytest.fixture
    async def owing(self, bench: Bench) -> Bench:
        """One update is owed, and offset 6 is the last of the log."""
        await bench.feed(*ticks(5, 6))
        bench.log.ends[TOPIC, 0] = 7
        return bench

    @staticmethod
    def flushed(bench: Bench) -> list[int]:
        """Raw offsets of what was emitted by a flush."""
        zscores = bench.outbox.records("funding.zscores")
        return [z["raw_offset"] for z in zscores if z["trigger"] == "flush"]

    async def test_a_quiet_partition_is_flushed(self, owing: Bench) -> None:
        """Fifteen seconds after the boundary, once, when it has been quiet for a while."""
        for _ in range(QUIET_ROUNDS + 1):
            owing.ingest.flush_quiet(HOUR_US + 25 * S - 1)
        assert self.flushed(owing) == []
        owing.ingest.flush_quiet(HOUR_US + 25 * S)
        owing.ingest.flush_quiet(HOUR_US + 26 * S)
        assert self.flushed(owing) == [6]

    async def test_after_a_pause_nothing_is_taken_for_quiet(self, owing: Bench) -> None:
        """What came while the process stood still has not been fetched: the end is an old one."""
        for _ in range(QUIET_ROUNDS):
            owing.ingest.flush_quiet(HOUR_US)
        owing.ingest.forget_quiet()
        for _ in range(QUIET_ROUNDS):
            owing.ingest.flush_quiet(HOUR_US + 60 * S)
        assert self.flushed(owing) == []
        owing.ingest.flush_quiet(HOUR_US + 60 * S)
        assert self.flushed(owing) == [6]

    async def test_a_partition_with_a_backlog_is_not(self, owing: Bench) -> None:
        """The batch at the boundary is still to come, and must find what the clock would take."""
        owing.log.ends[TOPIC, 0] = 8
        for _ in range(QUIET_ROUNDS + 1):
            owing.ingest.flush_quiet(HOUR_US + 60 * S)
        assert self.flushed(owing) == []

    async def test_the_lag_is_what_the_log_has_and_nobody_applied(self, owing: Bench) -> None:
        """Summed over partitions; an unknown end counts nothing."""
        assert owing.ingest.lag() == 0
        owing.log.ends[TOPIC, 0] = 10
        await owing.feed(Message(4, tick(0.1, HOUR_US, "BUSDT"), partition=1))
        assert owing.ingest.lag() == 3
