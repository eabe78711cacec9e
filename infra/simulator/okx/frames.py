"""Texts of simulated OKX: rows of rates, and the frames that bring them (okx.md §2).

All values are texts. Rates have 16 decimals; the digits that the market does not have follow from
the symbol and the value.
"""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

from infra.simulator.market.universe import UNITS_PER_ONE, Contract
from infra.simulator.okx import universe

_MORE_DIGITS = 8
_INTEREST = "0.0001000000000000"


class Current(NamedTuple):
    """What is shown of a contract at a moment; times in ms, rates in 1e-8."""

    at_ms: int
    units: int
    prev_ms: int
    funding_ms: int
    next_ms: int
    settled_units: int
    is_processing: bool
    """The settlement at `funding_ms` goes on, and `settled_units` is its rate."""
    cap_units: int


def rate_text(symbol: str, units: int) -> str:
    """A rate with 16 decimals."""
    if units == 0:
        return "0.0000000000000000"
    digest = hashlib.blake2b(f"{symbol}/{units}".encode(), digest_size=8).digest()
    more = int.from_bytes(digest, "big") % 10**_MORE_DIGITS
    whole, part = divmod(abs(units), UNITS_PER_ONE)
    return f"{'-' if units < 0 else ''}{whole}.{part:08d}{more:08d}"


def predicted_text(symbol: str, units: int) -> str:
    """What the history has as `fundingRate`: mostly the settled rate, now and then beside it."""
    return rate_text(symbol, units + (1 if units % 8 == 0 else 0))


def short_text(units: int) -> str:
    """A cap: without trailing zeros."""
    return f"{units / UNITS_PER_ONE:.8f}".rstrip("0").rstrip(".")


def price_text(price: float) -> str:
    """A price, with more decimals for smaller ones."""
    if price >= 1_000.0:
        return f"{price:.1f}"
    return f"{price:.4f}" if price >= 1.0 else f"{price:.10f}"


def row_text(contract: Contract, now: Current) -> str:
    """A row of the channel and of the call funding-rate, its keys in the order of the alphabet."""
    symbol = contract.symbol
    fields = {
        "formulaType": "withRate",
        "fundingRate": rate_text(symbol, now.units),
        "fundingTime": str(now.funding_ms),
        "impactValue": "15000.0000000000000000",
        "instId": symbol,
        "instType": universe.inst_type(contract),
        "interestRate": _INTEREST,
        "maxFundingRate": short_text(now.cap_units),
        "method": "current_period",
        "minFundingRate": short_text(-now.cap_units),
        "nextFundingRate": "",
        "nextFundingTime": str(now.next_ms),
        "premium": rate_text(f"{symbol}/premium", now.units - 10_000),
        "prevFundingTime": str(now.prev_ms),
        "settFundingRate": rate_text(symbol, now.settled_units),
        "settState": "processing" if now.is_processing else "settled",
        "ts": str(now.at_ms),
    }
    return json.dumps(fields, separators=(",", ":"))


def frame(symbol: str, row: str) -> bytes:
    """A push of a row."""
    arg = json.dumps({"channel": "funding-rate", "instId": symbol}, separators=(",", ":"))
    return f'{{"arg":{arg},"data":[{row}]}}'.encode()
