"""z-scores by columns: which updates are emitted at once and why, and their records.

The rules are those of scoring/zones.py and output/emission.py.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from schemas.rates import REFERENCE_INTERVAL_HOURS
from schemas.records import Trigger
from schemas.serde.columns import UpdateTimes
from schemas.serde.zscore_columns import ZScoreColumns
from stream_app.core.columns.hot import NAN, Flags, Floats, Longs
from stream_app.core.columns.judging import FeedColumns
from stream_app.core.scoring.statistics import MAD_TO_SIGMA
from stream_app.core.scoring.zones import (
    CROSSINGS,
    HIGH_Z,
    RATE_CHANGE,
    RATE_CHANGE_FROM_ZERO,
    crossed_between,
    zone_of,
)

_ABOVE = np.array(sorted(t for t in CROSSINGS if t > 0))
_BELOW = np.array(sorted(t for t in CROSSINGS if t < 0))


class Current(NamedTuple):
    """The updates that z-scores are emitted of."""

    row: Longs
    rate: Floats
    rate_8h: Floats
    z: Floats
    mark_price: Floats
    times: UpdateTimes
    origins: Sequence[bytes]
    """Where the raw record of each stands, encoded."""
    items: Sequence[int]


def z_scores(columns: FeedColumns, row: Longs, rate_8h: Floats) -> Floats:
    """Return z of rates of contracts; NaN without a usable baseline."""
    z: Floats = (rate_8h - columns.mean[row]) / columns.std[row]
    return z


def scaled(columns: FeedColumns, row: Longs, rate: Floats) -> Floats:
    """Return rates per 8 h."""
    rate_8h: Floats = rate * REFERENCE_INTERVAL_HOURS / columns.hours[row]
    return rate_8h


def has_crossed(before: Floats, z: Floats) -> Flags:
    """Tell where z has passed a threshold since `before`; not where one of them is missing."""
    crossed = (np.abs(before) > HIGH_Z) | (np.abs(z) > HIGH_Z)
    # Few are beyond a threshold, or were.
    some = np.nonzero(crossed)[0]
    was, now = before[some], z[some]
    known = (was == was) & (now == now)  # noqa: PLR0124 - NaN: there is no z
    crossed[some] = known & (_side(was) != _side(now))
    return crossed


def _side(z: Floats) -> Longs:
    """Return how many thresholds each z is beyond, those below zero as negative."""
    below = len(_BELOW) - np.searchsorted(_BELOW, z, side="right")
    side: Longs = np.searchsorted(_ABOVE, z, side="left") - below
    return side


def has_moved(emitted_rate: Floats, rate: Floats) -> Flags:
    """Tell where a rate has moved by more than 10 % since it was last emitted."""
    from_zero = np.abs(rate) > RATE_CHANGE_FROM_ZERO
    moved = np.abs(rate - emitted_rate) > RATE_CHANGE * np.abs(emitted_rate)
    return np.where(emitted_rate == 0.0, from_zero, moved)


def reasons(
    columns: FeedColumns, z: Floats, before: Floats, triggers: Sequence[Trigger], crossed: Flags
) -> list[bytes]:
    """Return why each z-score is emitted, encoded. `before`: z of the last emission."""
    encode = columns.encoders.zscores.reason
    found = []
    for now, then, trigger, has_passed in zip(
        z.tolist(), before.tolist(), triggers, crossed.tolist(), strict=True
    ):
        value = now if now == now else None  # noqa: PLR0124 - NaN
        threshold = crossed_between(then, now) if has_passed else None
        found.append(encode(zone_of(value), trigger, threshold))
    return found


def triggers_of(crossed: Flags, in_zone: Flags) -> list[Trigger]:
    """Return the trigger of each z-score that is emitted at once, by the first that applies."""
    return [
        "cross" if has_passed else "zone" if high else "rate_change"
        for has_passed, high in zip(crossed.tolist(), in_zone.tolist(), strict=True)
    ]


def is_high(z: Floats) -> Flags:
    """Tell where z is in the zone that is emitted at once."""
    high: Flags = np.abs(z) > HIGH_Z
    return high


def encoded_zscores(
    columns: FeedColumns, current: Current, why: Sequence[bytes], now_us: int
) -> list[bytes]:
    """Return the records of z-scores, encoded."""
    row, z = current.row, current.z
    rows, scaled_rates = row.tolist(), current.rate_8h.tolist()
    robust = MAD_TO_SIGMA * (current.rate_8h - columns.median[row]) / columns.mad[row]
    percentiles = np.array(
        [
            _share_at_most(columns, number, value) if rated else NAN
            for number, value, rated in zip(rows, scaled_rates, (z == z).tolist(), strict=True)  # noqa: PLR0124
        ]
    )
    return columns.encoders.zscores.encode(
        ZScoreColumns(
            identities=[columns.zscore_identities[number] for number in rows],
            rates=current.rate,
            interval_hours=columns.hours[row],
            zs=z,
            robust_zs=robust,
            percentiles=percentiles,
            baselines=[columns.baselines[number] for number in rows],
            reasons=why,
            mark_prices=current.mark_price,
            times=current.times,
            computed_at=now_us,
            origins=current.origins,
            items=current.items,
            tails=[columns.tails[number] for number in rows],
        )
    )


def _share_at_most(columns: FeedColumns, row: int, value: float) -> float:
    """Return the share of a contract's baseline that is at most a rate (per 8 h)."""
    window = columns.window(row)
    return bisect_right(window, value) / len(window)
