"""The REST client of an exchange: calls within the exchange's limits, and one kind of error."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import aiohttp

from producers.exchanges.spec import Exchange, RestCall
from producers.policy.rate_limiter import RateLimiter
from schemas.clock import Clock
from schemas.config.settings import shown_url
from schemas.errors import UnavailableError
from schemas.text import one_line
from schemas.times import US_PER_MS, US_PER_S

log = logging.getLogger(__name__)

SNAPSHOT_SHARE = 0.9
FOREGROUND_SHARE = 0.8
BACKGROUND_SHARE = 0.5
"""Shares of the exchange's limits that current rates, the registry and history may use up: others
may share our address, and history never holds up the rest."""
TIMEOUT_S = 15.0
SNAPSHOT_TIMEOUT_S = 5.0
"""Time-out of a call for current rates, which are asked for again then."""
MAX_BODY_BYTES = 64 << 20
MAX_ERROR_CHARS = 500
"""Length of a failure's text: what was asked, and the beginning of what came."""
TOO_MANY_S = 60.0
BANNED_S = 300.0
FORBIDDEN_S = 60.0
"""How long no call is made after a 429, a 418 or a 403 that does not say for how long."""
CLOCK_GRAIN_S = 1.5
"""Clocks that differ by less count as equal: the header has whole seconds, and replies travel."""
CLOCKS_COMPARED = 3
"""Replies of which the smallest difference counts: a single one may have been held up."""
MIN_BLOCK_S = 1.0
MAX_BLOCK_S = 3 * 86_400.0
_WITHOUT_TERM = {429: TOO_MANY_S, 418: BANNED_S, 403: FORBIDDEN_S}


