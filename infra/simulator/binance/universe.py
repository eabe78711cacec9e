"""The contracts of the simulated Binance USD-M: symbols, dates and exchangeInfo facts.

As docs/exchanges/binance-usdm.md §8 and §13 list them: crypto and TradFi perpetuals, USDC quotes,
multiplier and non-ASCII symbols, dated rows, SETTLING rows. Nothing here changes with time.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from infra.simulator.market import universe
from infra.simulator.market.universe import Asset, Contract

DAY_MS = 86_400_000
PERPETUAL_DELIVERY_MS = 4_133_404_800_000
_FIRST_ONBOARD_MS = 1_569_398_400_000
RATE_LIMITS = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400}
]
SERVER_TIME = '"@NOW@"'  # stands for a number of ms
_TURNING = 5
"""The perpetual whose interval goes from 8 h to 1 h and back, every 20 days (§7)."""

_USDC_EVERY = 20  # about 5 % of the perpetuals are quoted in USDC
_FROZEN_BLOCK_MS = 30 * DAY_MS
_COARSE_PRICE_USD = 1_000  # contracts above this price have a price step of 0.1


def contracts(
    perpetuals: int, settling: int, coinm_rows: int, start_ms: int, held_back: int = 0
) -> tuple[Contract, ...]:
    """All rows of the simulated exchange: perpetuals first, in a fixed order.

    Args:
        perpetuals: how many trading perpetuals, TradFi included.
        settling: how many delisted ones are still listed, with frozen values.
        coinm_rows: how many rows of COIN-M appear in the arrays (docs/exchanges/binance-usdm.md §8:
            UNVERIFIED, so it can be switched on).
        start_ms: decides the expiries of the dated rows.
        held_back: how many more perpetuals end the list.
    """
    crypto, tradfi = universe.crypto_assets(), universe.tradfi_assets()
    listed: list[Contract] = []
    bases: list[Asset] = []
    frozen = range(perpetuals, perpetuals + settling)
    for position in range(frozen.stop + held_back):
        if position % 4 == 3:
            asset, quote = next(tradfi), "USDT"
        elif position % _USDC_EVERY == 6:
            asset, quote = bases[position // _USDC_EVERY], "USDC"
        else:
            asset, quote = next(crypto), "USDT"
            bases.append(asset)
        contract = _perpetual(position, asset, quote, frozen=position in frozen)
        if position == _TURNING:
            changes = universe.turns(start_ms, (8, 0), (1, 0))
            contract = replace(contract, interval_hours=8, clock_changes=changes)
        listed.append(contract)
    dated = [
        dated_contract(asset, "USDT", expiry_ms)
        for expiry_ms in universe.quarter_ends_ms(start_ms)
        for asset in bases[:2]
    ]
    foreign = [_coinm(position, asset) for position, asset in enumerate(bases[:coinm_rows])]
    return (*listed[: frozen.stop], *dated, *foreign, *listed[frozen.stop :])


def frozen_at_ms(start_ms: int) -> int:
    """When the SETTLING contracts stopped: 31 days or more ago, in steps of 30 days."""
    return start_ms // _FROZEN_BLOCK_MS * _FROZEN_BLOCK_MS - 31 * DAY_MS


class Entry(NamedTuple):
    """A contract as exchangeInfo names it; `onboard_ms` 0: at the date of its row."""

    row: int
    contract: Contract
    status: str
    onboard_ms: int = 0


def exchange_info(known: Sequence[Entry], frozen_ms: int) -> bytes:
    """The body of `/fapi/v1/exchangeInfo` (docs/exchanges/binance-usdm.md §9c); SERVER_TIME is left
    open.

    Args:
        known: what is shown.
        frozen_ms: when those that are settling were to be delivered.
    """
    near_ms = nearest_expiry_ms(known)
    symbols = [
        _info(entry, near_ms, frozen_ms if entry.status == "SETTLING" else None) for entry in known
    ]
    body = {
        "timezone": "UTC",
        "serverTime": SERVER_TIME[1:-1],
        "futuresType": "U_MARGINED",
        "rateLimits": RATE_LIMITS,
        "exchangeFilters": [],
        "assets": [{"asset": name, "marginAvailable": True} for name in ("USDT", "USDC")],
        "symbols": symbols,
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def nearest_expiry_ms(known: Sequence[Entry]) -> int:
    """The nearest expiry of all; 0 without dated contracts."""
    return min((e.contract.expiry_ms for e in known if e.contract.kind == "dated"), default=0)


IntervalsListed = Literal["all", "adjusted"]
"""Which perpetuals fundingInfo lists: all that trade, as it did on 2026-09-03, or only those with
adjusted parameters, as it is documented to do (docs/exchanges/binance-usdm.md §9c)."""


def in_funding_info(position: int, contract: Contract, *, listed: IntervalsListed) -> bool:
    """Whether fundingInfo lists a contract; without adjustment some of 8 h may be missing."""
    if contract.kind not in {"crypto", "tradfi"}:
        return False
    if listed == "all" and not contract.frozen:
        return True
    return contract.interval_hours != 8 or position % 4 != 2


def _perpetual(position: int, asset: Asset, quote: str, *, frozen: bool) -> Contract:
    return Contract(
        symbol=asset.name + quote,
        asset=asset,
        quote=quote,
        kind="tradfi" if asset.tradfi else "crypto",
        interval_hours=universe.interval_hours(position),
        cap_units=universe.cap_units(position, asset),
        behaviour=universe.behaviour(position),
        price_usd=universe.price_usd(asset),
        frozen=frozen,
    )


def pair(contract: Contract) -> str:
    """What the contracts on one asset and quote have in common: `BTCUSDT`, `BTCUSD`."""
    return contract.asset.name + contract.quote


def contract_type(contract: Contract, near_ms: int) -> str:
    """The `contractType` of exchangeInfo; `near_ms` is the nearest expiry of all."""
    if contract.kind == "dated":
        return "CURRENT_QUARTER" if contract.expiry_ms == near_ms else "NEXT_QUARTER"
    return "TRADIFI_PERPETUAL" if contract.kind == "tradfi" else "PERPETUAL"


def price_filters(contract: Contract) -> list[dict[str, str]]:
    """The `filters` of an exchangeInfo entry: the price step alone, which clients read first."""
    step = "0.1" if contract.price_usd > _COARSE_PRICE_USD else "0.0000001"
    return [
        {"filterType": "PRICE_FILTER", "minPrice": step, "maxPrice": "4529764", "tickSize": step}
    ]


def onboard_ms(row: int) -> int:
    """A plausible listing date for each row."""
    return _FIRST_ONBOARD_MS + 2 * row * DAY_MS


def dated_contract(asset: Asset, quote: str, expiry_ms: int) -> Contract:
    """A delivery contract, which carries no rate."""
    day = dt.datetime.fromtimestamp(expiry_ms / 1_000, dt.UTC)
    return Contract(
        symbol=f"{asset.name}{quote}_{day:%y%m%d}",
        asset=asset,
        quote=quote,
        kind="dated",
        interval_hours=8,
        cap_units=0,
        behaviour="zero",
        price_usd=universe.price_usd(asset),
        expiry_ms=expiry_ms,
    )


def _coinm(position: int, asset: Asset) -> Contract:
    return Contract(
        symbol=f"{asset.name}USD_PERP",
        asset=asset,
        quote="USD",
        kind="foreign",
        interval_hours=8,
        cap_units=universe.cap_units(position, asset),
        behaviour="active",
        price_usd=universe.price_usd(asset),
    )


def _info(entry: Entry, near_ms: int, ended_ms: int | None) -> dict[str, object]:
    contract = entry.contract
    underlying = "COIN"
    if contract.asset.tradfi:
        underlying = "COMMODITY" if contract.asset.commodity else "EQUITY"
    return {
        "symbol": contract.symbol,
        "pair": pair(contract),
        "contractType": contract_type(contract, near_ms),
        "deliveryDate": ended_ms or contract.expiry_ms or PERPETUAL_DELIVERY_MS,
        "onboardDate": entry.onboard_ms or onboard_ms(entry.row),
        "status": entry.status,
        "baseAsset": contract.asset.name,
        "quoteAsset": contract.quote,
        "marginAsset": contract.quote,
        "pricePrecision": 7,
        "quantityPrecision": 0,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": underlying,
        "underlyingSubType": ["TradFi"] if contract.asset.tradfi else [],
        "triggerProtect": "0.0500",
        "filters": price_filters(contract),
    }
