"""Packs a block some of whose contracts are in their rows (state/hot_rows.py)."""

from __future__ import annotations

import msgspec
import numpy as np

from stream_app.core.columns.hot import HotColumns, Longs
from stream_app.core.state.contract_store import Shard
from stream_app.core.state.hot_rows import (
    BAR_DOUBLES,
    BAR_LONGS,
    BAR_OPTIONALS,
    CONTRACT_DOUBLES,
    CONTRACT_LONGS,
    OPTIONAL_DOUBLES,
    STREAM_LONGS,
    HotRows,
)

_encode = msgspec.msgpack.Encoder().encode


def pack_shard(columns: HotColumns, shard: Shard) -> bytes:
    """Return a shard's block as it is stored."""
    entries = shard.entries
    positions = [number for number, entry in enumerate(entries) if entry.resident]
    if not positions:
        return shard.pack()
    contracts = []
    for entry in entries:
        cold = entry.cold
        if cold is None:
            cold = msgspec.Raw(_encode(entry.contract))
            if entry.resident:
                entry.cold = cold
        contracts.append(cold)
    rows = np.array([entries[number].row for number in positions], dtype=np.int64)
    return shard.complete().pack_with(contracts, _hot_rows(columns, positions, rows))


def _hot_rows(columns: HotColumns, positions: list[int], rows: Longs) -> HotRows:
    def packed(names: tuple[str, ...], prefix: str = "") -> dict[str, bytes]:
        return {name: getattr(columns, prefix + name)[rows].tobytes() for name in names}

    counts = columns.held_count[rows]
    held = columns.held[rows, : int(counts.max(initial=0))]
    is_held = np.arange(held.shape[1]) < counts[:, None]
    return HotRows(
        positions,
        packed((*CONTRACT_LONGS, "next_funding_time", "counted_from")),
        packed((*CONTRACT_DOUBLES, *OPTIONAL_DOUBLES)),
        packed(STREAM_LONGS, "stream_"),
        packed(BAR_LONGS, "bar_"),
        packed((*BAR_DOUBLES, *BAR_OPTIONALS), "bar_"),
        counts.tolist(),
        held[is_held].tobytes(),
    )
