"""The contracts of the simulated Gate, and their rows in its lists (docs/exchanges/gate.md §8, §9).

Three families, a third of stocks and metals, a few of the pre-market, which bear no rate. Prices
are of one coin, whatever multiplier a coin has elsewhere. Nothing here changes with time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from infra.simulator.market import universe
from infra.simulator.market.terms import Terms
from infra.simulator.market.universe import UNITS_PER_ONE, Asset, Contract

FEED = "gate"
PERPETUALS = 1_023
STEP_UNITS = 100
"""Rates have 6 decimals: the last one is 100 of the market's units."""
FAMILIES = ("usdt", "usd1", "btc")
_SETTLED_IN = {"USDT": "usdt", "USD1": "usd1", "USD": "btc"}
_USD1_EVERY, _USD1_FIRST = 110, 60
_INVERSE = 62
_STOCKS = frozenset({3, 6, 7})
"""Of each eight contracts: about 380 of 1,013 are on stocks, metals and indices."""
_PRE_MARKET = 11
_TURNING = 4
"""The contract whose interval goes from 8 h to 4 h and back, every 20 days."""
_CONTRACT_COINS = ("0.0001", "0.01", "1", "10", "10000")
_multiplied = re.compile(r"(1(?:000)+|10000|1M)(?=[A-Z]{2})(.+)").fullmatch
_FIRST_LAUNCH_S = 1_574_035_200
_DAY_S = 86_400


def contracts(perpetuals: int, start_ms: int, held_back: int = 0) -> tuple[Contract, ...]:
    """All contracts: perpetuals, those of the pre-market, then the perpetuals held back."""
    made = [_perpetual(position, asset, quote) for position, (asset, quote) in
            enumerate(_listed(perpetuals + held_back))]  # fmt: skip
    if len(made) > _TURNING:
        changes = universe.turns(start_ms, (8, 0), (4, 0))
        made[_TURNING] = replace(made[_TURNING], interval_hours=8, clock_changes=changes)
    early = [_pre_market(number) for number in range(min(_PRE_MARKET, perpetuals // 8 + 1))]
    return (*made[:perpetuals], *early, *made[perpetuals:])


def family(contract: Contract) -> str:
    """What a contract is settled in, which is in the paths of its socket and calls."""
    return _SETTLED_IN[contract.quote]


def row_of(contract: Contract, position: int, terms: Terms, status: str) -> dict[str, object]:
    """The lasting fields of a contract's row in `contracts` (§9a); times and intervals are in s."""
    launched_s = terms.onboard_ms // 1_000 or _FIRST_LAUNCH_S + position * _DAY_S
    cap = f"{terms.cap_units / UNITS_PER_ONE:.6f}".rstrip("0")
    return {
        "name": contract.symbol,
        "type": "inverse" if contract.quote == "USD" else "direct",
        "status": status,
        "in_delisting": False,
        "is_pre_market": contract.kind == "dated",
        "quanto_multiplier": coins(contract, position),
        "funding_offset": 0,
        "funding_interval": terms.interval_hours * 3_600,
        "funding_rate_limit": cap,
        "funding_cap_ratio": "0.75",
        "interest_rate": "0.0003",
        "mark_type": "index",
        "mark_price_round": "0.01",
        "order_price_round": "0.1",
        "order_size_min": 1,
        "order_size_max": 1_000_000,
        "leverage_min": "1",
        "leverage_max": "100",
        "maintenance_rate": "0.005",
        "maker_fee_rate": "-0.0001",
        "taker_fee_rate": "0.00075",
        "launch_time": launched_s,
        "create_time": launched_s - _DAY_S,
        "config_change_time": launched_s,
        "contract_type": "stocks" if contract.asset.tradfi else "",
        "enable_decimal": False,
    }


def coins(contract: Contract, position: int) -> str:
    """How many coins a contract is of, as printed; an inverse one is of a unit of the quote."""
    return "0" if contract.quote == "USD" else _CONTRACT_COINS[position % len(_CONTRACT_COINS)]


def _listed(count: int) -> Iterator[tuple[Asset, str]]:
    crypto, tradfi = universe.crypto_assets(), universe.tradfi_assets()
    bases: list[Asset] = []
    for position in range(count):
        if position % _USD1_EVERY == _USD1_FIRST:
            yield bases[position // _USD1_EVERY], "USD1"
        elif position == _INVERSE:
            yield bases[0], "USD"
        elif position % 8 in _STOCKS:
            yield next(tradfi), "USDT"
        else:
            bases.append(next(crypto))
            yield bases[-1], "USDT"


def _perpetual(position: int, asset: Asset, quote: str) -> Contract:
    price = universe.price_usd(asset)
    if found := _multiplied(asset.name):
        price /= 1_000_000 if found[1] == "1M" else int(found[1])
        asset = Asset(found[2], tradfi=False)
    units = universe.cap_units(position, asset)
    return Contract(
        symbol=f"{asset.name}_{quote}",
        asset=asset,
        quote=quote,
        kind="tradfi" if asset.tradfi else "crypto",
        interval_hours=universe.interval_hours(position),
        cap_units=units // STEP_UNITS * STEP_UNITS,
        behaviour=universe.behaviour(position),
        price_usd=price,
    )


def _pre_market(number: int) -> Contract:
    return Contract(
        symbol=f"PREMARKET{number}_USDT",
        asset=Asset(f"PREMARKET{number}", tradfi=False),
        quote="USDT",
        kind="dated",
        interval_hours=8,
        cap_units=0,
        behaviour="zero",
        price_usd=1.0 + number,
    )
