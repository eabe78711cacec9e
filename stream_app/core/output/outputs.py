"""What the core decides to publish: records for topics, dead letters, and what builds the records.

z-scores are built in emission.py, alerts in alerts.py, audit events in state/audit_counts.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from schemas.rates import apr, rate_8h
from schemas.records import Contract, FundingRate, HourlyBar, Settlement
from schemas.serde.codec import Decoder
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
    value: bytes | None = None
    """The record encoded; None: it is not yet."""


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


class Accepted(NamedTuple):
    """An accepted update of a contract."""

    update: RateUpdate
    event_time: int
    interval: Interval
    late: bool
    out_of_range: bool


class EncodedRecords(NamedTuple):
    """Records for a topic that are encoded already (columns/), with their keys."""

    topic: TopicSpec
    keys: Sequence[bytes]
    values: Sequence[bytes]

    def decoded(self) -> list[Output]:
        """Return them one by one."""
        record_type = self.topic.record_type
        assert record_type is not None, "an Avro topic"
        decode = Decoder(record_type, lambda _id: record_type.text).decode
        return [
            Output(self.topic, key.decode(), decode(value))
            for key, value in zip(self.keys, self.values, strict=True)
        ]


class Outputs(NamedTuple):
    """All that is to be published at one time, each key's records in their order."""

    rates: Sequence[Output | EncodedRecords]
    others: Sequence[Output | EncodedRecords]
    dead_letters: Sequence[DeadLetter]

    def records(self) -> list[Output]:
        """Return all outputs one by one."""
        found: list[Output] = []
        for some in (*self.rates, *self.others):
            found += some.decoded() if isinstance(some, EncodedRecords) else [some]
        return found


def rate_output(
    contract: ContractState, accepted: Accepted, rate_kind: str, at: ItemContext
) -> Output:
    """Return an accepted update as an output. `rate_kind`: of the feed."""
    return Output(RATES, contract.contract_id, _rate_record(contract, accepted, rate_kind, at))


def _rate_record(
    contract: ContractState, accepted: Accepted, rate_kind: str, at: ItemContext
) -> FundingRate:
    update, event_time, interval, late, beyond = accepted
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
        "received_at": at.received_at,
        "transport": at.transport,
        "late": late,
        "raw_topic": at.topic,
        "raw_partition": at.partition,
        "raw_offset": at.offset,
        "raw_item": at.item,
        "out_of_range": beyond,
        "interval_doubtful": doubtful,
        "rate_kind": rate_kind,
    }


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


def contract_row(contract: ContractState, rate_kind: str, at: ItemContext) -> Contract:
    """Return the record of a contract's facts as they are now."""
    facts = contract.facts
    return {
        "contract_id": contract.contract_id,
        "feed": at.feed,
        "symbol": contract.symbol,
        "base": contract.base,
        "quote": contract.quote,
        "multiplier": contract.multiplier,
        "status": contract.state.value,
        "status_word": facts.status_word or None,
        "interval_hours": contract.listed_interval_hours,
        "rate_cap": contract.rate_cap,
        "rate_floor": contract.rate_floor,
        "listed_at": contract.listed_at,
        "rate_kind": rate_kind,
        "turnover_24h": facts.turnover_24h,
        "turnover_at": facts.turnover_at or None,
        "open_interest": facts.open_interest,
        "open_interest_at": facts.open_interest_at or None,
        "updated_at": at.received_at,
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
