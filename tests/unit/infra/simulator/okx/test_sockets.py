"""Simulated OKX: pushes, answers of each arg, refusals (docs/exchanges/okx.md §1, §2)."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from infra.simulator.exchange import Frame
from infra.simulator.market.listings import Oddities, State
from infra.simulator.okx import universe
from infra.simulator.okx.exchange import Okx, OkxOptions, create
from infra.simulator.okx.session import RULES
from infra.simulator.options import SimulatorOptions
from tests.support.paths import SHARED_FIXTURES
from tests.support.simulated_okx import (
    HOUR_MS,
    NOW_MS,
    SECOND_MS,
    TICK_MS,
    asked,
    data,
    opened,
    subscribed,
    ticks,
)

CAPTURED = SHARED_FIXTURES / "messages/okx"
BTC = "BTC-USDT-SWAP"


@pytest.fixture
def exchange() -> Okx:
    """A small exchange at a fixed time."""
    return Okx(7, OkxOptions(contracts=40, held_back=2), NOW_MS)


def test_a_push_and_an_ack_have_the_captured_shape(exchange: Okx) -> None:
    """The same keys in the same order, all of them texts."""
    if not CAPTURED.is_dir():
        pytest.skip("no captured messages here")
    captured = json.loads((CAPTURED / "kh_ws_funding_rate_BTC.json").read_bytes())
    (frame,) = ticks(exchange, subscribed(exchange, BTC), 1)
    assert list(frame) == list(captured)
    assert list(frame["data"][0]) == list(captured["data"][0])
    assert {type(value) for value in frame["data"][0].values()} == {str}
    ack = json.loads((CAPTURED / "kh_ws_subscribe_ack.json").read_bytes())
    found = asked(opened(exchange), "subscribe", BTC)[0]
    assert (list(found), found["arg"]) == (list(ack), ack["arg"])


def test_each_contract_is_pushed_every_30_to_90_s(exchange: Okx) -> None:
    """And at once when it is subscribed."""
    symbols = exchange.symbols[:20]
    frames = ticks(exchange, subscribed(exchange, *symbols), 271)
    stamps: dict[str, list[int]] = {symbol: [] for symbol in symbols}
    for frame in frames:
        stamps[frame["arg"]["instId"]].append(int(frame["data"][0]["ts"]))
    assert {found[0] for found in stamps.values()} == {TICK_MS}
    apart = {b - a for found in stamps.values() for a, b in pairwise(found[1:])}
    assert {30_000, 90_000} <= apart
    assert min(apart) >= 30_000
    assert max(apart) <= 90_000


def test_a_subscription_may_have_to_wait_for_its_turn() -> None:
    """Whether the first push comes at once is UNVERIFIED: both can be had."""
    waiting = create(SimulatorOptions(own={"okx_first": "in-turn"}, aligned=True), 12, NOW_MS)
    at_ms = TICK_MS // 30_000 * 30_000 + 31_000
    session = subscribed(waiting, BTC)
    assert ticks(waiting, session, 29, at_ms) == []
    assert len(ticks(waiting, session, 1, at_ms + 29_000)) == 1


def test_times_and_the_interval_fit(exchange: Okx) -> None:
    """`fundingTime` is the coming settlement, of an interval that began at `prevFundingTime`."""
    frames = ticks(exchange, subscribed(exchange, *exchange.symbols[:40]), 1)
    hours = set()
    for frame in frames:
        (row,) = frame["data"]
        before, at, after = (
            int(row[key]) for key in ("prevFundingTime", "fundingTime", "nextFundingTime")
        )
        assert before <= TICK_MS < at < after
        hours.add((at - before) // HOUR_MS)
        assert row["nextFundingRate"] == ""
        assert len(row["fundingRate"].partition(".")[2]) == 16
    assert {4, 8} <= hours


def test_the_settled_rate_stands_beside_the_estimate(exchange: Okx) -> None:
    """It is what settled at `prevFundingTime`, and not the estimate."""
    settled = {(one.symbol, one.funding_ms): one.rate for one in exchange.settled_at_start()}
    for frame in ticks(exchange, subscribed(exchange, *exchange.symbols[:12]), 1):
        (row,) = frame["data"]
        key = (row["instId"], int(row["prevFundingTime"]))
        assert (row["settFundingRate"], row["settState"]) == (settled[key], "settled")


def test_a_settlement_takes_some_seconds() -> None:
    """Meanwhile the row is that of before, and its state `processing`."""
    at_ms = (NOW_MS // (8 * HOUR_MS) + 1) * 8 * HOUR_MS
    exchange = Okx(7, OkxOptions(contracts=12), at_ms - SECOND_MS)
    exchange.settle(at_ms)
    rows = {}
    for late_ms in (-SECOND_MS, 5_000, 20_000):
        (frame,) = ticks(exchange, subscribed(exchange, BTC), 1, at_ms + late_ms)
        (rows[late_ms],) = frame["data"]
    before, during, after = rows.values()
    assert {int(row["fundingTime"]) for row in (before, during)} == {at_ms}
    assert (before["settState"], during["settState"], after["settState"]) == (
        "settled",
        "processing",
        "settled",
    )
    assert during["settFundingRate"] == after["settFundingRate"] != before["settFundingRate"]
    assert int(after["prevFundingTime"]) == at_ms < int(after["fundingTime"])


def test_what_is_pushed_is_in_the_truth(exchange: Okx) -> None:
    """With the time and the rate of the row; what is no swap to be read is not."""
    x_perp = next(c.symbol for c in exchange.contracts if universe.is_x_perp(c))
    session = subscribed(exchange, BTC, x_perp, universe.PRE_MARKET)
    lines = {}
    for frame in exchange.prepare(TICK_MS).frames(session):
        assert frame.ledger is not None
        row = json.loads(frame.payload)["data"][0]
        lines[row["instId"]] = (row, frame.ledger.claim(frame.rows, 5))
    assert lines.keys() == {BTC, x_perp, universe.PRE_MARKET}
    assert lines[x_perp][1] == lines[universe.PRE_MARKET][1] == []
    assert lines[x_perp][0]["instType"] == "FUTURES"
    row, (line,) = lines[BTC]
    assert json.loads(line) == {
        "contract_id": f"okx:{BTC}",
        "event_time": int(row["ts"]) * 1_000,
        "sent_at": 5,
        "rate": float(row["fundingRate"]),
    }


def test_each_arg_has_an_answer_of_its_own(exchange: Okx) -> None:
    """With the request's id; once a count of connections comes, that nobody asked for."""
    session = opened(exchange)
    *acks, count = asked(session, "subscribe", BTC, "ETH-USDT-SWAP", id="a1")
    assert [(ack["event"], ack["id"], ack["arg"]["instId"]) for ack in acks] == [
        ("subscribe", "a1", BTC),
        ("subscribe", "a1", "ETH-USDT-SWAP"),
    ]
    assert count["event"] == "channel-conn-count"
    (left,) = asked(session, "unsubscribe", BTC)
    assert (left["event"], "id" in left) == ("unsubscribe", False)
    assert session.subscribed() == ["funding-rate:ETH-USDT-SWAP"]
    (again,) = asked(session, "subscribe", BTC)
    assert again["event"] == "subscribe"


