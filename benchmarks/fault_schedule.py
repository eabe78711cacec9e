"""The default schedule of faults: each kind at least once on each feed within ten minutes. Pure.

A feed that pushes each second gets one fault after another, with a healthy pause behind each, so
that detection, takeover and return can be told apart. One that pushes once a minute has no time for
that: there, faults that leave each other alone share a slot. The feeds run side by side, each a bit
later than the one before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from infra.simulator.faults.kinds import KINDS, can, parse
from infra.simulator.registry import SIMULATED
from schemas.errors import ConfigurationError
from schemas.feeds import spec

OFFSET_S, OFFSETS = 4.0, 6
"""Between two feeds, and after so many feeds again from the start: what they share (a limits group,
the machine) is not hit at one instant, and none begins so late that its faults have no time."""
SLOW_CADENCE_S = 30.0
GONE_S = 5.0
RETRY_AFTER_S = 2
"""Sent as Retry-After with each ban; without it a client stays away for minutes
(docs/exchanges)."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault to be: `at_s` after the schedule's begin; `seconds` None: it is instant."""

    at_s: float
    kind: str
    feed: str
    seconds: float | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def entry(self) -> dict[str, Any]:
        """Return it as the simulator takes it."""
        entry = {"at_s": self.at_s, "kind": self.kind, "feed": self.feed, **self.parameters}
        return entry if self.seconds is None else {**entry, "seconds": self.seconds}


class Part(NamedTuple):
    """One fault of a slot, `at_s` after the slot's begin."""

    kind: str
    seconds: float | None = None
    parameters: Mapping[str, Any] = {}
    at_s: float = 0.0


class Slot(NamedTuple):
    """Faults that belong together, and how long until the next ones."""

    length_s: float
    parts: tuple[Part, ...]


class Schedule(NamedTuple):
    """What is planned, and what could not be: (feed, kind, why)."""

    planned: list[Planned]
    left_out: list[tuple[str, str, str]]

    @property
    def length_s(self) -> float:
        """When the last fault ends."""
        return max((each.at_s + (each.seconds or 0.0) for each in self.planned), default=0.0)


class Subject(NamedTuple):
    """A contract whose interval may change, and its interval."""

    symbol: str
    interval_hours: float


_SILENT = Part("silence", 16, {"share": 0.5})


def _unreachable(kind: str, parameters: Mapping[str, Any]) -> Slot:
    """Half of the stream falls silent, and REST does not help for the first seconds of it."""
    return Slot(32, (_SILENT, Part(kind, 9, parameters)))


_BAN = {"retry_after_s": RETRY_AFTER_S}
_LAG = {"list_lag_s": 15}
"""For so long the list says nothing of what the stream has changed."""
_BAD_TIME = {"field": "time", "unit": "s"}
_BY_SECOND: tuple[Slot, ...] = (
    Slot(
        20,
        (
            Part("close", None, {"abort": True}),
            Part("list", at_s=2),
            Part("listed-twice", 12, at_s=4),
        ),
    ),
    Slot(35, (Part("half-open", 20),)),
    Slot(45, (Part("silence", 22),)),
    Slot(
        14,
        (
            Part("drop", 9, {"p": 0.3}),
            Part("interval-change", None, _LAG, 1),
            Part("unknown-event", at_s=10),
        ),
    ),
    Slot(12, (Part("duplicate", 8), Part("bad-field", 8))),
    Slot(12, (Part("reorder", 8), Part("null-fields", 8))),
    Slot(
        18,
        (
            Part("delay", 9, {"delay_s": 3}),
            Part("clock-move", at_s=1),
            Part("empty-symbol", 12, at_s=2),
        ),
    ),
    Slot(14, (Part("corrupt", 9, {"p": 0.3}), Part("delist", at_s=1), Part("relist", at_s=9))),
    Slot(22, (Part("bad-units", 7, _BAD_TIME), Part("missing-settlement", 15, at_s=1))),
    Slot(
        25,
        (
            Part("clock-skew", 12, {"skew_s": 30}),
            Part("special-settlement", None, {"rate": -0.2}, 1),
            Part("halt", GONE_S, at_s=15),
        ),
    ),
    Slot(50, (Part("refuse-ws", 8), Part("close", at_s=0.1), Part("cap-raise", None, _LAG, 30))),
    Slot(43, (Part("maintenance", 8), Part("zombie", GONE_S, at_s=30))),
    _unreachable("http-429", _BAN),
    _unreachable("http-418", _BAN),
    _unreachable("http-403", _BAN),
    _unreachable("http-5xx", {"status": 502}),
    Slot(32, (_SILENT, Part("slow-rest", 14, {"delay_s": 2}))),
    _unreachable("refuse-rest", {"how": "cut"}),
)
_BY_MINUTE: tuple[Slot, ...] = (
    Slot(
        76,
        (
            Part("refuse-ws", 12),
            Part("close", None, {"abort": True}, 0.1),
            Part("list"),
            Part("listed-twice", 40, at_s=20),
            Part("unknown-event", at_s=50),
        ),
    ),
    Slot(
        78,
        (
            Part("maintenance", 12),
            Part("interval-change", None, _LAG, 40),
            Part("clock-move", at_s=41),
            Part("empty-symbol", 30, at_s=42),
        ),
    ),
    # Silent 75 s after the last push: the REST faults are there when REST is needed.
    Slot(
        166,
        (
            Part("silence", 106),
            Part("http-429", 9, _BAN, 72),
            Part("delist", at_s=60),
            Part("relist", at_s=140),
            Part("missing-settlement", 60, at_s=90),
        ),
    ),
    Slot(
        64,
        (
            Part("duplicate", 62),
            Part("bad-field", 62),
            Part("cap-raise", None, _LAG, 10),
            Part("clock-skew", 62, {"skew_s": 30}),
            Part("http-418", 8, _BAN, 4),
            Part("http-5xx", 8, {"status": 502}, 20),
            Part("slow-rest", 8, {"delay_s": 2}, 36),
        ),
    ),
    Slot(
        64,
        (
            Part("reorder", 62),
            Part("null-fields", 62),
            Part("halt", 50, at_s=4),
            Part("delay", 62, {"delay_s": 3}),
            Part("half-open", 62, {"connection": 0}),
            Part("http-403", 8, _BAN, 4),
            Part("refuse-rest", 8, {"how": "cut"}, 20),
        ),
    ),
    Slot(64, (Part("drop", 62, {"p": 0.5}), Part("corrupt", 62, {"p": 0.5}))),
    Slot(64, (Part("bad-units", 62, {"field": "rate"}),)),
)


