"""The contracts of the simulated OKX (docs/exchanges/okx.md §3, §5).

Swaps in USDT, USDC and coins, a swap of the pre-market, one for tests, and X-Perps, which are
futures with funding. Nothing here changes with time.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import replace

from infra.simulator.market import universe
from infra.simulator.market.universe import Asset, Contract

SWAPS = 482
"""On 2026-09-19; 273 of them settled every 8 h, 208 every 4 h, one every hour."""
X_PERPS = 192
_OF_8_H = 273
_INVERSE_EVERY, _USDC_EVERY = 23, 17
_TURNING = 2
"""The swap whose interval goes from 8 h to 4 h and back, every 20 days."""
_HOURLY = 7
_LOT = re.compile(r"\A(1(?:000)+|1M)(?=[A-Z])")
_X_PERP_ENDS = dt.datetime(2031, 4, 4, 8, tzinfo=dt.UTC)
PRE_MARKET, TEST = "SPACEX-USDT-SWAP", "TEST-USDT-SWAP"


def contracts(swaps: int, start_ms: int, held_back: int = 0) -> tuple[Contract, ...]:
    """All contracts: swaps, those that are not to be read, X-Perps, then what is held back."""
    assets, bases = _assets(), list[tuple[Asset, float]]()
    listed = [_swap(position, assets, bases) for position in range(swaps + held_back)]
    if swaps > _TURNING:
        changes = universe.turns(start_ms, (8, 0), (4, 0))
        listed[_TURNING] = replace(listed[_TURNING], interval_hours=8, clock_changes=changes)
    others = [_other(PRE_MARKET), _other(TEST)]
    count = max(1, swaps * X_PERPS // SWAPS)
    x_perps = [_x_perp(asset, price_usd) for asset, price_usd in bases[:count]]
    return (*listed[:swaps], *others, *x_perps, *listed[swaps:])


def is_x_perp(contract: Contract) -> bool:
    """Whether it is a future with funding, which shares the channel and the call of swaps."""
    return contract.expiry_ms > 0


def inst_type(contract: Contract) -> str:
    """The `instType` of a contract."""
    return "FUTURES" if is_x_perp(contract) else "SWAP"


def rule_type(contract: Contract) -> str:
    """The `ruleType` of the list."""
    return "pre_market" if contract.symbol == PRE_MARKET else "normal"


def family(contract: Contract) -> str:
    """The `instFamily` of the list: `BTC-USDT`."""
    return f"{contract.asset.name}-{contract.quote}"


def _assets() -> Iterator[tuple[Asset, float]]:
    """Assets with the price of one coin: no lots are in the names here."""
    for asset in universe.crypto_assets():
        lot = _LOT.match(asset.name)
        name = asset.name[lot.end() :] if lot else asset.name
        size = 1.0 if lot is None else 1e6 if lot[1] == "1M" else float(lot[1])
        if name.isascii() and not name[:1].isdigit():
            yield Asset(name, tradfi=False), universe.price_usd(asset) / size


def _swap(
    position: int, assets: Iterator[tuple[Asset, float]], bases: list[tuple[Asset, float]]
) -> Contract:
    if position % _INVERSE_EVERY == 3:
        (asset, price_usd), quote = bases[position // _INVERSE_EVERY], "USD"
    elif position % _USDC_EVERY == 5:
        (asset, price_usd), quote = bases[position // _USDC_EVERY], "USDC"
    else:
        (asset, price_usd), quote = next(assets), "USDT"
        bases.append((asset, price_usd))
    hours = 8 if position * 7 % SWAPS < _OF_8_H else 4
    return Contract(
        symbol=f"{asset.name}-{quote}-SWAP",
        asset=asset,
        quote=quote,
        kind="crypto",
        interval_hours=1 if position == _HOURLY else hours,
        cap_units=375_000 if asset.name in {"BTC", "ETH"} else 1_500_000,
        behaviour=universe.behaviour(position),
        price_usd=price_usd,
    )


def _other(symbol: str) -> Contract:
    base, quote, _ = symbol.split("-")
    asset = Asset(base, tradfi=False)
    return Contract(
        symbol=symbol,
        asset=asset,
        quote=quote,
        kind="foreign",
        interval_hours=8,
        cap_units=375_000,
        behaviour="resting",
        price_usd=universe.price_usd(asset),
    )


def _x_perp(asset: Asset, price_usd: float) -> Contract:
    return Contract(
        symbol=f"{asset.name}-USD_UM_XPERP-{_X_PERP_ENDS:%y%m%d}",
        asset=asset,
        quote="USD_UM",
        kind="foreign",
        interval_hours=8,
        cap_units=375_000,
        behaviour="active",
        price_usd=price_usd,
        expiry_ms=int(_X_PERP_ENDS.timestamp() * 1_000),
    )
