"""Simulated Bybit: whole rows and changes, answers, refusals (docs/exchanges/bybit.md §1, §2)."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from infra.simulator.bybit.exchange import Bybit, BybitOptions, create
from infra.simulator.exchange import Frame
from infra.simulator.market.listings import Oddities, State
from infra.simulator.options import SimulatorOptions
from tests.support.paths import SHARED_FIXTURES
from tests.support.simulated_bybit import (
    HOUR_MS,
    NOW_MS,
    STEP_MS,
    TICK_MS,
    asked,
    opened,
    result,
    steps,
    subscribed,
    unsized,
)

CAPTURED = SHARED_FIXTURES / "messages/bybit/cryptofeed_ws_tickers_BTCUSDT_snapshot.json"


@pytest.fixture
def exchange() -> Bybit:
    """A small exchange at a fixed time."""
    return Bybit(7, BybitOptions(contracts=40, held_back=2), NOW_MS)


def perpetuals(exchange: Bybit, family: str = "linear") -> list[str]:
    """The symbols of the perpetuals that trade."""
    rows = result(exchange, "instruments-info", category=family)["list"]
    return [row["symbol"] for row in rows if "Perpetual" in row["contractType"]]


def test_a_topic_begins_with_a_whole_row_and_goes_on_with_changes(exchange: Bybit) -> None:
    """A change names the contract and what is not as before; put together they are the row."""
    session = subscribed(exchange, "BTCUSDT")
    ((first, *later),) = steps(exchange, [session], 60)
    assert first["type"] == "snapshot"
    assert {frame["type"] for frame in later} == {"delta"}
    row = dict(first["data"])
    for frame in later:
        assert frame["topic"] == "tickers.BTCUSDT"
        assert frame["data"].pop("symbol") == "BTCUSDT"
        assert all(row[name] != text for name, text in frame["data"].items())
        row |= frame["data"]
    rested = result(exchange, "tickers", category="linear", symbol="BTCUSDT")["list"][0]
    assert unsized(row) == unsized(rested)


def test_the_whole_row_has_the_captured_shape(exchange: Bybit) -> None:
    """Every field that was seen, and each of its type."""
    if not CAPTURED.exists():
        pytest.skip("no captured messages here")
    captured = json.loads(CAPTURED.read_bytes())
    ((first, *_),) = steps(exchange, [subscribed(exchange, "BTCUSDT")], 1)
    assert {name: type(value) for name, value in first.items()} == {
        name: type(value) for name, value in captured.items()
    }
    missing = captured["data"].keys() - first["data"].keys()
    assert all(name.startswith(("high", "low", "prev", "price24h", "tick")) for name in missing)


def test_two_connections_get_the_same_changes(exchange: Bybit) -> None:
    """One that subscribes later begins with what the other knows."""
    early = subscribed(exchange, "ETHUSDT", "SOLUSDT")
    (begun,) = steps(exchange, [early], 5)
    late = subscribed(exchange, "ETHUSDT", "SOLUSDT")
    rows: list[dict[str, Any]] = [{}, {}]
    frames = steps(exchange, [early, late], 40)
    for row, own in zip(rows, ([*begun, *frames[0]], frames[1]), strict=True):
        for frame in own:
            assert (frame["topic"] in row) is (frame["type"] == "delta")
            row.setdefault(frame["topic"], {}).update(frame["data"])
    assert rows[0] == rows[1]


def test_a_rate_is_named_only_when_it_changes(exchange: Bybit) -> None:
    """Most changes are of prices and sizes alone."""
    ((_, *later),) = steps(exchange, [subscribed(exchange, "BTCUSDT")], 250)
    named = [frame for frame in later if "fundingRate" in frame["data"]]
    assert 0 < len(named) < len(later) / 3


def test_one_in_ten_is_pushed_each_100_ms_and_the_others_more_seldom() -> None:
    """At most two seconds apart (§1)."""
    exchange = Bybit(7, BybitOptions(contracts=400, quiet=False), NOW_MS)
    symbols = perpetuals(exchange)[:200]
    (frames,) = steps(exchange, [subscribed(exchange, *symbols)], 41)
    stamps: dict[str, list[int]] = {symbol: [] for symbol in symbols}
    for frame in frames:
        if frame["type"] == "delta":
            stamps[frame["data"]["symbol"]].append(frame["ts"])
    gaps = {name: {b - a for a, b in pairwise(found)} for name, found in stamps.items()}
    apart = [gap for (gap,) in gaps.values()]
    assert set(apart) == {STEP_MS, 500, 1_000, 2_000}
    assert 5 <= apart.count(STEP_MS) <= 40


def pushed_at(exchange: Bybit, start_ms: int, count: int) -> dict[int, int]:
    """How often each of the first 24 contracts is due in the steps from a time on."""
    found = dict.fromkeys(range(24), 0)
    for number in range(count):
        for row in exchange.prepare(start_ms + number * STEP_MS).rows():
            if row in found:
                found[row] += 1
    return found


def test_one_in_twelve_is_quiet_and_yet_tells_its_settlement() -> None:
    """Nothing of it changes for four minutes; around a full hour it is pushed as others are."""
    exchange = Bybit(7, BybitOptions(contracts=40), NOW_MS)
    hour_ms = 3_600_000
    settles_ms = (NOW_MS // (8 * hour_ms) + 1) * 8 * hour_ms
    long = pushed_at(exchange, settles_ms - hour_ms // 2, 2_400)
    assert {row for row, times in long.items() if times < 30} == {9, 21}
    assert (long[9], long[21]) == (1, 1)
    around = pushed_at(exchange, settles_ms - 2_000, 61)
    assert all(times >= 3 for times in around.values())
    often = Bybit(7, BybitOptions(contracts=40, quiet=False), NOW_MS)
    assert min(pushed_at(often, settles_ms - hour_ms // 2, 200).values()) >= 10


def test_every_push_is_in_the_truth_with_the_rate_that_holds(exchange: Bybit) -> None:
    """Also one that does not name it; its time is `ts`."""
    session = subscribed(exchange, "BTCUSDT")
    rate = ""
    for number in range(30):
        tick = exchange.prepare(TICK_MS + number * STEP_MS)
        for frame in tick.frames(session):
            sent = json.loads(frame.payload)
            rate = sent["data"].get("fundingRate", rate)
            assert frame.ledger is not None
            (line,) = frame.ledger.claim(frame.rows, sent["ts"] * 1_000 + 5)
            assert json.loads(line) == {
                "contract_id": "bybit:BTCUSDT",
                "event_time": sent["ts"] * 1_000,
                "sent_at": sent["ts"] * 1_000 + 5,
                "rate": float(rate),
            }
        tick.published()


def test_dated_and_pre_market_topics_are_not_in_the_truth(exchange: Bybit) -> None:
    """A dated contract has no rate, one before its listing a rate of 0 (README.md §8.3.15)."""
    symbols = [c.symbol for c in exchange.contracts if c.kind in {"dated", "foreign"}]
    linear = [symbol for symbol in symbols if "USDT" in symbol]
    session = subscribed(exchange, *linear)
    rates = {}
    for frame in exchange.prepare(TICK_MS).frames(session):
        assert frame.ledger is not None
        assert frame.ledger.claim(frame.rows, 1) == []
        data = json.loads(frame.payload)["data"]
        rates[data["symbol"]] = (
            data["fundingRate"],
            data["fundingIntervalHour"],
            data["curPreListingPhase"],
        )
    dated = ("", "", "")
    assert rates == {
        **{symbol: dated for symbol in linear if "-" in symbol},
        "OPENAIUSDT": ("0", "8", "ContinuousTrading"),
    }


def test_the_estimate_before_a_settlement_is_what_is_settled() -> None:
    """So that a derived settlement is right."""
    exchange = Bybit(7, BybitOptions(contracts=40), NOW_MS)
    at_ms = (NOW_MS // HOUR_MS + 1) * HOUR_MS
    snapshot = exchange.prepare(at_ms - STEP_MS).snapshot
    settled = {one.symbol: one.rate for one in exchange.settle(at_ms)}
    assert settled
    for symbol, rate in settled.items():
        row = exchange.row_of[symbol]
        assert exchange.rate(row, int(snapshot.rate_units[row])) == rate


def test_answers_repeat_the_request_s_id(exchange: Bybit) -> None:
    """Empty where there was none (§1)."""
    session = opened(exchange)
    assert asked(session, "ping", req_id="p7") == {
        "success": True,
        "ret_msg": "pong",
        "conn_id": "sim0001",
        "req_id": "p7",
        "op": "ping",
    }
    done = asked(session, "subscribe", "BTCUSDT")
    assert (done["success"], done["req_id"], done["op"]) == (True, "", "subscribe")
    assert session.subscribed() == ["tickers.BTCUSDT"]
    assert asked(session, "unsubscribe", "BTCUSDT", req_id="u")["success"]
    assert session.subscribed() == []
    assert steps(exchange, [session], 20) == [[]]


@pytest.mark.parametrize(
    ("bad_topic", "text", "subscribed_after"),
    [
        ("named", "error:handler not found,topic:tickers.NOPEUSDT", []),
        ("unnamed", "Params Error", []),
        ("ignored", "", ["tickers.BTCUSDT"]),
    ],
)
def test_one_unknown_topic_may_fail_the_whole_request(
    bad_topic: str, text: str, subscribed_after: list[str]
) -> None:
    """How is UNVERIFIED: each way can be had (§1)."""
    options = SimulatorOptions(own={"bybit_bad_topic": bad_topic})
    session = opened(create(options, 12, NOW_MS))
    answer = asked(session, "subscribe", "BTCUSDT", "NOPEUSDT", req_id="s")
    assert (answer["success"], answer["ret_msg"], answer["req_id"]) == (not text, text, "s")
    assert session.subscribed() == subscribed_after


def test_a_contract_of_the_other_family_is_unknown(exchange: Bybit) -> None:
    """Each family has an address of its own; no other has a topic."""
    assert not asked(opened(exchange), "subscribe", "BTCUSD")["success"]
    assert not asked(opened(exchange, "inverse"), "subscribe", "BTCUSDT")["success"]
    assert asked(opened(exchange, "inverse"), "subscribe", "BTCUSD")["success"]
    for path in ("", "/v5/public/spot", "linear"):
        assert exchange.session(path, {}) is None


def test_too_many_characters_are_refused(exchange: Bybit) -> None:
    """21,000 on a connection (§1)."""
    session = opened(exchange)
    books = [f"orderbook.50.{number:04d}{'X' * 100}" for number in range(200)]
    (answer,) = session.on_text(json.dumps({"op": "subscribe", "args": books}), NOW_MS)
    assert isinstance(answer, Frame)
    assert json.loads(answer.payload)["ret_msg"] == "args size >21000"
    assert session.subscribed() == []


@pytest.mark.parametrize(
    "text",
    [
        *("nonsense", "[1]", "[" * 100_000, '{"op":7}', '{"op":"auth"}', '{"op":"subscribe"}'),
        *('{"op":"subscribe","args":"tickers.BTCUSDT"}', '{"op":"subscribe","args":[7]}'),
    ],
)
def test_what_is_no_request_is_refused(exchange: Bybit, text: str) -> None:
    """And nothing is subscribed."""
    session = opened(exchange)
    for answers in (session.on_text(text, NOW_MS), session.on_binary(text.encode(), NOW_MS)):
        (answer,) = answers
        assert isinstance(answer, Frame)
        assert json.loads(answer.payload)["success"] is False
    assert session.subscribed() == []


def test_a_halted_contract_says_nothing_and_begins_anew_with_changes(exchange: Bybit) -> None:
    """One that is subscribed meanwhile begins with a whole row when it trades again."""
    before = subscribed(exchange, "ETHUSDT")
    steps(exchange, [before], 1)
    exchange.listings.set_oddities(Oddities({"ETHUSDT": State("Delivering", rated=False)}))
    after = subscribed(exchange, "ETHUSDT")
    assert steps(exchange, [before, after], 30) == [[], []]
    exchange.listings.set_oddities(Oddities({}))
    old, new = steps(exchange, [before, after], 30)
    assert {frame["type"] for frame in old} == {"delta"}
    assert next(frame["type"] for frame in new) == "snapshot"


def test_after_a_push_that_a_fault_has_kept_back_comes_a_whole_row(exchange: Bybit) -> None:
    """A socket loses nothing: no reader could tell that a change is missing."""
    session = subscribed(exchange, "BTCUSDT", "ETHUSDT")
    steps(exchange, [session], 1)
    at_ms = TICK_MS + 10 * STEP_MS
    kept_back = None
    for number in range(30):
        tick = exchange.prepare(at_ms + number * STEP_MS)
        for frame in tick.frames(session):
            sent = json.loads(frame.payload)
            if sent["data"]["symbol"] != "BTCUSDT":
                assert sent["type"] == "delta"
            elif kept_back is None:
                assert sent["type"] == "delta"
                frame.blame()
                kept_back = number
            else:
                assert sent["type"] == ("snapshot" if kept_back >= 0 else "delta")
                kept_back = -1
    assert kept_back == -1


def test_a_held_back_contract_is_unknown_until_it_is_listed(exchange: Bybit) -> None:
    """Then its topic can be had."""
    symbol = exchange.contracts[-1].symbol
    assert not asked(opened(exchange), "subscribe", symbol)["success"]
    exchange.listings.list_symbol(symbol)
    ((first, *_),) = steps(exchange, [subscribed(exchange, symbol)], 1)
    assert first["type"] == "snapshot"
