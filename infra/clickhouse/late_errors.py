r"""Finds the error that ClickHouse writes into an answer that it has begun to send. Pure.

Once the first rows are on their way, the status of the answer is 200 whatever happens next. From
version 25.11 on the server then ends its answer with a marker that no data holds, since it names a
random tag that the answer's headers told before: `\r\n__exception__\r\n<tag>\r\n`, the error,
its length, and the same in reverse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from clickhouse_connect.driver.exceptions import DatabaseError
from urllib3.exceptions import HTTPError

TAG_HEADER = "X-ClickHouse-Exception-Tag"
_MAX_ERROR_BYTES = 1 << 16


def without_late_error(blocks: Iterable[bytes], tag: str | None) -> Iterator[bytes]:
    """Yield the data of an answer, and nothing of the marker, wherever blocks are cut.

    Args:
        blocks: The answer as it comes.
        tag: The value of its header `TAG_HEADER`; None: an older server, which marks nothing.

    Raises:
        DatabaseError: the answer ended in an error of the server; with the server's own words.
    """
    if not tag:
        yield from blocks
        return
    opening = b"\r\n__exception__\r\n" + tag.encode() + b"\r\n"
    held = b""
    rest = iter(blocks)
    for block in rest:
        held += block
        at = held.find(opening)
        if at >= 0:
            if at:
                yield held[:at]
            error = _all_of(held[at + len(opening) :], rest)
            raise DatabaseError(_message(error, tag))
        begun = _begun(held, opening)
        if len(held) > begun:
            yield held[: len(held) - begun]
            held = held[len(held) - begun :]
    if held:
        yield held


def _begun(held: bytes, opening: bytes) -> int:
    """Return how many of the last bytes may be the beginning of the marker."""
    longest = min(len(held), len(opening) - 1)
    return next((n for n in range(longest, 0, -1) if held.endswith(opening[:n])), 0)


def _all_of(begun: bytes, rest: Iterator[bytes]) -> bytes:
    """Return the error with what still comes of it; the server hangs up after it."""
    try:
        for block in rest:
            begun += block
            if len(begun) > _MAX_ERROR_BYTES:
                break
    except (HTTPError, OSError):
        pass
    return begun


def _message(error: bytes, tag: str) -> str:
    """Return the server's words without what closes them: their length and the tag."""
    text = error.decode("utf-8", "replace")
    return re.sub(rf"\s*\d+ {re.escape(tag)}\s*(?:__exception__)?\s*$", "", text).strip()
