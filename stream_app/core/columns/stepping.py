"""Steps plain updates of many contracts at once: decides everything, then commits it.

`decide` computes new values and the encoded records of one wave, in which each contract has one
update at most; it changes nothing. `commit` writes them. An update of which `decide` finds that it
leads to an alert is no plain one: it is left to rates.py. The formulas are those of rates.py,
output/emission.py and state/gaps.py, to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import NamedTuple

import numpy as np

from schemas.serde.columns import UpdateTimes, encoded_update_times
from schemas.serde.rate_columns import RateColumns
from stream_app.core.columns.emitting import (
    Current,
    encoded_zscores,
    has_crossed,
    has_moved,
    is_high,
    reasons,
    scaled,
    triggers_of,
    z_scores,
)
from stream_app.core.columns.funding_times import FundingStep
from stream_app.core.columns.hot import (
    HELD_HOURS,
    HELD_MARK,
    HELD_RATE,
    HELD_TIME,
    HELD_Z,
    Flags,
    Floats,
    Longs,
)
from stream_app.core.columns.judging import FeedColumns
from stream_app.core.columns.updates import Updates
from stream_app.core.scoring.zones import CLEAR_SIGN_8H, AlertState
from stream_app.core.state.contract_store import ContractEntry
from stream_app.core.state.gaps import LAG_RISES_BY
from stream_app.core.state.hot_rows import HELD_FIELDS


class AlertStep(NamedTuple):
    """What the alerts of a contract come to by an update that tells nothing."""

    entry: ContractEntry
    alerts: AlertState
    sign: int
    calm_range: tuple[float, float]
    awaits: bool


class Decision(NamedTuple):
    """All that a wave of plain updates leads to."""

    updates: Updates
    raw_offset: Longs
    z: Floats
    lag_us: Longs
    stream_received_at: Longs
    counted_from: Longs
    held: Floats
    """A row of `HotColumns.held` for each update."""
    alerts: list[AlertStep]
    funding: list[FundingStep]
    rates: list[bytes]
    """The records of all updates, encoded."""
    emitted: Longs
    """Positions of the updates whose z-scores are emitted."""
    zscores: list[bytes]
    """The records of these, encoded."""


def decide(
    columns: FeedColumns,
    updates: Updates,
    steps: Mapping[int, FundingStep],
    origins: Sequence[bytes],
    offsets: Longs,
    now_us: int,
) -> tuple[Decision | None, Longs]:
    """Decide what a wave of plain updates leads to.

    `steps`: by row, of the updates that name another funding time. `offsets`: of the raw records of
    the run; `origins`: where each of them stands, encoded (`columns.origin_of`). Returns the
    decision, and the positions of updates that have to be applied by rates.py instead.
    """
    rate_8h = scaled(columns, updates.row, updates.rate)
    z = z_scores(columns, updates.row, rate_8h)
    is_new = ~_is_as_before(columns, updates, z)
    alerts, left = _alert_steps(columns, updates, rate_8h, z, is_new)
    if left:
        keep = np.ones(len(updates), dtype=np.bool_)
        keep[left] = False
        updates, rate_8h, z, is_new = updates.chosen(keep), rate_8h[keep], z[keep], is_new[keep]
    if not len(z):
        return None, np.array(left, dtype=np.int64)
    emitted = _emitted(columns, updates, z, is_new)
    funding = [steps[row] for row in updates.row.tolist() if row in steps] if steps else []
    decision = _decision(
        columns, updates, rate_8h, z, alerts, funding, emitted, origins, offsets, now_us
    )
    return decision, np.array(left, dtype=np.int64)


def _decision(
    columns: FeedColumns,
    updates: Updates,
    rate_8h: Floats,
    z: Floats,
    alerts: list[AlertStep],
    funding: list[FundingStep],
    emitted_why: tuple[Longs, list[bytes]],
    origins: Sequence[bytes],
    offsets: Longs,
    now_us: int,
) -> Decision:
    row, at, received_at = updates.row, updates.event_time, updates.received_at
    before = columns.stream_received_at[row]
    lag_us = np.maximum(0, received_at - at)
    risen_us = columns.stream_lag_us[row] + np.maximum(0, received_at - before) // LAG_RISES_BY
    is_first_held = columns.held_count[row] == 0
    held = np.zeros((len(row), HELD_FIELDS))
    held[:, HELD_TIME], held[:, HELD_RATE], held[:, HELD_Z] = at, updates.rate, z
    held[:, HELD_MARK], held[:, HELD_HOURS] = updates.mark_price, columns.hours[row]
    items = updates.item.tolist()
    of_row = [origins[frame] for frame in updates.frame.tolist()]
    times = encoded_update_times(updates.next_funding_time, at, received_at)
    emitted, why = emitted_why
    chosen = emitted.tolist()
    current = Current(
        row[emitted],
        updates.rate[emitted],
        rate_8h[emitted],
        z[emitted],
        updates.mark_price[emitted],
        times.chosen(emitted),
        [of_row[position] for position in chosen],
        [items[position] for position in chosen],
    )
    return Decision(
        updates,
        offsets[updates.frame],
        z,
        np.minimum(lag_us, risen_us),
        np.maximum(before, received_at),
        np.where(is_first_held, at, columns.counted_from[row]),
        held,
        alerts,
        funding,
        _encoded_rates(columns, updates, times, of_row, items),
        emitted,
        encoded_zscores(columns, current, why, now_us) if chosen else [],
    )


def _encoded_rates(
    columns: FeedColumns,
    updates: Updates,
    times: UpdateTimes,
    origins: Sequence[bytes],
    items: Sequence[int],
) -> list[bytes]:
    row = updates.row
    return columns.encoders.rates.encode(
        RateColumns(
            identities=[columns.rate_identities[number] for number in row.tolist()],
            rates=updates.rate,
            interval_hours=columns.hours[row],
            interval_sources=columns.source[row],
            mark_prices=updates.mark_price,
            index_prices=updates.index_price,
            times=times,
            origins=origins,
            items=items,
            rate_kind=columns.rate_kind,
        )
    )


def _is_as_before(columns: FeedColumns, updates: Updates, z: Floats) -> Flags:
    """Tell which updates have the rate and z of the one before: what those call for was done."""
    row = updates.row
    judged = columns.judged_z[row]
    same_z = (z == judged) | (np.isnan(z) & np.isnan(judged))
    same: Flags = (updates.rate == columns.rate[row]) & same_z
    return same


def _emitted(
    columns: FeedColumns, updates: Updates, z: Floats, is_new: Flags
) -> tuple[Longs, list[bytes]]:
    """Return the positions of updates that are emitted at once, and why each is, encoded."""
    row, rate = updates.row, updates.rate
    before = columns.emitted_z[row]
    crossed = has_crossed(before, z)
    in_zone = (rate != columns.rate[row]) & is_high(z)
    is_due = crossed | in_zone | has_moved(columns.emitted_rate[row], rate)
    emitted = np.nonzero(is_due & is_new)[0]
    crossed = crossed[emitted]
    triggers = triggers_of(crossed, in_zone[emitted])
    return emitted, reasons(columns, z[emitted], before[emitted], triggers, crossed)


def _alert_steps(
    columns: FeedColumns, updates: Updates, rate_8h: Floats, z: Floats, is_new: Flags
) -> tuple[list[AlertStep], list[int]]:
    """Return what the alerts of contracts come to, and positions of updates that lead to one.

    Where sign and z are calm nothing is to be done, which is so for nearly all.
    """
    row = updates.row
    sign = (rate_8h >= CLEAR_SIGN_8H).astype(np.int64) - (rate_8h <= -CLEAR_SIGN_8H)
    keeps_sign = ~columns.is_flipped[row] & ((sign == 0) | (sign == columns.sign[row]))
    is_calm = np.isnan(z) | ((z >= columns.calm_low[row]) & (z <= columns.calm_high[row]))
    is_asked = is_new | columns.awaits[row]
    steps: list[AlertStep] = []
    left: list[int] = []
    for position in np.nonzero(is_asked & ~(keeps_sign & is_calm))[0].tolist():
        entry = columns.entries[updates.row.item(position)]
        assert entry is not None, "a row in use"
        step = _alert_step(
            entry, z.item(position), sign.item(position), updates.event_time.item(position)
        )
        if step is None:
            left.append(position)
        else:
            steps.append(step)
    return steps, left


def _alert_step(entry: ContractEntry, z: float, sign: int, at: int) -> AlertStep | None:
    """Return what a contract's alerts come to; None if something is to be told or counted."""
    contract = entry.contract
    alerts, known = copy(contract.alerts), contract.sign
    alerts.excursions = [copy(excursion) for excursion in alerts.excursions]
    if known == 0:
        known = sign
    elif alerts.flip(known, sign, at) is not None:
        return None
    if z == z and alerts.cross(z, at) is not None:  # noqa: PLR0124 - NaN: there is no z
        return None
    return AlertStep(entry, alerts, known, alerts.calm_range(), alerts.awaits)


