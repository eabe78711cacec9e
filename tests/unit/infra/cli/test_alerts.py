"""`fundingstream alerts check` and `test`: what they say, and their exit codes."""

from __future__ import annotations

import json
import re
import shlex
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from infra.cli.main import cli
from schemas.errors import ConfigurationError
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "alerts-out.md").read_text(encoding="utf-8")
SECRET = "hunter2-hunter2"
RULES = """
targets: {desk: FUNDING_ALERT_URL_DESK, spare: FUNDING_ALERT_URL_SPARE}
rules: [{name: a, kinds: all, targets: [desk]}]
"""


class Hook(BaseHTTPRequestHandler):
    """Accepts what comes to /good, refuses the rest."""

    bodies: list[dict[str, object]]

    def do_POST(self) -> None:
        """Note the body."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.startswith("/good"):
            self.bodies.append(body)
        self.send_response(200 if self.path.startswith("/good") else 403)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, object]]]]:
    """The address of a server, and what it has accepted."""
    bodies: list[dict[str, object]] = []
    server = HTTPServer(("127.0.0.1", 0), type("OwnHook", (Hook,), {"bodies": bodies}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"json://user:{SECRET}@127.0.0.1:{server.server_port}", bodies
    server.shutdown()
    server.server_close()


def run(*arguments: str) -> Result:
    """Run a command; no secret is ever printed."""
    result = CliRunner().invoke(cli, ["alerts", *arguments])
    assert SECRET not in result.output + str(result.exception)
    return result


def test_the_example_of_the_page_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And each of its rules is told in plain words."""
    (example,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    file = tmp_path / "rules.yaml"
    file.write_text(example, encoding="utf-8")
    result = run("check", str(file), "--without-variables")
    assert result.exit_code == 0
    assert "z is beyond ±3 (it is over within ±2.5)." in result.output
    names = re.findall(r"- name: (\S+)", example)
    assert len(names) == 8
    monkeypatch.setenv("FUNDING_ALERT_RULES", str(file))
    told = json.loads(run("check", "--without-variables", "--json").output)
    assert [rule["rule"] for rule in told["rules"]] == names
    assert told["problems"] == []


def test_the_commands_of_the_page_are_understood() -> None:
    """By click, without running them."""
    (block,) = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    commands = [shlex.split(line) for line in block.splitlines() if "export" not in line]
    assert len(commands) == 3
    group = cli.get_command(click.Context(cli), "alerts")
    assert isinstance(group, click.Group)
    for _program, name, *words in commands:
        assert name == "alerts"
        command = group.get_command(click.Context(group), words[0])
        assert command is not None
        command.make_context(words[0], words[1:])


def test_mistakes_end_with_exit_code_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words, and as JSON with line and column."""
    file = tmp_path / "rules.yaml"
    file.write_text(f"targets: {{desk: 'slack://{SECRET}/x'}}\nrules: 3\n", encoding="utf-8")
    error = run("check", str(file)).exception
    assert isinstance(error, ConfigurationError)
    assert error.exit_code == 2
    assert f"{file}:1:17: a URL may hold secrets" in str(error)
    result = run("check", str(file), "--json")
    assert result.exit_code == 2
    places = [(p["line"], p["column"]) for p in json.loads(result.output)["problems"]]
    assert places == [(1, 17), (2, 8)]
    monkeypatch.delenv("FUNDING_ALERT_RULES", raising=False)
    assert "set FUNDING_ALERT_RULES" in str(run("check").exception)


@pytest.mark.parametrize(
    ("paths", "named", "code", "reason"),
    [
        (("/good", "/good"), (), 0, ""),
        (("/good", "/bad"), (), 1, "the service answered with status 403"),
        (("/bad", "/bad"), (), 3, "the service answered with status 403"),
        (("/good", "/bad"), ("desk",), 0, ""),
    ],
)
def test_a_test_message_goes_to_each_target(
    hook: tuple[str, list[dict[str, object]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    paths: tuple[str, str],
    named: tuple[str, ...],
    code: int,
    reason: str,
) -> None:
    """Exit code 1 where some do not take it, 3 where none does."""
    url, bodies = hook
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    monkeypatch.setenv("FUNDING_ALERT_RULES", str(tmp_path / "rules.yaml"))
    for target, path in zip(("DESK", "SPARE"), paths, strict=True):
        monkeypatch.setenv(f"FUNDING_ALERT_URL_{target}", url + path)
    result = run("test", *named, "--json")
    assert result.exit_code == code
    trials = json.loads(result.output)
    assert len(trials) == len(named or paths)
    assert {trial["reason"] for trial in trials if not trial["ok"]} == ({reason} - {""})
    assert [body["title"] for body in bodies] == ["fundingstream: test"] * len(bodies)
    assert all(str(body["alert_id"]).startswith("test/") for body in bodies)
    words = run("test", *named).output
    assert ("does not have it" in words) == (code > 0)


def test_a_target_that_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that the file does not have, and a URL that apprise does not know."""
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    monkeypatch.setenv("FUNDING_ALERT_RULES", str(tmp_path / "rules.yaml"))
    monkeypatch.setenv("FUNDING_ALERT_URL_DESK", "json://127.0.0.1:1/")
    monkeypatch.setenv("FUNDING_ALERT_URL_SPARE", "json://127.0.0.1:1/")
    assert "did you mean `desk`?" in str(run("test", "dsk").exception)
    for url in (f"nothing://{SECRET}", f"json://a/{SECRET} json://b/", "   "):
        monkeypatch.setenv("FUNDING_ALERT_URL_SPARE", url)
        error = run("test").exception
        assert isinstance(error, ConfigurationError)
        assert "target spare: FUNDING_ALERT_URL_SPARE is not one URL" in str(error)
