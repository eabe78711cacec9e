"""The markets of the simulated dYdX, as docs/exchanges/dydx.md §3 and §5 list them.

Active markets, some of which have the long names of permissionless listings, and between them dead
ones: in final settlement, or without an oracle price. Nothing here changes with time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from infra.simulator.market import universe
from infra.simulator.market.universe import Asset, Contract

PERPETUALS = 250
_DEAD_OF = 7  # one dead market for so many active ones
_LONG_EVERY = 40
_CAP_UNITS = 1_000_000  # 1 %/h; the list tells no caps
_MAX_SYMBOL = 64
_PREFIX = re.compile(r"(1(?:000)+|1M)(?=[A-Z]{3,})")


def contracts(perpetuals: int, held_back: int) -> tuple[Contract, ...]:
    """All markets, dead ones (`frozen`) among them, then what is held back."""
    assets = _assets()
    listed = [
        _market(position, *next(assets), frozen=position % (_DEAD_OF + 1) == _DEAD_OF)
        for position in range(perpetuals + perpetuals // _DEAD_OF)
    ]
    held = [_market(len(listed) + n, *next(assets), frozen=False) for n in range(held_back)]
    return (*listed, *held)


def has_price(contract: Contract) -> bool:
    """Whether a dead market still has an oracle price: every other one is in final settlement."""
    return not contract.frozen or len(contract.symbol) % 2 == 0


def _market(position: int, asset: Asset, price_usd: float, *, frozen: bool) -> Contract:
    symbol = f"{asset.name}-USD"
    if position % _LONG_EVERY == _LONG_EVERY - 2:
        digest = hashlib.blake2b(asset.name.encode(), digest_size=20).hexdigest()
        long = f"{asset.name},uniswap_v3,0x{digest}-USD"
        symbol = long if len(long) <= _MAX_SYMBOL else symbol
    return Contract(
        symbol=symbol,
        asset=asset,
        quote="USD",
        kind="crypto",
        interval_hours=1,
        cap_units=_CAP_UNITS,
        behaviour=universe.behaviour(position),
        price_usd=price_usd,
        frozen=frozen,
    )


def _assets() -> Iterator[tuple[Asset, float]]:
    """Crypto assets by the coin, with the price of one: there are no multipliers (§3)."""
    for asset in universe.crypto_assets():
        prefix = _PREFIX.match(asset.name)
        units = 1 if prefix is None else int(prefix[1].replace("1M", "1000000"))
        name = asset.name[prefix.end() :] if prefix else asset.name
        if name.isascii():
            yield Asset(name, tradfi=False), universe.price_usd(asset) / units
