"""How much one address may ask: a budget that fills up again, and few requests at the same time."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection

from aiohttp import web
from aiohttp.typedefs import Middleware

from schemas.clock import Clock
from schemas.http.server import Handler

REQUESTS_PER_S = 200.0
BURST = 2_000.0
"""A page that is opened asks for some eighty files at once; several people may share a proxy."""
MAX_ADDRESSES = 10_000
MAX_BODY_BYTES = 4_096
MAX_AT_ONCE = 100
"""Requests that are being answered, of all addresses together; the sockets of `/live` apart."""


class Budgets:
    """A token bucket for each address, of the newest addresses."""

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def draw(self, address: str, now_s: float) -> float:
        """Take one request from an address' budget; return seconds to wait, 0: it may pass."""
        left, at_s = self._left.pop(address, (self._burst, now_s))
        left = min(self._burst, left + (now_s - at_s) * self._per_s)
        wait_s = 0.0 if left >= 1 else (1 - left) / self._per_s
        self._left[address] = (left if wait_s else left - 1, now_s)
        if len(self._left) > MAX_ADDRESSES:
            self._left.popitem(last=False)
        return wait_s


class Load:
    """What is being answered now, and what was refused."""

    def __init__(self) -> None:
        self.at_once = 0
        self.refused = 0
        self.answers: Counter[int] = Counter()
        """How many requests were answered, by status."""
        self.connections_refused = 0


def limited(clock: Clock, load: Load, live_path: str, probes: Collection[str]) -> Middleware:
    """Return a middleware that refuses what is more than a page or a script needs.

    `probes`: what supervisors ask. Viewers must not make a healthy process look dead to them.
    """
    requests = Budgets(REQUESTS_PER_S, BURST)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in probes and request.content_length in {None, 0}:
            return await handler(request)
        wait_s = requests.draw(request.remote or "", clock.monotonic_s())
        if wait_s:
            load.refused += 1
            return refused(429, "too many requests: wait a moment", wait_s)
        if (request.content_length or 0) > MAX_BODY_BYTES:
            load.refused += 1
            return refused(413, f"no request needs more than {MAX_BODY_BYTES} bytes of body")
        if request.path == live_path:
            return await handler(request)
        if load.at_once >= MAX_AT_ONCE:
            load.refused += 1
            return refused(503, "too many requests at once: try again in a moment", 1.0)
        load.at_once += 1
        try:
            return await handler(request)
        finally:
            load.at_once -= 1

    return check


def refused(status: int, reason: str, retry_after_s: float = 0.0) -> web.Response:
    """Return a refusal with its reason, and when to ask again."""
    response = web.json_response({"error": reason}, status=status)
    if retry_after_s:
        response.headers["Retry-After"] = str(max(1, round(retry_after_s)))
    if status == 413:
        response.force_close()
    return response
