"""What is wrong with the simulated exchanges right now, on request of a test or a person.

Responsible for: the state behind `POST /control/...` and when it ends by itself. Not responsible
for: acting on it (the server asks), nor for authentication: the simulator is a test tool and
listens on loopback.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from schemas.errors import ConfigurationError


@dataclass(slots=True)
class _Fault:
    feed: str | None
    until_s: float | None


class Faults:
    """Active faults: `silence` (sockets stay open, no data), `refuse-ws`, `refuse-rest`."""

    KINDS = ("silence", "refuse-ws", "refuse-rest")

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._now_s = monotonic_s
        self._active: dict[tuple[str, str | None], _Fault] = {}

    def start(self, kind: str, feed: str | None, seconds: float | None) -> None:
        """Begin a fault for one feed or (None) for all, for a time or until `resume`."""
        if kind not in self.KINDS:
            raise ConfigurationError(f"unknown fault {kind!r}: use one of {', '.join(self.KINDS)}")
        until_s = None if seconds is None else self._now_s() + seconds
        self._active[kind, feed] = _Fault(feed, until_s)

    def resume(self, feed: str | None) -> None:
        """End all faults of one feed, or (None) all faults."""
        for key in [key for key in self._active if feed is None or key[1] == feed]:
            del self._active[key]

    def active(self, kind: str, feed: str) -> bool:
        """Whether a feed suffers from a fault now."""
        return self._running(kind, feed) or self._running(kind, None)

    def names(self) -> list[str]:
        """The running faults, for `/stats`."""
        return sorted(
            f"{kind}:{feed or '*'}"
            for kind, feed in list(self._active)
            if self._running(kind, feed)
        )

    def _running(self, kind: str, feed: str | None) -> bool:
        fault = self._active.get((kind, feed))
        if fault is None:
            return False
        if fault.until_s is not None and self._now_s() >= fault.until_s:
            del self._active[kind, feed]
            return False
        return True
