"""What the routes answer, as types: they are encoded as they stand, and described by OpenAPI.

Times are UTC microseconds; beside each stands the same as ISO 8601 in a field `…_iso`. Rates are
fractions. `rate` is per interval.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict, get_type_hints

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from schemas.records import (
    ALERT,
    FEED_STATUS,
    Alert,
    Confidence,
    FeedState,
    FeedStatus,
    IntervalSource,
    Purpose,
    RecordType,
    Transport,
    Zone,
)
from stream_app.web.history.answers import (
    AuditRow,
    Bars,
    Distribution,
    Estimates,
    Gap,
    PaidLeg,
    Settlements,
    Us,
)
from stream_app.web.history.times_told import iso

QUARTERS = 96
LEVELS = 48


class Refusal(Struct):
    """Why a request was not answered."""

    error: str


class ContractRow(Struct):
    """A contract's newest rate and z-score; with `fields` only those that are asked for."""

    contract_id: str | UnsetType = UNSET
    feed: str | UnsetType = UNSET
    symbol: str | UnsetType = UNSET
    base: str | UnsetType = UNSET
    quote: Annotated[str, Meta(description="Empty: not known.")] | UnsetType = UNSET
    multiplier: (
        Annotated[
            float | None,
            Meta(description="Units of the base asset that a price is of; null: not known."),
        ]
        | UnsetType
    ) = UNSET
    rate: Annotated[float, Meta(description="Fraction per interval.")] | UnsetType = UNSET
    rate_kind: (
        Annotated[
            str, Meta(description="What the exchange's own number is: `estimate`, `fixed`, …")
        ]
        | UnsetType
    ) = UNSET
    interval_hours: float | UnsetType = UNSET
    interval_source: IntervalSource | UnsetType | None = UNSET
    interval_doubtful: bool | UnsetType = UNSET
    rate_8h: float | UnsetType = UNSET
    apr: float | UnsetType = UNSET
    z: float | UnsetType | None = UNSET
    robust_z: float | UnsetType | None = UNSET
    percentile: float | UnsetType | None = UNSET
    mean: Annotated[float, Meta(description="Of the 8-hour rate.")] | UnsetType | None = UNSET
    std: Annotated[float, Meta(description="Of the 8-hour rate.")] | UnsetType | None = UNSET
    samples: int | UnsetType = UNSET
    confidence: Confidence | UnsetType = UNSET
    zone: Zone | UnsetType = UNSET
    stats_as_of: Us | UnsetType | None = UNSET
    stats_as_of_iso: str | UnsetType | None = UNSET
    mark_price: float | UnsetType | None = UNSET
    turnover_24h: (
        Annotated[
            float | None,
            Meta(description="Traded in 24 hours, in the quote asset; null: not known."),
        ]
        | UnsetType
    ) = UNSET
    open_interest: (
        Annotated[
            float | None,
            Meta(
                description="All open positions of one side, in the quote asset; null: not known."
            ),
        ]
        | UnsetType
    ) = UNSET
    next_funding_time: Us | UnsetType | None = UNSET
    next_funding_time_iso: str | UnsetType | None = UNSET
    event_time: Us | UnsetType = UNSET
    event_time_iso: str | UnsetType = UNSET
    received_at: Us | UnsetType = UNSET
    received_at_iso: str | UnsetType = UNSET
    published_at: Annotated[int, Meta(description="Kafka's time, µs.")] | UnsetType = UNSET
    published_at_iso: str | UnsetType = UNSET
    transport: Transport | UnsetType = UNSET


class Contracts(Struct):
    """A page of contracts; `total` is how many there are on all pages."""

    contracts: list[ContractRow]
    total: int
    limit: int
    offset: int


def _with_iso(record_type: RecordType, name: str, **more: Any) -> Any:
    """Return a record's type with the ISO form beside each of its times, and more fields."""
    hints = get_type_hints(record_type.python_type)
    document = msgspec.json.decode(record_type.text)
    fields: dict[str, Any] = {}
    for field in document["fields"]:
        fields[field["name"]] = hints[field["name"]]
        if "timestamp-micros" in str(field["type"]):
            fields[f"{field['name']}_iso"] = str if type(field["type"]) is dict else str | None
    return TypedDict(name, {**fields, **more})  # type: ignore[operator]


AlertRow = _with_iso(ALERT, "AlertRow")
FeedRow = _with_iso(
    FEED_STATUS,
    "FeedRow",
    stale_s=float,
    cadence_s=float,
    contracts=int,
    age_p50_s=float | None,
    age_p99_s=float | None,
    by_rest=int,
    stale=int,
    uptime_day=float | None,
    uptime_week=float | None,
    gaps_24h=int | None,
    matched=int | None,
    mismatch=int | None,
    settled_matched=int | None,
    settled_differs=int | None,
    quarters=Annotated[list[float | None], Meta(min_length=QUARTERS, max_length=QUARTERS)],
)


