"""Types of settings that check what people write: addresses, URLs and names.

Every value passes such a check before a client of Kafka, the registry or ClickHouse gets it. A
check returns the value or raises ValueError, whose text says what is expected and never repeats the
value, since that may be a secret in the wrong variable.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from functools import partial
from ipaddress import AddressValueError, IPv6Address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

HOSTNAME = "hostname"
_MAX_URL_CHARS = 2_048
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*\.?")
_PRINTABLE = re.compile(r"[!-~]+")
_PORT = re.compile(r"[0-9]{1,5}")
_MAX_PORT = 65_535
_NAME = re.compile(r"[A-Za-z0-9._-]*")


def host(text: str) -> str:
    """Check a host name, an IPv4 or an IPv6 address."""
    if not _HOST.fullmatch(text) and not _is_ipv6(text):
        raise ValueError("is no host name and no IP address")
    return text


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return "%" not in text  # A zone is a matter of one machine, and not every client knows it.


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and 0 < int(text) <= _MAX_PORT


def bootstrap(text: str) -> str:
    """Check Kafka's bootstrap servers: HOST:PORT, several with commas between."""
    for server in text.split(","):
        name, colon, port = server.rpartition(":")
        if not colon or not _is_port(port):
            raise ValueError("is not HOST:PORT, or several with commas between")
        if name.startswith("[") and name.endswith("]") and _is_ipv6(name[1:-1]):
            continue
        if not _HOST.fullmatch(name):
            raise ValueError("has a server whose host is no name and no address")
    return text


def url(text: str, *, credentials: str, path: bool) -> str:
    """Check an http(s) URL of a host, without user, password, query and fragment.

    Args:
        text: The URL. A slash at its end is taken away.
        credentials: What to do instead, when the URL seems to hold a user or a password.
        path: Whether there may be one behind the host.
    """
    if "@" in text:
        # Behind the host as well: a password with a slash in it ends there.
        raise ValueError(f"has a user or a password in it: {credentials}")
    if len(text) > _MAX_URL_CHARS or not _PRINTABLE.fullmatch(text):
        raise ValueError(f"is no URL of at most {_MAX_URL_CHARS} printable ASCII characters")
    if "?" in text or "#" in text:
        raise ValueError(f"takes nothing behind `?` or `#`: {credentials}")
    scheme, _, rest = text.partition("://")
    if scheme.lower() not in {"http", "https"} or not _is_place(rest.partition("/")[0]):
        raise ValueError("is no http(s) URL with a host, as in http://127.0.0.1:8080")
    shortened = text.rstrip("/")
    if not path and urlsplit(shortened).path:
        raise ValueError("takes no path behind the host")
    return shortened


def _is_place(text: str) -> bool:
    """Tell whether `text` is the HOST or HOST:PORT of a URL."""
    if text.startswith("["):
        name, bracket, port = text[1:].partition("]")
        return bool(bracket) and _is_ipv6(name) and (not port or _is_port(port.removeprefix(":")))
    name, colon, port = text.partition(":")
    return _HOST.fullmatch(name) is not None and (not colon or _is_port(port))


def urls(text: str, check: Callable[[str], str]) -> str:
    """Check several URLs with commas between."""
    return ",".join(check(item) for item in text.split(","))


def url_or_nothing(text: str, check: Callable[[str], str]) -> str:
    """Check a URL that need not be given."""
    return check(text) if text else text


def name(text: str) -> str:
    """Check a name that becomes a part of Kafka's own names, which know this alphabet only."""
    if not _NAME.fullmatch(text):
        raise ValueError("may have letters, digits, `.`, `_` and `-` only")
    return text


def member_name(text: str) -> str:
    """Check a member's name in a group; the word `hostname` stands for this machine's name.

    A container's host name is its id, so that each of several alike has a name of its own.
    """
    return name(socket.gethostname() if text == HOSTNAME else text)


Host = Annotated[str, AfterValidator(host)]
"""An address to listen on."""
Directory = Annotated[str, Field(min_length=1, max_length=4_096)]
Bootstrap = Annotated[str, AfterValidator(bootstrap)]
Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(name)]
NameOrNothing = Annotated[str, Field(max_length=100), AfterValidator(name)]
RegistryUrls = Annotated[
    str,
    AfterValidator(
        partial(
            urls,
            check=partial(
                url,
                credentials="set FUNDING_REGISTRY_USERNAME and FUNDING_REGISTRY_PASSWORD",
                path=True,
            ),
        )
    ),
]
ClickHouseUrl = Annotated[
    str,
    AfterValidator(
        partial(
            url,
            credentials="set FUNDING_CLICKHOUSE_USERNAME and FUNDING_CLICKHOUSE_PASSWORD",
            path=False,
        )
    ),
]
ExchangeBaseUrl = Annotated[
    str,
    AfterValidator(
        partial(url_or_nothing, check=partial(url, credentials="leave them out", path=True))
    ),
]
