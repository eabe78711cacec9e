"""How far a server's clock is ahead of ours, by the header Date of its HTTP answers."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from schemas.clock import now_us
from schemas.config.tls import TlsFiles
from schemas.times import US_PER_S


def ahead_s(date: str, asked_us: int, answered_us: int) -> float | None:
    """Return how far a clock is ahead of ours at least; 0: they may agree. Pure.

    Args:
        date: The header, of whole seconds; None is returned where it is none.
        asked_us: When it was asked for (UTC µs), by our clock.
        answered_us: When the answer was there.
    """
    try:
        told_s = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    # It was written at some time between the two, and cut to a second.
    too_late_s, too_early_s = told_s - answered_us / US_PER_S, told_s + 1 - asked_us / US_PER_S
    return max(too_late_s, 0.0) or min(too_early_s, 0.0)


def clock_ahead_s(url: str, tls: TlsFiles, timeout_s: float) -> float | None:
    """Ask a server for its time; None: it does not tell, or does not answer here."""
    asked_us = now_us()
    try:
        date = _headers(url, tls, timeout_s).get("Date", "")
    except (OSError, ValueError):
        return None
    return ahead_s(date, asked_us, now_us())


def _headers(url: str, tls: TlsFiles, timeout_s: float) -> Mapping[str, str]:
    """Return the headers of whatever a server answers, a refusal included."""
    context = tls.context() if url.startswith("https:") else None
    try:
        with urllib.request.urlopen(url, timeout=timeout_s, context=context) as answer:  # noqa: S310 - settings allow http and https alone
            return dict(answer.headers)
    except urllib.error.HTTPError as error:
        return dict(error.headers)