def told_times(record: Alert | FeedStatus, row_type: Any) -> dict[str, Any]:
    """Return what stands beside the times of a record in its row."""
    names = [name for name in row_type.__annotations__ if name.endswith("_iso")]
    return {name: iso(record[name.removesuffix("_iso")]) for name in names}  # type: ignore[literal-required]


class Alerts(Struct):
    """Alerts, the newest first. Without ClickHouse only those of the last day."""

    alerts: list[AlertRow]  # type: ignore[valid-type]
    available: bool
    reason: str


class Feeds(Struct):
    """The feeds. Without ClickHouse nothing is known of their past."""

    feeds: list[FeedRow]  # type: ignore[valid-type]
    available: bool
    reason: str


class Gaps(Struct):
    """Gaps, the newest first."""

    gaps: list[Gap]
    available: bool
    reason: str


class ContractHistory(Struct):
    """A contract's past. `available` false: something is missing, and `reason` says why."""

    contract_id: str
    from_: Us = msgspec.field(name="from")
    from_iso: str
    to: Us
    to_iso: str
    available: bool
    reason: str
    estimates: Estimates
    bars: Bars
    settlements: Settlements
    distribution: Distribution | None
    gaps: list[Gap]
    audit: list[AuditRow]
    alerts: list[AlertRow]  # type: ignore[valid-type]


class Raw(Struct):
    """The bytes of the exchange behind a contract's newest z-score."""

    contract_id: str
    raw_topic: str
    raw_partition: int
    raw_offset: int
    raw_item: int
    transport: Transport
    purpose: Purpose
    channel: str
    received_at: Us
    received_at_iso: str
    payload: Annotated[str, Meta(description="As UTF-8; other bytes are replaced.")]
    bytes: int
    truncated: bool


class Leg(Struct):
    """One side of a spread."""

    contract_id: str
    feed: str
    rate: float
    interval_hours: float
    rate_8h: float
    event_time: Us
    event_time_iso: str
    mark_price: float | None
    multiplier: float | None
    turnover_24h: Annotated[
        float | None, Meta(description="In 24 hours, in its quote asset; null: not known.")
    ]
    open_interest: float | None


class Spread(Struct):
    """Per base the pair of two feeds whose 8-hour rates lie furthest apart now."""

    base: str
    gap_8h: float
    gap_apr: float
    high: Leg
    low: Leg
    oldest_s: Annotated[float, Meta(description="Age of the older leg's rate, seconds.")]
    price_gap: Annotated[
        float | None,
        Meta(description="How much dearer a unit of the base is on one leg; null: not known."),
    ]
    price_checked: bool
    min_turnover_24h: Annotated[
        float | None, Meta(description="The smaller one of both legs; null: one is not known.")
    ]
    paid_7d: float | None
    paid_30d: float | None
    sign_days: int | None
    days: Annotated[list[float | None], Meta(description="Of 24 hours each, oldest first.")]


class Spreads(Struct):
    """A page of spreads, the widest first."""

    spreads: list[Spread]
    total: int
    limit: int
    offset: int
    available: bool
    reason: str


class Paid(Struct):
    """What settled of two contracts."""

    high: PaidLeg
    low: PaidLeg
    from_: Us = msgspec.field(name="from")
    from_iso: str
    to: Us
    to_iso: str
    available: bool
    reason: str


class Sparklines(Struct):
    """The closes of the last 48 closed hours, a character each: see docs/api.md."""

    hour: Us | None
    hour_iso: str | None
    hours: int
    contract_id: list[str]
    low: list[float]
    high: list[float]
    levels: list[Annotated[str, Meta(min_length=LEVELS, max_length=LEVELS)]]


class FeedNow(Struct):
    """A feed in the summary."""

    feed: str
    state: FeedState
    detail: str
    since: Us
    since_iso: str
    contracts_expected: int
    contracts_live: int


class Extreme(Struct):
    """A contract in the summary."""

    contract_id: str
    z: float
    rate: float
    apr: float


class Baselines(Struct):
    """How many contracts have the history that their z-scores need."""

    loaded: int
    expected: int


class HistoryState(Struct):
    """Whether ClickHouse answers, and if not, why."""

    available: bool
    reason: str


class Summary(Struct):
    """The state at a glance. Up to `history` it is what `/live` sends as `status`."""

    market: Literal["live", "simulated", "mixed", "unknown"]
    caught_up: bool
    baselines: Baselines
    delay_p50_s: float | None
    delay_p99_s: float | None
    records_behind: int | None
    history: HistoryState
    contracts: Annotated[int, Meta(description="With a rate of the last day.")]
    rated: Annotated[int, Meta(description="Of them, those that have a z.")]
    high: Annotated[int, Meta(description="Of them, those with |z| > 2.")]
    stale: Annotated[int, Meta(description="Whose rate is older than their feed allows.")]
    updates: Annotated[int, Meta(description="That producers have received since they started.")]
    feeds: list[FeedNow]
    top: Annotated[list[Extreme], Meta(description="The ten largest |z|.")]
    alerts_24h: int
    newest_hour: Us | None
    newest_hour_iso: str | None
    newest_settlement: Us | None
    newest_settlement_iso: str | None
