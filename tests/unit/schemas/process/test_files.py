"""A file that is replaced is the old one or the new one, and never a part of either."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.process.files import remove_leftovers, write_atomically, written_atomically


@pytest.mark.parametrize("durable", [False, True])
def test_the_text_replaces_the_file_and_nothing_else_is_left(
    *, durable: bool, tmp_path: Path
) -> None:
    """As UTF-8, and the file beside it is gone."""
    path = tmp_path / "bookmark.json"
    for text in ("é" * 10, "short", ""):
        write_atomically(path, text, durable=durable)
        assert path.read_text(encoding="utf-8") == text
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """Here the text cannot be encoded, as it could not be stored on a full disk."""
    path = tmp_path / "bookmark.json"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new \ud800")
    assert path.read_text() == "old"


def test_a_missing_directory_is_an_error_of_the_system(tmp_path: Path) -> None:
    """The caller decides what it means."""
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "name", "text")


KILLED = """
import os, signal, sys
from pathlib import Path
from schemas.process.files import written_atomically
with written_atomically(Path(sys.argv[1])) as file:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """But neither what is being written nor what others have left."""
    for name in ("mine", "other"):
        done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / name], check=False)
        assert done.returncode == -signal.SIGKILL
    mine, other = sorted(tmp_path.iterdir())
    with written_atomically(tmp_path / "mine") as file:
        file.write(b"whole")
        remove_leftovers(tmp_path, lambda name: name == "mine")
        assert not mine.exists()
    assert sorted(tmp_path.iterdir()) == [other, tmp_path / "mine"]
