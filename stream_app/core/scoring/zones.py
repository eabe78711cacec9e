"""What a z-score and its thresholds lead to: zones, triggers of emission, and alerts of excursions.

An exchange moves rates each second, so a z near a threshold may pass it a hundred times an hour.
Every crossing is in the z-scores at once; an alert follows a stricter rule, for each threshold (±2,
±3) by itself and by event time alone:

- z passes a threshold outward beyond |2| or |3|, and is back when it is BAND inside (hysteresis).
- An excursion beyond ±3 is told at once, one beyond ±2 when it has lasted LASTING_US, as most are
  over before. An alert of ±3 stands for ±2 as well.
- Then the threshold stands until z has been back for QUIET_US: what passes it again before that is
  the same excursion. So a rise from 2 to 3, and the other side, are told while ±2 stands.
- Where z is when it first exists is a fact and no excursion.
- A sign is told when it has differed from the one told last for QUIET_US.

Excursions that end sooner, or were told already, are counted in the audit.
"""

from __future__ import annotations

from math import inf, nan
from typing import NamedTuple

import msgspec

from schemas.partitioning import PARTITIONS
from schemas.records import Trigger, Zone
from schemas.times import US_PER_HOUR, US_PER_MINUTE, US_PER_S

HIGH_Z = 2.0
CROSSINGS = (-3.0, -2.0, 2.0, 3.0)
RATE_CHANGE = 0.10
RATE_CHANGE_FROM_ZERO = 1e-8
FLUSH_US = 5 * US_PER_S
CLEAR_SIGN_8H = 1e-5
"""A rate_8h this far from zero (0.1 bp) has a sign: a rate that hums around zero does not alert."""
BAND = 0.5
"""z is back when it is this far inside a threshold."""
LASTING_US = {2.0: 5 * US_PER_MINUTE, 3.0: 0}
"""How long an excursion lasts before it is told, by the threshold's size."""
QUIET_US = 4 * US_PER_HOUR
"""How long z is back before an excursion is a new one; how long a new sign lasts before it is
told."""
_OUTERMOST_FIRST = sorted(CROSSINGS, key=abs, reverse=True)
_WITHIN = {
    level: [t for t in _OUTERMOST_FIRST if t * level > 0 and abs(t) <= abs(level)]
    for level in (0.0, *CROSSINGS)
}
"""The thresholds that a z at a level is beyond, outermost first."""


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
    passed = [
        t for t in CROSSINGS if ((before > t) != (z > t) if t > 0 else (before < t) != (z < t))
    ]
    if not passed:
        return None
    return passed[-1] if z > before else passed[0]


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


def flush_boundary(received_at: int, phase_us: int = 0) -> int:
    """Return the flush boundary (µs) at or before a time of receipt.

    Boundaries are multiples of 5 s, and `phase_us` after them.
    """
    return received_at - (received_at - phase_us) % FLUSH_US


def flush_phase_us(partition: int) -> int:
    """Return by how much the boundaries of a partition lie after multiples of 5 s.

    Were all partitions flushed at one moment, the last would keep its z-scores waiting for all
    others.
    """
    return FLUSH_US * partition // PARTITIONS


def sign_of(scaled: float) -> int:
    """Return the sign of a rate_8h that is clearly not zero, else 0."""
    if scaled >= CLEAR_SIGN_8H:
        return 1
    return -1 if scaled <= -CLEAR_SIGN_8H else 0


_CALM = {
    0.0: (-HIGH_Z, HIGH_Z),
    2.0: (2.0 - BAND, 3.0),
    3.0: (3.0 - BAND, inf),
    -2.0: (-3.0, BAND - 2.0),
    -3.0: (-inf, BAND - 3.0),
}
"""Between which values z stays at a level (`level_of`)."""


class Excursion(msgspec.Struct, array_like=True, gc=False):
    """A threshold that z is beyond, or was beyond within QUIET_US. Times in µs, of events."""

    threshold: float
    since: int
    beyond_at: int
    """The newest time at which z was beyond it."""
    told: bool


