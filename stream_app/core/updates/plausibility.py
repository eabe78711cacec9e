"""What a rate may be, and when an estimate means anything. Pure.

Not responsible for: what follows from it (partition.py).
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from schemas.errors import MalformedInputError
from schemas.feed_spec import FeedSpec
from schemas.records import MAX_READ_ITEMS, RawBatch
from schemas.symbols import name_fault
from schemas.times import US_PER_HOUR, US_PER_MINUTE, US_PER_S
from stream_app.core.state.contract_state import ContractState
from stream_app.model import (
    InstrumentUpdate,
    RateUpdate,
    SettlementUpdate,
    Update,
)

MAX_AHEAD_US = 10 * US_PER_MINUTE
"""Of an event, unless the settings say otherwise: one further ahead makes all that follow late."""
MAX_SETTLED_AHEAD_US = US_PER_MINUTE
"""A settlement lies in the past, clocks and stamps apart."""
MAX_RATE = 1.0
"""An estimate beyond it is no rate at all; caps are below 4 % (exchanges.md)."""
MAX_OFF_HOUR_US = 5 * US_PER_S
"""Of a settlement that a stream tells: funding is due at full hours, stamps are seconds off at most
(exchanges.md §0.3). By a wrong clock it would count beside the same one of the history."""
DEFAULT_CAP = 0.10
"""Per interval, where the exchange tells no cap. No settlement is beyond it."""
_TOLERANCE = 1 + 1e-9
"""A cap that was written in basis points may miss the rate at the cap by a rounding."""


def check_size(batch: RawBatch) -> None:
    """Refuse a record of more items than any producer makes.

    Raises:
        MalformedInputError: says how many it has.
    """
    items = len(batch["items"])
    if items > MAX_READ_ITEMS:
        raise MalformedInputError(f"a record of {items} items, more than {MAX_READ_ITEMS}")


def check_plausible(update: Update, received_at: int, max_ahead_us: int) -> None:
    """Refuse what would spoil a contract's state for long.

    Times ahead, rates beyond any cap, and names without a bound.

    `max_ahead_us`: how far ahead of its receipt an event may be.

    Raises:
        MalformedInputError: says which value it is.
    """
    if isinstance(update, RateUpdate):
        time_us, rate, limit = update.event_time, update.rate, MAX_RATE
        ahead_us = max_ahead_us
    elif isinstance(update, SettlementUpdate):
        time_us, rate, limit = update.funding_time_raw, update.rate, DEFAULT_CAP
        ahead_us = MAX_SETTLED_AHEAD_US
        off_us = (time_us + MAX_OFF_HOUR_US) % US_PER_HOUR
        if update.source == "stream" and off_us > 2 * MAX_OFF_HOUR_US:
            raise MalformedInputError(f"settlement at {time_us}, which is no full hour")
    else:
        if isinstance(update, InstrumentUpdate):
            _check_names(update)
        return
    if time_us is not None and time_us > received_at + ahead_us:
        raise MalformedInputError(f"time {time_us} lies too far ahead of its receipt {received_at}")
    if not -limit <= rate <= limit:
        raise MalformedInputError(f"rate {rate!r} is beyond {limit:.0%} per interval")


def _check_names(facts: InstrumentUpdate) -> None:
    for field in ("base", "quote", "status"):
        name = getattr(facts, field)
        if name is not None and (fault := name_fault(name)):
            raise MalformedInputError(f"{field} is {fault}: {name!r:.60}")


def beyond_cap(contract: ContractState, rate: float) -> bool:
    """Tell whether a rate is beyond what the contract's exchange allows itself to charge."""
    cap, floor = contract.rate_cap, contract.rate_floor
    high = DEFAULT_CAP if cap is None else cap * _TOLERANCE
    low = -DEFAULT_CAP if floor is None else floor * _TOLERANCE
    return not low <= rate <= high


def is_settling(
    contract: ContractState, update: RateUpdate, event_time: int, settling_us: int
) -> bool:
    """Tell whether an estimate comes so soon after a settlement that it is noise.

    The time since the settlement follows from the next funding time and the interval, the
    reading's own or else the contract's; where neither is known, nothing is.
    """
    coming, hours = update.next_funding_time, update.interval_hours
    if coming is None or hours is None:
        coming, hours = contract.next_funding_time, contract.interval_hours
    if coming is None:
        return False
    return (event_time - coming) % int(hours * US_PER_HOUR) < settling_us


def derived_settlement(
    contract: ContractState, event_time: int, feed: FeedSpec
) -> SettlementUpdate | None:
    """Return the settlement that an update shows to have happened since the one before it.

    The last estimate before the funding time stands in for the settled rate (exchanges.md §4.7),
    rounded as the exchange rounds. None if the feed's settlements come in time, no funding time
    lies between, or the last estimate was stale by then: what was charged is then better left to
    the exchange's history.
    """
    funding_time = contract.next_funding_time
    if not feed.derive_settlements or contract.updates == 0:
        return None
    if funding_time is None or event_time < funding_time:
        return None
    if not 0 <= funding_time - contract.event_time <= feed.stale_s * US_PER_S:
        return None
    decimals = feed.settled_decimals
    rate = contract.rate if decimals is None else rounded(contract.rate, decimals)
    return SettlementUpdate(contract.symbol, funding_time, rate, "derived", contract.interval_hours)


def rounded(rate: float, decimals: int) -> float:
    """Return a rate rounded in decimal, as an exchange does, which has no binary fractions.

    Half goes to even; no source shows what an exchange does with a half.
    """
    exact = Decimal(repr(rate)).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN)
    # No negative zero.
    return float(exact) + 0.0