class RestError(UnavailableError):
    """A REST call failed. `status` is that of the reply; None: there was no reply."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(one_line(message, MAX_ERROR_CHARS))
        self.status = status


def barred_s(status: int, told_s: float | None) -> float | None:
    """Return for how many seconds no call may be made; None: the reply does not refuse calls.

    `told_s` is the time that the reply names (`Exchange.retry_after_s`).
    """
    without_term_s = _WITHOUT_TERM.get(status)
    if without_term_s is None:
        return None
    return without_term_s if told_s is None else bounded_s(told_s)


def bounded_s(told_s: float) -> float:
    """Return for how long no call is made where an exchange tells us to wait for so long."""
    return min(max(MIN_BLOCK_S, told_s), MAX_BLOCK_S)


def http_session(trace: aiohttp.TraceConfig | None = None) -> aiohttp.ClientSession:
    """Return the session of all calls of a process. It keeps no cookies: they have no bound.

    `trace`: is told of each request and its reply.
    """
    return aiohttp.ClientSession(
        headers={"User-Agent": "fundingstream"},
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[] if trace is None else [trace],
    )


class RestClient:
    """Calls one exchange within its limits, with one call at a time of each share.

    So a slow page of history does not hold up a call for current rates.
    """

    def __init__(
        self,
        exchange: Exchange,
        base_url: str,
        session: aiohttp.ClientSession,
        rate_limiter: RateLimiter,
        clock: Clock,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        """A reply longer than `max_body_bytes` is a failure."""
        self._exchange = exchange
        self._base_url = base_url.rstrip("/")
        self._session = session
        self._rate_limiter = rate_limiter
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._locks: defaultdict[float, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.calls = 0
        self.failures = 0
        self.refusals = 0
        """Calls that the exchange refused because there were too many."""
        self.barred_until_s = 0.0
        """Monotonic time until which the exchange refuses calls."""
        self.clock_ahead_s = 0.0
        """How far the exchange's clock is ahead of ours, to half a second; 0: they agree."""
        self._clocks_ahead_s: deque[float] = deque(maxlen=CLOCKS_COMPARED)

    @property
    def limit_used(self) -> float:
        """Which share of the exchange's limits is used now, by all who share them with us."""
        return self._rate_limiter.used(self._clock.monotonic_s())

    async def fetch(
        self, call: RestCall, share: float = FOREGROUND_SHARE, timeout_s: float = TIMEOUT_S
    ) -> bytes:
        """Return the body of a 200 reply. `share` of the limits may be used up by it.

        Raises:
            RestError: no reply, another status, too large a body, or a failure that the exchange
                reports with status 200.
        """
        while True:
            async with self._locks[share]:
                wait_s = self._rate_limiter.wait_s(call.costs, self._clock.monotonic_s(), share)
                if wait_s <= 0:
                    return await self._draw_and_fetch(call, timeout_s)
            # Outside of the lock, so that a call that waits for its pool holds up no other pool's.
            await asyncio.sleep(wait_s)

    async def _draw_and_fetch(self, call: RestCall, timeout_s: float) -> bytes:
        self._rate_limiter.draw(call.costs, self._clock.monotonic_s())
        self.calls += 1
        try:
            return await self._fetch(call, timeout_s)
        except RestError:
            self.failures += 1
            raise

    async def _fetch(self, call: RestCall, timeout_s: float) -> bytes:
        url = self._base_url + call.path
        shown = shown_url(url)
        try:
            async with self._session.request(
                call.method,
                url,
                params=dict(call.params),
                data=call.body or None,
                headers={"Content-Type": "application/json"} if call.body else None,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                # Exchanges do not redirect; a reply from elsewhere would not be the exchange's.
                allow_redirects=False,
            ) as reply:
                arrived_s = self._clock.now_us() / US_PER_S
                parts, length = [], 0
                while length <= self._max_body_bytes and (
                    part := await reply.content.read(1 << 20)
                ):
                    parts.append(part)
                    length += len(part)
                body = b"".join(parts)
                status, headers = reply.status, reply.headers
        except Exception as error:  # a reply may break the library, never the feed
            known = isinstance(error, aiohttp.ClientError | TimeoutError | OSError)
            # The text of an invalid URL would show the whole URL, which may hold a secret.
            text = str(error) if known and not isinstance(error, aiohttp.InvalidURL) else ""
            raise RestError(f"{shown}: {type(error).__name__} {text}".rstrip()) from error
        if len(body) > self._max_body_bytes:
            text = f"the reply is longer than {self._max_body_bytes} bytes"
            raise RestError(f"{shown}: {text}", status)
        self._read_clock(headers, arrived_s)
        self._rate_limiter.observe(self._exchange.used(headers), self._clock.monotonic_s())
        self._check(call, shown, status, headers, body)
        return body

    def _check(
        self, call: RestCall, shown: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Raise RestError unless a reply is usable; one that refuses calls bars the limits."""
        if status == 200:
            told_s = self._exchange.barred_s(call, headers, body)
            blocked_s = None if told_s is None else bounded_s(told_s)
        else:
            now_ms = self._clock.now_us() // US_PER_MS
            blocked_s = barred_s(status, self._exchange.retry_after_s(headers, body, now_ms))
        if blocked_s is not None:
            self.refusals += 1
            self.barred_until_s = self._clock.monotonic_s() + blocked_s
            self._rate_limiter.block(self.barred_until_s)
            log.warning("%s: HTTP %d, no call for %.0f s", shown, status, blocked_s)
        if status != 200:
            raise RestError(f"{shown}: HTTP {status}: {body[:200]!r}", status)
        if blocked_s is not None:
            raise RestError(f"{shown}: refused as one call too many: {body[:200]!r}", status)
        fault = self._exchange.fault(call, headers, body)
        if fault is not None:
            raise RestError(f"{shown}: {fault}", status)

    def _read_clock(self, headers: Mapping[str, str], arrived_s: float) -> None:
        """Compare the clocks when the headers arrived, unless a cache has kept the reply.

        The header has whole seconds, so on average it is half a one late.
        """
        try:
            theirs_s = parsedate_to_datetime(headers.get("Date", "")).timestamp() + 0.5
        except (ValueError, TypeError, OverflowError):
            return
        if headers.get("Age", "0") != "0":
            return
        self._clocks_ahead_s.append(theirs_s - arrived_s)
        ahead_s = min(self._clocks_ahead_s, key=abs)
        self.clock_ahead_s = ahead_s if abs(ahead_s) > CLOCK_GRAIN_S else 0.0
