"""Where an exchange is reached: at its own addresses, or below the root of simulated ones. Pure.

Not responsible for: which paths there are (exchanges/).
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from schemas.errors import MalformedInputError


class Endpoints:
    """Translates the addresses of one exchange's description."""

    def __init__(self, feed: str, root: str) -> None:
        """`root` is the simulator's URL; "" means the exchange itself."""
        self._root = urlsplit(root.rstrip("/")) if root else None
        self._below = f"{self._root.path}/{feed}" if self._root else ""

    def rest(self, url: str) -> str:
        """Return the base of REST paths."""
        if self._root is None:
            return url
        return urlunsplit((self._root.scheme, self._root.netloc, self._below, "", ""))

    def socket(self, url: str) -> str:
        """Return where a WebSocket URL leads.

        A simulated exchange that names itself in a reply is taken at its word, as to the path; no
        other host is ever connected to.

        Raises:
            MalformedInputError: the URL is none, or an exchange's without TLS.
        """
        try:
            parts = urlsplit(url)
            host = parts.hostname
        except ValueError:
            host = None
        if not host or parts.scheme not in {"ws", "wss"}:
            raise MalformedInputError("not a WebSocket URL")
        if self._root is None:
            if parts.scheme != "wss":
                raise MalformedInputError("a WebSocket URL without TLS")
            return url
        own = parts.netloc == self._root.netloc and parts.path.startswith(f"{self._below}/")
        path = parts.path if own else self._below + (parts.path or "/")
        scheme = "wss" if self._root.scheme == "https" else "ws"
        return urlunsplit((scheme, self._root.netloc, path, parts.query, ""))
