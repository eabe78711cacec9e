"""Who may use the server: user and password of a request. Pure.

Not responsible for pages in browsers (browser_guard.py).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.embedded.clickhouse.errors import ClickHouseError


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user's name and password. An empty password is ClickHouse's default."""

    user: str = "default"
    password: str = field(default="", repr=False)


def credentials_of(headers: Mapping[str, str], query: Mapping[str, str]) -> Credentials:
    """From ClickHouse's headers, else basic authentication, else the URL."""
    user = headers.get("X-ClickHouse-User")
    if user is not None:
        return Credentials(user, headers.get("X-ClickHouse-Key", ""))
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise _refused("unreadable") from error
        return Credentials(user, password)
    return Credentials(query.get("user", "default"), query.get("password", ""))


def require(given: Credentials, wanted: Credentials) -> None:
    """Raises ClickHouse's own error when they differ. Takes the same time wherever they do."""
    user = hmac.compare_digest(given.user.encode(), wanted.user.encode())
    password = hmac.compare_digest(given.password.encode(), wanted.password.encode())
    if not (user and password):
        raise _refused(given.user)


def _refused(user: str) -> ClickHouseError:
    return ClickHouseError(
        516,
        f"{user}: Authentication failed: password is incorrect, or there is no user with"
        " such name.",
        "AUTHENTICATION_FAILED",
    )
