"""Canonical assets: XBT is BTC, 1000PEPE and kPEPE are PEPE with a multiplier of 1000.

Multipliers change prices and sizes, never the rate (exchanges.md §0.3.12). Not responsible for:
splitting a symbol into base and quote where the exchange does not say.
"""

from __future__ import annotations

import re
from functools import lru_cache

_SYNONYMS = {"XBT": "BTC", "XXBT": "BTC"}
_POWER = re.compile(r"^(1(?:000)+|10000)(?=[A-Z]{2,}|[^\x00-\x7f])(.+)$")
_KILO = re.compile(r"^k([A-Z][A-Z0-9]*)$")
_MEGA = re.compile(r"^1M([A-Z]{3,})$")


@lru_cache(maxsize=1 << 14)
def canonical_asset(name: str) -> tuple[str, float]:
    """Return (asset, multiplier) of an exchange's base asset name.

    1INCH stays 1INCH: only powers of a thousand and 10000 count, before two letters or more.
    """
    if match := _KILO.match(name):
        return _SYNONYMS.get(match[1], match[1]), 1_000.0
    if match := _MEGA.match(name):
        return match[1], 1_000_000.0
    if match := _POWER.match(name):
        return _SYNONYMS.get(match[2], match[2]), float(match[1])
    return _SYNONYMS.get(name, name), 1.0


_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD1", "USDE", "USD", "BTC", "ETH", "U")
_SUFFIXES = {"USD_PERP": "USD", "USDTM": "USDT", "USDCM": "USDC", "USDM": "USD"}
"""Endings that name their quote: else DOTUSDM and DOTUSD_PERP would end in TUSD."""

_ENDINGS = (*_SUFFIXES.items(), *((quote, quote) for quote in _QUOTES))


def split_symbol(symbol: str) -> tuple[str, str]:
    """Guess (base, quote) of a symbol, until the exchange's facts arrive.

    As in BTCUSDT, BTCUSD_PERP (exchanges.md §2.5), XBTUSDTM (§3.4), xyz:NVDA (§4.6) and
    BTC_USDC_PERP (§5.3).
    """
    dex, _, coin = symbol.rpartition(":")
    if dex:
        return coin, ""
    base, _, quote = symbol.removesuffix("_PERP").rpartition("_")
    if base and quote in _QUOTES:
        return base, quote
    for ending, quote in _ENDINGS:
        if symbol.endswith(ending) and len(symbol) > len(ending):
            return symbol[: -len(ending)], quote
    return symbol, ""
