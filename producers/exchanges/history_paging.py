"""A walk over one contract's settled history, page by page; how to page is a small strategy.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

from producers.exchanges.spec import HistoryPage, RestCall, Slice
from schemas.errors import MalformedInputError
from schemas.times import MS_PER_HOUR


class SettledRow(NamedTuple):
    """A row as far as paging has to know it."""

    time_ms: int | None
    """None: the row cannot be read. It counts as one, and says nothing."""
    payload: bytes


class Span(NamedTuple):
    """What the next page is asked for: times inclusive, and the rows or pages to pass over."""

    from_ms: int
    to_ms: int
    offset: int = 0
    page: int = 1
    """The number of the page, where an exchange counts pages."""
    cursor: str = ""
    """What the page before names as the place of the next, where an exchange does."""

    @property
    def hours(self) -> int:
        """Full hours that it touches: no contract settles more often."""
        return (self.to_ms - self.from_ms) // MS_PER_HOUR + 1


class Paging(Protocol):
    """How an exchange pages."""

    newest_first: bool
    """Later pages are older: they are held back until the last one has come."""

    def first(self, whole: Span) -> Span:
        """Return the first page's span."""
        ...

    def following(self, whole: Span, last: Span, count: int, times: Sequence[int]) -> Span | None:
        """Return the span after a page of `count` rows with these times; None: it was the last.

        A page with rows has a time at least.

        A span that begins where the last one did replaces it.
        """
        ...


class Forward:
    """Ascending rows, at most `limit` from the start: go on at the stamp of the last one.

    The next page begins at that stamp inclusively, since a page may end between two settlements of
    one stamp, a regular and a special one. PerSymbolWalk leaves out what it has taken.
    """

    newest_first = False

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def first(self, whole: Span) -> Span:
        """Begin at the oldest."""
        return whole

    def following(self, whole: Span, last: Span, count: int, times: Sequence[int]) -> Span | None:
        """Go on at the newest row; one millisecond behind it after a page of one stamp."""
        if count < self.limit:
            return None
        from_ms = max(times)
        if from_ms == last.from_ms:
            from_ms += 1
        return Span(from_ms, whole.to_ms) if last.from_ms < from_ms <= whole.to_ms else None


class Windows:
    """Windows of at most `intervals` settlements, oldest first, where replies are cut in silence.

    The interval is not known here and may have changed: a window is as wide as the closest rows of
    the page before allow, and asked again narrowly if it brings more rows than it should hold.
    """

    newest_first = False

    def __init__(self, intervals: int) -> None:
        self.intervals = intervals
        self._narrow_ms = intervals * MS_PER_HOUR

    def first(self, whole: Span) -> Span:
        """Begin with a window that fits an hourly contract."""
        return self._window(whole, whole.from_ms, self._narrow_ms)

    def following(self, whole: Span, last: Span, count: int, times: Sequence[int]) -> Span | None:
        """Go on behind the last window."""
        width_ms = last.to_ms - last.from_ms
        if count > self.intervals + 1 and width_ms > self._narrow_ms:
            return self._window(whole, last.from_ms, self._narrow_ms)
        if last.to_ms >= whole.to_ms:
            return None
        gaps = [after - before for before, after in pairwise(sorted(times))]
        gap_ms = min((gap for gap in gaps if gap > 0), default=MS_PER_HOUR)
        hours = max(1, round(gap_ms / MS_PER_HOUR))
        return self._window(whole, last.to_ms + 1, hours * self._narrow_ms)

    def _window(self, whole: Span, from_ms: int, width_ms: int) -> Span:
        return Span(from_ms, min(whole.to_ms, from_ms + width_ms))


class FixedWindows:
    """Windows of one width, oldest first, where a reply ends so long after its beginning."""

    newest_first = False

    def __init__(self, width_ms: int) -> None:
        self._width_ms = width_ms

    def first(self, whole: Span) -> Span:
        """Begin with the oldest."""
        return self._window(whole, whole.from_ms)

    def following(self, whole: Span, last: Span, count: int, times: Sequence[int]) -> Span | None:
        """Go on behind the window, whatever it brought."""
        del count, times
        return None if last.to_ms >= whole.to_ms else self._window(whole, last.to_ms + 1)

    def _window(self, whole: Span, from_ms: int) -> Span:
        return Span(from_ms, min(whole.to_ms, from_ms + self._width_ms - 1))


class Offset:
    """Newest first, `limit` rows after `offset`: go on until a row is older than the span."""

    newest_first = True

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def first(self, whole: Span) -> Span:
        """Begin with the newest."""
        return whole

    def following(self, whole: Span, last: Span, count: int, times: Sequence[int]) -> Span | None:
        """Pass over what was taken."""
        if count < self.limit or min(times) < whole.from_ms:
            return None
        return last._replace(offset=last.offset + count)


class Backward:
    """Newest first, at most `limit` rows until the end: the next page ends before the oldest row.

    A settlement has a stamp of its own: rows of the oldest row's stamp that the page had no room
    for would be missed.
    """

    newest_first = True

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def first(self, whole: Span) -> Span:
        """Begin with the newest."""
        return whole

    def following(self, whole: Span, last: Span, count: int, times: Sequence[int]) -> Span | None:
        """End one millisecond before the oldest row; a page that went no further back is the last.

        So an exchange that does not heed the end is not asked for ever.
        """
        if count < self.limit:
            return None
        to_ms = min(times) - 1
        return Span(whole.from_ms, to_ms) if whole.from_ms <= to_ms < last.to_ms else None


