"""The stored form of contracts that are in their rows (columns/hot.py): columns of a block.

A block with such contracts holds what each update changes as the bytes of columns, which takes a
tenth of the time of packing it contract by contract.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from schemas.records import Transport
from stream_app.core.state.bars import Held, OpenBar

CONTRACT_LONGS = (
    "event_time",
    "received_at",
    "raw_offset",
    "raw_item",
    "updates",
    "emitted_updates",
)
CONTRACT_DOUBLES = ("rate", "emitted_rate")
OPTIONAL_DOUBLES = ("mark_price", "index_price", "emitted_z")
STREAM_LONGS = ("event_time", "received_at", "raw_offset", "raw_item", "lag_us")
BAR_LONGS = ("hour", "covered_us", "rest_us", "updates")
BAR_DOUBLES = ("open", "high", "low", "close", "mean", "m2", "interval_hours")
BAR_OPTIONALS = ("z_min", "z_max", "z_close", "mark_close")
HELD_FIELDS = 6
"""Of a held update: time, rate, z, mark price, hours, and 1 for one that REST brought."""


class HotRows(msgspec.Struct, array_like=True, gc=False):
    """Columns of some contracts of a block, as little-endian bytes, by name.

    NaN is a number that is missing, 0 a next funding time and −1 the hour of a bar that is.
    """

    positions: list[int]
    """Of the contracts in their block."""
    contract_longs: dict[str, bytes]
    """CONTRACT_LONGS, `next_funding_time` and `counted_from`."""
    doubles: dict[str, bytes]
    """CONTRACT_DOUBLES and OPTIONAL_DOUBLES."""
    stream_longs: dict[str, bytes]
    bar_longs: dict[str, bytes]
    bar_doubles: dict[str, bytes]
    """BAR_DOUBLES and BAR_OPTIONALS."""
    held_counts: list[int]
    held: bytes
    """HELD_FIELDS doubles of each held update, contract after contract."""

    def restore(self, contracts: Sequence[Any]) -> None:
        """Write the columns into the contracts of the block, its ContractStates.

        Raises:
            LookupError, ValueError, TypeError: the bytes are damaged.
        """
        longs, doubles = _columns("q", self.contract_longs), _columns("d", self.doubles)
        streams, bars = _columns("q", self.stream_longs), _columns("q", self.bar_longs)
        sums = _columns("d", self.bar_doubles)
        held = array("d", self.held)
        ends = [0]
        for count in self.held_counts:
            ends.append(ends[-1] + count * HELD_FIELDS)
        if ends[-1] != len(held):
            raise ValueError("another number of held updates than was counted")
        for row, (position, (begin, end)) in enumerate(
            zip(self.positions, pairwise(ends), strict=True)
        ):
            contract = contracts[position]
            for name in CONTRACT_LONGS:
                setattr(contract, name, longs[name][row])
            contract.next_funding_time = longs["next_funding_time"][row] or None
            for name in CONTRACT_DOUBLES:
                setattr(contract, name, doubles[name][row])
            for name in OPTIONAL_DOUBLES:
                setattr(contract, name, _or_none(doubles[name][row]))
            for name in STREAM_LONGS:
                setattr(contract.stream, name, streams[name][row])
            contract.bars.counted_from = longs["counted_from"][row]
            contract.bars.bar = _bar(row, bars, sums)
            contract.bars.held = [
                held_update(*held[at : at + HELD_FIELDS]) for at in range(begin, end, HELD_FIELDS)
            ]


def held_update(time: float, rate: float, z: float, mark: float, hours: float, rest: float) -> Held:
    """Return a held update of its columns."""
    transport: Transport = "rest" if rest else "ws"
    return Held(int(time), rate, _or_none(z), _or_none(mark), transport, hours)


def _bar(
    row: int, longs: Mapping[str, array[Any]], doubles: Mapping[str, array[Any]]
) -> OpenBar | None:
    if longs["hour"][row] < 0:
        return None
    bar = OpenBar(longs["hour"][row])
    for name in BAR_LONGS:
        setattr(bar, name, longs[name][row])
    for name in BAR_DOUBLES:
        setattr(bar, name, doubles[name][row])
    for name in BAR_OPTIONALS:
        setattr(bar, name, _or_none(doubles[name][row]))
    return bar


def _columns(code: str, packed: Mapping[str, bytes]) -> dict[str, array[Any]]:
    return {name: array(code, data) for name, data in packed.items()}


def _or_none(value: float) -> float | None:
    return value if value == value else None  # noqa: PLR0124 - NaN is the value unlike itself
