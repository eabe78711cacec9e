"""The markets of the simulated Lighter: symbols, ids, states, entries of the list.

As docs/exchanges/lighter.md §8 and §9c list them: perpetuals on crypto assets and a few stocks,
inactive ones between them, spot markets with ids from 2048. Nothing here changes with time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from infra.simulator.market import universe
from infra.simulator.market.universe import Asset, Contract
from schemas.feed_spec import MAX_CONTRACTS

PERPETUALS = 150
SPOTS = {2048: "ETH/USDC", 2049: "LIT/USDC"}
"""Spot markets by id."""
_INACTIVE_OF = (21, PERPETUALS)
_STOCKS_OF = (24, PERPETUALS)
_WITHOUT_STOCKS = 2  # ids 0 and 1 are ETH and BTC
_FIRST_STOCK = 5
_CAP_UNITS = 500_000  # 0.5 % an hour: 4 % in 8 hours (§7)


def contracts(active: int, held_back: int) -> tuple[Contract, ...]:
    """All perpetuals, `frozen` being an inactive one, and at the end what is held back."""
    inactive = active * _INACTIVE_OF[0] // _INACTIVE_OF[1]
    total = active + inactive
    stocks = max(1, total * _STOCKS_OF[0] // _STOCKS_OF[1])
    crypto, tradfi = _crypto_assets(), universe.tradfi_assets()
    found = []
    for position in range(total + held_back):
        is_held = position >= total
        asset = next(tradfi if _nth(position, stocks, total) and not is_held else crypto)
        frozen = not is_held and _nth(position, inactive, total) and position > 1
        found.append(_perpetual(position, asset, frozen=frozen))
    return tuple(found)


def market_id(symbol: str) -> int:
    """The id of a market: the same in each run, and not its position."""
    return _ids()[symbol]


def market(contract: Contract, status: str, texts: dict[str, object]) -> dict[str, object]:
    """The entry of /orderBookDetails; `texts` are its prices and volumes (§9c)."""
    return {
        "symbol": contract.symbol,
        "market_id": market_id(contract.symbol),
        "market_type": "perp",
        "base_asset_id": 0,
        "quote_asset_id": 0,
        "status": status,
        **_COMMON,
        "quote_multiplier": 1,
        "default_initial_margin_fraction": 500,
        "min_initial_margin_fraction": 200,
        "maintenance_margin_fraction": 120,
        "closeout_margin_fraction": 80,
        **texts,
        "market_config": _CONFIG,
        "strategy_index": 0,
        "is_maker_fee_enabled": False,
        "is_taker_fee_enabled": False,
        "funding_clamp_small": "0.0500",
        "funding_clamp_big": "4.0000",
        "base_interest_rate": "0.0100",
        "created_at": "1737000000",
        "multiplier": "1",
        "market_flags": 0,
        "funding_premium_multiplier": 1,
        "start_timestamp": 0,
        "end_timestamp": 0,
        "settlement_type": 0,
        "settlement_price": 0,
        "settlement_cap": 0,
        "outcome": 0,
        "default_price": 0,
        "operator_account_index": 0,
        "is_frozen": False,
    }


def spot_markets() -> list[dict[str, object]]:
    """The spot markets, in a list of their own."""
    return [
        {
            "symbol": symbol,
            "market_id": number,
            "market_type": "spot",
            "base_asset_id": 1,
            "quote_asset_id": 3,
            "status": "active",
            **_COMMON,
            "last_trade_price": 2731.79,
            "daily_trades_count": 126,
            "daily_base_token_volume": 1203.1,
            "daily_quote_token_volume": 3516374.9,
            "daily_price_low": 2717.47,
            "daily_price_high": 3044.21,
            "daily_price_change": -10.2,
            "daily_chart": {},
        }
        for number, symbol in SPOTS.items()
    ]


_COMMON: dict[str, object] = {
    "taker_fee": "0.0000",
    "maker_fee": "0.0000",
    "liquidation_fee": "1.0000",
    "min_base_amount": "0.0050",
    "min_quote_amount": "10.000000",
    "order_quote_limit": "281474976.710655",
    "supported_size_decimals": 4,
    "supported_price_decimals": 2,
    "supported_quote_decimals": 6,
    "size_decimals": 4,
    "price_decimals": 2,
}
_CONFIG: dict[str, object] = {
    "market_margin_mode": 0,
    "insurance_fund_account_index": 281474976710655,
    "liquidation_mode": 0,
    "force_reduce_only": False,
    "trading_hours": "",
    "funding_fee_discounts_enabled": True,
    "hidden": False,
}


def _perpetual(position: int, asset: Asset, *, frozen: bool) -> Contract:
    return Contract(
        symbol=asset.name,
        asset=asset,
        quote="USDC",
        kind="tradfi" if asset.tradfi else "crypto",
        interval_hours=1,
        cap_units=_CAP_UNITS,
        behaviour="resting" if position % 25 == 9 else "active",
        price_usd=universe.price_usd(asset),
        frozen=frozen,
    )


def _crypto_assets() -> Iterator[Asset]:
    """Crypto assets as Lighter names them, ETH first: `1000PEPE` for 1000 units, ASCII only."""
    assets = universe.crypto_assets()
    first, second = next(assets), next(assets)
    yield from (second, first)
    for asset in assets:
        if asset.name.isascii() and not asset.name.startswith(("1M", "0")):
            yield asset


@lru_cache(maxsize=1)
def _ids() -> dict[str, int]:
    """The ids of all assets: those of crypto are even, but for BTC; spot has its own."""
    found = {}
    for place, (coin, stock) in enumerate(
        zip(_crypto_assets(), universe.tradfi_assets(), strict=False)
    ):
        if place > MAX_CONTRACTS:
            break
        for name, number in ((coin.name, place if place < _WITHOUT_STOCKS else 2 * place),
                             (stock.name, 2 * place + _FIRST_STOCK)):  # fmt: skip
            found[name] = number + (len(SPOTS) if number >= min(SPOTS) else 0)
    return found


def _nth(position: int, count: int, total: int) -> bool:
    """Whether the position is one of `count` that are spread evenly over `total`."""
    return (position + 1) * count // total > position * count // total
