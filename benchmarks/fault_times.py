"""Computes when each fault was noticed, when REST took over and when the stream was back. Pure.

Whether anything was lost computes accounting.py, how old rates became freshness.py.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.evidence import Audit, Fault, FeedEvidence, Status, Stored
from schemas.audit_kinds import AuditKind
from schemas.times import US_PER_S

AT_ONCE = frozenset({
    AuditKind.GAP_OPENED, AuditKind.FAILOVER, AuditKind.FEED_STATE, AuditKind.FEED_DOWN,
    AuditKind.CLOCK_SKEW, AuditKind.LISTED, AuditKind.DELISTED, AuditKind.TRADING_BEGAN,
    AuditKind.TRADING_ENDED,
})  # fmt: skip
"""Audit events that are told when they are noticed, at their last event time."""
SHOWS = AT_ONCE | {
    AuditKind.MISSED, AuditKind.DEAD_LETTER, AuditKind.DUPLICATE, AuditKind.OUT_OF_ORDER,
    AuditKind.LATE, AuditKind.CONFLICT, AuditKind.REPEATED, AuditKind.RATE_LIMITED,
    AuditKind.INTERVAL_CHANGE, AuditKind.OUT_OF_RANGE, AuditKind.GAP_CLOSED, AuditKind.RECOVERY,
    AuditKind.MISMATCH, AuditKind.SETTLEMENT_DIFFERS,
}  # fmt: skip
AFTER_US = 30 * US_PER_S
"""What follows a fault so soon is put down to it, unless another one has begun."""
QUIET_KINDS = frozenset({
    "list", "delist", "relist", "interval-change", "clock-move", "cap-raise", "settle-late",
    "missing-settlement", "special-settlement", "halt", "zombie", "listed-twice", "empty-symbol",
    "bad-field", "null-fields", "unknown-event",
})  # fmt: skip
"""Kinds that leave the stream as it is, or that of all contracts but one."""
STREAM_KINDS = frozenset({
    "close", "half-open", "silence", "refuse-ws", "maintenance", "bad-units",
})  # fmt: skip
"""Kinds that may leave contracts to REST."""


class Times(NamedTuple):
    """What became of one fault. Seconds after its begin; `return_s` after its end; None: never."""

    fault: Fault
    detect_s: float | None
    detected_by: str
    takeover_s: float | None
    """Until REST brought a contract that was hit, or served the feed."""
    hit: int
    """Contracts that missed an update by it."""
    by_rest: int
    """Contracts that REST brought meanwhile."""
    return_s: float | None
    shown: Mapping[str, int]
    """Audit events of the time, by kind."""
    attempts: int
    """Connection attempts from its begin to its end."""


def times_of(evidence: FeedEvidence, until_us: int) -> list[Times]:
    """Return what became of each fault of a feed that began before `until_us`."""
    faults = [f for f in evidence.own_faults if not f.error and f.began_at < until_us]
    index = _Index(evidence)
    return [_times(index, fault, _end_of(fault, faults, until_us)) for fault in faults]


def _end_of(fault: Fault, faults: Sequence[Fault], until_us: int) -> int:
    """Return until when signs are put down to a fault."""
    later = [
        each.began_at
        for each in faults
        if each.began_at > fault.ended_at + US_PER_S and each.kind not in QUIET_KINDS
    ]
    return min([fault.ended_at + AFTER_US, until_us, *later])


class _Index:
    """A feed's evidence, ordered for questions about spans."""

    def __init__(self, evidence: FeedEvidence) -> None:
        self.feed = evidence.feed
        self.audit = sorted(evidence.audit, key=lambda each: each.last)
        self.status = evidence.status
        self._streamed: defaultdict[str, list[int]] = defaultdict(list)
        self._by_rest: list[Stored] = []
        for row in evidence.stored:
            if row.transport == "ws":
                self._streamed[row.contract_id].append(row.received_at)
            else:
                self._by_rest.append(row)
        for receipts in self._streamed.values():
            receipts.sort()
        self._by_rest.sort(key=lambda row: row.received_at)
        self._rest_at = [row.received_at for row in self._by_rest]
        self._missed = sorted((u.sent_at, u.contract_id) for u in evidence.missed if u.why)
        self._missed_at = [at for at, _contract in self._missed]

    def hit(self, fault: Fault) -> set[str]:
        """Return the contracts that missed an update while a fault ran, or just after it began."""
        low = bisect_left(self._missed_at, fault.began_at)
        high = bisect_left(self._missed_at, max(fault.ended_at, fault.began_at + 2 * US_PER_S))
        return {contract for _at, contract in self._missed[low:high]}

    def by_rest(self, since: int, until: int) -> list[Stored]:
        """Return the rows that REST brought between two times."""
        return self._by_rest[bisect_left(self._rest_at, since) : bisect_left(self._rest_at, until)]

    def streamed_after(self, contract_id: str, since: int) -> int | None:
        """Return when the stream first brought a contract after a time; None: never."""
        receipts = self._streamed.get(contract_id, [])
        index = bisect_left(receipts, since)
        return receipts[index] if index < len(receipts) else None


