"""The engine's errors in the form that ClickHouse's clients read. Pure.

Errors for the person who runs the server are those of schemas/errors.py.
"""

from __future__ import annotations

import re

_CODE = re.compile(r"Code:\s*(\d+)\.")
# As ClickHouse answers them; any other code is a 500.
_BAD_REQUEST = frozenset(
    {
        6,
        25,
        26,
        27,
        33,
        36,
        38,
        41,
        42,
        43,
        44,
        46,
        47,
        48,
        50,
        53,
        62,
        70,
        72,
        73,
        115,
        117,
        130,
        158,
        179,
        184,
        215,
        349,
        372,
        386,
        457,
        469,
    }
)
_OTHER_STATUS = {
    16: 404,
    60: 404,
    81: 404,
    159: 408,
    164: 403,
    193: 403,
    202: 503,
    394: 499,
    396: 400,
    497: 403,
    516: 403,
}
_INTERNAL_STATUS = 500
STD_EXCEPTION = 1001
AUTHENTICATION_FAILED = 516


class ClickHouseError(Exception):
    """An error with ClickHouse's code, as text that begins with "Code: N. DB::Exception:"."""

    def __init__(self, code: int, message: str, name: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {message} ({name})")
        self.code = code

    @classmethod
    def from_engine(cls, text: str) -> ClickHouseError:
        """Return the error of an engine's message, in which chdb's words may precede the code."""
        error = cls(STD_EXCEPTION, text.strip(), "STD_EXCEPTION")
        found = _CODE.search(text)
        if found is not None:
            error.code = int(found.group(1))
            error.args = (text[found.start() :].strip(),)
        return error

    @property
    def status(self) -> int:
        """The HTTP status that goes with the code."""
        return http_status(self.code)


def http_status(code: int) -> int:
    """The HTTP status that ClickHouse answers an error code with."""
    if code in _BAD_REQUEST:
        return 400
    return _OTHER_STATUS.get(code, _INTERNAL_STATUS)


def too_busy(what: str) -> ClickHouseError:
    """Return the error for more work at once than the server accepts."""
    return ClickHouseError(
        202, f"Too many {what} at once: try again", "TOO_MANY_SIMULTANEOUS_QUERIES"
    )


def unknown_status() -> ClickHouseError:
    """Return the error for an INSERT of which nobody can tell whether its rows are stored."""
    return ClickHouseError(
        319,
        "An INSERT has failed, and it may be this one or another that ran at the same time: repeat"
        " it with the same insert_deduplication_token",
        "UNKNOWN_STATUS_OF_INSERT",
    )


def denied(what: str) -> ClickHouseError:
    """Return the error for something that the caller has no right to."""
    return ClickHouseError(497, what, "ACCESS_DENIED")
