"""MEXC's traps: one contract a frame, acks without names, errors with HTTP 200, page numbers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from producers.exchanges.mexc import EXCHANGE
from producers.exchanges.spec import Control, RestCall
from schemas.errors import MalformedInputError
from schemas.times import MS_PER_HOUR

(KIND,) = EXCHANGE.socket_kinds
(LIST, _, _) = EXCHANGE.fact_calls


def test_a_frame_subscribes_one_contract() -> None:
    """At the pace that was seen to work; the rest is REST's until it is pushed."""
    frames = KIND.subscribe(["A_USDT", "B_USDT"])
    assert [json.loads(sent.text) for sent in frames] == [
        {"method": "sub.funding.rate", "param": {"symbol": symbol}}
        for symbol in ("A_USDT", "B_USDT")
    ]
    assert [sent.symbols for sent in frames] == [("A_USDT",), ("B_USDT",)]
    (left,) = KIND.unsubscribe(["A_USDT"])
    assert json.loads(left.text)["method"] == "unsub.funding.rate"
    assert (EXCHANGE.frames_per_s, KIND.capacity, EXCHANGE.snapshot_at_start) == (20.0, 150, True)


def test_pings_are_far_closer_than_the_minute_after_which_the_exchange_closes() -> None:
    """They are JSON."""
    assert KIND.ping is not None
    assert KIND.ping.every_s <= 20
    assert json.loads(KIND.ping.text(3)) == {"method": "ping"}


@pytest.mark.parametrize("ts", [None, "", "soon", -1, 1.5, True, [], 10**30])
def test_an_odd_time_costs_no_push(ts: object) -> None:
    """The time of receipt stands in."""
    message = {"channel": "push.funding.rate", "data": {"symbol": "A_USDT", "rate": 0}, "ts": ts}
    frame = EXCHANGE.slice_frame(json.dumps(message).encode())
    assert frame.event_us is None
    assert [piece.symbol for piece in frame.slices] == ["A_USDT"]


@pytest.mark.parametrize(
    "message",
    [b"", b"pong", b"[]", b"{}", b'{"channel":"push.funding.rate"}',
     b'{"channel":"push.funding.rate","data":{"rate":1}}'],
)  # fmt: skip
def test_what_names_no_contract_is_refused(message: bytes) -> None:
    """A push without a contract is malformed."""
    with pytest.raises(MalformedInputError):
        EXCHANGE.slice_frame(message)


def test_an_ack_confirms_no_contract_by_name() -> None:
    """It names the method alone."""
    ack = b'{"channel":"rs.sub.funding.rate","data":"success","ts":1}'
    assert EXCHANGE.slice_frame(ack).control == Control()


@pytest.mark.parametrize(
    ("entry", "streams"),
    [
        ({"state": 0, "futureType": 1}, True),
        ({"state": 0}, True),
        ({"state": 1, "futureType": 1}, False),
        ({"state": 4, "futureType": 1}, False),
        ({"state": 9, "futureType": 1}, False),
        ({"state": 3, "futureType": 1}, False),
        ({"futureType": 1}, False),
        ({"state": "0", "futureType": "1"}, True),
        ({"state": 0, "futureType": []}, True),
        ({"state": {}, "futureType": 1}, False),
    ],
)
def test_the_list_says_what_trades(entry: dict[str, Any], *, streams: bool) -> None:
    """By a number; without one a contract is halted."""
    body = {"success": True, "code": 0, "data": [{"symbol": "A_USDT", **entry}]}
    slices = EXCHANGE.slice_reply(LIST, json.dumps(body).encode())
    (listing,) = EXCHANGE.listings(LIST, slices) or ()
    assert listing.streaming is streams
    assert listing.subscribed is (entry.get("state") != 3)


def test_dated_contracts_are_left_out() -> None:
    """And other calls list nothing."""
    body = b'{"code":0,"data":[{"symbol":"A_USDT","state":0,"futureType":2}]}'
    assert list(EXCHANGE.listings(LIST, EXCHANGE.slice_reply(LIST, body)) or ()) == []
    (current,) = EXCHANGE.snapshot_calls(["A_USDT"])
    assert EXCHANGE.listings(current, EXCHANGE.slice_reply(current, body)) is None


@pytest.mark.parametrize(
    ("body", "fault", "barred_s"),
    [
        (b'{"success":true,"code":0,"data":[]}', None, None),
        (b'{"success":false,"code":1001,"message":"Contract does not exist!"}', "code 1001", None),
        (b'{"success":false,"code":510,"message":"too frequent"}', "code 510", 5.0),
        (b'{"success":false,"code":"510"}', "code 510", 5.0),
        (b'{"success":true,"code":"0","data":[]}', None, None),
        (b'{"success":false,"code":0}', "the reply says that it is no success", None),
        (b'{"success":false}', "the reply says that it is no success", None),
        (b'{"success":false,"code":[1]}', "the reply says that it is no success", None),
        (b'{"success":false,"code":"busy"}', "code busy", None),
        (b"<html>", None, None),
    ],
)
def test_errors_come_with_http_200(body: bytes, fault: str | None, barred_s: float | None) -> None:
    """510 bars as well; how long is not told."""
    call = RestCall("funding_rate", "/")
    assert EXCHANGE.fault(call, {}, body) == fault
    assert EXCHANGE.barred_s(call, {}, body) == barred_s


SINCE_MS = 62_000 * 8 * MS_PER_HOUR


def page(first: int, count: int) -> bytes:
    """Settlements, newest first, eight hours apart."""
    rows: list[dict[str, Any]] = [
        {"symbol": "A_USDT", "settleTime": SINCE_MS + (first - number) * 8 * MS_PER_HOUR}
        for number in range(count)
    ]
    return json.dumps({"code": 0, "data": {"resultList": rows}}).encode()


def test_pages_of_twenty_rows_are_not_the_last() -> None:
    """As an exchange cuts them that does not like the size; a shifted row counts once."""
    walk = EXCHANGE.history(["A_USDT"], SINCE_MS, SINCE_MS + 50 * 8 * MS_PER_HOUR)
    pages = [page(50, 20), page(31, 20), page(11, 20)]
    calls, found = [], []
    while (call := walk.next_call()) is not None:
        calls.append((call.params["page_num"], call.params["page_size"]))
        found += [piece.payload for piece in walk.take(pages.pop(0)).slices]
    assert calls == [("1", "100"), ("2", "100"), ("3", "100")]
    assert len(found) == 59
    short = EXCHANGE.history(["A_USDT"], 0, SINCE_MS + 50 * 8 * MS_PER_HOUR)
    assert len(short.take(page(50, 19)).slices) == 19
    assert short.next_call() is None


def test_facts_are_published_when_what_lasts_changes() -> None:
    """Not with each rate."""
    row = {"symbol": "A", "fundingRate": 1, "timestamp": 5, "collectCycle": 8}

    def identity(resource: str, row: dict[str, Any]) -> bytes:
        return EXCHANGE.fact_identity(resource, json.dumps(row).encode())

    assert identity("funding_rate", row) == identity("funding_rate", {**row, "fundingRate": 2})
    assert identity("funding_rate", row) != identity("funding_rate", {**row, "collectCycle": 4})
    assert identity("detail", {"state": 0}) != identity("detail", {"state": 4})
    assert identity("ticker", {"amount24": 1}) != identity("ticker", {"amount24": 2})