class Pages:
    """Newest first by page number, without a window: go on until a row is older than the span.

    Some exchanges cut a page in silence to fewer rows than were asked for, and count their pages in
    the smaller ones, so that only a page of fewer than `least` rows is known to be the last one. A
    page that brings nothing older than the one before ends the walk as well. A settlement between
    two pages shifts all rows by one: what comes a second time is left out by PerSymbolWalk.
    """

    newest_first = True

    def __init__(self, least: int) -> None:
        """`least`: no page is cut to fewer rows than that."""
        self.least = least

    def first(self, whole: Span) -> Span:
        """Begin with the newest page."""
        return whole

    def following(self, whole: Span, last: Span, count: int, times: Sequence[int]) -> Span | None:
        """Ask for the next page; `to_ms` is the oldest row so far."""
        if count < self.least or (oldest_ms := min(times)) < whole.from_ms:
            return None
        if last.page > 1 and oldest_ms >= last.to_ms:
            return None
        return Span(whole.from_ms, oldest_ms, page=last.page + 1)


class Cursor:
    """Newest first, each page naming where the next begins: go on until a row is too old.

    The page's own word for that is read by the `cursor` of PerSymbolWalk; without one the walk is
    at its end, and so it is where a page brings nothing older than the one before.
    """

    newest_first = True

    def first(self, whole: Span) -> Span:
        """Begin with the newest page."""
        return whole

    def following(self, whole: Span, last: Span, count: int, times: Sequence[int]) -> Span | None:
        """Go on behind the page; `to_ms` is the oldest row so far."""
        del count
        if not times or (oldest_ms := min(times)) < whole.from_ms:
            return None
        if last.cursor and oldest_ms >= last.to_ms:
            return None
        return Span(whole.from_ms, oldest_ms)


_MAX_CURSOR = 1_000
"""Characters of a cursor that is sent back."""


def _time_ms(row: SettledRow) -> int:
    return row.time_ms or 0


class PerSymbolWalk:
    """The settled rates of one contract, until the strategy has seen the whole span.

    Rows leave in the order of their time, whatever the exchange's: what settled before tells the
    worker over which interval a rate was settled.
    """

    def __init__(
        self,
        symbol: str,
        whole: Span,
        paging: Paging,
        call: Callable[[str, Span], RestCall],
        read: Callable[[bytes], Sequence[SettledRow]],
        cursor: Callable[[bytes], str] | None = None,
    ) -> None:
        """`read` and `cursor` raise MalformedInputError.

        `cursor`: the place of the next page as a reply names it; empty where it names none, and
        then the walk is over. None: the exchange has no cursors.
        """
        self._symbol = symbol
        self._whole = whole
        self._paging = paging
        self._call = call
        self._read = read
        self._cursor = cursor
        self._span: Span | None = paging.first(whole) if whole.from_ms <= whole.to_ms else None
        self._held: list[SettledRow] = []
        self._at_start: frozenset[bytes] = frozenset()
        """The rows of the stamp at which the next page begins, as far as they were taken."""

    def next_call(self) -> RestCall | None:
        """Return the next page's call, or None when done."""
        return None if self._span is None else self._call(self._symbol, self._span)

    def take(self, body: bytes) -> HistoryPage:
        """Take the reply to the last call. Raises MalformedInputError; the page stays wanted."""
        assert self._span is not None
        rows = self._read(body)
        times = [row.time_ms for row in rows if row.time_ms is not None]
        if rows and not times:
            raise MalformedInputError(f"none of {len(rows)} rows says when it settled")
        last = self._span
        self._span = self._next(last, len(rows), times, body)
        if self._paging.newest_first:
            held = {row.payload for row in self._held}
            self._held = rows = [*self._held, *(row for row in rows if row.payload not in held)]
            ready = self._span is None
        else:
            # Asked again narrowly, the page's rows come once more, and older ones before them.
            ready = self._span is None or self._span.from_ms != last.from_ms
            if ready:
                taken, self._at_start = self._at_start, self._rows_at_next_start(rows)
                rows = [row for row in rows if row.payload not in taken]
        return HistoryPage(self._slices(rows) if ready else ())

    def _next(self, last: Span, count: int, times: Sequence[int], body: bytes) -> Span | None:
        span = self._paging.following(self._whole, last, count, times)
        if span is None or self._cursor is None:
            return span
        cursor = self._cursor(body)
        if len(cursor) > _MAX_CURSOR:
            raise MalformedInputError(f"a cursor of {len(cursor)} characters")
        return span._replace(cursor=cursor) if cursor and cursor != last.cursor else None

    def _rows_at_next_start(self, rows: Sequence[SettledRow]) -> frozenset[bytes]:
        if self._span is None:
            return frozenset()
        return frozenset(row.payload for row in rows if row.time_ms == self._span.from_ms)

    def _slices(self, rows: Sequence[SettledRow]) -> list[Slice]:
        good = sorted((row for row in rows if row.time_ms is not None), key=_time_ms)
        return [
            *(Slice(self._symbol, row.payload) for row in good),
            *(Slice(None, row.payload, readable=False) for row in rows if row.time_ms is None),
        ]

    @property
    def progress(self) -> float:
        """All or nothing: a contract is a few pages."""
        return 1.0 if self._span is None else 0.0
