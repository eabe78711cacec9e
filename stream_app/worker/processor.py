"""Handles batches of raw records in the order of the log: decodes, applies to the core, publishes.

What is applied becomes durable by a flush (checkpoint.py), which tells what may be committed.
Records that were passed over, come again, or come from another log are recognised here by their
offsets.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Collection, Iterator, Mapping
from typing import Protocol

from schemas.audit_facts import AuditFacts
from schemas.audit_kinds import AuditKind
from schemas.clock import Clock
from schemas.errors import FundingStreamError, MalformedInputError, StateError
from schemas.records import WorkerStatus
from schemas.serde.raw_frames import RawFrame, RawFrameReader
from schemas.times import US_PER_S
from schemas.topics import feed_of_raw_topic
from stream_app.core.columns.judging import Encoders, FeedColumns
from stream_app.core.feed_pass import Placed, apply_records
from stream_app.core.output.outputs import DeadLetter, Outputs
from stream_app.core.partition import FeedPartition, new_columns
from stream_app.core.scoring.zones import flush_phase_us
from stream_app.core.state.contract_state import UNLISTED, block_key
from stream_app.core.updates.plausibility import MAX_AHEAD_US, check_size
from stream_app.normalise import normaliser
from stream_app.worker.checkpoint import Checkpoint, OutputSink, Owns, Snapshot, Tables
from stream_app.worker.delays import Delays
from stream_app.worker.probes.timings import WorkerTimings
from stream_app.worker.raw_batches import Batch, Partition, RawRecord

log = logging.getLogger(__name__)

QUIET_FLUSH_US = 15 * US_PER_S
"""How long after a flush boundary the wall clock flushes for a partition without new records. A
running producer sends a tick every 5 s (schemas/control_items.py), so this is for a dead one:
records that waited in a producer while Kafka was away must find what a replay finds."""
QUIET_ROUNDS = 15
"""For how many calls of `flush_quiet` in a row, one a second, a partition must be at the end of its
log before that: the end that the consumer knows is that of its last fetch."""


class HoleError(FundingStreamError):
    """Records of the raw log were passed over."""


class RawLog(Protocol):
    """The raw log, as far as a processor has to know its bounds."""

    def begin(self, topic: str, partition: int) -> Awaitable[int]:
        """Return the offset of the oldest record that is still there."""
        ...

    def end(self, topic: str, partition: int) -> int | None:
        """Return the offset after the newest record, if known."""
        ...


CONTRADICTED_US = 10 * US_PER_S
"""How long a contradiction of an exchange's list is reported; while it lasts it comes again."""


class AssignedPartition:
    """One assigned raw partition: its state, and how far it is applied and committed."""

    def __init__(self, state: FeedPartition) -> None:
        self.state = state
        self.next_offset = None if state.store.is_empty else state.store.applied_offset + 1
        self.first_offset: int | None = None
        """The first record that this process has applied."""
        self.committed: int | None = None
        """What this process has committed last."""
        self.quiet_rounds = 0
        self.gone: dict[int, int] = {}
        """Offsets of fetched records, and how many records before them the log has lost."""

    def already_applied(self, offset: int) -> bool:
        """Tell whether this process has applied a record: some may come twice.

        What another process applied is recognised by each block of contracts for itself.
        """
        first, following = self.first_offset, self.next_offset
        return first is not None and following is not None and first <= offset < following

    def is_committed_up_to(self, offset: int | None) -> bool:
        """Tell whether all that was applied is durable, and `offset` is what the group knows."""
        return offset is not None and offset == self.next_offset == self.committed

    def snapshot(self) -> Snapshot:
        """Take out what a flush has to make durable."""
        state, following = self.state, self.next_offset
        if self.first_offset is None:
            # Of what was loaded some blocks may be behind others: what they miss comes again.
            following = None
        elif following is not None:
            state.store.mark_applied(following - 1)
        blocks, baselines = state.take_dirty()
        bars = state.take_closed_bars()
        place = (state.topic, state.feed, state.partition)
        return Snapshot(*place, blocks, baselines, bars, following)


