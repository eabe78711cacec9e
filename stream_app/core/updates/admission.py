"""What becomes of items whose symbol is not listed: refused, waiting, dropped, or admitted.

A contract exists because the exchange lists it, never because a frame names it: made-up symbols get
neither state nor rows, and only a handful of audit events.
"""

from __future__ import annotations

from schemas.audit_kinds import AuditKind
from schemas.control_items import BACKFILL_BEGIN, BACKFILL_END
from schemas.feed_spec import FeedSpec
from schemas.partitioning import PARTITIONS
from schemas.records import RawItem
from stream_app.core.output.collector import OutputCollector
from stream_app.core.state.contract_store import ContractEntry, ContractStore
from stream_app.core.state.item_context import ItemContext
from stream_app.core.state.waiting_room import WAITING_US, WaitingItem

CAP_SLACK = 2
"""How many times its share of a feed's contracts a partition may have: hashes are not even."""


class Admission:
    """Decides which symbols become contracts of one partition."""

    def __init__(self, collector: OutputCollector, store: ContractStore, feed: FeedSpec) -> None:
        self._collector = collector
        self._store = store
        self.cap = -(-feed.max_contracts * CAP_SLACK // PARTITIONS)
        """Contracts of this partition at most."""
        self._shard = store.unlisted

    def refuse(self, item: RawItem, at: ItemContext, fault: str) -> None:
        """Send an item whose symbol is malformed to the dead letters. `fault` says how."""
        self._collector.note_feed("", AuditKind.DEAD_LETTER, at.received_at, at, fault)
        self._collector.dead_letter(item, at, fault, "symbol")

    def keep(self, item: RawItem, at: ItemContext) -> None:
        """Let an item wait until its contract is listed.

        Settled history is dropped at once: producers request it for listed contracts alone, so its
        contract has been delisted, and it would push out items of the stream.
        """
        waiting = WaitingItem(
            item["symbol"] or "",
            at.offset,
            at.item,
            item["received_at"],
            at.purpose,
            at.transport,
            at.channel,
            item["payload"],
            at.connection,
        )
        if at.purpose == "history" or at.channel in (BACKFILL_BEGIN, BACKFILL_END):
            dropped = [waiting]
        else:
            self._collector.counts["waiting"] += 1
            dropped = self._shard.waiting.put(waiting)
            self._shard.dirty = True
        self._collector.unlisted(dropped, at)

    def expire(self, at: ItemContext) -> None:
        """Drop the items that had waited for WAITING_US when a record was received."""
        if not self.has_applied(at):
            dropped = self._shard.waiting.expire(at.batch_received_at - WAITING_US)
            self._collector.unlisted(dropped, at)

    def drops_at(self) -> float:
        """Return when the next item that waits is to be dropped (receipt, µs)."""
        return self._shard.waiting.oldest_us() + WAITING_US

    def has_applied(self, at: ItemContext) -> bool:
        """Tell whether the stored state of unlisted symbols includes the item at hand."""
        return at.applied_by <= self._shard.block.applied_offset

    def admit(self, symbol: str, at: ItemContext) -> tuple[ContractEntry | None, list[WaitingItem]]:
        """Create a contract that is listed; return it with what has waited for it.

        No contract is created if there are too many, or if it exists already: a record that is
        delivered again lists it once more, and what waited for it was applied.
        """
        if symbol in self._store.entries:
            self._leave(symbol)
            return None, []
        if len(self._store.entries) >= self.cap:
            self._collector.beyond_cap(symbol, self.cap, at)
            return None, []
        return self._store.create(symbol, at), self._leave(symbol)

    def _leave(self, symbol: str) -> list[WaitingItem]:
        waited = self._shard.waiting.take(symbol)
        self._shard.dirty = self._shard.dirty or bool(waited)
        return waited
