"""A file that is replaced is the old one or the new one, and never a part of either."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.process.files import write_atomically


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