class Crossing(NamedTuple):
    """What an update's z leads to."""

    told: Excursion | None
    held_back: list[float]
    """Thresholds of excursions that ended too soon, or were told already."""


class AlertState(msgspec.Struct, array_like=True, gc=False):
    """What the alerts of one contract have told so far. Fields are only ever appended."""

    level: float | None = None
    """The outermost threshold that z is beyond, 0.0: none; None: there was no z yet."""
    excursions: list[Excursion] = []
    flipped_at: int = 0
    """Since when the rate has another sign than the known one (event time, µs); 0: it has not."""

    @property
    def awaits(self) -> bool:
        """True if time alone may lead to an alert."""
        return bool(self.flipped_at or self.excursions)

    def calm_range(self) -> tuple[float, float]:
        """Return between which values z leads to nothing, whatever the time; NaN: there are none.

        It stays at its level there, and all excursions are told.
        """
        if self.level is None or not all(excursion.told for excursion in self.excursions):
            return nan, nan
        return _CALM[self.level]

    def cross(self, z: float, at: int) -> Crossing | None:
        """Take note of the z of an update at `at` (µs); return what it leads to, if anything."""
        before = self.level
        low, high = self.calm_range()
        if low <= z <= high:
            return None
        level = self.level = level_of(z, before or 0.0)
        if before is None:
            self.excursions = [Excursion(t, at, at, told=True) for t in _WITHIN[level]]
            return None
        held_back = self._move(_WITHIN[before], _WITHIN[level], at)
        told = self._lasting(at)
        return Crossing(told, held_back) if told or held_back else None

    def _move(self, before: list[float], beyond: list[float], at: int) -> list[float]:
        """Begin and end excursions; return the thresholds of those that no alert will tell."""
        held_back, kept = [], []
        for excursion in self.excursions:
            threshold = excursion.threshold
            if threshold in before:
                # A rate holds until the next one, so z was beyond the threshold until now.
                excursion.beyond_at = at
            if at - excursion.beyond_at >= QUIET_US:
                continue
            if excursion.told and threshold in beyond and threshold not in before:
                excursion.beyond_at = at
                held_back.append(threshold)
            if excursion.told or threshold in beyond:
                kept.append(excursion)
            else:
                held_back.append(threshold)
        known = {excursion.threshold for excursion in kept}
        kept += [Excursion(t, at, at, told=False) for t in beyond if t not in known]
        self.excursions = kept
        return held_back

    def _lasting(self, at: int) -> Excursion | None:
        """Return the outermost excursion that is to be told now, and mark it and the inner ones."""
        news = [
            e
            for e in self.excursions
            if not e.told and at - e.since >= LASTING_US[abs(e.threshold)]
        ]
        if not news:
            return None
        outermost = max(news, key=lambda e: abs(e.threshold))
        for excursion in self.excursions:
            if excursion.threshold in _WITHIN[outermost.threshold]:
                excursion.told = True
        return outermost

    def flip(self, known: int, sign: int, at: int) -> bool | None:
        """Take note of the sign of an update at `at` (µs): 1, −1, or 0 where it is not clear.

        `known`: the sign that was told last. Returns True if another one is to be told, False if
        it ended too soon, None if nothing follows.
        """
        if sign == known and self.flipped_at:
            self.flipped_at = 0
            return False
        if sign == -known and sign and not self.flipped_at:
            self.flipped_at = at
        # A rate around zero has no sign: the alert waits for the next update with a clear one.
        if not self.flipped_at or sign != -known or at - self.flipped_at < QUIET_US:
            return None
        self.flipped_at = 0
        return True


def level_of(z: float, before: float) -> float:
    """Return the outermost threshold that z is beyond, coming from the level `before`; 0.0: none.

    Beyond +2 means > 2, as in `zone_of`; from there on it is left below 2 − BAND.
    """
    was_beyond = _WITHIN[before]
    for threshold in _OUTERMOST_FIRST:
        outward = z if threshold > 0 else -z
        held = threshold in was_beyond and outward >= abs(threshold) - BAND
        if outward > abs(threshold) or held:
            return threshold
    return 0.0
