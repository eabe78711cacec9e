"""The closes of the last two days as text, a character an hour. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.times import US_PER_HOUR
from stream_app.web.past import HOURS_KEPT

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
"""The characters of the levels 0 to 63."""
NO_BAR = "."
_TOP = len(ALPHABET) - 1
_CODES = np.frombuffer((ALPHABET + NO_BAR).encode(), dtype=np.uint8)


def levels(bars: npt.NDArray[Any], newest_hour: int) -> tuple[float, float, str] | None:
    """Return the lowest and the highest close, and a character for each hour, oldest first.

    `bars` are a contract's, of the 48 hours up to `newest_hour`. None: there are none.
    """
    places = (bars["hour"] - newest_hour) // US_PER_HOUR + HOURS_KEPT - 1
    inside = (places >= 0) & (places < HOURS_KEPT) & np.isfinite(bars["close"])
    closes = bars["close"][inside]
    if not len(closes):
        return None
    low, high = float(closes.min()), float(closes.max())
    found = np.full(HOURS_KEPT, len(ALPHABET))
    # Half of each, so that the difference of two large ones is finite.
    span = high / 2 - low / 2
    shares = (closes / 2 - low / 2) / span if span > 0 else np.zeros(len(closes))
    found[places[inside]] = np.rint(shares * _TOP).astype(int)
    return low, high, _CODES[found].tobytes().decode()


def closes(text: str, low: float, high: float) -> Sequence[float | None]:
    """Return the closes that a text stands for, within a 126th of the span; None: no bar."""
    return [
        None if each == NO_BAR else low + ALPHABET.index(each) / _TOP * (high - low)
        for each in text
    ]
