"""Which excursions of a contract's z, and which changes of its sign, a person is told of. Pure.

An exchange moves rates each second: a z near a threshold passes it a hundred times an hour. The
rule, for each threshold (±2, ±3) by itself and by event time alone:

- z passes a threshold outward beyond |2| or |3|, and is back when it is BAND inside (hysteresis).
- Beyond ±3 is told at once, beyond ±2 when it has lasted (LASTING_US), as most such are over
  before. Who is told of ±3 is not told of ±2 as well.
- Then the threshold stands until z has been back for QUIET_US: what passes it again before that is
  the same excursion. So 2 to 3, and the other side, are told while ±2 stands.
- What z is when it first exists is a fact and no excursion.
- A sign is told when it has been another than the one told last for QUIET_US.

What is over sooner, or told already, is counted. It is not lost either: every crossing is in the
z-scores, at once.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from schemas.times import US_PER_HOUR, US_PER_MINUTE
from stream_app.core.scoring.zones import CROSSINGS, HIGH_Z

BAND = 0.5
"""z is back when it is this far inside a threshold."""
LASTING_US = {2.0: 5 * US_PER_MINUTE, 3.0: 0}
"""How long an excursion lasts before it is told, by the threshold's size."""
QUIET_US = 4 * US_PER_HOUR
"""How long z is back before an excursion is a new one; how long a new sign lasts before it is
told."""
_OUTERMOST_FIRST = sorted(CROSSINGS, key=abs, reverse=True)


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
    """Thresholds of excursions that are over too soon, or were told already."""


class AlertState(msgspec.Struct, array_like=True, gc=False):
    """What a contract's reader was told. Fields are only ever appended."""

    level: float | None = None
    """The outermost threshold that z is beyond, 0.0: none; None: there was no z yet."""
    excursions: list[Excursion] = []
    flipped_at: int = 0
    """Since when the rate has another sign than the known one (event time, µs); 0: it has not."""

    @property
    def awaits(self) -> bool:
        """True if time alone may lead to an alert."""
        return bool(self.flipped_at or self.excursions)

    def cross(self, z: float, at: int) -> Crossing | None:
        """Take note of the z of an update at `at` (µs); return what it leads to, if anything."""
        before = self.level
        if before == 0.0 and not self.excursions and -HIGH_Z <= z <= HIGH_Z:
            return None
        level = self.level = level_of(z, before or 0.0)
        if before is None:
            self.excursions = [Excursion(t, at, at, told=True) for t in _within(level)]
            return None
        held_back = self._move(_within(before), _within(level), at)
        told = self._lasting(at)
        return Crossing(told, held_back) if told or held_back else None

    def _move(self, before: list[float], beyond: list[float], at: int) -> list[float]:
        """Begin and end excursions; return the thresholds of those that are nobody's news."""
        held_back, kept = [], []
        for excursion in self.excursions:
            threshold = excursion.threshold
            if threshold in before:
                # A rate holds until the next one.
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
        """Return the outermost excursion that is told now, with those inside of it."""
        news = [e for e in self.excursions if not e.told and at - e.since >= _lasting_us(e)]
        if not news:
            return None
        outermost = max(news, key=lambda e: abs(e.threshold))
        for excursion in self.excursions:
            if excursion.threshold in _within(outermost.threshold):
                excursion.told = True
        return outermost

    def flip(self, known: int, sign: int, at: int) -> bool | None:
        """Take note of the sign of an update at `at` (µs): 1, −1, or 0 where it is not clear.

        `known`: the sign that a reader knows. Returns True if another one is told, False if it is
        over too soon.
        """
        if sign == known and self.flipped_at:
            self.flipped_at = 0
            return False
        if sign == -known and sign and not self.flipped_at:
            self.flipped_at = at
        # Around zero nobody pays: what lasted is told by the next update that has the sign.
        if not self.flipped_at or sign != -known or at - self.flipped_at < QUIET_US:
            return None
        self.flipped_at = 0
        return True


def level_of(z: float, before: float) -> float:
    """Return the outermost threshold that z is beyond, coming from the level `before`; 0.0: none.

    Beyond +2 means > 2, as in `zone_of`; from there on it is left below 2 − BAND.
    """
    for threshold in _OUTERMOST_FIRST:
        outward = z if threshold > 0 else -z
        was_beyond = threshold in _within(before)
        if outward > abs(threshold) or (was_beyond and outward >= abs(threshold) - BAND):
            return threshold
    return 0.0


def _within(level: float) -> list[float]:
    """Return the thresholds that a z at a level is beyond, outermost first."""
    return [t for t in _OUTERMOST_FIRST if t * level > 0 and abs(t) <= abs(level)]


def _lasting_us(excursion: Excursion) -> int:
    return LASTING_US[abs(excursion.threshold)]
