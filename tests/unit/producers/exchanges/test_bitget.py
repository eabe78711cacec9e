"""Bitget's traps: product types, full frames of two versions, page numbers, three lists."""

from __future__ import annotations

import json
from typing import Any

import pytest

from producers.exchanges.bitget import EXCHANGE, product_type
from producers.exchanges.spec import Control, RestCall
from producers.policy.instruments import InstrumentRegistry
from producers.policy.subscriptions import Consequence, Subscriptions
from schemas.errors import MalformedInputError
from schemas.times import MS_PER_HOUR

(KIND,) = EXCHANGE.socket_kinds
V3_ARG = {"instType": "usdt-futures", "topic": "ticker", "symbol": "XRPUSDT"}
V2_ARG = {"instType": "USDT-FUTURES", "channel": "ticker", "instId": "XRPUSDT"}


def frame(arg: dict[str, Any], *rows: dict[str, Any], **more: Any) -> bytes:
    """A frame with rows."""
    return json.dumps({"action": "update", "arg": arg, "data": rows, **more}).encode()


@pytest.mark.parametrize(
    ("symbol", "product"),
    [
        ("SOLUSDT", "USDT-FUTURES"),
        ("哈基米USDT", "USDT-FUTURES"),
        ("SOLPERP", "USDC-FUTURES"),
        ("SOLUSD", "COIN-FUTURES"),
    ],
)
def test_the_product_type_follows_from_the_symbol(symbol: str, product: str) -> None:
    """A subscription with another one would be acknowledged and silent; demos are never named."""
    assert product_type(symbol) == product
    (sent,) = KIND.subscribe([symbol])
    assert json.loads(sent.text)["args"] == [
        {"instType": product, "channel": "ticker", "instId": symbol}
    ]
    call = EXCHANGE.history([symbol], 0, MS_PER_HOUR).next_call()
    assert call is not None
    assert call.params["productType"] == product
    assert [call.params["productType"] for call in EXCHANGE.snapshot_calls([symbol])] == [product]


def test_subscriptions_keep_within_the_frame_and_the_socket() -> None:
    """4,096 bytes even of names outside ASCII, fewer arguments than have closed the v3 socket."""
    symbols = [f"哈基米哈基米{number}USDT" for number in range(50)]
    frames = KIND.subscribe(symbols)
    assert max(len(sent.text.encode()) for sent in frames) <= 4_096
    assert max(len(json.loads(sent.text)["args"]) for sent in frames) < 25
    assert KIND.capacity == 50
    assert KIND.ping is not None
    assert KIND.ping.text(7) == "ping"


def test_a_row_of_v3_gets_contract_and_time_from_its_frame() -> None:
    """v2 has both in the row, whose time is earlier than the frame's."""
    row = {"fundingRate": "0.0002", "nextFundingTime": "1790006400000"}
    (v3,) = EXCHANGE.slice_frame(frame(V3_ARG, row, ts=1_790_000_000_321)).slices
    assert (v3.symbol, v3.event_us) == ("XRPUSDT", 1_790_000_000_321_000)
    full = {**row, "instId": "XRPUSDT", "ts": "1790000000300"}
    (v2,) = EXCHANGE.slice_frame(frame(V2_ARG, full, ts=1_790_000_000_321)).slices
    assert (v2.symbol, v2.event_us) == ("XRPUSDT", 1_790_000_000_300_000)
    assert v2.terms == v3.terms


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({"markPrice": "9"}, True),
        ({"fundingRate": "0.00020"}, False),
        ({"fundingRate": "0.0003"}, False),
        ({"nextFundingTime": "1790035200000"}, False),
    ],
)
def test_the_terms_are_rate_and_next_time(change: dict[str, str], *, is_same: bool) -> None:
    """A frame in which they are others is published within the second."""
    row = {"instId": "A", "fundingRate": "0.0002", "nextFundingTime": "1790006400000", "ts": "1"}
    (before,) = EXCHANGE.slice_frame(frame(V2_ARG, row)).slices
    (after,) = EXCHANGE.slice_frame(frame(V2_ARG, {**row, **change})).slices
    assert (before.terms == after.terms) is is_same


