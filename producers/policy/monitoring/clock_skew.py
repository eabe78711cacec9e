"""When the clocks of an exchange and of this machine are reported to differ. Pure."""

from __future__ import annotations

from schemas.control_items import FeedEvent


class ClockSkew:
    """Whether the clocks of one feed's exchange and of this machine differ."""

    def __init__(self, feed: str) -> None:
        self._feed = feed
        self._differ = False

    def observe(self, ahead_s: float, at_us: int) -> tuple[FeedEvent, ...]:
        """Take how far the exchange's clock is ahead (0: they agree); report begin and end."""
        if bool(ahead_s) == self._differ:
            return ()
        self._differ = bool(ahead_s)
        detail = f"the exchange's clock is {ahead_s:+.1f} s from ours" if ahead_s else "ended"
        return (FeedEvent("clock_skew", self._feed, at_us, at_us, detail=detail),)
