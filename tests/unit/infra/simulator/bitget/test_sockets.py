"""Simulated Bitget's sockets: acks of each argument, products, paces, the two versions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from infra.simulator.bitget import universe
from infra.simulator.bitget.exchange import Bitget, BitgetOptions, create
from infra.simulator.bitget.sockets import BitgetSession
from infra.simulator.exchange import Close
from infra.simulator.options import SimulatorOptions

NOW_MS = 1_791_269_856_400
MINUTE_MS = 60_000
HOUR_MS = 3_600_000


@pytest.fixture
def exchange() -> Bitget:
    """A small exchange at a fixed time."""
    return Bitget(7, BitgetOptions(contracts=60, held_back=2), NOW_MS)


def opened(exchange: Bitget, version: int = 2) -> BitgetSession:
    """A connection."""
    session = exchange.session(f"/v{version}/ws/public", {})
    assert session is not None
    return session


def argument(exchange: Bitget, row: int, version: int = 2) -> dict[str, str]:
    """What subscribes a contract."""
    contract = exchange.contracts[row]
    product = universe.product_type(contract)
    if version == 2:
        return {"instType": product, "channel": "ticker", "instId": contract.symbol}
    return {"instType": product.lower(), "topic": "ticker", "symbol": contract.symbol}


def asked(session: BitgetSession, *args: Any, op: str = "subscribe") -> list[Any]:
    """The answers to a request."""
    frames = session.on_text(json.dumps({"op": op, "args": args}), NOW_MS)
    return [frame if isinstance(frame, Close) else json.loads(frame.payload) for frame in frames]


def delivered(exchange: Bitget, session: BitgetSession, at_ms: int) -> list[Any]:
    """What a step brings; it is published."""
    tick = exchange.prepare(at_ms)
    frames = [json.loads(frame.payload) for frame in tick.frames(session)]
    tick.published()
    return frames


def steps(exchange: Bitget, seconds: int, from_ms: int = NOW_MS) -> range:
    """The times of all steps in some seconds."""
    first_ms = from_ms // 1_000 * 1_000 + 1_000
    return range(first_ms, first_ms + seconds * 1_000, exchange.tick_ms)


def test_the_documented_counts() -> None:
    """805 USDT, 49 USDC and 9 coin-margined perpetuals, four dated ones."""
    contracts = universe.contracts(universe.PERPETUALS, NOW_MS)
    perpetual = Counter(c.quote for c in contracts if c.kind != "dated")
    assert perpetual == {"USDT": 805, "USDC": 49, "USD": 9}
    assert [c.symbol for c in contracts if c.kind == "dated"] == [
        "BTCUSDZ26", "ETHUSDZ26", "BTCUSDH27", "ETHUSDH27",
    ]  # fmt: skip
    assert len({c.symbol for c in contracts}) == len(contracts)
    assert sum(not c.symbol.isascii() for c in contracts) == 3
    hours = Counter(c.interval_hours for c in contracts if c.quote == "USDT")
    assert hours[1] == 4
    assert 0.4 < hours[8] / 805 < 0.6


def test_each_argument_is_answered_by_itself(exchange: Bitget) -> None:
    """An unknown contract costs no other; the text of v3's error alone names it."""
    good, bad = argument(exchange, 0), {**argument(exchange, 0), "instId": "NOSUCHUSDT"}
    ack, error = asked(opened(exchange), good, bad)
    assert ack == {"event": "subscribe", "arg": good}
    assert (error["event"], error["code"], error["arg"], error["op"]) == (
        "error", 30001, bad, "subscribe",
    )  # fmt: skip
    bad = {**argument(exchange, 0, 3), "symbol": "NOSUCHUSDT"}
    ack, error = asked(opened(exchange, 3), argument(exchange, 0, 3), bad)
    assert ack["connId"]
    assert error.keys() == {"event", "code", "msg", "connId"}
    assert error["code"] == 30001
    assert '"symbol":"NOSUCHUSDT"' in error["msg"]


def test_a_wrong_product_is_acknowledged_and_silent(exchange: Bitget) -> None:
    """So is a contract of another family."""
    session = opened(exchange)
    wrong = {**argument(exchange, 0), "instType": "COIN-FUTURES"}
    assert asked(session, wrong) == [{"event": "subscribe", "arg": wrong}]
    assert not any(delivered(exchange, session, at_ms) for at_ms in steps(exchange, 3))
    assert session.subscribed()


