"""The contracts of the simulated Aster (docs/exchanges/aster.md §8). Nothing changes with time."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from infra.simulator.market import universe
from infra.simulator.market.universe import Asset, Contract

FEED = "aster"

StockType = Literal["PERPETUAL", "TRADIFI_PERPETUAL"]
"""`contractType` of stocks and commodities: no source tells (§8)."""

_STOCK_EVERY = 10
_USD1_EVERY = 40
_TURNING = 5
"""The perpetual whose interval goes from 8 h to 4 h and back, every 20 days."""


def contracts(
    perpetuals: int, settling: int, start_ms: int, held_back: int, stocks: StockType
) -> tuple[Contract, ...]:
    """All contracts: those that trade, those that trade no more, those held back.

    A few are on stocks and commodities, a few are quoted in USD1. There are no dated ones.
    """
    crypto, tradfi = universe.crypto_assets(), universe.tradfi_assets()
    listed: list[Contract] = []
    bases: list[Asset] = []
    frozen = range(perpetuals, perpetuals + settling)
    for position in range(frozen.stop + held_back):
        if position % _STOCK_EVERY == 3:
            asset, quote = next(tradfi), "USDT"
        elif position % _USD1_EVERY == 6:
            asset, quote = bases[position // _USD1_EVERY], "USD1"
        else:
            asset, quote = next(crypto), "USDT"
            bases.append(asset)
        contract = Contract(
            symbol=asset.name + quote,
            asset=asset,
            quote=quote,
            kind="tradfi" if asset.tradfi and stocks == "TRADIFI_PERPETUAL" else "crypto",
            interval_hours=universe.interval_hours(position),
            cap_units=universe.cap_units(position, asset),
            behaviour=universe.behaviour(position),
            price_usd=universe.price_usd(asset),
            frozen=position in frozen,
        )
        if position == _TURNING:
            changes = universe.turns(start_ms, (8, 0), (4, 0))
            contract = replace(contract, interval_hours=8, clock_changes=changes)
        listed.append(contract)
    return tuple(listed)


def interest(contract: Contract) -> str:
    """The text of `interestRate`: 0 on stocks (§9a)."""
    return "0" if contract.asset.tradfi else "0.00010000"
