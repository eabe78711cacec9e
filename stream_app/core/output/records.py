"""The records that the core publishes, built from its decisions. Pure.

Not responsible for: z-scores and alerts (emission.py), audit events (audit.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import NamedTuple
from zlib import crc32

import numpy as np

from schemas.rates import HOURS_A_YEAR, REFERENCE_INTERVAL_HOURS, apr, rate_8h
from schemas.records import FundingRate, HourlyBar, IntervalSource, RawBatch, Settlement
from schemas.serde.rate_columns import Identity, RateColumns
from stream_app.core.scoring.baseline import Settled
from stream_app.core.state.bars import ClosedBar
from stream_app.core.state.contract_state import Contract
from stream_app.core.state.waiting_room import WaitingItem
from stream_app.model import RateReading


class Position:
    """Where the item at hand stands in the log, and what its batch says.

    One object for a batch: `item` and `received_at` move on.
    """

    __slots__ = (
        "applied_by",
        "applied_item",
        "batch_received_at",
        "boundary",
        "channel",
        "connection",
        "feed",
        "is_stream",
        "item",
        "now_us",
        "offset",
        "partition",
        "purpose",
        "received_at",
        "topic",
        "transport",
    )

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        batch: RawBatch,
        boundary: int,
        now_us: int,
    ) -> None:
        """`boundary`: the flush boundary at or before the batch."""
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.applied_by = offset
        """Offset of the record that brings the item into the state: its own, or, of an item that
        waited for its contract to be listed, that of the listing."""
        self.applied_item = -1
        """The listing's item; −1: it did not wait."""
        self.feed = batch["feed"]
        self.connection = crc32(batch["connection_id"].encode())
        """A number that tells connections apart: their ids have no bound."""
        self.transport = batch["transport"]
        self.purpose = batch["purpose"]
        self.channel = batch["channel"]
        self.is_stream = batch["purpose"] == "stream" and batch["transport"] == "ws"
        self.batch_received_at = batch["received_at"]
        self.boundary = boundary
        self.now_us = now_us
        self.item = -1
        self.received_at = 0

    @property
    def place(self) -> tuple[int, int]:
        """Offset and item in whose turn the item at hand is applied."""
        return self.applied_by, self.item if self.applied_item < 0 else self.applied_item

    def of_waiting(self, waiting: WaitingItem) -> Position:
        """Return the position of an item that has waited and is applied now, in its own place."""
        at = copy(self)
        at.applied_item = self.item
        at.offset, at.item = waiting.raw_offset, waiting.raw_item
        at.received_at = at.batch_received_at = waiting.received_at
        at.purpose, at.transport = waiting.purpose, waiting.transport
        at.channel, at.connection = waiting.channel, waiting.connection
        at.is_stream = waiting.purpose == "stream" and waiting.transport == "ws"
        return at


class Interval(NamedTuple):
    """A funding interval and where it was learnt."""

    hours: float
    source: IntervalSource


class RateRow(NamedTuple):
    """An accepted update of a frame, to be published before the next frame changes its contract."""

    contract: Contract
    reading: RateReading
    event_time: int
    interval: Interval
    item: int
    received_at: int
    late: bool
    out_of_range: bool = False

    @property
    def plain(self) -> bool:
        """True if it can stand in a column: no flag is set, and every optional value is there."""
        reading = self.reading
        return not (
            self.late
            or self.out_of_range
            or reading.event_time is None
            or reading.mark_price is None
            or reading.index_price is None
            or reading.next_funding_time is None
        )


def rate_record(row: RateRow, at: Position) -> FundingRate:
    """Return the record of an accepted update."""
    contract, reading, event_time, (hours, interval_source), item, received_at, late, beyond = row
    rate = reading.rate
    return {
        "contract_id": contract.contract_id,
        "feed": at.feed,
        "symbol": contract.symbol,
        "base": contract.base,
        "quote": contract.quote,
        "multiplier": contract.multiplier,
        "rate": rate,
        "interval_hours": hours,
        "interval_source": interval_source,
        "rate_8h": rate_8h(rate, hours),
        "apr": apr(rate, hours),
        "mark_price": reading.mark_price,
        "index_price": reading.index_price,
        "next_funding_time": reading.next_funding_time,
        "event_time": event_time,
        "event_time_source": "receipt" if reading.event_time is None else "exchange",
        "received_at": received_at,
        "transport": at.transport,
        "late": late,
        "raw_topic": at.topic,
        "raw_partition": at.partition,
        "raw_offset": at.offset,
        "raw_item": item,
        "out_of_range": beyond,
    }


def rate_columns(rows: Sequence[RateRow], feed: str) -> RateColumns:
    """Return the columns of plain rows."""
    contracts, readings, event_times, intervals, items, received_at, _late, _beyond = zip(
        *rows, strict=True
    )
    rates = np.array([r.rate for r in readings])
    hours = np.array([i.hours for i in intervals])
    return RateColumns(
        identities=[
            Identity(c.contract_id, feed, c.symbol, c.base, c.quote, c.multiplier)
            for c in contracts
        ],
        rates=rates,
        interval_hours=hours,
        interval_sources=[i.source for i in intervals],
        rates_8h=rates * REFERENCE_INTERVAL_HOURS / hours,
        aprs=rates * HOURS_A_YEAR / hours,
        mark_prices=np.array([r.mark_price for r in readings], dtype=np.float64),
        index_prices=np.array([r.index_price for r in readings], dtype=np.float64),
        next_funding_times=[r.next_funding_time for r in readings],
        event_times=event_times,
        received_at=received_at,
        items=items,
    )


def settlement_row(
    contract: Contract, entry: Settled, funding_time_raw: int | None, at: Position
) -> Settlement:
    """Return the record of a settlement that is new, or known better than before.

    `funding_time_raw`: as the exchange stamps it; None: the record at hand does not say.
    """
    return {
        "contract_id": contract.contract_id,
        "feed": at.feed,
        "symbol": contract.symbol,
        "funding_time": entry.funding_time,
        "funding_time_raw": entry.funding_time if funding_time_raw is None else funding_time_raw,
        "rate": entry.rate,
        "interval_hours": entry.interval_hours,
        "rate_8h": rate_8h(entry.rate, entry.interval_hours),
        "source": entry.source,
        "received_at": at.received_at,
        "raw_topic": at.topic,
        "raw_partition": at.partition,
        "raw_offset": at.offset,
        "raw_item": at.item,
    }


def bar_row(contract: Contract, feed: str, bar: ClosedBar) -> HourlyBar:
    """Return the record of a closed bar."""
    return {
        "contract_id": contract.contract_id,
        "feed": feed,
        "symbol": contract.symbol,
        "base": contract.base,
        **bar._asdict(),  # type: ignore[typeddict-item]
        # State of an older version does not say it.
        "interval_hours": bar.interval_hours or contract.interval_hours,
    }
