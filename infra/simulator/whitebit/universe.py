"""The markets of the simulated WhiteBIT, as docs/exchanges/whitebit.md §3 and §5 list them.

Crypto and TradFi perpetuals in the proportions of the real exchange, delisted ones that only the
socket still knows, and some spot markets. Nothing here changes with time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from infra.simulator.market import universe
from infra.simulator.market.universe import Asset, Contract

PERPETUALS = 397
_TRADFI = 93
_EIGHT_HOURS = 173  # the others settle every 4 h
DELISTED = ("HOOK", "MKR", "OMNI", "RDNT", "IP", "ICX", "PI")
"""Bases of markets that no list names, and that the socket pushes all the same (§2)."""
SPOTS = ("BTC_USDT", "SOL_USDT", "CAT_USDT")
_LOW_CAPS, _MIDDLE_CAPS = 13, 6
_LOW_CAP, _MIDDLE_CAP, _CAP = 375_000, 750_000, 2_000_000
_PREFIX = re.compile(r"(1(?:000)+|1M)(?=[A-Z]{3,})")


def contracts(perpetuals: int, held_back: int) -> tuple[Contract, ...]:
    """All perpetuals, then delisted ones (kind `foreign`), then what is held back."""
    tradfi_count = perpetuals * _TRADFI // PERPETUALS
    crypto, tradfi = _crypto(), _tradfi()
    listed = []
    for position in range(perpetuals):
        is_tradfi = _nth(position, tradfi_count, perpetuals)
        listed.append(_perpetual(position, *next(tradfi if is_tradfi else crypto)))
    gone = [_delisted(name) for name in DELISTED]
    held = [_perpetual(perpetuals + n, *next(crypto)) for n in range(held_back)]
    return (*listed, *gone, *held)


def base_of(contract: Contract) -> str:
    """The base of a market: there are no multipliers (§3)."""
    return contract.symbol.removesuffix("_PERP")


def _perpetual(position: int, asset: Asset, price_usd: float) -> Contract:
    return Contract(
        symbol=f"{asset.name}_PERP",
        asset=asset,
        quote="USDT",
        kind="tradfi" if asset.tradfi else "crypto",
        interval_hours=8 if _nth(position, _EIGHT_HOURS, PERPETUALS) else 4,
        cap_units=_cap_units(position),
        behaviour=universe.behaviour(position),
        price_usd=price_usd,
    )


def _delisted(name: str) -> Contract:
    asset = Asset(name, tradfi=False)
    return Contract(
        symbol=f"{name}_PERP",
        asset=asset,
        quote="USDT",
        kind="foreign",
        interval_hours=8,
        cap_units=_CAP,
        behaviour="resting",
        price_usd=universe.price_usd(asset),
    )


def _cap_units(position: int) -> int:
    """±0.375 % on 13 perpetuals, BTC and ETH among them, ±0.75 % on 6, else ±2 % (§3)."""
    if position < _LOW_CAPS:
        return _LOW_CAP
    return _MIDDLE_CAP if position < _LOW_CAPS + _MIDDLE_CAPS else _CAP


def _crypto() -> Iterator[tuple[Asset, float]]:
    """Crypto assets by the coin, with the price of one: `PEPE`, where others list `1000PEPE`."""
    for asset in universe.crypto_assets():
        prefix = _PREFIX.match(asset.name)
        units = 1 if prefix is None else int(prefix[1].replace("1M", "1000000"))
        name = asset.name[prefix.end() :] if prefix else asset.name
        if name.isascii() and name not in DELISTED:
            yield Asset(name, tradfi=False), universe.price_usd(asset) / units


def _tradfi() -> Iterator[tuple[Asset, float]]:
    for asset in universe.tradfi_assets():
        yield asset, universe.price_usd(asset)


def _nth(position: int, count: int, total: int) -> bool:
    """Whether the position is one of `count` that are spread evenly over `total`."""
    return (position + 1) * count // total > position * count // total
