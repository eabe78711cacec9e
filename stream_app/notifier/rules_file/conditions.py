"""Reads the `when` of a rule: one condition, or z and APR together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import get_args

from yaml.nodes import MappingNode, Node

from schemas.records import FeedState
from stream_app.notifier.rules.model import (
    Condition,
    Direction,
    FeedStates,
    GapSubject,
    Mismatch,
    OpenGap,
    RateCondition,
    SignFlip,
    Spread,
    SpreadUnit,
    Threshold,
)
from stream_app.notifier.rules_file.nodes import NodeReader
from stream_app.notifier.rules_file.problems import listed

CONDITIONS = ("z", "apr", "spread", "sign_flip", "feed_state", "gap", "mismatch")
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
STATES = (*get_args(FeedState), "silent")
GAP_SUBJECTS: tuple[GapSubject, ...] = get_args(GapSubject)
UNITS: tuple[SpreadUnit, ...] = get_args(SpreadUnit)
MAX_Z = 1_000.0
MAX_PERCENT = 1_000_000.0
MAX_LASTING_S = 30 * 86_400
_Z_BACK = 0.5
_BACK_SHARE = 0.1
"""Of the limit: how far APR and spreads must be back inside unless the file says so."""


@dataclass(frozen=True, slots=True)
class When:
    """A condition, and how long it must have lasted where the condition itself says so."""

    condition: Condition
    hold_us: int | None = None


def read_when(reader: NodeReader, node: Node) -> When | None:
    """Return the condition of a rule, or None and what is wrong with it."""
    entries = reader.mapping(node, "`when`", CONDITIONS)
    if not entries:
        if isinstance(node, MappingNode) and not node.value:
            reader.wrong(node, f"`when` has a condition: {listed(CONDITIONS)}")
        return None
    names = set(entries)
    if len(names) > 1 and not names <= {"z", "apr"}:
        reader.wrong(node, "`when` has one condition; z and apr alone may stand together")
        return None
    if names <= {"z", "apr"}:
        return _rates(reader, {name: entry.value for name, entry in entries.items()})
    (name,) = names
    return _READERS[name](reader, entries[name].value)


def _rates(reader: NodeReader, nodes: Mapping[str, Node]) -> When | None:
    found = {name: _threshold(reader, node, name) for name, node in nodes.items()}
    if None in found.values():
        return None
    return When(RateCondition(found.get("z"), found.get("apr")))


def _sign_flip(reader: NodeReader, node: Node) -> When | None:
    if reader.boolean(node, "`sign_flip`") is False:
        reader.wrong(node, "`sign_flip` is true, or left out")
    return When(SignFlip())


def _threshold(reader: NodeReader, node: Node, name: str) -> Threshold | None:
    what = f"`{name}`"
    entries = reader.mapping(node, what, (*DIRECTIONS, "back"))
    given = [direction for direction in DIRECTIONS if direction in entries]
    if len(given) != 1:
        reader.wrong(node, f"{what} has one of {listed(DIRECTIONS)}")
        return None
    direction = given[0]
    highest = MAX_Z if name == "z" else MAX_PERCENT
    lowest = 0.0 if direction == "abs" else -highest
    limit = reader.number(entries[direction].value, f"`{direction}` of {name}", lowest, highest)
    if limit is None:
        return None
    back: float | None = _Z_BACK if name == "z" else abs(limit) * _BACK_SHARE
    if direction == "abs":
        # With a limit below the usual width no value would ever be back.
        back = min(back or 0.0, limit)
    if "back" in entries:
        most = limit if direction == "abs" else highest
        back = reader.number(entries["back"].value, f"`back` of {name}", 0, most)
    if back is None:
        return None
    scale = 1.0 if name == "z" else 0.01
    return Threshold(direction, limit * scale, back * scale)


def _spread(reader: NodeReader, node: Node) -> When | None:
    entries = reader.mapping(node, "`spread`", (*UNITS, "back"))
    given = [unit for unit in UNITS if unit in entries]
    if len(given) != 1:
        reader.wrong(node, f"`spread` has one of {listed(UNITS)}, in percent")
        return None
    unit = given[0]
    limit = reader.number(entries[unit].value, f"`{unit}` of spread", 0, MAX_PERCENT)
    if limit is None:
        return None
    back: float | None = limit * _BACK_SHARE
    if "back" in entries:
        back = reader.number(entries["back"].value, "`back` of spread", 0, limit)
    return When(Spread(unit, limit / 100, back / 100)) if back is not None else None


def _feed_state(reader: NodeReader, node: Node) -> When | None:
    entries = reader.mapping(node, "`feed_state`", ("states", "for"))
    if "states" not in entries:
        reader.wrong(node, f"`feed_state` has `states`, a list of {listed(STATES)}")
        return None
    states = reader.several(
        entries["states"].value,
        "`states`",
        lambda item: reader.choice(item, "a state", STATES),
        least=1,
    )
    hold_us: int | None = 0
    if "for" in entries:
        hold_us = reader.duration_us(entries["for"].value, "`for`", 0, MAX_LASTING_S)
    if not states or hold_us is None:
        return None
    return When(FeedStates(frozenset(states)), hold_us)


def _gap(reader: NodeReader, node: Node) -> When | None:
    entries = reader.mapping(node, "`gap`", ("of", "longer_than"))
    of: GapSubject = "any"
    if "of" in entries:
        named = reader.choice(entries["of"].value, "`of`", GAP_SUBJECTS)
        of = next((subject for subject in GAP_SUBJECTS if subject == named), "any")
    if "longer_than" not in entries:
        reader.wrong(node, "`gap` has `longer_than`, a duration as 2m")
        return None
    hold_us = reader.duration_us(entries["longer_than"].value, "`longer_than`", 0, MAX_LASTING_S)
    return When(OpenGap(of), hold_us) if hold_us is not None else None


def _mismatch(reader: NodeReader, node: Node) -> When | None:
    entries = reader.mapping(node, "`mismatch`", ("share_above",))
    share: float | None = 0.0
    if "share_above" in entries:
        share = reader.number(entries["share_above"].value, "`share_above`", 0, 1)
    return When(Mismatch(share)) if share is not None else None


_READERS: Mapping[str, Callable[[NodeReader, Node], When | None]] = {
    "spread": _spread,
    "sign_flip": _sign_flip,
    "feed_state": _feed_state,
    "gap": _gap,
    "mismatch": _mismatch,
}
