"""Texts of MEXC: rates, pushes, rows of REST (docs/exchanges/mexc.md §2, §4).

Values are JSON numbers, some of them with exponents.
"""

from __future__ import annotations

from infra.simulator.market.liquidity import liquidity
from infra.simulator.market.market import Snapshot
from infra.simulator.market.universe import Contract

_UNITS_DECIMALS = 8
_EXPONENTS_OF = 7


def rate_text(units: int, row: int = 0) -> str:
    """A rate of the market's units as a JSON number; with an exponent for some contracts."""
    digits = str(abs(units)).zfill(_UNITS_DECIMALS + 1)
    text = f"{digits[:-_UNITS_DECIMALS]}.{digits[-_UNITS_DECIMALS:]}".rstrip("0").rstrip(".")
    sign = "-" if units < 0 else ""
    if row % _EXPONENTS_OF == _EXPONENTS_OF - 1 and 0 < abs(units) < 100_000:
        significant = str(abs(units)).rstrip("0")
        power = len(str(abs(units))) - 1 - _UNITS_DECIMALS
        rest = significant[1:] or "0"
        return f"{sign}{significant[0]}.{rest}E{power}"
    return sign + text


def price_text(value: float) -> str:
    """A price with at most 8 decimals."""
    return f"{value:.8f}".rstrip("0").rstrip(".")


def push(symbol: str, rate: str, next_ms: int, at_ms: int) -> bytes:
    """A `push.funding.rate` (§2)."""
    return (
        f'{{"symbol":"{symbol}","data":{{"symbol":"{symbol}","rate":{rate},'
        f'"nextSettleTime":{next_ms}}},"channel":"push.funding.rate","ts":{at_ms}}}'
    ).encode()


def current_row(
    contract: Contract,
    shown: tuple[str, int, int],
    prices: tuple[float, float],
    terms: tuple[int, int],
) -> str:
    """A row of `funding_rate` (§4a).

    Args:
        contract: whose row it is.
        shown: the rate as text, the next funding time, and when the rate was made (both ms).
        prices: mark and index price.
        terms: interval in hours, and cap in 1e-8.
    """
    rate, next_ms, made_ms = shown
    cap = rate_text(terms[1])
    return (
        f'{{"symbol":"{contract.symbol}","fundingRate":{rate},"maxFundingRate":{cap},'
        f'"minFundingRate":-{cap},"collectCycle":{terms[0]},"nextSettleTime":{next_ms},'
        f'"timestamp":{made_ms},"idxPrice":{price_text(prices[1])},'
        f'"fairPrice":{price_text(prices[0])}}}'
    )


def ticker_row(contract: Contract, snapshot: Snapshot, row: int, rate: str, feed: str) -> str:
    """A row of `ticker` (§4d): `amount24` is in what the contract is settled in."""
    mark = float(snapshot.mark[row])
    amounts = liquidity(feed, contract.symbol, snapshot.at_ms)
    amount = amounts.turnover_24h / (mark if contract.quote == "USD" else 1.0)
    return (
        f'{{"symbol":"{contract.symbol}","lastPrice":{price_text(mark * 0.9999)},'
        f'"bid1":{price_text(mark * 0.9998)},"ask1":{price_text(mark * 1.0001)},'
        f'"volume24":{int(amounts.turnover_24h)},"amount24":{price_text(amount)},'
        f'"holdVol":{int(amounts.open_interest)},"lower24Price":{price_text(mark * 0.97)},'
        f'"high24Price":{price_text(mark * 1.03)},"riseFallRate":0.0204,"riseFallValue":1.5,'
        f'"indexPrice":{price_text(float(snapshot.index[row]))},"fairPrice":{price_text(mark)},'
        f'"fundingRate":{rate},"timestamp":{snapshot.at_ms}}}'
    )
