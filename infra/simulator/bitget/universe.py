"""The contracts of simulated Bitget, and their entries in its lists (docs/exchanges/bitget.md §5).

There are USDT, USDC and coin-margined perpetuals, names outside ASCII, equities and commodities,
and dated contracts; test symbols that only the call for current rates has, and a demo product.
Nothing here changes with time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace

from infra.simulator.market import universe
from infra.simulator.market.terms import Terms
from infra.simulator.market.universe import Asset, Contract

PERPETUALS = 863
STEP_UNITS = 100
"""Rates have 6 decimals: the last one is 100 of the market's units."""
USDT, USDC, COIN = "USDT-FUTURES", "USDC-FUTURES", "COIN-FUTURES"
DEMO = frozenset({"SUSDT-FUTURES", "SUSDC-FUTURES", "SCOIN-FUTURES"})
PRODUCTS = (USDT, USDC, COIN)
TEST_SYMBOLS = ("BGTESTMEUSDT", *(f"BGTEST{letter}USDT" for letter in "ABCDEFGHIJK"))
"""Rows of the call for current rates that no list has."""
_RWA, _USDC, _COIN = 320, 49, 9
_TURNING = 8
"""The perpetual whose interval goes from 8 h to 4 h and back, every 20 days."""
_NAMED = {4: "龙虾", 18: "牛来", 27: "哈基米"}
_MONTHS = "FGHJKMNQUVXZ"
_ENDINGS = {"USDT": "USDT", "USDC": "PERP", "USD": "USD"}
_PRODUCT_OF_QUOTE = {"USDT": USDT, "USDC": USDC, "USD": COIN}


def contracts(perpetuals: int, start_ms: int, held_back: int = 0) -> tuple[Contract, ...]:
    """All contracts: perpetuals, four dated ones, then the perpetuals that are held back."""
    counts = {quote: max(1, perpetuals * n // PERPETUALS) for quote, n in
              (("USDC", _USDC), ("USD", _COIN))}  # fmt: skip
    linear = max(2, perpetuals - sum(counts.values())) + held_back
    made = [_linear(position, asset) for position, asset in enumerate(_assets(linear))]
    if linear - held_back > _TURNING:
        changes = universe.turns(start_ms, (8, 0), (4, 0))
        made[_TURNING] = replace(made[_TURNING], interval_hours=8, clock_changes=changes)
    plain = [c for c in made if c.kind == "crypto" and c.asset.name.isalpha()]
    plain = [c for c in plain if c.symbol.isascii()]
    others = [
        _family(position, contract, quote)
        for quote, count in counts.items()
        for position, contract in enumerate(plain[:count])
    ]
    listed = made[: linear - held_back]
    # A majority of the first contracts of each family stands among the first of all.
    mixed = [*listed[:2], *others, *listed[2:]]
    dated = [_dated(base, at_ms) for at_ms in universe.quarter_ends_ms(start_ms)
             for base in ("BTC", "ETH")]  # fmt: skip
    return (*mixed, *dated, *made[linear - held_back :])


def product_type(contract: Contract) -> str:
    """The product type under which a contract is listed and subscribed."""
    return _PRODUCT_OF_QUOTE[contract.quote]


def is_busy(position: int) -> bool:
    """Whether a contract is among the tenth that are pushed all the time in any case (§1)."""
    return position % 10 == 0


def listing(contract: Contract, terms: Terms, status: str) -> dict[str, object]:
    """The entry of a contract in `contracts` (§4c)."""
    dated = contract.kind == "dated"
    quote = contract.quote
    return {
        "symbol": contract.symbol,
        "baseCoin": contract.asset.name,
        "quoteCoin": quote,
        "buyLimitPriceRatio": "0.05",
        "sellLimitPriceRatio": "0.05",
        "feeRateUpRatio": "0.005",
        "makerFeeRate": "0.0002",
        "takerFeeRate": "0.0006",
        "openCostUpRatio": "0.01",
        "supportMarginCoins": [contract.asset.name if quote == "USD" else quote],
        "minTradeNum": "0.0001",
        "priceEndStep": "1",
        "volumePlace": "4",
        "pricePlace": "4",
        "sizeMultiplier": "0.0001",
        "symbolType": "delivery" if dated else "perpetual",
        "minTradeUSDT": "5",
        "maxSymbolOrderNum": "200",
        "maxProductOrderNum": "1000",
        "maxPositionNum": "150",
        "symbolStatus": status,
        "offTime": "-1",
        "limitOpenTime": "-1",
        "deliveryTime": str(contract.expiry_ms) if dated else "",
        "deliveryStartTime": "",
        "deliveryPeriod": "",
        "launchTime": str(terms.onboard_ms) if terms.onboard_ms else "",
        "fundInterval": "" if dated else str(terms.interval_hours),
        "minLever": "1",
        "maxLever": "75",
        "posLimit": "0.05",
        "maintainTime": "",
        "isRwa": "YES" if contract.asset.tradfi else "NO",
    }


def _assets(count: int) -> Iterator[Asset]:
    crypto = (asset for asset in universe.crypto_assets() if asset.name.isascii())
    tradfi = universe.tradfi_assets()
    for position in range(count):
        name = _NAMED.get(position)
        if name is not None:
            yield Asset(name, tradfi=False)
        else:
            is_rwa = (position + 1) * _RWA // PERPETUALS > position * _RWA // PERPETUALS
            yield next(tradfi) if is_rwa else next(crypto)


def _linear(position: int, asset: Asset) -> Contract:
    return Contract(
        symbol=f"{asset.name}USDT",
        asset=asset,
        quote="USDT",
        kind="tradfi" if asset.tradfi else "crypto",
        interval_hours=_interval_hours(position),
        cap_units=universe.cap_units(position, asset),
        behaviour=universe.behaviour(position),
        price_usd=universe.price_usd(asset),
    )


def _family(position: int, like: Contract, quote: str) -> Contract:
    """A perpetual on the coin of another one, with a margin of its own."""
    return Contract(
        symbol=f"{like.asset.name}{_ENDINGS[quote]}",
        asset=like.asset,
        quote=quote,
        kind="crypto",
        interval_hours=4 if position % 8 == 5 else 8,
        cap_units=like.cap_units,
        behaviour=universe.behaviour(position + 3),
        price_usd=like.price_usd,
    )


def _interval_hours(position: int) -> int:
    """The interval: 8 h and 4 h in nearly equal numbers, 1 h on four of 799 (§5)."""
    if position % 200 == 6:
        return 1
    return 8 if position * 7 % 50 < 26 else 4


def _dated(base: str, expiry_ms: int) -> Contract:
    day = dt.datetime.fromtimestamp(expiry_ms / 1_000, dt.UTC)
    asset = Asset(base, tradfi=False)
    return Contract(
        symbol=f"{base}USD{_MONTHS[day.month - 1]}{day:%y}",
        asset=asset,
        quote="USD",
        kind="dated",
        interval_hours=8,
        cap_units=0,
        behaviour="zero",
        price_usd=universe.price_usd(asset),
        expiry_ms=expiry_ms,
    )
