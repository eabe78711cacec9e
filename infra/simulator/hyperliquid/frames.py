"""Texts of Hyperliquid: rates, asset contexts, frames (docs/exchanges/hyperliquid.md §3, §6).

A snapshot of the market becomes the exchange's bytes: rates of 10 decimals, prices of up to 6
digits, nulls for what is delisted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from infra.simulator.hyperliquid.universe import HALVED_DEXS, dex_of
from infra.simulator.market.liquidity import liquidity
from infra.simulator.market.market import HOUR_MS, Ints, Snapshot
from infra.simulator.market.universe import Contract

_REST_UNITS = 1_250  # 0.0000125 an hour, where most assets are at any time (§7)
_BAND_UNITS = 3_000  # a rate of the market that is so near to it is printed as exactly that
_E10_PER_UNIT = 100  # 10 decimals on the wire, 8 in the market
_E10 = 10**10
_MAX_LATE_MS = 118  # hyperliquid.md §9b

DELISTED_RATE = "0.0"


def rate_text(coin: str, rate_units: int) -> str:
    """The rate as printed for what the market says: the same for estimates and settlements.

    Most values end at the interest rate, as the exchange's formula has it; the digits that the
    market does not have follow from the coin and its value. HIP-3 dexs with a multiplier print
    half of it, exactly.
    """
    away = rate_units - _REST_UNITS
    if -_BAND_UNITS <= away <= _BAND_UNITS:
        value = _REST_UNITS * _E10_PER_UNIT
    else:
        moved = rate_units - (_BAND_UNITS if away > 0 else -_BAND_UNITS)
        digest = hashlib.blake2b(f"{coin}/{rate_units}".encode(), digest_size=2).digest()
        value = moved * _E10_PER_UNIT + int.from_bytes(digest, "big") % _E10_PER_UNIT
    if dex_of(coin) in HALVED_DEXS:
        value //= 2
    whole, part = divmod(abs(value), _E10)
    digits = f"{part:010d}".rstrip("0") or "0"
    return f"{'-' if value < 0 else ''}{whole}.{digits}"


def stamps_ms(row: int, funding_ms: Ints) -> Ints:
    """When the history says that settlements happened: 1 to 118 ms late (§9b)."""
    mixed = (funding_ms // HOUR_MS * 2_654_435_761 + row * 40_503) >> 7
    stamps: Ints = funding_ms + 1 + mixed % _MAX_LATE_MS
    return stamps


class ContextTexts:
    """The asset contexts of a fixed list of contracts of a feed."""

    def __init__(self, feed: str, contracts: Sequence[Contract]) -> None:
        self._feed = feed
        self._contracts = contracts

    def delisted(self, snapshot: Snapshot, row: int) -> bytes:
        """What is left of a delisted asset: rate 0.0, no book (§6)."""
        index, settle = _price(snapshot.index[row]), _price(snapshot.settle[row])
        return (
            f'{{"funding":"{DELISTED_RATE}","openInterest":"0.0","prevDayPx":"{settle}",'
            f'"dayNtlVlm":"0.0","premium":null,"oraclePx":"{index}","markPx":"{settle}",'
            '"midPx":null,"impactPxs":null,"dayBaseVlm":"0.0"}'
        ).encode()

    def halted(self, snapshot: Snapshot, row: int) -> bytes:
        """The context of an asset that is listed and does not trade: rate 0.0, prices, no book."""
        index, mark = _price(snapshot.index[row]), _price(snapshot.mark[row])
        return (
            f'{{"funding":"{DELISTED_RATE}","openInterest":"0.0","prevDayPx":"{mark}",'
            f'"dayNtlVlm":"0.0","premium":null,"oraclePx":"{index}","markPx":"{mark}",'
            '"midPx":null,"impactPxs":null,"dayBaseVlm":"0.0"}'
        ).encode()

    def context(self, snapshot: Snapshot, row: int) -> tuple[str, bytes]:
        """The rate text and the context object (§6) of a row."""
        coin = self._contracts[row].symbol
        rate = rate_text(coin, int(snapshot.rate_units[row]))
        mark, index = float(snapshot.mark[row]), float(snapshot.index[row])
        middle = float(snapshot.average[row])
        traded, held = liquidity(self._feed, coin, snapshot.at_ms)
        bid, ask = _price(middle * (1 - 4e-5)), _price(middle * (1 + 6e-5))
        return rate, (
            f'{{"funding":"{rate}","openInterest":"{held / mark:.5f}",'
            f'"prevDayPx":"{_price(float(snapshot.settle[row]))}",'
            f'"dayNtlVlm":"{traded:.10f}","premium":"{middle / index - 1:.10f}",'
            f'"oraclePx":"{_price(index)}","markPx":"{_price(mark)}","midPx":"{_price(middle)}",'
            f'"impactPxs":["{bid}","{ask}"],"dayBaseVlm":"{traded / mark:.5f}"}}'
        ).encode()


def context_frame(coin: str, context: bytes) -> bytes:
    """An `activeAssetCtx` frame."""
    return b'{"channel":"activeAssetCtx","data":{"coin":"%b","ctx":%b}}' % (coin.encode(), context)


def all_dexs_frame(contexts: Sequence[tuple[str, Sequence[bytes]]]) -> bytes:
    """An `allDexsAssetCtxs` frame: contexts by dex in universe order, without names."""
    dexs = b",".join(b'["%b",[%b]]' % (dex.encode(), b",".join(texts)) for dex, texts in contexts)
    return b'{"channel":"allDexsAssetCtxs","data":{"ctxs":[%b]}}' % dexs


def mids(named: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """The mid price of each coin that has one, from pairs of coin and context."""
    found: dict[str, str] = {}
    for coin, context in named:
        mid = msgspec.json.decode(context)["midPx"]
        if mid is not None:
            found[coin] = mid
    return found


def all_mids_frame(dex: str, prices: Mapping[str, str]) -> bytes:
    """An `allMids` frame; that of a builder's dex names it."""
    data = {"mids": prices, "dex": dex} if dex else {"mids": prices}
    return msgspec.json.encode({"channel": "allMids", "data": data})


def error_frame(message: str) -> bytes:
    """An error on the socket."""
    return msgspec.json.encode({"channel": "error", "data": message})


def _price(value: float) -> str:
    text = f"{value:.6g}"
    return text if "." in text else f"{text}.0"
