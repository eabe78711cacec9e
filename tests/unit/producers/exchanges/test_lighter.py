"""Lighter: maps by market id, ids in requests, limits that are told in HTTP 200."""

from __future__ import annotations

import json

import pytest

from producers.exchanges import exchange
from producers.exchanges.spec import RestCall, Slice
from schemas.contract_status import ContractStatus
from schemas.errors import MalformedInputError
from schemas.times import MS_PER_HOUR

LIGHTER = exchange("lighter")
LIST = LIGHTER.fact_calls[0]
NOW_MS = 1_790_000_000_000


def frame(table: str) -> bytes:
    """An update with a map of markets."""
    head = '{"channel":"market_stats:all","market_stats":'
    return f'{head}{table},"timestamp":1790000123147,"type":"update/market_stats"}}'.encode()


def test_each_market_is_a_frame_of_its_own_with_its_terms() -> None:
    """Byte for byte, white space included; the terms are the estimate as it was sent."""
    one = '"7" : { "symbol":"LINK", "current_funding_rate" : "-0.0013" }'
    two = '"91":{"symbol":"NVDA","funding_rate":"0.2"}'
    pieces = LIGHTER.slice_frame(frame("{ " + one + " , " + two + "}")).slices
    assert [(piece.symbol, piece.terms) for piece in pieces] == [
        ("LINK", b'"-0.0013"'),
        ("NVDA", b""),
    ]
    assert [piece.payload for piece in pieces] == [frame("{" + each + "}") for each in (one, two)]


def test_a_row_that_cannot_be_read_costs_no_other() -> None:
    """A market without a symbol, of which nobody knows whose it is; keys that are no ids."""
    table = '{"note":{"a":1},"7":{"symbol":"LINK"},"8":{"market_id":8},"9":{"symbol":" "}}'
    pieces = LIGHTER.slice_frame(frame(table)).slices
    assert [(piece.symbol, piece.readable) for piece in pieces] == [
        ("LINK", True),
        (None, False),
        (None, False),
    ]


@pytest.mark.parametrize("table", ['{"BTC":{"symbol":"BTC"}}', '{"7":{}}', "[]", '"x"'])
def test_a_map_of_another_form_is_refused_as_a_whole(table: str) -> None:
    """One dead letter of a message, and not one of each row."""
    with pytest.raises(MalformedInputError):
        LIGHTER.slice_frame(frame(table))


def test_an_empty_update_is_good() -> None:
    """Nothing has changed: it keeps the socket alive."""
    assert LIGHTER.slice_frame(frame("{}")).slices == []


def test_rates_of_other_exchanges_are_left_out() -> None:
    """They stand in the same list (docs/exchanges/lighter.md §9a)."""
    (call,) = LIGHTER.snapshot_calls([])
    own = b'{"exchange":"lighter","symbol":"LINK","rate":0.00008}'
    rows = b"%b,%b" % (own.replace(b"lighter", b"bybit"), own)
    body = b'{"code":200,"funding_rates":[%b]}' % rows
    assert LIGHTER.slice_reply(call, body) == [Slice("LINK", own)]


def test_only_perpetuals_are_listed_each_with_its_id() -> None:
    """Spot and options have funding of none (docs/exchanges/lighter.md §8)."""
    markets = [
        {"symbol": "LINK", "market_id": 7, "market_type": "perp", "status": "active"},
        {"symbol": "OLD", "market_id": 8, "market_type": "perp", "status": "inactive"},
        {"symbol": "LINK/USDC", "market_id": 2050, "market_type": "spot", "status": "active"},
        {"symbol": "UP", "market_id": 99, "market_type": "binary_options", "status": "active"},
    ]
    body = json.dumps({"code": 200, "order_book_details": markets}).encode()
    listings = LIGHTER.listings(LIST, LIGHTER.slice_reply(LIST, body))
    assert listings is not None
    assert [(one.symbol, one.key, one.status) for one in listings] == [
        ("LINK", "7", ContractStatus.TRADING),
        ("OLD", "8", ContractStatus.DELISTED),
    ]
    liquidity = LIGHTER.fact_calls[1]
    assert (liquidity.resource, liquidity.path, liquidity.every) == ("liquidity", LIST.path, 2)
    assert LIGHTER.listings(liquidity, LIGHTER.slice_reply(liquidity, body)) is None


