"""Raises the alerts of a contract's z and of its rate's sign, when a new update is current. Pure.

excursions.py decides which ones. What it holds back is counted as audit events.
"""

from __future__ import annotations

from schemas.audit_facts import AuditCause, AuditFacts
from schemas.audit_kinds import AuditKind
from schemas.rates import rate_8h
from stream_app.core.output.alerts import crossing_alert, flip_alert, sign_of
from stream_app.core.output.collector import OutputCollector
from stream_app.core.state.contract_state import ContractState
from stream_app.core.state.item_context import ItemContext


class Alarms:
    """Raises the alerts of one partition's contracts."""

    def __init__(self, collector: OutputCollector) -> None:
        self._collector = collector

    def judge(self, contract: ContractState, z: float | None, at: ItemContext) -> None:
        """Raise what the current update of a contract calls for. `z` None: it has no z."""
        self._judge_sign(contract, at)
        crossing = None if z is None else contract.alerts.cross(z, contract.event_time)
        if z is None or crossing is None:
            return
        for threshold in crossing.held_back:
            detail = f"z {z:+.2f}, threshold {threshold:+g}"
            self._hold_back(contract, AuditCause.Z_CROSS, detail, at)
        if crossing.told is not None:
            self._collector.alert(crossing_alert(contract, z, crossing.told, at))

    def _judge_sign(self, contract: ContractState, at: ItemContext) -> None:
        sign = sign_of(rate_8h(contract.rate, contract.interval_hours))
        if contract.sign == 0:
            contract.sign = sign
            return
        told = contract.alerts.flip(contract.sign, sign, contract.event_time)
        if told:
            contract.sign = -contract.sign
            self._collector.alert(flip_alert(contract, at))
        elif told is False:
            self._hold_back(contract, AuditCause.SIGN_FLIP, f"sign of {contract.rate!r}", at)

    def _hold_back(
        self, contract: ContractState, cause: AuditCause, detail: str, at: ItemContext
    ) -> None:
        kind, event_time = AuditKind.ALERT_HELD_BACK, contract.event_time
        facts = AuditFacts(cause=cause)
        self._collector.note(contract.symbol, kind, event_time, at, detail, facts)
