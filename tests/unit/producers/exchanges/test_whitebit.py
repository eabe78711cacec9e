"""WhiteBIT's description: what the page of the exchange names as a trap."""

from __future__ import annotations

import json
from typing import Any

import pytest

from producers.exchanges.spec import Control, RestCall
from producers.exchanges.whitebit import EXCHANGE
from schemas.errors import MalformedInputError
from tests.venues.whitebit import FUTURE

HOUR_S = 3_600
NOW_MS = 1_790_000_000_000
SINCE_MS = NOW_MS - 33 * 24 * HOUR_S * 1_000
CALL = RestCall("futures", "/api/v4/public/futures")


def push(*rows: list[Any]) -> bytes:
    """A push of rows."""
    return json.dumps({"method": "premiumIndex_update", "params": rows, "id": None}).encode()


def test_each_row_has_its_own_time_and_terms() -> None:
    """Thinning looks at rate and next settlement; a row without a time has none (§2)."""
    frame = EXCHANGE.slice_frame(
        push(
            ["A_PERP", "1", "2", "0.0003", 1_790_006_400_000, 1_790_000_001.5],
            ["B_PERP", "1", "2", "0.0004", 1_790_006_400_000, 1_790_000_002.25],
            ["C_PERP", "1", "2", None, 1_790_006_400, "soon"],
        )
    )
    assert [piece.event_us for piece in frame.slices] == [
        1_790_000_001_500_000,
        1_790_000_002_250_000,
        None,
    ]
    assert [piece.terms for piece in frame.slices] == [
        b'"0.0003",1790006400000',
        b'"0.0004",1790006400000',
        b"null,1790006400",
    ]
    assert frame.event_us == 1_790_000_002_250_000


@pytest.mark.parametrize("result", ["pong", {"status": "success"}])
def test_answers_to_what_we_sent(result: object) -> None:
    """A pong, and the ack of the subscription (§1)."""
    text = json.dumps({"id": 1, "result": result, "error": None}).encode()
    assert EXCHANGE.slice_frame(text).control == Control()


@pytest.mark.parametrize("result", ["ok", {"status": "failed"}, {"status": 5}, [], 1])
def test_any_other_result_is_no_ack(result: object) -> None:
    """It is counted as unknown."""
    frame = EXCHANGE.slice_frame(json.dumps({"id": 1, "result": result}).encode())
    assert (frame.control, frame.unknown) == (None, "result")


@pytest.mark.parametrize(("kind", "is_listed"), [(None, True), (5, True), ("Option", False)])
def test_only_what_says_so_is_no_perpetual(kind: object, *, is_listed: bool) -> None:
    """An odd product type costs no entry (§4c)."""
    body = json.dumps({"success": True, "result": [{**FUTURE, "product_type": kind}]}).encode()
    found = EXCHANGE.listings(CALL, EXCHANGE.slice_reply(CALL, body))
    assert bool(found) is is_listed


def test_prices_are_no_terms() -> None:
    """A mark that moves alone is no reason to publish a row."""
    (one,), (other,) = (
        EXCHANGE.slice_frame(push(["A_PERP", mark, index, "0.1", 5, 1_790_000_001.5])).slices
        for mark, index in (("1", "2"), ("3", "4"))
    )
    assert one.terms == other.terms
    assert one.payload != other.payload


def test_rows_that_cannot_be_read_cost_no_other() -> None:
    """A name that is none, a row that is too short."""
    frame = EXCHANGE.slice_frame(push(["A_PERP", "1", "2", "0", 5, 6.0], [""] * 6, ["B_PERP"]))
    assert [(piece.symbol, piece.readable) for piece in frame.slices] == [
        ("A_PERP", True),
        (None, False),
        (None, False),
    ]


@pytest.mark.parametrize("params", [None, 5, {}, ["A_PERP"], [[1, 2]]])
def test_a_push_without_a_row_is_malformed(params: Any) -> None:
    """It goes to the dead letters as a whole."""
    text = json.dumps({"method": "premiumIndex_update", "params": params}).encode()
    with pytest.raises(MalformedInputError):
        EXCHANGE.slice_frame(text)


def test_an_answer_is_a_refusal_where_it_has_an_error() -> None:
    """The result of one is null (§1)."""
    good = b'{"error": null, "result": {"status": "success"}, "id": 0}'
    bad = b'{"error":{"code":1,"message":"invalid argument"},"result":null,"id":3}'
    assert EXCHANGE.slice_frame(good).control == Control()
    assert EXCHANGE.slice_frame(bad).control == Control(refused=True)


