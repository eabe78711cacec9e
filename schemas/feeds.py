"""The feeds that fundingstream knows. Registering one more exchange is one more line here.

Not responsible for: what a feed does; producers/exchanges and stream_app/normalise hold a module
of the same name each.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_CONTRACTS = 5_000
"""Of one feed: more than twice the largest list that any exchange has (exchanges.md §1.8)."""
SAME_PUSH_S = 0.7
"""Where frames have no event time: contracts are pushed 0.8 s apart or more (exchanges.md §4.6), so
what two connections bring alike within this is one push. A connection that is further behind brings
it once more."""


class FeedSpec(NamedTuple):
    """What producers and worker both need to know of a feed."""

    name: str
    stale_s: float
    """A contract that has not delivered for this long is stale: its rate holds no longer, and it
    no longer counts as live (exchanges.md §8)."""
    cadence_s: float
    """How often the stream pushes each contract (exchanges.md §8)."""
    missed_after_s: float
    """Updates further apart than this have missed some."""
    derive_settlements: bool = False
    """No timely source of settlements: the last estimate before the hour stands in for them until
    history has the row (exchanges.md §2.6b, §4.7, §5.4b)."""
    settled_decimals: int | None = None
    """Settled rates are rounded to so many decimals, and estimates are not (exchanges.md §5.4b); a
    derived settlement is rounded so as well. None: the two have the same digits, or it is not known
    that they differ (Hyperliquid)."""
    settling_s: float = 0.0
    """Estimates this soon after a settlement are noise and ignored (exchanges.md §3.3)."""
    max_contracts: int = MAX_CONTRACTS
    """A longer list is cut to so many contracts, and an alert tells it."""
    timeless: bool = False
    """Frames of the stream have no event time: receipt stands in for it (exchanges.md §4.6)."""


_SPECS: tuple[FeedSpec, ...] = (
    FeedSpec("binance-usdm", stale_s=10.0, cadence_s=1.0, missed_after_s=1.5),
    FeedSpec(
        "binance-coinm", stale_s=10.0, cadence_s=1.0, missed_after_s=1.5, derive_settlements=True
    ),
    FeedSpec("kucoin", stale_s=150.0, cadence_s=60.0, missed_after_s=90.0, settling_s=90.0),
    # Coins are pushed 0.8 to 1.8 s apart (exchanges.md §4.6): a single one is not to be missed.
    FeedSpec(
        "hyperliquid",
        stale_s=15.0,
        cadence_s=1.0,
        missed_after_s=2.5,
        derive_settlements=True,
        timeless=True,
    ),
    FeedSpec(
        "backpack",
        stale_s=10.0,
        cadence_s=1.0,
        missed_after_s=1.5,
        derive_settlements=True,
        settled_decimals=9,
    ),
)

FEEDS: tuple[str, ...] = tuple(spec.name for spec in _SPECS)
_BY_NAME = {spec.name: spec for spec in _SPECS}


def spec(feed: str) -> FeedSpec:
    """Return what is known of a feed."""
    return _BY_NAME[feed]


def stale_s(feed: str) -> float:
    """Return the stale threshold of a feed, in seconds."""
    return _BY_NAME[feed].stale_s


def module_name(feed: str) -> str:
    """Return the Python module name of a feed id: `binance-usdm` is `binance_usdm`."""
    return feed.replace("-", "_")
