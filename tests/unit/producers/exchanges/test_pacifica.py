"""Pacifica: spot among perpetuals, history by cursor, headers that count tenths."""

from __future__ import annotations

import json

import pytest

from producers.exchanges import exchange
from producers.exchanges.spec import RestCall, Slice
from schemas.errors import MalformedInputError
from schemas.times import MS_PER_HOUR

PACIFICA = exchange("pacifica")
LIST = PACIFICA.fact_calls[0]
NOW_MS = 1_790_000_000_000


def test_spot_markets_never_become_rates() -> None:
    """They have rates of "0" in the same arrays (docs/exchanges/pacifica.md §8)."""
    rows = [
        '{"symbol":"LINK","next_funding":"0.0000019","timestamp":1790000123007}',
        '{"symbol":"LINK-USDC","next_funding":"0","funding":"0","timestamp":1790000123007}',
    ]
    frame = '{"channel":"prices","data":[%s]}'
    found = PACIFICA.slice_frame((frame % ",".join(rows)).encode())
    (piece,) = found.slices
    assert (piece.symbol, piece.terms, piece.event_us) == (
        "LINK",
        b'"0.0000019"',
        1_790_000_123_007_000,
    )
    assert piece.payload.decode() == frame % rows[0]
    assert PACIFICA.slice_frame((frame % rows[1]).encode()).slices == []
    body = f'{{"success":true,"data":[{",".join(rows)}]}}'.encode()
    for call in (*PACIFICA.snapshot_calls([]), PACIFICA.fact_calls[1]):
        assert [each.symbol for each in PACIFICA.slice_reply(call, body)] == ["LINK"]


def test_the_list_tells_perpetuals_by_their_kind() -> None:
    """One that does not say is told by its name; other kinds than perpetuals are left out."""
    markets = [
        {"symbol": "LINK", "instrument_type": "perpetual"},
        {"symbol": "LINK-USDC", "instrument_type": "spot"},
        {"symbol": "OLD"},
        {"symbol": "OLD-USDC"},
        {"symbol": "LINK26Z", "instrument_type": "dated"},
    ]
    body = json.dumps({"success": True, "data": markets}).encode()
    slices = PACIFICA.slice_reply(LIST, body)
    listings = PACIFICA.listings(LIST, slices)
    assert listings is not None
    assert [(one.symbol, one.streaming) for one in listings] == [("LINK", True), ("OLD", True)]


def test_a_fact_does_not_change_with_its_rates() -> None:
    """Both stand in one row; as liquidity the numbers are what is wanted."""
    row = {"symbol": "LINK", "base_asset": "LINK", "funding_rate": "0.1"}
    first, second, third = (
        PACIFICA.fact_identity("info", json.dumps(each).encode())
        for each in (row, {**row, "funding_rate": "0.2"}, {**row, "base_asset": "X"})
    )
    assert first == second != third
    payload = json.dumps(row).encode()
    assert PACIFICA.fact_identity("liquidity", payload) == payload


def page(times_ms: list[int], cursor: object, *, more: object = True) -> bytes:
    """A page of history."""
    rows = [{"funding_rate": "0.1", "created_at": at_ms} for at_ms in times_ms]
    return json.dumps(
        {"success": True, "data": rows, "next_cursor": cursor, "has_more": more}
    ).encode()


def test_a_month_is_one_call_although_there_is_more() -> None:
    """Newest first, as many rows as the span has hours (docs/exchanges/pacifica.md §9b)."""
    since_ms = NOW_MS - 720 * MS_PER_HOUR
    walk = PACIFICA.history(["LINK"], since_ms, NOW_MS)
    call = walk.next_call()
    assert call is not None
    assert call.params == {"symbol": "LINK", "limit": "723"}
    times_ms = [NOW_MS - n * MS_PER_HOUR for n in range(723)]
    found = walk.take(page(times_ms, "next"))
    assert len(found.slices) == 723
    assert walk.next_call() is None


def test_a_cursor_leads_to_the_next_page() -> None:
    """Until a row is older than the span; rows leave in the order of their time."""
    walk = PACIFICA.history(["LINK"], NOW_MS - 9 * MS_PER_HOUR, NOW_MS)
    cursors: list[str | None] = []
    taken: list[Slice] = []
    for start in (0, 4, 8):
        call = walk.next_call()
        assert call is not None
        cursors.append(call.params.get("cursor"))
        times_ms = [NOW_MS - n * MS_PER_HOUR for n in range(start, start + 4)]
        taken += walk.take(page(times_ms, f"from-{start}")).slices
    assert cursors == [None, "from-0", "from-4"]
    assert walk.next_call() is None
    stamps = [json.loads(piece.payload)["created_at"] for piece in taken]
    assert stamps == sorted(stamps)
    assert len(stamps) == 12


