"""Refuses requests that a web page made a browser send to one of our servers.

A page can make the browser send requests to loopback ports, with its own site as Origin, or, after
DNS rebinding, with its own name as Host. server.py and metrics_server.py ask this module before
they handle a request. It is no authentication.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit


def refusal(
    headers: Mapping[str, str],
    allowed_hosts: Collection[str] = (),
    *,
    may_be_linked: bool = False,
) -> str | None:
    """Return why a request is refused, or None. `headers` must look names up case-insensitively.

    Programs other than browsers send no Origin and no Sec-Fetch-Site, and are judged by Host alone.

    Args:
        headers: Of the request.
        allowed_hosts: Names beside addresses and localhost by which the server may be called.
        may_be_linked: Whether a person may come to it by a link on a page of another site, which
            the browser then shows instead of that page.
    """
    host = headers.get("Host", "")
    if not _is_local_name(_hostname(host), allowed_hosts):
        return f"the Host header {host!r} is not a name of this server (DNS rebinding?)"
    origin = headers.get("Origin")
    if origin is not None and _place(origin) != host.lower():
        return f"a page of {origin!r} may not use this server"
    linked = may_be_linked and _is_link(headers)
    if headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"} and not linked:
        return "a page of another site may not use this server"
    return None


def _is_link(headers: Mapping[str, str]) -> bool:
    """Tell whether the browser goes to the address itself, and not for a page in which it is."""
    wanted = headers.get("Sec-Fetch-Mode"), headers.get("Sec-Fetch-Dest")
    return wanted == ("navigate", "document")


def is_loopback(host: str) -> bool:
    """Tell whether an address to listen on is reachable from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_local_name(name: str, allowed_hosts: Collection[str]) -> bool:
    """Tell whether a host is ours. Any address is: rebinding needs a name of the attacker's."""
    if name == "localhost" or name.endswith(".localhost") or name in allowed_hosts:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _place(origin: str) -> str | None:
    """Return host and port of an origin; None where it cannot be read."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _hostname(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
