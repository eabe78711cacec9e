"""Gate's description: each trap of docs/exchanges/gate.md."""

from __future__ import annotations

import itertools
import json

import pytest

from producers.exchanges.gate import EXCHANGE, WINDOW_MS, family
from schemas.contract_status import ContractStatus
from schemas.errors import MalformedInputError
from tests.venues.gate import CONTRACT, ROW, answer, frame, text

DAY_MS = 86_400_000
NOW_MS = 1_790_000_000_000


def test_the_ending_of_a_name_tells_its_family() -> None:
    """A socket and calls of its own for each (§1, §8)."""
    assert [family(name) for name in ("A_USDT", "A_USD1", "BTC_USD", "龙虾_USDT")] == [
        "usdt",
        "usd1",
        "btc",
        "usdt",
    ]
    taken = {kind.name: kind.takes("A_USD1") for kind in EXCHANGE.socket_kinds}
    assert taken == {"usdt": False, "usd1": True, "btc": False}


def test_current_rates_are_asked_for_by_family_and_without_a_limit() -> None:
    """A limit may be 100 at most (§9a)."""
    calls = EXCHANGE.snapshot_calls(["A_USDT", "B_USDT", "BTC_USD"])
    assert [call.path for call in calls] == [
        "/api/v4/futures/usdt/contracts",
        "/api/v4/futures/btc/contracts",
    ]
    assert all(not call.params for call in calls)
    assert [call.resource for call in calls] == ["contracts", "contracts-btc"]


def test_an_answer_belongs_to_the_text_that_it_repeats() -> None:
    """Ours have no id; the answer repeats event and payload (§2)."""
    (kind, *_) = EXCHANGE.socket_kinds
    symbols = [f"S{number}_USDT" for number in range(150)]
    first, second = kind.subscribe(symbols)
    assert (len(first.symbols), len(second.symbols)) == (100, 50)
    ack = answer("subscribe", second.symbols, result={"status": "success"})
    control = EXCHANGE.slice_frame(ack).control
    assert control is not None
    assert control.acknowledged == second.symbols
    assert control.answers == second.identity != first.identity
    (gone,) = kind.unsubscribe(symbols[:1])
    assert gone.identity not in {first.identity, second.identity}
    assert type(json.loads(first.text)["time"]) is int


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ("unknown currency pair: NOPE_USDT", ("NOPE_USDT",)),
        ("unknown currency pair NOPE_USDT", ("NOPE_USDT",)),
        ("something else", ()),
        (7, ()),
    ],
)
def test_a_refusal_of_the_whole_text_names_a_contract_or_none(
    told: object, named: tuple[str, ...]
) -> None:
    """§2."""
    error = {"code": 2, "message": told}
    message = answer("subscribe", ["A_USDT", "NOPE_USDT"], error=error, result={"status": "fail"})
    control = EXCHANGE.slice_frame(message).control
    assert control is not None
    assert control.refused
    assert control.refused_symbols == named
    assert control.acknowledged == ()


def test_an_array_in_an_array_is_refused() -> None:
    """The form of 2021 (§6)."""
    with pytest.raises(MalformedInputError):
        EXCHANGE.slice_frame(text({**frame(), "result": [[ROW]]}))


def test_the_time_of_a_price_is_that_of_the_row() -> None:
    """The frame's is that of the push; whatever is no time makes no difference (§6)."""
    for t, event_us in ((1_790_000_111_111, 1_790_000_111_111_000), ("x", 1_790_000_123_206_000)):
        found = EXCHANGE.slice_frame(text(frame({**ROW, "t": t})))
        assert found.event_us == event_us == found.slices[0].event_us


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({}, ContractStatus.TRADING),
        ({"status": "prelaunch"}, ContractStatus.PRE_LAUNCH),
        ({"status": "delisting"}, ContractStatus.HALTED),
        ({"status": "circuit_breaker"}, ContractStatus.HALTED),
        ({"in_delisting": True}, ContractStatus.HALTED),
        ({"status": "delisted", "in_delisting": True}, ContractStatus.DELISTED),
        ({"status": "something"}, ContractStatus.HALTED),
        ({"is_pre_market": True}, None),
        ({"in_delisting": "true"}, ContractStatus.TRADING),
        ({"is_pre_market": 0}, ContractStatus.TRADING),
    ],
)
def test_states(told: dict[str, object], status: ContractStatus | None) -> None:
    """Contracts of the pre-market are not listed; an odd mark costs no contract (§8)."""
    (call, *_) = EXCHANGE.fact_calls
    slices = EXCHANGE.slice_reply(call, text([{**CONTRACT, **told}]))
    found = list(EXCHANGE.listings(call, slices) or ())
    assert [one.status for one in found] == ([] if status is None else [status])


