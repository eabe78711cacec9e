"""Files that a reader sees whole or not at all, whenever the process ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, text: str, *, durable: bool = False) -> None:
    """Replace the file at `path` by one with this text, in one step.

    The text is first written to a file beside it, named with the suffix `.tmp`; there may be only
    one writer at a time.

    Args:
        path: The file; its directory must exist.
        text: What it holds afterwards, encoded as UTF-8.
        durable: Wait until the text is on the disk, so that it outlives a crash of the machine.

    Raises:
        OSError: the file cannot be written; the old one stays as it was.
    """
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)


@contextmanager
def written_atomically(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to for the time of the `with` block, which becomes `path` at its end.

    A block that fails leaves nothing behind, and what was at `path` before as it was.

    Raises:
        OSError: the file cannot be written.
    """
    # Behind a symbolic link lies the file that is meant.
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