def commit(columns: FeedColumns, decision: Decision) -> None:
    """Write what was decided. Calls nothing that could fail half-way."""
    updates, row = decision.updates, decision.updates.row
    slot = columns.held_count[row]
    columns.held[row, slot] = decision.held
    columns.held_count[row] = slot + 1
    columns.counted_from[row] = decision.counted_from
    columns.event_time[row] = columns.stream_event_time[row] = updates.event_time
    columns.received_at[row] = updates.received_at
    columns.next_funding_time[row] = updates.next_funding_time
    columns.rate[row] = updates.rate
    columns.mark_price[row] = updates.mark_price
    columns.index_price[row] = updates.index_price
    columns.raw_offset[row] = columns.stream_raw_offset[row] = decision.raw_offset
    columns.raw_item[row] = columns.stream_raw_item[row] = updates.item
    columns.stream_received_at[row] = decision.stream_received_at
    columns.stream_lag_us[row] = decision.lag_us
    columns.judged_z[row] = decision.z
    columns.updates[row] += 1
    emitted = row[decision.emitted]
    columns.emitted_updates[emitted] = columns.updates[emitted]
    columns.emitted_rate[emitted] = columns.rate[emitted]
    columns.emitted_z[emitted] = decision.z[decision.emitted]
    for step in decision.funding:
        contract = step.entry.contract
        contract.passed_funding_time, contract.estimates = step.passed, step.estimates
        step.entry.agreed, step.entry.cold = step.agreed, None
    for entry, alerts, sign, calm_range, awaits in decision.alerts:
        entry.contract.alerts, entry.contract.sign, entry.cold = alerts, sign, None
        number = entry.row
        columns.sign[number] = sign
        columns.is_flipped[number] = alerts.flipped_at != 0
        columns.calm_low[number], columns.calm_high[number] = calm_range
        columns.awaits[number] = awaits