def _times(index: _Index, fault: Fault, until: int) -> Times:
    hit = index.hit(fault)
    filled = [
        row for row in index.by_rest(fault.began_at, until) if not hit or row.contract_id in hit
    ]
    # A poll that brings what the stream brought last leaves no row: that it served is told.
    served = [
        e.last for e in index.audit if e.kind == AuditKind.FAILOVER and fault.began_at <= e.last
    ]
    taken = [row.received_at for row in filled[:1]] + [at for at in served[:1] if at <= until]
    detected, by = _detected(index, fault, until)
    return Times(
        fault,
        _after(detected, fault.began_at),
        by,
        _after(min(taken, default=None), fault.began_at),
        len(hit),
        len({row.contract_id for row in filled}),
        _after(_returned(index, fault, hit), fault.ended_at),
        _shown(index.audit, fault, until),
        _attempts(index.status, fault),
    )


def needs_notice(fault: Fault) -> bool:
    """Tell whether a fault that cost updates must show: a rate in other units is a rate."""
    return fault.kind in STREAM_KINDS and fault.parameters.get("field") != "rate"


def _after(at: int | None, since: int) -> float | None:
    return None if at is None else (at - since) / US_PER_S


def _detected(index: _Index, fault: Fault, until: int) -> tuple[int | None, str]:
    """Return the first sign that is told at once, and what it was."""
    signs: list[tuple[int, str]] = []
    for event in index.audit:
        if fault.began_at <= event.last <= until and event.kind in AT_ONCE:
            signs.append((event.last, event.kind))
            break
    before = None
    for status in index.status:
        if status.reported_at > until:
            break
        if status.reported_at >= fault.began_at:
            by = _sign(status, before)
            if by:
                signs.append((status.reported_at, by))
                break
        before = status
    return min(signs, default=(None, ""))


def _sign(status: Status, before: Status | None) -> str:
    """Say what in a status shows that something is wrong; empty: nothing that is new."""
    if status.state != "live" and (before is None or before.state != status.state):
        return f"state {status.state}"
    if status.by_rest and (before is None or not before.by_rest):
        return "contracts by REST"
    if before is not None and status.rest_failures > before.rest_failures:
        return "REST failures"
    return ""


def _returned(index: _Index, fault: Fault, hit: Iterable[str]) -> int | None:
    """Return when, after its end, the feed was live and each hit contract streamed again."""
    moments = [fault.ended_at]
    before = [status for status in index.status if status.reported_at <= fault.ended_at]
    if before and (before[-1].state != "live" or before[-1].by_rest):
        healthy = (
            status.reported_at
            for status in index.status
            if status.reported_at > fault.ended_at and status.state == "live" and not status.by_rest
        )
        found = next(healthy, None)
        if found is None:
            return None
        moments.append(found)
    for contract_id in hit:
        at = index.streamed_after(contract_id, fault.ended_at)
        if at is not None:
            moments.append(at)
    return max(moments)


def _shown(audit: Iterable[Audit], fault: Fault, until: int) -> dict[str, int]:
    found: Counter[str] = Counter()
    for event in audit:
        if event.kind in SHOWS and event.first <= until and event.last >= fault.began_at:
            found[event.kind] += event.number
    return dict(found)


def _attempts(statuses: Sequence[Status], fault: Fault) -> int:
    before = [s.attempts for s in statuses if s.reported_at <= fault.began_at]
    after = [s.attempts for s in statuses if s.reported_at >= fault.ended_at]
    if not before or not after:
        return 0
    return after[0] - before[-1]


def most_in_a_minute(statuses: Sequence[Status]) -> int:
    """Return the most connection attempts that a feed made within any 60 s, as far as told."""
    most = 0
    low = 0
    for status in statuses:
        while statuses[low].reported_at < status.reported_at - 60 * US_PER_S:
            low += 1
        most = max(most, status.attempts - statuses[low].attempts)
    return most
