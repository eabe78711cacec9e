"""Binance messages are cut, never re-encoded: each row byte for byte, or MalformedInputError."""

from __future__ import annotations

import contextlib
import json
import string
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from producers.exchanges.binance_usdm import EXCHANGE, STREAM
from producers.exchanges.json_slicing import (
    code_reader,
    keyed_rows,
    time_of,
    time_or_none,
    values_of,
)
from producers.exchanges.spec import Frame, RestCall, Slice, piece_of
from schemas.errors import MalformedInputError

ROW = (
    b'{"e":"markPriceUpdate","E":1791269856000,"s":"BTCUSDT","p":"85296.60260870",'
    b'"P":"85321.91711993","i":"85345.93826087","r":"0.00000523","T":1791273600000,"st":1}'
)
ETH = b'{"e":"markPriceUpdate","E":1791269856000,"s":"ETHUSDT","r":"0.00001","T":1791273600000}'
PREMIUM = RestCall("premiumIndex", "/fapi/v1/premiumIndex")
INFO = RestCall("exchangeInfo", "/fapi/v1/exchangeInfo")

space = st.text(" \t\r\n", max_size=3)
letters = st.characters(exclude_categories=["Cs"])
symbols = st.one_of(
    st.sampled_from(["BTCUSDT", "币安人生USDT", "1000SHIBUSDT", 'A"B', "A\\B", "😀USDT"]),
    st.text(letters, max_size=8),
)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(letters, max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@st.composite
def json_texts(draw: st.DrawFn, value: Any) -> str:
    """One of the many texts of a value: white space, escapes, exponents as they come."""
    if isinstance(value, dict):
        pairs = [
            f"{draw(space)}{draw(json_texts(k))}{draw(space)}:{draw(space)}{draw(json_texts(v))}"
            for k, v in value.items()
        ]
        return "{" + ",".join(pairs) + draw(space) + "}"
    if isinstance(value, list):
        return "[" + ",".join(draw(space) + draw(json_texts(v)) for v in value) + "]"
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


@st.composite
def rows(draw: st.DrawFn, key: str) -> tuple[str, bytes]:
    """A symbol and the text of a row about it: any other keys, in any order."""
    symbol = draw(symbols)
    names = st.text(string.ascii_letters, min_size=1, max_size=4)
    others = draw(st.dictionaries(names, values, max_size=4))
    others.pop(key, None)
    # What names another event is left out, as its own tests say.
    others.pop("e", None)
    # A time is a number where there is one, or the row is unreadable.
    if others.pop("E", None) is not None:
        others["E"] = draw(st.integers(0, 2**53))
    items = draw(st.permutations([*others.items(), (key, symbol)]))
    return symbol, draw(json_texts(dict(items))).encode()


@st.composite
def arrays(draw: st.DrawFn, key: str) -> tuple[list[tuple[str, bytes]], bytes]:
    """Rows, and an array of them with white space in all places."""
    found = draw(st.lists(rows(key), max_size=6))
    inner = b",".join(draw(space).encode() + text + draw(space).encode() for _symbol, text in found)
    return found, b"[" + inner + draw(space).encode() + b"]"


def event_us(found: list[tuple[str, bytes]]) -> int | None:
    """When the newest row says that it was made; a nought says nothing."""
    times_ms = [json.loads(row).get("E") for _symbol, row in found]
    return max((int(ms) * 1_000 for ms in times_ms if ms), default=None)


@settings(max_examples=40)
@given(arrays("s"), space)
def test_an_array_is_cut_into_exactly_its_rows(
    array: tuple[list[tuple[str, bytes]], bytes], lead: str
) -> None:
    """Nothing is lost, added, reordered or rewritten, whatever the rows hold."""
    found, text = array
    frame = EXCHANGE.slice_frame(lead.encode() + text)
    pieces = [piece_of(symbol, row) for symbol, row in found]
    assert frame == Frame(STREAM, pieces, event_us=event_us(found))


@settings(max_examples=40)
@given(arrays("s"), st.sampled_from([STREAM, "!markPrice@arr"]), space)
def test_a_combined_frame_is_cut_like_the_array_in_it(
    array: tuple[list[tuple[str, bytes]], bytes], stream: str, gap: str
) -> None:
    """The wrapper's stream becomes the channel, the wrapper itself is no payload."""
    found, text = array
    name, pad = stream.encode(), gap.encode()
    frame = EXCHANGE.slice_frame(b'{"stream":"' + name + b'",' + pad + b'"data":' + text + b"}")
    pieces = [piece_of(symbol, row) for symbol, row in found]
    assert frame == Frame(stream, pieces, event_us=event_us(found))


@given(rows("s"), space, space)
def test_a_row_in_a_wrapper_loses_only_the_wrapper(
    row: tuple[str, bytes], before: str, after: str
) -> None:
    """`data` may be one object as well; order of the wrapper's keys is free."""
    symbol, text = row
    wrapped = b'{"data":' + before.encode() + text + after.encode() + b',"stream":"x@markPrice"}'
    expected = Frame("x@markPrice", [piece_of(symbol, text)], event_us=event_us([row]))
    assert EXCHANGE.slice_frame(wrapped) == expected


@settings(max_examples=40)
@given(arrays("symbol"))
def test_a_reply_is_cut_into_exactly_its_rows(
    array: tuple[list[tuple[str, bytes]], bytes],
) -> None:
    """REST rows name their contract by `symbol`."""
    found, text = array
    expected = [piece_of(symbol, row) for symbol, row in found]
    assert EXCHANGE.slice_reply(PREMIUM, text) == expected
    info = b'{"timezone":"UTC","symbols":' + text + b',"assets":[]}'
    assert EXCHANGE.slice_reply(INFO, info) == expected


def test_a_bare_row_is_one_piece() -> None:
    """The single-symbol stream and `symbol=` replies come without an array."""
    frame = Frame(STREAM, [Slice("BTCUSDT", ROW)], event_us=1_791_269_856_000_000)
    assert EXCHANGE.slice_frame(ROW) == frame
    body = b'{"symbol":"BTCUSDT","lastFundingRate":"0.0001"}'
    assert EXCHANGE.slice_reply(PREMIUM, body) == [Slice("BTCUSDT", body)]


@pytest.mark.parametrize("nothing", ["0", "-1", "null", "true", '"1790000123000"', "1e3", "9e99"])
def test_what_is_no_time_tells_none(nothing: str) -> None:
    """A frame of 1970 would be an hour late at once: odd times cost neither row nor frame."""
    row = b'{"E":' + nothing.encode() + b',"s":"BTCUSDT"}'
    pieces = [Slice("BTCUSDT", row)]
    assert EXCHANGE.slice_frame(row) == Frame(STREAM, pieces)
    assert EXCHANGE.slice_frame(b"[" + row + b"]") == Frame(STREAM, pieces)
    assert EXCHANGE.slice_frame(b'{"stream":"' + STREAM.encode() + b'","data":' + row + b"}") == (
        Frame(STREAM, pieces)
    )


def test_a_symbol_is_read_through_its_escapes() -> None:
    """Routing sees the symbol, the payload keeps the text that was sent."""
    row = b'{"s":"\\u5e01\\u5b89\\u4eba\\u751fUSDT","r":"0.0001"}'
    (piece,) = EXCHANGE.slice_frame(b"[" + row + b"]").slices
    assert piece == Slice("币安人生USDT", row)


@pytest.mark.parametrize(
    "message",
    [
        b'{"result":null,"id":1}',
        b'{"result":["!markPrice@arr@1s"],"id":3}',
        b'{"id":7,"result":null}',
        b'{"error":{"code":2,"msg":"Invalid request: unknown variant `X`"},"id":1}',
        b'{"code":0,"msg":"Unknown property"}',
        b'{"code":3,"msg":"Invalid JSON: expected value at line 1 column 1"}',
    ],
)
def test_acks_and_errors_are_control_frames(message: bytes) -> None:
    """They say nothing about health and belong to no contract."""
    frame = EXCHANGE.slice_frame(message)
    assert frame.control
    assert list(frame.slices) == []


def test_a_data_frame_is_no_control_frame() -> None:
    """Neither an array, nor a row, nor a wrapper."""
    wrapped = b'{"stream":"s","data":[' + ROW + b"," + ETH + b"]}"
    for message in (ROW, b"[" + ROW + b"]", wrapped):
        assert not EXCHANGE.slice_frame(message).control


def test_rows_of_other_events_are_left_out_of_an_array() -> None:
    """The mark prices beside them are kept, and one of the others is named."""
    contract = b'{"e":"contractInfo","s":"ADAUSDT","E":7}'
    session = b'{"e":"EquityUpdate","S":"OPEN"}'
    frame = EXCHANGE.slice_frame(b"[" + contract + b"," + ROW + b"," + session + b"]")
    assert frame.slices == [Slice("BTCUSDT", ROW)]
    assert frame.unknown == "contractInfo"
    assert frame.event_us == 1_791_269_856_000_000


@pytest.mark.parametrize("event", [b"7", b"null", b"{}"])
def test_an_event_without_a_name_is_no_unknown_one(event: bytes) -> None:
    """It is read as before: a row with a symbol is data, one without is malformed."""
    frame = EXCHANGE.slice_frame(b'{"e":' + event + b',"s":"ADAUSDT"}')
    assert frame.unknown is None
    assert [piece.symbol for piece in frame.slices] == ["ADAUSDT"]
    with pytest.raises(MalformedInputError):
        EXCHANGE.slice_frame(b'{"e":' + event + b"}")


def _survives(message: bytes) -> None:
    """Cut a message, accepting MalformedInputError and nothing else."""
    for cut in (
        lambda: list(EXCHANGE.slice_frame(message).slices),
        lambda: list(EXCHANGE.slice_reply(PREMIUM, message)),
        lambda: EXCHANGE.listings(INFO, EXCHANGE.slice_reply(INFO, message)),
        lambda: EXCHANGE.history(["A"], 0, 1).take(message),
    ):
        with contextlib.suppress(MalformedInputError):
            cut()


@given(
    st.binary(max_size=80)
    | st.text(max_size=40).map(str.encode)
    | values.map(json.dumps).map(str.encode)
)
@example(b"")
@example(b"[")
@example(b"null")
@example(b"[null]")
@example(b'[{"s":null}]')
@example(b'[{"s":"\xff\xfe"}]')
@example(b'{"s":"\\ud800"}')
@example(b"[" * 100_000)
@example(b'{"data":' * 50_000)
@example(b'{"stream":1,"data":[]}')
@example(b'{"stream":"x","data":7}')
@example(b'{"stream":"x"}')
@example(b'{"symbols":{}}')
@example(b'[{"symbol":"A","fundingTime":99999999999999999999999}]')
def test_junk_raises_nothing_but_malformed_input(message: bytes) -> None:
    """Bytes that are no message of the exchange end as a dead letter, never as a crash."""
    _survives(message)


@pytest.mark.parametrize(
    "whole",
    [
        b"[" + ROW + b"," + ETH + b"]",
        b'{"stream":"' + STREAM.encode() + b'","data":[' + ROW + b"]}",
    ],
)
def test_no_truncated_frame_passes_as_a_whole_one(whole: bytes) -> None:
    """Cut off anywhere, a frame is malformed: half of its rows would look like all."""
    assert EXCHANGE.slice_frame(whole).slices
    for length in range(len(whole)):
        with pytest.raises(MalformedInputError):
            EXCHANGE.slice_frame(whole[:length])


def test_used_weight_is_read_and_nonsense_ignored() -> None:
    """The header counts only when it is a plain number."""
    assert EXCHANGE.used({"X-MBX-USED-WEIGHT-1M": "57"}) == {"weight": 57}
    for text in ("", "-1", "5.5", "٣", "many"):
        assert EXCHANGE.used({"X-MBX-USED-WEIGHT-1M": text}) == {}
    assert EXCHANGE.used({}) == {}


@given(
    rows=st.dictionaries(
        st.text(max_size=4), st.dictionaries(st.text(max_size=2), st.integers(), max_size=2)
    ),
    pad=st.text(" \t\r\n", max_size=2),
    ascii_only=st.booleans(),
)
def test_rows_of_a_map_are_cut_with_their_keys(
    rows: dict[str, Any],
    pad: str,
    ascii_only: bool,  # noqa: FBT001 - hypothesis passes it so
) -> None:
    """A map with one of them alone reads as it did; white space stays where it was."""
    members = [f"{json.dumps(k, ensure_ascii=ascii_only)}{pad}:{pad}{json.dumps(v)}"
               for k, v in rows.items()]  # fmt: skip
    table = ("{" + f"{pad},".join(members) + "}").encode()
    found = keyed_rows(table)
    assert {one.key: json.loads(one.row) for one in found} == rows
    for one, member in zip(found, members, strict=True):
        assert json.loads(b"{%b}" % one.member) == {one.key: rows[one.key]}
        if "\\" not in member:
            assert one.member == member.encode()


@pytest.mark.parametrize("table", [b"[]", b"7", b"", b'{"a":', b"null"])
def test_what_is_no_map_is_malformed(table: bytes) -> None:
    """An array has no keys."""
    with pytest.raises(MalformedInputError):
        keyed_rows(table)


def test_a_key_that_looks_like_a_row_or_stands_twice_costs_nothing() -> None:
    """What cannot be found is written anew."""
    assert [one.member for one in keyed_rows(b'{"{}" : {}, "b": {"{}" :1}}')] == [
        b'"{}" : {}',
        b'"b": {"{}" :1}',
    ]
    twice = keyed_rows(b'{"a":{"n":1},"b":{},"a":{"n":2}}')
    assert {one.key: one.row for one in twice} == {"a": b'{"n":2}', "b": b"{}"}
    assert all(json.loads(b"{%b}" % one.member) for one in twice)


@pytest.mark.parametrize("value", ["1790000000000", 1_790_000_000_000])
def test_a_time_is_a_number_or_a_text_of_digits(value: object) -> None:
    """Exchanges write both, some in the same message."""
    assert time_or_none(value) == time_of(value) == 1_790_000_000_000


@pytest.mark.parametrize(
    "value", [None, "", "x", "-1", "1.5", "١٢", "1" * 16, 10**15, -1, True, 1.5, ["1"], {}]
)
def test_what_is_no_time(value: object) -> None:
    """It is none, or refused where one must be."""
    assert time_or_none(value) is None
    with pytest.raises(MalformedInputError, match="not a time: "):
        time_of(value)


def test_the_values_of_a_row_are_told_apart_by_their_keys_alone() -> None:
    """Null is as good as absent; other keys make no difference."""
    row = b'{"a": "1", "b": [2, 3], "c": null, "other": 4}'
    assert values_of(row, ("b", "a", "c", "d")) == b'[2, 3]\n"1"\n\n'
    assert values_of(b'{"a":"1"}', ("a", "b")) != values_of(b'{"b":"1"}', ("a", "b"))
    with pytest.raises(MalformedInputError):
        values_of(b"[1]", ("a",))


class _Coded(msgspec.Struct):
    code: int


def test_a_code_is_none_where_it_cannot_be_read() -> None:
    """Who reads the reply says what is wrong with it."""
    code = code_reader(_Coded, lambda reply: reply.code)
    assert code(b'{"code": 7, "data": []}') == 7
    for body in (b"", b"<html>", b"[]", b"{}", b'{"code":"7"}'):
        assert code(body) is None
