"""The tree of errors that a user or an operator may see.

Every error that leaves a part of fundingstream on purpose is one of these; its message says what
is wrong, where, and what to do. The console script turns them into one line and an exit code;
anything else is a bug and shows its traceback. Each piece of I/O decides what is retried.
"""

from __future__ import annotations


class FundingStreamError(Exception):
    """Base of all errors raised on purpose. `exit_code` is what the console script returns."""

    exit_code = 1


class ConfigurationError(FundingStreamError):
    """A setting, a flag or a file that a person wrote is wrong. Retrying cannot help."""

    exit_code = 2


class UnavailableError(FundingStreamError):
    """A server or a local resource (port, disk, Java) is missing. Retrying later may help."""

    exit_code = 3


class SchemaError(FundingStreamError):
    """A record does not fit its Avro schema, or a schema is incompatible with its predecessor."""

    exit_code = 4


class MalformedInputError(FundingStreamError):
    """Bytes from outside that cannot be read: they go to the dead letters, with this message."""

    exit_code = 5


class StateError(FundingStreamError):
    """Stored state that this version cannot use (newer, or damaged)."""

    exit_code = 6


class FatalError(FundingStreamError):
    """A running part cannot go on: what it was doing has failed, and a new process may do better.

    Not for errors of start-up, which are one of the others.
    """

    exit_code = 70
