"""The contracts of the simulated KuCoin Futures (docs/exchanges/kucoin.md §3, §4, §8).

Symbols have XBT for BTC. There are the three margin kinds, a dated contract, pre-market contracts,
one whose funding times are off the epoch grid, and multipliers. Nothing here changes with time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from infra.simulator.market import universe
from infra.simulator.market.market import HOUR_MS
from infra.simulator.market.universe import Asset, Behaviour, Contract

STEP_UNITS = 100
"""KuCoin prints rates with 6 decimals: the last one is 100 of our units."""

_MONTH_CODES = "FGHJKMNQUVXZ"
_MULTIPLIERS = {"BTC": 0.001, "ETH": 0.01}
_MULTIPLIERS_USDC = {"BTC": 0.0001}


class _Special(NamedTuple):
    asset: str
    quote: str
    interval_hours: int = 8
    offset_hours: int = 0
    behaviour: Behaviour = "active"
    pre_market: bool = False


_SPECIAL = {
    2: _Special("BTC", "USDC"),
    3: _Special("BTC", "USD"),
    # Seen to settle at 23:00 and 03:00 UTC with 4 h between.
    4: _Special("TRUST", "USDT", interval_hours=4, offset_hours=3),
    5: _Special("ANTHROPIC", "USDT", 4, behaviour="resting", pre_market=True),
    6: _Special("OPENAI", "USDT", 4, behaviour="zero", pre_market=True),
    30: _Special("ETH", "USDC"),
    31: _Special("ETH", "USD"),
    60: _Special("SOL", "USDC"),
    61: _Special("SOL", "USD"),
    90: _Special("XRP", "USDC"),
    91: _Special("XRP", "USD"),
    120: _Special("DOGE", "USDC"),
    150: _Special("BP", "USDT", 4, behaviour="resting", pre_market=True),
}
_HOURLY = frozenset({7, 300})
_TURNING = {8: ((8, 0), (1, 0)), 9: ((8, 4), (8, 0))}
"""Perpetuals of which the interval or the clock alone goes from one to the other and back, every 20
days: (hours, offset in hours) (§3)."""

_PRE_MARKET = frozenset(f"{s.asset}{s.quote}M" for s in _SPECIAL.values() if s.pre_market)


def contracts(perpetuals: int, start_ms: int, held_back: int = 0) -> tuple[Contract, ...]:
    """All contracts: perpetuals, two dated ones, then the perpetuals that are held back."""
    # No id outside ASCII was seen here.
    assets = (asset for asset in universe.crypto_assets() if asset.name.isascii())
    listed = [_perpetual(position, assets) for position in range(perpetuals + held_back)]
    for position, (one, other) in _TURNING.items():
        if position < perpetuals:
            changes = universe.turns(start_ms, one, other)
            listed[position] = replace(listed[position], interval_hours=8, clock_changes=changes)
    dated = [_dated(expiry_ms) for expiry_ms in universe.quarter_ends_ms(start_ms)]
    return (*listed[:perpetuals], *dated, *listed[perpetuals:])


def currency(name: str) -> str:
    """The name of a coin as KuCoin spells it."""
    return "XBT" if name == "BTC" else name


def pre_market(contract: Contract) -> bool:
    """Whether it trades before its asset does, at a fixed rate."""
    return contract.symbol in _PRE_MARKET


def multiplier(contract: Contract) -> float:
    """Coins per lot; -1: inverse, one USD per lot."""
    if contract.quote == "USD":
        return -1
    known = _MULTIPLIERS_USDC if contract.quote == "USDC" else _MULTIPLIERS
    exact = known.get(contract.asset.name)
    if exact is not None:
        return exact
    for limit_usd, coins in ((100.0, 0.1), (1.0, 1), (0.05, 10), (0.01, 100)):
        if contract.price_usd >= limit_usd:
            return coins
    return 1_000


def _perpetual(position: int, assets: Iterator[Asset]) -> Contract:
    special = _SPECIAL.get(position)
    if special is not None:
        asset, quote, hours = Asset(special.asset, tradfi=False), *special[1:3]
    else:
        asset, quote = next(assets), "USDT"
        hours = 1 if position in _HOURLY else (8 if position % 11 < 4 else 4)
    majors = quote == "USDT" and asset.name in {"BTC", "ETH"}
    return Contract(
        symbol=f"{currency(asset.name)}{quote}M",
        asset=asset,
        quote=quote,
        kind="crypto",
        interval_hours=hours,
        cap_units=300_000 if majors else (750_000 if position % 9 == 8 else 2_000_000),
        behaviour=special.behaviour if special else universe.behaviour(position),
        price_usd=universe.price_usd(asset),
        grid_offset_ms=special.offset_hours * HOUR_MS if special else 0,
    )


def _dated(expiry_ms: int) -> Contract:
    day = dt.datetime.fromtimestamp(expiry_ms / 1_000, dt.UTC)
    asset = Asset("BTC", tradfi=False)
    return Contract(
        symbol=f"XBTM{_MONTH_CODES[day.month - 1]}{day:%y}",
        asset=asset,
        quote="USD",
        kind="dated",
        interval_hours=8,
        cap_units=0,
        behaviour="zero",
        price_usd=universe.price_usd(asset),
        expiry_ms=expiry_ms,
    )
