"""The contracts of the simulated Binance COIN-M, and their facts.

These are inverse perpetuals, dated contracts, and exchangeInfo with `contractStatus`
(docs/exchanges/binance-coinm.md §5, §6). Nothing here changes with time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from infra.simulator.binance import universe as binance_universe
from infra.simulator.binance.universe import SERVER_TIME, Entry
from infra.simulator.market import universe
from infra.simulator.market.universe import Asset, Contract

_TURNING = 4
"""The perpetual whose interval goes from 8 h to 4 h and back, every 20 days."""


def contracts(perpetuals: int, start_ms: int, held_back: int = 0) -> tuple[Contract, ...]:
    """All contracts: perpetuals, then two quarters of BTC and ETH, then those held back."""
    # Inverse contracts exist on plain coins only: no multipliers, no names outside ASCII.
    plain = (a for a in universe.crypto_assets() if a.name.isascii() and a.name.isalpha())
    assets = [next(plain) for _ in range(perpetuals + held_back)]
    listed = [_perpetual(position, asset) for position, asset in enumerate(assets)]
    if len(listed) > _TURNING:
        changes = universe.turns(start_ms, (8, 0), (4, 0))
        listed[_TURNING] = replace(listed[_TURNING], clock_changes=changes)
    dated = [
        binance_universe.dated_contract(asset, "USD", expiry_ms)
        for expiry_ms in universe.quarter_ends_ms(start_ms)
        for asset in assets[:2]
    ]
    return (*listed[:perpetuals], *dated, *listed[perpetuals:])


def exchange_info(known: Sequence[Entry]) -> bytes:
    """The body of `/dapi/v1/exchangeInfo` about the contracts shown; SERVER_TIME is left open."""
    near_ms = binance_universe.nearest_expiry_ms(known)
    body = {
        "timezone": "UTC",
        "serverTime": SERVER_TIME[1:-1],
        "rateLimits": binance_universe.RATE_LIMITS,
        "exchangeFilters": [],
        "symbols": [_info(entry, near_ms) for entry in known],
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _perpetual(position: int, asset: Asset) -> Contract:
    return Contract(
        symbol=f"{asset.name}USD_PERP",
        asset=asset,
        quote="USD",
        kind="crypto",
        # Normally 8 h (§5): few others, so that fundingInfo is not ignored unseen.
        interval_hours=4 if position % 10 == 3 else 8,
        cap_units=universe.cap_units(position, asset),
        behaviour=universe.behaviour(position),
        price_usd=universe.price_usd(asset),
    )


def _info(entry: Entry, near_ms: int) -> dict[str, object]:
    contract = entry.contract
    return {
        "symbol": contract.symbol,
        "pair": binance_universe.pair(contract),
        "contractType": binance_universe.contract_type(contract, near_ms),
        "deliveryDate": contract.expiry_ms or binance_universe.PERPETUAL_DELIVERY_MS,
        "onboardDate": entry.onboard_ms or binance_universe.onboard_ms(entry.row),
        "contractStatus": entry.status,
        "contractSize": 100 if contract.asset.name == "BTC" else 10,
        "marginAsset": contract.asset.name,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": contract.asset.name,
        "quoteAsset": "USD",
        "pricePrecision": 1,
        "quantityPrecision": 0,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "equalQtyPrecision": 4,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "filters": binance_universe.price_filters(contract),
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC"],
    }
