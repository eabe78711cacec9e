"""What the probes read of a contract: the only place where they look at the state of contracts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from stream_app.core.partition import FeedPartition


class ShownContract(NamedTuple):
    """A contract as the probes see it. Times are UTC µs.

    Without an update the fields of the rate mean nothing.
    """

    streams: bool
    """Its stream is expected to deliver."""
    backfilling: bool
    """Its history is just coming in."""
    settled: bool
    """It has settlements."""
    updates: int
    """Accepted updates of its rate since it is known."""
    event_time: int
    received_at: int
    transport: str


def shown_contracts(partition: FeedPartition) -> Iterator[ShownContract]:
    """Return what is shown of each contract of a partition, those without a rate included.

    The caller may pause between two of them: each is as it is when it is returned.
    """
    for entry in list(partition.store.entries.values()):
        partition.columns.sync_current(entry)
        contract = entry.contract
        yield ShownContract(
            streams=contract.state.streams,
            backfilling=contract.backfilling,
            settled=len(entry.baseline) > 0,
            updates=contract.updates,
            event_time=contract.event_time,
            received_at=contract.received_at,
            transport=contract.transport,
        )
