"""The contracts of the simulated Binance USD-M: symbols, dates and exchangeInfo facts.

Responsible for: exchanges.md 1.8 and 1.13: crypto and TradFi perpetuals, USDC quotes, multiplier
and non-ASCII symbols, dated rows, SETTLING rows. Not responsible for: values that change.
"""

from __future__ import annotations

import datetime as dt
import json

from infra.simulator import universe
from infra.simulator.universe import Asset, Contract

DAY_MS = 86_400_000
_PERPETUAL_DELIVERY_MS = 4_133_404_800_000
_FIRST_ONBOARD_MS = 1_569_398_400_000
SERVER_TIME = '"@NOW@"'  # stands for a number of ms
_USDC_EVERY = 20  # about 5 % of the perpetuals are quoted in USDC
_FROZEN_BLOCK_MS = 30 * DAY_MS


def contracts(
    perpetuals: int, settling: int, coinm_rows: int, start_ms: int
) -> tuple[Contract, ...]:
    """All rows of the simulated exchange: perpetuals first, in a fixed order.

    Args:
        perpetuals: how many trading perpetuals, TradFi included.
        settling: how many delisted ones are still listed, with frozen values.
        coinm_rows: how many rows of COIN-M appear in the arrays (exchanges.md 1.8: UNVERIFIED,
            so it can be switched on).
        start_ms: decides the expiries of the dated rows.
    """
    crypto, tradfi = universe.crypto_assets(), universe.tradfi_assets()
    listed: list[Contract] = []
    bases: list[Asset] = []
    for position in range(perpetuals + settling):
        if position % 4 == 3:
            asset, quote = next(tradfi), "USDT"
        elif position % _USDC_EVERY == 6:
            asset, quote = bases[position // _USDC_EVERY], "USDC"
        else:
            asset, quote = next(crypto), "USDT"
            bases.append(asset)
        listed.append(_perpetual(position, asset, quote, frozen=position >= perpetuals))
    dated = [_dated(asset, expiry_ms) for expiry_ms in _quarters(start_ms) for asset in bases[:2]]
    foreign = [_coinm(position, asset) for position, asset in enumerate(bases[:coinm_rows])]
    return (*listed, *dated, *foreign)


def frozen_at_ms(start_ms: int) -> int:
    """When the SETTLING contracts stopped: 31 days or more ago, in steps of 30 days."""
    return start_ms // _FROZEN_BLOCK_MS * _FROZEN_BLOCK_MS - 31 * DAY_MS


def exchange_info(listed: tuple[Contract, ...], frozen_ms: int) -> bytes:
    """The body of `/fapi/v1/exchangeInfo` (exchanges.md 1.9c); SERVER_TIME is left open."""
    limits = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400}
    ]
    near_ms = min((c.expiry_ms for c in listed if c.kind == "dated"), default=0)
    symbols = [
        _info(contract, position, near_ms, frozen_ms)
        for position, contract in enumerate(listed)
        if contract.kind != "foreign"
    ]
    body = {
        "timezone": "UTC",
        "serverTime": SERVER_TIME[1:-1],
        "futuresType": "U_MARGINED",
        "rateLimits": limits,
        "exchangeFilters": [],
        "assets": [{"asset": name, "marginAvailable": True} for name in ("USDT", "USDC")],
        "symbols": symbols,
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def in_funding_info(position: int, contract: Contract) -> bool:
    """Whether fundingInfo lists it: only adjusted symbols are (760 of 875, exchanges.md 1.9c)."""
    if contract.kind not in {"crypto", "tradfi"}:
        return False
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


def _dated(asset: Asset, expiry_ms: int) -> Contract:
    day = dt.datetime.fromtimestamp(expiry_ms / 1_000, dt.UTC)
    return Contract(
        symbol=f"{asset.name}USDT_{day:%y%m%d}",
        asset=asset,
        quote="USDT",
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


def _quarters(start_ms: int) -> tuple[int, int]:
    """08:00 UTC on the last Friday of the running quarter and of the next, both ahead."""
    now = dt.datetime.fromtimestamp(start_ms / 1_000, dt.UTC)
    found: list[int] = []
    year, month = now.year, (now.month - 1) // 3 * 3 + 3
    while len(found) < 2:
        first_after = dt.datetime(year + month // 12, month % 12 + 1, 1, 8, tzinfo=dt.UTC)
        last_day = first_after - dt.timedelta(days=1)
        friday = last_day - dt.timedelta(days=(last_day.weekday() - 4) % 7)
        if friday > now:
            found.append(int(friday.timestamp() * 1_000))
        year, month = (year, month + 3) if month < 12 else (year + 1, 3)
    return found[0], found[1]


def _info(contract: Contract, position: int, near_ms: int, frozen_ms: int) -> dict[str, object]:
    pair = contract.asset.name + contract.quote
    delivery_ms = _PERPETUAL_DELIVERY_MS
    if contract.kind == "dated":
        contract_type = "CURRENT_QUARTER" if contract.expiry_ms == near_ms else "NEXT_QUARTER"
        delivery_ms = contract.expiry_ms
    else:
        contract_type = "TRADIFI_PERPETUAL" if contract.kind == "tradfi" else "PERPETUAL"
    if contract.frozen:
        delivery_ms = frozen_ms
    underlying = "COIN"
    if contract.asset.tradfi:
        underlying = "COMMODITY" if contract.asset.commodity else "EQUITY"
    return {
        "symbol": contract.symbol,
        "pair": pair,
        "contractType": contract_type,
        "deliveryDate": delivery_ms,
        "onboardDate": _FIRST_ONBOARD_MS + 2 * position * DAY_MS,
        "status": "SETTLING" if contract.frozen else "TRADING",
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
    }
