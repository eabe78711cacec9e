"""A lock file that one process at a time holds; others learn the process id of the holder.

The lock is the kernel's (flock), so it is released when the process ends, by kill -9 too. The file
itself stays; its content, the holder's process id, only serves the error message.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from schemas.errors import ConfigurationError, UnavailableError

_PID_BYTES = 32


class LockedError(UnavailableError):
    """Another process holds the lock. `pid` is its process id, None where it is not known."""

    def __init__(self, path: Path, pid: int | None) -> None:
        self.path = path
        self.pid = pid
        super().__init__(f"{path} is locked by {self.holder}: stop it first")

    @property
    def holder(self) -> str:
        """The other process as a message names it: `another process (pid 7)`."""
        return "another process" + ("" if self.pid is None else f" (pid {self.pid})")


class FileLock:
    """Holds the lock from construction to `close`, the end of the `with` block or the process."""

    def __init__(self, path: Path, *, wait: bool = False) -> None:
        """Make the file and its directory where they are missing, and lock it.

        Args:
            path: The lock file.
            wait: Wait until nobody else holds it, however long that takes.

        Raises:
            LockedError: another process holds it, or another FileLock of this one.
            ConfigurationError: there can be no lock file at `path`; the message says why.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (OSError, ValueError) as error:  # ValueError: a null byte in the path
            reason = getattr(error, "strerror", None) or error
            raise ConfigurationError(f"{str(path)!r} cannot be written ({reason})") from error
        try:
            _lock(descriptor, path, wait=wait)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor: int | None = descriptor

    @property
    def descriptor(self) -> int:
        """The open file: a child process that inherits it keeps the lock while it lives."""
        assert self._descriptor is not None, "the lock has been given back"
        return self._descriptor

    def close(self) -> None:
        """Give the lock back. Safe to repeat."""
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


def is_locked(path: Path) -> bool:
    """Tell whether a process holds the lock. The file is not made where it is missing.

    The answer takes the lock for a moment, shared with others that ask. Who wants it just then is
    refused, and should try once more.

    Raises:
        ConfigurationError: the file cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be opened ({error.strerror})") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock(descriptor: int, path: Path, *, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise LockedError(path, _holder(descriptor)) from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} is on a file system without locks ({error.strerror})"
        ) from error
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    except OSError:
        # On a full disk the lock holds all the same; only its holder is not known to others.
        return


def _holder(descriptor: int) -> int | None:
    """Return the process id in the file; None while its holder has not written it."""
    written = os.pread(descriptor, _PID_BYTES, 0)
    return int(written) if written.isdigit() else None
