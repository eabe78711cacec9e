"""Which changes of a contract's z and sign a person is told of: hysteresis and a pause. Pure.

An exchange moves rates each second, so a z near a threshold passes it a hundred times an hour. The
rule, for each threshold (±2, ±3) by itself and by event time alone:

- z passes it outward beyond |2| or |3|, and inward only below it by BAND (hysteresis).
- Passing outward is told at once. From then on the threshold *stands*: until z has been inside it
  for PAUSE_US, passing it again is the same excursion and is counted, not told.
- When the last standing threshold of a contract ends so, that is told once: z is back inside.

So what a reader was told last holds, or ended less than PAUSE_US ago; an excursion is never told
later than it begins, and 2 to 3, or the other side, waits for nothing. What z is when it first
exists is a fact and no crossing. A sign that changes is told at once as well, and the next change
not before PAUSE_US; if the sign then is another than the reader knows, it is told then.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from schemas.times import US_PER_MINUTE
from stream_app.core.zones import CROSSINGS

BAND = 0.5
"""z has left a threshold when it is this far inside it."""
PAUSE_US = 30 * US_PER_MINUTE
"""How long z is inside a threshold before passing it is news again, and between two sign flips."""
_OUTERMOST_FIRST = sorted(CROSSINGS, key=abs, reverse=True)


class Standing(msgspec.Struct, array_like=True, gc=False):
    """A threshold that z is beyond, or was within the last PAUSE_US. Times in µs, of events."""

    threshold: float
    since: int
    beyond_at: int
    """The newest time at which z was beyond it."""
    told: bool = True
    """False: z was beyond it when it first existed."""
    repeats: int = 0
    """How often it was passed outward again."""


class Crossing(NamedTuple):
    """What an update's z means: `held_back` is counted, the others are told."""

    kind: Literal["beyond", "inside", "held_back"]
    standing: Standing


Flip = Literal["told", "held_back"]


class AlertState(msgspec.Struct, array_like=True, gc=False):
    """What a contract's reader was told. Fields are only ever appended."""

    level: float | None = None
    """The outermost threshold that z is beyond, 0.0: none; None: there was no z yet."""
    standing: list[Standing] = []
    flipped_at: int = 0
    """When a sign flip was told last (event time, µs); 0: never."""
    flip_owed: bool = False
    """The sign is another than the one that was told last."""
    flips: int = 0
    """Sign flips that were held back since."""

    @property
    def awaits(self) -> bool:
        """True if time alone may lead to an alert."""
        return self.flip_owed or bool(self.standing)

    def cross(self, z: float, at: int) -> Crossing | None:
        """Take note of the z of an update at `at` (µs); return what it means, if anything."""
        before = self.level
        level = self.level = level_of(z, before or 0.0)
        if before is None:
            self.standing = [Standing(t, at, at, told=False) for t in _within(level)]
            return None
        if not self.standing and not level:
            return None
        for standing in self.standing:
            # A rate holds until the next one.
            if standing.threshold in _within(before):
                standing.beyond_at = at
        over = [s for s in self.standing if at - s.beyond_at >= PAUSE_US]
        self.standing = [s for s in self.standing if at - s.beyond_at < PAUSE_US]
        passed = [t for t in _within(level) if t not in _within(before)]
        return self._outward(passed, at) if passed else self._ended(over)

    def _outward(self, passed: list[float], at: int) -> Crossing:
        """Note what z has passed outward, outermost first; of what is new, the first is told."""
        known = {s.threshold: s for s in self.standing}
        for threshold in passed:
            if threshold in known:
                known[threshold].beyond_at = at
                known[threshold].repeats += 1
        new = [Standing(t, at, at) for t in passed if t not in known]
        self.standing += new
        if not new:
            return Crossing("held_back", known[passed[0]])
        for standing in self.standing:
            standing.told |= standing.threshold * new[0].threshold > 0
        return Crossing("beyond", new[0])

    def _ended(self, over: list[Standing]) -> Crossing | None:
        if self.standing or not any(s.told for s in over):
            return None
        return Crossing("inside", max(over, key=lambda s: (s.beyond_at, -abs(s.threshold))))

    def flip(self, at: int, *, flipped: bool) -> Flip | None:
        """Take note of an update at `at` (µs), whose sign may be another than the one before."""
        if flipped:
            self.flip_owed = not self.flip_owed
        if self.flip_owed and at - self.flipped_at >= PAUSE_US:
            self.flip_owed, self.flipped_at = False, at
            return "told"
        if flipped:
            self.flips += 1
            return "held_back"
        return None


def level_of(z: float, before: float) -> float:
    """Return the outermost threshold that z is beyond, coming from the level `before`; 0.0: none.

    Beyond +2 means > 2, as in `zone_of`; from there on it is left below 2 − BAND.
    """
    for threshold in _OUTERMOST_FIRST:
        side = 1.0 if threshold > 0 else -1.0
        was_beyond = threshold in _within(before)
        outward = side * z
        if outward > abs(threshold) or (was_beyond and outward >= abs(threshold) - BAND):
            return threshold
    return 0.0


def _within(level: float) -> list[float]:
    """Return the thresholds that a z at a level is beyond, outermost first."""
    return [t for t in _OUTERMOST_FIRST if t * level > 0 and abs(t) <= abs(level)]
