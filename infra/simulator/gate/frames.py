"""Texts of Gate: rates, frames and rows (docs/exchanges/gate.md §6, §9)."""

from __future__ import annotations

import json

from infra.simulator.gate import universe
from infra.simulator.market.liquidity import liquidity
from infra.simulator.market.market import Snapshot
from infra.simulator.market.universe import UNITS_PER_ONE, Contract

CHANNEL, SYSTEM = "futures.tickers", "futures.system"


def compact(value: object) -> bytes:
    """JSON as the exchange writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def rate_text(units: int) -> str:
    """A rate as printed, with up to 6 decimals."""
    text = f"{units / UNITS_PER_ONE:.6f}".rstrip("0")
    return f"{text}0" if text.endswith(".") else text


def price_text(value: float) -> str:
    """A price as printed, with 7 significant digits or more."""
    decimals = 2 if value > 1_000 else 6 if value > 0.1 else 12
    return f"{value:.{decimals}f}"


def stream_frame(
    contract: Contract, position: int, snapshot: Snapshot, hours: int, t_ms: int
) -> bytes:
    """A frame of one row. `t_ms`: the time of the price, before that of the push."""
    at_ms = snapshot.at_ms
    mark, rate = float(snapshot.mark[position]), rate_text(int(snapshot.rate_units[position]))
    row = {
        "contract": contract.symbol,
        "last": price_text(mark),
        "change_percentage": "0.5298",
        **_amounts(contract, position, mark, at_ms),
        "mark_price": price_text(mark),
        "funding_rate": rate,
        "funding_rate_indicative": rate,
        "funding_interval": hours * 3_600,
        "funding_offset": 0,
        "funding_next_apply": int(snapshot.next_funding_ms[position]) // 1_000,
        "index_price": price_text(float(snapshot.index[position])),
        "quanto_base_rate": "",
        "low_24h": price_text(mark * 0.97),
        "high_24h": price_text(mark * 1.03),
        "price_type": "last",
        "change_from": "24h",
        "change_price": "1.32",
        "t": t_ms,
    }
    return compact(
        {
            "time": at_ms // 1_000,
            "time_ms": at_ms,
            "channel": CHANNEL,
            "event": "update",
            "result": [row],
        }
    )


def contract_row(lasting: dict[str, object], position: int, snapshot: Snapshot,
                 contract: Contract) -> dict[str, object]:  # fmt: skip
    """A row of `contracts`: what lasts, and the current rate. It has no time of its own."""
    mark = float(snapshot.mark[position])
    rate = "0" if contract.kind == "dated" else rate_text(int(snapshot.rate_units[position]))
    return {
        **lasting,
        "funding_rate": rate,
        "funding_rate_indicative": rate,
        "funding_next_apply": int(snapshot.next_funding_ms[position]) // 1_000,
        "mark_price": price_text(mark),
        "index_price": price_text(float(snapshot.index[position])),
        "last_price": price_text(mark),
        "position_size": _held(contract, position, mark, snapshot.at_ms),
        "trade_size": 61_678_957_853,
    }


def ticker_row(contract: Contract, position: int, snapshot: Snapshot) -> dict[str, object]:
    """A row of REST's `tickers`: rate and prices, without interval and times."""
    mark, rate = float(snapshot.mark[position]), rate_text(int(snapshot.rate_units[position]))
    return {
        "contract": contract.symbol,
        "last": price_text(mark),
        "change_percentage": "0.5298",
        **_amounts(contract, position, mark, snapshot.at_ms),
        "mark_price": price_text(mark),
        "index_price": price_text(float(snapshot.index[position])),
        "funding_rate": "0" if contract.kind == "dated" else rate,
        "funding_rate_indicative": rate,
        "low_24h": price_text(mark * 0.97),
        "high_24h": price_text(mark * 1.03),
        "quanto_base_rate": "",
        "highest_bid": price_text(mark * 0.9999),
        "lowest_ask": price_text(mark * 1.0001),
    }


def _size(contract: Contract, position: int, mark: float) -> float:
    """What one contract is worth in the quote currency."""
    coins = float(universe.coins(contract, position))
    return coins * mark if coins else 1.0


def _held(contract: Contract, position: int, mark: float, at_ms: int) -> int:
    held = liquidity(universe.FEED, contract.symbol, at_ms).open_interest
    return round(held / _size(contract, position, mark))


def _amounts(contract: Contract, position: int, mark: float, at_ms: int) -> dict[str, object]:
    """What was traded in 24 h and is held: contracts, coins, quote currency."""
    turnover = liquidity(universe.FEED, contract.symbol, at_ms).turnover_24h
    return {
        "total_size": str(_held(contract, position, mark, at_ms)),
        "volume_24h": f"{turnover / _size(contract, position, mark):.0f}",
        "volume_24h_base": f"{turnover / mark:.3f}",
        "volume_24h_quote": f"{turnover:.2f}",
        "volume_24h_settle": f"{turnover / mark if contract.quote == 'USD' else turnover:.2f}",
    }
