"""Compares what the stream told with what REST tells, and settled rates with estimates. Pure.

Nothing here changes a rate, a bar or an order; stream_monitor.py counts what is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from schemas.audit_facts import NO_FACTS, AuditCause, AuditFacts
from schemas.audit_kinds import AuditKind
from schemas.times import US_PER_HOUR, US_PER_S, hour_floor, minute_round
from stream_app.core.state.contract_state import ContractState, Estimate

RELATIVE_TOLERANCE = 0.01
"""Of the rate: REST caches round and average."""
BASE_TOLERANCE = 1e-6
TOLERANCE_PER_S = 2e-7
MAX_DRIFT = 5e-5
"""A rate may move meanwhile, but not without bound: half a basis point."""

SETTLED_RELATIVE = 0.10
SETTLED_TOLERANCE = 2e-6
"""A settled rate is an average over the interval, the last estimate nearly so
(docs/exchanges/README.md §8.2)."""
KEPT_ESTIMATES = 4
"""The history of an hour may come some hours late."""


class Comparison(NamedTuple):
    """What comparing a REST rate with the stream gives."""

    kind: AuditKind
    """`matched`, `mismatch` or `not_compared`."""
    detail: str = ""
    facts: AuditFacts = NO_FACTS


class Difference(NamedTuple):
    """A settled rate that is not what was estimated."""

    detail: str
    facts: AuditFacts


def not_compared(cause: AuditCause, detail: str) -> Comparison:
    """Return the result where there is no stream rate to compare with."""
    return Comparison(AuditKind.NOT_COMPARED, detail, AuditFacts(cause=cause))


def tolerance(rate: float, apart_us: int) -> float:
    """Return by how much two readings of a rate that are `apart_us` apart may differ.

    max(1 % of |rate|, min(1e-6 + 2e-7 × seconds, 5e-5)): two readings of one instant differ by
    rounding, two of different instants by what the rate drifts in between.
    """
    drift = min(BASE_TOLERANCE + TOLERANCE_PER_S * apart_us / US_PER_S, MAX_DRIFT)
    return max(RELATIVE_TOLERANCE * abs(rate), drift)


def compare(contract: ContractState, rate: float, time_us: int, stale_us: int) -> Comparison:
    """Compare a REST rate at `time_us` with each rate that the stream told around that time.

    Without a stream rate within `stale_us` of it nothing is compared: a rate that REST brought
    itself would always match.
    """
    nearest: tuple[int, int, float] | None = None
    for at, streamed in _streamed(contract):
        apart_us = abs(time_us - at)
        if apart_us > stale_us:
            continue
        if abs(rate - streamed) <= tolerance(streamed, apart_us):
            return Comparison(AuditKind.MATCHED)
        if nearest is None or apart_us < nearest[0]:
            nearest = apart_us, at, streamed
    if nearest is None:
        stale = f"stale: no stream rate within {stale_us / US_PER_S:g} s"
        return not_compared(AuditCause.NO_STREAM_RATE, stale)
    apart_us, at, streamed = nearest
    allowed = tolerance(streamed, apart_us)
    return Comparison(
        AuditKind.MISMATCH,
        f"rest {rate!r} at {_clock(time_us)}, stream {streamed!r} at {_clock(at)}, "
        f"tolerance {allowed:.3g}",
        AuditFacts(rate=rate, other_rate=streamed, tolerance=allowed),
    )


def _streamed(contract: ContractState) -> Iterator[tuple[int, float]]:
    """Return (event time, rate) of what the stream told, the current rate first."""
    if contract.updates and contract.transport == "ws":
        yield contract.event_time, contract.rate
    for held in reversed(contract.bars.held):
        if held.transport == "ws":
            yield held.event_time, held.rate


def estimates_after(contract: ContractState, event_time: int, stale_us: int) -> list[Estimate]:
    """Return the last estimates of hours as of the next update, which has an event time (µs).

    The current rate becomes one if that update begins another hour.
    """
    begins_hour = event_time // US_PER_HOUR != contract.event_time // US_PER_HOUR
    if begins_hour and contract.updates:
        estimate = _current_estimate(contract, stale_us)
        if estimate is not None and estimate.hour <= event_time:
            return [*contract.estimates[1 - KEPT_ESTIMATES :], estimate]
    return contract.estimates


def _current_estimate(contract: ContractState, stale_us: int) -> Estimate | None:
    """Return the current rate as an estimate of the coming full hour.

    None if it is stale by then, or an estimate for another funding time.
    """
    coming = hour_floor(contract.event_time) + US_PER_HOUR
    if coming - contract.event_time > stale_us:
        return None
    stated = contract.next_funding_time
    if stated is not None and minute_round(stated) != coming:
        return None
    return Estimate(coming, contract.rate, contract.interval_hours)


def estimate_of(contract: ContractState, funding_time: int, stale_us: int) -> Estimate | None:
    """Return the last estimate before a funding time; None if there is none that was for it."""
    for estimate in contract.estimates:
        if estimate.hour == funding_time:
            return estimate
    if contract.updates and contract.event_time < funding_time:
        current = _current_estimate(contract, stale_us)
        if current is not None and current.hour == funding_time:
            return current
    return None


def settled_differs(estimate: Estimate, rate: float) -> Difference | None:
    """Say how a settled rate differs from its last estimate; None: it does not."""
    allowed = max(SETTLED_RELATIVE * abs(estimate.rate), SETTLED_TOLERANCE)
    if abs(rate - estimate.rate) <= allowed:
        return None
    return Difference(
        f"estimate {estimate.rate!r}, settled {rate!r} per {estimate.interval_hours:g} h: "
        f"{(rate - estimate.rate) * 1e4:+.3f} bp",
        AuditFacts(rate=rate, other_rate=estimate.rate),
    )


def _clock(time_us: int) -> str:
    moment = datetime.fromtimestamp(time_us / US_PER_S, tz=UTC)
    return moment.strftime("%H:%M:%S.%f")[:-3]
