"""A walk over one contract's settled history, page by page; how to page is a small strategy.

Pure. Not responsible for: which contract is walked when (symbol_history.py), what a row means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

from producers.exchanges.description import HistoryPage, RestCall, Slice

MS_PER_HOUR = 3_600_000


class SettledRow(NamedTuple):
    """A row as far as paging has to know it."""

    time_ms: int
    payload: bytes


class Span(NamedTuple):
    """What the next page is asked for: times inclusive, and the rows to pass over."""

    from_ms: int
    to_ms: int
    offset: int = 0

    @property
    def hours(self) -> int:
        """Full hours that it touches: no contract settles more often."""
        return (self.to_ms - self.from_ms) // MS_PER_HOUR + 1


class Paging(Protocol):
    """How an exchange pages."""

    def first(self, whole: Span) -> Span:
        """Return the first page's span."""
        ...

    def following(self, whole: Span, last: Span, rows: Sequence[SettledRow]) -> Span | None:
        """Return the span after a page; None: it was the last."""
        ...


class Forward:
    """Ascending rows, at most `limit` from the start: go on behind the last one."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def first(self, whole: Span) -> Span:
        """Begin at the oldest."""
        return whole

    def following(self, whole: Span, last: Span, rows: Sequence[SettledRow]) -> Span | None:
        """Go on one millisecond after the newest row."""
        if len(rows) < self.limit:
            return None
        after_ms = max(row.time_ms for row in rows) + 1
        return Span(after_ms, whole.to_ms) if last.from_ms < after_ms <= whole.to_ms else None


class Backward:
    """Windows of at most `intervals` settlements, newest first, where replies are cut in silence.

    The interval is not known here and may have changed: a window is as wide as the closest rows of
    the page before allow, and asked again narrowly if it brings more rows than it should hold.
    """

    def __init__(self, intervals: int) -> None:
        self.intervals = intervals
        self._narrow_ms = intervals * MS_PER_HOUR

    def first(self, whole: Span) -> Span:
        """Begin with a window that fits an hourly contract."""
        return self._window(whole, whole.to_ms, self._narrow_ms)

    def following(self, whole: Span, last: Span, rows: Sequence[SettledRow]) -> Span | None:
        """Go on before the last window."""
        width_ms = last.to_ms - last.from_ms
        if len(rows) > self.intervals + 1 and width_ms > self._narrow_ms:
            return self._window(whole, last.to_ms, self._narrow_ms)
        if last.from_ms <= whole.from_ms:
            return None
        times = sorted(row.time_ms for row in rows)
        gaps = [after - before for before, after in pairwise(times)]
        gap_ms = min((gap for gap in gaps if gap > 0), default=MS_PER_HOUR)
        hours = max(1, round(gap_ms / MS_PER_HOUR))
        return self._window(whole, last.from_ms - 1, hours * self._narrow_ms)

    def _window(self, whole: Span, to_ms: int, width_ms: int) -> Span:
        return Span(max(whole.from_ms, to_ms - width_ms), to_ms)


class Offset:
    """Newest first, `limit` rows after `offset`: go on until a row is older than the span."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def first(self, whole: Span) -> Span:
        """Begin with the newest."""
        return whole

    def following(self, whole: Span, last: Span, rows: Sequence[SettledRow]) -> Span | None:
        """Pass over what was taken."""
        if len(rows) < self.limit or min(row.time_ms for row in rows) < whole.from_ms:
            return None
        return last._replace(offset=last.offset + len(rows))


class PerSymbolWalk:
    """The settled rates of one contract, until the strategy has seen the whole span."""

    def __init__(
        self,
        symbol: str,
        whole: Span,
        paging: Paging,
        call: Callable[[str, Span], RestCall],
        read: Callable[[bytes], Sequence[SettledRow]],
    ) -> None:
        """`read` raises MalformedInputError."""
        self._symbol = symbol
        self._whole = whole
        self._paging = paging
        self._call = call
        self._read = read
        self._span: Span | None = paging.first(whole) if whole.from_ms <= whole.to_ms else None

    def next_call(self) -> RestCall | None:
        """Return the next page's call, or None when done."""
        return None if self._span is None else self._call(self._symbol, self._span)

    def take(self, body: bytes) -> HistoryPage:
        """Take the reply to the last call. Raises MalformedInputError; the page stays wanted."""
        assert self._span is not None
        rows = self._read(body)
        self._span = self._paging.following(self._whole, self._span, rows)
        return HistoryPage([Slice(self._symbol, row.payload) for row in rows])

    @property
    def progress(self) -> float:
        """All or nothing: a contract is a few pages."""
        return 1.0 if self._span is None else 0.0
