"""Translates an exchange's addresses to those of the simulator, where one is used. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from schemas.errors import MalformedInputError


class Endpoints:
    """The addresses at which one exchange is reached."""

    def __init__(self, feed: str, root: str) -> None:
        """`root` is the URL of the simulator; "" means that the real exchange is used."""
        self._root = urlsplit(root.rstrip("/")) if root else None
        self._below = f"{self._root.path}/{feed}" if self._root else ""

    def rest(self, url: str) -> str:
        """Return the URL to which the paths of REST calls are appended."""
        if self._root is None:
            return url
        return urlunsplit((self._root.scheme, self._root.netloc, self._below, "", ""))

    def socket(self, url: str) -> str:
        """Return the WebSocket URL to connect to.

        With a simulator, the host is always the simulator's. A URL that a simulated exchange names
        in a reply keeps its path if it already points below the simulator's root.

        Raises:
            MalformedInputError: not a WebSocket URL, or a real exchange's without TLS.
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
