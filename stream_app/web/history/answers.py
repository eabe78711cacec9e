"""What the history answers, as it is encoded: times are UTC microseconds, rates fractions."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from schemas.records import SettlementKind, SettlementSource

Us = Annotated[int, Meta(description="UTC microseconds since the epoch.")]
BINS = 44


class Estimates(Struct):
    """The estimated rate over time: at most 1,500 points, the extremes of each span among them."""

    time: list[Us] = []
    rate_8h: list[float] = []
    z: list[float | None] = []


class Bars(Struct):
    """Closed hours, by their begin. Rates are of eight hours."""

    hour: list[Us] = []
    open: list[float] = []
    high: list[float] = []
    low: list[float] = []
    close: list[float] = []
    mean: list[float] = []
    z_min: list[float | None] = []
    z_max: list[float | None] = []
    covered_s: list[float] = []


class Settlements(Struct):
    """Settled rates. A special settlement has no interval, and so no rate of eight hours."""

    funding_time: list[Us] = []
    rate: list[float] = []
    rate_8h: list[float | None] = []
    interval_hours: list[float | None] = []
    kind: list[SettlementKind] = []
    source: list[SettlementSource] = []


class Distribution(Struct):
    """How the rates of eight hours of the baseline's window are distributed."""

    low: float
    high: float
    counts: Annotated[list[int], Meta(min_length=BINS, max_length=BINS)]
    """Of bins of equal width from `low` to `high`."""
    samples: int


class Gap(Struct):
    """A time in which a contract's stream, or a feed's connection, brought nothing."""

    feed: str
    subject: str
    opened_at: Us
    opened_at_iso: str
    closed_at: Us | None
    closed_at_iso: str | None
    seconds: float
    filled_by: str
    cause: str | None
    socket: str
    rest_filled_s: float | None


class AuditRow(Struct):
    """A decision about the contract that was not the plain path."""

    kind: str
    first_event_time: Us
    first_event_time_iso: str
    last_event_time: Us
    last_event_time_iso: str
    count: int
    detail: str


class PaidLeg(Struct):
    """What settled of one contract."""

    contract_id: str
    funding_time: list[Us]
    rate: list[float]


class FeedPast(Struct):
    """What ClickHouse knows of a feed's last day and week; None: not known."""

    uptime_day: float | None = None
    uptime_week: float | None = None
    gaps_24h: int | None = None
    matched: int | None = None
    mismatch: int | None = None
    settled_matched: int | None = None
    settled_differs: int | None = None
    missing_s: dict[int, float] = msgspec.field(default_factory=dict)
    """By quarter of an hour since the epoch: for how many contract seconds no rate was known."""
    observed_from: int | None = None
    """The first quarter of the last day in which the feed's producer reported."""


Availability = Literal["available", "reason"]
