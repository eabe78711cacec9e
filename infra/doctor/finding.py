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
    """Something does not work, or is about to lose data."""
    WARNING = "warning"
    """It works, and a person should look at it."""
    OK = "ok"


class Finding(NamedTuple):
    """What one check has found."""

    check: str
    result: Result
    found: str
    """A sentence; where all is not well it says what to do, too."""


def ok(check: str, found: str) -> Finding:
    """Return the finding of a check that found all well."""
    return Finding(check, Result.OK, one_line(found, _MAX_CHARS))


def warning(check: str, found: str) -> Finding:
    """Return a finding that a person should look at."""
    return Finding(check, Result.WARNING, one_line(found, _MAX_CHARS))


def problem(check: str, found: str | FundingStreamError) -> Finding:
    """Return the finding of a problem, or of an error of ours, whose message says what to do."""
    return Finding(check, Result.PROBLEM, one_line(str(found), _MAX_CHARS))


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings with the problems first, then the warnings, else in their order."""
    order = list(Result)
    return sorted(findings, key=lambda finding: order.index(finding.result))


def lines_of(findings: Sequence[Finding]) -> list[str]:
    """Return a line for each finding, for a terminal."""
    return [f"{one.result:8} {one.check:16} {one.found}" for one in worst_first(findings)]


def has_problem(findings: Sequence[Finding]) -> bool:
    """Whether a check found a problem."""
    return any(finding.result is Result.PROBLEM for finding in findings)