class Processor:
    """The worker's processing of raw records."""

    def __init__(
        self,
        reader: RawFrameReader,
        encoders: Encoders,
        outputs: OutputSink,
        tables: Tables,
        raw_log: RawLog,
        clock: Clock,
        max_ahead_us: int = MAX_AHEAD_US,
    ) -> None:
        """`max_ahead_us`: how far ahead of its receipt an event may be."""
        self._reader = reader
        self._encoders = encoders
        self._columns: dict[str, FeedColumns] = {}
        self._outputs = outputs
        self._tables = tables
        self._raw_log = raw_log
        self._clock = clock
        self._max_ahead_us = max_ahead_us
        self._checkpoint = Checkpoint(outputs, tables)
        self._assigned: dict[Partition, AssignedPartition] = {}
        self.counts: Counter[str] = Counter()
        self.timings = WorkerTimings()
        self._delays = Delays(self.timings)
        self.progress_at_s = clock.monotonic_s()
        """When the last raw record was applied (monotonic)."""
        self.started_at_us = clock.now_us()

    def partitions(self) -> Iterator[FeedPartition]:
        """Return the state of all assigned partitions."""
        return (assigned.state for assigned in self._assigned.values())

    def assigned(self) -> Iterator[Partition]:
        """Return topic and number of all assigned partitions."""
        return iter(self._assigned)

    def lag(self) -> int:
        """Return how many raw records are in the log and not yet applied."""
        total = 0
        for (topic, partition), assigned in self._assigned.items():
            end = self._raw_log.end(topic, partition)
            if end is not None and assigned.next_offset is not None:
                total += max(0, end - assigned.next_offset)
        return total

    def assign(self, topic: str, partition: int) -> AssignedPartition:
        """Load a partition's state from the tables, once."""
        assigned = self._assigned.get((topic, partition))
        if assigned is None:
            state = self._load(feed_of_raw_topic(topic), partition)
            assigned = self._assigned[topic, partition] = AssignedPartition(state)
            if not state.store.is_empty:
                log.info(
                    "%s/%d: restored %d contracts at offset %d",
                    *(topic, partition, len(state.store.entries), state.store.applied_offset),
                )
        return assigned

    def _load(self, feed: str, partition: int) -> FeedPartition:
        get = self._tables.contracts.get
        blocks: list[bytes] = []
        while (data := get(block_key(feed, partition, len(blocks)))) is not None:
            blocks.append(data)
        unlisted = get(block_key(feed, partition, UNLISTED))
        if unlisted is not None:
            blocks.append(unlisted)
        return FeedPartition(
            feed,
            partition,
            normaliser(feed),
            blocks,
            lambda contract: self._tables.baselines.get(contract.encode()),
            self._max_ahead_us,
            self._columns_of(feed),
            flush_phase_us(partition),
        )

    def _columns_of(self, feed: str) -> FeedColumns:
        """Return the columns that all partitions of a feed share."""
        columns = self._columns.get(feed)
        if columns is None:
            columns = self._columns[feed] = new_columns(feed, self._encoders)
        return columns

    def _forget(self, partition: Partition) -> None:
        self._assigned.pop(partition).state.release()

    def revoke_all_but(self, kept: Collection[Partition]) -> None:
        """Forget the partitions that other workers take over."""
        for partition in [p for p in self._assigned if p not in kept]:
            self._forget(partition)

    def start_of(self, partition: Partition, committed: int | None) -> int | None:
        """Load a partition's state; return the offset to read it from on, None: its oldest record.

        `committed`: what the group knows of it. State that is still in memory is kept if nobody has
        gone on from there. State that is behind what is committed was written by a worker that did
        not know yet that it was replaced: what it lacks is read again.
        """
        known = self._assigned.get(partition)
        if known is not None and not known.is_committed_up_to(committed):
            self._forget(partition)
        assigned = self.assign(*partition)
        if assigned.next_offset is None:
            assigned.next_offset = committed
        if committed is None or assigned.next_offset is None:
            return committed
        return min(committed, assigned.next_offset)

    def note_committed(self, offsets: Mapping[Partition, int]) -> None:
        """Note that the group knows these offsets."""
        for partition, offset in offsets.items():
            if partition in self._assigned:
                self._assigned[partition].committed = offset

    def committable(self) -> dict[Partition, int]:
        """Return offsets that can be committed at any time, since all before them is durable."""
        found = {
            partition: assigned.first_offset if assigned.committed is None else assigned.committed
            for partition, assigned in self._assigned.items()
        }
        return {partition: offset for partition, offset in found.items() if offset is not None}

    async def admit(self, batch: Batch) -> None:
        """Look for records that are missing before, or among, those of a batch to be handled.

        Raises:
            HoleError: records were passed over.
            StateError: the log is another one than the state was made from.
        """
        for (topic, partition), records in batch.items():
            assigned = self.assign(topic, partition)
            expected = assigned.next_offset
            for record in records:
                offset = record.offset
                if expected is not None and offset != expected:
                    gone = await self._records_gone(topic, partition, offset, expected)
                    if gone:
                        assigned.gone[offset] = gone
                expected = offset + 1

    def handle_batch(self, batch: Batch) -> None:
        """Apply the records of a batch, which `admit` has let in, and publish what they lead to."""
        now_us = self._clock.now_us()
        by_feed: dict[str, dict[FeedPartition, list[Placed]]] = {}
        received_at: list[int] = []
        for (topic, partition), records in batch.items():
            assigned = self.assign(topic, partition)
            state = assigned.state
            placed = by_feed.setdefault(state.feed, {})[state] = []
            for record in records:
                frame = self._frame(assigned, record, now_us)
                if frame is not None:
                    placed.append(Placed(record.offset, frame))
                    if frame.purpose == "stream":
                        received_at.append(frame.received_at)
            self.counts["batches"] += len(placed)
        for feed, placed_records in by_feed.items():
            apply_records(self._columns_of(feed), placed_records, now_us)
            for state in placed_records:
                self._publish(state)
        self._delays.note(received_at, self._clock.now_us())
        self.progress_at_s = self._clock.monotonic_s()

    def _frame(
        self, assigned: AssignedPartition, record: RawRecord, now_us: int
    ) -> RawFrame | None:
        """Read a record; None if it is known already, or becomes a dead letter."""
        offset = record.offset
        gone = assigned.gone.pop(offset, 0)
        if assigned.already_applied(offset):
            return None
        if assigned.first_offset is None:
            assigned.first_offset = offset
        assigned.next_offset = offset + 1
        state = assigned.state
        if gone:
            # Told before the record is read, which may fail: nothing else remembers it.
            self._tell_lost(state, offset, gone, record.timestamp_us or now_us)
        try:
            frame = self._reader.read(record.value or b"")
            check_size(len(frame))
        except MalformedInputError as error:
            self._bury(state, record, str(error))
            return None
        return frame

    def _bury(self, state: FeedPartition, record: RawRecord, error: str) -> None:
        """Make a record that cannot be read a dead letter."""
        self.counts[AuditKind.DEAD_LETTER] += 1
        where = (state.topic, state.partition, record.offset, -1)
        letter = DeadLetter(None, record.value or b"", "decode", error, *where)
        self._outputs.publish(Outputs((), (), (letter,)), state.partition)

    def _publish(self, state: FeedPartition) -> None:
        outputs = state.take_outputs()
        self.counts["unencodable"] += self._outputs.publish(outputs, state.partition)

    def _tell_lost(self, state: FeedPartition, offset: int, gone: int, lost_at: int) -> None:
        """Tell that `gone` records before `offset` are lost, at a time (µs)."""
        detail = f"offsets {offset - gone} to {offset - 1} are gone from the log"
        times = (lost_at, lost_at)
        facts = AuditFacts(first_offset=offset - gone, last_offset=offset - 1)
        kind, raw = AuditKind.LOST_RECORDS, (offset, -1)
        state.collector.tell(state.feed, kind, times, gone, detail, raw, facts)

    async def _records_gone(self, topic: str, partition: int, offset: int, expected: int) -> int:
        """Return how many records are gone from the log before one that was not expected.

        Raises:
            StateError: the log is another one than the state was made from.
            HoleError: the log has records that did not come. A restart reads on from the last
                commit.
        """
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
                "from the last commit"
            )
        log.error("%s/%d: %d to %d are gone from the log", topic, partition, expected, offset - 1)
        self.counts[AuditKind.LOST_RECORDS] += offset - expected
        return offset - expected

    def report(self, worker: str) -> WorkerStatus:
        """Return how far this worker is behind, with the delays since the report before."""
        delays = self._delays.report()
        return {
            "worker": worker,
            "reported_at": self._clock.now_us(),
            "started_at": self.started_at_us,
            "partitions": len(self._assigned),
            "records_behind": self.lag(),
            "records": delays.records,
            "delay_p50_s": delays.p50_s,
            "delay_p99_s": delays.p99_s,
            "contradicted_feeds": self._contradicted_feeds(),
        }

    def _contradicted_feeds(self) -> list[str]:
        """Return the feeds whose lists the stream has contradicted within CONTRADICTED_US."""
        since = self._clock.now_us() - CONTRADICTED_US
        states = [assigned.state for assigned in self._assigned.values()]
        return sorted({state.feed for state in states if state.contradicted_at >= since})

    def flush_quiet(self) -> None:
        """Publish what partitions owe whose producer is dead: no tick has come for a while."""
        now_us = self._clock.now_us()
        for (topic, partition), assigned in self._assigned.items():
            at_end = assigned.next_offset is not None and (
                assigned.next_offset == self._raw_log.end(topic, partition)
            )
            assigned.quiet_rounds = assigned.quiet_rounds + 1 if at_end else 0
            if assigned.quiet_rounds > QUIET_ROUNDS:
                state = assigned.state
                state.flush(state.boundary_of(now_us - QUIET_FLUSH_US), now_us)
                self._publish(state)

    @property
    def quiet(self) -> bool:
        """True if the next `flush_quiet` may flush a partition."""
        return any(a.quiet_rounds >= QUIET_ROUNDS for a in self._assigned.values())

    def forget_quiet(self) -> None:
        """Count the quiet rounds of all partitions anew."""
        for assigned in self._assigned.values():
            assigned.quiet_rounds = 0

    async def flush(self, owns: Owns) -> dict[Partition, int]:
        """Make everything that was applied durable; return the offsets to be committed.

        See `Checkpoint.flush`.
        """
        begun_s = self._clock.monotonic_s()
        offsets = await self._checkpoint.flush(self._assigned.values(), owns)
        self.timings.flush_seconds.observe(self._clock.monotonic_s() - begun_s)
        return offsets
