"""Small files that a reader sees whole or not at all, whenever the process ends."""

from __future__ import annotations

import os
from pathlib import Path


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
