"""The records on Kafka as types: one TypedDict for each Avro schema, with the same fields.

Times are integers here, UTC microseconds; an outside Avro deserialiser gives datetimes. A test
holds that the fields are those of schemas/avro.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, TypedDict

from schemas.audit_facts import FactFields

Transport = Literal["ws", "rest"]
Purpose = Literal["contract", "stream", "fallback", "reconcile", "history"]
IntervalSource = Literal["payload", "exchange_info", "observed", "assumed"]
EventTimeSource = Literal["exchange", "receipt"]
SettlementSource = Literal["history", "stream", "derived"]
SettlementKind = Literal["regular", "special"]
Confidence = Literal["none", "low", "medium", "high", "very_high"]
Zone = Literal["high", "normal", "unrated"]
Trigger = Literal["first", "zone", "cross", "rate_change", "flush"]
Severity = Literal["info", "warning", "critical"]
NotificationOutcome = Literal[
    "collecting", "waiting", "sending", "sent", "failed", "suppressed", "digest", "unknown"
]
FeedState = Literal["connecting", "live", "stalled", "fallback", "recovering", "down"]


MAX_BATCH_ITEMS = 4_096
"""Of one RawBatch, as producers make them."""
MAX_READ_ITEMS = 4 * MAX_BATCH_ITEMS
"""Workers refuse a record with more items; no version of the producers makes one."""
MAX_CHANNEL_BYTES = 128
"""As UTF-8: what a longer channel brings goes to the dead letters."""


class RawItem(TypedDict):
    symbol: str | None
    payload: bytes
    received_at: int


class RawBatch(TypedDict):
    feed: str
    transport: Transport
    purpose: Purpose
    channel: str
    connection_id: str
    sequence: int
    received_at: int
    items: list[RawItem]


class RawCoordinates(TypedDict):
    raw_topic: str
    raw_partition: int
    raw_offset: int
    raw_item: int


class Settlement(RawCoordinates):
    contract_id: str
    feed: str
    symbol: str
    funding_time: int
    funding_time_raw: int
    rate: float
    interval_hours: float | None
    rate_8h: float | None
    source: SettlementSource
    received_at: int
    kind: SettlementKind
    interval_source: IntervalSource | None
    interval_doubtful: bool
    generation: int


class FundingRate(RawCoordinates):
    contract_id: str
    feed: str
    symbol: str
    base: str
    quote: str
    multiplier: float
    rate: float
    interval_hours: float
    interval_source: IntervalSource
    rate_8h: float
    apr: float
    mark_price: float | None
    index_price: float | None
    next_funding_time: int | None
    event_time: int
    event_time_source: EventTimeSource
    received_at: int
    transport: Transport
    late: bool
    out_of_range: bool
    interval_doubtful: bool
    rate_kind: str


class ZScore(RawCoordinates):
    contract_id: str
    feed: str
    symbol: str
    base: str
    rate: float
    interval_hours: float
    rate_8h: float
    apr: float
    z: float | None
    robust_z: float | None
    percentile: float | None
    mean: float | None
    std: float | None
    samples: int
    confidence: Confidence
    stats_as_of: int | None
    zone: Zone
    trigger: Trigger
    crossed: float | None
    mark_price: float | None
    next_funding_time: int | None
    event_time: int
    received_at: int
    computed_at: int
    transport: Transport
    interval_source: IntervalSource | None
    interval_doubtful: bool
    generation: int
    rate_kind: str
    quote: str | None
    multiplier: float | None


class Contract(RawCoordinates):
    contract_id: str
    feed: str
    symbol: str
    base: str
    quote: str
    multiplier: float
    status: str
    status_word: str | None
    interval_hours: float | None
    rate_cap: float | None
    rate_floor: float | None
    listed_at: int | None
    rate_kind: str
    turnover_24h: float | None
    turnover_at: int | None
    open_interest: float | None
    open_interest_at: int | None
    updated_at: int


class HourlyBar(TypedDict):
    contract_id: str
    feed: str
    symbol: str
    base: str
    hour: int
    open: float
    high: float
    low: float
    close: float
    mean: float
    std: float
    covered_s: float
    updates: int
    late_updates: int
    z_min: float | None
    z_max: float | None
    z_close: float | None
    interval_hours: float
    mark_close: float | None
    ws_s: float
    rest_s: float


class OptionalRawCoordinates(TypedDict):
    raw_topic: str | None
    raw_partition: int | None
    raw_offset: int | None
    raw_item: int | None


class Alert(OptionalRawCoordinates):
    alert_id: str
    subject: str
    kind: str
    severity: Severity
    value: float | None
    threshold: float | None
    message: str
    event_time: int
    created_at: int


class AuditEvent(OptionalRawCoordinates, FactFields):
    subject: str
    kind: str
    count: int
    first_event_time: int
    last_event_time: int
    detail: str


class FeedStatus(TypedDict):
    feed: str
    state: FeedState
    transport: Transport | None
    since: int
    reported_at: int
    last_data_at: int | None
    contracts_expected: int
    contracts_live: int
    connections: int
    connects: int
    frames: int
    updates: int
    rest_calls: int
    backfill_done: int
    detail: str
    mode: str
    contracts_by_rest: int
    connect_attempts: int
    rest_failures: int
    repeated: int
    simulated: bool
    limit_used: float | None
    contracts_quiet: int


class WorkerStatus(TypedDict):
    worker: str
    reported_at: int
    started_at: int
    partitions: int
    records_behind: int
    records: int
    delay_p50_s: float | None
    delay_p99_s: float | None
    contradicted_feeds: list[str]


class Notification(TypedDict):
    alert_id: str
    group: str
    rule: str
    target: str
    subject: str
    kind: str
    severity: Severity
    value: float | None
    title: str
    message: str
    event_time: int
    created_at: int
    updated_at: int
    due_at: int | None
    sent_at: int | None
    attempts: int
    outcome: NotificationOutcome
    digest_id: str | None
    in_doubt: bool
    detail: str


@dataclass(frozen=True, slots=True)
class RecordType:
    """One Avro record: its name, which is also its file's, and its Python type."""

    name: str
    python_type: type

    @property
    def text(self) -> str:
        """The schema as JSON text, as it is registered."""
        return _schema_text(self.name)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields, in the order of the schema."""
        document: dict[str, Any] = json.loads(self.text)
        return tuple(field["name"] for field in document["fields"])


@cache
def _schema_text(name: str) -> str:
    return files("schemas").joinpath("avro", f"{name}.avsc").read_text(encoding="utf-8")


RAW_BATCH = RecordType("RawBatch", RawBatch)
SETTLEMENT = RecordType("Settlement", Settlement)
FUNDING_RATE = RecordType("FundingRate", FundingRate)
ZSCORE = RecordType("ZScore", ZScore)
HOURLY_BAR = RecordType("HourlyBar", HourlyBar)
CONTRACT = RecordType("Contract", Contract)
ALERT = RecordType("Alert", Alert)
AUDIT_EVENT = RecordType("AuditEvent", AuditEvent)
FEED_STATUS = RecordType("FeedStatus", FeedStatus)
WORKER_STATUS = RecordType("WorkerStatus", WorkerStatus)
NOTIFICATION = RecordType("Notification", Notification)

RECORD_TYPES: tuple[RecordType, ...] = (
    RAW_BATCH,
    SETTLEMENT,
    FUNDING_RATE,
    ZSCORE,
    HOURLY_BAR,
    CONTRACT,
    ALERT,
    AUDIT_EVENT,
    FEED_STATUS,
    WORKER_STATUS,
    NOTIFICATION,
)