@pytest.mark.parametrize("ts", [None, "", "soon", "9" * 40, -1, 1.5, True, []])
def test_an_odd_time_costs_no_row(ts: object) -> None:
    """The frame's own time stands in, where there is one."""
    row = {"instId": "A", "fundingRate": "0.0002", "ts": ts}
    cut = EXCHANGE.slice_frame(frame(V2_ARG, row, ts=1_790_000_000_321))
    assert cut.event_us == 1_790_000_000_321_000
    assert EXCHANGE.slice_frame(frame(V2_ARG, row)).event_us is None


@pytest.mark.parametrize("symbol", [None, "", " ", "A B", "x" * 1_000])
def test_a_row_of_no_contract_is_unreadable(symbol: str | None) -> None:
    """It goes to the dead letters, whole."""
    message = frame({"channel": "ticker"}, {"instId": symbol, "fundingRate": "0.1"})
    (piece,) = EXCHANGE.slice_frame(message).slices
    assert (piece.symbol, piece.readable, piece.payload) == (None, False, message)


@pytest.mark.parametrize(
    "message",
    [b"", b"ping", b"[]", b"{}", b'{"arg":{},"data":[]}', b'{"arg":{},"data":[{"fundingRate":1}]}'],
)
def test_what_is_neither_data_nor_an_event_is_refused(message: bytes) -> None:
    """An answer to a ping is no JSON, and nothing else is not."""
    with pytest.raises(MalformedInputError):
        EXCHANGE.slice_frame(message)
    assert EXCHANGE.slice_frame(b"pong").control == Control()


def test_an_empty_frame_of_tickers_is_one_without_pieces() -> None:
    """It says nothing about any contract."""
    assert not EXCHANGE.slice_frame(frame(V2_ARG)).slices


def reply(*rows: dict[str, Any]) -> bytes:
    """A reply of REST."""
    return json.dumps({"code": "00000", "msg": "success", "data": rows}).encode()


def listing(symbol: str, **more: str) -> dict[str, str]:
    """An entry of contracts."""
    return {"symbol": symbol, "symbolType": "perpetual", "symbolStatus": "normal", **more}


def test_the_three_lists_together_are_the_exchange_s() -> None:
    """Each is the whole list of its product type; dated contracts and demos are in none."""
    registry = InstrumentRegistry(EXCHANGE.fact_identity)
    entries = {
        "contracts": [listing("AUSDT"), listing("BUSDT_261225", symbolType="delivery")],
        "contracts-usdc": [listing("APERP")],
        "contracts-coin": [listing("AUSD", symbolStatus="maintain")],
    }
    for call in EXCHANGE.fact_calls:
        if call.resource in entries:
            slices = EXCHANGE.slice_reply(call, reply(*entries[call.resource]))
            registry.update(call.resource, slices, EXCHANGE.listings(call, slices))
    assert registry.listed == {"AUSDT", "APERP", "AUSD"}
    assert registry.streaming == {"AUSDT", "APERP"}
    products = [call.params["productType"] for call in EXCHANGE.fact_calls]
    assert set(products) == {"USDT-FUTURES", "USDC-FUTURES", "COIN-FUTURES"}


def test_a_test_symbol_is_listed_nowhere() -> None:
    """The call for current rates has it, which lists nothing."""
    call = EXCHANGE.snapshot_calls(["AUSDT"])[0]
    slices = EXCHANGE.slice_reply(call, reply({"symbol": "BGTESTMEUSDT", "maxFundingRate": None}))
    assert [piece.symbol for piece in slices] == ["BGTESTMEUSDT"]
    assert EXCHANGE.listings(call, slices) is None


def test_facts_are_published_when_what_lasts_changes() -> None:
    """The rate beside the caps changes with each reply; turnover is always news."""
    caps = {"symbol": "A", "fundingRate": "1", "nextUpdate": "5", "maxFundingRate": "2"}

    def identity(resource: str, row: dict[str, str]) -> bytes:
        return EXCHANGE.fact_identity(resource, json.dumps(row).encode())

    assert identity("current-fund-rate", caps) == identity(
        "current-fund-rate", {**caps, "fundingRate": "3", "nextUpdate": "6"}
    )
    assert identity("current-fund-rate", caps) != identity(
        "current-fund-rate", {**caps, "maxFundingRate": "4"}
    )
    assert identity("contracts", listing("A")) != identity(
        "contracts", listing("A", symbolStatus="off")
    )
    assert identity("tickers", {"quoteVolume": "1"}) != identity("tickers", {"quoteVolume": "2"})


