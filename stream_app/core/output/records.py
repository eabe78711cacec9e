"""The records that the core publishes, built from its decisions. Pure.

Not responsible for: z-scores and alerts (emission.py), audit events (audit.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from schemas.rates import HOURS_A_YEAR, REFERENCE_INTERVAL_HOURS, apr, rate_8h
from schemas.records import FundingRate, HourlyBar, Settlement
from schemas.serde.rate_columns import Identity, RateColumns
from stream_app.core.scoring.baseline import Settled
from stream_app.core.state.bars import ClosedBar
from stream_app.core.state.contract_state import ContractState
from stream_app.core.state.item_context import Interval, ItemContext
from stream_app.model import RateUpdate


class RateRow(NamedTuple):
    """An accepted update of a frame, to be published before the next frame changes its contract."""

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
        """True if it can stand in a column: no flag is set, and every optional value is there."""
        update = self.update
        return not (
            self.late
            or self.out_of_range
            or update.event_time is None
            or update.mark_price is None
            or update.index_price is None
            or update.next_funding_time is None
        )


def rate_record(row: RateRow, at: ItemContext) -> FundingRate:
    """Return the record of an accepted update."""
    contract, update, event_time, (hours, interval_source), item, received_at, late, beyond = row
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
