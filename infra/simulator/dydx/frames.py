"""Texts of dYdX's indexer: rates, rows of markets, messages (docs/exchanges/dydx.md §2 to §4)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

STEP_UNITS = 25
"""Settled rates are multiples of 0.000000125; of every second of those, so that nine decimals hold
them (§3)."""
_TAIL = "16666666667"
"""An average of samples has more digits than what is settled (§3)."""
_E9_PER_UNIT = 10


@dataclass(frozen=True, slots=True)
class Shown:
    """What the indexer shows of a market, as it is printed; `oracle` None: it has no price."""

    status: str
    rate: str
    oracle: str | None
    change_24h: str
    open_interest: str


def estimate_text(row: int, units: int) -> str:
    """An estimate of so many 1e-8: two of three have up to 20 decimals."""
    settled = f"{abs(units) * _E9_PER_UNIT / 10**9:.9f}"
    text = settled if row % 3 == 0 else f"{settled}{_TAIL}"
    return _plain(f"-{text}" if units < 0 else text)


def settled_text(units: int) -> str:
    """A settled rate of so many 1e-8: nine decimals at most."""
    return _plain(f"{units * _E9_PER_UNIT / 10**9:.9f}")


def price_text(value: float) -> str:
    """A price, to five decimals or nine digits."""
    return _plain(f"{value:.5f}" if value >= 100 else f"{value:.10f}")


def iso(at_ms: int) -> str:
    """A time as the indexer prints it."""
    at = dt.datetime.fromtimestamp(at_ms // 1_000, dt.UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ms % 1_000:03d}Z"


def market(row: int, ticker: str, shown: Shown, volume: str, trades: int) -> bytes:
    """The whole row of a market."""
    return msgspec.json.encode({
        "clobPairId": str(row),
        "ticker": ticker,
        "status": shown.status,
        "oraclePrice": shown.oracle,
        "priceChange24H": shown.change_24h,
        "volume24H": volume,
        "trades24H": trades,
        "nextFundingRate": shown.rate,
        "initialMarginFraction": "0.05",
        "maintenanceMarginFraction": "0.03",
        "openInterest": shown.open_interest,
        "atomicResolution": -9,
        "quantumConversionExponent": -9,
        "tickSize": "0.01",
        "stepSize": "0.001",
        "stepBaseQuantums": 1_000_000,
        "subticksPerTick": 100_000,
        "marketType": "ISOLATED" if "," in ticker else "CROSS",
        "openInterestLowerCap": "0",
        "openInterestUpperCap": "0",
        "baseOpenInterest": shown.open_interest,
        "defaultFundingRate1H": "0",
    })  # fmt: skip


def changes(row: int, before: Shown, now: Shown) -> bytes | None:
    """The row of what has changed; None: nothing has."""
    names = (
        ("status", before.status, now.status),
        ("priceChange24H", before.change_24h, now.change_24h),
        ("nextFundingRate", before.rate, now.rate),
        ("openInterest", before.open_interest, now.open_interest),
    )
    changed = {name: new for name, old, new in names if old != new}
    return msgspec.json.encode({"id": str(row), **changed}) if changed else None


def oracle(row: int, price: str, at_ms: int) -> bytes:
    """The row of a new oracle price."""
    return msgspec.json.encode({
        "oraclePrice": price,
        "effectiveAt": iso(at_ms),
        "effectiveAtHeight": str(at_ms // 1_000),
        "marketId": row,
    })  # fmt: skip


def table(name: str, rows: Iterable[tuple[str, bytes]]) -> bytes:
    """The contents of a message: a map of rows by ticker."""
    members = b",".join(msgspec.json.encode(ticker) + b":" + row for ticker, row in rows)
    return b'{"%b":{%b}}' % (name.encode(), members)


def _plain(text: str) -> str:
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"", "-0"} else text
