"""The users of the server and their passwords: `default` reads, `fundingstream` writes.

The writer's password comes from the environment, or is a random one in a file that only the owner
of the data directory can read. What each user may do is defined in roles.py.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.embedded.clickhouse.errors import AUTHENTICATION_FAILED, ClickHouseError
from infra.embedded.clickhouse.roles import Role
from schemas.errors import ConfigurationError

READER_NAME = "default"
WRITER_NAME = "fundingstream"
WRITER_VARIABLE = "FUNDING_CLICKHOUSE_PASSWORD"
READER_VARIABLE = "FUNDING_CLICKHOUSE_READER_PASSWORD"
SECRET_NAME = "writer.secret"  # noqa: S105 - a file's name
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user's name and password. An empty password is ClickHouse's default."""

    user: str = READER_NAME
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Users:
    """The two users of a server."""

    reader: Credentials
    writer: Credentials

    def role_of(self, given: Credentials) -> Role:
        """Return the role that goes with the given credentials.

        The comparison takes the same time wherever the credentials differ.

        Raises:
            ClickHouseError: nobody has these credentials.
        """
        writes = _same(given, self.writer)
        if self.reader.password:
            reads = _same(given, self.reader)
        else:
            # As in ClickHouse, a user without a password accepts any: some drivers always send one.
            reads = given.user == self.reader.user
        if writes and self.writer.password:
            return Role.WRITER
        if reads:
            return Role.READER
        raise _refused(given.user)


def credentials_of(headers: Mapping[str, str], query: Mapping[str, str]) -> Credentials:
    """Return a request's credentials: of ClickHouse's headers, basic authentication or the URL."""
    user = headers.get("X-ClickHouse-User")
    if user is not None:
        return Credentials(user, headers.get("X-ClickHouse-Key", ""))
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, ValueError) as error:
            raise _refused("unreadable") from error
        return Credentials(user, password)
    return Credentials(query.get("user", READER_NAME), query.get("password", ""))


def writer_credentials(data_dir: Path) -> Credentials:
    """Return the writer of the server whose data is in `data_dir`, with the password kept there.

    Raises:
        ConfigurationError: there is none, or it cannot be read; the message says what to do.
    """
    path = data_dir / SECRET_NAME
    try:
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the writer's secret {path} cannot be read ({type(error).__name__}): name the data"
            " directory of a ClickHouse that was started, or set FUNDING_CLICKHOUSE_USERNAME and"
            f" {WRITER_VARIABLE}"
        ) from None
    if not secret:
        raise ConfigurationError(f"the writer's secret {path} is empty: remove the file")
    return Credentials(WRITER_NAME, secret)


def ensure_writer_credentials(data_dir: Path) -> Credentials:
    """Return the same as `writer_credentials`; make a random password where there is none.

    The file with it is readable by its owner alone.

    Raises:
        ConfigurationError: the directory cannot be written.
    """
    path = data_dir / SECRET_NAME
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _write_once(path, secrets.token_urlsafe(_SECRET_BYTES))
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written ({error.strerror}): choose another --data-dir"
        ) from error
    return writer_credentials(data_dir)


def _write_once(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all; of two writers at once the first one wins."""
    staging = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(staging, path)
    finally:
        staging.unlink(missing_ok=True)


def _same(given: Credentials, wanted: Credentials) -> bool:
    # Headers may hold bytes that are not valid text.
    def differ(one: str, other: str) -> bool:
        bytes_of = (text.encode(errors="surrogateescape") for text in (one, other))
        return not hmac.compare_digest(*bytes_of)

    return not (differ(given.user, wanted.user) | differ(given.password, wanted.password))


def _refused(user: str) -> ClickHouseError:
    shown = user.encode(errors="replace").decode()[:100]
    return ClickHouseError(
        AUTHENTICATION_FAILED,
        f"{shown}: Authentication failed: password is incorrect, or there is no user with"
        " such name.",
        "AUTHENTICATION_FAILED",
    )