@pytest.mark.parametrize(("push", "pushes"), [("light", {40: 10, 4: 90}), ("measured", {40: 100})])
def test_a_tenth_or_all_are_pushed_ten_times_a_second(push: str, pushes: dict[int, int]) -> None:
    """In full each time; the first frame is a snapshot, the later ones updates."""
    options = SimulatorOptions(seed=7, own={"bitget_push": push})
    exchange = create(options, 100, NOW_MS)
    session = opened(exchange)
    rows = range(100)
    for first in range(0, 100, 10):
        asked(session, *(argument(exchange, row) for row in rows[first : first + 10]))
    frames = [f for at_ms in steps(exchange, 4) for f in delivered(exchange, session, at_ms)]
    counts = Counter(frame["arg"]["instId"] for frame in frames)
    assert Counter(counts.values()) == pushes
    actions: dict[str, list[str]] = {}
    for frame in frames:
        actions.setdefault(frame["arg"]["instId"], []).append(frame["action"])
    assert all(found[0] == "snapshot" for found in actions.values())
    assert all(set(found[1:]) == {"update"} for found in actions.values())
    assert len({frozenset(frame["data"][0]) for frame in frames}) == 1


def test_the_two_versions_say_the_same(exchange: Bitget) -> None:
    """v3's row names neither contract nor time; a dated contract has no funding in either."""
    sessions = {version: opened(exchange, version) for version in (2, 3)}
    dated = next(row for row, c in enumerate(exchange.contracts) if c.kind == "dated")
    for version, session in sessions.items():
        asked(session, argument(exchange, 0, version), argument(exchange, dated, version))
    newest: dict[tuple[int, str], Any] = {}
    for at_ms in steps(exchange, 2):
        tick = exchange.prepare(at_ms)
        for version, session in sessions.items():
            for frame in tick.frames(session):
                body = json.loads(frame.payload)
                newest[version, body["arg"].get("instId") or body["arg"]["symbol"]] = body
    symbol, other = exchange.contracts[0].symbol, exchange.contracts[dated].symbol
    v2, v3 = newest[2, symbol], newest[3, symbol]
    for name in ("fundingRate", "nextFundingTime", "markPrice", "indexPrice"):
        assert v2["data"][0][name] == v3["data"][0][name]
    assert {"instId", "symbol", "ts"} & v3["data"][0].keys() == set()
    assert v3["ts"] == int(v2["data"][0]["ts"]) < v2["ts"]
    v2, v3 = newest[2, other]["data"][0], newest[3, other]["data"][0]
    assert (v2["fundingRate"], v2["nextFundingTime"], v2["symbolType"]) == ("0", "0", "2")
    assert (v3["fundingRate"], v3["nextFundingTime"]) == ("", "")
    assert v3["deliveryTime"]


def test_a_rate_is_made_once_a_minute_and_the_last_one_settles() -> None:
    """What is shown before the instant is what the history records."""
    exchange = Bitget(7, BitgetOptions(contracts=60), NOW_MS)
    funding_ms = NOW_MS // (8 * HOUR_MS) * 8 * HOUR_MS + 8 * HOUR_MS
    session = opened(exchange)
    asked(session, *(argument(exchange, row) for row in range(40)))
    grid = range(funding_ms - 3 * MINUTE_MS, funding_ms + 30_000, 500)
    shown: dict[str, dict[int, tuple[str, str]]] = {}
    for at_ms in grid:
        for frame in delivered(exchange, session, at_ms):
            (row,) = frame["data"]
            found = row["fundingRate"], row["nextFundingTime"]
            shown.setdefault(row["instId"], {})[int(row["ts"])] = found
    settled = {
        rate.symbol: rate.rate
        for rate in exchange.settle(funding_ms + 1_000)
        if rate.funding_ms == funding_ms
    }
    assert settled
    for symbol, told in shown.items():
        before = [rate for at_ms, (rate, _) in told.items() if at_ms < funding_ms]
        assert len(dict.fromkeys(before)) <= 4
        if symbol in settled:
            assert before[-1] == settled[symbol]
            after = {next_ms for at_ms, (_, next_ms) in told.items() if at_ms >= funding_ms}
            assert after
            assert all(int(next_ms) > funding_ms for next_ms in after)


