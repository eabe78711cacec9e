"""The contracts of one partition, in shards of at most 256, with what is derived from them.

A shard is stored as one block (contract_state.py) when something in it has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from schemas.audit_kinds import AuditKind
from schemas.contract_status import ContractStatus
from schemas.feed_spec import FeedSpec
from schemas.feeds import spec
from schemas.partitioning import contract_id
from schemas.symbols import MAX_NAME_BYTES, clip, symbol_fault
from schemas.times import hour_floor
from stream_app.core.scoring import baseline_codec
from stream_app.core.scoring.baseline import Baseline
from stream_app.core.scoring.settled_intervals import DEFAULT_INTERVAL_HOURS, Interval
from stream_app.core.scoring.settlement import Change
from stream_app.core.scoring.statistics import Statistics
from stream_app.core.state.audit_counts import AuditBook, Noted
from stream_app.core.state.contract_state import (
    BLOCK_CONTRACTS,
    UNLISTED,
    ContractBlock,
    ContractState,
)
from stream_app.core.state.gaps import StreamState
from stream_app.core.state.item_context import ItemContext
from stream_app.core.state.waiting_room import WaitingItem, WaitingRoom
from stream_app.normalise import symbol_splitter
from stream_app.normalise.assets import canonical_asset


class Shard:
    """A block and what is derived from it."""

    def __init__(self, feed: str, index: int, block: ContractBlock) -> None:
        self.index = index
        self.block = block
        self.audits = AuditBook(feed, block.audits)
        self.waiting = WaitingRoom(block.waiting)
        self.entries: list[ContractEntry] = []
        self.dirty = False

    def pack(self) -> bytes:
        """Return the block as it is stored."""
        return self.complete().pack()

    def complete(self) -> ContractBlock:
        """Return the block with all that is kept beside it."""
        self.block.audits = self.audits.entries()
        self.block.waiting = self.waiting.items()
        return self.block


class ContractEntry:
    """One contract with its shard, its baseline, and what both mean for the current hour."""

    __slots__ = (
        "agreed",
        "baseline",
        "cold",
        "contract",
        "corrections",
        "hour",
        "interval",
        "is_guarded",
        "judged_z",
        "kept_baseline",
        "resident",
        "row",
        "shard",
        "stats",
        "streams",
    )

    def __init__(self, contract: ContractState, shard: Shard, baseline: Baseline) -> None:
        self.contract = contract
        self.shard = shard
        self.baseline = baseline
        self.stats: Statistics | None = None
        """What rates of the hour are scored against; None while the baseline is being filled."""
        self.interval = Interval(DEFAULT_INTERVAL_HOURS, "assumed", doubtful=True)
        """What holds where a payload does not say."""
        self.agreed: tuple[Interval, int] | None = None
        """`interval`, and a coming funding time (µs) that was found to agree with it."""
        self.streams = contract.state.streams
        """Silence of its stream is a gap."""
        self.corrections: list[Change] = []
        """Settlements of stored state that this version judges otherwise, not published yet."""
        self.judged_z: float | None = None
        """z of the newest accepted update; without meaning until there is one."""
        self.hour = -1
        """The hour (µs) that `stats` and `interval` are for; −1: they are to be evaluated anew."""
        self.row = -1
        """Its row in the columns of its feed; −1: it has none yet."""
        self.resident = False
        """Its hot state is in that row, and not in `contract` (columns/hot.py)."""
        self.cold: msgspec.Raw | None = None
        """While it is in its row: its ContractState, packed; None: that is not known."""
        self.is_guarded = False
        """An item is being applied that may have to be undone."""
        self.kept_baseline: Baseline | None = None
        """The baseline before the item at hand has changed it; None: it has not."""

    def guard_baseline(self) -> None:
        """Have `keep_baseline` keep the baseline as it is now, from now on."""
        self.is_guarded, self.kept_baseline = True, None

    def keep_baseline(self) -> None:
        """Keep the baseline as it was before the item at hand; to be called before it is changed.

        Few items change one, and a copy of it takes as long as to apply a rate.
        """
        if self.is_guarded and self.kept_baseline is None:
            self.kept_baseline = self.baseline.copied()

    @property
    def is_scored(self) -> bool:
        """Rates are scored, if there is a baseline."""
        return not self.contract.backfilling and self.contract.state.scored

    def refresh(self, event_time: int) -> None:
        """Make `stats` and `interval` those of the hour of `event_time` (µs)."""
        hour = hour_floor(event_time)
        if hour == self.hour:
            return
        # An empty baseline is treated as none, since a restart does not tell the two apart.
        scored = self.is_scored and len(self.baseline) > 0
        stats = self.baseline.statistics(hour) if scored else None
        # All at once: half of it would be taken for what holds in the hour.
        self.interval, self.stats, self.hour = self._interval(), stats, hour

    def changed(self) -> None:
        """Note that facts or settlements have changed: the next `refresh` evaluates them."""
        self.hour = -1
        self.agreed = None
        self.streams = self.contract.state.streams

    def _interval(self) -> Interval:
        """Choose the interval: as listed, else that of the newest settlement, else 8 h.

        What is only assumed is in doubt.
        """
        listed = self.contract.listed_interval_hours
        if listed is not None:
            return Interval(listed, "exchange_info")
        newest = self.baseline.newest_interval()
        if newest is not None and newest.source != "assumed":
            return Interval(newest.hours, "observed", newest.doubtful)
        return Interval(DEFAULT_INTERVAL_HOURS, "assumed", doubtful=True)


class SavedStore(NamedTuple):
    """What of a store an item of a symbol that is not listed may change."""

    entries: int
    shards: int
    newest: int
    """Contracts of the newest block."""
    waiting: dict[str, list[WaitingItem]]
    cap_hour: int


class ContractStore:
    """All contracts of one (feed, partition), by symbol and by shard."""

    def __init__(
        self,
        feed: str,
        blocks: Iterable[bytes],
        stored_baseline: Callable[[str], bytes | None],
    ) -> None:
        """`blocks` in the order of their shards; the one of unlisted symbols may be at any place.

        `stored_baseline` is asked per contract id.
        """
        self.feed = feed
        self._spec = spec(feed)
        self._split = symbol_splitter(feed)
        self._assets = spec(feed).assets
        self.shards: list[Shard] = []
        """The shards with contracts."""
        self.unlisted = Shard(feed, UNLISTED, ContractBlock.new())
        """State of symbols that are not listed."""
        self.unlisted.block.is_unlisted = True
        self.entries: dict[str, ContractEntry] = {}
        self.by_name: dict[bytes | None, ContractEntry] = {}
        """The same, by symbols in UTF-8."""
        self._dirty_baselines: dict[str, Baseline] = {}
        for data in blocks:
            self._load(ContractBlock.unpack(data), stored_baseline)

    def _load(self, block: ContractBlock, stored_baseline: Callable[[str], bytes | None]) -> None:
        if block.is_unlisted:
            self.unlisted = Shard(self.feed, UNLISTED, block)
            return
        shard = Shard(self.feed, len(self.shards), block)
        self.shards.append(shard)
        _bound(shard, self.feed)
        for contract in block.contracts:
            _update_status(contract, self._spec)
            if contract.stream.received_at == 0:
                _seed_stream(contract)
            stored = stored_baseline(contract.contract_id)
            baseline, outdated = Baseline(), False
            if stored is not None:
                baseline, outdated = baseline_codec.unpack(stored, block.applied_offset)
            if contract.lives:
                baseline.begin_life(contract.lives[-1])
            entry = self._add(contract, shard, baseline)
            if outdated:
                self._judge_anew(entry, block)

    def _judge_anew(self, entry: ContractEntry, block: ContractBlock) -> None:
        """Judge the settlements of a version that inferred intervals otherwise.

        What changes is kept with the entry until it can be published.
        """
        contract = entry.contract
        if contract.listed_interval_hours is not None and not contract.evidence.listed:
            since = max(contract.received_at, block.flushed_at)
            contract.evidence.note_listed(contract.listed_interval_hours, since)
        entry.corrections = entry.baseline.revise(contract.evidence, 0, block.applied_offset)

    def _add(self, contract: ContractState, shard: Shard, baseline: Baseline) -> ContractEntry:
        entry = self.entries[contract.symbol] = ContractEntry(contract, shard, baseline)
        self.by_name[contract.symbol.encode()] = entry
        shard.entries.append(entry)
        return entry

    @property
    def all_shards(self) -> list[Shard]:
        """All shards in the order in which they are stored.

        The one of unlisted symbols is last: when it is stored, so is every contract that left it.
        """
        return [*self.shards, self.unlisted]

    @property
    def is_empty(self) -> bool:
        """True while there is nothing to store."""
        unlisted = self.unlisted
        return not self.shards and unlisted.block.applied_offset < 0 and not unlisted.dirty

    @property
    def applied_offset(self) -> int:
        """The newest raw offset that any shard has applied; −1: none."""
        return max(shard.block.applied_offset for shard in self.all_shards)

    def contracts(self) -> Iterator[ContractState]:
        """Return all contracts, in the order in which they were first listed."""
        return (entry.contract for entry in self.entries.values())

    def last_shard(self, offset: int, boundary: int) -> Shard:
        """Return the newest block's shard; where it is full or missing, a new one.

        `offset`, `boundary`: of the record at hand, whose flush boundary has been flushed.
        """
        if not self.shards or len(self.shards[-1].block.contracts) >= BLOCK_CONTRACTS:
            shard = Shard(self.feed, len(self.shards), ContractBlock.new())
            # A new block has nothing to apply of what came before the record at hand.
            shard.block.applied_offset = offset - 1
            shard.block.flushed_at = boundary
            self.shards.append(shard)
        return self.shards[-1]

    def home(self, symbol: str, at: ItemContext) -> Shard:
        """Return the shard whose state an item of a symbol belongs to: its contract's.

        That is `unlisted` if the symbol is no contract, or became one only after the item.
        """
        entry = self.entries.get(symbol)
        if entry is None or at.place < entry.contract.listed_by:
            return self.unlisted
        return entry.shard

    def create(self, symbol: str, at: ItemContext) -> ContractEntry:
        """Create a contract that the item at hand lists, and return its entry."""
        shard = self.last_shard(at.applied_by, at.boundary)
        base, quote = self._split(symbol)
        asset, multiplier = canonical_asset(base, self._assets)
        contract = ContractState(symbol, contract_id(self.feed, symbol), asset, quote, multiplier)
        contract.listed_by = at.place
        shard.block.contracts.append(contract)
        shard.dirty = True
        return self._add(contract, shard, Baseline())

    def saved(self) -> SavedStore:
        """Return what an item of a symbol that is not listed may change."""
        unlisted = self.unlisted
        waiting = {symbol: items[:] for symbol, items in unlisted.waiting.by_symbol.items()}
        newest = len(self.shards[-1].block.contracts) if self.shards else 0
        return SavedStore(
            len(self.entries), len(self.shards), newest, waiting, unlisted.block.cap_hour
        )

    def restore(self, saved: SavedStore) -> None:
        """Undo what has changed since, of that."""
        for symbol in list(self.entries)[saved.entries :]:
            entry = self.entries.pop(symbol)
            self.by_name.pop(symbol.encode(), None)
            self._dirty_baselines.pop(entry.contract.contract_id, None)
        del self.shards[saved.shards :]
        if self.shards:
            # Contracts are only ever added to the newest block.
            shard, known = self.shards[-1], saved.newest
            for contract in shard.block.contracts[known:]:
                self.by_name.pop(contract.symbol.encode(), None)
            del shard.block.contracts[known:], shard.entries[known:]
        self.unlisted.waiting.by_symbol = saved.waiting
        self.unlisted.block.cap_hour = saved.cap_hour

    def restore_baseline(self, entry: ContractEntry) -> None:
        """Give a contract the baseline that it had before the item at hand."""
        kept, entry.kept_baseline, entry.is_guarded = entry.kept_baseline, None, False
        if kept is None:
            return
        entry.baseline = kept
        if entry.contract.contract_id in self._dirty_baselines:
            self._dirty_baselines[entry.contract.contract_id] = kept

    def baseline_changed(self, entry: ContractEntry) -> None:
        """Note that a baseline is to be stored."""
        entry.changed()
        self._dirty_baselines[entry.contract.contract_id] = entry.baseline

    def baseline_grown(self, entry: ContractEntry) -> None:
        """Note that a baseline is to be stored, by which nothing is judged yet."""
        self._dirty_baselines[entry.contract.contract_id] = entry.baseline

    def mark_applied(self, offset: int) -> None:
        """Note that all records up to `offset` are applied, in every block that they changed.

        If they changed none, the newest block is stored to carry the offset: it must not lag behind
        what is acked, or a restart would take the difference for a hole in the log.
        """
        shards = self.all_shards
        clean = not any(shard.dirty for shard in shards)
        if clean and not self.is_empty and offset > self.applied_offset:
            (self.shards or shards)[-1].dirty = True
        for shard in shards:
            if shard.dirty:
                shard.block.applied_offset = max(offset, shard.block.applied_offset)

    def take_dirty(
        self, pack: Callable[[Shard], bytes] | None = None
    ) -> tuple[list[tuple[int, bytes]], list[tuple[str, bytes]]]:
        """Return (shard, packed block) and (contract id, packed baseline) of all that changed.

        `pack`: how a shard is packed; by default all its contracts are in their ContractStates.
        """
        shards = self.all_shards
        packed = pack or Shard.pack
        blocks = [(shard.index, packed(shard)) for shard in shards if shard.dirty]
        for shard in shards:
            shard.dirty = False
        dirty, self._dirty_baselines = self._dirty_baselines, {}
        return blocks, [
            (contract, baseline_codec.pack(dirty[contract])) for contract in sorted(dirty)
        ]


def _bound(shard: Shard, feed: str) -> None:
    """Remove from a stored block what an older version without bounds has let in, and count it."""
    block = shard.block
    contracts = [c for c in block.contracts if symbol_fault(c.symbol) is None]
    for contract in contracts:
        for name in ("base", "quote", "status"):
            setattr(contract, name, clip(getattr(contract, name), MAX_NAME_BYTES))
    refused = len(block.contracts) - len(contracts)
    prefix = contract_id(feed, "")
    audits = [e for e in block.audits if symbol_fault(e.subject.removeprefix(prefix)) is None]
    if not refused and len(audits) == len(block.audits):
        return
    block.contracts, block.audits = contracts, audits
    shard.audits = AuditBook(feed, audits)
    at = block.flushed_at
    detail = "stored contracts whose symbols can be none"
    place = (at, block.applied_offset, -1)
    noted = Noted(feed, AuditKind.BAD_SYMBOL, at, *place, detail, max(1, refused))
    shard.audits.note(noted)
    shard.dirty = True


def _update_status(contract: ContractState, feed: FeedSpec) -> None:
    """Turn the exchange's own word, which earlier versions stored, into the state that it means."""
    if contract.status and contract.status not in set(ContractStatus):
        contract.status = feed.status_of(contract.status)


def _seed_stream(contract: ContractState) -> None:
    """Start a contract's stream at its current rate, for state of a version without streams.

    Otherwise the time of the upgrade itself could not be a gap.
    """
    if contract.updates and contract.transport == "ws" and contract.state.streams:
        contract.stream = StreamState(
            contract.event_time, contract.received_at, contract.raw_offset, contract.raw_item
        )
