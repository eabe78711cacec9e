"""Divides a span of time into slices, one for each file of an export. Pure.

Times are UTC microseconds since the epoch. A file is named by its span, so the names in a directory
say what is done: `zscores-20260730T00-20260730T06.parquet`, with minutes and seconds where it does
not begin or end at a full hour.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote

from schemas.times import US_PER_DAY, US_PER_HOUR, US_PER_MINUTE, US_PER_S, hour_floor

SUFFIX = ".parquet"
OVER_FOR_US = 5 * US_PER_MINUTE
"""An hour is exported once it has been over for so long: its last rows are stored by then."""
_EXPIRY_MARGIN_US = US_PER_HOUR
"""ClickHouse may drop rows while an export is under way."""
_TIME = r"[0-9]{8}T[0-9]{2}(?:[0-9]{4})?"


class Slice(NamedTuple):
    """A span of time, without its end."""

    from_us: int
    to_us: int


def span_of(since_us: int, until_us: int, now_us: int) -> Slice:
    """Return the full hours between two times, without those that may still get rows."""
    return Slice(hour_floor(since_us), min(hour_floor(until_us), hour_floor(now_us - OVER_FOR_US)))


def days(span: Slice) -> list[Slice]:
    """Return a span cut at the beginning of each day (UTC)."""
    cuts = range(span.from_us - span.from_us % US_PER_DAY + US_PER_DAY, span.to_us, US_PER_DAY)
    ends = [span.from_us, *cuts, span.to_us]
    return [Slice(*pair) for pair in itertools.pairwise(ends) if pair[0] < pair[1]]


def replaceable(
    done: Iterable[Slice], rows_by_hour: Mapping[int, int], kept_days: int | None, now_us: int
) -> list[Slice]:
    """Return the files of which ClickHouse still has all rows, as far as can be told.

    Rows expire oldest first, and a file begins in an hour that had rows.

    Args:
        done: The spans of the files.
        rows_by_hour: How many rows each hour has now, by its beginning.
        kept_days: Rows expire when they are so old; None: not at an age that is known.
        now_us: The present time.
    """
    since_us = 0 if kept_days is None else now_us - kept_days * US_PER_DAY + _EXPIRY_MARGIN_US
    return [
        one for one in done if one.from_us >= since_us and rows_by_hour.get(hour_floor(one.from_us))
    ]


def outermost(spans: Iterable[Slice]) -> list[Slice]:
    """Return the spans that do not lie within another one, each once."""
    found: list[Slice] = []
    for one in sorted(set(spans), key=lambda span: (span.from_us, -span.to_us)):
        if not found or one.to_us > found[-1].to_us:
            found.append(one)
    return found


def file_stem(table: str, filters: Iterable[str]) -> str:
    """Return how the names of an export's files begin: the table, and what its rows are chosen by.

    What no name of a file should have, such as the colon of a contract id, is escaped as in URLs.
    """
    return "-".join([table, *(quote(value, safe="") for value in filters)])


def file_name(stem: str, span: Slice) -> str:
    """Return the name of the file of a slice, which begins and ends at full seconds."""
    return f"{stem}-{_stamp(span.from_us)}-{_stamp(span.to_us)}{SUFFIX}"


def span_of_file(stem: str, name: str) -> Slice | None:
    """Return the span of a file of this export by its name; None: it is none."""
    found = re.fullmatch(rf"{re.escape(stem)}-({_TIME})-({_TIME}){re.escape(SUFFIX)}", name)
    if not found:
        return None
    try:
        return Slice(_time_us(found[1]), _time_us(found[2]))
    except ValueError:
        return None


def plan(
    rows_by_hour: Mapping[int, int], done: Sequence[Slice], max_rows: int, span: Slice
) -> list[Slice]:
    """Return the slices that are missing, in order, each of whole hours where it can be.

    Args:
        rows_by_hour: How many rows each hour has, by its beginning; hours without rows may lack.
        done: The spans that are there already.
        max_rows: A slice of several hours has no more rows than this.
        span: What is wanted; it begins and ends at full hours.
    """
    slices: list[Slice] = []
    rows_of_last = 0
    for hour_us, rows in sorted(rows_by_hour.items()):
        if not rows or not span.from_us <= hour_us < span.to_us:
            continue
        for piece in uncovered(Slice(hour_us, hour_us + US_PER_HOUR), done):
            last = slices[-1] if slices else None
            if (
                last is not None
                and rows_of_last + rows <= max_rows
                and not any(_meet(Slice(last.from_us, piece.to_us), other) for other in done)
            ):
                slices[-1] = Slice(last.from_us, piece.to_us)
                rows_of_last += rows
            else:
                slices.append(piece)
                rows_of_last = rows
    return slices


def halves(span: Slice) -> tuple[Slice, Slice] | None:
    """Return the two halves of a slice, cut at a full hour if there is one; None: it is too short.

    Nothing shorter than a second is cut.
    """
    length_us = span.to_us - span.from_us
    step_us = US_PER_HOUR if length_us > US_PER_HOUR else US_PER_S
    middle_us = (span.from_us + length_us // 2) // step_us * step_us
    if middle_us <= span.from_us:
        middle_us += step_us
    if middle_us >= span.to_us:
        return None
    return Slice(span.from_us, middle_us), Slice(middle_us, span.to_us)


def uncovered(span: Slice, done: Iterable[Slice]) -> list[Slice]:
    """Return the parts of a span that no other one has."""
    left = [span]
    for other in done:
        left = [
            part
            for piece in left
            for part in (
                Slice(piece.from_us, min(piece.to_us, other.from_us)),
                Slice(max(piece.from_us, other.to_us), piece.to_us),
            )
            if part.from_us < part.to_us
        ]
    return left


def covered(files: Iterable[Slice], written: Sequence[Slice]) -> list[Slice]:
    """Return the files whose whole span other ones have, which were written since."""
    return [one for one in files if one not in written and not uncovered(one, written)]


def _meet(one: Slice, other: Slice) -> bool:
    return one.from_us < other.to_us and other.from_us < one.to_us


def _stamp(time_us: int) -> str:
    at = datetime.fromtimestamp(time_us // US_PER_S, UTC)
    return at.strftime("%Y%m%dT%H" if time_us % US_PER_HOUR == 0 else "%Y%m%dT%H%M%S")


def _time_us(stamp: str) -> int:
    at = datetime.strptime(stamp.ljust(15, "0"), "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return int(at.timestamp()) * US_PER_S
