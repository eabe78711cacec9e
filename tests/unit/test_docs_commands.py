"""What docs/deployment.md tells a person to type can be typed: commands, options, variables."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from infra.cli.main import cli
from infra.settings import known_variables
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
SERVICES = re.findall(r"^  ([\w-]+):$", COMPOSE.partition("\nservices:\n")[2], re.MULTILINE)
PROFILES = {
    name.strip()
    for listed in re.findall(r"profiles: \[(.*)\]", COMPOSE)
    for name in listed.split(",")
}
COMPOSE_OPTIONS = {"--detach", "--wait", "--volumes"}
ASSIGNMENT = re.compile(r"[A-Z]\w*=.*")


def blocks(language: str) -> list[str]:
    """The lines of the page's fenced blocks of a language."""
    found = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return [line for block in found for line in block.splitlines() if line]


def variables() -> list[tuple[str, str]]:
    """Each variable that the page sets, with its value: in files, and before commands."""
    before = [word for line in blocks("sh") for word in shlex.split(line)]
    pairs = [item.partition("=") for item in (*blocks(""), *before) if ASSIGNMENT.fullmatch(item)]
    return [(name, value) for name, _, value in pairs]


@pytest.mark.parametrize("line", blocks("sh"))
def test_a_command_is_understood(line: str) -> None:
    """By click, without running it; of Compose, services and options that the page needs."""
    words = [word for word in shlex.split(line) if not ASSIGNMENT.fullmatch(word)]
    if words[0] == "fundingstream":
        command = cli.get_command(click.Context(cli), words[1])
        assert command is not None
        command.make_context(words[1], words[2:])
        return
    assert words[:2] == ["docker", "compose"]
    match words[2:]:
        case ["exec", service, *_]:
            assert service in SERVICES
        case ["up" | "down" | "build", *options]:
            scaled = {word.partition("=")[0] for word in options if word[0] != "-"}
            assert scaled <= set(SERVICES)
            assert {word for word in options if word[0] == "-"} <= COMPOSE_OPTIONS | {"--scale"}
        case other:
            pytest.fail(f"a command that nobody has tried: {other}")


def test_every_variable_is_one() -> None:
    """Of our settings, or of the Compose section of `.env.example`."""
    listed = set(re.findall(r"^#([A-Z]\w*)=", EXAMPLE, re.MULTILINE))
    assert {name for name, _ in variables()} - listed == set()
    named = set(re.findall(r"\bFUNDING_[A-Z]\w*", PAGE)) - {"FUNDING_X", "FUNDING_X_FILE"}
    assert named - known_variables() == set()
    assert {"FUNDING_CLICKHOUSE_CLUSTER", "FUNDING_KAFKA_REPLICATION"} <= named


def test_every_profile_is_one() -> None:
    """Compose would start nothing for a profile that does not exist, and say nothing."""
    used = [value for name, value in variables() if name == "COMPOSE_PROFILES"]
    assert used
    assert {profile for value in used for profile in value.split(",")} <= PROFILES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_ours_that_a_page_names_exists(page: Path) -> None:
    """In the text as well: `fundingstream migrate`."""
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`(?:\.venv/bin/)?fundingstream ([a-z]+(?:-[a-z]+)*)", text))
    assert named <= set(cli.list_commands(click.Context(cli)))
