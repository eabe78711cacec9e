"""Canonical assets: XBT is BTC, 1000PEPE and kPEPE are PEPE with a multiplier of 1000.

These spellings are the market's, the same on every exchange that uses them. Multipliers change
prices and sizes, never the rate. How an exchange joins base and quote in a symbol is told by the
`split_symbol` of its normaliser.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

_SYNONYMS = {"XBT": "BTC", "XXBT": "BTC"}
_HOME_LISTING = ".US"
"""How some exchanges mark the shares that others list by their name alone."""
_POWER = re.compile(r"^(1(?:000)+|10000)(?=[A-Z]{2,}|[^\x00-\x7f])(.+)$")
_KILO = re.compile(r"^k([A-Z][A-Z0-9]*)$")
_MEGA = re.compile(r"^1M([A-Z]{3,})$")


@lru_cache(maxsize=1 << 14)
def canonical_asset(name: str) -> tuple[str, float]:
    """Return (asset, multiplier) of an exchange's base asset name.

    AAPL.US is AAPL; shares listed in another country have another price and keep their ending.

    1INCH stays 1INCH: only powers of a thousand and 10000 count, before two letters or more.
    """
    if len(name) > len(_HOME_LISTING):
        name = name.removesuffix(_HOME_LISTING)
    if match := _KILO.match(name):
        return _SYNONYMS.get(match[1], match[1]), 1_000.0
    if match := _MEGA.match(name):
        return match[1], 1_000_000.0
    if match := _POWER.match(name):
        return _SYNONYMS.get(match[2], match[2]), float(match[1])
    return _SYNONYMS.get(name, name), 1.0


def split_at_ending(symbol: str, endings: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Return (base, quote) of a symbol by the first of its possible endings, each with its quote.

    A symbol with none of them, or with nothing before it, is the base, and has no quote.
    """
    for ending, quote in endings:
        if symbol.endswith(ending) and len(symbol) > len(ending):
            return symbol[: -len(ending)], quote
    return symbol, ""
