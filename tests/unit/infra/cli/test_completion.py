"""What a shell is offered while a command is written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from infra.cli.completion import COMPLETE_VARIABLE
from infra.cli.main import cli
from schemas.feeds import FEEDS
from schemas.topics import all_topics
from tests.support.paths import ROOT


def offered(*words: str) -> list[str]:
    """The completions of the last word."""
    complete = ShellComplete(cli, {}, "fundingstream", COMPLETE_VARIABLE)
    return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_is_printed(shell: str) -> None:
    """It asks the console script through the variable that `main` knows."""
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0, result.output
    assert COMPLETE_VARIABLE in result.output


def test_commands_and_options_are_offered() -> None:
    """By what is written of them."""
    assert offered("mi") == ["migrate"]
    assert "--from-beginning" in offered("tail", "--fr")


def test_feeds_are_offered_where_a_feed_is_wanted() -> None:
    """As arguments, as an option, and in a list with commas."""
    assert offered("producer", "") == list(FEEDS)
    assert offered("up", "--feed", "k") == ["kucoin"]
    assert offered("simulator", "--feeds", "kucoin,binance-u") == ["kucoin,binance-usdm"]
    assert "kucoin,kucoin" not in offered("simulator", "--feeds", "kucoin,")


def test_topics_are_offered_by_their_short_or_their_full_names() -> None:
    """Whichever is begun."""
    assert offered("tail", "rat") == ["rates"]
    assert offered("tail", "funding.") == sorted(spec.name for spec in all_topics())


def test_tables_are_offered_where_one_is_wanted() -> None:
    """Those of the migrations, without asking a server."""
    assert offered("export", "zsc") == ["zscores", "zscores_once"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_a_wrong_setting_does_not_end_completion() -> None:
    """The shell would show the error in the midst of a line."""
    asked = {
        COMPLETE_VARIABLE: "bash_complete",
        "COMP_WORDS": "fundingstream mi",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "FUNDING_NO_SUCH_SETTING": "1", **asked},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout.split(), done.stderr) == (["plain,migrate"], "")
