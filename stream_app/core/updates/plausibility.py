"""Bounds of what an update may say: times ahead, rates beyond any cap, sizes, names.

Also when an estimate means nothing because a settlement was just before it.
"""

from __future__ import annotations

import msgspec

from schemas.errors import MalformedInputError
from schemas.records import MAX_READ_ITEMS
from schemas.symbols import name_fault
from schemas.times import US_PER_HOUR, US_PER_MINUTE, US_PER_S
from stream_app.core.state.contract_state import ContractState
from stream_app.model import (
    MAX_AMOUNT,
    InstrumentUpdate,
    RateUpdate,
    SettlementUpdate,
    Unreadable,
    Update,
)

MAX_AHEAD_US = 10 * US_PER_MINUTE
"""How far ahead of its receipt an event may be, unless the settings say otherwise. One that is
further ahead would make all later updates late."""
MAX_SETTLED_AHEAD_US = US_PER_MINUTE
"""The same for a settlement, which lies in the past unless clocks differ or its stamp is early."""
MAX_RATE = 1.0
"""A fraction per interval that no estimate reaches: caps are below 4 %
(docs/exchanges/README.md)."""
MAX_OFF_HOUR_US = 5 * US_PER_S
"""How far from a full hour a streamed settlement may be stamped: funding is due at full hours, and
stamps are seconds off at most (docs/exchanges/README.md §3). With a wrong clock it would count as
another settlement than the same one in the history."""
_AMOUNTS = ("turnover_24h", "open_interest", "open_interest_units")
_TOLERANCE = 1 + 1e-9
"""A cap that was written in basis points may miss the rate at the cap by a rounding."""


def check_size(items: int) -> None:
    """Refuse a record of more items than any producer makes.

    Raises:
        MalformedInputError: says how many it has.
    """
    if items > MAX_READ_ITEMS:
        raise MalformedInputError(f"a record of {items} items, more than {MAX_READ_ITEMS}")


def check_plausible(
    update: Update, received_at: int, max_ahead_us: int, max_settled_rate: float
) -> None:
    """Refuse an update that would spoil a contract's state for long, and what cannot be read.

    That is: a time too far ahead, a rate beyond any cap, a name that is too long. `received_at`:
    receipt of its item (µs). `max_ahead_us`: how far ahead of that an event may be.
    `max_settled_rate`: of a regular settlement; extra funding knows no cap.

    Raises:
        MalformedInputError: says which value it is.
    """
    if isinstance(update, RateUpdate):
        time_us, rate, limit = update.event_time, update.rate, MAX_RATE
        ahead_us = max_ahead_us
    elif isinstance(update, SettlementUpdate):
        time_us, rate = update.funding_time_raw, update.rate
        limit = max_settled_rate if update.kind == "regular" else MAX_RATE
        ahead_us = MAX_SETTLED_AHEAD_US
        off_us = (time_us + MAX_OFF_HOUR_US) % US_PER_HOUR
        if update.source == "stream" and off_us > 2 * MAX_OFF_HOUR_US:
            raise MalformedInputError(f"settlement at {time_us}, which is no full hour")
    else:
        if isinstance(update, InstrumentUpdate):
            _check_names(update)
            _, faults = believable_amounts(update)
            if faults:
                raise MalformedInputError("; ".join(faults))
        elif isinstance(update, Unreadable):
            raise MalformedInputError(update.reason)
        return
    if time_us is not None and time_us > received_at + ahead_us:
        raise MalformedInputError(f"time {time_us} lies too far ahead of its receipt {received_at}")
    if not -limit <= rate <= limit:
        raise MalformedInputError(f"rate {rate!r} is beyond {limit:.0%} per interval")


def _check_names(facts: InstrumentUpdate) -> None:
    for field in ("base", "quote", "status_word"):
        name = getattr(facts, field)
        if name is not None and (fault := name_fault(name)):
            raise MalformedInputError(f"{field} is {fault}: {name!r:.60}")


def believable_amounts(facts: InstrumentUpdate) -> tuple[InstrumentUpdate, list[str]]:
    """Return facts without the amounts that cannot be, and what is wrong with each of these."""
    amounts = {field: getattr(facts, field) for field in _AMOUNTS}
    wrong = {
        field: amount
        for field, amount in amounts.items()
        if amount is not None and not 0 <= amount <= MAX_AMOUNT
    }
    if not wrong:
        return facts, []
    faults = [f"{field} is no amount: {amount!r:.60}" for field, amount in wrong.items()]
    return msgspec.structs.replace(facts, **dict.fromkeys(wrong)), faults


def cap_limits(contract: ContractState, max_rate: float) -> tuple[float, float]:
    """Return the least and the greatest rate within the exchange's floor and cap of a contract.

    `max_rate` holds where it states none.
    """
    cap, floor = contract.rate_cap, contract.rate_floor
    high = max_rate if cap is None else cap * _TOLERANCE
    low = -max_rate if floor is None else floor * _TOLERANCE
    return low, high


def beyond_cap(contract: ContractState, rate: float, max_rate: float) -> bool:
    """Tell whether a rate is beyond the cap or floor of a contract (`cap_limits`)."""
    low, high = cap_limits(contract, max_rate)
    return not low <= rate <= high


def is_settling(
    contract: ContractState, update: RateUpdate, event_time: int, settling_us: int
) -> bool:
    """Tell whether an estimate comes so soon after a settlement that it is noise.

    The time since the settlement follows from the next funding time and the interval, the
    update's own or else the contract's. Where neither is known, each full hour may be one.
    """
    coming, hours = update.next_funding_time, update.interval_hours
    if coming is None or hours is None:
        coming, hours = contract.next_funding_time, contract.interval_hours
    if coming is None:
        coming, hours = 0, 1.0
    return (event_time - coming) % int(hours * US_PER_HOUR) < settling_us
