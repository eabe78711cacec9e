"""OKX's description: answers, refusals, products that are left out (docs/exchanges/okx.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from producers.exchanges.okx import ARGS_PER_FRAME, EXCHANGE, HISTORY_LIMIT
from producers.exchanges.spec import Control, Slice
from schemas.errors import MalformedInputError


def test_the_pong_is_no_json() -> None:
    """Bare text, as the ping (README.md §8.3.17)."""
    assert EXCHANGE.slice_frame(b"pong").control == Control()
    (kind,) = EXCHANGE.socket_kinds
    assert kind.ping is not None
    assert [kind.ping.text(number) for number in (1, 2)] == ["ping", "ping"]
    for text in (b"ping", b"pong ", b""):
        with pytest.raises(MalformedInputError):
            EXCHANGE.slice_frame(text)


def control(**message: object) -> Control | None:
    """What an event says."""
    return EXCHANGE.slice_frame(json.dumps(message).encode()).control


def test_an_ack_confirms_one_contract() -> None:
    """A request of many has many (§1)."""
    arg = {"channel": "funding-rate", "instId": "A-USDT-SWAP"}
    assert control(event="subscribe", arg=arg) == Control(acknowledged=("A-USDT-SWAP",))
    assert control(event="subscribe", id="s1", arg=arg) == Control(
        acknowledged=("A-USDT-SWAP",), answers="s1"
    )
    assert control(event="unsubscribe", id="u1", arg=arg) == Control(answers="u1")
    assert control(event="subscribe", arg={"channel": "funding-rate"}) == Control()


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("Wrong URL or channel:funding-rate,instId:X-USDT-SWAP doesn't exist.", ("X-USDT-SWAP",)),
        ("Wrong URL or channel:funding-rate, instId: Y-USD-SWAP, doesn't", ("Y-USD-SWAP",)),
        ("Requests too frequent", ()),
        (7, ()),
        (None, ()),
    ],
)
def test_a_refusal_may_name_its_contract(text: object, symbols: tuple[str, ...]) -> None:
    """In its text (§1)."""
    assert control(event="error", code="60018", msg=text, id="s2") == Control(
        refused=True, refused_symbols=symbols, answers="s2"
    )


@pytest.mark.parametrize(
    ("code", "text", "of_contracts"),
    [
        ("60018", "Wrong URL or channel", True),
        ("60012", "Invalid request: channel:funding-rate,instId:X-USDT-SWAP", True),
        ("60012", "Invalid request", False),
        ("60014", "Requests too frequent.", False),
        ("60013", "Invalid args", False),
        (60018, "", False),
        (None, "", False),
    ],
)
def test_only_some_refusals_are_of_contracts(code: object, text: str, of_contracts: bool) -> None:  # noqa: FBT001
    """Too many requests must not have each contract asked for again by itself (§1)."""
    found = control(event="error", code=code, msg=text, id="s3")
    assert found is not None
    assert (found.refused, found.of_contracts, found.answers) == (True, of_contracts, "s3")


def test_too_many_connections_are_a_refusal_of_no_contract() -> None:
    """The event of their count, with `-error` behind its name (§1)."""
    found = control(event="channel-conn-count-error", channel="funding-rate", connCount="30")
    assert found == Control(refused=True, of_contracts=False)


def test_notices_are_no_refusals() -> None:
    """One announces the end of the connection, another counts connections (README.md §8.3.17)."""
    assert control(event="notice", code="64008", msg="will soon be closed") == Control(ends=True)
    for code in ("64009", 64008, None):
        assert control(event="notice", code=code, msg="something else") == Control()
    assert control(event="channel-conn-count", channel="funding-rate", connCount="2") == Control()
    assert EXCHANGE.slice_frame(b'{"event":"surprise"}').unknown == "surprise"


def test_requests_have_short_ids_of_letters_and_digits() -> None:
    """32 at most; each has its own, the halves of one that was refused as well (§1)."""
    (kind,) = EXCHANGE.socket_kinds
    symbols = [f"C{number}-USDT-SWAP" for number in range(120)]
    frames = [
        *kind.subscribe(symbols),
        *kind.subscribe(symbols[:25]),
        *kind.subscribe(symbols[25:50]),
        *kind.unsubscribe(symbols[:50]),
    ]
    assert [len(each.symbols) for each in frames[:3]] == [ARGS_PER_FRAME, ARGS_PER_FRAME, 20]
    assert len({each.identity for each in frames}) == len(frames)
    for each in frames:
        assert each.identity.isalnum()
        assert each.identity.isascii()
        assert len(each.identity) <= 32
        sent = json.loads(each.text)
        assert sent["id"] == each.identity
        assert [arg["instId"] for arg in sent["args"]] == list(each.symbols)
        assert {arg["channel"] for arg in sent["args"]} == {"funding-rate"}


def test_the_channels_of_a_connection_stay_below_64_kb() -> None:
    """With names of 40 characters (§1)."""
    (kind,) = EXCHANGE.socket_kinds
    symbols = [f"{number:04d}{'X' * 36}" for number in range(kind.capacity or 0)]
    args = sum(len(each.text) for each in kind.subscribe(symbols))
    assert args < 65_536


def listed(*rows: Mapping[str, object]) -> list[str]:
    """The contracts that a list names."""
    call = EXCHANGE.fact_calls[0]
    body = json.dumps({"code": "0", "data": rows}).encode()
    found = EXCHANGE.listings(call, EXCHANGE.slice_reply(call, body))
    return [one.symbol for one in found or ()]


def test_only_swaps_that_are_listed_are_read() -> None:
    """Neither X-Perps nor the pre-market nor tests (§3)."""
    swap = {"instId": "A-USDT-SWAP", "instType": "SWAP", "state": "live", "ruleType": "normal"}
    others = (
        {**swap, "instId": "A-USD_UM_XPERP-310404", "instType": "FUTURES"},
        {**swap, "instId": "B-USDT-SWAP", "ruleType": "pre_market"},
        {**swap, "instId": "C-USDT-SWAP", "state": "test"},
        {**swap, "instId": "D-USDT-SWAP", "instType": None},
    )
    assert listed(swap, *others) == ["A-USDT-SWAP"]


RATE = {
    "instId": "A-USDT-SWAP",
    "fundingRate": "0.0001",
    "maxFundingRate": "0.015",
    "minFundingRate": "-0.015",
    "prevFundingTime": "1790000000000",
    "fundingTime": "1790014400000",
    "nextFundingTime": "1790028800000",
}


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({"fundingRate": "0.0002", "ts": "5"}, True),
        ({"prevFundingTime": "1790014400000", "fundingTime": "1790028800000"}, True),
        ({"prevFundingTime": None}, True),
        ({"prevFundingTime": "1789985600000"}, False),
        ({"maxFundingRate": "0.02"}, False),
        ({"minFundingRate": "-0.02"}, False),
        ({"instId": "B-USDT-SWAP"}, False),
    ],
)
def test_current_rates_are_facts_by_their_caps_and_interval(
    change: Mapping[str, object],
    is_same: bool,  # noqa: FBT001 - pytest passes parameters so
) -> None:
    """A new rate or a settlement publishes none of them again (§4c)."""
    one, other = (
        EXCHANGE.fact_identity("public/funding-rate", json.dumps(row).encode())
        for row in (RATE, {**RATE, **change})
    )
    assert (one == other) is is_same


def test_a_fact_of_the_list_changes_with_its_state_and_not_with_a_tick_size() -> None:
    """Liquidity is published whenever it is asked for."""
    row = {"instId": "A-USDT-SWAP", "state": "live", "tickSz": "0.1"}
    one, same, other = (
        EXCHANGE.fact_identity("instruments", json.dumps(each).encode())
        for each in (row, {**row, "tickSz": "0.2"}, {**row, "state": "suspend"})
    )
    assert one == same != other
    assert EXCHANGE.fact_identity("tickers", b'{"ts":"5"}') == b'{"ts":"5"}'


@pytest.mark.parametrize(
    ("body", "failed", "barred_s"),
    [
        (b'{"code":"0","data":[]}', False, None),
        (b'{"code":"51001","msg":"Instrument ID does not exist","data":[]}', True, None),
        (b'{"code":"50011","msg":"Too Many Requests","data":[]}', True, 60.0),
        (b"<html>", False, None),
        (b'{"code":0}', False, None),
    ],
)
def test_errors_come_with_http_200(body: bytes, failed: bool, barred_s: float | None) -> None:  # noqa: FBT001
    """A code of too many calls keeps us away; what is no reply is told by its reader."""
    (call,) = EXCHANGE.snapshot_calls([])
    assert (EXCHANGE.fault(call, {}, body) is not None) is failed
    assert EXCHANGE.barred_s(call, {}, body) == barred_s


def test_history_goes_on_with_what_is_older() -> None:
    """`after` is exclusive (§4b); 33 days of a contract of 4 h are two pages."""
    hour_ms = 3_600_000
    until_ms = 500_000 * hour_ms + 5
    since_ms = until_ms - 33 * 24 * hour_ms
    stamps = [hour * hour_ms for hour in range(500_000 - 40 * 24, 500_001, 4)]
    walk = EXCHANGE.history(["A-USDT-SWAP"], since_ms, until_ms)
    calls = []
    taken: list[Slice] = []
    while (call := walk.next_call()) is not None:
        calls.append(call.params)
        older = [stamp for stamp in stamps if stamp < int(call.params["after"])]
        rows = [{"fundingTime": str(stamp)} for stamp in older[::-1][:HISTORY_LIMIT]]
        taken += walk.take(json.dumps({"code": "0", "data": rows}).encode()).slices
    assert [params["instId"] for params in calls] == ["A-USDT-SWAP"] * 2
    assert calls[0]["after"] == str(until_ms + 1)
    found = [int(json.loads(piece.payload)["fundingTime"]) for piece in taken]
    assert [stamp for stamp in found if stamp >= since_ms] == [s for s in stamps if s >= since_ms]


def test_a_frame_of_two_rows_is_two_frames() -> None:
    """Each in the envelope; its time is that of the newest row."""
    frame = (
        b'{"arg":{"channel":"funding-rate","instId":"A"},"data":'
        b'[{"instId":"A","ts":"1790000000001"},{"instId":"B","ts":"1790000000002"},{"odd":1}]}'
    )
    found = EXCHANGE.slice_frame(frame)
    assert found.event_us == 1_790_000_000_002_000
    assert [piece.symbol for piece in found.slices] == ["A", "B", None]
    assert [len(json.loads(p.payload)["data"]) for p in found.slices if p.readable] == [1, 1]
