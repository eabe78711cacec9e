"""A list of faults with their times: `--faults FILE`, or the body of `POST /control/schedule`.

It is read and checked completely before anything happens.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from infra.simulator.faults import kinds
from infra.simulator.faults.kinds import Fault
from infra.simulator.wire_fields import Wire
from schemas.errors import ConfigurationError

_MAX_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class Resume:
    """End faults: of one feed, of one kind, with one number; None: any."""

    feed: str | None
    kind: str | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What is done when; `at_s` is seconds after the schedule's time 0."""

    at_s: float
    what: Fault | Resume


def read(path: Path, wires: Mapping[str, Wire]) -> list[Entry]:
    """The schedule in a file, ascending in time.

    Raises:
        ConfigurationError: names the file, the entry (from 1), and what to do about it.
    """
    try:
        document = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"cannot read the faults in {path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{path} is not JSON: {error}") from error
    try:
        return parse(document, wires)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def parse(document: Any, wires: Mapping[str, Wire]) -> list[Entry]:
    """The schedule in a decoded JSON document, ascending in time.

    Raises:
        ConfigurationError: names the entry (from 1) and what to do about it.
    """
    if not isinstance(document, list):
        raise ConfigurationError(
            'a schedule is a JSON list of objects like {"at_s": 5, "kind": "close"}'
        )
    if len(document) > _MAX_ENTRIES:
        raise ConfigurationError(f"a schedule has at most {_MAX_ENTRIES} entries")
    entries = []
    for number, arguments in enumerate(document, 1):
        try:
            entries.append(_entry(arguments, wires))
        except ConfigurationError as error:
            raise ConfigurationError(f"entry {number}: {error}") from error
    return sorted(entries, key=lambda entry: entry.at_s)


def parse_resume(arguments: dict[str, Any], feeds: Collection[str]) -> Resume:
    """What `resume` is about.

    Raises:
        ConfigurationError: says what is wrong.
    """
    for name in arguments:
        if name not in {"feed", "kind", "id"}:
            raise ConfigurationError(f"resume has no {name!r}: it takes feed, kind, id")
    kind, number = arguments.get("kind"), arguments.get("id")
    if kind is not None and kind not in kinds.KINDS:
        raise ConfigurationError(f"unknown kind {kind!r}")
    if number is not None and type(number) is not int:
        raise ConfigurationError("id must be the number of a running fault")
    return Resume(kinds.check_feed(arguments.get("feed"), feeds), kind, number)


def _entry(arguments: Any, wires: Mapping[str, Wire]) -> Entry:
    if not isinstance(arguments, dict):
        raise ConfigurationError('write an object like {"at_s": 5, "kind": "close"}')
    rest = dict(arguments)
    at_s, kind = rest.pop("at_s", None), rest.pop("kind", None)
    is_number = isinstance(at_s, int | float) and not isinstance(at_s, bool)
    if not is_number or not math.isfinite(at_s) or at_s < 0:
        raise ConfigurationError(f"at_s must be a number of seconds from 0, not {at_s!r}")
    if not isinstance(kind, str):
        raise ConfigurationError(f"kind must be a text, not {kind!r}")
    what = parse_resume(rest, wires) if kind == "resume" else kinds.parse(kind, rest, wires)
    return Entry(float(at_s), what)
