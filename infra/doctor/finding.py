"""What a check of `fundingstream doctor` has found, and how all findings are shown. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from schemas.errors import FundingStreamError
from schemas.text import one_line

_MAX_CHARS = 600


class Result(StrEnum):
    """How a check ended; the worst comes first."""

    PROBLEM = "problem"
    OK = "ok"


class Finding(NamedTuple):
    """What one check has found."""

    check: str
    result: Result
    found: str
    """A sentence; of a problem it says what to do as well."""


def finding_of(check: str, error: FundingStreamError) -> Finding:
    """Return the finding about an error of ours, whose message says what to do."""
    return Finding(check, Result.PROBLEM, one_line(str(error), _MAX_CHARS))


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings with the problems first, else in their order."""
    order = list(Result)
    return sorted(findings, key=lambda finding: order.index(finding.result))


def lines_of(findings: Sequence[Finding]) -> list[str]:
    """Return a line for each finding, for a terminal."""
    return [f"{one.result:8} {one.check:10} {one.found}" for one in worst_first(findings)]


def has_problem(findings: Sequence[Finding]) -> bool:
    """Whether a check found a problem."""
    return any(finding.result is Result.PROBLEM for finding in findings)
