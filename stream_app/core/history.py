"""Applies settled history by columns: what goes on as the settlements before it, many at once.

Rows of one contract that can be added to its baseline together (scoring/settled_runs.py), and rows
that are known or delivered again, are decided for all contracts of a record, encoded together, and
only then written: all of it, or nothing. All other rows are applied one by one (reference_data.py),
which is the one way that says what a settlement means; so are all rows that are left after a
failure here.

Contracts do not depend on each other, of one contract each row is applied before the next, and rows
that are applied one by one are so in the order of the log. So each key's records, the stored state
and the counts are those that applying row by row makes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from heapq import heapify, heappop, heappush
from typing import NamedTuple, TypeAlias

import numpy as np

from schemas import topics
from schemas.audit_kinds import AuditKind
from schemas.serde.columns import origin_of
from schemas.serde.raw_frames import RawFrame
from schemas.serde.settlement_columns import SettlementColumns
from schemas.times import US_PER_HOUR, US_PER_MINUTE, hour_floor
from stream_app.core.columns.judging import FeedColumns
from stream_app.core.output.collector import OutputCollector
from stream_app.core.output.outputs import EncodedRecords, Output
from stream_app.core.scoring.additions import Addition, add_all, addition
from stream_app.core.scoring.interval_evidence import FAR_AHEAD_US
from stream_app.core.scoring.settled_runs import Run, known_run, new_run
from stream_app.core.state.contract_state import ContractState
from stream_app.core.state.contract_store import ContractEntry, ContractStore
from stream_app.core.state.item_context import ItemContext
from stream_app.model import Floats, Longs, Normaliser

log = logging.getLogger(__name__)

MIN_ROWS = 3
"""Fewer rows than this are as quick to apply one by one."""
OneByOne: TypeAlias = Callable[[Sequence[int]], None]
"""Applies the rows at some positions of a record one by one."""


class _Page(NamedTuple):
    """The rows of a record of the history. Times are µs."""

    frame: RawFrame
    times_raw: Longs
    rates: Floats
    times: Sequence[int]
    """Funding times: rounded to the minute."""
    values: Sequence[float]
    """The rates once more."""
    odd: frozenset[int]
    """Positions of rows that are to be read and judged one by one."""

    def rows(self) -> dict[bytes | None, list[int]]:
        """Return the positions of each symbol's rows, ascending."""
        found: dict[bytes | None, list[int]] = {}
        for position, symbol in enumerate(self.frame.symbols):
            if symbol in found:
                found[symbol].append(position)
            else:
                found[symbol] = [position]
        return found

    def good(self, rows: Sequence[int]) -> Sequence[int]:
        """Return some rows up to the first one that is odd."""
        if self.odd.isdisjoint(rows):
            return rows
        return rows[: next(i for i, row in enumerate(rows) if row in self.odd)]


class _Decision(NamedTuple):
    """What becomes of some rows of one contract."""

    entry: ContractEntry
    rows: Sequence[int]
    times: Sequence[int]
    run: Run | None = None
    """How they are added to the baseline; None: they are not."""
    outcome: str = "settlement"
    """What they are counted as."""


_KNOWN = "settlement_known"
_REDELIVERED = "redelivered"


