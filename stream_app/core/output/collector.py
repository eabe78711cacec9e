"""Collects what a partition publishes beside its numbers: audit events, alerts, dead letters.

They stay here until they are taken. A raw record that is delivered again adds nothing. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from schemas import topics
from schemas.audit_facts import NO_FACTS, AuditFacts, fact_fields
from schemas.audit_kinds import AuditKind
from schemas.feeds import spec
from schemas.partitioning import contract_id
from schemas.records import Alert, AuditEvent, RawItem
from schemas.symbols import clip, symbol_fault
from schemas.times import hour_floor
from stream_app.core.output.alerts import contract_cap_alert, dead_letters_alert
from stream_app.core.output.outputs import DeadLetter, EncodedRecords, Output
from stream_app.core.state.audit_counts import MAX_DETAIL_BYTES, Noted, audit_event
from stream_app.core.state.contract_store import ContractStore, Shard
from stream_app.core.state.item_context import ItemContext
from stream_app.core.state.waiting_room import WaitingItem

MAX_ERROR_CHARS = 500


class OutputCollector:
    """The outputs of one partition that are no rates, and how often each decision was made."""

    def __init__(self, feed: str, topic: str, partition: int, store: ContractStore) -> None:
        self.feed = feed
        self.rate_kind: str = spec(feed).rate_kind.value
        self.topic = topic
        self.partition = partition
        self.counts: Counter[str] = Counter()
        """By audit kind, or by the name of an outcome that is no audit event; since the start."""
        self.outputs: list[Output | EncodedRecords] = []
        self.dead_letters: list[DeadLetter] = []
        self._store = store

    def note(
        self,
        symbol: str,
        kind: AuditKind,
        event_time: int,
        at: ItemContext,
        detail: str = "",
        facts: AuditFacts = NO_FACTS,
        *,
        count: int = 1,
        since: int | None = None,
    ) -> None:
        """Count a decision about a contract; of a symbol that is not listed, about the feed.

        `detail` is a sentence for people, `facts` are the values for programs. `since`: where the
        decision is about a time span, its beginning, µs; `event_time` is its end then.
        """
        self.counts[kind] += count
        subject = contract_id(self.feed, symbol)
        if self._store.home(symbol, at) is self._store.unlisted:
            # An exchange that makes up symbols must not cause an audit event for each of them.
            subject, detail = self.feed, f"{symbol}: {detail}"
        place = (at.received_at, at.offset, at.item)
        self._note(
            Noted(subject, kind, event_time, *place, detail, count, since, facts), symbol, at
        )

    def note_feed(
        self,
        symbol: str,
        kind: AuditKind,
        event_time: int,
        at: ItemContext,
        detail: str = "",
        facts: AuditFacts = NO_FACTS,
    ) -> None:
        """Count a decision about the feed, which one of its contracts led to."""
        self.counts[kind] += 1
        place = (at.received_at, at.offset, at.item)
        noted = Noted(self.feed, kind, event_time, *place, detail, facts=facts)
        self._note(noted, symbol, at)

    def _note(self, noted: Noted, symbol: str, at: ItemContext) -> None:
        """Count a decision in the block of a symbol, unless the block has the record already."""
        shard = self._store.home(symbol, at)
        if at.applied_by > shard.block.applied_offset:
            shard.audits.note(noted)
            shard.dirty = True

    def tell(
        self,
        subject: str,
        kind: AuditKind,
        times: tuple[int, int],
        count: int,
        detail: str,
        raw: tuple[int, int],
        facts: AuditFacts = NO_FACTS,
    ) -> None:
        """Make an audit event at once. `times`: from and to, µs; `raw`: offset and item."""
        told = self.told(subject, kind, times, count, detail, raw, facts)
        self.counts[kind] += 1
        self.outputs.append(told)

    def told(
        self,
        subject: str,
        kind: AuditKind,
        times: tuple[int, int],
        count: int,
        detail: str,
        raw: tuple[int, int],
        facts: AuditFacts = NO_FACTS,
    ) -> Output:
        """Return the audit event that `tell` makes."""
        event: AuditEvent = {
            "subject": subject,
            "kind": kind,
            "count": count,
            "first_event_time": times[0],
            "last_event_time": times[1],
            "detail": clip(detail, MAX_DETAIL_BYTES),
            "raw_topic": self.topic,
            "raw_partition": self.partition,
            "raw_offset": raw[0],
            "raw_item": raw[1],
            **fact_fields(facts),
        }
        return Output(topics.AUDIT, subject, event)

    def unlisted(self, dropped: Iterable[WaitingItem], at: ItemContext) -> None:
        """Count items that are dropped because no list knows their contract."""
        shard = self._store.unlisted
        for item in dropped:
            self.counts[AuditKind.UNLISTED] += 1
            shard.audits.note(
                Noted(
                    self.feed,
                    AuditKind.UNLISTED,
                    item.received_at,
                    at.batch_received_at,
                    item.raw_offset,
                    item.raw_item,
                    f"{item.symbol} is not in the exchange's list",
                )
            )
            shard.dirty = True

    def beyond_cap(self, symbol: str, cap: int, at: ItemContext) -> None:
        """Count a listed contract that is one too many; raise an alert once an hour."""
        detail = f"the partition has {cap} contracts"
        self.note(symbol, AuditKind.CONTRACT_CAP, at.received_at, at, detail)
        shard, hour = self._store.unlisted, hour_floor(at.batch_received_at)
        if hour > shard.block.cap_hour:
            shard.block.cap_hour, shard.dirty = hour, True
            self.alert(contract_cap_alert(symbol, cap, at))

    def publish_due(self, shard: Shard, boundary: int) -> None:
        """Publish what a shard counted in minutes that ended at or before a flush boundary."""
        for entry in shard.audits.take_due(boundary):
            event = audit_event(entry, self.topic, self.partition)
            self.outputs.append(Output(topics.AUDIT, entry.subject, event))
            shard.dirty = True

    def begins_hour_of_mismatch(self, at: ItemContext) -> bool:
        """Tell whether a record is the first of its hour with a mismatch alert, and remember it.

        The partition's first block does: a contract that was compared is in some block.
        """
        shard, hour = self._store.shards[0], hour_floor(at.batch_received_at)
        if hour <= shard.block.mismatch_hour:
            return False
        shard.block.mismatch_hour, shard.dirty = hour, True
        return True

    def concerns_letters(self, received_at: int) -> bool:
        """Tell whether a record without dead letters is to be counted by `count_letters`."""
        shards = self._store.shards
        return bool(shards) and shards[0].block.letters.concerns(received_at, 0)

    def count_letters(self, at: ItemContext, letters: int, items: int) -> None:
        """Count a record's dead letters; raise an alert if they are beyond a limit.

        The partition's first block counts, so that a record that comes again is counted once.
        """
        shards = self._store.shards
        if not items or (not shards and not letters):
            return
        shard = shards[0] if shards else self._store.last_shard(at.offset, at.boundary)
        count, received_at = shard.block.letters, at.batch_received_at
        if at.offset <= shard.block.applied_offset or not count.concerns(received_at, letters):
            return
        shard.dirty = True
        limit = count.count(received_at, letters, items)
        if limit is not None:
            newest = self.dead_letters[-1]
            why = f"{newest.stage}: {newest.error}"
            self.alert(dead_letters_alert(limit, count, why, at))

    def alert(self, alert: Alert) -> None:
        """Raise an alert."""
        self.outputs.append(Output(topics.ALERTS, alert["subject"], alert))
        self.counts["alert"] += 1

    def dead_letter(self, item: RawItem, at: ItemContext, error: str, stage: str) -> None:
        """Hand on what could not be read. Its key is its symbol, if it can be one."""
        symbol = item["symbol"]
        letter = DeadLetter(
            symbol if symbol is not None and symbol_fault(symbol) is None else None,
            item["payload"],
            stage,
            error[:MAX_ERROR_CHARS],
            self.topic,
            self.partition,
            at.offset,
            at.item,
        )
        self.dead_letters.append(letter)
