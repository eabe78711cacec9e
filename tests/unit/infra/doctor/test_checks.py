"""The doctor's report: all checks are in it, whatever each of them meets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from infra.doctor import checks
from infra.doctor.checks import Settings, examine, examine_all
from infra.doctor.finding import Finding, Result, has_problem, lines_of, ok, problem, warning
from schemas.errors import UnavailableError
from stream_app.sink.ledger import LEDGER_NAME, NEWEST_MIGRATION
from stream_app.sink.tables import TABLES


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


class SinksDatabase:
    """Answers as ClickHouse does a user with the rights of the sink."""

    server_version = "26.9"

    def __init__(self, newest: int, other: str = "") -> None:
        self._newest, self._other = newest, other

    def query(self, text: str, _parameters: object = None, **_: object) -> SimpleNamespace:
        """Version and name are all that it may see of the migrations."""
        if self._other and "system.tables" in text:
            raise DatabaseError(self._other)
        if "checksum" in text:
            raise DatabaseError("Code: 497. DB::Exception: sink: Not enough privileges. x")
        rows: list[tuple[object, ...]] = []
        if LEDGER_NAME in text:
            rows = [(self._newest, "desk")]
        elif "system.tables" in text:
            rows = [(LEDGER_NAME, "ReplacingMergeTree", "version")]
        elif "system.columns" in text:
            rows = [(t.name, field, "x") for t in TABLES for field in t.record_type.fields]
        return SimpleNamespace(result_rows=[row[: text.count(",") + 1] for row in rows])

    def command(self, _text: str) -> int:
        """Every right that is checked is there."""
        return 1

    def close(self) -> None:
        """Nothing is open."""


class TestWithTheRightsOfTheSink:
    """Those in docs/deployment.md, which are not enough to see all of the database."""

    def found(self, monkeypatch: pytest.MonkeyPatch, client: SinksDatabase) -> list[Finding]:
        """What the doctor says of ClickHouse."""
        monkeypatch.setattr(checks, "connect", lambda *_, **__: client)
        monkeypatch.setattr(checks, "clock_ahead_s", lambda *_: None)
        monkeypatch.setenv("FUNDING_CLICKHOUSE_USERNAME", "sink")
        settings = Settings.load()
        return examine({"clickhouse": lambda: checks.check_clickhouse(settings)})

    @pytest.mark.parametrize(
        ("newest", "result", "text"),
        [
            (NEWEST_MIGRATION, Result.WARNING, "'sink' may not see"),
            (NEWEST_MIGRATION - 1, Result.PROBLEM, "run `fundingstream migrate`"),
            (NEWEST_MIGRATION + 1, Result.PROBLEM, "use the newer version"),
        ],
    )
    def test_the_version_is_judged(
        self, monkeypatch: pytest.MonkeyPatch, newest: int, result: Result, text: str
    ) -> None:
        """By what the sink itself goes by."""
        answers, judged = self.found(monkeypatch, SinksDatabase(newest))
        assert answers.result is Result.OK
        assert (judged.result, text in judged.found) == (result, True), judged

    def test_the_driver_s_errors_are_explained(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In our words, with what to do."""
        client = SinksDatabase(1, "Code: 210. DB::NetException: Connection reset by peer. x")
        told = self.found(monkeypatch, client)[-1].found
        assert told.startswith("ClickHouse at http://")
        assert "its own log may say more" in told


def test_problems_come_first_then_warnings() -> None:
    """Whatever the order of the checks; only problems make the exit code 1."""
    lines = lines_of([ok("a", "x"), warning("w", "z"), problem("b", "y")])
    assert [line.split()[1] for line in lines] == ["b", "w", "a"]
    assert not has_problem([ok("a", "x"), warning("w", "z")])
