"""A processor whose tables, log and outputs are in memory and keep a journal of all calls."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.errors import MalformedInputError
from schemas.records import RAW_BATCH, HourlyBar, Purpose, RawItem
from schemas.serde.codec import Decoder, Encoder
from schemas.serde.raw_frames import RawFrameReader
from schemas.times import US_PER_HOUR
from stream_app.core.columns.judging import Encoders
from stream_app.core.output.outputs import DeadLetter, Output, Outputs
from stream_app.worker.checkpoint import Tables
from stream_app.worker.flusher import Flusher
from stream_app.worker.output_producer import Generation
from stream_app.worker.processor import Processor
from stream_app.worker.raw_batches import Partition, RawRecord
from tests.support.clock import ManualClock
from tests.support.encoders import OUTPUT_ENCODERS
from tests.support.partitions import know

TOPIC = "funding.raw.binance-usdm"
S = 1_000_000
SESSION_S = 10.0
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
    """A table in memory. Values are stored when `put` is awaited."""

    def __init__(self, journal: Journal, name: str) -> None:
        self.journal, self.name = journal, name
        self.error: Exception | None = None
        self.values: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """A stored value."""
        return self.values.get(key)

    async def put(self, records: Sequence[tuple[int, bytes, bytes]]) -> None:
        """Store, durable a moment later, or fail."""
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        for partition, key, value in records:
            self.values[key] = value
            self.journal.entries.append((f"{self.name} stored", (partition, key)))


class MemoryBars:
    """The table of bars."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.error: Exception | None = None
        self.bars: list[HourlyBar] = []

    def put(self, partition: int, bar: HourlyBar) -> Awaitable[Any]:
        """Store records, which are durable one event-loop step later."""

        async def changelog() -> None:
            await asyncio.sleep(0)
            if self.error is not None:
                raise self.error
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


class MemoryOutputs:
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


class MemoryGroup:
    """The consumer group, which takes commits as long as this worker is a member."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.is_member = True
        self.committed: dict[Partition, int] = {}

    async def commit_processed(self, offsets: Mapping[Partition, int]) -> bool:
        """Commit."""
        await asyncio.sleep(0)
        if not self.is_member:
            self.journal.entries.append(("refused", None))
            return False
        self.committed.update(offsets)
        self.journal.entries += [("committed", offset) for offset in offsets.values()]
        return True


@dataclass
class Message:
    """A record of the raw log, with its place."""

    offset: int
    value: bytes | None
    partition: int = 0
    topic: str = TOPIC
    timestamp_us: int | None = HOUR_US + 7_500_000


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
    """A processor with its surroundings; `restart` keeps the tables alone."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.contracts = MemoryStore(self.journal, "blocks")
        self.baselines = MemoryStore(self.journal, "baselines")
        self.bars = MemoryBars(self.journal)
        self.log = MemoryLog(self.journal)
        self.outputs = MemoryOutputs(self.journal)
        self.group = MemoryGroup(self.journal)
        self.clock = ManualClock(HOUR_US)
        self._decoder = Decoder(RAW_BATCH, lambda _id: RAW_BATCH.text)
        self._reader = RawFrameReader(lambda _id: RAW_BATCH.text)
        self.restart()

    def restart(self) -> None:
        """A new process."""
        self.processor = Processor(
            self._reader,
            Encoders.of(OUTPUT_ENCODERS),
            self.outputs,
            Tables(self.contracts, self.baselines, self.bars),
            self.log,
            self.clock,
        )
        self.flusher = Flusher(
            self.processor, lambda: self.group, self.forget, self.clock, SESSION_S
        )

    def forget(self) -> None:
        """Forget all state, as the worker does when the group has gone on without it."""
        self.processor.revoke_all_but(())

    async def feed(self, *messages: Message) -> None:
        """Hand over messages as one batch. The contracts in them are known."""
        batch: dict[Partition, list[RawRecord]] = {}
        for message in messages:
            self._know(message)
            record = RawRecord(message.offset, message.timestamp_us, message.value)
            batch.setdefault((message.topic, message.partition), []).append(record)
        await self.processor.admit(batch)
        self.processor.handle_batch(batch)

    async def flush(self) -> None:
        """Make durable and commit what was applied."""
        await self.flusher.flush()

    def _know(self, message: Message) -> None:
        with contextlib.suppress(MalformedInputError):
            batch = self._decoder.decode(message.value or b"")
            state = self.processor.assign(message.topic, message.partition).state
            know(state, batch, message.offset)

    def applied(self) -> list[int]:
        """Offsets of the accepted rates, in the order in which they were applied."""
        return [record["raw_offset"] for record in self.outputs.records("funding.rates")]


def ticks(first: int, last: int) -> list[Message]:
    """Raw records at consecutive offsets, each with an update of its own."""
    return [
        Message(offset, tick(0.0001 + offset * 1e-7, HOUR_US + offset * S))
        for offset in range(first, last + 1)
    ]
