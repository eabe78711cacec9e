"""What becomes of a command when the reader of its output, such as `head`, has gone."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from schemas.errors import FatalError

READER_GONE_EXIT = 141
"""128 + SIGPIPE: what a shell reports of any tool whose reader, such as `head`, has gone."""

_STREAMS = (1, 2)


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
