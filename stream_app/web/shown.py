"""What the pages show of a contract: the only place where they read the state of contracts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from schemas.rates import rate_8h
from stream_app.core.partition import FeedPartition
from stream_app.core.scoring.statistics import z_of
from stream_app.core.state.contract_store import ContractEntry


class ShownContract(NamedTuple):
    """A contract as the pages show it. Times are UTC µs.

    Without an update the fields of the rate mean nothing.
    """

    contract_id: str
    feed: str
    symbol: str
    base: str
    state: str
    streams: bool
    """Its stream is expected to deliver."""
    backfilling: bool
    """Its history is just coming in."""
    settled: bool
    """It has settlements."""
    updates: int
    """Accepted updates of its rate since it is known."""
    rate: float
    interval_hours: float
    interval_source: str
    interval_doubtful: bool
    z: float | None
    confidence: str
    samples: int
    mark_price: float | None
    next_funding_time: int | None
    event_time: int
    received_at: int
    transport: str


def shown_contracts(partition: FeedPartition) -> Iterator[ShownContract]:
    """Return what is shown of each contract of a partition, those without a rate included.

    The caller may pause between two of them: each is as it is when it is returned.
    """
    for entry in list(partition.store.entries.values()):
        partition.columns.sync_current(entry)
        yield _shown(partition.feed, entry)


def knows(partition: FeedPartition, symbol: str) -> bool:
    """Tell whether a contract is known to a partition, with a rate or without."""
    return symbol in partition.store.entries


def _shown(feed: str, entry: ContractEntry) -> ShownContract:
    contract, stats, z = entry.contract, None, None
    if contract.updates:
        entry.refresh(contract.event_time)
        stats = entry.stats
        if not contract.interval_doubtful:
            z = z_of(rate_8h(contract.rate, contract.interval_hours), stats)
    return ShownContract(
        contract_id=contract.contract_id,
        feed=feed,
        symbol=contract.symbol,
        base=contract.base,
        state=contract.state,
        streams=contract.state.streams,
        backfilling=contract.backfilling,
        settled=len(entry.baseline) > 0,
        updates=contract.updates,
        rate=contract.rate,
        interval_hours=contract.interval_hours,
        interval_source=contract.interval_source,
        interval_doubtful=contract.interval_doubtful,
        z=z,
        confidence=stats.confidence if stats else "none",
        samples=stats.samples if stats else 0,
        mark_price=contract.mark_price,
        next_funding_time=contract.next_funding_time,
        event_time=contract.event_time,
        received_at=contract.received_at,
        transport=contract.transport,
    )
