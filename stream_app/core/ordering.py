"""Order and duplicates of a contract's updates, by event time (design §5.4). Pure.

Not responsible for: what follows from a verdict (partition.py).
"""

from __future__ import annotations

from typing import Literal

from schemas.times import US_PER_S
from stream_app.core.blocks import Contract

LATENESS_US = 10 * US_PER_S
MAX_RECENT = 32
"""Bounds what is remembered of a contract that updates many times a second."""

Verdict = Literal["accepted", "conflict", "duplicate", "out_of_order", "late"]
"""accepted: moves the current rate. conflict: same time, other rate; moves it as well.
duplicate: the pair was accepted before; dropped, so that a second socket or a redelivery cannot
undo a conflict. out_of_order: older, within the lateness. late: older than that. Neither of the
two moves the current rate."""


def judge(contract: Contract, event_time: int, rate: float) -> Verdict:
    """Place an update among those that the contract has accepted."""
    if contract.updates == 0 or event_time > contract.event_time:
        return "accepted"
    same_time = event_time == contract.event_time
    if (same_time and rate == contract.rate) or (event_time, rate) in contract.recent:
        return "duplicate"
    if same_time:
        return "conflict"
    return "out_of_order" if contract.event_time - event_time <= LATENESS_US else "late"


def remember(contract: Contract, event_time: int, rate: float) -> None:
    """Remember an update, so that it is recognised when it comes again."""
    recent = contract.recent
    recent.append((event_time, rate))
    if len(recent) > 1 and recent[-2][0] > event_time:
        recent.sort()
    oldest = recent[-1][0] - LATENESS_US
    drop = max(0, len(recent) - MAX_RECENT)
    while recent[drop][0] < oldest:
        drop += 1
    if drop:
        del recent[:drop]
