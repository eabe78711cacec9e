"""The records that the core publishes, built from its decisions. Pure.

Not responsible for: z-scores and alerts (emission.py), audit events (audit.py).
"""

from __future__ import annotations

from typing import NamedTuple

from schemas.rates import apr, rate_8h
from schemas.records import FundingRate, HourlyBar, IntervalSource, RawBatch, Settlement
from stream_app.core.bars import ClosedBar
from stream_app.core.baseline import Settled
from stream_app.core.blocks import Contract
from stream_app.normalise.readings import RateReading, SettlementReading


class Position:
    """Where the item at hand stands in the log, and what its batch says.

    One object for a batch: `item` and `received_at` move on.
    """

    __slots__ = (
        "boundary",
        "feed",
        "item",
        "now_us",
        "offset",
        "partition",
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
        self.feed = batch["feed"]
        self.transport = batch["transport"]
        self.boundary = boundary
        self.now_us = now_us
        self.item = -1
        self.received_at = 0


class Interval(NamedTuple):
    """A funding interval and where it was learnt."""

    hours: float
    source: IntervalSource


def rate_row(
    contract: Contract,
    reading: RateReading,
    event_time: int,
    interval: Interval,
    at: Position,
    *,
    late: bool,
) -> FundingRate:
    """Return the record of an accepted update."""
    hours, interval_source = interval
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
        "received_at": at.received_at,
        "transport": at.transport,
        "late": late,
        "raw_topic": at.topic,
        "raw_partition": at.partition,
        "raw_offset": at.offset,
        "raw_item": at.item,
    }


def settlement_row(
    contract: Contract,
    reading: SettlementReading,
    entry: Settled,
    at: Position,
) -> Settlement:
    """Return the record of a settlement that was not known before."""
    return {
        "contract_id": contract.contract_id,
        "feed": at.feed,
        "symbol": contract.symbol,
        "funding_time": entry.funding_time,
        "funding_time_raw": reading.funding_time_raw,
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
        "interval_hours": contract.interval_hours,
        **bar._asdict(),  # type: ignore[typeddict-item]
    }
