"""Applies settled history by columns: what goes on as the settlements before it, many at once.

The rows of a record of the history are taken in the order of the log. Rows of one contract that can
be added to its baseline together (scoring/settled_runs.py), and rows that are known already, are
decided for many contracts, encoded together, and only then written: either all of it happens, or
nothing, and then the rows are applied one by one. So are all other rows (reference_data.py), which
is the one way that says what a settlement means. Contracts do not depend on each other, and of one
contract each row is applied before the next. So each key's records, the stored state and the counts
are those that applying row by row makes.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from schemas import topics
from schemas.audit_kinds import AuditKind
from schemas.serde.columns import encoded_long
from schemas.serde.raw_frames import RawFrame
from schemas.serde.settlement_columns import SettlementColumns
from schemas.times import US_PER_HOUR, US_PER_MINUTE, hour_floor
from stream_app.core.columns.judging import FeedColumns
from stream_app.core.output.collector import OutputCollector
from stream_app.core.output.outputs import EncodedRecords, Output
from stream_app.core.scoring.baseline import Addition, add_all
from stream_app.core.scoring.interval_evidence import FAR_AHEAD_US
from stream_app.core.scoring.settled_runs import Run, known_run, new_run
from stream_app.core.state.contract_state import ContractState
from stream_app.core.state.contract_store import ContractEntry, ContractStore
from stream_app.core.state.item_context import ItemContext
from stream_app.model import Floats, Longs, Normaliser, SettledColumns

log = logging.getLogger(__name__)

MIN_ROWS = 4
"""Fewer rows than this are as quick to apply one by one."""


class _Page(NamedTuple):
    """The rows of a record of the history. Times are µs."""

    frame: RawFrame
    times_raw: Longs
    rates: Floats
    times: Sequence[int]
    """Funding times: rounded to the minute."""
    odd: Sequence[int]
    """Positions of rows that are to be read and judged one by one, ascending."""

    def runs(self) -> Iterator[tuple[bytes | None, int, int]]:
        """Return the rows that one contract has in a row: its symbol, the first, the one after."""
        begin = 0
        for symbol, rows in groupby(self.frame.symbols):
            end = begin + sum(1 for _ in rows)
            yield symbol, begin, end
            begin = end

    def good_until(self, begin: int, end: int) -> int:
        """Return the first row of a run, from one of them on, that is odd; else its end."""
        at = bisect_left(self.odd, begin)
        return min(end, self.odd[at]) if at < len(self.odd) else end


class _Decision(NamedTuple):
    """What becomes of some rows of one contract."""

    entry: ContractEntry
    begin: int
    end: int
    run: Run | None
    """How they are added; None: they are known already."""


class HistoryPages:
    """Applies records of settled history to one partition's contracts."""

    def __init__(
        self,
        normalise: Normaliser,
        collector: OutputCollector,
        store: ContractStore,
        columns: FeedColumns,
        place: bytes,
        max_settled_rate: float,
    ) -> None:
        """`place`: topic and partition, encoded. `max_settled_rate`: as in FeedSpec."""
        self._normalise = normalise
        self._collector = collector
        self._store = store
        self._columns = columns
        self._encoder = columns.encoders.settlements
        self._place = place
        self._max_rate = max_settled_rate
        self._names: dict[str, tuple[bytes, bytes]] = {}
        """The key of each contract's records, and what they begin with."""

    def apply(
        self, frame: RawFrame, at: ItemContext, alone: Callable[[Sequence[int]], None]
    ) -> bool:
        """Apply a record; False: it cannot be read by columns, and nothing is applied.

        `alone` applies the rows at some positions one by one.
        """
        if frame.purpose != "history" or len(frame) < MIN_ROWS:
            return False
        try:
            page = self._read(frame)
        except Exception:  # noqa: BLE001 - a bug: each row is applied by itself
            self._failed()
            return False
        if page is None:
            return False
        pending: dict[ContractEntry, _Decision] = {}
        for symbol, begin, end in page.runs():
            entry = self._entry(symbol, at)
            while begin < end:
                if entry in pending:
                    self._write(page, pending, at, alone)
                decision = None if entry is None else self._decide(page, entry, begin, end)
                if decision is None:
                    self._write(page, pending, at, alone)
                    alone((begin,))
                    begin += 1
                else:
                    pending[decision.entry] = decision
                    begin = decision.end
        self._write(page, pending, at, alone)
        return True

    def _failed(self) -> None:
        """Count a failure that costs time alone, as the rows are applied one by one then."""
        counts = self._collector.counts
        counts["column_failures"] += 1
        if counts["column_failures"] == 1:
            log.exception("%s: settlements could not be applied by columns", self._columns.feed)

    def _read(self, frame: RawFrame) -> _Page | None:
        reader = self._normalise.settled_reader(frame.channel)
        read: SettledColumns | None = None if reader is None else reader.read(frame.payloads)
        if read is None:
            return None
        _, times_raw, rates = read
        received_at = np.array(frame.times, dtype=np.int64)
        # What lies ahead of its receipt may be an interval that still runs.
        is_good = (np.abs(rates) <= self._max_rate) & (times_raw <= received_at)
        symbols = [symbol.encode() for symbol in read.symbols]
        if symbols != list(frame.symbols):
            is_good &= [a == b for a, b in zip(symbols, frame.symbols, strict=True)]
        # As `minute_round` computes it.
        times = (times_raw + US_PER_MINUTE // 2) // US_PER_MINUTE * US_PER_MINUTE
        return _Page(frame, times_raw, rates, times.tolist(), np.nonzero(~is_good)[0].tolist())

    def _entry(self, symbol: bytes | None, at: ItemContext) -> ContractEntry | None:
        """Return a contract whose rows may be applied together."""
        entry = None if symbol is None else self._store.by_name.get(symbol)
        if entry is None or entry.corrections:
            return None
        return entry if at.applied_by > entry.shard.block.applied_offset else None

    def _decide(self, page: _Page, entry: ContractEntry, begin: int, end: int) -> _Decision | None:
        """Decide how many of a contract's rows can be applied together; None: not even one."""
        end = page.good_until(begin, end)
        if begin == end:
            return None
        try:
            times, baseline, contract = page.times[begin:end], entry.baseline, entry.contract
            run = new_run(baseline, contract.evidence, times, _estimated_from(contract))
            if run is not None:
                return _Decision(entry, begin, begin + run.count, run)
            known = known_run(baseline, times, page.rates[begin:end].tolist())
        except Exception:  # noqa: BLE001 - a bug: the row is applied by itself
            self._failed()
            return None
        return _Decision(entry, begin, begin + known, None) if known else None

    def _write(
        self,
        page: _Page,
        pending: dict[ContractEntry, _Decision],
        at: ItemContext,
        alone: Callable[[Sequence[int]], None],
    ) -> None:
        """Write decisions about different contracts, all of them or none, and forget them."""
        decisions = list(pending.values())
        pending.clear()
        try:
            if decisions:
                self._write_all(page, decisions, at)
        except Exception:  # noqa: BLE001 - a bug: each row is applied by itself
            self._failed()
            for decision in decisions:
                alone(range(decision.begin, decision.end))

    def _write_all(self, page: _Page, decisions: Sequence[_Decision], at: ItemContext) -> None:
        new = [decision for decision in decisions if decision.run is not None]
        outputs: list[Output | EncodedRecords] = []
        for decision in new:
            outputs += self._holes_filled(decision, at)
        filled, added = len(outputs), sum(d.end - d.begin for d in new)
        known = sum(d.end - d.begin for d in decisions) - added
        if new:
            outputs.append(self._records(page, new, at))
        additions = [_addition(page, decision, at.offset) for decision in new]
        for decision in decisions:
            # Harmless if nothing comes of it: then the same is stored once more.
            self._touch(decision)
        # Nothing from here on can fail by itself.
        add_all(additions)
        collector = self._collector
        collector.outputs += outputs
        counts = collector.counts
        if filled:
            counts[AuditKind.SETTLEMENT_FOUND] += filled
        if added:
            counts["settlement"] += added
        if known:
            counts["settlement_known"] += known

    def _holes_filled(self, decision: _Decision, at: ItemContext) -> Iterator[Output]:
        """Return the audit events of settlements that come into a hole."""
        run = decision.run
        subject = decision.entry.contract.contract_id
        for item, filled in enumerate(run.filled if run else (), decision.begin):
            if filled is not None:
                hole, left = filled
                yield self._collector.told(
                    subject,
                    AuditKind.SETTLEMENT_FOUND,
                    (hole.since, hole.until),
                    left,
                    "",
                    (at.offset, item),
                )

    def _records(
        self, page: _Page, decisions: Sequence[_Decision], at: ItemContext
    ) -> EncodedRecords:
        """Return the records of new settlements."""
        items: list[int] = []
        keys: list[bytes] = []
        identities: list[bytes] = []
        hours: list[float] = []
        generations: list[int] = []
        for entry, begin, end, run in decisions:
            assert run is not None, "what is known is not published"
            count = end - begin
            key, identity = self._name(entry.contract)
            items += range(begin, end)
            keys += [key] * count
            identities += [identity] * count
            hours += [run.interval_hours] * count
            generations += [entry.contract.generation] * count
        at_once = np.array(items, dtype=np.int64)
        columns = SettlementColumns(
            identities,
            np.array(page.times, dtype=np.int64)[at_once],
            page.times_raw[at_once],
            page.rates[at_once],
            np.array(hours),
            np.array(page.frame.times, dtype=np.int64)[at_once],
            items,
            generations,
        )
        origin = self._place + encoded_long(at.offset)
        return EncodedRecords(topics.SETTLEMENTS, keys, self._encoder.encode(columns, origin))

    def _name(self, contract: ContractState) -> tuple[bytes, bytes]:
        """Return the key of a contract's records, and what they begin with."""
        found = self._names.get(contract.symbol)
        if found is None:
            contract_id = contract.contract_id
            identity = self._encoder.identity(contract_id, self._columns.feed, contract.symbol)
            found = self._names[contract.symbol] = contract_id.encode(), identity
        return found

    def _touch(self, decision: _Decision) -> None:
        """Note that a contract's block is to be stored, and its baseline where that grows."""
        entry, contract = decision.entry, decision.entry.contract
        entry.shard.dirty = True
        if decision.run is None:
            return
        is_scored = contract.state.scored and not contract.backfilling
        if is_scored or contract.listed_interval_hours is None:
            self._columns.take_out(entry)
            self._store.baseline_changed(entry)
        else:
            # Nothing that rates are judged by follows from the baseline now.
            self._store.baseline_grown(entry)


def _addition(page: _Page, decision: _Decision, raw_offset: int) -> Addition:
    entry, begin, end, run = decision
    assert run is not None, "what is known is not added"
    rates = page.rates[begin:end].tolist()
    return entry.baseline.addition(run, page.times[begin:end], rates, raw_offset)


def _estimated_from(contract: ContractState) -> int:
    """Return the first time (µs) whose settlement may be compared with an estimate of it.

    While the contract is in its row of the columns, its state here is older than that; the
    estimates that have been made since are of later hours.
    """
    hours = [estimate.hour for estimate in contract.estimates]
    if contract.updates:
        hours.append(hour_floor(contract.event_time) + US_PER_HOUR)
    return min(hours, default=FAR_AHEAD_US)
