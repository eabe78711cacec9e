"""Paging through one contract's history: every settlement is taken, and the walk ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges import exchange
from producers.exchanges.history_paging import (
    Backward,
    Cursor,
    Forward,
    Offset,
    Pages,
    Paging,
    PerSymbolWalk,
    SettledRow,
    Span,
    Windows,
)
from producers.exchanges.spec import RestCall, Slice
from schemas.errors import MalformedInputError
from schemas.times import MS_PER_HOUR

SINCE_MS = 400 * MS_PER_HOUR
Answer = Callable[[Sequence[int], Span], list[int]]


def forward(limit: int) -> Answer:
    """At most `limit` rows from the start, ascending (docs/exchanges/binance-coinm.md §6b,
    hyperliquid.md §9b).
    """
    return lambda times, span: [t for t in times if span.from_ms <= t <= span.to_ms][:limit]


def backward(limit: int) -> Answer:
    """The newest `limit` of the window, newest first (docs/exchanges/kucoin.md §5b)."""
    return lambda times, span: [t for t in times if span.from_ms <= t <= span.to_ms][::-1][:limit]


def oldest(limit: int) -> Answer:
    """The oldest `limit` of the window: which ones are cut is not documented."""
    return lambda times, span: [t for t in times if span.from_ms <= t <= span.to_ms][:limit][::-1]


def offset(limit: int) -> Answer:
    """`limit` rows after the offset, newest first, whatever their time
    (docs/exchanges/backpack.md §4b).
    """
    return lambda times, span: list(times)[::-1][span.offset : span.offset + limit]


def pages(limit: int) -> Answer:
    """Page by page of `limit` rows, newest first, whatever their time."""
    return lambda times, span: list(times)[::-1][(span.page - 1) * limit : span.page * limit]


def driven(
    paging: Paging, answer: Answer, times: Sequence[int], until_ms: int
) -> tuple[set[int], int]:
    """Walk to the end; the times that were taken, and the number of calls."""
    spans: list[Span] = []

    def call(symbol: str, span: Span) -> RestCall:
        assert symbol == "A"
        spans.append(span)
        return RestCall("history", "/h")

    walk = PerSymbolWalk("A", Span(SINCE_MS, until_ms), paging, call, read)
    taken: list[int] = []
    while walk.next_call() is not None:
        page = json.dumps(answer(times, spans[-1])).encode()
        taken += [int(piece.payload) for piece in walk.take(page).slices]
        assert len(spans) < 2_000, "the walk does not come to an end"
    assert walk.progress == 1.0
    assert taken == sorted(taken), "the worker derives an interval from the settlement before"
    return set(taken), len(spans)


def read(body: bytes) -> list[SettledRow]:
    """A page is an array of times here."""
    if not body:
        raise MalformedInputError("empty")
    return [SettledRow(time, str(time).encode()) for time in json.loads(body)]


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[int], int]:
    """Settlements with a few ms of jitter, whose interval changes now and then; and until when."""
    hour = 380
    times = []
    for interval, count in draw(
        st.lists(st.tuples(st.sampled_from([1, 2, 4, 8]), st.integers(0, 130)), max_size=4)
    ):
        for _ in range(count):
            hour += interval
            times.append(hour * MS_PER_HOUR + draw(st.integers(0, 2)) * 50)
    return times, (hour + draw(st.integers(0, 30))) * MS_PER_HOUR


def due_of(times: Sequence[int], until_ms: int) -> set[int]:
    """The settlements within the span."""
    return {time for time in times if SINCE_MS <= time <= until_ms}


@given(histories(), st.integers(1, 60))
def test_forward_takes_every_settlement(history: tuple[list[int], int], limit: int) -> None:
    """Whatever the page's size; a page brings the last row of the one before once more."""
    times, until_ms = history
    taken, calls = driven(Forward(limit), forward(limit), times, until_ms)
    assert taken == due_of(times, until_ms)
    assert calls <= (len(taken) // (limit - 1) if limit > 1 else 2 * len(taken)) + 1


def answer_rows(rows: Sequence[SettledRow], span: Span, limit: int) -> bytes:
    """A page of `limit` rows that settled within a span, ascending, as COIN-M sends it."""
    within = [r.payload for r in rows if span.from_ms <= (r.time_ms or 0) <= span.to_ms]
    return b"[" + b",".join(within[:limit]) + b"]"


@pytest.mark.parametrize("limit", [2, 3, 4, 5, 6, 7])
def test_a_page_that_ends_between_two_settlements_of_one_stamp_loses_neither(limit: int) -> None:
    """A regular and a special one; each row leaves once, in the order of time."""
    rows = []
    for number, stamp_ms in enumerate([5, 6, 6, 7, 8, 8, 9], 1):
        text = b'{"symbol":"A","fundingTime":%d,"fundingRate":"0.0%d"}' % (stamp_ms, number)
        rows.append(SettledRow(stamp_ms, text))
    spans: list[Span] = []

    def call(_symbol: str, span: Span) -> RestCall:
        spans.append(span)
        return RestCall("history", "/h")

    def read(body: bytes) -> list[SettledRow]:
        return [row for row in rows if row.payload in body]

    walk = PerSymbolWalk("A", Span(0, 20), Forward(limit), call, read)
    taken: list[bytes] = []
    while walk.next_call() is not None:
        assert len(spans) < 20, "the walk does not come to an end"
        taken += [piece.payload for piece in walk.take(answer_rows(rows, spans[-1], limit)).slices]
    assert taken == [row.payload for row in rows]


@given(histories(), st.sampled_from([backward, oldest]), st.integers(0, 9))
def test_windows_takes_every_settlement(
    history: tuple[list[int], int], cut: Callable[[int], Answer], more: int
) -> None:
    """Also where the interval changed, and whichever rows of a too wide window are cut."""
    times, until_ms = history
    taken, _ = driven(Windows(90), cut(92 + more), times, until_ms)
    assert taken == due_of(times, until_ms)


@pytest.mark.parametrize(("interval", "calls"), [(8, 2), (4, 3), (1, 9)])
def test_windows_soon_asks_for_wide_windows(interval: int, calls: int) -> None:
    """33 days of an 8 h contract are not walked in hourly windows (docs/exchanges/kucoin.md §7)."""
    hours = range(400, 400 + 33 * 24, interval)
    times = [hour * MS_PER_HOUR for hour in hours]
    taken, made = driven(Windows(90), backward(100), times, (399 + 33 * 24) * MS_PER_HOUR)
    assert taken == set(times)
    assert made == calls


@given(histories(), st.integers(1, 60))
def test_offset_takes_every_settlement(history: tuple[list[int], int], limit: int) -> None:
    """And at most a page of older ones."""
    times, until_ms = history
    taken, _ = driven(Offset(limit), offset(limit), times, until_ms)
    assert due_of(times, until_ms) <= taken


@given(histories(), st.integers(5, 60))
def test_pages_take_every_settlement(history: tuple[list[int], int], limit: int) -> None:
    """However many rows the exchange puts on a page, which was not asked."""
    times, until_ms = history
    taken, _ = driven(Pages(5), pages(limit), times, until_ms)
    assert due_of(times, until_ms) <= taken


@given(histories(), st.integers(5, 60), st.integers(1, 4))
def test_a_settlement_between_two_pages_loses_and_doubles_none(
    history: tuple[list[int], int], limit: int, before_page: int
) -> None:
    """All rows move one place further, so that a page begins with a row of the one before."""
    times, until_ms = history
    late_ms = until_ms + MS_PER_HOUR

    def shifting(known: Sequence[int], span: Span) -> list[int]:
        return pages(limit)([*known, late_ms] if span.page >= before_page else known, span)

    taken, _ = driven(Pages(5), shifting, times, until_ms)
    assert due_of(times, until_ms) <= taken


def test_an_exchange_that_ignores_the_page_ends_the_walk() -> None:
    """It answers with its newest rows again and again."""
    times = [(401 + hour) * MS_PER_HOUR for hour in range(9)]
    taken, calls = driven(
        Pages(5), lambda known, _: list(known)[::-1][:5], times, times[-1] + MS_PER_HOUR
    )
    assert (taken, calls) == (set(times[-5:]), 2)


@pytest.mark.parametrize(
    ("feed", "form"),
    [
        ("binance-coinm", b'[{"symbol":"A","fundingTime":%s},7,{"symbol":"A","fundingTime":%s}]'),
        ("hyperliquid", b'[{"time":%s},{"time":"x"},{"time":%s}]'),
        ("kucoin", b'{"code":"200000","data":[{"timepoint":%s},{},{"timepoint":%s}]}'),
    ],
)  # fmt: skip
def test_an_odd_row_of_a_page_costs_no_other(feed: str, form: bytes) -> None:
    """It is cut out as it came, and the walk goes on behind the others."""
    walk = exchange(feed).history(["A"], 0, 10 * MS_PER_HOUR)
    assert walk.next_call() is not None
    page = walk.take(form % (b"7200000", b"3600000"))
    assert [piece.readable for piece in page.slices] == [True, True, False]
    assert [b"3600000" in page.slices[0].payload, b"7200000" in page.slices[1].payload] == [
        True
    ] * 2
    assert page.slices[2].payload in form
    assert page.slices[2].symbol is None
    assert walk.next_call() is None


def test_backpack_cuts_an_odd_row_too() -> None:
    """Its times are text."""
    rows = [b'{"intervalEndTimestamp":"1970-01-01T0%d:00:00"}' % hour for hour in (5, 4)]
    walk = exchange("backpack").history(["A"], 0, 10 * MS_PER_HOUR)
    assert walk.next_call() is not None
    odd = b'{"intervalEndTimestamp":"soon"}'
    page = walk.take(b"[" + b",".join([rows[0], odd, rows[1]]) + b"]")
    assert list(page.slices) == [
        Slice("A", rows[1]),
        Slice("A", rows[0]),
        Slice(None, odd, readable=False),
    ]


def test_a_full_page_with_an_odd_row_is_not_the_last() -> None:
    """It counts as a row where the exchange counts rows."""
    walk = exchange("hyperliquid").history(["A"], 0, 10**12)
    assert walk.next_call() is not None
    walk.take(json.dumps([{"time": t} for t in range(499)] + [None]).encode())
    call = walk.next_call()
    assert call is not None
    assert json.loads(call.body)["startTime"] == 498


@given(histories(), st.integers(1, 60))
def test_backward_takes_every_settlement(history: tuple[list[int], int], limit: int) -> None:
    """Whatever the page's size: each page ends before the oldest row of the one before."""
    times, until_ms = history
    taken, calls = driven(Backward(limit), backward(limit), times, until_ms)
    assert taken == due_of(times, until_ms)
    assert calls <= len(taken) // limit + 1


def test_backward_asks_an_exchange_that_ignores_the_end_no_more_than_twice() -> None:
    """It answers with its newest rows again and again."""
    times = [(401 + hour) * MS_PER_HOUR for hour in range(40)]
    newest = times[::-1][:5]
    _, calls = driven(Backward(5), lambda _times, _span: newest, times, times[-1])
    assert calls == 2


@given(histories(), st.integers(1, 60), st.integers(0, 9))
def test_cursors_lead_through_every_settlement(
    history: tuple[list[int], int], limit: int, settled_between: int
) -> None:
    """Each page names its last row as the place of the next; what settles meanwhile shifts none."""
    times, until_ms = history
    spans: list[Span] = []

    def call(_symbol: str, span: Span) -> RestCall:
        spans.append(span)
        return RestCall("history", "/h")

    walk = PerSymbolWalk(
        "A",
        Span(SINCE_MS, until_ms),
        Cursor(),
        call,
        lambda body: read(json.dumps(json.loads(body)["rows"]).encode()),
        lambda body: str(json.loads(body)["next"]),
    )
    taken: list[int] = []
    while walk.next_call() is not None:
        known = [*times, *(until_ms + n for n in range(min(settled_between, len(spans))))][::-1]
        place = int(spans[-1].cursor or 2**60)
        page = [time for time in known if time < place][:limit]
        last = page[-1] if page and page[-1] != min(times) else ""
        body = json.dumps({"rows": page, "next": last}).encode()
        taken += [int(piece.payload) for piece in walk.take(body).slices]
        assert len(spans) < 2_000, "the walk does not come to an end"
    assert due_of(times, until_ms) <= set(taken)
    assert taken == sorted(set(taken))


def test_an_empty_span_asks_nothing() -> None:
    """Since after until."""
    for paging in (Forward(5), Windows(90), Offset(5), Backward(5), Cursor()):
        assert driven(paging, forward(5), [SINCE_MS], SINCE_MS - 1) == (set(), 0)


def test_an_unreadable_page_is_asked_for_again() -> None:
    """It changes nothing."""
    walk = exchange("hyperliquid").history(["BTC"], 0, 10 * MS_PER_HOUR)
    call = walk.next_call()
    for body in (b"", b"null", b'{"a":1}', b'[{"coin":"BTC"}]'):
        with pytest.raises(MalformedInputError):
            walk.take(body)
        assert walk.next_call() == call


def test_a_page_whose_rows_all_lack_a_time_is_malformed() -> None:
    """Nothing says where to go on; the page stays wanted."""
    row = SettledRow(None, b"{}")
    for paging in (Forward(2), Windows(90), Offset(2), Backward(2), Pages(2), Cursor()):
        walk = PerSymbolWalk(
            "A",
            Span(SINCE_MS, SINCE_MS + MS_PER_HOUR),
            paging,
            lambda _symbol, _span: RestCall("history", "/h"),
            lambda _body: [row, row],
        )
        with pytest.raises(MalformedInputError, match="none of 2 rows"):
            walk.take(b"")
        assert walk.next_call() is not None


HOUR_MS = 490_000 * MS_PER_HOUR


def _settled_page(feed: str, symbol: str, times: Sequence[object]) -> bytes:
    """A page of history as an exchange writes it."""
    if feed == "mexc":
        page = {"resultList": [{"symbol": symbol, "settleTime": time} for time in times]}
        return json.dumps({"code": 0, "data": page}).encode()
    if feed == "pacifica":
        rows = [{"created_at": time} for time in times]
        return json.dumps({"data": rows, "next_cursor": "more", "has_more": True}).encode()
    if feed == "lighter":
        return json.dumps(
            {"code": 200, "fundings": [{"timestamp": time} for time in times]}
        ).encode()
    if feed == "whitebit":
        return json.dumps([{"market": symbol, "fundingTime": time} for time in times]).encode()
    found = [
        {"ticker": symbol, "effectiveAt": time if isinstance(time, str) else _iso(time)}
        for time in times
    ]
    return json.dumps({"historicalFunding": found}).encode()


def _iso(time: object) -> str:
    assert isinstance(time, int)
    return datetime.fromtimestamp(time / 1_000, UTC).isoformat()


@pytest.mark.parametrize(
    ("feed", "symbol", "unit", "odd"),
    [
        ("mexc", "A_USDT", 1, 0),
        ("mexc", "A_USDT", 1, 10**14),
        ("mexc", "A_USDT", 1, "soon"),
        ("pacifica", "A", 1, 0),
        ("pacifica", "A", 1, None),
        ("lighter", "A", 1_000, 0),
        ("lighter", "A", 1_000, 1.5),
        ("whitebit", "A_PERP", 1_000, "0"),
        ("dydx", "A-USD", 1, "0001-01-01T00:00:00Z"),
    ],
)
def test_one_odd_time_costs_its_row_alone(feed: str, symbol: str, unit: int, odd: object) -> None:
    """The walk does not take it for a row from before the span, and goes on."""
    walk = exchange(feed).history([symbol], HOUR_MS - 3_000 * MS_PER_HOUR, HOUR_MS, {symbol: "7"})
    taken: list[Slice] = []
    times = [(HOUR_MS - n * MS_PER_HOUR) // unit for n in range(1_000)]
    taken += walk.take(_settled_page(feed, symbol, [*times, odd])).slices
    assert walk.next_call() is not None
    calls = 1
    while walk.next_call() is not None:
        calls += 1
        assert calls < 100
        taken += walk.take(_settled_page(feed, symbol, [1_500_000_000_000 // unit])).slices
    assert [piece.readable for piece in taken].count(False) == 1


def test_hyperliquid_pays_for_its_rows() -> None:
    """20 and 1 for each 20 rows (docs/exchanges/hyperliquid.md §9b): 500 rows cost 45, a catch-up
    of two hours 21.
    """
    found = exchange("hyperliquid")
    whole = found.history(["BTC"], 0, 720 * MS_PER_HOUR - 1).next_call()
    short = found.history(["BTC"], 0, 2 * MS_PER_HOUR - 1).next_call()
    assert whole is not None
    assert short is not None
    assert whole.costs == {"weight": 45}
    assert short.costs == {"weight": 21}
    assert json.loads(short.body) == {
        "type": "fundingHistory",
        "coin": "BTC",
        "startTime": 0,
        "endTime": 2 * MS_PER_HOUR - 1,
    }


def test_a_walk_is_of_one_contract() -> None:
    """Where history is asked for contract by contract."""
    for feed in ("binance-coinm", "kucoin", "hyperliquid", "backpack"):
        with pytest.raises(ValueError, match="unpack"):
            exchange(feed).history(["A", "B"], 0, 1)