def test_pings_are_text(exchange: Bitget) -> None:
    """And a client that says nothing for 130 s is cut, whatever it is sent."""
    session = opened(exchange)
    assert [frame.payload for frame in session.on_text("ping", NOW_MS)] == [b"pong"]  # type: ignore[union-attr]
    assert 127 <= session.rules.silence_s <= 142
    assert session.rules.messages_per_s == 10


def test_v3_closes_on_25_arguments(exchange: Bitget) -> None:
    """v2 takes sixty."""
    args = [argument(exchange, row, 3) for row in range(25)]
    assert asked(opened(exchange, 3), *args) == [Close(1006, "too much at once")]
    assert len(asked(opened(exchange, 3), *args[:24])) == 24
    short = [{**argument(exchange, 0), "instId": "A"} for _ in range(50)]
    assert len(asked(opened(exchange), *short)) == 50


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "nonsense", '{"op":"subscribe"}', '{"op":"x","args":[{}]}',
     '{"op":"subscribe","args":["x"]}', '{"op":"subscribe","args":[{"instId":5}]}'],
)  # fmt: skip
def test_what_cannot_be_read_is_a_param_error(exchange: Bitget, text: str) -> None:
    """30016."""
    (frame,) = opened(exchange).on_text(text, NOW_MS)
    assert not isinstance(frame, Close)
    assert json.loads(frame.payload)["code"] == 30016


def test_too_long_a_frame_is_refused_whole(exchange: Bitget) -> None:
    """4,096 bytes of arguments."""
    session = opened(exchange)
    (answer,) = asked(session, *(argument(exchange, 0) for _ in range(60)))
    assert answer["event"] == "error"
    assert not session.subscribed()


def test_more_than_240_requests_an_hour_close_the_connection(exchange: Bitget) -> None:
    """Pings are none; an hour later it may ask again."""
    session = opened(exchange)
    for _ in range(240):
        assert asked(session, argument(exchange, 0))[0]["event"] == "subscribe"
        session.on_text("ping", NOW_MS)
    assert isinstance(asked(session, argument(exchange, 0))[0], Close)
    text = json.dumps({"op": "subscribe", "args": [argument(exchange, 0)]})
    (answer,) = session.on_text(text, NOW_MS + HOUR_MS)
    assert not isinstance(answer, Close)


def test_unsubscribing_ends_the_pushes(exchange: Bitget) -> None:
    """With an ack."""
    session = opened(exchange)
    asked(session, argument(exchange, 0))
    assert any(delivered(exchange, session, at_ms) for at_ms in steps(exchange, 1))
    assert asked(session, argument(exchange, 0), op="unsubscribe")[0]["event"] == "unsubscribe"
    assert not any(delivered(exchange, session, at_ms) for at_ms in steps(exchange, 2))


def test_a_contract_that_is_listed_later_can_be_subscribed(exchange: Bitget) -> None:
    """On a connection from before; one that is delisted is pushed no more."""
    session = opened(exchange)
    symbol = exchange.listings.list_next()
    row = next(row for row, c in enumerate(exchange.contracts) if c.symbol == symbol)
    assert asked(session, argument(exchange, row))[0]["event"] == "subscribe"
    assert any(delivered(exchange, session, at_ms) for at_ms in steps(exchange, 2))
    assert symbol is not None
    exchange.listings.delist(symbol)
    assert not any(delivered(exchange, session, at_ms) for at_ms in steps(exchange, 2))


def paths() -> Sequence[str]:
    """Addresses that are none."""
    return ("", "/", "/v1/ws/public", "/v2/ws/private")


@pytest.mark.parametrize("path", paths())
def test_other_addresses_are_none(exchange: Bitget, path: str) -> None:
    """404."""
    assert exchange.session(path, {}) is None


def test_one_process_s_options_make_it() -> None:
    """Two contracts are held back."""
    made = create(SimulatorOptions(seed=3, open_limits=True), 20, NOW_MS)
    assert len(made.listings.rows()) == len(made.contracts) - 2
