"""Texts of WhiteBIT: rates, prices, rows of a push (docs/exchanges/whitebit.md §2, §4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from infra.simulator.market.market import Ints, Snapshot
from infra.simulator.market.universe import UNITS_PER_ONE, Contract

HEAD, TAIL = b'{"method":"premiumIndex_update","params":', b',"id":null}'
_US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class Values:
    """What the exchange shows at a moment: one entry of each contract, in their order.

    Attributes:
        at_ms: when.
        marks, indexes, rates: as they are printed.
        next_ms: the next funding times.
    """

    at_ms: int
    marks: tuple[str, ...]
    indexes: tuple[str, ...]
    rates: tuple[str, ...]
    next_ms: tuple[int, ...]

    def starts(self, contracts: Iterable[Contract]) -> list[bytes]:
        """The rows of a push up to the time of sending."""
        return [
            f'["{contract.symbol}","{mark}","{index}","{rate}",{next_ms},'.encode()
            for contract, mark, index, rate, next_ms in zip(
                contracts, self.marks, self.indexes, self.rates, self.next_ms, strict=True
            )
        ]


def values(
    contracts: Iterable[Contract], at_ms: int, prices: Snapshot, rated: Snapshot, next_ms: Ints
) -> Values:
    """What is shown with the prices of one moment and the rates of another.

    The mark of a TradFi market is its index (§3).
    """
    known = list(contracts)
    indexes = tuple(price_text(value) for value in prices.index.tolist())
    marks = tuple(
        index if contract.kind == "tradfi" else price_text(mark)
        for contract, mark, index in zip(known, prices.mark.tolist(), indexes, strict=True)
    )
    rates = tuple(rate_text(units) for units in rated.rate_units.tolist())
    return Values(at_ms, marks, indexes, rates, tuple(next_ms.tolist()))


def rate_text(units: int) -> str:
    """A rate of so many 1e-8 as it is printed."""
    return _plain(units / UNITS_PER_ONE, 8)


def price_text(value: float) -> str:
    """A price as it is printed: six digits or more, without an exponent."""
    decimals = 2 if value >= 1_000 else 4 if value >= 1 else 12
    return _plain(value, decimals)


def sent_text(sent_us: int) -> bytes:
    """The time of sending: seconds with µs behind the point."""
    seconds, micros = divmod(sent_us, _US_PER_S)
    return b"%d.%06d" % (seconds, micros)


def all_rows(starts: Iterable[bytes], sent: bytes) -> bytes:
    """A push of many rows."""
    end = sent + b"]"
    return HEAD + b"[" + b",".join([start + end for start in starts]) + b"]" + TAIL


def one_row(start: bytes, sent: bytes) -> bytes:
    """A push of a named market: its row is `params` itself (§2)."""
    return HEAD + start + sent + b"]" + TAIL


def _plain(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}".rstrip("0").rstrip(".")
    return "0" if text in {"", "-0"} else text
