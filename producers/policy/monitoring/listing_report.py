"""Reports on an exchange's list: contracts that come and go, and those beyond the limit. Pure."""

from __future__ import annotations

from producers.policy.instruments import Change
from schemas.control_items import FeedEvent
from schemas.partitioning import contract_id

SURPLUS_EVERY_S = 3_600.0


class ListingReport:
    """The reports about one feed's list."""

    def __init__(self, feed: str) -> None:
        self._feed = feed
        self._surplus_s = float("-inf")
        """When contracts beyond the limit were last reported."""

    def observe(self, change: Change, now_s: float, at_us: int, *, first: bool) -> list[FeedEvent]:
        """Take a change of the list. The contracts of the `first` list are no news."""
        events = self._surplus(change.surplus, now_s, at_us)
        if not first:
            for kind, symbols in (("listed", change.listed), ("delisted", change.delisted)):
                subjects = (contract_id(self._feed, symbol) for symbol in sorted(symbols))
                events += [FeedEvent(kind, subject, at_us, at_us) for subject in subjects]
        return events

    def _surplus(self, surplus: int, now_s: float, at_us: int) -> list[FeedEvent]:
        """Report once an hour that the exchange lists more contracts than a feed may have."""
        if not surplus or now_s - self._surplus_s < SURPLUS_EVERY_S:
            return []
        self._surplus_s = now_s
        detail = f"the exchange lists {surplus} contracts beyond the limit of the feed"
        return [FeedEvent("contract_cap", self._feed, at_us, at_us, surplus, detail)]
