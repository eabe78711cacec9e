"""What is traded and held of a simulated contract: 24 h turnover and open interest. Pure.

Both are functions of feed, symbol and time, like every other number of the market: a level from the
name, and a slow wave, so that they change from one quarter of an hour to the next.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from typing import NamedTuple

_SMALLEST_USD = 20_000.0
_LARGEST_USD = 4e9
_PERIOD_MS = 6 * 3_600_000
_GRID_MS = 60_000
"""The numbers change once a minute."""


class Liquidity(NamedTuple):
    """Amounts in the quote currency."""

    turnover_24h: float
    open_interest: float


def liquidity(feed: str, symbol: str, at_ms: int) -> Liquidity:
    """Return what was traded of a contract in the 24 h before a time, and what is held then."""
    return _at_minute(feed, symbol, at_ms // _GRID_MS)


@lru_cache(maxsize=1 << 14)
def _at_minute(feed: str, symbol: str, minute: int) -> Liquidity:
    digest = hashlib.blake2b(f"{feed}:{symbol}/liquidity".encode(), digest_size=16).digest()
    level, share = (int.from_bytes(part, "big") / 2**64 for part in (digest[:8], digest[8:]))
    # Most contracts are small: the logarithm is far from evenly spread.
    turnover = _SMALLEST_USD * (_LARGEST_USD / _SMALLEST_USD) ** (level**2)
    phase = 2 * math.pi * (minute * _GRID_MS / _PERIOD_MS + share)
    wave = 1 + 0.2 * math.sin(phase)
    return Liquidity(turnover * wave, turnover * (0.1 + 0.5 * share) * (2 - wave))
