"""`.env.example` lists each variable of the compose files with the default that it has there.

The variables of our own settings are compared in tests/unit/infra/cli/test_main.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.cli.main import take_env_file
from infra.runs import DEMO_CONTRACTS
from tests.support.paths import ROOT

BASE = ROOT / "docker-compose.yml"
HOST_NETWORK = ROOT / "infra" / "docker" / "host-network.yml"
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
BASE_HEADING = "# read by: docker compose, which"
HOST_HEADING = f"# read by: docker compose with {HOST_NETWORK.relative_to(ROOT)}"
UNUSED = {"COMPOSE_PROFILES": ""}
"""Compose reads it itself."""
REFERENCE = re.compile(r"\$\{(\w+)(?::-([^${}]*))?\}")
LINE = re.compile(r"^#([A-Z]\w*)=(.*)$", re.MULTILINE)


def used_in(path: Path) -> dict[str, set[str]]:
    """The defaults of each variable of a compose file; a default may hold another variable."""
    text = path.read_text(encoding="utf-8").replace("$$", "")
    found: dict[str, set[str]] = {}
    while references := REFERENCE.findall(text):
        for name, default in references:
            found.setdefault(name, set()).add(default)
        text = REFERENCE.sub(lambda match: match[2] or "", text)
    assert "${" not in text, "a reference of a form that this test does not know"
    return found


def section(heading: str) -> dict[str, str]:
    """The variables under a heading, up to the next one."""
    assert EXAMPLE.count(heading) == 1
    return dict(LINE.findall(EXAMPLE.partition(heading)[2].partition("\n# read by: ")[0]))


@pytest.mark.parametrize("path", [BASE, HOST_NETWORK], ids=lambda path: path.name)
def test_a_variable_has_one_default_in_a_file(path: Path) -> None:
    """Whoever leaves it out gets one answer."""
    used = used_in(path)
    assert len(used) > 10
    assert {name: defaults for name, defaults in used.items() if len(defaults) > 1} == {}


def test_the_example_has_every_variable_of_the_compose_file() -> None:
    """Names, defaults, and nothing more; a setting of ours stands again if Compose has another."""
    used = {name: default for name, (default,) in used_in(BASE).items()}
    ours = {name for name in used if name.startswith("FUNDING_")}
    above = dict(LINE.findall(EXAMPLE.partition(BASE_HEADING)[0]))
    other = {name: used[name] for name in used if above.get(name) != used[name]}
    assert section(BASE_HEADING) == other | UNUSED
    told = EXAMPLE.partition(BASE_HEADING)[2].partition(". The other")[0]
    assert set(re.findall(r"FUNDING_\w+", told)) == ours


def test_containers_simulate_as_many_contracts_as_the_demo() -> None:
    """Unless they are told otherwise."""
    for path in (BASE, HOST_NETWORK):
        assert used_in(path)["SIMULATED_CONTRACTS"] == {str(DEMO_CONTRACTS)}


def test_the_example_has_what_the_host_s_network_adds() -> None:
    """What has the same default in both files stands once, above."""
    base = used_in(BASE)
    added = {
        name: default
        for name, (default,) in used_in(HOST_NETWORK).items()
        if base.get(name) != {default}
    }
    assert section(HOST_HEADING) == added


def test_the_whole_example_can_be_a_file_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every line in force: variables of Compose are passed over by `fundingstream`."""
    monkeypatch.chdir(tmp_path)
    lines = LINE.sub(r"\1=\2", EXAMPLE.replace("#FUNDING_ENV_FILE=.env\n", ""))
    (tmp_path / ".env").write_text(lines, encoding="utf-8")
    environment: dict[str, str] = {}
    taken = take_env_file(environment)
    assert "FUNDING_CLICKHOUSE_URL" in taken
    assert {name for name in environment if not name.startswith("FUNDING_")} == set()
