"""Reads many updates of a stream, or settlements, into columns: what the core's fast way needs.

Only rows as an exchange usually sends them are read here. Any other one has a rate that is NaN, or
its whole record is not read: then the reader of payloads.py says what it means. What is read here
means exactly what that reader says it means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, cast

import msgspec
import numpy as np

from stream_app.model import Floats, Longs, SettledColumns
from stream_app.normalise.numbers import (
    MAX_MS,
    MAX_NEXT_AHEAD_US,
    MAX_NEXT_BEHIND_US,
    MAX_US,
    MIN_MS,
    MIN_US,
)

Row = TypeVar("Row")
Columns = TypeVar("Columns")
NAN = float("nan")


class ColumnReader(Generic[Row, Columns]):
    """Decodes payloads of one shape into columns."""

    def __init__(
        self,
        row_type: type[Row],
        columns: Callable[[Sequence[Row]], Columns | None],
        *,
        texts_as_numbers: bool = False,
        blank: bytes = b"",
    ) -> None:
        """`row_type` has the types that the exchange usually sends, and no others.

        `texts_as_numbers`: fields that are numbers may be sent as text; they are read as `number`
        reads them, or not at all. `columns` returns None for rows that are not usual after all.
        `blank`: how the exchange writes a field that has no value, with
        its name; it is read as null.
        """
        strict = not texts_as_numbers
        decoder = msgspec.json.Decoder(list[row_type], strict=strict)  # type: ignore[valid-type]
        self._decode = decoder.decode
        self._columns = columns
        self._blank = blank
        self._null = blank.removesuffix(b'""') + b"null"

    def read(self, payloads: Sequence[bytes]) -> Columns | None:
        """Read the payloads; None if they are not all of this shape."""
        if not all([p[:1] == b"{" and p[-1:] == b"}" for p in payloads]):  # noqa: C419 - quicker
            return None
        together = b"[%b]" % b",".join(payloads)
        if self._blank:
            together = together.replace(self._blank, self._null)
        try:
            rows = self._decode(together)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        # Pieces that are JSON only when they are put together make fewer rows.
        return self._columns(rows) if len(rows) == len(payloads) else None


def floats(texts: Sequence[str]) -> Floats:
    """Return numbers of text as `number` reads them; NaN where there is none, or it refuses."""
    together = "".join(texts)
    if together.isascii() and together.isprintable() and not ("_" in together or " " in together):
        try:
            return np.array(list(map(float, texts))) + 0.0  # turns a negative zero into zero
        except ValueError:
            pass
    return np.array([_float(text) for text in texts]) + 0.0


def numbers(values: Sequence[float | str]) -> Floats:
    """Return numbers, of text or of JSON, as `number` reads them; NaN as of `floats`."""
    kinds = set(map(type, values))
    if kinds == {str}:
        return floats(cast("Sequence[str]", values))
    if str not in kinds:
        return np.array(values, dtype=np.float64) + 0.0
    return np.array([_float(v) if isinstance(v, str) else v for v in values]) + 0.0


def optional_floats(values: Sequence[float | None]) -> Floats:
    """Return numbers; NaN where there is none."""
    return np.array(values, dtype=np.float64) + 0.0  # turns a negative zero into zero


def prices(values: Sequence[float | None]) -> Floats:
    """Return prices as `price` reads them; NaN where there is none."""
    return _without_zeros(optional_floats(values))


def text_prices(texts: Sequence[str]) -> Floats:
    """Return prices of text as `price` reads them; NaN where there is none, or it refuses."""
    return _without_zeros(floats(texts))


def _without_zeros(found: Floats) -> Floats:
    return np.where(found == 0.0, NAN, found)


def integers(values: Sequence[object]) -> Sequence[int] | None:
    """Return values if all are integers, else None.

    For fields that are declared as `object`, since a decoder that takes texts for numbers would
    take them here as well.
    """
    return cast("Sequence[int]", values) if set(map(type, values)) == {int} else None


def _float(text: str) -> float:
    if not text.isascii() or "_" in text or not text.isprintable() or " " in text:
        return NAN
    try:
        return float(text)
    except ValueError:
        return NAN


def times_us(times: Sequence[int]) -> Longs:
    """Return times in ms or µs as µs; 0 where they are neither (as `time_us` tells them apart)."""
    try:
        given = np.array(times, dtype=np.int64)
    except OverflowError:
        given = np.array([time if 0 <= time < MAX_US else 0 for time in times], dtype=np.int64)
    is_ms = (given >= MIN_MS) & (given < MAX_MS)
    is_us = (given >= MIN_US) & (given < MAX_US)
    found: Longs = np.where(is_ms, given * 1_000, np.where(is_us, given, 0))
    return found


def next_times_us(times: Sequence[int], event_times: Longs) -> Longs:
    """Return next funding times as `next_time_us` reads them; 0 where it finds none."""
    found = times_us(times)
    ahead = found - event_times
    is_near = (ahead >= -MAX_NEXT_BEHIND_US) & (ahead <= MAX_NEXT_AHEAD_US)
    near: Longs = np.where(is_near, found, 0)
    return near


def settled_rows(rows: Sequence[msgspec.Struct]) -> SettledColumns:
    """Return regular settlements of rows whose fields are symbol, time and rate, in this order."""
    return settled(*zip(*map(msgspec.structs.astuple, rows), strict=True))


def settled(
    symbols: Sequence[str], times: Sequence[int], rates: Sequence[float | str]
) -> SettledColumns:
    """Return regular settlements, as rows of the history name them: times in ms or µs."""
    times_raw = times_us(times)
    return SettledColumns(symbols, times_raw, np.where(times_raw > 0, numbers(rates), NAN))
