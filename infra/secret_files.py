"""Passwords in files, for containers that share a directory."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from schemas.errors import ConfigurationError
from schemas.process.files import write_atomically

_SECRET_BYTES = 32
_READABLE = 0o444


def ensure_secret(path: Path, variable: str) -> str:
    """Write the value of an environment variable, or a random password where there is no file yet.

    The file can be read by whoever enters its directory: the servers of several containers run as
    users of their own.

    Args:
        path: The file.
        variable: The variable that may hold the password; empty: none does.

    Returns:
        What was done, for a person.

    Raises:
        ConfigurationError: it cannot be written.
    """
    given = os.environ.get(variable, "") if variable else ""
    try:
        kept = not given and path.exists()
        if not kept:
            write_atomically(path, given or secrets.token_urlsafe(_SECRET_BYTES))
        path.chmod(_READABLE)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written ({error.strerror})") from error
    if kept:
        return "kept"
    return f"the value of {variable}" if given else "a random password"
