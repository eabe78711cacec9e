"""The markets of the simulated Pacifica: symbols, spot markets, entries of the list.

As docs/exchanges/pacifica.md §8 and §9c list them: perpetuals on crypto assets and a few stocks,
and spot markets named as pairs. Nothing here changes with time.
"""

from __future__ import annotations

from collections.abc import Iterator

from infra.simulator.market import universe
from infra.simulator.market.universe import Asset, Contract

PERPETUALS = 60
SPOTS = {"SOL-USDC": "SOL", "BTC-USDC": "BTC"}
"""Spot markets and their bases."""
_STOCKS_OF = (9, PERPETUALS)
_CAP_UNITS = 4_000_000  # 4 % an hour: far from what is seen
_K_NAMES = frozenset({"kPEPE", "kBONK"})


def contracts(listed: int, held_back: int) -> tuple[Contract, ...]:
    """All perpetuals, and at the end what is held back."""
    stocks = max(1, listed * _STOCKS_OF[0] // _STOCKS_OF[1])
    crypto, tradfi = _crypto_assets(), universe.tradfi_assets()
    return tuple(
        _perpetual(
            position,
            next(tradfi if position < listed and _nth(position, stocks, listed) else crypto),
        )
        for position in range(listed + held_back)
    )


def market(contract: Contract, rates: tuple[str, str], created_ms: int) -> dict[str, object]:
    """The entry of /info; `rates`: the last settled one and the estimate (§9c)."""
    return _entry(contract.symbol, contract.symbol, "perpetual", rates, created_ms)


def spot_markets(created_ms: int) -> list[dict[str, object]]:
    """The spot markets in the same list, with rates of 0."""
    return [_entry(symbol, base, "spot", ("0", "0"), created_ms) for symbol, base in SPOTS.items()]


def _entry(
    symbol: str, base: str, kind: str, rates: tuple[str, str], created_ms: int
) -> dict[str, object]:
    return {
        "symbol": symbol,
        "tick_size": "0.01",
        "min_tick": "0",
        "max_tick": "1000000",
        "lot_size": "0.001",
        "max_leverage": 50 if kind == "perpetual" else 1,
        "isolated_only": False,
        "min_order_size": "10",
        "max_order_size": "5000000",
        "funding_rate": rates[0],
        "next_funding_rate": rates[1],
        "created_at": created_ms,
        "instrument_type": kind,
        "base_asset": base,
    }


def _perpetual(position: int, asset: Asset) -> Contract:
    return Contract(
        symbol=asset.name,
        asset=asset,
        quote="USDC",
        kind="tradfi" if asset.tradfi else "crypto",
        interval_hours=1,
        cap_units=_CAP_UNITS,
        behaviour="resting" if position % 25 == 9 else "active",
        price_usd=universe.price_usd(asset),
    )


def _crypto_assets() -> Iterator[Asset]:
    """Crypto assets as Pacifica names them: `kPEPE` for 1000 units, ASCII only."""
    for asset in universe.crypto_assets():
        name = asset.name
        if name.startswith("1000") and f"k{name[4:]}" in _K_NAMES:
            yield Asset(f"k{name[4:]}", tradfi=False)
        elif name.isascii() and not name[0].isdigit():
            yield asset


def _nth(position: int, count: int, total: int) -> bool:
    """Whether the position is one of `count` that are spread evenly over `total`."""
    return (position + 1) * count // total > position * count // total
