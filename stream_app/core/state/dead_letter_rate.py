"""Notices when most items of a partition become dead letters.

A single dead letter concerns its item alone. When most items are dead letters, the exchange has
changed its messages or our normaliser is wrong, and no rate arrives any more.
"""

from __future__ import annotations

import msgspec

from schemas.times import US_PER_MINUTE, hour_floor

MIN_LETTERS = 10
"""Dead letters within a minute of receipt, below which there is no alert."""
LETTERS_SHARE = 0.5
"""Share of the items since the minute's first dead letter above which there is an alert."""


class DeadLetterRate(msgspec.Struct, array_like=True, gc=False):
    """Dead letters of one partition in the minute of the newest one, and the newest alert."""

    minute: int = 0
    """Start of that minute (received_at, µs)."""
    letters: int = 0
    items: int = 0
    """All items from the record of the minute's first dead letter on."""
    alerted_hour: int = 0
    """The hour (received_at, µs) of the newest alert."""

    def concerns(self, received_at: int, letters: int) -> bool:
        """Tell whether a record is to be counted: from the minute's first dead letter on."""
        return letters > 0 or received_at - self.minute < US_PER_MINUTE

    def count(self, received_at: int, letters: int, items: int) -> bool:
        """Count a record; return True, once an hour, if most items are dead letters by now."""
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
