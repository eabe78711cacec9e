"""A part's data directory: created, locked against a second process, and on a disk with room.

Not responsible for what is stored in it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from schemas.errors import ConfigurationError, UnavailableError

MIN_FREE_BYTES = 512 * 1024 * 1024
_LOCK_NAME = ".lock"


class DataDirectory:
    """Holds the lock of a data directory from construction to `close` (or the process's end).

    The lock is the kernel's (flock), so a kill -9 leaves nothing to clean up.
    """

    def __init__(
        self, path: Path, what: str, flag: str, *, min_free_bytes: int = MIN_FREE_BYTES
    ) -> None:
        """Creates and locks `path`; each failure is one line with the way out.

        Args:
            path: The directory; made with its parents when missing.
            what: Its owner in a reader's words, as in "the ClickHouse server".
            flag: The option that changes the directory.
            min_free_bytes: The room that must be left on its disk.
        """
        self.path = path.expanduser().absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            descriptor = os.open(self.path / _LOCK_NAME, flags, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"{what} cannot use {self.path} ({error.strerror}): choose another {flag}"
            ) from error
        try:
            _lock(descriptor, self.path, what, flag)
            _require_space(self.path, what, flag, min_free_bytes)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor: int | None = descriptor

    @property
    def descriptor(self) -> int:
        """The lock's descriptor: a child that inherits it keeps the lock while it lives."""
        assert self._descriptor is not None, "the directory is closed"
        return self._descriptor

    def close(self) -> None:
        """Gives the lock back. Idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _lock(descriptor: int, path: Path, what: str, flag: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        raise UnavailableError(
            f"{path} is in use by another process{f' (pid {owner})' if owner else ''}:"
            f" stop it, or give {what} its own directory with {flag}"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} is on a file system without locks ({error.strerror}):"
            f" choose another {flag} for {what}"
        ) from error
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    except OSError:
        # A full disk: the lock itself holds, and the next check names the disk.
        return


def _require_space(path: Path, what: str, flag: str, min_free_bytes: int) -> None:
    free_bytes = shutil.disk_usage(path).free
    if free_bytes < min_free_bytes:
        raise UnavailableError(
            f"the disk of {path} has {free_bytes // 2**20} MB left and {what} needs"
            f" {min_free_bytes // 2**20} MB: make room, or choose another {flag}"
        )
