"""Decides whether a server that has failed is asked again. Pure: the caller passes the time in."""

from __future__ import annotations

CLOSED_FOR_S = 5.0
"""So long after a failure nobody is sent to the server."""


class Breaker:
    """A circuit breaker: after a failure it is open for some seconds, then lets one request try."""

    def __init__(self, open_s: float = CLOSED_FOR_S) -> None:
        self._open_s = open_s
        self._open_until_s = 0.0
        self.reason = ""
        """Why the newest request failed; empty while the server works."""

    def is_open(self, now_s: float) -> bool:
        """Tell whether nobody is sent to the server now."""
        return bool(self.reason) and now_s < self._open_until_s

    def allows(self, now_s: float) -> bool:
        """Tell whether a request may be sent now.

        After a failure the first one that asks when the time is over is the trial: the others
        wait for as long again, or until the trial has worked.
        """
        if self.is_open(now_s):
            return False
        self._open_until_s = now_s + self._open_s
        return True

    def failed(self, now_s: float, reason: str) -> None:
        """Note that a request failed, and why."""
        self.reason = reason
        self._open_until_s = now_s + self._open_s

    def worked(self) -> None:
        """Note that a request was answered."""
        self.reason = ""
