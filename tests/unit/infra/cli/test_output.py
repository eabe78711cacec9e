"""A command whose reader has gone ends quietly, as other tools of a shell do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra.cli.output import READER_GONE_EXIT, ReaderGoneError, json_text, output_errors_named
from schemas.errors import FatalError, UnavailableError


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


@given(st.text())
@example("\x1b[2J\x7f\x9b\u202e")
def test_json_steers_no_terminal(text: str) -> None:
    """An exchange may write what it likes; a script reads the same text all the same."""
    line = json_text({text: [text]})
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == {text: [text]}


def test_another_connection_that_breaks_is_a_failure() -> None:
    """A server that hangs up is not the reader of the output."""
    with pytest.raises(FatalError, match="a connection broke"), output_errors_named():
        raise BrokenPipeError(32, "Broken pipe")


def test_other_errors_pass() -> None:
    """And so does the end of a reader that is known already."""
    with pytest.raises(ReaderGoneError), output_errors_named():
        raise ReaderGoneError
    with pytest.raises(ConnectionResetError), output_errors_named():
        raise ConnectionResetError


@pytest.mark.parametrize("arguments", [["--help"], ["config", "--json"], ["completion", "bash"]])
def test_a_full_disk_is_one_line(arguments: list[str]) -> None:
    """No traceback, and the exit code of what may pass later."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "infra.cli", *arguments],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert done.returncode == UnavailableError.exit_code
    assert done.stderr == (
        "fundingstream: the output cannot be written (No space left on device): "
        "make room, or write it elsewhere\n"
    )
