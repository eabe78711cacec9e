"""Notices when dead letters are no longer a matter of single items. Pure.

A single dead letter concerns its item alone. When most of what comes in a minute are dead letters,
or many come one after the other, the exchange has changed its messages or our reading is wrong, and
no rate arrives any more. The limits hold for all stages: the worker counts the items of a
partition, a producer the messages of a feed, the sink the messages of a table.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from schemas.times import US_PER_MINUTE, hour_floor

MIN_LETTERS = 10
"""Dead letters within a minute, below which their share says nothing."""
LETTERS_SHARE = 0.5
"""Share of all since the minute's first dead letter, beyond which something is wrong."""
LETTERS_IN_A_ROW = 20
"""So many without a good one between them are too many, however slowly they come."""


class Limit(Enum):
    """Which limit dead letters are beyond."""

    SHARE = "share"
    IN_A_ROW = "in a row"


class DeadLetterRate(msgspec.Struct, array_like=True, gc=False):
    """Dead letters in the minute of the newest one and in a row, and the newest alert."""

    minute: int = 0
    """Start of that minute (µs)."""
    letters: int = 0
    items: int = 0
    """All items, good and bad, from the minute's first dead letter on."""
    alerted_hour: int = 0
    """The hour (µs) of the newest alert."""
    in_a_row: int = 0
    """Dead letters since the last good item."""

    def concerns(self, at_us: int, letters: int) -> bool:
        """Tell whether what comes is to be counted: with a dead letter, or soon after one."""
        return letters > 0 or self.in_a_row > 0 or at_us - self.minute < US_PER_MINUTE

    def add(self, at_us: int, letters: int, items: int) -> None:
        """Count items, of which `letters` are dead letters, that came at a time (µs)."""
        minute = at_us - at_us % US_PER_MINUTE
        if minute > self.minute:
            self.minute, self.letters, self.items = minute, 0, 0
        self.letters += letters
        self.items += items
        self.in_a_row = self.in_a_row + letters if letters == items else 0

    def beyond(self) -> Limit | None:
        """Return which limit is passed; None: none is."""
        if self.letters >= MIN_LETTERS and self.letters > LETTERS_SHARE * self.items:
            return Limit.SHARE
        return Limit.IN_A_ROW if self.in_a_row >= LETTERS_IN_A_ROW else None

    def count(self, at_us: int, letters: int, items: int) -> Limit | None:
        """Count items; return, once an hour, the limit that is passed by now."""
        self.add(at_us, letters, items)
        limit, hour = self.beyond(), hour_floor(at_us)
        if limit is None or hour <= self.alerted_hour:
            return None
        self.alerted_hour = hour
        return limit


class TotalsWatch:
    """Watches the totals that a process counts, whenever it is asked, for a metric."""

    def __init__(self) -> None:
        self._rate = DeadLetterRate()
        self._letters = self._good = 0

    def is_beyond(self, at_us: int, letters: int, good: int) -> bool:
        """Tell whether a limit is passed now, by all dead letters and good messages so far.

        A total that has become smaller began anew.
        """
        new_letters = letters - self._letters if letters >= self._letters else letters
        new_good = good - self._good if good >= self._good else good
        self._letters, self._good = letters, good
        if not self._rate.concerns(at_us, new_letters):
            return False
        # Also where nothing is new: a minute that is over must not be judged again.
        self._rate.add(at_us, new_letters, new_letters + new_good)
        return self._rate.beyond() is not None
