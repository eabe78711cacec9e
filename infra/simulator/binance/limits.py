"""Binance's REST limits (docs/exchanges/binance-usdm.md §9): what one client address has used.

Weights and the funding pool are counted; too much is refused with 429 and then 418. One instance
can serve USD-M and COIN-M, which share a pool since 2026-06-30.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from infra.simulator.options import NO_LIMIT, SimulatorOptions

_MINUTE_MS = 60_000
_POOL_WINDOW_MS = 300_000
_MAX_CLIENTS = 1_024
_TOLERATED_REFUSALS = 10  # requests after a 429 within its minute that do not yet earn a ban
_FIRST_BAN_MS = 120_000
_LONGEST_BAN_MS = 3 * 86_400_000


@dataclass(slots=True)
class _Usage:
    minute: int = 0
    weight: int = 0
    refusals: int = 0
    pool_window: int = 0
    pool_calls: int = 0
    bans: int = 0
    banned_until_ms: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request passes (`status` 200), and what to tell the client."""

    status: int
    used_weight: int
    message: str = ""
    retry_after_s: int = 0


class RateLimits:
    """Counts per client address; the least recently seen of more than 1,024 are forgotten."""

    def __init__(self, weight_per_minute: int = 2_400, pool_per_5_minutes: int = 500) -> None:
        self._weight_per_minute = weight_per_minute
        self._pool_per_5_minutes = pool_per_5_minutes
        self._clients: OrderedDict[str, _Usage] = OrderedDict()

    def charge(self, client_ip: str, weight: int, now_ms: int, *, pooled: bool = False) -> Verdict:
        """Book one request; `pooled` ones also count against 500 requests in 5 minutes."""
        usage = self._usage(client_ip, now_ms)
        if now_ms < usage.banned_until_ms:
            return _banned(client_ip, usage, now_ms)
        usage.weight += weight
        usage.pool_calls += pooled
        limit, wait_ms = "", 0
        if usage.weight > self._weight_per_minute:
            limit = f"{self._weight_per_minute} requests per minute"
            wait_ms = _MINUTE_MS - now_ms % _MINUTE_MS
        elif pooled and usage.pool_calls > self._pool_per_5_minutes:
            limit = f"{self._pool_per_5_minutes} requests per 5 minutes"
            wait_ms = _POOL_WINDOW_MS - now_ms % _POOL_WINDOW_MS
        if not limit:
            return Verdict(200, usage.weight)
        usage.refusals += 1
        if usage.refusals > _TOLERATED_REFUSALS:
            ban_ms = min(_FIRST_BAN_MS * 2**usage.bans, _LONGEST_BAN_MS)
            usage.bans = min(usage.bans + 1, 16)
            usage.banned_until_ms = now_ms + ban_ms
            return _banned(client_ip, usage, now_ms)
        message = (
            f"Too many requests; current limit of IP({client_ip}) is {limit}. "
            "Please use the websocket for live updates to avoid polling the API."
        )
        return Verdict(429, usage.weight, message, -(-wait_ms // 1_000))

    def _usage(self, client_ip: str, now_ms: int) -> _Usage:
        usage = self._clients.setdefault(client_ip, _Usage())
        self._clients.move_to_end(client_ip)
        if len(self._clients) > _MAX_CLIENTS:
            self._clients.popitem(last=False)
        if usage.minute != now_ms // _MINUTE_MS:
            usage.minute, usage.weight, usage.refusals = now_ms // _MINUTE_MS, 0, 0
        if usage.pool_window != now_ms // _POOL_WINDOW_MS:
            usage.pool_window, usage.pool_calls = now_ms // _POOL_WINDOW_MS, 0
        return usage


def shared_limits(options: SimulatorOptions) -> RateLimits:
    """Return the limits that fapi and dapi of a process have in common: one pool."""
    limits = (NO_LIMIT, NO_LIMIT) if options.open_limits else ()
    return options.shared(RateLimits, lambda: RateLimits(*limits))


def _banned(client_ip: str, usage: _Usage, now_ms: int) -> Verdict:
    message = (
        f"Way too many requests; IP({client_ip}) banned until {usage.banned_until_ms}. "
        "Please use the websocket for live updates to avoid bans."
    )
    return Verdict(418, usage.weight, message, -(-(usage.banned_until_ms - now_ms) // 1_000))