class _FailedError(Exception):
    """Rows could not be applied together, and none of them is applied. This is a bug."""


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
        """The key of each contract's records, and what they begin with; by symbol."""

    def apply(self, frame: RawFrame, at: ItemContext, alone: OneByOne) -> bool:
        """Apply a record of the history.

        Returns False if it is not one that can be read by columns; then nothing is applied.
        """
        if frame.purpose != "history" or len(frame) < MIN_ROWS:
            return False
        left: dict[bytes | None, list[int]] = {}
        try:
            with self._guarded():
                page = self._read(frame)
                if page is None:
                    return False
                left = page.rows()
                self._apply_together(page, left, at)
            self._apply_left(page, left, at, alone)
        except _FailedError:
            if not left:
                return False
            alone(sorted(row for rows in left.values() for row in rows))
        return True

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn any failure into a _FailedError. It costs time alone."""
        try:
            yield
        except Exception as error:
            counts, feed = self._collector.counts, self._columns.feed
            counts["column_failures"] += 1
            if counts["column_failures"] == 1:
                log.exception("%s: settlements could not be applied by columns", feed)
            raise _FailedError from error

    def _read(self, frame: RawFrame) -> _Page | None:
        reader = self._normalise.settled_reader(frame.channel)
        read = None if reader is None else reader.read(frame.payloads)
        if read is None:
            return None
        names, times_raw, rates = read
        # What lies ahead of its receipt may be an interval that still runs.
        is_good = (np.abs(rates) <= self._max_rate) & (times_raw <= np.array(frame.times))
        symbols = [name.encode() for name in names]
        if symbols != list(frame.symbols):
            is_good &= [a == b for a, b in zip(symbols, frame.symbols, strict=True)]
        # As `minute_round` computes it.
        times = (times_raw + US_PER_MINUTE // 2) // US_PER_MINUTE * US_PER_MINUTE
        odd = frozenset(np.nonzero(~is_good)[0].tolist())
        return _Page(frame, times_raw, rates, times.tolist(), rates.tolist(), odd)

    def _apply_together(
        self, page: _Page, left: dict[bytes | None, list[int]], at: ItemContext
    ) -> None:
        """Apply the first rows of each symbol, as many as can be, and take them out of `left`."""
        decided = {
            symbol: decision
            for symbol, rows in left.items()
            if (decision := self._decide(page, symbol, rows, at)) is not None
        }
        if decided:
            self._write(page, list(decided.values()), at)
        for symbol, decision in decided.items():
            del left[symbol][: len(decision.rows)]

    def _apply_left(
        self,
        page: _Page,
        left: dict[bytes | None, list[int]],
        at: ItemContext,
        alone: OneByOne,
    ) -> None:
        """Apply the rows that are left: the next one alone, then again what can be together."""
        queue = [(rows[0], symbol) for symbol, rows in left.items() if rows]
        heapify(queue)
        while queue:
            row, symbol = heappop(queue)
            rows = left[symbol]
            del rows[0]
            alone((row,))
            if rows:
                with self._guarded():
                    self._apply_together(page, {symbol: rows}, at)
            if rows:
                heappush(queue, (rows[0], symbol))

    def _decide(
        self, page: _Page, symbol: bytes | None, rows: Sequence[int], at: ItemContext
    ) -> _Decision | None:
        """Decide how many of a symbol's rows can be applied together; None: not even one."""
        entry = None if symbol is None else self._store.by_name.get(symbol)
        if entry is None:
            return None
        if at.applied_by <= entry.shard.block.applied_offset:
            is_its_own = (at.applied_by, rows[0]) > entry.contract.listed_by
            return _Decision(entry, rows, (), None, _REDELIVERED) if is_its_own else None
        if entry.corrections:
            return None
        rows = page.good(rows)
        if not rows:
            return None
        baseline, contract = entry.baseline, entry.contract
        times = [page.times[row] for row in rows]
        run = new_run(baseline, contract.evidence, times, _estimated_from(contract))
        if run is not None:
            return _Decision(entry, rows[: run.settlements], times[: run.settlements], run)
        known = known_run(baseline, times, [page.values[row] for row in rows])
        return _Decision(entry, rows[:known], times[:known], None, _KNOWN) if known else None

    def _write(self, page: _Page, decisions: Sequence[_Decision], at: ItemContext) -> None:
        """Write decisions about different contracts, all of them or none."""
        new = [decision for decision in decisions if decision.run is not None]
        outputs: list[Output | EncodedRecords] = []
        for decision in new:
            if decision.run is not None and decision.run.filled:
                outputs += self._holes_filled(decision.entry, decision.rows, decision.run, at)
        filled = len(outputs)
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
        for decision in decisions:
            counts[decision.outcome] += len(decision.rows)

    def _holes_filled(
        self, entry: ContractEntry, rows: Sequence[int], run: Run, at: ItemContext
    ) -> list[Output]:
        """Return the audit events of settlements that come into a hole."""
        subject, kind = entry.contract.contract_id, AuditKind.SETTLEMENT_FOUND
        told = self._collector.told
        return [
            told(subject, kind, (hole.since, hole.until), left, "", (at.offset, row))
            for row, (hole, left) in zip(rows, run.filled, strict=True)
            if hole is not None
        ]

    def _records(
        self, page: _Page, decisions: Sequence[_Decision], at: ItemContext
    ) -> EncodedRecords:
        """Return the records of new settlements."""
        rows: list[int] = []
        times: list[int] = []
        keys: list[bytes] = []
        identities: list[bytes] = []
        hours: list[float] = []
        generations: list[int] = []
        for entry, its_rows, its_times, run, _ in decisions:
            assert run is not None, "what is known is not published"
            key, identity = self._name(entry.contract)
            rows += its_rows
            times += its_times
            keys += [key] * run.settlements
            identities += [identity] * run.settlements
            hours += [run.interval_hours] * run.settlements
            generations += [entry.contract.generation] * run.settlements
        columns = SettlementColumns(
            identities,
            np.array(times),
            page.times_raw[rows],
            page.rates[rows],
            np.array(hours),
            np.array(page.frame.times)[rows],
            rows,
            generations,
        )
        origin = origin_of(self._place, at.offset)
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
        entry = decision.entry
        if decision.outcome != _REDELIVERED:
            entry.shard.dirty = True
        if decision.run is None:
            return
        if entry.is_scored:
            self._columns.take_out(entry)
            self._store.baseline_changed(entry)
        else:
            # A run changes no interval, so nothing that rates are judged by changes either.
            self._store.baseline_grown(entry)


def _addition(page: _Page, decision: _Decision, raw_offset: int) -> Addition:
    entry, rows, times, run, _ = decision
    assert run is not None, "what is known is not added"
    rates = [page.values[row] for row in rows]
    return addition(entry.baseline, run, times, rates, raw_offset)


def _estimated_from(contract: ContractState) -> int:
    """Return the first time (µs) whose settlement may be compared with an estimate of it.

    While the contract is in its row of the columns, its state here is older than that; the
    estimates that have been made since are of later hours.
    """
    first = FAR_AHEAD_US
    if contract.updates:
        first = hour_floor(contract.event_time) + US_PER_HOUR
    return min(first, contract.estimates[0].hour) if contract.estimates else first