def settled(first: int, count: int) -> bytes:
    """A page of settlements, newest first, eight hours apart."""
    return reply(
        *(
            {"symbol": "AUSDT", "fundingTime": str((first - number) * 8 * MS_PER_HOUR)}
            for number in range(count)
        )
    )


def test_pages_are_numbered_until_one_is_old_enough() -> None:
    """A page that is cut to 20 rows is not the last; a row that comes twice counts once."""
    walk = EXCHANGE.history(["AUSDT"], 1_000 * 8 * MS_PER_HOUR, 1_050 * 8 * MS_PER_HOUR)
    numbers: list[str] = []
    found: list[bytes] = []
    # A settlement came after the first page: the second begins with the last row of the first.
    pages = [settled(1_050, 20), settled(1_031, 20), settled(1_011, 20)]
    while (call := walk.next_call()) is not None:
        numbers.append(call.params["pageNo"])
        found += [piece.payload for piece in walk.take(pages.pop(0)).slices]
    assert numbers == ["1", "2", "3"]
    times = [int(json.loads(row)["fundingTime"]) // (8 * MS_PER_HOUR) for row in found]
    assert times == list(range(992, 1_051))


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b'{"code":"00000","data":[]}', None),
        (b'{"code":"40034","msg":"Parameter does not exist"}', "code 40034"),
        (b"<html>", None),
    ],
)
def test_a_reply_says_by_its_code_whether_it_is_one(body: bytes, fault: str | None) -> None:
    """What is no JSON at all is refused by whoever reads it."""
    assert EXCHANGE.fault(RestCall("tickers", "/"), {}, body) == fault


def test_a_text_that_is_refused_is_asked_for_again_without_what_is_named() -> None:
    """Answers are of one argument each; 30016 of v2 is of the whole text and names none (§1)."""
    asked = Subscriptions()
    (sent,) = KIND.subscribe(["AUSDT", "NOPEUSDT", "BUSDT"])
    asked.sent(sent, 0.0)
    assert KIND.splits_refused
    told = {"instType": "usdt-futures", "symbol": "NOPEUSDT", "topic": "ticker"}
    text = {"event": "error", "code": 30001, "msg": f"{json.dumps(told)} doesn't exist"}
    control = EXCHANGE.slice_frame(json.dumps(text).encode()).control
    assert control is not None
    assert asked.answered(control, 1.0) == Consequence((("AUSDT", "BUSDT"),), ["NOPEUSDT"])
    asked.sent(sent, 2.0)
    control = EXCHANGE.slice_frame(b'{"event":"error","code":30016,"msg":"Param error"}').control
    assert control is not None
    assert asked.answered(control, 3.0).again == (("AUSDT",), ("NOPEUSDT", "BUSDT"))


def test_a_row_without_a_rate_is_a_piece_of_its_contract() -> None:
    """That it has none is the normaliser's to say; a row that says nothing at all is none."""
    row = {"instId": "XRPUSDT", "markPrice": "2.34", "ts": "1790000123456"}
    (piece,) = EXCHANGE.slice_frame(frame(V2_ARG, row)).slices
    assert (piece.symbol, piece.readable) == ("XRPUSDT", True)
    (piece,) = EXCHANGE.slice_frame(frame(V2_ARG, {"x": 1})).slices
    assert not piece.readable


@pytest.mark.parametrize("product", ["usdt-futures", "USDC-FUTURES", "coin-futures", None])
def test_the_product_types_with_funding_are_read_in_either_spelling(product: str | None) -> None:
    """v3 writes them in small letters (§1); a frame without one may be of any."""
    row = {"fundingRate": "0.0003", "markPrice": "2.34"}
    found = EXCHANGE.slice_frame(frame({**V3_ARG, "instType": product}, row))
    assert found.unknown is None
    assert [piece.symbol for piece in found.slices] == ["XRPUSDT"]


@pytest.mark.parametrize("code", ['"429"', "429"])
def test_too_many_calls_may_be_told_with_http_200(code: str) -> None:
    """§4."""
    (call, *_) = EXCHANGE.fact_calls
    body = b'{"code":%b,"msg":"Too Many Requests"}' % code.encode()
    assert EXCHANGE.barred_s(call, {}, body) == 60.0
    assert EXCHANGE.fault(call, {}, body) == "code 429"
    for other in (b'{"code":"40034","data":null}', b"<html>", b'{"code":"00000","data":[]}'):
        assert EXCHANGE.barred_s(call, {}, other) is None
