"""Updates that name a new coming funding time, of contracts in their rows.

An exchange's contracts do so together, in the second after a funding time. What it means is decided
by the functions that rates.py uses, and written by stepping.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from schemas.times import US_PER_HOUR
from stream_app.core.columns.hot import Flags
from stream_app.core.columns.judging import FeedColumns
from stream_app.core.columns.updates import Limits, Updates
from stream_app.core.monitoring.reconciliation import estimates_after
from stream_app.core.scoring.settled_intervals import Interval
from stream_app.core.state.contract_state import Estimate
from stream_app.core.state.contract_store import ContractEntry
from stream_app.core.updates.estimate_interval import estimate_interval
from stream_app.model import RateUpdate


class FundingStep(NamedTuple):
    """What the contract of a row comes to as its funding time has passed."""

    entry: ContractEntry
    passed: int
    """The funding time (µs) before the one that the update names."""
    estimates: list[Estimate]
    agreed: tuple[Interval, int]


def funding_steps(columns: FeedColumns, updates: Updates, limits: Limits) -> dict[int, FundingStep]:
    """Return, by row, what updates lead to that come after a funding time and name the next one.

    There is none where more is to be said: the interval comes into doubt, or the exchange states
    it. What is returned holds if the update is plain in all else.
    """
    positions = np.nonzero(_follow(columns, updates))[0].tolist()
    steps = [(p, _step(columns, updates, p, limits)) for p in positions]
    return {updates.row.item(p): step for p, step in steps if step is not None}


def _follow(columns: FeedColumns, updates: Updates) -> Flags:
    """Tell which updates name another funding time than their row, whose own has passed."""
    row, at = updates.row, updates.event_time
    coming = columns.next_funding_time[row]
    follow: Flags = updates.next_funding_time != coming
    if follow.any():
        follow &= (
            columns.resident[row] & (coming > 0) & (coming <= at) & (at < updates.next_funding_time)
        )
        follow &= (at > columns.event_time[row]) & (at - at % US_PER_HOUR == columns.hour[row])
    return follow


def _step(
    columns: FeedColumns, updates: Updates, position: int, limits: Limits
) -> FundingStep | None:
    row, event_time = updates.row.item(position), updates.event_time.item(position)
    entry = columns.entries[row]
    assert entry is not None, "a row in use"
    columns.sync_current(entry)
    contract, known = entry.contract, entry.interval
    if contract.evidence.stated:
        return None
    coming = updates.next_funding_time.item(position)
    update = RateUpdate(contract.symbol, updates.rate.item(position), next_funding_time=coming)
    settled_at = entry.baseline.newest_time()
    if estimate_interval(contract, known, settled_at, update, event_time) is not known:
        return None
    return FundingStep(
        entry,
        columns.next_funding_time.item(row),
        estimates_after(contract, event_time, limits.stale_us),
        (known, coming),
    )
