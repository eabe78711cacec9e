"""What becomes of a command whose output finds no reader, such as `head`, or no room."""

from __future__ import annotations

import errno
import json
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from schemas.errors import FatalError, UnavailableError

READER_GONE_EXIT = 141
"""128 + SIGPIPE: what a shell reports of any tool whose reader, such as `head`, has gone."""

_STREAMS = (1, 2)
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ReaderGoneError(Exception):
    """Whatever read standard output or standard error has closed it. This is no failure."""


def check_reader() -> None:
    """End a command that waits for something to print once its reader has gone.

    Raises:
        ReaderGoneError: nobody reads standard output or standard error any more.
    """
    if _reader_has_gone():
        raise ReaderGoneError


def json_text(document: Any, default: Callable[[Any], Any] | None = None) -> str:
    """Return a document as one line of JSON that a terminal may get, whatever is in its texts.

    All but printable ASCII is escaped, so that neither a control character nor a change of the
    direction of writing from an exchange reaches a terminal.

    Args:
        document: What is written.
        default: Returns what json can write for a value that it cannot.
    """
    # DEL is ASCII to json. Outside of its texts there is none.
    return json.dumps(document, default=default).replace("\x7f", "\\u007f")


@contextmanager
def output_errors_named() -> Iterator[None]:
    """Tell a reader that has gone, and a disk that is full, from any other failure.

    Raises:
        ReaderGoneError: in place of BrokenPipeError, where standard output or error is that pipe.
        FatalError: in place of BrokenPipeError, where it is another connection.
        UnavailableError: in place of an OSError that says that there is no room to write.
    """
    try:
        yield
    except BrokenPipeError as error:
        raise _named(error) from error
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        _drop_what_cannot_be_written()
        raise UnavailableError(
            f"the output cannot be written ({error.strerror}): make room, or write it elsewhere"
        ) from error
    except BaseExceptionGroup as group:
        if group.subgroup(BrokenPipeError) is None:
            raise
        raise _named(group) from group


def let_go_of_streams() -> None:
    """Send to nowhere what is still buffered; else it would raise when the interpreter ends."""
    for stream in _STREAMS:
        _lead_nowhere(stream)


def _drop_what_cannot_be_written() -> None:
    """Forget what standard output still holds, where it is what has no room.

    Else it would raise once more when the interpreter ends.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        _lead_nowhere(sys.stdout.fileno())


def _lead_nowhere(stream: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError):
        os.dup2(nowhere, stream)
    os.close(nowhere)


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
