"""What becomes of items whose symbol is no contract: refused, waiting, dropped, or admitted. Pure.

A contract exists because the exchange lists it, never because a frame names it: whoever makes up
symbols gets neither state nor a row, and a handful of audit events.
"""

from __future__ import annotations

from schemas.control_items import BACKFILL_BEGIN, BACKFILL_END
from schemas.feed_spec import FeedSpec
from schemas.partitioning import PARTITIONS
from schemas.records import RawItem
from stream_app.core.output.collector import OutputCollector
from stream_app.core.state.contract_store import ContractEntry, ContractStore
from stream_app.core.state.item_context import ItemContext
from stream_app.core.state.waiting_room import WAITING_US, WaitingItem

CAP_SLACK = 2
"""A partition may have so many times its share of a feed's contracts: hashes are not even."""


class Admission:
    """Stands before the contracts of one partition."""

    def __init__(self, collector: OutputCollector, store: ContractStore, feed: FeedSpec) -> None:
        self._collector = collector
        self._store = store
        self.cap = -(-feed.max_contracts * CAP_SLACK // PARTITIONS)
        """Contracts of this partition at most."""
        self._shard = store.unlisted

    def refuse(self, item: RawItem, at: ItemContext, fault: str) -> None:
        """Send an item whose symbol can be none to the dead letters."""
        self._collector.note_feed("", "dead_letter", at.received_at, at, fault)
        self._collector.dead_letter(item, at, fault, "symbol")

    def keep(self, item: RawItem, at: ItemContext) -> None:
        """Have an item wait for its contract to be listed.

        Settled history does not wait. Producers ask for that of listed contracts alone, so this is
        of one that is listed no longer; and it would push out what streams.
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
        """Drop what has waited for WAITING_US when a record was received."""
        if self._shard.waiting and not self.has_applied(at):
            dropped = self._shard.waiting.expire(at.batch_received_at - WAITING_US)
            self._collector.unlisted(dropped, at)

    def has_applied(self, at: ItemContext) -> bool:
        """Tell whether what is stored of unlisted symbols has the item at hand."""
        return at.applied_by <= self._shard.block.applied_offset

    def admit(self, symbol: str, at: ItemContext) -> tuple[ContractEntry | None, list[WaitingItem]]:
        """Create a contract that is listed; return it with what has waited for it.

        No contract, if there are too many. One that is created already, and stored, is listed
        again by a record that comes again: what waited for it is in it.
        """
        if symbol in self._store.cells:
            self._leave(symbol)
            return None, []
        if len(self._store.cells) >= self.cap:
            self._collector.beyond_cap(symbol, self.cap, at)
            return None, []
        return self._store.create(symbol, at), self._leave(symbol)

    def _leave(self, symbol: str) -> list[WaitingItem]:
        waited = self._shard.waiting.take(symbol)
        self._shard.dirty = self._shard.dirty or bool(waited)
        return waited
