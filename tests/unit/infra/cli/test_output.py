"""A command whose reader has gone ends quietly, as other tools of a shell do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra.cli.output import READER_GONE_EXIT, ReaderGoneError, broken_pipes_named
from schemas.errors import FatalError


@pytest.mark.parametrize("arguments", [["--help"], ["sql", "--help"], ["config"], ["--version"]])
def test_a_command_without_a_reader_says_nothing(arguments: list[str], tmp_path: Path) -> None:
    """No traceback, and the exit code that a shell shows of a broken pipe."""
    with subprocess.Popen(
        [sys.executable, "-m", "infra.cli", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(30) == READER_GONE_EXIT


def test_another_connection_that_breaks_is_a_failure() -> None:
    """A server that hangs up is not the reader of the output."""
    with pytest.raises(FatalError, match="a connection broke"), broken_pipes_named():
        raise BrokenPipeError(32, "Broken pipe")


def test_other_errors_pass() -> None:
    """And so does the end of a reader that is known already."""
    with pytest.raises(ReaderGoneError), broken_pipes_named():
        raise ReaderGoneError
    with pytest.raises(ConnectionResetError), broken_pipes_named():
        raise ConnectionResetError