@pytest.mark.parametrize(("bad_arg", "taken"), [("alone", 1), ("frame", 0)])
def test_an_unknown_contract_is_refused_by_name(bad_arg: str, taken: int) -> None:
    """Whether the others of its request are taken is UNVERIFIED: both can be had."""
    session = opened(create(SimulatorOptions(own={"okx_bad_arg": bad_arg}), 12, NOW_MS))
    answers = asked(session, "subscribe", BTC, "NOPE-USDT-SWAP", id="b2")
    (refused,) = [answer for answer in answers if answer["event"] == "error"]
    assert (refused["code"], refused["id"]) == ("60018", "b2")
    assert "channel:funding-rate,instId:NOPE-USDT-SWAP doesn't exist" in refused["msg"]
    assert len(session.subscribed()) == taken


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *((text, "60012") for text in ("nonsense", "[1]", "[" * 100_000, "{}", '{"op":"login"}')),
        *((text, "60013") for text in ('{"op":"subscribe"}', '{"op":"subscribe","args":["x"]}')),
        ('{"op":"subscribe","args":[{"channel":"funding-rate"}]}', "60018"),
        ('{"op":"subscribe","args":[{"channel":7,"instId":"BTC-USDT-SWAP"}]}', "60018"),
    ],
)
def test_what_is_no_request_is_refused(exchange: Okx, text: str, code: str) -> None:
    """As an event, and nothing is subscribed."""
    session = opened(exchange)
    answer = session.on_text(text, NOW_MS)[0]
    assert isinstance(answer, Frame)
    assert json.loads(answer.payload)["code"] == code
    assert session.subscribed() == []
    assert len(session.on_binary(text.encode(), NOW_MS)) == 1


def test_the_heartbeat_is_bare_text(exchange: Okx) -> None:
    """`ping` and `pong`; who says nothing for 30 s is cut off (README.md §8.3.17)."""
    (pong,) = opened(exchange).on_text("ping", NOW_MS)
    assert isinstance(pong, Frame)
    assert pong.payload == b"pong"
    assert RULES.silence_s == 30.0


def test_a_connection_has_480_requests_an_hour(exchange: Okx) -> None:
    """Whatever their args; they come back evenly (§1)."""
    session = opened(exchange)

    def events(now_ms: int) -> Any:
        return asked(session, "unsubscribe", BTC, now_ms=now_ms)[0].get("code")

    assert {events(NOW_MS) for _ in range(480)} == {None}
    assert events(NOW_MS) == "60014"
    assert events(NOW_MS + HOUR_MS // 480) is None
    assert events(NOW_MS + HOUR_MS // 480) == "60014"


def test_a_halted_contract_says_nothing(exchange: Okx) -> None:
    """One that is held back is unknown until it is listed."""
    session = subscribed(exchange, "ETH-USDT-SWAP")
    exchange.listings.set_oddities(Oddities({"ETH-USDT-SWAP": State("suspend", rated=False)}))
    assert ticks(exchange, session, 95) == []
    (row,) = data(exchange, "public/instruments", instType="SWAP", instId="ETH-USDT-SWAP")
    assert row["state"] == "suspend"
    held_back = exchange.symbols[-1]
    assert asked(opened(exchange), "subscribe", held_back)[0]["code"] == "60018"
    exchange.listings.list_symbol(held_back)
    assert len(ticks(exchange, subscribed(exchange, held_back), 1)) == 1


def test_only_the_public_address_has_rates(exchange: Okx) -> None:
    """Other paths do not exist here."""
    for path in ("", "/ws/v5/business", "/ws/v5/private"):
        assert exchange.session(path, {}) is None
