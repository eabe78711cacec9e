"""What a rules file says, as values: rules, their conditions, and what holds messages back.

Durations are microseconds. Rates are fractions as in our records; the file has percent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from schemas.records import Confidence, FeedState, Severity
from stream_app.notifier.rules.quiet_hours import QuietHours
from stream_app.notifier.rules.selection import Selection

Direction = Literal["abs", "above", "below"]
SpreadUnit = Literal["rate_8h", "apr"]
GapSubject = Literal["contract", "feed", "any"]
ReportedState = FeedState | Literal["silent"]
"""`silent`: the feed's producer has not reported for SILENT_US."""

CONFIDENCES: tuple[Confidence, ...] = ("none", "low", "medium", "high", "very_high")
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")


@dataclass(frozen=True, slots=True)
class Threshold:
    """A value is beyond `limit`, and inside again when it is `back` within it."""

    direction: Direction
    limit: float
    back: float

    def side(self, value: float) -> int:
        """Return on which side the value is beyond the limit: 1, -1, or 0 if it is not."""
        if self.direction != "below" and value > self.limit:
            return 1
        below = self.limit if self.direction == "below" else -self.limit
        return -1 if self.direction != "above" and value < below else 0

    def inside(self, value: float) -> bool:
        """Tell whether the value is so far within the limit that an excursion is over."""
        if self.direction == "abs":
            return abs(value) <= self.limit - self.back
        if self.direction == "above":
            return value <= self.limit - self.back
        return value >= self.limit + self.back


@dataclass(frozen=True, slots=True)
class RateCondition:
    """z, APR or both of a contract are beyond their thresholds; with both, both must be."""

    z: Threshold | None
    apr: Threshold | None


@dataclass(frozen=True, slots=True)
class SignFlip:
    """The rate of a contract has another sign."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Two feeds of a base differ by more than `limit`, a fraction per 8 h or a year."""

    unit: SpreadUnit
    limit: float
    back: float


@dataclass(frozen=True, slots=True)
class FeedStates:
    """A feed is in one of these states."""

    states: frozenset[str]


@dataclass(frozen=True, slots=True)
class OpenGap:
    """A gap of a contract's stream or of a feed's socket is open."""

    of: GapSubject


@dataclass(frozen=True, slots=True)
class Mismatch:
    """REST contradicts the stream for more than this share of the rates compared."""

    share: float


@dataclass(frozen=True, slots=True)
class Kinds:
    """Our own alerts of these kinds."""

    kinds: frozenset[str]


Condition = RateCondition | SignFlip | Spread | FeedStates | OpenGap | Mismatch | Kinds


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the file."""

    name: str
    condition: Condition
    targets: tuple[str, ...]
    selection: Selection = field(default_factory=Selection)
    confidence: Confidence = "none"
    """Scores of fewer settlements count as not known."""
    severity: Severity | None = None
    """None: that of our own alert, and warning where there is none."""
    hold_us: int = 0
    """How long it must have lasted before it fires."""
    cool_down_us: int = 0
    """Least time between two messages about the same subject."""
    quiet: tuple[QuietHours, ...] = ()
    digest_us: int = 0
    """For how long messages are collected into one; 0: each is sent at once."""
    fingerprint: str = ""
    """Changes when the rule asks for something else, so that its state means nothing any more."""


@dataclass(frozen=True, slots=True)
class RuleFile:
    """A whole rules file: its rules, and the environment variable of each target."""

    rules: tuple[Rule, ...]
    targets: dict[str, str]
