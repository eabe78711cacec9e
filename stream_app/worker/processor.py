"""Applies raw records to the core and keeps state, outputs and acks in the one right order.

Outputs delivered → baselines and bars on their changelog → blocks on theirs → events acked.
Whatever fails in between, a restart repeats from the last ack, and the offsets in the blocks tell
what is already applied. Not responsible for: Faust's wiring (worker.py), the semantics (core).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from schemas.audit_facts import AuditFacts
from schemas.audit_kinds import AuditKind
from schemas.clock import now_us
from schemas.errors import FundingStreamError, MalformedInputError, StateError
from schemas.records import HourlyBar, WorkerStatus
from schemas.serde.codec import Decoder
from schemas.times import US_PER_S
from schemas.topics import feed_of_raw_topic
from stream_app.core.output.outputs import DeadLetter, Outputs
from stream_app.core.partition import FeedPartition
from stream_app.core.scoring.zones import flush_boundary
from stream_app.core.state.contract_state import UNLISTED, block_key
from stream_app.core.updates.plausibility import MAX_AHEAD_US, check_size
from stream_app.normalise import normaliser
from stream_app.worker.output_producer import OutputProducer

log = logging.getLogger(__name__)

QUIET_FLUSH_US = 15 * US_PER_S
"""How long after a flush boundary the wall clock flushes for a partition without new batches. A
producer that runs sends a tick on each every 5 s (control_items.py), so this is for a dead one:
records that waited in a producer while Kafka was away must find what a replay finds."""
QUIET_ROUNDS = 15
"""Calls in a row, one a second, at which a partition must be at the end of its log: the end that
the consumer knows is that of its last fetch."""
_LATENCIES_KEPT = 512
"""About half a minute of one feed: start-up must not pass for the present."""


_DELAYS_REPORTED = 4_096
"""More stream records than a worker applies within a second."""


class HoleError(FundingStreamError):
    """Records of the raw log were passed over."""


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return the value below which a share of ascending values lies; None if there is none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


class StateTable(Protocol):
    """A table as this module needs it: bytes by key, written with an explicit partition."""

    def get(self, key: bytes) -> bytes | None:
        """Return a stored value."""
        ...

    async def put(self, records: Sequence[tuple[int, bytes, bytes]]) -> None:
        """Store values by (partition, key, value); return when the changelog has them."""
        ...


class BarTable(Protocol):
    """The table of closed bars."""

    def put(self, partition: int, bar: HourlyBar) -> Awaitable[Any]:
        """Store a bar; the result is done when the changelog has it."""
        ...

    def newest(self, contract: str, limit: int) -> list[HourlyBar]:
        """Return a contract's newest bars, oldest first."""
        ...


class RawLog(Protocol):
    """The raw log as this module needs it."""

    def begin(self, topic: str, partition: int) -> Awaitable[int]:
        """Return the offset of the oldest record that is still there."""
        ...

    def end(self, topic: str, partition: int) -> int | None:
        """Return the offset after the newest record, if known."""
        ...


class _PartitionIntake:
    """One assigned raw partition: its state, and the events that wait for their ack."""

    def __init__(self, state: FeedPartition) -> None:
        self.state = state
        self.next_offset = None if state.store.is_empty else state.store.applied_offset + 1
        self.first_offset: int | None = None
        self.quiet_rounds = 0
        self.held: list[Any] = []

    def already_applied(self, offset: int) -> bool:
        """Tell whether this process has applied a record: a rebalance may bring some twice.

        What another process applied is told by the blocks, each for its contracts.
        """
        first, following = self.first_offset, self.next_offset
        return first is not None and following is not None and first <= offset < following


class Snapshot(NamedTuple):
    """What one flush has to make durable for one partition."""

    feed: str
    partition: int
    blocks: list[tuple[int, bytes]]
    baselines: list[tuple[str, bytes]]
    bars: list[HourlyBar]
    events: list[Any]


