"""Files that a reader sees whole or not at all, whenever the process ends."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from schemas.errors import ConfigurationError, UnavailableError
from schemas.process.locks import is_locked

_TEMPORARY = re.compile(r"\.(.+)\.[0-9]+\.tmp")


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

    A block that fails leaves nothing behind, and what was at `path` before as it was. A process
    that is killed leaves a hidden file for `remove_leftovers`.

    Raises:
        UnavailableError: the file cannot be written.
    """
    # Behind a symbolic link lies the file that is meant.
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            with suppress(OSError):  # not every file system has locks
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file
        temporary.replace(target)
    except OSError as error:
        raise UnavailableError(f"{path} cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_leftovers(directory: Path, is_meant: Callable[[str], bool]) -> None:
    """Remove what killed processes have left of `written_atomically`.

    What another process is writing stays, and so does what cannot be opened or removed.

    Args:
        directory: Where to look.
        is_meant: Tells by the name of a file that was to be whether it is meant.

    Raises:
        OSError: the directory cannot be read.
    """
    for path in directory.iterdir():
        found = _TEMPORARY.fullmatch(path.name)
        if found is not None and is_meant(found[1]):
            with suppress(OSError, ConfigurationError):
                if not is_locked(path):
                    path.unlink()
