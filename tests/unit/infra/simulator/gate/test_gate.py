"""Simulated Gate without sockets: requests, pushes, REST and limits (docs/exchanges/gate.md)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.simulator.exchange import Frame, RestCall, RestReply
from infra.simulator.gate.exchange import Gate, GateOptions
from infra.simulator.gate.session import GateSession

HOUR_MS = 3_600_000
NOW_MS = 1_790_000_000_000 // (8 * HOUR_MS) * 8 * HOUR_MS + 2 * HOUR_MS
TICK_MS = NOW_MS + 1_000
DAY_S = 86_400


@pytest.fixture(scope="module")
def exchange() -> Gate:
    """An exchange with contracts of each family."""
    return Gate(7, GateOptions(contracts=120, held_back=2), NOW_MS)


@pytest.fixture(scope="module")
def steady() -> Gate:
    """A small one that pushes each contract at every tick."""
    return Gate(7, GateOptions(contracts=10, quiet=False), NOW_MS)


def opened(exchange: Gate, settle: str = "usdt") -> GateSession:
    """A session of a family."""
    session = exchange.session(f"/v4/ws/{settle}", {})
    assert session is not None
    return session


def ask(session: GateSession, **request: Any) -> Any:
    """The answer to a request."""
    (reply,) = session.on_text(json.dumps({"time": 123_456, **request}), NOW_MS)
    assert isinstance(reply, Frame)
    return json.loads(reply.payload)


def subscribe(session: GateSession, *names: str, event: str = "subscribe") -> Any:
    """The answer to a subscription."""
    return ask(session, channel="futures.tickers", event=event, payload=list(names))


def pushed(exchange: Gate, session: GateSession, at_ms: int = TICK_MS) -> list[Any]:
    """The rows that a tick brings to a session."""
    found = [json.loads(frame.payload) for frame in exchange.prepare(at_ms).frames(session)]
    assert all(len(message["result"]) == 1 for message in found)
    return [message["result"][0] for message in found]


def get(exchange: Gate, path: str, now_ms: int = NOW_MS, **query: Any) -> RestReply:
    """The reply to a REST call."""
    texts = {key.rstrip("_"): str(value) for key, value in query.items()}
    path = f"/api/v4/futures/{path}"
    return exchange.rest(RestCall("GET", path, texts, b"", "127.0.0.1", now_ms))


def rows(exchange: Gate, path: str, **query: Any) -> Any:
    """The document that a REST call returns."""
    reply = get(exchange, path, **query)
    assert reply.status == 200, reply.body
    return json.loads(reply.body)


def test_one_answer_for_the_whole_payload(exchange: Gate) -> None:
    """It repeats the request; an unknown contract fails all of it (§2)."""
    session = opened(exchange)
    found = subscribe(session, "BTC_USDT", "ETH_USDT")
    assert (found["event"], found["payload"]) == ("subscribe", ["BTC_USDT", "ETH_USDT"])
    assert found["result"] == {"status": "success"}
    refused = subscribe(session, "SOL_USDT", "NOPE_USDT")
    assert refused["error"] == {"code": 2, "message": "unknown currency pair: NOPE_USDT"}
    assert refused["result"] == {"status": "fail"}
    assert session.subscribed() == ["BTC_USDT", "ETH_USDT"]
    subscribe(session, "BTC_USDT", event="unsubscribe")
    assert session.subscribed() == ["ETH_USDT"]


@pytest.mark.parametrize("text", ["nonsense", "[1]", '{"channel":"futures.ping"}', "[" * 100_000])
def test_what_cannot_be_read_is_refused_with_code_1(exchange: Gate, text: str) -> None:
    """A time is demanded of each request (§2)."""
    (reply,) = opened(exchange).on_text(text, NOW_MS)
    assert isinstance(reply, Frame)
    assert json.loads(reply.payload)["error"]["code"] == 1


def test_pings_are_answered_and_idle_sockets_cut(exchange: Gate) -> None:
    """After 30 s without a subscription (§4)."""
    session = opened(exchange)
    pong = ask(session, channel="futures.ping")
    assert (pong["channel"], pong["event"], pong["result"]) == ("futures.pong", "", None)
    assert session.rules.silence_s == 30.0
    subscribe(session, "BTC_USDT")
    assert session.rules.silence_s == 0.0


def test_a_contract_of_another_family_is_acknowledged_and_silent(exchange: Gate) -> None:
    """§1."""
    listed = [contract.symbol for contract in exchange.contracts]
    usd1 = next(name for name in listed if name.endswith("_USD1"))
    assert "BTC_USD" in listed
    wrong, right = opened(exchange), opened(exchange, "usd1")
    for session in (wrong, right):
        assert subscribe(session, usd1, "BTC_USD")["result"]["status"] == "success"
    seconds = range(TICK_MS, TICK_MS + 400_000, 1_000)
    assert not any(pushed(exchange, wrong, at_ms) for at_ms in seconds)
    assert {row["contract"] for at in seconds for row in pushed(exchange, right, at)} == {usd1}
    assert exchange.session("/v4/ws/eur", {}) is None


def test_a_row_has_seconds_and_milliseconds(steady: Gate) -> None:
    """§6."""
    session = opened(steady)
    subscribe(session, "ETH_USDT")
    (frame,) = steady.prepare(TICK_MS).frames(session)
    message = json.loads(frame.payload)
    (row,) = message["result"]
    assert message["time_ms"] == TICK_MS
    assert TICK_MS - 200 < row["t"] <= TICK_MS
    assert row["funding_interval"] in {3_600, 14_400, 28_800}
    assert 0 < row["funding_next_apply"] * 1_000 - TICK_MS <= row["funding_interval"] * 1_000
    assert row["funding_rate_indicative"] == row["funding_rate"]
    assert frame.ledger is not None
    (line,) = frame.ledger.claim(frame.rows, 1)
    assert json.loads(line)["event_time"] == row["t"] * 1_000


def test_quiet_contracts_are_pushed_rarely_and_busy_ones_nearly_each_second(
    exchange: Gate,
) -> None:
    """Of 60 s: at least 44 of a busy one, 4 or fewer of many (§5)."""
    session = opened(exchange)
    names = [c.symbol for c in exchange.contracts if c.kind != "dated"][:120]
    subscribe(session, *names)
    counts = dict.fromkeys(names, 0)
    for second in range(60):
        for row in pushed(exchange, session, TICK_MS + 60_000 + second * 1_000):
            counts[row["contract"]] += 1
    assert counts["BTC_USDT"] >= 44
    assert sum(count <= 4 for count in counts.values()) > 40


def test_between_two_pushes_rest_shows_what_the_last_one_did() -> None:
    """And the other way round: what is pushed is on show (§5)."""
    exchange = Gate(7, GateOptions(contracts=40), NOW_MS)
    before = {row["name"]: row for row in rows(exchange, "usdt/contracts")}
    tick = exchange.prepare(TICK_MS)
    tick.published()
    moved = {exchange.contracts[row].symbol for row in tick.rows()}
    after = {row["name"]: row for row in rows(exchange, "usdt/contracts")}
    assert 0 < len(moved) < 40
    changed = {name for name in after if after[name]["mark_price"] != before[name]["mark_price"]}
    assert changed == moved


def test_for_a_minute_after_a_settlement_the_settled_rate_is_shown() -> None:
    """With the next time already moved on; every contract that settled is pushed (§7)."""
    settles_ms = NOW_MS // (8 * HOUR_MS) * 8 * HOUR_MS + 8 * HOUR_MS
    exchange = Gate(7, GateOptions(contracts=30), settles_ms - 5_000)
    session = opened(exchange)
    subscribe(session, *(c.symbol for c in exchange.contracts if c.quote == "USDT"))
    found = {row["contract"]: row for row in pushed(exchange, session, settles_ms + 1_000)}
    settled = {one.symbol: one for one in exchange.settle(settles_ms + 1_000)}
    assert settled.keys() <= found.keys()
    assert {row["funding_next_apply"] * 1_000 > settles_ms for row in found.values()} == {True}
    assert all(found[name]["funding_rate"] == one.rate for name, one in settled.items())
    exchange.prepare(settles_ms + 1_000).published()
    later = {row["contract"]: row for row in pushed(exchange, session, settles_ms + 60_000)}
    assert settled.keys() <= later.keys()
    assert any(later[name]["funding_rate"] != one.rate for name, one in settled.items())


def test_the_list_is_whole_without_a_limit(exchange: Gate) -> None:
    """And a limit is 100 at most (§9a)."""
    listed = rows(exchange, "usdt/contracts")
    assert len(listed) > 120
    assert sum(row["is_pre_market"] for row in listed) == 11
    assert len(rows(exchange, "usdt/contracts", limit=100)) == 100
    reply = get(exchange, "usdt/contracts", limit=1_000)
    assert reply.status == 400
    assert json.loads(reply.body) == {
        "label": "INVALID_PARAM_VALUE",
        "message": "limit must in (0, 100]",
    }
    (inverse,) = rows(exchange, "btc/contracts")
    assert (inverse["name"], inverse["type"], inverse["quanto_multiplier"]) == (
        "BTC_USD",
        "inverse",
        "0",
    )
    assert rows(exchange, "btc/contracts/BTC_USD") == inverse
    assert get(exchange, "usdt/contracts/BTC_USD").status == 400


def test_prices_are_of_one_coin(exchange: Gate) -> None:
    """Where others list 1000PEPE (§8)."""
    prices = {row["name"]: float(row["mark_price"]) for row in rows(exchange, "usdt/contracts")}
    assert prices["PEPE_USDT"] == pytest.approx(0.0048 / 1_000, rel=0.2)


def test_settled_rates_are_those_of_30_days_from_the_start(exchange: Gate) -> None:
    """Newest first, up to 3 s late, whatever the limit (§9b)."""
    from_s = NOW_MS // 1_000 - 38 * DAY_S
    found = rows(exchange, "usdt/funding_rate", contract="BTC_USDT", from_=from_s, limit=5)
    stamps = [row["t"] for row in found]
    assert stamps == sorted(stamps, reverse=True)
    assert len(stamps) >= 90
    assert from_s <= stamps[-1] < stamps[0] <= from_s + 30 * DAY_S
    assert {stamp % 3_600 for stamp in stamps} <= {0, 1, 2, 3}
    assert len({stamp % 3_600 for stamp in stamps}) > 1
    newest = rows(exchange, "usdt/funding_rate", contract="BTC_USDT", limit=1_000)
    assert len(newest) == 90
    assert newest[0]["t"] > stamps[0]
    between = rows(
        exchange, "usdt/funding_rate", contract="BTC_USDT", from_=stamps[3], to=stamps[1]
    )
    assert [row["t"] for row in between] == stamps[1:4]


def test_180_days_are_kept(exchange: Gate) -> None:
    """§9b."""
    old_s = NOW_MS // 1_000 - 181 * DAY_S
    reply = get(exchange, "usdt/funding_rate", contract="BTC_USDT", from_=old_s)
    assert (reply.status, json.loads(reply.body)["message"]) == (
        400,
        "from time exceeds 180-day limit",
    )


def test_turnover_and_what_is_held(exchange: Gate) -> None:
    """In contracts, coins and quote currency, by the size of a contract (§9c)."""
    contract = rows(exchange, "usdt/contracts/ETH_USDT")
    (ticker,) = rows(exchange, "usdt/tickers", contract="ETH_USDT")
    assert str(contract["position_size"]) == ticker["total_size"]
    size = float(contract["quanto_multiplier"]) * float(contract["mark_price"])
    assert float(ticker["volume_24h"]) * size == pytest.approx(
        float(ticker["volume_24h_quote"]), rel=0.01
    )
    assert "funding_next_apply" not in ticker


def test_each_endpoint_has_a_limit_of_its_own() -> None:
    """200 in 10 s, with headers (§9)."""
    exchange = Gate(7, GateOptions(contracts=3), NOW_MS)
    replies = [get(exchange, "usdt/tickers") for _ in range(201)]
    assert [reply.status for reply in replies[-2:]] == [200, 429]
    assert json.loads(replies[-1].body)["label"] == "TOO_MANY_REQUESTS"
    assert replies[0].headers["X-Gate-RateLimit-Requests-Remain"] == "199"
    assert int(replies[-1].headers["X-Gate-RateLimit-Reset-Timestamp"]) * 1_000 > NOW_MS
    assert get(exchange, "usdt/contracts").status == 200
    assert get(exchange, "usdt/tickers", now_ms=NOW_MS + 10_000).status == 200


def test_an_upgrade_is_announced_once_on_each_connection() -> None:
    """At its age; a minute later it is closed (§3)."""
    exchange = Gate(7, GateOptions(contracts=10, upgrade_ms=3_000), NOW_MS)
    session = opened(exchange)
    assert session.rules.max_age_s == 63.0
    told = [
        json.loads(frame.payload)
        for step in range(1, 9)
        for frame in exchange.prepare(NOW_MS + step * 1_000).frames(session)
    ]
    (only,) = told
    assert (only["channel"], only["event"]) == ("futures.system", "update")
    assert only["result"]["type"] == "upgrade"
    assert only["time_ms"] == NOW_MS + 4_000
    assert opened(Gate(7, GateOptions(contracts=10), NOW_MS)).rules.max_age_s == 0.0
