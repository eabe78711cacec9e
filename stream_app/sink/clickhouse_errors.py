"""What an error of ClickHouse means for the sink: the one place that decides what is retried."""

from __future__ import annotations

import re
from enum import Enum

from schemas.text import one_line as text_line

_CODE = re.compile(r"Code:\s*(\d+)")
_SYSTEM_ERROR = re.compile(r"\[Errno -?\d+\] ([^\"')]+)")
_LINE_MAX = 400

# Numbers and names of src/Common/ErrorCodes.cpp. A number keeps its meaning over versions.
REFUSED_CODES = {
    6: "CANNOT_PARSE_TEXT",
    27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    32: "ATTEMPT_TO_READ_AFTER_EOF",
    33: "CANNOT_READ_ALL_DATA",
    53: "TYPE_MISMATCH",
    69: "ARGUMENT_OUT_OF_BOUND",
    70: "CANNOT_CONVERT_TYPE",
    117: "INCORRECT_DATA",
    321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    407: "DECIMAL_OVERFLOW",
    469: "VIOLATED_CONSTRAINT",
    691: "UNKNOWN_ELEMENT_OF_ENUM",
    748: "AVRO_EXCEPTION",
}
_READONLY = 164
_ACCESS_DENIED = 497
_UNKNOWN_STATEMENT = frozenset({48, 62})  # NOT_IMPLEMENTED, SYNTAX_ERROR
# NO_SUCH_COLUMN_IN_TABLE, UNKNOWN_TABLE, UNKNOWN_DATABASE, TABLE_IS_DROPPED: while it was written.
_MISSING = frozenset({16, 60, 81, 218})
_CONSTRAINT = 452  # SETTING_CONSTRAINT_VIOLATION: a profile forbids to change a setting
# Users, passwords, addresses, rights; a user who has expired, or lacks a second factor.
_DENIED = frozenset({192, 193, 194, 195, 291, _CONSTRAINT, 492, _ACCESS_DENIED, 516, 720, 767})
TRANSIENT_CODES = {
    3: "UNEXPECTED_END_OF_FILE",
    24: "CANNOT_WRITE_TO_OSTREAM",
    74: "CANNOT_READ_FROM_FILE_DESCRIPTOR",
    75: "CANNOT_WRITE_TO_FILE_DESCRIPTOR",
    76: "CANNOT_OPEN_FILE",
    77: "CANNOT_CLOSE_FILE",
    95: "CANNOT_READ_FROM_SOCKET",
    96: "CANNOT_WRITE_TO_SOCKET",
    115: "UNKNOWN_SETTING",  # this server is of another version than the one that was asked
    159: "TIMEOUT_EXCEEDED",
    160: "TOO_SLOW",
    164: "READONLY",  # a server may be switched to it for a while
    172: "CANNOT_CREATE_DIRECTORY",
    173: "CANNOT_ALLOCATE_MEMORY",
    198: "DNS_ERROR",
    201: "QUOTA_EXCEEDED",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    203: "NO_FREE_CONNECTION",
    204: "CANNOT_FSYNC",
    209: "SOCKET_TIMEOUT",
    210: "NETWORK_ERROR",
    214: "CANNOT_STATVFS",
    225: "NO_ZOOKEEPER",
    236: "ABORTED",
    241: "MEMORY_LIMIT_EXCEEDED",
    242: "TABLE_IS_READ_ONLY",
    243: "NOT_ENOUGH_SPACE",
    244: "UNEXPECTED_ZOOKEEPER_ERROR",
    252: "TOO_MANY_PARTS",
    254: "NO_ACTIVE_REPLICAS",
    265: "NO_AVAILABLE_REPLICA",
    275: "AIO_WRITE_ERROR",
    279: "ALL_CONNECTION_TRIES_FAILED",
    285: "TOO_FEW_LIVE_REPLICAS",
    286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
    289: "REPLICA_IS_NOT_IN_QUORUM",
    294: "CANNOT_WRITE_TO_FILE",
    308: "UNEXPECTED_NODE_IN_ZOOKEEPER",
    319: "UNKNOWN_STATUS_OF_INSERT",
    341: "UNFINISHED",  # a replica is away
    364: "RECEIVED_ERROR_TOO_MANY_REQUESTS",  # of an object store
    384: "PART_IS_TEMPORARILY_LOCKED",
    394: "QUERY_WAS_CANCELLED",
    400: "CANNOT_STAT",
    416: "REPLICA_STATUS_CHANGED",
    425: "SYSTEM_ERROR",
    439: "CANNOT_SCHEDULE_TASK",  # no thread is free
    473: "DEADLOCK_AVOIDED",
    499: "S3_ERROR",
    500: "AZURE_BLOB_STORAGE_ERROR",
    517: "CANNOT_ASSIGN_ALTER",  # this replica has not had the one before
    586: "CANNOT_CREATE_FILE",
    660: "HDFS_ERROR",
    667: "NOT_INITIALIZED",  # a table of a server that is starting
    677: "THREAD_WAS_CANCELED",
    693: "AWS_ERROR",
    696: "ASYNC_LOAD_CANCELED",
    700: "USER_SESSION_LIMIT_EXCEEDED",
    722: "ASYNC_LOAD_WAIT_FAILED",  # a table of a server that is starting
    733: "TABLE_IS_BEING_RESTARTED",
    735: "QUERY_WAS_CANCELLED_BY_CLIENT",
    745: "SERVER_OVERLOADED",
    749: "TCP_CONNECTION_LIMIT_REACHED",
    762: "HTTP_CONNECTION_LIMIT_REACHED",
    774: "TABLE_IS_PERMANENTLY_READ_ONLY",  # until somebody mends it
    776: "RESOURCE_LIMIT_EXCEEDED",
    777: "MEMORY_RESERVATION_KILLED",
    778: "MEMORY_RESERVATION_FAILED",
    999: "KEEPER_EXCEPTION",
    # Errors of the libraries within a server, of its network and disks among others.
    1000: "POCO_EXCEPTION",
    1001: "STD_EXCEPTION",
    1002: "UNKNOWN_EXCEPTION",
}
# Also 252, but of the data: rows of more than a hundred days at once. Halves pass.
_TOO_MANY_PARTITIONS = "Too many partitions for single INSERT block"
# Also 1001, where the server gives what its Avro library throws no number of its own.
_NO_AVRO = "avro::Exception"


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
    of_the_rows = any(words in str(error) for words in (_TOO_MANY_PARTITIONS, _NO_AVRO))
    if code in REFUSED_CODES or of_the_rows:
        return Fault.REFUSED
    if code in TRANSIENT_CODES:
        return Fault.TRANSIENT
    if code in _MISSING:
        return Fault.MISSING
    return Fault.DENIED if code in _DENIED else Fault.UNKNOWN


def code_of(error: Exception) -> int | None:
    """Return the number of the server's error; None: it is the client's own."""
    match = _CODE.search(str(error))
    return None if match is None else int(match.group(1))


def is_read_only(error: Exception) -> bool:
    """Whether the server refused a statement since nothing but reading is allowed."""
    return code_of(error) == _READONLY


def is_access_denied(error: Exception) -> bool:
    """Whether the user lacks a right that a statement needs."""
    return code_of(error) == _ACCESS_DENIED


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
