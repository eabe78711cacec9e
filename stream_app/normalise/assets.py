"""Canonical assets: XBT is BTC, 1000PEPE and kPEPE are PEPE with a multiplier of 1000.

Names and rules of this module mean the same on every exchange that uses them; what one exchange
means by a name stands in its `FeedSpec.assets` and goes before. Multipliers change prices and
sizes, never the rate. How an exchange joins base and quote in a symbol is told by the
`split_symbol` of its normaliser. Which assets are kept apart although their names look alike is in
docs/decisions/base-assets.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from schemas.asset_names import NO_OWN_NAMES, AssetNames, Meant

NAMES: Mapping[str, Meant] = {
    "XBT": Meant("BTC", 1.0, "the code that follows ISO 4217, in which X marks no country"),
    "XXBT": Meant("BTC", 1.0, "the same with one more X, which marks a currency"),
    "XCU": Meant("COPPER", 1.0, "the metal's code, beside the word"),
    "TONCOIN": Meant("TON", 1.0, "the coin's name in place of its ticker (ccxt: commonCurrencies)"),
    "MATIC": Meant("POL", 1.0, "renamed on 2024-09-04, 1 MATIC = 1 POL (notices of exchanges)"),
    "RNDR": Meant("RENDER", 1.0, "renamed in 2024, 1 RNDR = 1 RENDER (notices of exchanges)"),
    "FTM": Meant("S", 1.0, "Fantom became Sonic in January 2025, 1 FTM = 1 S (notices)"),
    "KLAY": Meant("KAIA", 1.0, "renamed on 2024-10-31, 1 KLAY = 1 KAIA (notices of exchanges)"),
    "LUNA2": Meant("LUNA", 1.0, "Terra since 2022; the older coin is LUNC (GoCryptoTrader)"),
    "NEIROCTO": Meant("NEIRO", 1.0, "First Neiro on Ethereum, which others call NEIRO"),
    "BEAMX": Meant("BEAM", 1.0, "Beam of Merit Circle; the ticker had been taken by another"),
    "DODOX": Meant("DODO", 1.0, "DODO; the name in the list of contracts has one letter more"),
    "RONIN": Meant("RON", 1.0, "the chain's name in place of its coin's ticker"),
    "RAYSOL": Meant("RAY", 1.0, "Raydium; the name of its chain stands behind the ticker"),
    "SHIB1000": Meant("SHIB", 1_000.0, "the multiplier stands behind the name"),
    "1000X": Meant("X", 1_000.0, "X Empire by the thousand: one letter is too short for the rule"),
    "SPX500": Meant("SP500", 1.0, "the S&P 500; SPX alone is a coin"),
    "US500": Meant("SP500", 1.0, "the S&P 500, as brokers call it"),
    "US100": Meant("NAS100", 1.0, "the Nasdaq 100, as brokers call it"),
    "USTECH": Meant("NAS100", 1.0, "the Nasdaq 100, as brokers call it"),
}
"""Names that stand for another one, on whichever exchange, each with its reason."""

_HOME_LISTING = ".US"
"""How some exchanges mark the shares that others list by their name alone."""
_POWER = re.compile(r"^(10{3,7})(?=[A-Z]{2,}|[^\x00-\x7f])(.+)$")
_KILO = re.compile(r"^k([A-Z][A-Z0-9]*)$")
_MEGA = re.compile(r"^1M([A-Z]{3,})$")


def canonical_asset(name: str, own: AssetNames = NO_OWN_NAMES) -> tuple[str, float]:
    """Return (asset, multiplier) of an exchange's base asset name.

    AAPL.US is AAPL; shares listed in another country have another price and keep their ending.
    1INCH stays 1INCH: only powers of ten from a thousand on count, before two letters or more.

    Args:
        name: As the exchange writes it.
        own: What the exchange means by names that mean something else elsewhere.
    """
    if (meant := own.names.get(name)) is not None:
        return meant.asset, meant.multiplier
    for ending in own.share_endings:
        if name.endswith(ending) and len(name) > len(ending):
            return name.removesuffix(ending), 1.0
    return _by_rules(name)


@lru_cache(maxsize=1 << 14)
def _by_rules(name: str) -> tuple[str, float]:
    """Take one unit or ending off after the other, until the name is an asset's own."""
    asset, multiplier = name, 1.0
    while (found := _one_less(asset)) is not None:
        asset, multiplier = found[0], multiplier * found[1]
    return asset, multiplier


def _one_less(name: str) -> tuple[str, float] | None:
    """Return what a name stands for, by one entry or rule; None for an asset's own name."""
    if (meant := NAMES.get(name)) is not None:
        return meant.asset, meant.multiplier
    if len(name) > len(_HOME_LISTING) and name.endswith(_HOME_LISTING):
        return name.removesuffix(_HOME_LISTING), 1.0
    if match := _KILO.match(name):
        return match[1], 1_000.0
    if match := _MEGA.match(name):
        return match[1], 1_000_000.0
    if match := _POWER.match(name):
        return match[2], float(match[1])
    return None


def split_at_ending(symbol: str, endings: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Return (base, quote) of a symbol by the first of its possible endings, each with its quote.

    A symbol with none of them, or with nothing before it, is the base, and has no quote.
    """
    for ending, quote in endings:
        if symbol.endswith(ending) and len(symbol) > len(ending):
            return symbol[: -len(ending)], quote
    return symbol, ""
