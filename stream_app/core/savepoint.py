"""Undoes what an item has changed, so that it is applied as a whole or not at all.

The code that applies an item changes state as it goes. If it fails, by a bug,
`ItemSavepoint.restore` brings back what was before: the contract, its baseline, the audit, what
waits, what is published.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller
from typing import Any, NamedTuple

from stream_app.core.monitoring.stream_monitor import StreamMonitor
from stream_app.core.output.collector import OutputCollector
from stream_app.core.output.emission import Emitter
from stream_app.core.rates import RateUpdates
from stream_app.core.scoring.interval_evidence import IntervalEvidence
from stream_app.core.state.contract_state import ContractState
from stream_app.core.state.contract_store import ContractEntry, ContractStore


class Parts(NamedTuple):
    """What the application of an item changes beside its contract."""

    store: ContractStore
    collector: OutputCollector
    emitter: Emitter
    monitor: StreamMonitor
    rates: RateUpdates


_copy: Callable[[Any], Any] = methodcaller("__copy__")
"""As `copy.copy`, which would take as long for an item as all the rest."""


def copied(contract: ContractState) -> ContractState:
    """Return a copy of a contract's state that shares nothing that is ever changed in place."""
    twin: ContractState = _copy(contract)
    bars = twin.bars = _copy(contract.bars)
    bars.held = bars.held[:]
    if bars.bar is not None:
        bars.bar = _copy(bars.bar)
    twin.stream = _copy(contract.stream)
    twin.skewed = contract.skewed[:]
    twin.estimates = contract.estimates[:]
    twin.pushes = contract.pushes[:]
    alerts = twin.alerts = _copy(contract.alerts)
    alerts.excursions = [_copy(excursion) for excursion in alerts.excursions]
    evidence = contract.evidence
    twin.evidence = IntervalEvidence(
        [_copy(listed) for listed in evidence.listed],
        [_copy(stated) for stated in evidence.stated],
    )
    twin.lives = contract.lives[:]
    twin.facts = _copy(contract.facts)
    return twin


class ItemSavepoint:
    """What was before an item. Exactly one of `keep` and `restore` is to be called.

    An item may hold others, which waited for the contract that it lists; theirs end first.
    """

    def __init__(self, parts: Parts, entry: ContractEntry | None) -> None:
        """`entry`: the item's contract; None: its symbol is none, so that it may become one."""
        self._parts = parts
        self._entry = entry
        store, collector, monitor = parts.store, parts.collector, parts.monitor
        self._counts = dict(collector.counts)
        self._published = len(collector.outputs), len(collector.dead_letters)
        self._closed = len(parts.emitter.closed_bars)
        self._compared, self._awaited = monitor.compared, monitor.awaited_count
        self._contradicted_at = parts.rates.contradicted_at
        self._books = [store.unlisted.audits]
        if entry is not None:
            self._contract = copied(entry.contract)
            self._judged_by = entry.agreed, entry.hour, entry.interval, entry.stats
            self._others = entry.streams, entry.corrections, entry.judged_z
            entry.guard_baseline()
            self._books.append(entry.shard.audits)
        else:
            self._store = store.saved()
        for book in self._books:
            book.begin()

    def keep(self) -> None:
        """Let what the item has changed stand."""
        for book in self._books:
            book.keep()
        if self._entry is not None:
            self._entry.kept_baseline, self._entry.is_guarded = None, False

    def restore(self) -> None:
        """Undo all that the item has changed."""
        store, collector, emitter, monitor, rates = self._parts
        for book in self._books:
            book.restore()
        outputs, letters = self._published
        del collector.outputs[outputs:], collector.dead_letters[letters:]
        del emitter.closed_bars[self._closed :]
        collector.counts.clear()
        collector.counts.update(self._counts)
        monitor.compared = self._compared
        monitor.forget_awaited(self._awaited)
        rates.contradicted_at = self._contradicted_at
        entry = self._entry
        if entry is None:
            store.restore(self._store)
            return
        for name in self._contract.__struct_fields__:
            setattr(entry.contract, name, getattr(self._contract, name))
        entry.agreed, entry.hour, entry.interval, entry.stats = self._judged_by
        entry.streams, entry.corrections, entry.judged_z = self._others
        store.restore_baseline(entry)
