"""Data directories: created, locked against a second process, checked for room on the disk.

Each embedded part has one, and so has a whole run of `fundingstream up`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from schemas.errors import ConfigurationError, UnavailableError
from schemas.process.locks import FileLock, LockedError

MIN_FREE_BYTES = 512 * 1024 * 1024
_LOCK_NAME = ".lock"


class DataDirectory:
    """Holds the lock of a data directory from construction to `close` or the end of the process."""

    def __init__(
        self, path: Path, what: str, flag: str, *, min_free_bytes: int = MIN_FREE_BYTES
    ) -> None:
        """Create and lock `path`.

        Args:
            path: The directory; made with its parents when missing.
            what: Its owner in a reader's words, as in "the ClickHouse server".
            flag: The option that changes the directory.
            min_free_bytes: The room that must be left on its disk.

        Raises:
            UnavailableError: another process holds it (the message names its pid), or the disk
                has too little room.
            ConfigurationError: there can be no such directory.
        """
        self.path = path
        try:
            self.path = path.expanduser().absolute()
            self._lock = FileLock(self.path / _LOCK_NAME)
        except LockedError as error:
            raise UnavailableError(
                f"{self.path} is in use by {error.holder}:"
                f" stop it, or give {what} its own directory with {flag}"
            ) from None
        except (ConfigurationError, RuntimeError) as error:  # RuntimeError: `~` of nobody
            raise ConfigurationError(
                f"{what} cannot use its data directory ({error}): choose another {flag}"
            ) from error
        try:
            _require_space(self.path, what, flag, min_free_bytes)
        except BaseException:
            self.close()
            raise

    @property
    def descriptor(self) -> int:
        """The descriptor of the lock. A child that inherits it keeps the lock while it lives."""
        return self._lock.descriptor

    def is_empty(self) -> bool:
        """Whether there is nothing in it but the lock."""
        return all(entry.name == _LOCK_NAME for entry in self.path.iterdir())

    def clear(self, *, keep: str = "") -> None:
        """Remove everything but the lock, which stays held, and the entry `keep`.

        Raises:
            OSError: something cannot be removed.
        """
        for entry in self.path.iterdir():
            if entry.name in {_LOCK_NAME, keep}:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def close(self) -> None:
        """Release the lock. Safe to repeat."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _require_space(path: Path, what: str, flag: str, min_free_bytes: int) -> None:
    free_bytes = shutil.disk_usage(path).free
    if free_bytes < min_free_bytes:
        raise UnavailableError(
            f"the disk of {path} has {free_bytes // 2**20} MB left and {what} needs"
            f" {min_free_bytes // 2**20} MB: make room, or choose another {flag}"
        )


def is_held(path: Path) -> bool:
    """Whether a process holds the lock of a data directory now. Creates nothing.

    Raises:
        OSError: the directory cannot be read.
    """
    lock = path / _LOCK_NAME
    if not lock.exists():
        return False
    try:
        FileLock(lock).close()
    except LockedError:
        return True
    return False
