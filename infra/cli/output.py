"""Where a command's output goes: a reader that may go away, a terminal, or a file that is whole."""

from __future__ import annotations

import os
import select
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from schemas.errors import FatalError, UnavailableError

READER_GONE_EXIT = 141
"""128 + SIGPIPE: what a shell reports of any tool whose reader, such as `head`, has gone."""

_STREAMS = (1, 2)
_NEW_FILE_MODE = 0o666


class ReaderGoneError(Exception):
    """Whatever read standard output or standard error has closed it. This is no failure."""


def check_reader() -> None:
    """End a command that waits for something to print once its reader has gone.

    Raises:
        ReaderGoneError: nobody reads standard output or standard error any more.
    """
    if _reader_has_gone():
        raise ReaderGoneError


@contextmanager
def broken_pipes_named() -> Iterator[None]:
    """Tell a reader that has gone from any other connection that breaks.

    Raises:
        ReaderGoneError: in place of BrokenPipeError, where standard output or error is that pipe.
        FatalError: in place of BrokenPipeError, where it is another connection.
    """
    try:
        yield
    except BrokenPipeError as error:
        raise _named(error) from error
    except BaseExceptionGroup as group:
        if group.subgroup(BrokenPipeError) is None:
            raise
        raise _named(group) from group


def let_go_of_streams() -> None:
    """Send to nowhere what is still buffered; else it would raise when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in _STREAMS:
        with suppress(OSError):
            os.dup2(nowhere, stream)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears under its name once the `with` block has ended well, and is whole.

    Until then it has another name in the same directory; a block that fails leaves nothing behind.

    Raises:
        UnavailableError: the file cannot be written.
    """
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    temporary = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            # mkstemp makes a file that only its owner reads; this one is as any other.
            os.fchmod(file.fileno(), _NEW_FILE_MODE & ~_umask())
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _reader_has_gone() -> bool:
    poll = select.poll()
    for stream in _STREAMS:
        poll.register(stream, 0)
    # A pipe without a reader has an error, a socket or a terminal without one is hung up.
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _named(error: BaseException) -> Exception:
    if _reader_has_gone():
        return ReaderGoneError()
    return FatalError(f"a connection broke while it was written to ({error}): try again")


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _unwritable(path: Path, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"{path} cannot be written ({error.strerror or error}): make room or give another place"
    )


def is_terminal() -> bool:
    """Whether a person sees standard output."""
    return sys.stdout is not None and sys.stdout.isatty()