def test_volatile_fields_do_not_republish_the_list() -> None:
    """Prices, volumes and the rate change all the time, the interval does not (§4c)."""
    text = json.dumps(FUTURE).encode()
    moved = json.dumps({**FUTURE, "mark_price": "9", "funding_rate": "0.1", "bid": "3"}).encode()
    other = json.dumps({**FUTURE, "funding_interval_minutes": 240}).encode()
    assert EXCHANGE.fact_identity("futures", text) == EXCHANGE.fact_identity("futures", moved)
    assert EXCHANGE.fact_identity("futures", text) != EXCHANGE.fact_identity("futures", other)
    assert EXCHANGE.fact_identity("liquidity", moved) == moved


def test_a_reply_may_say_that_it_is_none() -> None:
    """Where the exchange is not available (§4d); other bodies are read as what they are."""
    refusal = b'{"success":false,"message":"not available in your country","errors":[]}'
    assert "your country" in (EXCHANGE.fault(CALL, {}, refusal) or "")
    assert EXCHANGE.fault(CALL, {}, b'{"success":true,"result":[]}') is None
    assert EXCHANGE.fault(CALL, {}, b"<html>") is None


def history(interval_h: int, *, newest_first: bool, cap: int = 100) -> tuple[list[int], int]:
    """Walk the history of a contract; return the times that came, and the number of calls."""
    every_s = interval_h * HOUR_S
    settled = range(SINCE_MS // 1_000 // every_s * every_s + every_s, NOW_MS // 1_000, every_s)
    walk = EXCHANGE.history(["A_PERP"], SINCE_MS, NOW_MS)
    found, calls = [], 0
    while (call := walk.next_call()) is not None:
        calls += 1
        assert calls < 40
        start, end = int(call.params["startDate"]), int(call.params["endDate"])
        rows = [at for at in reversed(settled) if start <= at <= end][:cap]
        if not newest_first:
            rows.reverse()
        page = [{"market": "A_PERP", "fundingTime": str(at), "fundingRate": "0"} for at in rows]
        slices = walk.take(json.dumps(page).encode()).slices
        found += [int(json.loads(piece.payload)["fundingTime"]) for piece in slices]
    assert sorted(set(found)) == list(settled)
    return found, calls


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize(("interval_h", "most"), [(8, 2), (4, 4), (1, 10)])
def test_history_is_complete_in_either_order(
    interval_h: int, most: int, *, newest_first: bool
) -> None:
    """A page is full at 100 rows, and its rows come in an order that is not documented (§4b)."""
    found, calls = history(interval_h, newest_first=newest_first)
    assert found == sorted(found)
    assert calls <= most


def test_a_history_of_intervals_that_became_shorter_loses_nothing() -> None:
    """A window that holds more than it should is asked for again narrowly."""
    change_s = NOW_MS // 1_000 - 10 * 24 * HOUR_S
    before = range(SINCE_MS // 1_000 + 7 * HOUR_S, change_s, 8 * HOUR_S)
    settled = [*before, *range(change_s, NOW_MS // 1_000, HOUR_S)]
    walk = EXCHANGE.history(["A_PERP"], SINCE_MS, NOW_MS)
    found: set[int] = set()
    for _ in range(40):
        call = walk.next_call()
        if call is None:
            break
        start, end = int(call.params["startDate"]), int(call.params["endDate"])
        rows = [at for at in settled[::-1] if start <= at <= end][:100]
        page = [{"fundingTime": str(at), "fundingRate": "0"} for at in rows]
        slices = walk.take(json.dumps(page).encode()).slices
        found.update(int(json.loads(piece.payload)["fundingTime"]) for piece in slices)
    assert walk.next_call() is None
    assert found == set(settled)


def test_the_history_of_a_market_is_asked_for_by_an_escaped_path() -> None:
    """Bounds are in seconds (§4b)."""
    call = EXCHANGE.history(["A/B_PERP"], 1_790_000_000_500, 1_790_003_600_500).next_call()
    assert call is not None
    assert call.path == "/api/v4/public/funding-history/A%2FB_PERP"
    assert (call.params["startDate"], call.params["endDate"]) == ("1790000000", "1790003601")
