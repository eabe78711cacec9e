"""What a flush boundary leads to for the contracts of one partition that are in their rows."""

from __future__ import annotations

import numpy as np

from schemas.serde.columns import encoded_update_times, origin_of
from stream_app.core.columns.emitting import (
    Current,
    encoded_zscores,
    has_crossed,
    reasons,
    scaled,
    z_scores,
)
from stream_app.core.columns.hot import Longs
from stream_app.core.columns.judging import FeedColumns
from stream_app.core.columns.settling import ends_silently, settle


def emit_owed(
    columns: FeedColumns, row: Longs, place: bytes, now_us: int
) -> list[tuple[int, bytes]]:
    """Emit the newest updates of contracts that were not emitted yet.

    `place`: the raw log, as `place_of` gives it. Returns the row of each contract that was
    emitted, with its record.
    """
    owing = row[columns.updates[row] > columns.emitted_updates[row]]
    if not len(owing):
        return []
    rate, before = columns.rate[owing], columns.emitted_z[owing]
    rate_8h = scaled(columns, owing, rate)
    z = z_scores(columns, owing, rate_8h)
    offsets, items = columns.raw_offset[owing].tolist(), columns.raw_item[owing].tolist()
    current = Current(
        owing,
        rate,
        rate_8h,
        z,
        columns.mark_price[owing],
        encoded_update_times(
            columns.next_funding_time[owing],
            columns.event_time[owing],
            columns.received_at[owing],
        ),
        [origin_of(place, offset) for offset in offsets],
        items,
    )
    crossed = has_crossed(before, z)
    why = reasons(columns, z, before, ["flush"] * len(owing), crossed)
    records = encoded_zscores(columns, current, why, now_us)
    columns.emitted_updates[owing] = columns.updates[owing]
    columns.emitted_rate[owing] = rate
    columns.emitted_z[owing] = z
    return list(zip(owing.tolist(), records, strict=True))


def settle_bars(columns: FeedColumns, row: Longs, boundary: int, stale_us: int) -> Longs:
    """Settle the bars of contracts; return the rows to be settled one by one instead.

    Those are of contracts whose bar begins or ends, or whose stream is silent at the boundary (µs).
    """
    is_silent = boundary - columns.stream_received_at[row] >= stale_us
    alone = is_silent | ends_silently(columns, row, boundary)
    left = settle(columns, row[~alone], stale_us)
    return np.concatenate([row[alone], left])
