"""What can be varied in a simulator process, for all of its feeds.

Responsible for: the options that every exchange's `create` gets, and the state that two exchanges
share. Not responsible for: what only one exchange knows (its own options), nor the command line.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from infra.simulator.binance.limits import RateLimits

HELD_BACK = 2
"""Contracts of each feed that are not listed until `/control/list`."""

NO_LIMIT = 2**62


@dataclass(frozen=True)
class SimulatorOptions:
    """One object for one process. Times on the exchanges' own documentation unless changed here.

    Attributes:
        seed: the same seed gives the same market.
        tick_ms: between two ticks of the streams that push each second.
        ping_every_s: between two protocol PINGs of the exchanges that send them; 0 never.
        retry_after: send Retry-After where an exchange is not known to (Binance).
        coinm_rows: COIN-M rows that appear in the arrays of USD-M.
        open_limits: REST without rate limits, for demos; False: as documented.
        coinm_route: what precedes `/stream` and `/ws` where COIN-M delivers.
        kucoin_push_ms: between two pushes of KuCoin's estimates.
    """

    seed: int = 1
    tick_ms: int = 1_000
    ping_every_s: float = 180.0
    retry_after: bool = False
    coinm_rows: int = 0
    coinm_route: Literal["", "/market"] = ""
    open_limits: bool = False
    kucoin_push_ms: int = 60_000

    @cached_property
    def binance_limits(self) -> RateLimits:
        """The weights of fapi and dapi: one pool since 2026-06-30 (exchanges.md 1.9)."""
        return RateLimits(NO_LIMIT, NO_LIMIT) if self.open_limits else RateLimits()