def test_a_rate_in_the_list_is_no_change_of_its_facts() -> None:
    """Interval, cap and state are (§9a)."""
    known = EXCHANGE.fact_identity("contracts", text(CONTRACT))
    for volatile in ("funding_rate", "mark_price", "position_size", "funding_next_apply"):
        assert EXCHANGE.fact_identity("contracts", text({**CONTRACT, volatile: "1"})) == known
    for lasting in ("status", "in_delisting", "funding_interval", "funding_rate_limit"):
        assert EXCHANGE.fact_identity("contracts", text({**CONTRACT, lasting: "1"})) != known


def test_history_is_walked_in_windows_of_30_days() -> None:
    """A reply ends 30 days after `from`; every second belongs to one window (§9b)."""
    since_ms = NOW_MS - 70 * DAY_MS + 1
    walk = EXCHANGE.history(["SUI_USDT"], since_ms, NOW_MS)
    spans = []
    while (call := walk.next_call()) is not None:
        assert call.path == "/api/v4/futures/usdt/funding_rate"
        assert call.params["contract"] == "SUI_USDT"
        spans.append((int(call.params["from"]), int(call.params["to"])))
        walk.take(b'[{"r":"0.0002","t":%d},{"r":"0.0001","t":%d}]' % spans[-1][::-1])
    assert spans[0][0] == since_ms // 1_000 + 1
    assert spans[-1][1] == NOW_MS // 1_000
    assert [later - end for (_, end), (later, _) in itertools.pairwise(spans)] == [1, 1]
    assert all(end - begin <= WINDOW_MS // 1_000 for begin, end in spans)


def test_rows_leave_in_the_order_of_their_time() -> None:
    """They come newest first, and name no contract (§9b)."""
    walk = EXCHANGE.history(["SUI_USDT"], NOW_MS - DAY_MS, NOW_MS)
    page = walk.take(b'[{"r":"0.3","t":1789990003},{"r":"0.2","t":1789980001},{"odd":1}]')
    assert [(piece.symbol, piece.payload[:9]) for piece in page.slices] == [
        ("SUI_USDT", b'{"r":"0.2'),
        ("SUI_USDT", b'{"r":"0.3'),
        (None, b'{"odd":1}'),
    ]
    assert walk.progress == 1.0


def test_what_is_kept_no_longer_is_not_asked_for() -> None:
    """180 days are kept, and asking for more is an error (§9b)."""
    call = EXCHANGE.history(["A_USDT"], NOW_MS - 400 * DAY_MS, NOW_MS).next_call()
    assert call is not None
    assert int(call.params["from"]) * 1_000 > NOW_MS - 180 * DAY_MS


def test_a_refusal_says_when_its_window_ends() -> None:
    """In seconds since the epoch (§9)."""
    headers = {"X-Gate-RateLimit-Reset-Timestamp": "1790000007"}
    assert EXCHANGE.retry_after_s(headers, b"", NOW_MS) == 7.0
    both = {**headers, "Retry-After": "3"}
    assert EXCHANGE.retry_after_s(both, b"", NOW_MS) == 7.0
    assert EXCHANGE.retry_after_s(both, b"", NOW_MS + 6_000) == 3.0
    # One that has passed does not shorten what holds without it.
    assert EXCHANGE.retry_after_s(headers, b"", NOW_MS + 7_000) is None
    assert EXCHANGE.retry_after_s(both, b"", NOW_MS + 60_000) == 3.0
    assert EXCHANGE.retry_after_s({"Retry-After": "3"}, b"", NOW_MS) == 3.0
    assert EXCHANGE.retry_after_s({"X-Gate-RateLimit-Reset-Timestamp": "x"}, b"", 0) is None
