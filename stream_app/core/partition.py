"""One partition of one feed's raw topic: applies raw batches, decides what is published.

A pure function of the batches, their offsets and the stored state: no I/O, no clock (`now_us` only
stamps `computed_at` and `created_at`). Everything that a contract needs lives in its partition.
Not responsible for: decoding payloads (normalise), Kafka and tables (worker.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from schemas import topics
from schemas.contracts import contract_id
from schemas.errors import MalformedInputError
from schemas.feeds import stale_s
from schemas.markers import BACKFILL_BEGIN, BACKFILL_END, UNREADABLE
from schemas.records import HourlyBar, RawBatch, RawItem
from schemas.times import US_PER_DAY, US_PER_S, hour_floor, minute_round
from stream_app.core.audit import AuditBook, Noted, audit_event
from stream_app.core.bars import ClosedBar, Held
from stream_app.core.baseline import Baseline, Statistics, z_of
from stream_app.core.blocks import BLOCK_CONTRACTS, DEFAULT_INTERVAL_HOURS, Block, Contract
from stream_app.core.emission import Emission, alert_of, zscore_of
from stream_app.core.ordering import judge
from stream_app.core.outputs import DeadLetter, Output
from stream_app.core.rows import Interval, Position, bar_row, rate_row, settlement_row
from stream_app.core.zones import flush_boundary
from stream_app.normalise.assets import canonical_asset, split_symbol
from stream_app.normalise.readings import (
    ContractReading,
    Normaliser,
    RateReading,
    Reading,
    SettlementReading,
)

MAX_ERROR_CHARS = 500
MAX_AHEAD_US = US_PER_DAY
MAX_RATE = 1.0
"""No exchange charges 100 % per interval; caps are below 4 % (exchanges.md)."""


def _check_plausible(reading: Reading, at: Position) -> None:
    """Refuse what would spoil a contract's state for long: times ahead, rates beyond any cap.

    Raises:
        MalformedInputError: says which value it is.
    """
    latest = at.received_at + MAX_AHEAD_US
    if isinstance(reading, RateReading):
        time_us, rate = reading.event_time, reading.rate
    elif isinstance(reading, SettlementReading):
        time_us, rate = reading.funding_time_raw, reading.rate
    else:
        return
    if time_us is not None and time_us > latest:
        raise MalformedInputError(f"time {time_us} lies more than a day ahead of its receipt")
    if abs(rate) > MAX_RATE:
        raise MalformedInputError(f"rate {rate!r} is beyond 100 % per interval")


class Shard:
    """A block and what is derived from it."""

    def __init__(self, index: int, block: Block) -> None:
        self.index = index
        self.block = block
        self.audits = AuditBook(block.audits)
        self.dirty = False

    def pack(self) -> bytes:
        """Return the block as it is stored."""
        self.block.audits = self.audits.entries()
        return self.block.pack()


class FeedPartition:
    """State and behaviour of one (feed, partition)."""

    def __init__(
        self,
        feed: str,
        partition: int,
        normalise: Normaliser,
        blocks: Iterable[bytes] = (),
        stored_baseline: Callable[[str], bytes | None] = lambda _contract: None,
    ) -> None:
        """`blocks` in the order of their shards; `stored_baseline` is asked per contract id."""
        self.feed = feed
        self.partition = partition
        self.topic = topics.raw_topic(feed)
        self._stale_us = int(stale_s(feed) * US_PER_S)
        self.shards: list[Shard] = []
        self.baselines: dict[str, Baseline] = {}
        self.dirty_baselines: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.outputs: list[Output] = []
        self.dead_letters: list[DeadLetter] = []
        self.closed_bars: list[HourlyBar] = []
        """Closed since they were last taken, for the table of bars."""
        self._normalise = normalise
        self._by_symbol: dict[str, tuple[Contract, Shard]] = {}
        for data in blocks:
            self._load(Block.unpack(data), stored_baseline)

    def _load(self, block: Block, stored_baseline: Callable[[str], bytes | None]) -> None:
        shard = Shard(len(self.shards), block)
        self.shards.append(shard)
        for contract in block.contracts:
            self._by_symbol[contract.symbol] = (contract, shard)
            stored = stored_baseline(contract.contract_id)
            if stored is not None:
                self.baselines[contract.contract_id] = Baseline.unpack(stored, block.applied_offset)

    @property
    def applied_offset(self) -> int:
        """The newest raw offset that any shard has applied; −1: none."""
        return max((shard.block.applied_offset for shard in self.shards), default=-1)

    @property
    def contracts(self) -> Iterable[Contract]:
        """All contracts, in the order in which they were met."""
        return (contract for contract, _shard in self._by_symbol.values())

    def baseline(self, contract: Contract) -> Baseline:
        """Return a contract's baseline, empty at first."""
        baseline = self.baselines.get(contract.contract_id)
        if baseline is None:
            baseline = self.baselines[contract.contract_id] = Baseline()
        return baseline

    def apply(self, batch: RawBatch, offset: int, now_us: int) -> None:
        """Apply one raw record. What it leads to is in `outputs` and `dead_letters` afterwards."""
        self.flush(flush_boundary(batch["received_at"]), now_us)
        for index, item in enumerate(batch["items"]):
            at = Position(batch, offset, index, item["received_at"], now_us)
            published = len(self.outputs)
            try:
                self._apply_item(item, at)
            except Exception as error:  # noqa: BLE001 - a bug of ours met by one item must not
                # stop the others: the item is kept, with what went wrong.
                del self.outputs[published:]
                self.counts["failed"] += 1
                self.dead_letters.append(self._dead_letter(item, at, repr(error), "core"))

    def flush(self, boundary: int, now_us: int) -> None:
        """Emit what is owed at a flush boundary (µs of received_at), once for each boundary."""
        for shard in self.shards:
            if boundary <= shard.block.flushed_at:
                continue
            shard.block.flushed_at = boundary
            for contract in shard.block.contracts:
                if contract.owes:
                    stats = self._statistics(contract, contract.event_time)
                    emission = Emission.flush(contract, stats)
                    self._emit(emission, now_us)
                    shard.dirty = True
                for bar in contract.bars.close_silent(boundary, self._stale_us):
                    self._publish_bar(contract, bar)
                    shard.dirty = True
            for entry in shard.audits.take_due(boundary):
                event = audit_event(entry, self.topic, self.partition)
                self.outputs.append(Output(topics.AUDIT, entry.subject, event))
                shard.dirty = True

    def take_outputs(self) -> tuple[list[Output], list[DeadLetter]]:
        """Return and forget what is to be published."""
        taken = self.outputs, self.dead_letters
        self.outputs, self.dead_letters = [], []
        return taken

    def _apply_item(self, item: RawItem, at: Position) -> None:
        symbol = item["symbol"]
        if symbol is None:
            self._apply_nameless(item, at)
            return
        found = self._by_symbol.get(symbol)
        if found is not None and at.offset <= found[1].block.applied_offset:
            self.counts["redelivered"] += 1
            return
        channel = at.batch["channel"]
        if channel in (BACKFILL_BEGIN, BACKFILL_END):
            contract, shard = found or self._new_contract(symbol, at)
            contract.backfilling = channel == BACKFILL_BEGIN
            shard.dirty = True
            return
        for reading in self._read(item, symbol, channel, at):
            if isinstance(reading, RateReading):
                self._apply_rate(reading, at)
            elif isinstance(reading, SettlementReading):
                self._apply_settlement(reading, at)
            elif isinstance(reading, ContractReading):
                self._apply_facts(reading, at)
            else:
                self._audit(reading.symbol, "no_rate", at.received_at, at, reading.reason)

    def _read(self, item: RawItem, symbol: str, channel: str, at: Position) -> Sequence[Reading]:
        """Return what an item means; nothing if it goes to the dead letters."""
        try:
            readings = self._normalise(
                at.batch["purpose"], channel, symbol, item["payload"], at.received_at
            )
            for reading in readings:
                _check_plausible(reading, at)
        except MalformedInputError as error:
            self._audit(symbol, "dead_letter", at.received_at, at, str(error))
            self.dead_letters.append(self._dead_letter(item, at, str(error)))
            return ()
        return readings

    def _apply_nameless(self, item: RawItem, at: Position) -> None:
        if at.batch["channel"] == UNREADABLE:
            self.counts["dead_letter"] += 1
            letter = self._dead_letter(item, at, "not a message of this exchange", "slice")
            self.dead_letters.append(letter)
        else:
            self.counts["control"] += 1

    def _dead_letter(
        self, item: RawItem, at: Position, error: str, stage: str = "normalise"
    ) -> DeadLetter:
        return DeadLetter(
            item["symbol"],
            item["payload"],
            stage,
            error[:MAX_ERROR_CHARS],
            self.topic,
            self.partition,
            at.offset,
            at.item,
        )

    def _audit(
        self, symbol: str, kind: str, event_time: int, at: Position, detail: str = ""
    ) -> None:
        """Count a decision about a contract, or about a symbol that is none of ours."""
        self.counts[kind] += 1
        found = self._by_symbol.get(symbol)
        shard = found[1] if found is not None else self._last_shard(at)
        if at.offset <= shard.block.applied_offset:
            return
        subject = contract_id(self.feed, symbol)
        shard.audits.note(
            Noted(subject, kind, event_time, at.received_at, at.offset, at.item, detail)
        )
        shard.dirty = True

    def _last_shard(self, at: Position) -> Shard:
        """Return the newest block's shard; where it is full or missing, a new one."""
        if not self.shards or len(self.shards[-1].block.contracts) >= BLOCK_CONTRACTS:
            shard = Shard(len(self.shards), Block.new())
            # A new block has, trivially, applied all that came before the record at hand.
            shard.block.applied_offset = at.offset - 1
            shard.block.flushed_at = flush_boundary(at.batch["received_at"])
            self.shards.append(shard)
        return self.shards[-1]

    def _contract(self, symbol: str, at: Position) -> Contract:
        """Return the contract, marked as changed by the record at hand."""
        contract, shard = self._by_symbol.get(symbol) or self._new_contract(symbol, at)
        shard.dirty = True
        return contract

    def _new_contract(self, symbol: str, at: Position) -> tuple[Contract, Shard]:
        shard = self._last_shard(at)
        base, quote = split_symbol(symbol)
        asset, multiplier = canonical_asset(base)
        contract = Contract(symbol, contract_id(self.feed, symbol), asset, quote, multiplier)
        shard.block.contracts.append(contract)
        self._by_symbol[symbol] = contract, shard
        return contract, shard

    def _apply_facts(self, facts: ContractReading, at: Position) -> None:
        contract = self._contract(facts.symbol, at)
        if facts.status is not None and facts.status != contract.status:
            change = f"{contract.status or 'unknown'} -> {facts.status}"
            self._audit(facts.symbol, "status_change", at.received_at, at, change)
        for field in ("base", "quote", "multiplier", "status", "rate_cap", "rate_floor"):
            value = getattr(facts, field)
            if value is not None:
                setattr(contract, field, value)
        if facts.interval_hours is not None:
            contract.listed_interval_hours = facts.interval_hours
        self.counts["facts"] += 1

    def _apply_settlement(self, reading: SettlementReading, at: Position) -> None:
        contract = self._contract(reading.symbol, at)
        funding_time = minute_round(reading.funding_time_raw)
        entry = self.baseline(contract).add(
            funding_time,
            reading.rate,
            reading.interval_hours,
            contract.listed_interval_hours or DEFAULT_INTERVAL_HOURS,
            at.offset,
        )
        if entry is None:
            self.counts["settlement_known"] += 1
            return
        self.counts["settlement"] += 1
        self.dirty_baselines.add(contract.contract_id)
        row = settlement_row(contract, reading, entry, at, self.topic, self.partition)
        self.outputs.append(Output(topics.SETTLEMENTS, contract.contract_id, row))

    def _apply_rate(self, reading: RateReading, at: Position) -> None:
        contract, shard = self._by_symbol.get(reading.symbol) or self._new_contract(
            reading.symbol, at
        )
        event_time = reading.event_time if reading.event_time is not None else at.received_at
        verdict = judge(contract, event_time, reading.rate)
        if verdict != "accepted":
            self._audit(reading.symbol, verdict, event_time, at, f"rate {reading.rate!r}")
            if verdict == "duplicate":
                return
        else:
            self.counts[verdict] += 1
        shard.dirty = True
        interval = self._interval(contract, reading)
        row = rate_row(
            contract,
            reading,
            event_time,
            interval,
            at,
            self.topic,
            self.partition,
            late=verdict == "late",
        )
        self.outputs.append(Output(topics.RATES, contract.contract_id, row))
        if verdict == "late":
            contract.bars.late_updates += 1
            return
        stats = self._statistics(contract, event_time)
        z = z_of(row["rate_8h"], stats)
        transport = at.batch["transport"]
        held = Held(event_time, reading.rate, z, reading.mark_price, transport)
        for bar in contract.bars.add(held, self._stale_us):
            self._publish_bar(contract, bar)
        if verdict == "out_of_order":
            return
        rate_changed = contract.updates > 0 and reading.rate != contract.rate
        self._move(contract, reading, event_time, interval, at)
        emission = Emission.at_once(contract, stats, z, rate_changed=rate_changed)
        if emission is not None:
            self._emit(emission, at.now_us)

    def _move(
        self,
        contract: Contract,
        reading: RateReading,
        event_time: int,
        interval: Interval,
        at: Position,
    ) -> None:
        """Make an update the contract's current one."""
        if contract.updates > 0 and interval.hours != contract.interval_hours:
            change = f"{contract.interval_hours:g} h -> {interval.hours:g} h ({interval.source})"
            self._audit(contract.symbol, "interval_change", event_time, at, change)
        contract.event_time = event_time
        contract.received_at = at.received_at
        contract.rate = reading.rate
        contract.interval_hours, contract.interval_source = interval
        contract.mark_price = reading.mark_price
        contract.index_price = reading.index_price
        contract.next_funding_time = reading.next_funding_time
        contract.transport = at.batch["transport"]
        contract.raw_offset = at.offset
        contract.raw_item = at.item
        contract.updates += 1

    def _interval(self, contract: Contract, reading: RateReading) -> Interval:
        """Choose the interval by exchanges.md's order: payload, listing, settlements, 8 h."""
        if reading.interval_hours is not None:
            return Interval(reading.interval_hours, "payload")
        if contract.listed_interval_hours is not None:
            return Interval(contract.listed_interval_hours, "exchange_info")
        observed = self.baseline(contract).observed_interval_hours()
        if observed is not None:
            return Interval(observed, "observed")
        return Interval(DEFAULT_INTERVAL_HOURS, "assumed")

    def _statistics(self, contract: Contract, event_time: int) -> Statistics | None:
        """Return the statistics to score against; None while the baseline is being filled."""
        if contract.backfilling:
            return None
        baseline = self.baselines.get(contract.contract_id)
        # An empty baseline is as none: only one of the two survives a restart.
        return baseline.statistics(hour_floor(event_time)) if baseline else None

    def _publish_bar(self, contract: Contract, bar: ClosedBar) -> None:
        self.counts["bar"] += 1
        row = bar_row(contract, self.feed, bar)
        self.outputs.append(Output(topics.BARS, contract.contract_id, row))
        self.closed_bars.append(row)

    def _emit(self, emission: Emission, now_us: int) -> None:
        contract = emission.contract
        record = zscore_of(emission, self.feed, self.topic, self.partition, now_us)
        self.outputs.append(Output(topics.ZSCORES, contract.contract_id, record))
        self.counts["emitted"] += 1
        if emission.crossed is not None:
            alert = alert_of(emission, record)
            self.outputs.append(Output(topics.ALERTS, contract.contract_id, alert))
            self.counts["alert"] += 1
        contract.emitted_updates = contract.updates
        contract.emitted_rate = contract.rate
        contract.emitted_z = emission.z

    def mark_applied(self, offset: int) -> None:
        """Note that all records up to `offset` are applied, in every block that they changed.

        If they changed none, the newest block carries the offset: what is stored must never lag
        behind what is acked, or a restart would take the difference for a hole.
        """
        if self.shards and offset > self.applied_offset and not any(s.dirty for s in self.shards):
            self.shards[-1].dirty = True
        for shard in self.shards:
            if shard.dirty:
                shard.block.applied_offset = max(offset, shard.block.applied_offset)

    def take_dirty(self) -> tuple[list[tuple[int, bytes]], list[tuple[str, bytes]]]:
        """Return (shard, packed block) and (contract id, packed baseline) of all that changed."""
        blocks = [(s.index, s.pack()) for s in self.shards if s.dirty]
        for shard in self.shards:
            shard.dirty = False
        baselines = [(c, self.baselines[c].pack()) for c in sorted(self.dirty_baselines)]
        self.dirty_baselines.clear()
        return blocks, baselines

    def take_closed_bars(self) -> list[HourlyBar]:
        """Return and forget the bars that were closed."""
        taken, self.closed_bars = self.closed_bars, []
        return taken
