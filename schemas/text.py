"""Text from outside (exchanges, servers, users), made fit for a log, a terminal or a record."""

from __future__ import annotations

MAX_LINE_CHARS = 200
_CONTROLS = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"
}


def one_line(text: str, limit: int = MAX_LINE_CHARS) -> str:
    """Return the text as one line of at most `limit` characters, all of them printable.

    Runs of white space and of characters that cannot be printed become one space.
    """
    # Cut first: what came may be very long.
    printable_only = (c if c.isprintable() else " " for c in text[: 4 * limit])
    return " ".join("".join(printable_only).split())[:limit]


def printable(text: str) -> str:
    r"""Return the text as a terminal may get it: control characters are written as `\x1b`.

    Line ends and tabs stay.
    """
    return text.translate(_CONTROLS)
