"""Notices that most of what a partition gets ends in the dead letters. Pure.

Single dead letters are a matter of their items. When most items are, the exchange has changed its
messages or our reading is wrong, and rates simply stay away. Not responsible for: the letters
themselves (journal.py), the alert's words (alerts.py), records that are no raw batch (ingest.py).
"""

from __future__ import annotations

import msgspec

from schemas.times import US_PER_MINUTE, hour_floor

MIN_LETTERS = 10
"""Within a minute, by receipt."""
LETTERS_SHARE = 0.5
"""Of the items since the minute's first dead letter: more of them are no accident."""


class DeadLetterRate(msgspec.Struct, array_like=True, gc=False):
    """Dead letters of one partition in the minute of its newest one, and when it was told."""

    minute: int = 0
    """Its start (received_at, µs)."""
    letters: int = 0
    items: int = 0
    """All items from the record of the minute's first dead letter on."""
    alerted_hour: int = 0
    """The hour (received_at, µs) of the newest alert."""

    def concerns(self, received_at: int, letters: int) -> bool:
        """Tell whether a record is to be counted: none is before the minute's first dead letter."""
        return letters > 0 or received_at - self.minute < US_PER_MINUTE

    def count(self, received_at: int, letters: int, items: int) -> bool:
        """Count a record; True if it shows that most items are dead letters, once an hour."""
        minute = received_at - received_at % US_PER_MINUTE
        if minute > self.minute:
            self.minute, self.letters, self.items = minute, 0, 0
        self.letters += letters
        self.items += items
        if self.letters < MIN_LETTERS or self.letters <= LETTERS_SHARE * self.items:
            return False
        hour = hour_floor(received_at)
        if hour <= self.alerted_hour:
            return False
        self.alerted_hour = hour
        return True
