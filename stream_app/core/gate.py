"""What becomes of items whose symbol is no contract: refused, waiting, dropped, or admitted. Pure.

A contract exists because the exchange lists it, never because a frame names it: whoever makes up
symbols gets neither state nor a row, and a handful of audit events.
"""

from __future__ import annotations

from schemas.contracts import PARTITIONS
from schemas.feeds import FeedSpec
from schemas.markers import BACKFILL_BEGIN, BACKFILL_END
from schemas.records import RawItem
from stream_app.core.journal import Journal
from stream_app.core.rows import Position
from stream_app.core.store import Cell, Shard, Store
from stream_app.core.waiting import WAITING_US, WaitingItem

CAP_SLACK = 2
"""A partition may have so many times its share of a feed's contracts: hashes are not even."""


class Gate:
    """Stands before the contracts of one partition."""

    def __init__(self, journal: Journal, store: Store, feed: FeedSpec) -> None:
        self._journal = journal
        self._store = store
        self.cap = -(-feed.max_contracts * CAP_SLACK // PARTITIONS)
        """Contracts of this partition at most."""

    def refuse(self, item: RawItem, at: Position, fault: str) -> None:
        """Send an item whose symbol can be none to the dead letters."""
        self._journal.note_feed("", "dead_letter", at.received_at, at, fault)
        self._journal.dead_letter(item, at, fault, "symbol")

    def keep(self, item: RawItem, shard: Shard, at: Position) -> None:
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
        )
        if at.purpose == "history" or at.channel in (BACKFILL_BEGIN, BACKFILL_END):
            dropped = [waiting]
        else:
            self._journal.counts["waiting"] += 1
            dropped = shard.waiting.put(waiting)
            shard.dirty = True
        self._journal.unlisted(shard, dropped, at)

    def expire(self, at: Position) -> None:
        """Drop what has waited for WAITING_US when a record was received."""
        for shard in self._store.shards:
            if shard.waiting and at.offset > shard.block.applied_offset:
                dropped = shard.waiting.expire(at.batch_received_at - WAITING_US)
                self._journal.unlisted(shard, dropped, at)

    def admit(self, symbol: str, shard: Shard, at: Position) -> Cell | None:
        """Create a contract that is listed; None: there are too many."""
        if len(self._store.cells) >= self.cap:
            self._journal.beyond_cap(symbol, self.cap, at)
            return None
        return self._store.create(symbol, shard)
