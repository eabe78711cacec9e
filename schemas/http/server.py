"""Parts of every aiohttp server of ours: the guard against web pages, and a filter of its log.

`guard` is a middleware that asks browser_guard.py before any handler runs.
`quiet_malformed_requests` logs requests that are no HTTP in one line instead of a traceback each.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Middleware

from schemas.http.browser_guard import refusal
from schemas.text import one_line

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Refused = Callable[[str], web.StreamResponse]

TOLD_EVERY_S = 10.0
_MAX_TOLD_CHARS = 160
_SERVER_LOG = "aiohttp.server"
_MALFORMED = (HttpProcessingError, web.RequestPayloadError)


def refused_as_json(reason: str) -> web.StreamResponse:
    """Return 403 with the reason in a JSON object."""
    return web.json_response({"error": reason}, status=403)


def guard(
    allowed_hosts: Collection[str] = (),
    refused: Refused = refused_as_json,
    linked_paths: Collection[str] = (),
) -> Middleware:
    """Return a middleware that answers 403 to requests which a foreign web page may have caused.

    Args:
        allowed_hosts: Names beside addresses and localhost by which clients may call the server.
        refused: Makes the answer of a reason.
        linked_paths: What other sites may link to, for people to open.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        may_be_linked = request.method in {"GET", "HEAD"} and request.path in linked_paths
        reason = refusal(request.headers, allowed_hosts, may_be_linked=may_be_linked)
        if reason is not None:
            return refused(reason)
        return await handler(request)

    return check


class MalformedRequests(logging.Filter):
    """Turns aiohttp's traceback of a request that is no HTTP into a line, at most each 10 s.

    Errors of our own handlers pass unchanged: those are bugs.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: monotonic seconds."""
        super().__init__()
        self._clock = clock
        self._quiet_until_s = 0.0
        self._untold = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record in place; False: it is not to be logged."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, _MALFORMED):
            return True
        now_s = self._clock()
        if now_s < self._quiet_until_s:
            self._untold += 1
            return False
        self._quiet_until_s = now_s + TOLD_EVERY_S
        more = f" ({self._untold} more since the last such line)" if self._untold else ""
        self._untold = 0
        told = one_line(str(error), _MAX_TOLD_CHARS)
        record.msg, record.args = "malformed request refused%s: %s", (more, ascii(told))
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.exc_info = record.exc_text = None
        return True


def quiet_malformed_requests() -> None:
    """Install MalformedRequests for all aiohttp servers of this process. Safe to repeat."""
    server_log = logging.getLogger(_SERVER_LOG)
    if not any(isinstance(one, MalformedRequests) for one in server_log.filters):
        server_log.addFilter(MalformedRequests())
