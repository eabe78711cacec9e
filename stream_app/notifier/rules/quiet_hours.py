"""Hours in which nobody is told, by the clock of a time zone."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


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
        """Return when the quiet hours that hold at a time end, in µs; None: they do not hold.

        Where the clock is set back they begin at the first and end at the last of the two moments
        at which it shows a time, so that they have no break.
        """
        now = _EPOCH + timedelta(microseconds=now_us)
        local = now.astimezone(self.zone)
        # They may have begun yesterday, by the zone's clock. Those come first: where the clock is
        # set back, today's may begin before they end.
        for days_ago in (1, 0):
            day = local.date() - timedelta(days=days_ago)
            if day.weekday() not in self.days:
                continue
            over_midnight = self.end <= self.begin
            last = day + timedelta(days=1) if over_midnight else day
            begin = _moment(datetime.combine(day, self.begin), self.zone, is_last=False)
            end = _moment(datetime.combine(last, self.end), self.zone, is_last=True)
            if begin <= now < end:
                return (end - _EPOCH) // timedelta(microseconds=1)
        return None


def _moment(shown: datetime, zone: tzinfo, *, is_last: bool) -> datetime:
    """Return when the clock of a zone shows a time: the first or last moment, if there are two.

    A time that the clock jumps over is the moment at which it does.
    """

    def clock(moment: datetime) -> datetime:
        return moment.astimezone(zone).replace(tzinfo=None)

    # By the offsets before and after a change: where the clock jumps, the second is the sooner one.
    moments = [shown.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    if clock(moments[0]) == shown:
        return moments[is_last]
    later, sooner = moments
    seconds = range((later - sooner) // _SECOND + 1)
    return sooner + _SECOND * bisect_left(
        seconds, shown, key=lambda second: clock(sooner + _SECOND * second)
    )


def quiet_until(hours: tuple[QuietHours, ...], now_us: int) -> tuple[QuietHours, int] | None:
    """Return the quiet hours that hold and when they end; None: none do.

    Of several the one that ends last counts.
    """
    holding = [(each, end) for each in hours if (end := each.ends_at(now_us)) is not None]
    return max(holding, key=lambda pair: pair[1], default=None)
