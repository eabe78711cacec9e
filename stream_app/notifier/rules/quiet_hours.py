"""Hours in which nobody is told, by the clock of a time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From one time of day to another; over midnight where `end` is not after `begin`."""

    begin: time
    end: time
    zone: tzinfo
    days: frozenset[int]
    """Days of the week on which they begin: 0 is Monday."""
    critical_passes: bool
    """Critical messages are sent all the same."""
    collect: bool
    """True: what came in them is told in one message when they end. False: it is left out."""

    def ends_at(self, now_us: int) -> int | None:
        """Return when the quiet hours that hold at a time end, in µs; None: they do not hold."""
        now = _EPOCH + timedelta(microseconds=now_us)
        local = now.astimezone(self.zone)
        # They may have begun yesterday, by the zone's clock.
        for days_ago in (0, 1):
            day = local.date() - timedelta(days=days_ago)
            if day.weekday() not in self.days:
                continue
            over_midnight = self.end <= self.begin
            last = day + timedelta(days=1) if over_midnight else day
            begin = datetime.combine(day, self.begin, self.zone).astimezone(UTC)
            end = datetime.combine(last, self.end, self.zone).astimezone(UTC)
            if begin <= now < end:
                return (end - _EPOCH) // timedelta(microseconds=1)
        return None


def quiet_until(hours: tuple[QuietHours, ...], now_us: int) -> tuple[QuietHours, int] | None:
    """Return the quiet hours that hold and when they end; None: none do.

    Of several the one that ends last counts.
    """
    holding = [(each, end) for each in hours if (end := each.ends_at(now_us)) is not None]
    return max(holding, key=lambda pair: pair[1], default=None)
