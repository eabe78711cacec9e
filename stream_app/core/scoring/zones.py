"""Zones and triggers: when a z-score is emitted (design §5.6). Pure.

Not responsible for: computing z (baseline.py), the clock of the flush (partition.py).
"""

from __future__ import annotations

from schemas.records import Trigger, Zone
from schemas.times import US_PER_S

HIGH_Z = 2.0
CROSSINGS = (-3.0, -2.0, 2.0, 3.0)
RATE_CHANGE = 0.10
RATE_CHANGE_FROM_ZERO = 1e-8
FLUSH_US = 5 * US_PER_S


def zone_of(z: float | None) -> Zone:
    """Return the zone of a z: `high` beyond ±2, `unrated` without a z."""
    if z is None:
        return "unrated"
    return "high" if abs(z) > HIGH_Z else "normal"


def crossed_between(before: float | None, z: float | None) -> float | None:
    """Return the threshold that z passed last on its way from `before`; None if it passed none.

    Beyond +2 means > 2, beyond −2 means < −2, as in `zone_of`. Without both values nothing is
    known to have been crossed.
    """
    if before is None or z is None or (abs(before) <= HIGH_Z and abs(z) <= HIGH_Z):
        return None
    passed = [t for t in CROSSINGS if _beyond(before, t) != _beyond(z, t)]
    if not passed:
        return None
    return passed[-1] if z > before else passed[0]


def _beyond(z: float, threshold: float) -> bool:
    return z > threshold if threshold > 0 else z < threshold


def rate_moved(emitted_rate: float, rate: float) -> bool:
    """Tell whether the rate moved by more than 10 % since it was last emitted."""
    if emitted_rate == 0.0:
        return abs(rate) > RATE_CHANGE_FROM_ZERO
    return abs(rate - emitted_rate) > RATE_CHANGE * abs(emitted_rate)


def trigger_of(
    *,
    first: bool,
    rate_changed: bool,
    emitted_rate: float,
    rate: float,
    z: float | None,
    crossed: float | None,
) -> Trigger | None:
    """Return why an update is emitted at once, or None if it waits for the flush.

    `rate_changed`: this update has another rate than the one before it.
    """
    if first:
        return "first"
    if crossed is not None:
        return "cross"
    if rate_changed and zone_of(z) == "high":
        return "zone"
    if rate_moved(emitted_rate, rate):
        return "rate_change"
    return None


def flush_boundary(received_at: int) -> int:
    """Return the flush boundary at or before a time of receipt."""
    return received_at - received_at % FLUSH_US
