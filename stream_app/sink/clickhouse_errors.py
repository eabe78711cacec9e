"""What an error of ClickHouse means for the sink: the one place that decides what is retried."""

from __future__ import annotations

import re
from enum import Enum

from schemas.text import one_line as text_line

_CODE = re.compile(r"Code:\s*(\d+)")
_SYSTEM_ERROR = re.compile(r"\[Errno -?\d+\] ([^\"')]+)")
_LINE_MAX = 400

# Numbers of src/Common/ErrorCodes.cpp, which ClickHouse never reassigns.
_REFUSED = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        32,  # ATTEMPT_TO_READ_AFTER_EOF
        33,  # CANNOT_READ_ALL_DATA
        53,  # TYPE_MISMATCH
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        117,  # INCORRECT_DATA
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        407,  # DECIMAL_OVERFLOW
        469,  # VIOLATED_CONSTRAINT
        691,  # UNKNOWN_ELEMENT_OF_ENUM
    }
)
_READONLY = 164
_ACCESS_DENIED = 497
_UNKNOWN_STATEMENT = frozenset({48, 62})  # NOT_IMPLEMENTED, SYNTAX_ERROR
_MISSING = frozenset({16, 60, 81})  # NO_SUCH_COLUMN_IN_TABLE, UNKNOWN_TABLE, UNKNOWN_DATABASE
_CONSTRAINT = 452  # SETTING_CONSTRAINT_VIOLATION: a profile forbids to change a setting
# Users, passwords, rights.
_DENIED = frozenset({192, 193, 194, 291, _CONSTRAINT, 492, _ACCESS_DENIED, 516})
_TRANSIENT = frozenset(
    {
        3,  # UNEXPECTED_END_OF_FILE
        74,  # CANNOT_READ_FROM_FILE_DESCRIPTOR
        75,  # CANNOT_WRITE_TO_FILE_DESCRIPTOR
        115,  # UNKNOWN_SETTING: this server is of another version than the one that was asked
        159,  # TIMEOUT_EXCEEDED
        160,  # TOO_SLOW
        _READONLY,  # a server may be switched to it for a while
        201,  # QUOTA_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        225,  # NO_ZOOKEEPER
        236,  # ABORTED
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS
        279,  # ALL_CONNECTION_TRIES_FAILED
        285,  # TOO_FEW_LIVE_REPLICAS
        286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
        289,  # REPLICA_IS_NOT_IN_QUORUM
        319,  # UNKNOWN_STATUS_OF_INSERT
        341,  # UNFINISHED: a replica is away
        394,  # QUERY_WAS_CANCELLED
        416,  # REPLICA_STATUS_CHANGED
        517,  # CANNOT_ASSIGN_ALTER: this replica has not had the one before
        999,  # KEEPER_EXCEPTION
    }
)
# Also 252, but of the data: rows of more than a hundred days at once. Halves pass.
_TOO_MANY_PARTITIONS = "Too many partitions for single INSERT block"


class Fault(Enum):
    """What to do about an error."""

    TRANSIENT = "transient"
    """Retry the same insert, for as long as it takes."""
    REFUSED = "refused"
    """The rows themselves: look for the bad ones."""
    MISSING = "missing"
    """A database, table or column is not there: somebody has to migrate; retry until then."""
    DENIED = "denied"
    """User, password or rights: somebody has to give them; retry until then."""
    UNKNOWN = "unknown"
    """An error of the server that is none of these: retry a few times, then look at the rows."""


def classify(error: Exception) -> Fault:
    """Tell what an exception of the client means. Without a code, the server was not reached."""
    code = code_of(error)
    if code is None:
        return Fault.TRANSIENT
    if code in _REFUSED or _TOO_MANY_PARTITIONS in str(error):
        return Fault.REFUSED
    if code in _TRANSIENT:
        return Fault.TRANSIENT
    if code in _MISSING:
        return Fault.MISSING
    return Fault.DENIED if code in _DENIED else Fault.UNKNOWN


def code_of(error: Exception) -> int | None:
    """Return the number of the server's error; None: it is the client's own."""
    match = _CODE.search(str(error))
    return None if match is None else int(match.group(1))


def is_read_only_refusal(error: Exception) -> bool:
    """Whether the server refused a statement because it, or its user, may only read."""
    return code_of(error) in {_READONLY, _ACCESS_DENIED}


def is_unknown_statement(error: Exception) -> bool:
    """Whether the server does not know this kind of statement."""
    return code_of(error) in _UNKNOWN_STATEMENT


def one_line(error: Exception) -> str:
    """Return the server's words, or the system's, as one line of bounded length."""
    text = str(error)
    code = _CODE.search(text)
    system = _SYSTEM_ERROR.search(text)
    if code:
        text = text[code.start() :].partition(" (version ")[0]
    elif system:
        text = system.group(1)
    return text_line(text, _LINE_MAX) or type(error).__name__
