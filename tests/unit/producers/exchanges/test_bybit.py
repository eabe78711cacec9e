"""Bybit's description: families, changes of rows, refusals, codes (docs/exchanges/bybit.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from producers.exchanges.bybit import EXCHANGE, HISTORY_LIMIT
from producers.exchanges.spec import Control, RestCall
from producers.policy.merging import Merging
from producers.policy.subscriptions import Consequence, Subscriptions
from schemas.errors import MalformedInputError
from tests.support.paths import SHARED_FIXTURES

WHOLE = (
    b'{"symbol":"AUSDT","fundingRate":"0.0003","markPrice":"7.1","nextFundingTime":"1790006400000"}'
)
CHANGE = b'{"symbol":"AUSDT","markPrice":"7.2","bid1Size":"44"}'


def frame(row: bytes, kind: bytes, ts: bytes = b"1790000123001") -> bytes:
    """A push of a row."""
    return b'{"topic":"tickers.AUSDT","type":"%b","data":%b,"cs":9,"ts":%b}' % (kind, row, ts)


def merged(*frames: bytes) -> list[dict[str, object]]:
    """What is published of frames of one connection, decoded."""
    merging = Merging(EXCHANGE.row_fields, EXCHANGE.row_terms)
    found = [merging.complete("c", EXCHANGE.slice_frame(one).slices) for one in frames]
    return [json.loads(piece.payload) for each in found for piece in each.slices]


def test_a_change_without_a_rate_is_published_with_the_rate_that_holds() -> None:
    """In the envelope of its own frame, so with its own time (§8.3.14)."""
    first, second = merged(frame(WHOLE, b"snapshot"), frame(CHANGE, b"delta", b"1790000124002"))
    assert first["ts"] == 1_790_000_123_001
    assert second["ts"] == 1_790_000_124_002
    assert second["data"] == {
        "symbol": "AUSDT",
        "fundingRate": "0.0003",
        "markPrice": "7.2",
        "nextFundingTime": "1790006400000",
    }


def test_a_change_before_any_whole_row_is_not_published() -> None:
    """It could only be completed with guesses."""
    assert merged(frame(CHANGE, b"delta")) == []


def test_a_new_whole_row_replaces_what_was_known() -> None:
    """A field that it lacks is gone."""
    bare = b'{"symbol":"AUSDT","fundingRate":"-0.0004"}'
    *_, last = merged(frame(WHOLE, b"snapshot"), frame(bare, b"snapshot"))
    assert last["data"] == {"symbol": "AUSDT", "fundingRate": "-0.0004"}


@pytest.mark.parametrize("symbol", ["BUSDT", "", "AUSD"])
def test_a_row_of_another_contract_than_its_topic_s_is_unreadable(symbol: str) -> None:
    """It changes neither of the two."""
    change = json.dumps({"symbol": symbol, "markPrice": "9"}).encode()
    message = frame(change, b"delta")
    (piece,) = EXCHANGE.slice_frame(message).slices
    assert (piece.symbol, piece.payload, piece.readable) == (None, message, False)


def test_rate_interval_and_next_time_are_the_terms() -> None:
    """A price alone does not make an update that must be kept."""
    merging = Merging(EXCHANGE.row_fields, EXCHANGE.row_terms)
    changes = (
        b'{"symbol":"AUSDT","markPrice":"7.3"}',
        b'{"symbol":"AUSDT","fundingRate":"0.0005"}',
        b'{"symbol":"AUSDT","fundingIntervalHour":"4"}',
        b'{"symbol":"AUSDT","nextFundingTime":"1790020800000"}',
    )
    frames = [frame(WHOLE, b"snapshot"), *(frame(change, b"delta") for change in changes)]
    terms = [
        piece.terms
        for one in frames
        for piece in merging.complete("c", EXCHANGE.slice_frame(one).slices).slices
    ]
    assert terms[0] == terms[1]
    assert len(set(terms)) == 4


def test_a_row_that_stands_twice_in_a_frame_is_cut_where_it_belongs() -> None:
    """Another key may hold the same bytes."""
    row = b'{"symbol":"AUSDT"}'
    message = b'{"old":{"data":%b},"topic":"tickers.AUSDT","data":%b,"ts":1}' % (row, row)
    (piece,) = EXCHANGE.slice_frame(message).slices
    assert piece.partial is not None
    assert piece.partial.head.endswith(b'"topic":"tickers.AUSDT","data":')
    assert piece.partial.tail == b',"ts":1}'


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("error:handler not found,topic:tickers.NOUSDT", ("NOUSDT",)),
        ("Invalid topic: tickers.A1USDT,tickers.B2USD", ("A1USDT", "B2USD")),
        ("Invalid topic: [tickers.A1USDT tickers.A1USDT]", ("A1USDT",)),
        ("Params Error", ()),
        (7, ()),
    ],
)
def test_a_refusal_names_contracts_in_its_text(text: object, symbols: tuple[str, ...]) -> None:
    """Or none; the id of the request stands in it where we sent one."""
    answer = {"success": False, "ret_msg": text, "req_id": "r1", "op": "subscribe"}
    found = EXCHANGE.slice_frame(json.dumps(answer).encode()).control
    assert found == Control(refused=True, refused_symbols=symbols, answers="r1")


def test_what_is_subscribed_already_is_confirmed_and_the_rest_is_asked_for_again() -> None:
    """The text that named it has failed as a whole (§1)."""
    (linear, _) = EXCHANGE.socket_kinds
    (sent,) = linear.subscribe(["A1USDT", "B2USDT", "C3USDT"])
    text = "error:already subscribed,topic:tickers.B2USDT"
    answer = {"success": False, "ret_msg": text, "req_id": sent.identity, "op": "subscribe"}
    control = EXCHANGE.slice_frame(json.dumps(answer).encode()).control
    assert control == Control(acknowledged=("B2USDT",), refused=True, answers=sent.identity)
    subscriptions = Subscriptions()
    subscriptions.sent(sent, 1.0)
    assert subscriptions.answered(control, 2.0) == Consequence((("A1USDT",), ("C3USDT",)))


def test_each_request_has_an_id_of_its_own_that_its_answer_repeats() -> None:
    """Also the halves of one that was refused."""
    (linear, _) = EXCHANGE.socket_kinds
    symbols = [f"C{number}USDT" for number in range(120)]
    frames = [
        *linear.subscribe(symbols),
        *linear.subscribe(symbols[:25]),
        *linear.unsubscribe(["C0USDT"]),
    ]
    assert len({each.identity for each in frames}) == len(frames)
    for each in frames:
        sent = json.loads(each.text)
        assert sent["req_id"] == each.identity
        assert sent["args"] == [f"tickers.{symbol}" for symbol in each.symbols]
        answer = {"success": True, "req_id": each.identity, "op": sent["op"]}
        control = EXCHANGE.slice_frame(json.dumps(answer).encode()).control
        assert control == Control(answers=each.identity)


def test_the_topics_of_a_socket_stay_below_the_cap_of_a_connection() -> None:
    """21,000 characters (§1), with the longest symbols that were seen."""
    for kind in EXCHANGE.socket_kinds:
        assert (kind.capacity or 0) * len("tickers.1000000BABYDOGEUSDT") < 21_000


def test_each_family_has_its_socket_and_its_calls() -> None:
    """USDT and USDC perpetuals are linear; BTCUSD is inverse (§3)."""
    linear, inverse = EXCHANGE.socket_kinds
    for symbol, is_linear in (("BTCUSDT", True), ("BTCPERP", True), ("BTCUSD", False)):
        assert (linear.takes(symbol), inverse.takes(symbol)) == (is_linear, not is_linear)
        family = "linear" if is_linear else "inverse"
        (call,) = EXCHANGE.snapshot_calls([symbol])
        assert dict(call.params) == {"category": family}
        page = EXCHANGE.history([symbol], 1, 2).next_call()
        assert page is not None
        assert page.params["category"] == family
    assert len(EXCHANGE.snapshot_calls(["BTCUSDT", "BTCUSD"])) == 2


def listed(call: RestCall, *rows: Mapping[str, object]) -> list[str]:
    """The contracts that a list names."""
    body = json.dumps({"retCode": 0, "result": {"list": rows}}).encode()
    found = EXCHANGE.listings(call, EXCHANGE.slice_reply(call, body))
    return [one.symbol for one in found or ()]


def test_dated_and_pre_market_contracts_are_not_listed() -> None:
    """They share the list (§3)."""
    perpetual = {"symbol": "AUSDT", "contractType": "LinearPerpetual", "isPreListing": False}
    others = (
        {"symbol": "A-25DEC26", "contractType": "LinearFutures"},
        {"symbol": "AUSDZ26", "contractType": "InverseFutures"},
        {"symbol": "BUSDT", "contractType": "LinearPerpetual", "isPreListing": True},
        {"symbol": "CUSDT", "contractType": None},
    )
    assert listed(EXCHANGE.fact_calls[0], perpetual, *others) == ["AUSDT"]
    inverse = {"symbol": "AUSD", "contractType": "InversePerpetual"}
    assert listed(EXCHANGE.fact_calls[1], inverse) == ["AUSD"]


def test_a_list_goes_on_until_its_cursor_is_empty() -> None:
    """Contracts that are cut off in silence would count as delisted (§4c)."""
    call = EXCHANGE.fact_calls[0]

    def following(cursor: object, asked: RestCall = call) -> RestCall | None:
        result = {"list": [{"symbol": "A"}], "nextPageCursor": cursor}
        return EXCHANGE.following_page(asked, json.dumps({"result": result}).encode())

    found = following("first%3DAUSDT%26last%3DBUSDT")
    assert found is not None
    assert found.params == {**call.params, "cursor": "first%3DAUSDT%26last%3DBUSDT"}
    again = following("c2", found)
    assert again is not None
    assert again.params["cursor"] == "c2"
    assert [following(none) for none in ("", None, 7, "x" * 600)] == [None] * 4
    assert following("c2", EXCHANGE.snapshot_calls(["AUSDT"])[0]) is None


@pytest.mark.parametrize(
    ("body", "failed", "barred_s"),
    [
        (b'{"retCode":0,"result":{}}', False, None),
        (b'{"retCode":10001,"retMsg":"Illegal category","result":{}}', True, None),
        (b'{"retCode":10006,"retMsg":"Too many visits!","result":{}}', True, 60.0),
        (b'{"retCode":10018,"result":{}}', True, 60.0),
        (b'{"retCode":10016,"result":{}}', True, None),
        (b"<html>", False, None),
        (b'{"retCode":"0"}', False, None),
    ],
)
def test_errors_come_with_http_200(body: bytes, failed: bool, barred_s: float | None) -> None:  # noqa: FBT001
    """A code of too many calls keeps us away; what is no reply is told by its reader."""
    call = EXCHANGE.snapshot_calls(["AUSDT"])[0]
    assert (EXCHANGE.fault(call, {}, body) is not None) is failed
    assert EXCHANGE.barred_s(call, {}, body) == barred_s


def test_an_error_is_no_list_of_nothing() -> None:
    """`result` is empty then: no contract would be listed any more."""
    for result in (b"{}", b'{"list":null}'):
        with pytest.raises(MalformedInputError):
            EXCHANGE.slice_reply(EXCHANGE.fact_calls[0], b'{"retCode":10001,"result":%b}' % result)


@pytest.mark.parametrize(
    ("headers", "body", "told_s"),
    [
        ({}, b"403, access too frequent", 600.0),
        ({"Retry-After": "90"}, b"access too frequent", 90.0),
        ({}, b"<html>denied</html>", None),
    ],
)
def test_a_ban_lasts_ten_minutes(
    headers: dict[str, str], body: bytes, told_s: float | None
) -> None:
    """Unless a header says how long (§4)."""
    assert EXCHANGE.retry_after_s(headers, body, 0) == told_s


def test_history_goes_on_before_its_oldest_row() -> None:
    """33 days of an hourly contract are four pages (§4b)."""
    hour_ms = 3_600_000
    last = 500_000
    until_ms = last * hour_ms
    walk = EXCHANGE.history(["AUSDT"], until_ms - 33 * 24 * hour_ms, until_ms)
    calls = 0
    newest = last
    taken: list[bytes] = []
    while (call := walk.next_call()) is not None:
        calls += 1
        assert int(call.params["endTime"]) // hour_ms == newest
        count = min(HISTORY_LIMIT, newest - (last - 33 * 24) + 1)
        rows = [
            {"symbol": "AUSDT", "fundingRate": "0.1", "fundingRateTimestamp": str(hour * hour_ms)}
            for hour in range(newest, newest - count, -1)
        ]
        page = walk.take(json.dumps({"retCode": 0, "result": {"list": rows}}).encode())
        taken += [piece.payload for piece in page.slices]
        newest -= count
    assert calls == 4
    stamps = [int(json.loads(row)["fundingRateTimestamp"]) // hour_ms for row in taken]
    assert stamps == list(range(last - 33 * 24, last + 1))


def test_a_fact_changes_with_its_interval_and_not_with_an_order_s_size() -> None:
    """Liquidity is published whenever it is asked for."""
    row = {"symbol": "AUSDT", "fundingInterval": 480, "lotSizeFilter": {"maxOrderQty": "1"}}
    other = {**row, "lotSizeFilter": {"maxOrderQty": "2"}}
    changed = {**row, "fundingInterval": 60}
    one, same, another = (
        EXCHANGE.fact_identity("instruments-info/linear", json.dumps(each).encode())
        for each in (row, other, changed)
    )
    assert one == same != another
    assert EXCHANGE.fact_identity("tickers/linear", b'{"time":5}') == b'{"time":5}'


def test_a_captured_session_is_completed_frame_by_frame() -> None:
    """839 frames of five contracts, some of the spot market: rates go on through changes."""
    path = SHARED_FIXTURES / "messages/bybit/cryptofeed_ws_tickers_linear_frames.jsonl"
    if not path.exists():
        pytest.skip("the captured messages are not here")
    lines = path.read_bytes().splitlines()
    linear = [line for line in lines if b'"usdIndexPrice"' not in line]
    published = merged(*linear)
    rated = [row for row in published if "fundingRate" in row["data"]]  # type: ignore[operator]
    assert len(lines) == 839
    assert len(rated) == len(published) > 700
