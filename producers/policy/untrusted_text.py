"""Text that an exchange may have written, made fit for one line of a log or of a journal."""

from __future__ import annotations

MAX_TOLD_CHARS = 200


def one_line(text: str, limit: int = MAX_TOLD_CHARS) -> str:
    """Return a text as one line of at most `limit` characters, all of which can be printed."""
    # Cut first: what came may be very long.
    printable = (c if c.isprintable() else " " for c in text[: 4 * limit])
    return " ".join("".join(printable).split())[:limit]
