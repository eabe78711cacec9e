"""Which interval an estimate is for, and whether the evidence leaves it in doubt. Pure.

A payload that names the interval is believed. Else it is the listed one, which is minutes old; the
coming funding time shows at once when it is outdated. See docs/decisions/intervals-and-units.md.
"""

from __future__ import annotations

from schemas.times import US_PER_HOUR, minute_round
from stream_app.core.scoring.interval_evidence import AHEAD_SLACK_US, GRID_HOURS, on_grid
from stream_app.core.scoring.settled_intervals import Interval
from stream_app.core.state.contract_state import ContractState, Doubt
from stream_app.model import RateUpdate


def estimate_interval(
    contract: ContractState, known: Interval, settled_at: int, update: RateUpdate, event_time: int
) -> Interval:
    """Return the interval of an estimate.

    `known`: the contract's, as listed, observed or assumed. `settled_at`: its newest settlement
    (µs; 0: none). `contract` is as it was before the update, whose event time (µs) is
    `event_time`. A doubt that stands is not lifted by an update that says nothing, or that an older
    state of the exchange has made.
    """
    stated = _stated(contract, update)
    if stated is not None:
        return Interval(stated, "payload")
    doubt = contract.doubt
    if doubt is not None and _is_over(doubt, contract, event_time):
        doubt = None
    if update.next_funding_time is not None:
        coming = minute_round(update.next_funding_time)
        is_held = update.next_funding_time == contract.next_funding_time
        if is_held and doubt is None and contract.interval == known:
            # Judged when this funding time appeared; less of it is left now.
            return known
        if contradicts(contract, known.hours, settled_at, coming, event_time):
            is_same = doubt is not None and doubt.coming == coming
            hours = doubt.hours if doubt and is_same else _shortest(coming - event_time)
            return Interval(hours, "observed", doubtful=True)
    return known if doubt is None else Interval(doubt.hours, "observed", doubtful=True)


def listed_then(contract: ContractState, known: Interval, event_time: int) -> Interval:
    """Return what was known at the time of an older update: as listed then, else as `known`."""
    listed = contract.evidence.listed_at(event_time)
    return known if listed is None else Interval(listed.hours, "exchange_info")


def doubt_after(
    contract: ContractState,
    interval: Interval,
    known: Interval,
    settled_at: int,
    update: RateUpdate,
    times: tuple[int, int],
) -> Doubt | None:
    """Return the doubt that stands after an update of the stream has become the current one.

    `interval`: that of the update; `known` and `settled_at`: as of `estimate_interval`; `times`:
    event time and receipt of the update (µs).
    """
    if not interval.doubtful or interval == known:
        return None
    doubt, (event_time, received_at) = contract.doubt, times
    if update.next_funding_time is None:
        return doubt
    coming = minute_round(update.next_funding_time)
    stands = doubt is not None and not _is_over(doubt, contract, event_time)
    if doubt is not None and stands:
        again = contradicts(contract, known.hours, settled_at, coming, event_time)
        return Doubt(coming, doubt.since, interval.hours) if again else doubt
    return Doubt(coming, received_at, interval.hours)


def _is_over(doubt: Doubt, contract: ContractState, event_time: int) -> bool:
    """Tell whether a doubt no longer stands by itself.

    That is when its funding time has passed, or the list was read after it had begun.
    """
    listed = contract.evidence.listed
    return event_time >= doubt.coming or bool(listed and listed[-1].until > doubt.since)


def _stated(contract: ContractState, update: RateUpdate) -> float | None:
    """Return what a payload says, this one or another one of the same feed."""
    if update.interval_hours is not None:
        return update.interval_hours
    stated = contract.evidence.stated
    if not stated:
        return None
    if update.next_funding_time is not None:
        return contract.evidence.stated_for(minute_round(update.next_funding_time))
    return contract.interval_hours if contract.interval_source == "payload" else None


def contradicts(
    contract: ContractState, hours: float, settled_at: int, coming: int, event_time: int
) -> bool:
    """Tell whether a coming funding time (µs, a full minute) cannot be that of an interval.

    It cannot if it is further ahead. A shorter interval is in force if it is so near that one would
    fit, and lies neither on the grid of the interval nor on the settlement clock that the contract
    has had. The same holds of the one that has just passed, unless the interval was listed only
    afterwards. While nothing is known of that clock, only a funding time that moves contradicts.
    """
    ahead_us, interval_us = coming - event_time, int(hours * US_PER_HOUR)
    if ahead_us > interval_us + AHEAD_SLACK_US:
        return True
    if _shortest(ahead_us) >= hours:
        return False
    passed = max(contract.passed_funding_time, settled_at if settled_at <= event_time else 0)
    if contract.next_funding_time is not None and contract.next_funding_time <= event_time:
        passed = max(passed, contract.next_funding_time)
    passed = minute_round(passed)
    if not passed:
        return not on_grid(coming, hours) and _has_moved(contract, coming)
    if (coming - passed) % interval_us == 0:
        return False
    if not on_grid(coming, hours):
        return True
    listed = contract.evidence.listed_at(event_time)
    is_newer = listed is not None and listed.since > passed
    return not is_newer and not on_grid(passed, hours)


def _has_moved(contract: ContractState, coming: int) -> bool:
    """Tell whether a coming funding time (µs) is sooner than the one before it, or was found so."""
    doubt, before = contract.doubt, contract.next_funding_time
    was_sooner = doubt is not None and doubt.coming == coming
    return was_sooner or (before is not None and coming < minute_round(before))


def _shortest(ahead_us: int) -> float:
    """Return the shortest usual interval by which a funding time can be so far ahead."""
    hours = (ahead_us - AHEAD_SLACK_US) / US_PER_HOUR
    return next((usual for usual in GRID_HOURS if usual >= hours), GRID_HOURS[-1])