def test_a_fact_changes_with_its_status_and_not_with_its_price() -> None:
    """Both stand in one row; as liquidity the numbers are what is wanted."""
    row = {"symbol": "LINK", "market_id": 7, "status": "active", "mark_price": "17.5"}
    moved, ended = {**row, "mark_price": "17.6"}, {**row, "status": "inactive"}
    first, second, third = (
        LIGHTER.fact_identity("orderBookDetails", json.dumps(each).encode())
        for each in (row, moved, ended)
    )
    assert first == second != third
    payload = json.dumps(row).encode()
    assert LIGHTER.fact_identity("liquidity", payload) == payload


def test_history_is_asked_for_by_the_market_s_id() -> None:
    """In seconds, in windows that no reply cuts: at most 750 rows (§9b)."""
    since_ms = NOW_MS - 33 * 24 * MS_PER_HOUR
    walk = LIGHTER.history(["LINK"], since_ms, NOW_MS, {"LINK": "7", "OLD": "8"})
    calls: list[RestCall] = []
    while (call := walk.next_call()) is not None:
        calls.append(call)
        walk.take(b'{"code":200,"resolution":"1h","fundings":[]}')
    assert len(calls) == 2
    starts = [int(call.params["start_timestamp"]) for call in calls]
    ends = [int(call.params["end_timestamp"]) for call in calls]
    assert starts[0] == since_ms // 1_000
    assert ends[0] <= starts[1] + 1
    assert ends[1] == NOW_MS // 1_000
    for call, start, end in zip(calls, starts, ends, strict=True):
        assert call.params["market_id"] == "7"
        assert (end - start) // 3_600 + 1 <= int(call.params["count_back"]) <= 750


def test_a_market_without_an_id_has_no_history() -> None:
    """Its symbol is no id."""
    for keys in ({}, {"LINK": ""}, {"OLD": "8"}):
        assert LIGHTER.history(["LINK"], 0, NOW_MS, keys).next_call() is None


@pytest.mark.parametrize(
    ("market_id", "key"),
    [(7, "7"), (0, "0"), ("7", "7"), (None, ""), (-1, ""), ("x", ""), ([], ""), ("9" * 40, "")],
)
def test_an_odd_id_costs_the_history_alone(market_id: object, key: str) -> None:
    """The market is listed all the same, whatever its status looks like."""
    market = {"symbol": "LINK", "market_id": market_id, "market_type": "perp", "status": 5}
    body = json.dumps({"code": 200, "order_book_details": [market]}).encode()
    (listing,) = LIGHTER.listings(LIST, LIGHTER.slice_reply(LIST, body)) or ()
    assert (listing.symbol, listing.key, listing.status) == ("LINK", key, ContractStatus.HALTED)


TOO_MANY = b'{"code":23000,"message":"Too Many Requests!"}'


def test_a_limit_that_is_told_in_http_200_bars_us_for_a_minute() -> None:
    """As the firewall does (docs/exchanges/lighter.md §4)."""
    assert LIGHTER.barred_s(LIST, {}, TOO_MANY) == 60.0
    assert LIGHTER.barred_s(LIST, {}, b'{"code":"23000"}') == 60.0


@pytest.mark.parametrize(
    ("body", "failed"),
    [
        (b'{"code":200,"funding_rates":[]}', False),
        (b'{"code":"200"}', False),
        (TOO_MANY, True),
        (b'{"code":20001,"message":"invalid param"}', True),
        (b"<html>", False),
    ],
)
def test_errors_may_come_with_http_200(body: bytes, failed: bool) -> None:  # noqa: FBT001
    """What is no reply at all is told by its reader."""
    assert (LIGHTER.fault(LIST, {}, body) is not None) is failed
    if body != TOO_MANY:
        assert LIGHTER.barred_s(LIST, {}, body) is None
