"""The doctor's report: all checks are in it, whatever each of them meets."""

from __future__ import annotations

import threading

from infra.doctor.checks import examine
from infra.doctor.finding import Finding, Result, has_problem, lines_of
from schemas.errors import UnavailableError


def test_an_error_of_ours_is_a_problem_with_its_advice() -> None:
    """And another check's finding stands beside it."""

    def down() -> str:
        raise UnavailableError("it is away: start it")

    found = examine({"one": down, "two": lambda: "fine"})
    assert found == [
        Finding("one", Result.PROBLEM, "it is away: start it"),
        Finding("two", Result.OK, "fine"),
    ]
    assert has_problem(found)


def test_an_unexpected_error_is_a_problem_and_no_traceback() -> None:
    """It names the type."""

    def broken() -> str:
        raise KeyError("x")

    assert examine({"one": broken})[0].found.startswith("KeyError")


def test_a_check_without_an_answer_is_a_problem() -> None:
    """The report does not wait for it."""
    release = threading.Event()
    found = examine({"slow": lambda: str(release.wait(60))}, within_s=0.05)
    release.set()
    assert found[0].result is Result.PROBLEM
    assert "no answer within 0.05 s" in found[0].found


def test_problems_come_first() -> None:
    """Whatever the order of the checks."""
    lines = lines_of([Finding("a", Result.OK, "x"), Finding("b", Result.PROBLEM, "y")])
    assert [line.split()[1] for line in lines] == ["b", "a"]
    assert not has_problem([Finding("a", Result.OK, "x")])
