"""The doctor's report: all checks are in it, whatever each of them meets."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from infra.doctor.checks import examine, examine_all
from infra.doctor.finding import Finding, Result, has_problem, lines_of, ok, problem, warning
from schemas.errors import UnavailableError


def fine() -> Iterator[Finding]:
    """Finds all well."""
    yield ok("two", "fine")


def test_an_error_of_ours_is_a_problem_with_its_advice() -> None:
    """Beside what was found before it, and what another check finds."""

    def down() -> Iterator[Finding]:
        yield ok("one part", "fine")
        raise UnavailableError("it is away: start it")

    found = examine({"one": down, "two": fine})
    assert found == [
        ok("one part", "fine"),
        problem("one", "it is away: start it"),
        ok("two", "fine"),
    ]
    assert has_problem(found)


def test_an_unexpected_error_is_a_problem_and_no_traceback() -> None:
    """It names the type."""

    def broken() -> Iterator[Finding]:
        raise KeyError("x")

    assert examine({"one": broken})[0].found.startswith("KeyError")


def test_a_check_without_an_answer_is_a_problem() -> None:
    """The report does not wait for it, and has what it found until then."""
    release = threading.Event()

    def slow() -> Iterator[Finding]:
        yield ok("first", "fine")
        release.wait(60)

    found = examine({"slow": slow}, within_s=0.2)
    release.set()
    assert [(one.check, one.result) for one in found] == [
        ("first", Result.OK),
        ("slow", Result.PROBLEM),
    ]
    assert "no answer within 0.2 s" in found[1].found


def test_a_wrong_setting_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is asked by settings that are wrong; the machine is looked at all the same."""
    monkeypatch.setenv("FUNDING_SINK_METRICS_PORT", "many")
    found = examine_all()
    assert [one.check for one in found] == ["settings", "disk", "versions"]
    assert "FUNDING_SINK_METRICS_PORT" in found[0].found
    assert found[0].result is Result.PROBLEM


def test_problems_come_first_then_warnings() -> None:
    """Whatever the order of the checks; only problems make the exit code 1."""
    lines = lines_of([ok("a", "x"), warning("w", "z"), problem("b", "y")])
    assert [line.split()[1] for line in lines] == ["b", "w", "a"]
    assert not has_problem([ok("a", "x"), warning("w", "z")])
