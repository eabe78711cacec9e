"""Finds workers of the same data directory that have ended: the group need not wait for them.

Kafka waits for a static member until its session is over. The kernel knows sooner: it frees the
lock of a process that ends (instance.py). A worker that is started again takes the lock within a
second or so and has its partitions back; only one that has no successor by then is given up.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from schemas.clock import Clock
from schemas.errors import ConfigurationError
from schemas.process.locks import is_locked
from stream_app.worker.instance import Instance, name_of

log = logging.getLogger(__name__)

SUCCESSOR_WITHIN_S = 1.5
"""How soon a worker that is started again holds its lock."""


class Member(NamedTuple):
    """A static member of the group."""

    name: str
    member_id: str


class Peers:
    """The other workers of a data directory. Asked again and again."""

    def __init__(self, own: Instance, clock: Clock) -> None:
        self._own = own.lock_path
        self._clock = clock
        self._free_since_s: dict[Path, float] = {}
        self._given_up: set[Member] = set()

    def dead(self) -> list[Member]:
        """Return the members that have ended and got no successor, each of them once."""
        found = []
        for path in self._abandoned():
            member = _member_of(path)
            if member is not None and member not in self._given_up:
                self._given_up.add(member)
                found.append(member)
        return found

    def _abandoned(self) -> Iterator[Path]:
        """Return the locks that nobody has held for SUCCESSOR_WITHIN_S."""
        now_s = self._clock.monotonic_s()
        for member_path in self._own.parent.glob("*.member"):
            path = member_path.with_suffix(".lock")
            try:
                held = path == self._own or is_locked(path)
            except ConfigurationError:
                held = True
            if held:
                self._free_since_s.pop(path, None)
            elif now_s - self._free_since_s.setdefault(path, now_s) >= SUCCESSOR_WITHIN_S:
                yield path


def _member_of(lock_path: Path) -> Member | None:
    """Return the member that held a lock last; None: it is not known."""
    try:
        name = name_of(lock_path)
        member_id = lock_path.with_suffix(".member").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    return Member(name, member_id) if name and member_id else None
