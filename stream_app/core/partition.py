"""One partition of one feed's raw topic: applies raw batches, decides what is published.

A pure function of the batches, their offsets and the stored state: no I/O, no clock (`now_us` only
stamps `computed_at` and `created_at`). Everything that a contract needs lives in its partition.
Not responsible for: decoding payloads (normalise), Kafka and tables (worker.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from schemas import topics
from schemas.contracts import contract_id
from schemas.errors import MalformedInputError
from schemas.markers import BACKFILL_BEGIN, BACKFILL_END, UNREADABLE
from schemas.rates import apr, rate_8h
from schemas.records import FundingRate, IntervalSource, RawBatch, RawItem, Settlement
from schemas.times import minute_round
from stream_app.core.baseline import Baseline
from stream_app.core.blocks import BLOCK_CONTRACTS, DEFAULT_INTERVAL_HOURS, Block, Contract
from stream_app.core.emission import Emission, alert_of, zscore_of
from stream_app.core.ordering import judge, remember
from stream_app.core.outputs import DeadLetter, Output
from stream_app.core.zones import flush_boundary
from stream_app.normalise.assets import canonical_asset, split_symbol
from stream_app.normalise.readings import (
    ContractReading,
    NoRate,
    Normaliser,
    RateReading,
    SettlementReading,
)

MAX_ERROR_CHARS = 500
"""Bounds what a dead letter says in its headers."""


class _Position(NamedTuple):
    """Where the item at hand stands in the log, and what its batch says."""

    batch: RawBatch
    offset: int
    item: int
    received_at: int
    now_us: int


class Shard:
    """A block and what is derived from it."""

    def __init__(self, index: int, block: Block) -> None:
        self.index = index
        self.block = block
        self.dirty = False


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
        self.shards: list[Shard] = []
        self.baselines: dict[str, Baseline] = {}
        self.dirty_baselines: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.outputs: list[Output] = []
        self.dead_letters: list[DeadLetter] = []
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
            self._apply_item(item, _Position(batch, offset, index, item["received_at"], now_us))

    def flush(self, boundary: int, now_us: int) -> None:
        """Emit what is owed at a flush boundary (µs of received_at), once for each boundary."""
        for shard in self.shards:
            if boundary <= shard.block.flushed_at:
                continue
            shard.block.flushed_at = boundary
            for contract in shard.block.contracts:
                if contract.owes:
                    self._emit(Emission.flush(contract, self._score_inputs(contract)), now_us)
                    shard.dirty = True

    def take_outputs(self) -> tuple[list[Output], list[DeadLetter]]:
        """Return and forget what is to be published."""
        taken = self.outputs, self.dead_letters
        self.outputs, self.dead_letters = [], []
        return taken

    def _apply_item(self, item: RawItem, at: _Position) -> None:
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
        try:
            readings = self._normalise(at.batch["purpose"], channel, item["payload"])
        except MalformedInputError as error:
            self.counts["dead_letter"] += 1
            self.dead_letters.append(self._dead_letter(item, at, str(error)))
            return
        for reading in readings:
            if isinstance(reading, RateReading):
                self._apply_rate(reading, at)
            elif isinstance(reading, SettlementReading):
                self._apply_settlement(reading, at)
            elif isinstance(reading, ContractReading):
                self._apply_facts(reading, at)
            elif isinstance(reading, NoRate):
                self.counts["no_rate"] += 1

    def _apply_nameless(self, item: RawItem, at: _Position) -> None:
        if at.batch["channel"] == UNREADABLE:
            self.counts["dead_letter"] += 1
            letter = self._dead_letter(item, at, "not a message of this exchange", "slice")
            self.dead_letters.append(letter)
        else:
            self.counts["control"] += 1

    def _dead_letter(
        self, item: RawItem, at: _Position, error: str, stage: str = "normalise"
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

    def _contract(self, symbol: str, at: _Position) -> Contract:
        """Return the contract, marked as changed by the record at hand."""
        contract, shard = self._by_symbol.get(symbol) or self._new_contract(symbol, at)
        shard.dirty = True
        return contract

    def _new_contract(self, symbol: str, at: _Position) -> tuple[Contract, Shard]:
        if not self.shards or len(self.shards[-1].block.contracts) >= BLOCK_CONTRACTS:
            shard = Shard(len(self.shards), Block.new())
            # A new block has, trivially, applied all that came before the record at hand.
            shard.block.applied_offset = at.offset - 1
            shard.block.flushed_at = flush_boundary(at.batch["received_at"])
            self.shards.append(shard)
        shard = self.shards[-1]
        base, quote = split_symbol(symbol)
        asset, multiplier = canonical_asset(base)
        contract = Contract(symbol, contract_id(self.feed, symbol), asset, quote, multiplier)
        shard.block.contracts.append(contract)
        self._by_symbol[symbol] = contract, shard
        return contract, shard

    def _apply_facts(self, facts: ContractReading, at: _Position) -> None:
        contract = self._contract(facts.symbol, at)
        for field in ("base", "quote", "multiplier", "status", "rate_cap", "rate_floor"):
            value = getattr(facts, field)
            if value is not None:
                setattr(contract, field, value)
        if facts.interval_hours is not None:
            contract.listed_interval_hours = facts.interval_hours
        self.counts["facts"] += 1

    def _apply_settlement(self, reading: SettlementReading, at: _Position) -> None:
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
        record: Settlement = {
            "contract_id": contract.contract_id,
            "feed": self.feed,
            "symbol": contract.symbol,
            "funding_time": funding_time,
            "funding_time_raw": reading.funding_time_raw,
            "rate": reading.rate,
            "interval_hours": entry.interval_hours,
            "rate_8h": rate_8h(reading.rate, entry.interval_hours),
            "source": reading.source,
            "received_at": at.received_at,
            "raw_topic": self.topic,
            "raw_partition": self.partition,
            "raw_offset": at.offset,
            "raw_item": at.item,
        }
        self.outputs.append(Output(topics.SETTLEMENTS, contract.contract_id, record))

    def _apply_rate(self, reading: RateReading, at: _Position) -> None:
        contract, shard = self._by_symbol.get(reading.symbol) or self._new_contract(
            reading.symbol, at
        )
        event_time = reading.event_time if reading.event_time is not None else at.received_at
        verdict = judge(contract, event_time, reading.rate)
        self.counts[verdict] += 1
        if verdict == "duplicate":
            return
        shard.dirty = True
        interval = self._interval(contract, reading)
        self._publish_rate(contract, reading, event_time, interval, at, late=verdict == "late")
        if verdict == "late":
            return
        remember(contract, event_time, reading.rate)
        if verdict == "out_of_order":
            return
        rate_changed = contract.updates > 0 and reading.rate != contract.rate
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
        emission = Emission.at_once(
            contract, self._score_inputs(contract), rate_changed=rate_changed
        )
        if emission is not None:
            self._emit(emission, at.now_us)

    def _interval(self, contract: Contract, reading: RateReading) -> tuple[float, IntervalSource]:
        """Choose the interval by exchanges.md's order: payload, listing, settlements, 8 h."""
        if reading.interval_hours is not None:
            return reading.interval_hours, "payload"
        if contract.listed_interval_hours is not None:
            return contract.listed_interval_hours, "exchange_info"
        observed = self.baseline(contract).observed_interval_hours()
        if observed is not None:
            return observed, "observed"
        return DEFAULT_INTERVAL_HOURS, "assumed"

    def _score_inputs(self, contract: Contract) -> Baseline | None:
        """Return the baseline to score against; None while it is being filled."""
        return None if contract.backfilling else self.baselines.get(contract.contract_id)

    def _publish_rate(
        self,
        contract: Contract,
        reading: RateReading,
        event_time: int,
        interval: tuple[float, IntervalSource],
        at: _Position,
        *,
        late: bool,
    ) -> None:
        interval_hours, interval_source = interval
        record: FundingRate = {
            "contract_id": contract.contract_id,
            "feed": self.feed,
            "symbol": contract.symbol,
            "base": contract.base,
            "quote": contract.quote,
            "multiplier": contract.multiplier,
            "rate": reading.rate,
            "interval_hours": interval_hours,
            "interval_source": interval_source,
            "rate_8h": rate_8h(reading.rate, interval_hours),
            "apr": apr(reading.rate, interval_hours),
            "mark_price": reading.mark_price,
            "index_price": reading.index_price,
            "next_funding_time": reading.next_funding_time,
            "event_time": event_time,
            "event_time_source": "exchange" if reading.event_time is not None else "receipt",
            "received_at": at.received_at,
            "transport": at.batch["transport"],
            "late": late,
            "raw_topic": self.topic,
            "raw_partition": self.partition,
            "raw_offset": at.offset,
            "raw_item": at.item,
        }
        self.outputs.append(Output(topics.RATES, contract.contract_id, record))

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
        """Note that all records up to `offset` are applied, in every block that they changed."""
        for shard in self.shards:
            if shard.dirty:
                shard.block.applied_offset = max(offset, shard.block.applied_offset)

    def take_dirty(self) -> tuple[list[tuple[int, bytes]], list[tuple[str, bytes]]]:
        """Return (shard, packed block) and (contract id, packed baseline) of all that changed."""
        blocks = [(s.index, s.block.pack()) for s in self.shards if s.dirty]
        for shard in self.shards:
            shard.dirty = False
        baselines = [(c, self.baselines[c].pack()) for c in sorted(self.dirty_baselines)]
        self.dirty_baselines.clear()
        return blocks, baselines
