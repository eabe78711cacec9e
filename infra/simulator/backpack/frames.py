"""Texts of Backpack: rates, mark-price frames and rows (docs/exchanges/backpack.md §2, §4).

A snapshot of the market becomes the exchange's bytes: rates of up to 28 significant digits, times
in µs beside times in ms, the rounded history.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from decimal import Decimal

from infra.simulator.backpack.universe import is_halved
from infra.simulator.market.market import Snapshot
from infra.simulator.market.universe import Contract

_REST_UNITS = 1_250  # 0.0000125 an hour, where quiet markets are (§3)
_BAND_UNITS = 2_000  # a rate of the market that is so near to it is printed as exactly that
_MARKET_DECIMALS = 8
_SIGNIFICANT_DIGITS = 28
_HISTORY_STEP = Decimal("0.000000001")


def rate_text(contract: Contract, rate_units: int) -> str:
    """The rate as printed for what the market says, with up to 28 significant digits.

    The digits that the market does not have follow from the symbol and its value.
    """
    away = rate_units - _REST_UNITS
    digits, negative = str(_REST_UNITS), False
    decimals = _MARKET_DECIMALS
    if abs(away) > _BAND_UNITS:
        moved = rate_units - (_BAND_UNITS if away > 0 else -_BAND_UNITS)
        negative = moved < 0
        more = _further_digits(contract.symbol, rate_units)
        # Half of a number can have one digit more.
        room = _SIGNIFICANT_DIGITS - is_halved(contract)
        more = more[: room - len(str(abs(moved)))]
        digits = f"{abs(moved)}{more}"
        decimals += len(more)
    if is_halved(contract):
        digits = str(int(digits) * 5)
        decimals += 1
    digits = digits.zfill(decimals + 1)
    text = f"{digits[:-decimals]}.{digits[-decimals:]}".rstrip("0").rstrip(".")
    return f"-{text}" if negative else text


def history_text(rate: str) -> str:
    """A rate as the history prints it: rounded to 9 decimals (§4b)."""
    rounded = Decimal(rate).quantize(_HISTORY_STEP)
    text = f"{abs(rounded):f}".rstrip("0").rstrip(".")
    return f"-{text}" if rounded < 0 else text


def iso(at_ms: int) -> str:
    """A time as the history prints it: ISO, UTC without saying so."""
    return dt.datetime.fromtimestamp(at_ms // 1_000, dt.UTC).replace(tzinfo=None).isoformat()


def stream_frame(
    contract: Contract, snapshot: Snapshot, row: int, rate: str | None, event_us: int
) -> bytes:
    """A `markPrice` frame; prediction markets have neither `f`, `i` nor `n` (§2)."""
    engine_us = event_us - 200 - event_us % 701
    symbol, mark = contract.symbol, _price(float(snapshot.mark[row]))
    if rate is None:
        data = f'"E":{event_us},"T":{engine_us},"e":"markPrice","p":"{mark}","s":"{symbol}"'
    else:
        data = (
            f'"E":{event_us},"T":{engine_us},"e":"markPrice","f":"{rate}",'
            f'"i":"{_price(float(snapshot.index[row]))}","n":{snapshot.next_funding_ms[row]},'
            f'"p":"{mark}","s":"{symbol}"'
        )
    return f'{{"data":{{{data}}},"stream":"markPrice.{symbol}"}}'.encode()


def mark_price_row(contract: Contract, snapshot: Snapshot, row: int, rate: str | None) -> bytes:
    """A row of `/api/v1/markPrices` (§4a)."""
    symbol, mark = contract.symbol, _price(float(snapshot.mark[row]))
    if rate is None:
        return f'{{"markPrice":"{mark}","symbol":"{symbol}"}}'.encode()
    return (
        f'{{"fundingRate":"{rate}","indexPrice":"{_price(float(snapshot.index[row]))}",'
        f'"markPrice":"{mark}","nextFundingTimestamp":{snapshot.next_funding_ms[row]},'
        f'"symbol":"{symbol}"}}'
    ).encode()


def _further_digits(symbol: str, rate_units: int) -> str:
    """What follows the market's 8 decimals: mostly to the limit, now and then little."""
    digest = hashlib.blake2b(f"{symbol}/{rate_units}".encode(), digest_size=16).digest()
    digits = f"{int.from_bytes(digest[:12], 'big'):028d}"[-_SIGNIFICANT_DIGITS:]
    return digits[: 4 + digest[15] % 3] if digest[14] % 8 == 0 else digits


def _price(value: float) -> str:
    text = f"{value:.8f}".rstrip("0")
    return f"{text}0" if text.endswith(".") else text
