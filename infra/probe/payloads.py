"""What the payloads of one channel look like: fields, types, ranges, pace, beside the documented.

Pure: payloads and times come in, counts come out. Everything is bounded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from producers.exchanges.spec import PayloadFields
from schemas.times import US_PER_S
from stream_app.core.scoring.statistics import quantile

MAX_FIELDS = 256
"""So many fields of a channel are told apart; more are counted."""
MAX_PACES = 20_000
"""So many spans between two updates of a contract are kept; more are counted."""
MAX_CONTRACTS = 20_000
_MAX_DEPTH = 6
_MAX_TEXT = 40


class Field:
    """What one field of a channel's payloads held."""

    def __init__(self) -> None:
        self.seen = 0
        """Payloads that have it."""
        self.types: Counter[str] = Counter()
        """JSON's types, with texts that are numbers told from others."""
        self.least = math.inf
        self.most = -math.inf
        self.example = ""

    @property
    def is_container(self) -> bool:
        """It held objects or arrays alone, whose own fields tell more."""
        return self.types.keys() <= {"object", "array"}

    def take(self, value: Any) -> None:
        """Note a value."""
        kind, number = _kind(value)
        self.types[kind] += 1
        if number is not None:
            self.least, self.most = min(self.least, number), max(self.most, number)
        if not self.example and value is not None and not isinstance(value, dict | list):
            self.example = str(value)[:_MAX_TEXT]


class Gaps(NamedTuple):
    """How documented fields and those that were seen differ."""

    missing: list[str]
    """Documented of every payload, and absent in some."""
    unseen: list[str]
    """Documented of some payloads, and in none."""
    new: list[str]
    """Seen, and not documented."""


class Channel:
    """What one channel of a stream, or one REST resource, has brought."""

    def __init__(self, documented: PayloadFields | None) -> None:
        self.documented = documented
        self.frames = 0
        self.bytes = 0
        self.payloads = 0
        self.unreadable = 0
        """Payloads that are not JSON, or whose row could not be read."""
        self.fields: dict[str, Field] = {}
        self.left_out = 0
        """Values of fields beyond MAX_FIELDS."""
        self._last_us: dict[str, int] = {}
        self._paces_s: list[float] = []

    @property
    def contracts(self) -> frozenset[str]:
        """The contracts that it has brought."""
        return frozenset(self._last_us)

    def frame(self, size_bytes: int) -> None:
        """Note a frame or a reply."""
        self.frames += 1
        self.bytes += size_bytes

    def take(self, symbol: str | None, payload: bytes, at_us: int) -> None:
        """Note the payload of a contract (None: it names none) and when it was received."""
        self.payloads += 1
        if symbol is not None:
            self._pace(symbol, at_us)
        try:
            document = msgspec.json.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.unreadable += 1
            return
        found: dict[str, Any] = {}
        for path, value in paths_of(document):
            found.setdefault(path, value)
        for path, value in found.items():
            field = self.fields.get(path)
            if field is None:
                if len(self.fields) >= MAX_FIELDS:
                    self.left_out += 1
                    continue
                field = self.fields[path] = Field()
            field.seen += 1
            field.take(value)

    def _pace(self, symbol: str, at_us: int) -> None:
        before = self._last_us.get(symbol)
        if before is None and len(self._last_us) >= MAX_CONTRACTS:
            return
        self._last_us[symbol] = at_us
        if before is not None and len(self._paces_s) < MAX_PACES:
            self._paces_s.append((at_us - before) / US_PER_S)

    def pace_s(self) -> tuple[float, float] | None:
        """Return median and maximum of the seconds between two updates of a contract, if any."""
        ordered = sorted(self._paces_s)
        median = quantile(ordered, 0.5)
        return None if median is None else (median, ordered[-1])

    def gaps(self) -> Gaps | None:
        """Return how what was seen differs from what is documented; None: nothing is documented."""
        documented = self.documented
        if documented is None or not self.payloads:
            return None
        readable = self.payloads - self.unreadable
        known = {*documented.always, *documented.sometimes}
        seen = {path: field.seen for path, field in self.fields.items()}
        return Gaps(
            [path for path in documented.always if seen.get(path, 0) < readable],
            [path for path in documented.sometimes if path not in seen],
            [path for path in seen if not _is_known(path, known)],
        )


def _is_known(path: str, known: set[str]) -> bool:
    """Whether a path is documented, leads to what is, or is within a field that is a leaf there."""
    around = (f"{path}.", f"{path}[]")
    if path in known or any(one.startswith(around) for one in known):
        return True
    return any(
        path.startswith((f"{one}.", f"{one}[]"))
        and not any(other.startswith((f"{one}.", f"{one}[]")) for other in known)
        for one in known
    )


def paths_of(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield path and value of everything within a JSON value, each once for each place."""
    if path:
        yield path, value
    if depth == _MAX_DEPTH:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths_of(inner, f"{path}.{name}" if path else name, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from paths_of(inner, f"{path}[]", depth + 1)


def _kind(value: Any) -> tuple[str, float | None]:
    """Return the type of a value in words, and its number if it is one, also as text."""
    if value is None or isinstance(value, bool):
        return ("null" if value is None else "boolean"), None
    if isinstance(value, int | float):
        kind = "integer" if isinstance(value, int) else "number"
        try:
            return kind, float(value)
        except OverflowError:
            return kind, None  # an integer of more than 308 digits
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return "text", None
        return ("number as text", number) if math.isfinite(number) else ("text", None)
    return ("object" if isinstance(value, dict) else "array"), None
