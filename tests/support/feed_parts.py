"""A feed that is not running, over a publisher that remembers; for tests of the producers."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any, cast

from producers.exchanges import exchange
from producers.exchanges.spec import Listing, Slice
from producers.feed.feed import Feed
from producers.policy.rate_limiter import RateLimiter
from producers.policy.throttle import Throttle
from producers.settings import ProducerSettings
from schemas.clock import Clock
from schemas.contract_status import ContractStatus
from tests.support.clock import ManualClock


class FakePublisher:
    """Remembers what was published: purpose, channel and pieces of each call."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str, list[Slice]]] = []
        self.full_for_s = 0.0

    async def publish(self, slices: Any, *, channel: str, purpose: str, **_rest: Any) -> int:
        """Remember the pieces."""
        self.log.append((purpose, channel, list(slices)))
        return len(self.log[-1][2])

    def forget(self, _connection_id: str) -> None:
        """Do nothing: there are no counters of connections."""


def feed_of(
    folder: Path,
    publisher: FakePublisher,
    feed: str = "binance-usdm",
    clock: Clock | None = None,
    *,
    streams: bool = True,
    **more: Any,
) -> Feed:
    """Return a feed that is not running; `more` are settings.

    `streams` False: REST is the source of its rates.
    """
    found = copy(exchange(feed))
    if not streams:
        found.socket_kinds = ()
    return Feed(
        found,
        ProducerSettings(producer_data_dir=str(folder), **more),
        cast("Any", publisher),
        cast("Any", None),
        RateLimiter(found.limits),
        Throttle(1e9),
        "cluster",
        clock or ManualClock(),
    )


def listed(feed: Feed, *symbols: str, **others: ContractStatus) -> None:
    """Have the exchange list these contracts, which trade, and `others` in their states."""
    entries = [Listing(symbol, ContractStatus.TRADING) for symbol in symbols]
    entries += [Listing(symbol, status) for symbol, status in others.items()]
    feed._on_listed(feed.registry.update("list", (), entries))