class Processor:
    """The worker's processing of raw records, without Faust."""

    def __init__(
        self,
        decoder: Decoder,
        output_producer: OutputProducer,
        contracts: StateTable,
        baselines: StateTable,
        bars: BarTable,
        raw_log: RawLog,
        max_ahead_us: int = MAX_AHEAD_US,
    ) -> None:
        self._decoder = decoder
        self._output_producer = output_producer
        self._contracts = contracts
        self._baselines = baselines
        self.bars = bars
        self._raw_log = raw_log
        self._max_ahead_us = max_ahead_us
        self._intakes: dict[tuple[str, int], _PartitionIntake] = {}
        self._flush_lock = asyncio.Lock()
        self.counts: Counter[str] = Counter()
        self.latencies_s: deque[float] = deque(maxlen=_LATENCIES_KEPT)
        """Received at the producer → handed to the output producer, newest last."""
        self._unreported_s: deque[float] = deque(maxlen=_DELAYS_REPORTED)
        self.progress_at = time.monotonic()
        self.started_at_us = now_us()

    def partitions(self) -> Iterator[FeedPartition]:
        """Return the state of all assigned partitions."""
        return (partition_intake.state for partition_intake in self._intakes.values())

    def assigned(self) -> Iterator[tuple[str, int]]:
        """Return topic and number of all assigned partitions."""
        return iter(self._intakes)

    def lag(self) -> int:
        """Return how many raw records are in the log and not yet applied."""
        total = 0
        for (topic, partition), partition_intake in self._intakes.items():
            end = self._raw_log.end(topic, partition)
            if end is not None and partition_intake.next_offset is not None:
                total += max(0, end - partition_intake.next_offset)
        return total

    def assign(self, topic: str, partition: int) -> _PartitionIntake:
        """Load a partition's state from the tables, once."""
        partition_intake = self._intakes.get((topic, partition))
        if partition_intake is None:
            feed = feed_of_raw_topic(topic)
            blocks: list[bytes] = []
            while (
                data := self._contracts.get(block_key(feed, partition, len(blocks)))
            ) is not None:
                blocks.append(data)
            unlisted = self._contracts.get(block_key(feed, partition, UNLISTED))
            if unlisted is not None:
                blocks.append(unlisted)
            state = FeedPartition(
                feed,
                partition,
                normaliser(feed),
                blocks,
                lambda contract: self._baselines.get(contract.encode()),
                self._max_ahead_us,
            )
            partition_intake = self._intakes[topic, partition] = _PartitionIntake(state)
            if blocks:
                log.info(
                    "%s/%d: restored %d contracts at offset %d",
                    topic,
                    partition,
                    sum(1 for _ in state.contracts),
                    state.store.applied_offset,
                )
        return partition_intake

    def revoke(self, topic: str, partition: int) -> None:
        """Forget a partition that another worker takes over."""
        self._intakes.pop((topic, partition), None)

    async def handle(self, event: Any) -> None:
        """Apply one Faust event. It is acked by the flush that makes its effect durable."""
        message = event.message
        topic, partition, offset = message.topic, message.partition, message.offset
        partition_intake = self.assign(topic, partition)
        gone = await self._check_order(partition_intake, topic, partition, offset)
        partition_intake.held.append(event)
        if partition_intake.already_applied(offset):
            return
        if partition_intake.first_offset is None:
            partition_intake.first_offset = offset
        partition_intake.next_offset = offset + 1
        self.progress_at = time.monotonic()
        now = now_us()
        state = partition_intake.state
        if gone:
            # Before the record is read, which may fail: nothing else remembers it.
            lost_at = now if message.timestamp is None else round(message.timestamp * US_PER_S)
            detail = f"offsets {offset - gone} to {offset - 1} are gone from the log"
            times = (lost_at, lost_at)
            facts = AuditFacts(first_offset=offset - gone, last_offset=offset - 1)
            kind, raw = AuditKind.LOST_RECORDS, (offset, -1)
            state.collector.tell(state.feed, kind, times, gone, detail, raw, facts)
            self._publish(state)
        try:
            batch = self._decoder.decode(message.value or b"")
            check_size(batch)
        except MalformedInputError as error:
            self.counts[AuditKind.DEAD_LETTER] += 1
            letter = DeadLetter(
                None, message.value or b"", "decode", str(error), topic, partition, offset, -1
            )
            self._output_producer.publish(Outputs((), (), (letter,)), partition)
            return
        state.apply(batch, offset, now)
        self._publish(state)
        self.counts["batches"] += 1
        if batch["purpose"] == "stream":
            delay_s = (now_us() - batch["received_at"]) / US_PER_S
            self.latencies_s.append(delay_s)
            self._unreported_s.append(delay_s)

    def report(self, worker: str) -> WorkerStatus:
        """Return how far this worker is behind, with the delays since the report before."""
        delays_s, records = sorted(self._unreported_s), len(self._unreported_s)
        self._unreported_s.clear()
        return {
            "worker": worker,
            "reported_at": now_us(),
            "started_at": self.started_at_us,
            "partitions": len(self._intakes),
            "records_behind": self.lag(),
            "records": records,
            "delay_p50_s": quantile(delays_s, 0.50),
            "delay_p99_s": quantile(delays_s, 0.99),
        }

    def _publish(self, state: FeedPartition) -> None:
        self.counts["unencodable"] += self._output_producer.publish(
            state.take_outputs(), state.partition
        )

    async def _check_order(
        self, partition_intake: _PartitionIntake, topic: str, partition: int, offset: int
    ) -> int:
        """Make sure that nothing was passed over before a record; return how many are lost.

        Raises:
            StateError: the log is another one than the state was made from.
            HoleError: the log has records that did not come. Faust passes over what it fetches
                while it recovers, and cannot be sought back reliably: what it has buffered takes
                its read position along. A restart reads on from the last ack.
        """
        expected = partition_intake.next_offset
        if expected is None or offset == expected:
            return 0
        if offset < expected:
            end = self._raw_log.end(topic, partition)
            if end is not None and end < expected:
                raise StateError(
                    f"{topic}/{partition} ends at {end}, and {expected} records of it are in the "
                    "state: the topic was made anew. Give the worker another FUNDING_WORKER_ID, "
                    "or the topic its records"
                )
            return 0
        begin = await self._raw_log.begin(topic, partition)
        if begin < offset:
            raise HoleError(
                f"{topic}/{partition}: record {offset} came, and {expected} has not: reading on "
                "from the last acknowledged record"
            )
        log.error("%s/%d: %d to %d are gone from the log", topic, partition, expected, offset - 1)
        self.counts[AuditKind.LOST_RECORDS] += offset - expected
        return offset - expected

    def flush_quiet(self, now: int) -> None:
        """Emit what partitions owe whose producer is dead: no tick has come for a while."""
        boundary = flush_boundary(now - QUIET_FLUSH_US)
        for (topic, partition), partition_intake in self._intakes.items():
            at_end = partition_intake.next_offset is not None and (
                partition_intake.next_offset == self._raw_log.end(topic, partition)
            )
            partition_intake.quiet_rounds = partition_intake.quiet_rounds + 1 if at_end else 0
            if partition_intake.quiet_rounds > QUIET_ROUNDS:
                partition_intake.state.flush(boundary, now)
                self._publish(partition_intake.state)

    @property
    def quiet(self) -> bool:
        """True if the wall clock is about to flush for a partition."""
        return any(
            partition_intake.quiet_rounds >= QUIET_ROUNDS
            for partition_intake in self._intakes.values()
        )

    def forget_quiet(self) -> None:
        """Take no partition for quiet before it has been seen so again for a while."""
        for partition_intake in self._intakes.values():
            partition_intake.quiet_rounds = 0

    async def flush(self) -> None:
        """Make everything that was applied durable, then ack it.

        Raises:
            UnavailableError: outputs could not be delivered; nothing was acked.
        """
        async with self._flush_lock:
            snapshots = []
            for partition_intake in list(self._intakes.values()):
                snapshots.append(self._snapshot(partition_intake))
                await asyncio.sleep(0)
            await self._output_producer.delivered(self._output_producer.cut())
            await asyncio.gather(
                self._baselines.put(
                    [
                        (s.partition, contract.encode(), data)
                        for s in snapshots
                        for contract, data in s.baselines
                    ]
                ),
                *(self.bars.put(s.partition, bar) for s in snapshots for bar in s.bars),
            )
            # One after the other, as they come: what waits to be listed is in the last one.
            await self._contracts.put(
                [
                    (s.partition, block_key(s.feed, s.partition, shard), data)
                    for s in snapshots
                    for shard, data in s.blocks
                ]
            )
            for snapshot in snapshots:
                for event in snapshot.events:
                    event.ack()

    def _snapshot(self, partition_intake: _PartitionIntake) -> Snapshot:
        state = partition_intake.state
        if partition_intake.next_offset is not None:
            state.store.mark_applied(partition_intake.next_offset - 1)
        blocks, baselines = state.store.take_dirty()
        events, partition_intake.held = partition_intake.held, []
        bars = state.take_closed_bars()
        return Snapshot(state.feed, state.partition, blocks, baselines, bars, events)
