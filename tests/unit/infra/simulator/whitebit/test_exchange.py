"""Simulated WhiteBIT: what its connections and calls tell and refuse, as its page says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.simulator.exchange import Close, Frame, RestCall
from infra.simulator.options import SimulatorOptions
from infra.simulator.whitebit.exchange import (
    HISTORY_ORDER,
    WhiteBit,
    WhiteBitOptions,
    create,
)
from infra.simulator.whitebit.session import WhiteBitSession
from infra.simulator.whitebit.universe import DELISTED
from infra.simulator.whitebit.wire import WIRE

HOUR_MS = 3_600_000
NOW_MS = 1_790_000_100_000
LISTED = 40


@pytest.fixture
def exchange() -> WhiteBit:
    """A small exchange at a fixed time."""
    return WhiteBit(7, WhiteBitOptions(contracts=LISTED, held_back=2), NOW_MS)


def opened(exchange: WhiteBit) -> WhiteBitSession:
    """A new connection."""
    session = exchange.session("/ws", {})
    assert session is not None
    return session


def request(method: str, *params: Any, number: int = 3) -> str:
    """A request."""
    return json.dumps({"id": number, "method": method, "params": list(params)})


def answer(session: WhiteBitSession, text: str) -> Any:
    """The one answer to a text."""
    (frame,) = session.on_text(text, NOW_MS)
    assert isinstance(frame, Frame)
    return json.loads(frame.payload)


def pushes(exchange: WhiteBit, session: WhiteBitSession, at_ms: int = NOW_MS) -> list[Frame]:
    """What a tick delivers."""
    return list(exchange.prepare(at_ms).frames(session))


def rest(exchange: WhiteBit, path: str, now_ms: int = NOW_MS, **query: str) -> tuple[int, Any]:
    """Status and body of a call."""
    call = RestCall("GET", f"/api/v4/public/{path}", query, b"", "10.0.0.1", now_ms)
    reply = exchange.rest(call)
    is_json = reply.content_type == "application/json"
    return reply.status, json.loads(reply.body) if is_json else reply.body


def test_one_subscription_brings_all_rows_with_delisted_ones(exchange: WhiteBit) -> None:
    """Positional rows; the next settlement in ms, the time of sending in seconds."""
    session = opened(exchange)
    (ack,) = session.on_text(request("premiumIndex_subscribe"), NOW_MS)
    assert isinstance(ack, Frame)
    assert ack.payload == b'{"error": null, "result": {"status": "success"}, "id": 3}'
    (frame,) = pushes(exchange, session)
    message = json.loads(frame.payload)
    assert message["method"] == "premiumIndex_update"
    assert len(message["params"]) == LISTED + len(DELISTED) == len(frame.rows)
    for market, mark, index, rate, next_ms, sent_s in message["params"]:
        assert market.endswith("_PERP")
        assert float(mark) > 0 < float(index)
        assert abs(float(rate)) <= 0.02
        assert next_ms % (4 * HOUR_MS) == 0 < next_ms - NOW_MS <= 8 * HOUR_MS
        assert NOW_MS <= sent_s * 1_000 < NOW_MS + 1


def test_the_push_of_a_named_market_is_flat(exchange: WhiteBit) -> None:
    """And a new subscription replaces the one before."""
    session = opened(exchange)
    session.on_text(request("premiumIndex_subscribe"), NOW_MS)
    session.on_text(request("premiumIndex_subscribe", "BTC_PERP", "ETH_PERP"), NOW_MS)
    assert [json.loads(frame.payload)["params"][0] for frame in pushes(exchange, session)] == [
        "BTC_PERP",
        "ETH_PERP",
    ]
    session.on_text(request("premiumIndex_unsubscribe"), NOW_MS)
    assert pushes(exchange, session) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (request("premiumIndex_subscribe", "NOSUCH_PERP"), 9),
        (request("premiumIndex_subscribe", "BTC_USDT"), 1),
        (request("premiumIndex_nonsense"), 4),
        ('{"id":3,"method":"ping"}', 1),
        ("[]", 1),
    ],
)
def test_errors_have_codes(exchange: WhiteBit, text: str, code: int) -> None:
    """The result is null then, and nothing is subscribed."""
    session = opened(exchange)
    told = answer(session, text)
    assert (told["error"]["code"], told["result"]) == (code, None)
    assert pushes(exchange, session) == []


def test_text_that_is_no_json_ends_the_connection(exchange: WhiteBit) -> None:
    """Without a word; and so does a minute without a message of the client."""
    session = opened(exchange)
    assert session.on_text("ping", NOW_MS) == (Close(1006, "not JSON"),)
    assert session.rules.silence_s == 60.0
    assert session.rules.ping_every_s == 0.0
    assert answer(session, request("ping", number=9)) == {"error": None, "result": "pong", "id": 9}


def test_values_step_more_slowly_than_they_are_pushed(exchange: WhiteBit) -> None:
    """Prices every 5 s, rates at most once a minute; a row is sent each half second."""
    session = opened(exchange)
    session.on_text(request("premiumIndex_subscribe"), NOW_MS)
    rows = [
        json.loads(pushes(exchange, session, NOW_MS + n * 500)[0].payload)["params"][0]
        for n in range(240)
    ]
    assert len({row[5] for row in rows}) == 240
    assert len({row[2] for row in rows}) == 24
    assert 2 <= len({row[3] for row in rows}) <= 3


def test_the_list_names_the_interval_and_no_delisted_market(exchange: WhiteBit) -> None:
    """Texts, minutes as a number, the same values as the push of that moment."""
    exchange.prepare(NOW_MS).published()
    status, body = rest(exchange, "futures", market="BTC_PERP")
    assert (status, body["success"], len(body["result"])) == (200, True, LISTED)
    btc = body["result"][0]
    assert (btc["ticker_id"], btc["stock_currency"], btc["money_currency"]) == (
        "BTC_PERP",
        "BTC",
        "USDT",
    )
    assert btc["funding_interval_minutes"] in {240, 480}
    assert (btc["funding_cap"], btc["funding_floor"]) == ("0.00375", "-0.00375")
    session = opened(exchange)
    session.on_text(request("premiumIndex_subscribe", "BTC_PERP"), NOW_MS)
    (frame,) = pushes(exchange, session)
    assert json.loads(frame.payload)["params"][:5] == [
        "BTC_PERP",
        btc["mark_price"],
        btc["index_price"],
        btc["funding_rate"],
        int(btc["next_funding_rate_timestamp"]),
    ]


def test_a_reply_of_the_list_may_step_back(exchange: WhiteBit) -> None:
    """One in twenty comes from an older copy."""
    for step in range(2):
        exchange.prepare(NOW_MS + step * 5_000).published()
    shown = [rest(exchange, "futures")[1]["result"][0]["index_price"] for _ in range(21)]
    assert shown[19] != shown[18] == shown[20]


def test_names_are_by_the_coin(exchange: WhiteBit) -> None:
    """A market of PEPE is of one PEPE."""
    prices = {contract.symbol: contract.price_usd for contract in exchange.contracts}
    assert prices["PEPE_PERP"] == pytest.approx(0.0048 / 1_000)
    assert not any(symbol.startswith(("1000", "1M")) for symbol in prices)


@pytest.mark.parametrize("order", ["newest-first", "oldest-first"])
def test_history_is_in_seconds(order: str) -> None:
    """A hundred rows without a limit; the rate was calculated an interval before."""
    options = SimulatorOptions(seed=7, own={HISTORY_ORDER.name: order})
    exchange = create(options, LISTED, NOW_MS)
    start_s = NOW_MS // 1_000 - 10 * 86_400
    status, rows = rest(exchange, "funding-history/ETH_PERP", startDate=str(start_s))
    assert status == 200
    times = [int(row["fundingTime"]) for row in rows]
    assert times == sorted(times, reverse=order == "newest-first")
    assert all(at % (4 * 3_600) == 0 for at in times)
    hours = {int(row["fundingTime"]) - int(row["rateCalculatedTime"]) for row in rows}
    assert hours <= {4 * 3_600, 8 * 3_600}
    assert min(times) >= start_s
    page = rest(exchange, "funding-history/ETH_PERP", limit="2", offset="1")[1]
    whole = rest(exchange, "funding-history/ETH_PERP")[1]
    assert page == whole[1:3]
    assert len(whole) == 100


@pytest.mark.parametrize("market", ["NOSUCH_PERP", "BTC_USDT", f"{DELISTED[0]}_PERP"])
def test_the_history_of_an_unknown_market_is_refused(exchange: WhiteBit, market: str) -> None:
    """422, as is a limit that is no number."""
    told = 422, {"market": ["Market is not available."]}
    assert rest(exchange, f"funding-history/{market}") == told
    told = 422, {"limit": ["The limit must be an integer."]}
    assert rest(exchange, "funding-history/BTC_PERP", limit="abc") == told


def test_too_many_calls_answer_with_a_page() -> None:
    """429 without JSON; a new budget begins every ten seconds."""
    exchange = WhiteBit(7, WhiteBitOptions(contracts=LISTED, requests_per_10_s=2), NOW_MS)
    statuses = [rest(exchange, "time")[0] for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert isinstance(rest(exchange, "time")[1], bytes)
    assert rest(exchange, "time", NOW_MS + 10_000)[0] == 200
    assert rest(exchange, "nope")[0] == 404


def test_faults_find_what_stands_at_a_place(exchange: WhiteBit) -> None:
    """Clock, units, percent and impossible values of a row without names."""
    session = opened(exchange)
    session.on_text(request("premiumIndex_subscribe"), NOW_MS)
    (frame,) = pushes(exchange, session)

    def row(text: bytes, symbol: str = "ETH_PERP") -> list[Any]:
        return next(r for r in json.loads(text)["params"] if r[0] == symbol)

    before = row(frame.payload)
    assert row(WIRE.shifted(frame.payload, -2_500_000))[5] == pytest.approx(before[5] - 2.5)
    assert row(WIRE.in_unit(frame.payload, "s"))[4:] == [before[4] // 1_000, before[5]]
    assert row(WIRE.in_unit(frame.payload, "us"))[4] == before[4] * 1_000
    assert float(row(WIRE.in_percent(frame.payload))[3]) == pytest.approx(float(before[3]) * 100)
    spoiled = WIRE.with_bad_field(frame.payload, "mark-price", "ETH_PERP")
    assert row(spoiled)[1] == "?"
    assert row(spoiled, "BTC_PERP") == row(frame.payload, "BTC_PERP")
    head, pieces, tail = WIRE.rows(frame.payload)
    assert [WIRE.symbol_of(piece) for piece in pieces][:2] == ["BTC_PERP", "ETH_PERP"]
    assert head + b",".join(pieces) + tail == frame.payload


def test_an_impossible_value_stands_in_one_entry_of_the_list(exchange: WhiteBit) -> None:
    """By its name."""
    call = RestCall("GET", "/api/v4/public/futures", {}, b"", "", NOW_MS)
    body = WIRE.with_bad_field(exchange.rest(call).body, "funding-time", "ETH_PERP")
    entries = {entry["ticker_id"]: entry for entry in json.loads(body)["result"]}
    assert entries["ETH_PERP"]["next_funding_rate_timestamp"] == "17"
    assert entries["BTC_PERP"]["next_funding_rate_timestamp"] != "17"


def test_delisted_markets_are_no_truth(exchange: WhiteBit) -> None:
    """What no list names need not be stored."""
    session = opened(exchange)
    session.on_text(request("premiumIndex_subscribe"), NOW_MS)
    tick = exchange.prepare(NOW_MS)
    (frame,) = tick.frames(session)
    assert frame.ledger is not None
    lines = frame.ledger.claim(frame.rows, 0)
    assert len(lines) == LISTED == len(tick.rows())
    assert json.loads(lines[0])["event_time"] == round(
        json.loads(frame.payload)["params"][0][5] * 1_000_000
    )
