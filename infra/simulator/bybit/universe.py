"""The contracts of the simulated Bybit (docs/exchanges/bybit.md §3).

Perpetuals in USDT, in USDC and inverse ones, dated contracts of each family and one that trades
before its coin is listed. Nothing here changes with time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace

from infra.simulator.market import universe
from infra.simulator.market.universe import Asset, Contract

PERPETUALS = 688
"""668 linear ones and about 20 inverse ones (§5)."""
LINEAR, INVERSE = "linear", "inverse"
_USDC_EVERY, _INVERSE_EVERY = 12, 31
_TURNING = 4
"""The perpetual whose interval goes from 8 h to 1 h and back, every 20 days."""
_MONTH_CODES = "FGHJKMNQUVXZ"
_PRE_MARKET = "OPENAI"
_OTHER_LOTS = {
    "1000SATS": ("10000SATS", 10.0),
    "1MBABYDOGE": ("1000000BABYDOGE", 1.0),
    "1000SHIB": ("SHIB1000", 1.0),
}
"""Assets that are named otherwise here than elsewhere: the name, and how many lots it is."""


def contracts(perpetuals: int, start_ms: int, held_back: int = 0) -> tuple[Contract, ...]:
    """All contracts: perpetuals, dated ones, one of the pre-market, then what is held back."""
    assets, bases = _assets(), list[tuple[Asset, float]]()
    listed = [_perpetual(position, assets, bases) for position in range(perpetuals + held_back)]
    if perpetuals > _TURNING:
        changes = universe.turns(start_ms, (8, 0), (1, 0))
        listed[_TURNING] = replace(listed[_TURNING], interval_hours=8, clock_changes=changes)
    dated = [
        _dated(symbol, quote, expiry_ms)
        for expiry_ms in universe.quarter_ends_ms(start_ms)
        for symbol, quote in _dated_symbols(expiry_ms)
    ]
    return (*listed[:perpetuals], *dated, _pre_market(), *listed[perpetuals:])


def family(contract: Contract) -> str:
    """The category of a contract: `linear` or `inverse`."""
    return INVERSE if contract.quote == "USD" else LINEAR


def is_pre_market(contract: Contract) -> bool:
    """Whether it trades before its coin is listed: it has no funding, and a rate of 0."""
    return contract.kind == "foreign"


def contract_type(contract: Contract) -> str:
    """The `contractType` of the list."""
    kind = "Futures" if contract.kind == "dated" else "Perpetual"
    return f"{family(contract).capitalize()}{kind}"


def base_coin(contract: Contract) -> str:
    """The `baseCoin` of the list."""
    return contract.asset.name


def _assets() -> Iterator[tuple[Asset, float]]:
    """Assets as they are named here, each with its price in USD; no name is outside of ASCII."""
    for asset in universe.crypto_assets():
        name, lots = _OTHER_LOTS.get(asset.name, (asset.name, 1.0))
        if name.isascii():
            yield Asset(name, tradfi=False), lots * universe.price_usd(asset)


def _perpetual(
    position: int, assets: Iterator[tuple[Asset, float]], bases: list[tuple[Asset, float]]
) -> Contract:
    if position % _INVERSE_EVERY == 11:
        (asset, price_usd), ending, quote = bases[position // _INVERSE_EVERY], "USD", "USD"
    elif position % _USDC_EVERY == 5:
        (asset, price_usd), ending, quote = bases[position // _USDC_EVERY], "PERP", "USDC"
    else:
        (asset, price_usd), ending, quote = next(assets), "USDT", "USDT"
        if not asset.name[:1].isdigit():
            bases.append((asset, price_usd))
    return Contract(
        symbol=f"{asset.name}{ending}",
        asset=asset,
        quote=quote,
        kind="crypto",
        interval_hours=2 if position % 50 == 8 else universe.interval_hours(position),
        cap_units=universe.cap_units(position, asset),
        behaviour=universe.behaviour(position),
        price_usd=price_usd,
    )


def _dated_symbols(expiry_ms: int) -> tuple[tuple[str, str], ...]:
    day = dt.datetime.fromtimestamp(expiry_ms / 1_000, dt.UTC)
    date = f"{day.day}{day:%b%y}".upper()
    code = _MONTH_CODES[day.month - 1]
    return (
        (f"BTCUSDT-{date}", "USDT"),
        (f"BTC-{date}", "USDC"),
        (f"BTCUSD{code}{day:%y}", "USD"),
    )


def _dated(symbol: str, quote: str, expiry_ms: int) -> Contract:
    asset = Asset("BTC", tradfi=False)
    return Contract(
        symbol=symbol,
        asset=asset,
        quote=quote,
        kind="dated",
        interval_hours=8,
        cap_units=0,
        behaviour="zero",
        price_usd=universe.price_usd(asset),
        expiry_ms=expiry_ms,
    )


def _pre_market() -> Contract:
    asset = Asset(_PRE_MARKET, tradfi=False)
    return Contract(
        symbol=f"{_PRE_MARKET}USDT",
        asset=asset,
        quote="USDT",
        kind="foreign",
        interval_hours=8,
        cap_units=0,
        behaviour="zero",
        price_usd=universe.price_usd(asset),
    )
