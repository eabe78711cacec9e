"""Finds the recorded absences of a contract's stream by contract and time. Pure.

They are the audit events `missed`, `gap_opened` and `gap_closed`; accounting.py explains with them
why an update is not stored.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from benchmarks.evidence import Audit
from schemas.audit_kinds import AuditKind


class Span(NamedTuple):
    """A recorded absence of a contract's stream; µs. `number`: of updates, None: any."""

    first: int
    last: int
    number: int | None


class Spans:
    """Recorded absences by contract."""

    def __init__(self, counted: dict[str, list[Span]], gaps: dict[str, list[Span]]) -> None:
        """`counted` from `missed`, which do not overlap; `gaps` may."""
        self._counted = {subject: sorted(spans) for subject, spans in counted.items()}
        self._starts = {subject: [s.first for s in spans] for subject, spans in counted.items()}
        for starts in self._starts.values():
            starts.sort()
        self._gaps = gaps

    def find(self, subject: str, at: int, slack: int) -> Span | None:
        """Return a span that a time lies in, a counted one first."""
        spans = self._counted.get(subject, [])
        index = bisect_right(self._starts.get(subject, []), at + slack) - 1
        for candidate in spans[max(0, index - 1) : index + 1][::-1]:
            if candidate.first - slack <= at <= candidate.last + slack:
                return candidate
        for candidate in self._gaps.get(subject, ()):
            if candidate.first - slack <= at <= candidate.last + slack:
                return candidate
        return None


def spans_of(audit: Iterable[Audit], until_us: int) -> Spans:
    """Return the recorded absences of contracts; a gap that nothing closed is still open."""
    counted: defaultdict[str, list[Span]] = defaultdict(list)
    gaps: defaultdict[str, list[Span]] = defaultdict(list)
    opened: dict[tuple[str, int], Audit] = {}
    for event in audit:
        if ":" not in event.subject:
            continue
        if event.kind == AuditKind.MISSED:
            counted[event.subject].append(Span(event.first, event.last, event.number))
        elif event.kind == AuditKind.GAP_OPENED:
            opened[event.subject, event.first] = event
        elif event.kind == AuditKind.GAP_CLOSED:
            gaps[event.subject].append(Span(event.first, event.last, None))
    closed = {(subject, span.first) for subject, spans in gaps.items() for span in spans}
    for (subject, first), event in opened.items():
        if (subject, first) not in closed:
            gaps[subject].append(Span(event.first, max(event.last, until_us), None))
    return Spans(counted, gaps)
