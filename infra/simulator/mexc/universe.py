"""The contracts of simulated MEXC, and their entries in its list (docs/exchanges/mexc.md §5).

There are four families by what a contract is quoted in, stocks and commodities, and rows of the
call for current rates that the list lacks. A fifth of the rates is 0 for ever. Nothing here changes
with time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from infra.simulator.market import universe
from infra.simulator.market.universe import Asset, Contract

PERPETUALS = 1_184
STEP_UNITS = 100
"""Rates have 6 decimals: the last one is 100 of the market's units."""
UNLISTED = tuple(f"OLD{letter}_USDT" for letter in "ABCDEFGH")
"""Rows of the call for current rates that the list does not have."""
_STOCKS = 425
_FAMILIES = {"USDC": 78, "USD1": 35, "USD": 10}
_BY_COMPANY = {"NVDA": "NVIDIA", "TSLA": "TESLA", "COIN": "COINBASE", "HOOD": "ROBINHOOD"}
"""Shares that are not called by their ticker."""
_TURNING = 4
"""The perpetual whose interval goes from 8 h to 4 h and back, every 20 days."""


def contracts(perpetuals: int, start_ms: int, held_back: int = 0) -> tuple[Contract, ...]:
    """All contracts: perpetuals, then those that are held back."""
    counts = {quote: max(1, perpetuals * n // PERPETUALS) for quote, n in _FAMILIES.items()}
    linear = max(2, perpetuals - sum(counts.values())) + held_back
    made = [_perpetual(n, asset, "USDT") for n, asset in enumerate(_assets(linear))]
    if linear - held_back > _TURNING:
        changes = universe.turns(start_ms, (8, 0), (4, 0))
        made[_TURNING] = replace(made[_TURNING], interval_hours=8, clock_changes=changes)
    crypto = [contract.asset for contract in made if contract.kind == "crypto"]
    others = [
        _perpetual(n + 1, asset, quote)
        for quote, count in counts.items()
        for n, asset in enumerate(crypto[:count])
    ]
    listed = made[: linear - held_back]
    return (*listed[:2], *others, *listed[2:], *made[linear - held_back :])


def detail(contract: Contract, state: int) -> dict[str, object]:
    """The entry of a contract in `detail` (§4c): it tells neither interval nor cap."""
    name, quote = _name(contract.asset), contract.quote
    return {
        "symbol": contract.symbol,
        "displayName": f"{contract.symbol}永续",
        "displayNameEn": f"{contract.symbol} PERPETUAL",
        "positionOpenType": 3,
        "baseCoin": name,
        "quoteCoin": quote,
        "settleCoin": name if quote == "USD" else quote,
        "contractSize": 100 if quote == "USD" else 0.001,
        "minLeverage": 1,
        "maxLeverage": 200,
        "priceScale": 4,
        "volScale": 0,
        "amountScale": 4,
        "priceUnit": 0.0001,
        "volUnit": 1,
        "minVol": 1,
        "maxVol": 1000000,
        "takerFeeRate": 0.0004,
        "makerFeeRate": 0.0001,
        "maintenanceMarginRate": 0.004,
        "initialMarginRate": 0.005,
        "riskBaseVol": 10000,
        "riskIncrVol": 200000,
        "riskIncrMmr": 0.004,
        "riskIncrImr": 0.004,
        "riskLevelLimit": 5,
        "state": state,
        "isNew": False,
        "isHot": False,
        "isHidden": False,
        "apiAllowed": True,
        "futureType": 1,
        "type": 2 if contract.asset.tradfi else 1,
    }


def _name(asset: Asset) -> str:
    """What the exchange calls an asset: shares have an ending, but for a few (§5)."""
    if asset.tradfi and not asset.commodity:
        return _BY_COMPANY.get(asset.name, f"{asset.name}STOCK")
    return "SILVER" if asset.name == "XAG" else asset.name


def _assets(count: int) -> Iterator[Asset]:
    crypto = (asset for asset in universe.crypto_assets() if asset.name.isascii())
    stocks = universe.tradfi_assets()
    for position in range(count):
        is_stock = (position + 1) * _STOCKS // PERPETUALS > position * _STOCKS // PERPETUALS
        yield next(stocks) if is_stock else next(crypto)


def _perpetual(position: int, asset: Asset, quote: str) -> Contract:
    return Contract(
        symbol=f"{_name(asset)}_{quote}",
        asset=asset,
        quote=quote,
        kind="tradfi" if asset.tradfi else "crypto",
        interval_hours=_interval_hours(position),
        cap_units=universe.cap_units(position, asset),
        behaviour="zero" if position % 5 == 3 else universe.behaviour(position),
        price_usd=universe.price_usd(asset),
    )


def _interval_hours(position: int) -> int:
    """The interval: 8 h and 4 h, and now and then 1, 2 or 24 h (§4a)."""
    rare = {7: 1, 26: 2, 45: 24}.get(position % 50)
    return rare or (8 if position % 2 == 0 else 4)
