"""The console script: every command has help, every setting is documented."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from infra.cli.main import _COMMANDS, cli
from infra.cli.output import READER_GONE_EXIT
from infra.settings import known_variables
from schemas.errors import ConfigurationError, FundingStreamError
from tests.support.paths import ROOT


@pytest.mark.parametrize("command", _COMMANDS)
def test_a_command_explains_itself(command: str) -> None:
    """--help of each command says what it does and exits 0."""
    result = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 3


def test_the_list_of_commands_is_complete() -> None:
    """`fundingstream --help` names every command."""
    output = CliRunner().invoke(cli, ["--help"]).output
    assert [name for name in _COMMANDS if name not in output] == []


def test_every_exit_code_is_documented() -> None:
    """In `fundingstream --help` and in the README."""
    output = CliRunner().invoke(cli, ["--help"]).output
    told = set(map(int, re.findall(r"^\s+(\d+)  +\S", output, re.MULTILINE)))
    kinds = {kind.exit_code for kind in FundingStreamError.__subclasses__()}
    assert told == {0, FundingStreamError.exit_code, 130, READER_GONE_EXIT} | kinds
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = readme[readme.index("Exit codes: ") :].partition("\n\n")[0]
    assert told == set(map(int, re.findall(r"(?<!\w)(\d+) ", listed)))


def test_every_setting_stands_in_the_example() -> None:
    """`.env.example` has exactly the variables that some part reads."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert set(re.findall(r"^#?(FUNDING_\w+)=", text, re.MULTILINE)) == known_variables()


def test_the_real_exchanges_limits_cannot_be_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ban is told of before the first call."""
    monkeypatch.setenv("FUNDING_PRODUCER_LIMIT_FACTOR", "50")
    monkeypatch.delenv("FUNDING_EXCHANGE_BASE_URL", raising=False)
    result = CliRunner().invoke(cli, ["producer", "kucoin"])
    assert isinstance(result.exception, ConfigurationError)
    assert "FUNDING_PRODUCER_LIMIT_FACTOR" in str(result.exception)


@pytest.mark.parametrize("text", ["3", "0/2", "3/2", "a/b", "1/2/3", ""])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    """Before anything runs; the message shows the form."""
    result = CliRunner().invoke(cli, ["producer", "--share", text])
    assert result.exit_code == 2
    assert "write K/N, as in 1/3" in result.output


@pytest.mark.parametrize("other", [["--live"], ["--contracts", "5"]])
def test_every_contract_is_a_number_of_simulated_ones(other: list[str]) -> None:
    """`up --all` names it, so nothing else can."""
    result = CliRunner().invoke(cli, ["up", "--all", *other])
    assert result.exit_code == 2
    assert "without --live and --contracts" in result.output
