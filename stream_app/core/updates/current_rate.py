"""The current rate of a contract: how an update becomes it, and which interval it has. Pure.

Not responsible for: whether an update becomes it (ordering.py), what follows (partition.py).
"""

from __future__ import annotations

from stream_app.core.state.contract_state import ContractState
from stream_app.core.state.contract_store import ContractEntry
from stream_app.core.state.item_context import Interval, ItemContext
from stream_app.model import RateUpdate


def interval_of(entry: ContractEntry, update: RateUpdate) -> Interval:
    """Choose the interval: the payload's, what a payload said last, else the contract's."""
    if update.interval_hours is not None:
        return Interval(update.interval_hours, "payload")
    contract = entry.contract
    if contract.interval_source == "payload":
        # A second source of the same feed may not say it.
        return Interval(contract.interval_hours, "payload")
    return entry.interval


def interval_change(contract: ContractState, interval: Interval) -> str:
    """Say how an update's interval differs from the one before; empty: it does not."""
    if interval.hours == contract.interval_hours:
        return ""
    return f"{contract.interval_hours:g} h -> {interval.hours:g} h ({interval.source})"


def make_current(
    contract: ContractState,
    update: RateUpdate,
    event_time: int,
    interval: Interval,
    at: ItemContext,
) -> None:
    """Make an update the contract's current one."""
    contract.event_time = event_time
    contract.received_at = at.received_at
    contract.rate = update.rate
    contract.interval_hours, contract.interval_source = interval
    # A second source of the same feed may not carry all of it: what is known stays.
    if update.mark_price is not None:
        contract.mark_price = update.mark_price
    if update.index_price is not None:
        contract.index_price = update.index_price
    if update.next_funding_time is not None:
        contract.next_funding_time = update.next_funding_time
    contract.transport = at.transport
    contract.raw_offset = at.offset
    contract.raw_item = at.item
    contract.updates += 1


def unnamed_time(contract: ContractState, at: ItemContext) -> int:
    """Return the time at which an update stands that names none (exchanges.md §8)."""
    if at.transport == "rest":
        return contract.stream.time_of_receipt(at.received_at)
    return at.received_at
