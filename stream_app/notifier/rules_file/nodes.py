"""Reads values from PyYAML's nodes, which know where they stand; a wrong one is noted, not raised.

A scalar is read by its text and not by its YAML type: unquoted, `22:00` is a number to YAML 1.1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from schemas.times import US_PER_DAY, US_PER_HOUR, US_PER_MINUTE, US_PER_S
from stream_app.notifier.rules_file.problems import Problems, listed, meant, shown

T = TypeVar("T")

MAX_ITEMS = 200
_UNITS = {"s": US_PER_S, "m": US_PER_MINUTE, "h": US_PER_HOUR, "d": US_PER_DAY}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s?([smhd])")
_NULL = "tag:yaml.org,2002:null"
_BOOL = "tag:yaml.org,2002:bool"
_TRUE = frozenset({"true", "yes", "on"})


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping and its value."""

    key: Node
    value: Node


class NodeReader:
    """Reads nodes of one file into values, and collects what is wrong with them."""

    def __init__(self) -> None:
        self.problems = Problems()

    def wrong(self, node: Node, text: str) -> None:
        """Note a mistake where a node begins."""
        self.problems.add(node.start_mark, text)

    def mapping(self, node: Node, what: str, keys: Collection[str] | None) -> dict[str, Entry]:
        """Return the entries of a mapping. `keys`: those that are allowed; None: any."""
        if not isinstance(node, MappingNode):
            self.wrong(node, f"{what} is a mapping of keys and values")
            return {}
        found: dict[str, Entry] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, ScalarNode) else None
            if name is None:
                self.wrong(key, f"a key of {what} is a word")
            elif keys is not None and name not in keys:
                self.wrong(key, f"{what} has no key {shown(name)}: {meant(name, keys)}")
            elif name in found:
                self.wrong(key, f"{shown(name)} stands twice in {what}")
            else:
                found[name] = Entry(key, value)
        return found

    def text(self, node: Node, what: str, pattern: str, allowed: str) -> str | None:
        """Return a text that fits a pattern; `allowed` says in words what it may be."""
        if not isinstance(node, ScalarNode) or node.tag == _NULL:
            self.wrong(node, f"{what} is a text: {allowed}")
            return None
        if not re.fullmatch(pattern, node.value):
            self.wrong(node, f"{what} is {allowed}, not {shown(node.value)}")
            return None
        return str(node.value)

    def choice(self, node: Node, what: str, names: Collection[str]) -> str | None:
        """Return one of some names."""
        if not isinstance(node, ScalarNode):
            self.wrong(node, f"{what} is one of {listed(names)}")
        elif node.value not in names:
            self.wrong(node, f"{what} is not {shown(node.value)}: {meant(node.value, names)}")
        else:
            return str(node.value)
        return None

    def number(self, node: Node, what: str, low: float, high: float) -> float | None:
        """Return a number within bounds, which belong to them."""
        text = node.value if isinstance(node, ScalarNode) and node.style is None else ""
        try:
            value = float(text) if re.fullmatch(r"[-+.0-9eE]{1,40}", text) else math.nan
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            it = f", not {shown(text)}" if text else ""
            self.wrong(node, f"{what} is a number from {low:g} to {high:g}{it}")
            return None
        return value

    def boolean(self, node: Node, what: str) -> bool | None:
        """Return true or false."""
        if not isinstance(node, ScalarNode) or node.tag != _BOOL:
            self.wrong(node, f"{what} is true or false")
            return None
        return node.value.lower() in _TRUE

    def duration_us(self, node: Node, what: str, low_s: float, high_s: float) -> int | None:
        """Return a duration such as 90s, 15m, 4h or 1d in µs, within bounds in seconds."""
        match = _DURATION.fullmatch(node.value) if isinstance(node, ScalarNode) else None
        us = round(float(match[1]) * _UNITS[match[2]]) if match else None
        if us is None:
            self.wrong(node, f"{what} is a duration, as 90s, 15m, 4h or 1d")
        elif not low_s * US_PER_S <= us <= high_s * US_PER_S:
            self.wrong(node, f"{what} is {_words(low_s)} to {_words(high_s)}")
        else:
            return us
        return None

    def several(
        self, node: Node, what: str, read: Callable[[Node], T | None], *, least: int = 0
    ) -> list[T]:
        """Return the items of a list; one item may stand without its list."""
        items = node.value if isinstance(node, SequenceNode) else [node]
        if not least <= len(items) <= MAX_ITEMS:
            self.wrong(node, f"{what} has {least} to {MAX_ITEMS} items, here are {len(items)}")
            return []
        return [value for item in items if (value := read(item)) is not None]


def first_of(entries: Mapping[str, Entry], defaults: Mapping[str, Entry], name: str) -> Node | None:
    """Return the node of a key, or that of the file's defaults, or None."""
    entry = entries.get(name) or defaults.get(name)
    return entry.value if entry is not None else None


def _words(seconds: float) -> str:
    for unit, us in reversed(_UNITS.items()):
        amount = seconds * US_PER_S / us
        if amount >= 1 and amount == int(amount):
            return f"{amount:g}{unit}"
    return f"{seconds:g}s"