@pytest.mark.parametrize(
    ("cursor", "more"),
    [(None, True), ("", True), ("further", False), (None, False), (5, True)],
)
def test_without_a_cursor_the_walk_is_over(cursor: object, more: bool) -> None:  # noqa: FBT001
    """Whatever the page says of more."""
    walk = PACIFICA.history(["LINK"], 0, NOW_MS)
    assert walk.next_call() is not None
    assert len(walk.take(page([NOW_MS], cursor, more=more)).slices) == 1
    assert walk.next_call() is None


@pytest.mark.parametrize("more", [None, True, "yes"])
def test_a_cursor_is_followed_unless_there_is_no_more(more: object) -> None:
    """A page that does not say whether there is more names its cursor all the same."""
    walk = PACIFICA.history(["LINK"], 0, NOW_MS)
    walk.take(page([NOW_MS], "further", more=more))
    call = walk.next_call()
    assert call is not None
    assert call.params["cursor"] == "further"


def test_a_cursor_that_leads_nowhere_ends_the_walk() -> None:
    """The same cursor, or another one with the same rows."""
    for cursors in (("same", "same"), ("one", "two")):
        walk = PACIFICA.history(["LINK"], 0, NOW_MS)
        for cursor in cursors:
            assert walk.next_call() is not None
            walk.take(page([NOW_MS], cursor))
        assert walk.next_call() is None


def test_a_cursor_that_is_too_long_is_malformed() -> None:
    """It would go into a URL; the page stays wanted."""
    walk = PACIFICA.history(["LINK"], 0, NOW_MS)
    call = walk.next_call()
    with pytest.raises(MalformedInputError, match="cursor"):
        walk.take(page([NOW_MS], "c" * 1_001))
    assert walk.next_call() == call


@pytest.mark.parametrize(
    ("headers", "used", "retry_s"),
    [
        ({"ratelimit": '"credits";r=1200;t=32'}, {"credits": 5}, 32.0),
        ({"ratelimit": '"credits";r=0;t=7', "Retry-After": "9"}, {"credits": 125}, 9.0),
        ({"ratelimit": '"credits";r=99999;t=1'}, {"credits": 0}, 1.0),
        ({"ratelimit": "nonsense"}, {}, None),
        ({}, {}, None),
    ],
)
def test_headers_count_tenths_of_credits(
    headers: dict[str, str], used: dict[str, int], retry_s: float | None
) -> None:
    """1250 is what 125 credits are (docs/exchanges/pacifica.md §4)."""
    assert PACIFICA.used(headers) == used
    assert PACIFICA.retry_after_s(headers, b"", NOW_MS) == retry_s


@pytest.mark.parametrize(
    ("body", "failed"),
    [
        (b'{"success":true,"data":[]}', False),
        (b'{"success":false,"data":null,"error":"Invalid symbol","code":400}', True),
        (b'{"data":[]}', False),
        (b"<html>", False),
    ],
)
def test_a_reply_says_whether_it_is_one(body: bytes, failed: bool) -> None:  # noqa: FBT001
    """What is no reply at all is told by its reader."""
    call = RestCall("info", "/api/v1/info")
    assert (PACIFICA.fault(call, {}, body) is not None) is failed


@pytest.mark.parametrize("code", ['"429"', "429"])
def test_too_many_calls_may_be_told_with_http_200(code: str) -> None:
    """Until the credits are new where a header says when, else for a minute (§4)."""
    (call, *_) = PACIFICA.fact_calls
    body = b'{"success":false,"data":null,"error":"Rate limit","code":%b}' % code.encode()
    assert PACIFICA.barred_s(call, {}, body) == 60.0
    assert PACIFICA.barred_s(call, {"ratelimit": '"credits";r=0;t=17'}, body) == 17.0
    for other in (b'{"success":true,"data":[],"code":null}', b"<html>", b'{"code":400}'):
        assert PACIFICA.barred_s(call, {}, other) is None


def test_a_dash_alone_makes_no_spot_market() -> None:
    """What the list calls a perpetual is read in the stream too (§8)."""
    row = '{"symbol":"BRK-B","next_funding":"0.0000021","timestamp":1790000123007}'
    frame = PACIFICA.slice_frame(f'{{"channel":"prices","data":[{row}]}}'.encode())
    assert [piece.symbol for piece in frame.slices] == ["BRK-B"]
    market = '{"symbol":"BRK-B","instrument_type":"perpetual"}'
    slices = PACIFICA.slice_reply(LIST, f'{{"success":true,"data":[{market}]}}'.encode())
    assert [one.symbol for one in PACIFICA.listings(LIST, slices) or ()] == ["BRK-B"]
