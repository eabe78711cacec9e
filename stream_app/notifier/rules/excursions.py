"""One rule and one subject: whether it is beyond, since when, and whether that was told.

All of it is event time. What happened before a restart stands in a `Track`, which is stored.
"""

from __future__ import annotations

from dataclasses import dataclass

_NEVER = 0


@dataclass(slots=True)
class Track:
    """The state of a rule for a subject. One that is `idle` need not be kept."""

    began: int = _NEVER
    """Time of the event that began the excursion under way; 0: there is none."""
    side: int = 0
    """On which side it is: 1, -1."""
    told: bool = False
    """It was told, or it is a fact: it was so when the rule first looked."""
    told_at: int = _NEVER
    """When the last one was told; 0: never."""
    sign: int = 0
    """Of a sign flip: the sign that counts as known; 0: none yet."""
    note: str = ""
    """Of a spread: the contracts of its two legs."""

    def idle(self, now_us: int, cool_down_us: int) -> bool:
        """Tell whether nothing in it matters any more."""
        cooled = not self.told_at or now_us - self.told_at >= cool_down_us
        return not self.began and not self.sign and cooled


def step(track: Track, side: int, *, inside: bool, at: int, fact: bool = False) -> bool:
    """Take what is so at a time; return whether an excursion began.

    Args:
        track: Is changed.
        side: On which side it is beyond; 0: on none.
        inside: Whether it is far enough within that an excursion is over.
        at: The time.
        fact: What begins now was so before anyone looked: it is not told.
    """
    if track.began and (inside or (side and side != track.side)):
        track.began, track.told = _NEVER, False
    if not side or track.began:
        return False
    track.began, track.side, track.told = at, side, fact
    return True


def due_at(track: Track, hold_us: int, cool_down_us: int) -> int | None:
    """Return when the excursion under way is to be told; None: it was, or there is none."""
    if not track.began or track.told:
        return None
    held = track.began + hold_us
    return max(held, track.told_at + cool_down_us) if track.told_at else held


def fire(track: Track, at: int, hold_us: int, cool_down_us: int) -> bool:
    """Tell whether the excursion is to be told at this time, and note that it was."""
    due = due_at(track, hold_us, cool_down_us)
    if due is None or at < due:
        return False
    track.told, track.told_at = True, at
    return True
