"""Texts of Lighter: percent, rows of markets, frames (docs/exchanges/lighter.md §3, §6, §9).

A snapshot of the market becomes the exchange's bytes: rates in percent per hour with 4 decimals,
the last settlement beside the estimate, maps by market id.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from infra.simulator.lighter.universe import market_id
from infra.simulator.market.liquidity import Liquidity
from infra.simulator.market.universe import Contract

STEP_UNITS = 100
"""The last digit of a rate, in 1e-8: percent with 4 decimals."""
NO_LIMIT = f"{2**56}.000000"
PONG = b'{"type":"pong"}'
PING = b'{"type":"ping"}'


def percent_text(rate_units: int) -> str:
    """A rate as sockets print it: percent per hour."""
    steps = rate_units // STEP_UNITS
    return f"{'-' if steps < 0 else ''}{abs(steps) // 10_000}.{abs(steps) % 10_000:04d}"


def fraction_text(rate_units: int) -> str:
    """The same rate as a fraction, for the truth."""
    steps = rate_units // STEP_UNITS
    return f"{'-' if steps < 0 else ''}{abs(steps) // 10**6}.{abs(steps) % 10**6:06d}"


def price_text(value: float) -> str:
    """A price with up to 6 significant digits."""
    return f"{value:.{max(0, 6 - len(str(int(value))))}f}"


class Values:
    """The numbers of one market at a time, of which its texts are made."""

    __slots__ = ("index", "liquidity", "mark", "middle", "settle_units", "settled_ms", "units")

    def __init__(
        self,
        prices: tuple[float, float, float],
        units: int,
        settled: tuple[int, int],
        liquidity: Liquidity,
    ) -> None:
        """`prices`: index, mark, middle. `settled`: time (ms) and rate of the last settlement."""
        self.index, self.mark, self.middle = prices
        self.units = units
        self.settled_ms, self.settle_units = settled
        self.liquidity = liquidity


def stats_row(contract: Contract, values: Values) -> bytes:
    """A market in `market_stats` (§6). The open interest is in USDC here."""
    mark, middle, held = values.mark, values.middle, values.liquidity
    low, high = price_text(mark * 0.97), price_text(mark * 1.03)
    return (
        f'{{"symbol":"{contract.symbol}","market_id":{market_id(contract.symbol)},'
        f'"index_price":"{price_text(values.index)}","mark_price":"{price_text(mark)}",'
        f'"mid_price":"{price_text(middle)}","best_ask_price":"{price_text(middle * 1.00003)}",'
        f'"best_bid_price":"{price_text(middle * 0.99996)}",'
        f'"open_interest":"{held.open_interest:.6f}","open_interest_limit":"{NO_LIMIT}",'
        '"funding_clamp_small":"0.0500","funding_clamp_big":"4.0000",'
        f'"last_trade_price":"{price_text(middle * 1.0001)}",'
        f'"current_funding_rate":"{percent_text(values.units)}",'
        f'"funding_rate":"{percent_text(values.settle_units)}",'
        f'"funding_timestamp":{values.settled_ms},'
        f'"daily_base_token_volume":{held.turnover_24h / mark:.4f},'
        f'"daily_quote_token_volume":{held.turnover_24h:.6f},'
        f'"daily_price_low":{low},"daily_price_high":{high},'
        '"daily_price_change":-1.2914301622407474,"base_interest_rate":"0.0100"}'
    ).encode()


def all_frame(kind: str, rows: Iterable[tuple[int, bytes]], at_ms: int) -> bytes:
    """A frame of many markets: `kind` is `subscribed` or `update`; rows with their ids."""
    table = b",".join(b'"%d":%b' % (number, text) for number, text in rows)
    return (
        b'{"channel":"market_stats:all","market_stats":{%b},"timestamp":%d,'
        b'"type":"%b/market_stats"}' % (table, at_ms, kind.encode())
    )


def one_frame(kind: str, number: int, row: bytes, at_ms: int) -> bytes:
    """A frame of one market, for who has subscribed it alone."""
    return (
        b'{"channel":"market_stats:%d","market_stats":%b,"timestamp":%d,'
        b'"type":"%b/market_stats"}' % (number, row, at_ms, kind.encode())
    )


def details(values: Values) -> dict[str, object]:
    """The numbers of a market in the list (§9c). The open interest is in units of the base."""
    mark, held = values.mark, values.liquidity
    return {
        "last_trade_price": float(price_text(values.middle)),
        "daily_trades_count": 1_000 + int(held.turnover_24h) // 10_000,
        "daily_base_token_volume": round(held.turnover_24h / mark, 4),
        "daily_quote_token_volume": round(held.turnover_24h, 6),
        "daily_price_low": float(price_text(mark * 0.97)),
        "daily_price_high": float(price_text(mark * 1.03)),
        "daily_price_change": -1.25,
        "open_interest": round(held.open_interest / mark, 5),
        "daily_chart": {},
        "mark_price": price_text(mark),
        "index_price": price_text(values.index),
    }


def error_frame(code: int, message: str) -> bytes:
    """An error on the socket (§3)."""
    return msgspec.json.encode({"error": {"code": code, "message": message}})