def default_schedule(
    feeds: Sequence[str],
    minutes: float,
    subjects: Mapping[str, Subject],
    kinds: Sequence[str] | None = None,
) -> Schedule:
    """Return the schedule of some feeds.

    Args:
        feeds: which.
        minutes: what does not fit is left out, and said so.
        subjects: a contract of each feed whose interval may change.
        kinds: only these; others leave no pause behind.
    """
    planned: list[Planned] = []
    left_out: list[tuple[str, str, str]] = []
    for number, feed in enumerate(feeds):
        offset_s = number % OFFSETS * OFFSET_S
        own = _of_feed(feed, offset_s, minutes * 60.0, subjects.get(feed), kinds)
        planned += own
        # A settlement that is late shows in history; it disturbs nothing else.
        if kinds is None or "settle-late" in kinds:
            until_s = minutes * 60.0 - offset_s
            planned.append(Planned(offset_s, "settle-late", feed, until_s, {"delay_s": 60}))
        left_out += _left_out(feed, planned, kinds)
    return Schedule(sorted(planned, key=lambda each: each.at_s), left_out)


def _of_feed(
    feed: str,
    from_s: float,
    until_s: float,
    subject: Subject | None,
    kinds: Sequence[str] | None,
) -> list[Planned]:
    slots = _BY_MINUTE if spec(feed).cadence_s >= SLOW_CADENCE_S else _BY_SECOND
    planned = []
    at_s = from_s
    for slot in slots:
        parts = [part for part in slot.parts if kinds is None or part.kind in kinds]
        if not parts or at_s + slot.length_s > until_s:
            continue
        for part in parts:
            fault = _fitted(feed, part, at_s, subject)
            if fault is not None:
                planned.append(fault)
        at_s += slot.length_s
    return planned


def _fitted(feed: str, part: Part, slot_s: float, subject: Subject | None) -> Planned | None:
    """Return a fault with what this feed can have; None: it cannot have it."""
    parameters = dict(part.parameters)
    if part.kind == "interval-change":
        if subject is None:
            return None
        parameters |= {
            "symbol": subject.symbol,
            "interval_hours": 4 if subject.interval_hours == 8 else 8,
        }
    elif part.kind == "bad-units" and not SIMULATED[feed].wire.rates_have_times:
        parameters = {"field": "rate"}
    seconds = part.seconds
    if part.kind in {"drop", "corrupt"} and not SIMULATED[feed].wire.rates_have_times:
        # Without times a single push that is missing is none that is late.
        parameters["p"], seconds = 1, GONE_S
    fault = Planned(slot_s + part.at_s, part.kind, feed, seconds, parameters)
    entry = fault.entry()
    del entry["at_s"], entry["kind"]
    try:
        parse(part.kind, entry, {feed: SIMULATED[feed].wire})
    except ConfigurationError:
        return None
    return fault


def _left_out(
    feed: str, planned: Sequence[Planned], kinds: Sequence[str] | None
) -> list[tuple[str, str, str]]:
    have = {each.kind for each in planned if each.feed == feed}
    wire = SIMULATED[feed].wire
    return [
        (feed, kind, can(kind, wire) or "no time left")
        for kind in sorted(KINDS if kinds is None else kinds)
        if kind not in have
    ]
