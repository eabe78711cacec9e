"""Order and duplicates of a contract's updates, by event time (design §5.4). Pure.

Not responsible for: what follows from a verdict (partition.py), remembering updates (bars.py).
"""

from __future__ import annotations

from typing import Literal

from stream_app.core.state.bars import LATENESS_US
from stream_app.core.state.contract_state import ContractState

Verdict = Literal["accepted", "conflict", "duplicate", "out_of_order", "late"]
"""accepted: moves the current rate. conflict: same time, other rate; moves it as well.
duplicate: the pair was accepted before; dropped, so that a second socket or a redelivery cannot
undo a conflict. out_of_order: older, within the lateness. late: older than that. Neither of the
two moves the current rate."""


def judge(contract: ContractState, event_time: int, rate: float) -> Verdict:
    """Place an update among those that the contract has accepted."""
    if contract.updates == 0 or event_time > contract.event_time:
        return "accepted"
    same_time = event_time == contract.event_time
    if (same_time and rate == contract.rate) or contract.bars.knows(event_time, rate):
        return "duplicate"
    if same_time:
        return "conflict"
    return "out_of_order" if contract.event_time - event_time <= LATENESS_US else "late"
