"""What the core decides to publish: records for topics, dead letters, and what builds the records.

z-scores are built in emission.py, alerts in alerts.py, audit events in state/audit_counts.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from schemas.rates import HOURS_A_YEAR, REFERENCE_INTERVAL_HOURS, apr, rate_8h
from schemas.records import FundingRate, HourlyBar, Settlement
from schemas.serde.rate_columns import Identity, RateColumns
from schemas.topics import RATES, TopicSpec
from stream_app.core.scoring.settled_intervals import Interval
from stream_app.core.scoring.settlement import Settled
from stream_app.core.state.bars import ClosedBar
from stream_app.core.state.contract_state import ContractState
from stream_app.core.state.item_context import ItemContext
from stream_app.model import RateUpdate, SettlementUpdate


class Output(NamedTuple):
    """A record for a topic. `key`: contract id or feed."""

    topic: TopicSpec
    key: str
    record: Any


class DeadLetter(NamedTuple):
    """Bytes that could not be read, with where they came from and why."""

    key: str | None
    value: bytes
    stage: str
    error: str
    topic: str
    partition: int
    offset: int
    item: int


class RateRow(NamedTuple):
    """An accepted update of one raw record.

    It refers to its contract's state, so it is encoded before the next record is applied.
    """

    contract: ContractState
    update: RateUpdate
    event_time: int
    interval: Interval
    item: int
    received_at: int
    late: bool
    out_of_range: bool = False

    @property
    def plain(self) -> bool:
        """True if `rate_columns` can hold it: no flag is set and no optional value is missing."""
        update = self.update
        return not (
            self.late
            or self.out_of_range
            or self.interval.doubtful
            or update.event_time is None
            or update.mark_price is None
            or update.index_price is None
            or update.next_funding_time is None
        )


class RateRows(NamedTuple):
    """The accepted updates of one raw record, for the topic of rates."""

    at: ItemContext
    rows: Sequence[RateRow]


class Outputs(NamedTuple):
    """All that is to be published at one time."""

    rates: Sequence[RateRows]
    others: Sequence[Output]
    dead_letters: Sequence[DeadLetter]

    def records(self) -> list[Output]:
        """Return all outputs one by one."""
        rates = [rate_output(row, at) for at, rows in self.rates for row in rows]
        return [*rates, *self.others]


def rate_output(row: RateRow, at: ItemContext) -> Output:
    """Return one accepted update as an output."""
    return Output(RATES, row.contract.contract_id, rate_record(row, at))


def rate_record(row: RateRow, at: ItemContext) -> FundingRate:
    """Return the record of an accepted update."""
    contract, update, event_time, interval, item, received_at, late, beyond = row
    hours, interval_source, doubtful = interval
    rate = update.rate
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
        "mark_price": update.mark_price,
        "index_price": update.index_price,
        "next_funding_time": update.next_funding_time,
        "event_time": event_time,
        "event_time_source": "receipt" if update.event_time is None else "exchange",
        "received_at": received_at,
        "transport": at.transport,
        "late": late,
        "raw_topic": at.topic,
        "raw_partition": at.partition,
        "raw_offset": at.offset,
        "raw_item": item,
        "out_of_range": beyond,
        "interval_doubtful": doubtful,
    }


def rate_columns(rows: Sequence[RateRow], feed: str) -> RateColumns:
    """Return plain rows (`RateRow.plain`) as columns, which are encoded together."""
    contracts, updates, event_times, intervals, items, received_at, _late, _beyond = zip(
        *rows, strict=True
    )
    rates = np.array([r.rate for r in updates])
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
        mark_prices=np.array([r.mark_price for r in updates], dtype=np.float64),
        index_prices=np.array([r.index_price for r in updates], dtype=np.float64),
        next_funding_times=[r.next_funding_time for r in updates],
        event_times=event_times,
        received_at=received_at,
        items=items,
    )


def settlement_row(
    contract: ContractState, entry: Settled, funding_time_raw: int | None, at: ItemContext
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
        "kind": "regular",
        "interval_source": entry.interval_source,
        "interval_doubtful": entry.doubtful,
        "generation": contract.generation_at(entry.funding_time),
        "raw_topic": at.topic,
        "raw_partition": at.partition,
        "raw_offset": at.offset,
        "raw_item": at.item,
    }


def special_row(
    contract: ContractState, funding_time: int, update: SettlementUpdate, at: ItemContext
) -> Settlement:
    """Return the record of a special settlement, which has no interval."""
    return {
        "contract_id": contract.contract_id,
        "feed": at.feed,
        "symbol": contract.symbol,
        "funding_time": funding_time,
        "funding_time_raw": update.funding_time_raw,
        "rate": update.rate,
        "interval_hours": None,
        "rate_8h": None,
        "source": update.source,
        "received_at": at.received_at,
        "kind": update.kind,
        "interval_source": None,
        "interval_doubtful": False,
        "generation": contract.generation_at(funding_time),
        "raw_topic": at.topic,
        "raw_partition": at.partition,
        "raw_offset": at.offset,
        "raw_item": at.item,
    }


def bar_row(contract: ContractState, feed: str, bar: ClosedBar) -> HourlyBar:
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
