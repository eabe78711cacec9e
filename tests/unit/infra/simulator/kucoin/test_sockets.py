"""Simulated KuCoin without sockets: both protocols, and settlements as they tell them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.simulator.exchange import Close, Frame
from infra.simulator.kucoin.classic import ClassicSession
from infra.simulator.kucoin.exchange import Kucoin, KucoinOptions
from tests.support.simulated_kucoin import (
    ALL,
    DAY_MS,
    FUNDING_MS,
    HOUR_MS,
    HOURLY,
    NOW_MS,
    PUSH_MS,
    active,
    ask,
    classic,
    data,
    decoded,
    frames,
    get,
    post,
    uta,
)


def test_the_uta_socket_greets_in_binary(exchange: Kucoin) -> None:
    """Every frame is binary UTF-8 JSON, the welcome first."""
    session = uta(exchange, ALL)
    (welcome,) = session.opened()
    assert isinstance(welcome, Frame)
    document = json.loads(welcome.payload)
    assert (document["message"], document["pingInterval"]) == ("welcome", 18_000)
    assert document["sessionId"]
    found = [welcome, *session.on_text('{"id":"p","type":"ping"}', NOW_MS)]
    found += frames(exchange, session, PUSH_MS)
    assert len(found) == 3
    assert all(isinstance(frame, Frame) and frame.binary for frame in found)


def test_one_subscription_brings_all_estimates_once_a_minute(exchange: Kucoin) -> None:
    """About 1 s past the minute: rate, times, interval, caps as texts and ms; P in ns."""
    session = uta(exchange, ALL)
    counts = [len(frames(exchange, session, NOW_MS + n * 1_000)) for n in range(60, 122)]
    assert [n for n, count in enumerate(counts) if count] == [1, 61]
    (frame,) = decoded(frames(exchange, session, PUSH_MS))
    assert frame["T"] == "funding-fee-all-symbols"
    assert frame["P"] // 1_000_000 == PUSH_MS
    assert frame["P"] > 2**53
    assert int(float(frame["P"])) != frame["P"]
    rows = {row["s"]: row for row in frame["d"]}
    assert len(rows) == 16
    bitcoin = rows["XBTUSDTM"]
    assert list(bitcoin) == ["s", "fr", "ft", "lfr", "nt", "gl", "fc", "ff"]
    assert (bitcoin["gl"], bitcoin["fc"], bitcoin["ff"]) == (28_800_000, "0.003", "-0.003")
    for row in rows.values():
        assert row["nt"] - row["ft"] == row["gl"]
        assert row["ft"] < PUSH_MS < row["nt"]
    trust = rows["TRUSTUSDTM"]
    assert (trust["gl"], trust["nt"]) == (4 * HOUR_MS, FUNDING_MS)
    assert trust["nt"] % trust["gl"] == 3 * HOUR_MS
    settled = {(s.symbol, s.funding_ms): s.rate for s in exchange.settled_at_start()}
    assert all(settled[row["s"], row["ft"]] == row["lfr"] for row in rows.values())


def test_single_topics(exchange: Kucoin) -> None:
    """`funding-fee` is one of the rows of all; `mark-price` comes each second."""
    subscribe = '{"id":"2","action":"%s","channel":"%s","symbol":"%s"}'
    session = uta(
        exchange,
        subscribe % ("SUBSCRIBE", "funding-fee", "ETHUSDTM"),
        subscribe % ("subscribe", "mark-price", "ETHUSDTM"),
        subscribe % ("SUBSCRIBE", "mark-price", "XBTMZ26"),
        subscribe % ("SUBSCRIBE", "funding-fee", "XBTMZ26"),
        subscribe % ("SUBSCRIBE", "funding-fee", "NOSUCHUSDTM"),
    )
    one, mark, dated = decoded(frames(exchange, session, PUSH_MS))
    (whole,) = decoded(frames(exchange, uta(exchange, ALL), PUSH_MS))
    assert (one["T"], one["d"]) == ("funding-fee", whole["d"][1])
    assert (mark["T"], mark["d"]["s"], mark["d"]["ts"]) == ("mark-price", "ETHUSDTM", PUSH_MS)
    assert mark["d"]["mp"] != mark["d"]["ip"]
    assert dated["d"]["s"] == "XBTMZ26"
    ask(session, subscribe % ("unsubscribe", "mark-price", "ETHUSDTM"))
    assert [f["d"]["s"] for f in decoded(frames(exchange, session, PUSH_MS + 1_000))] == ["XBTMZ26"]


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ('{"id":"p18"}', {"id": "p18", "result": False, "message": "invalid request data"}),
        (
            '{"id":"a","action":"SUBSCRIBE","channel":"mark-price"}',
            {"id": "a", "result": False, "message": "invalid request data"},
        ),
        (
            '{"id":"p19","action":"SUBSCRIBE","channel":"trade","symbol":"X"}',
            {"id": "p19", "result": False, "message": "invalid request data"},
        ),
        (
            '{"id":"p20","action":"SUBSCRIBE","channel":"mark-price","symbol":"X","tradeType":"SPOT"}',
            {
                "id": "p20",
                "result": False,
                "reason": "topic mark-price not allowed in current environment",
            },
        ),
        ('{"id":"x","op":"ping"}', {"id": "x", "result": False, "message": "invalid request data"}),
    ],
)
def test_uta_refusals(exchange: Kucoin, text: str, reply: object) -> None:
    """The forms that were seen; nothing is subscribed."""
    session = uta(exchange)
    assert ask(session, text) == reply
    assert session.subscribed() == []
    assert session.on_text("not JSON", NOW_MS) == ()
    assert session.on_text("[" * 100_000, NOW_MS) == ()


def test_uta_topics_are_bounded(exchange: Kucoin) -> None:
    """600 topics on a connection, the next is refused."""
    session = uta(exchange)
    answers = [
        ask(session, f'{{"id":"{n}","action":"SUBSCRIBE","channel":"mark-price","symbol":"S{n}"}}')
        for n in range(601)
    ]
    assert [answer["result"] for answer in answers] == [True] * 600 + [False]


def test_uta_pings(exchange: Kucoin) -> None:
    """Answered in ns; a second one within a second drops the connection."""
    session = uta(exchange)
    ping = '{"id":"p32","type":"ping"}'
    assert ask(session, ping) == {"type": "pong", "id": "p32", "ts": NOW_MS * 1_000_000}
    assert ask(session, ping, NOW_MS + 1_000)["id"] == "p32"
    (end,) = session.on_text(ping, NOW_MS + 1_999)
    assert isinstance(end, Close)
    assert end.code == 1006


def test_only_an_unused_uta_connection_times_out(exchange: Kucoin) -> None:
    """60.3 s without a subscription and a client frame; with one it stays."""
    session = uta(exchange)
    assert (session.rules.silence_s, session.rules.messages_per_10_s) == (60.3, 300)
    ask(session, ALL)
    assert (session.rules.silence_s, session.rules.messages_per_10_s) == (0, 300)
    ask(session, ALL.replace("SUBSCRIBE", "UNSUBSCRIBE"))
    assert session.rules.silence_s == 60.3


def test_a_token_opens_one_connection(exchange: Kucoin) -> None:
    """Used, unknown or missing ones are refused, and the connection closed."""
    bullet = data(post(exchange, "/api/v1/bullet-public"))
    (server,) = bullet["instanceServers"]
    assert server["endpoint"] == "ws://127.0.0.1:9443/kucoin/classic/"
    assert (server["encrypt"], server["pingInterval"]) == (False, 18_000)
    secure = data(post(exchange, "/api/v1/bullet-public", "https://sim/kucoin"))
    assert secure["instanceServers"][0]["endpoint"] == "wss://sim/kucoin/classic/"
    assert get(exchange, "/api/v1/bullet-public").status == 404
    good = exchange.session("/classic/", {"token": bullet["token"], "connectId": "c7"})
    assert isinstance(good, ClassicSession)
    (welcome,) = good.opened()
    assert isinstance(welcome, Frame)
    assert json.loads(welcome.payload) == {"id": "c7", "type": "welcome"}
    exchange.prepare(NOW_MS + DAY_MS)
    for path, query in (
        ("/classic/", {"token": bullet["token"]}),
        ("/", {"token": bullet["token"]}),
        ("/classic/", {"token": "nonsense"}),
        ("/classic/", {}),
        ("/classic", {"token": secure["token"]}),
    ):
        bad = exchange.session(path, query)
        assert isinstance(bad, ClassicSession)
        error, end = bad.opened()
        assert isinstance(error, Frame)
        expected = {"type": "error", "code": 401, "data": "token is expired"}
        assert json.loads(error.payload) == expected
        assert isinstance(end, Close)
    assert exchange.session("/nowhere", {}) is None


def test_instrument_topics_bring_numbers(exchange: Kucoin) -> None:
    """Two subjects; symbol in the topic alone; small rates in both forms of a number."""
    topics = "/contract/instrument:XBTUSDTM,ETHUSDTM,NOSUCH,XBTMZ26"
    found = frames(exchange, classic(exchange, topics), PUSH_MS)
    assert not any(frame.binary for frame in found)
    documents = decoded(found)
    assert [(d["topic"].split(":")[1], d["subject"]) for d in documents] == [
        ("XBTUSDTM", "mark.index.price"),
        ("XBTUSDTM", "funding.rate"),
        ("ETHUSDTM", "mark.index.price"),
        ("ETHUSDTM", "funding.rate"),
        ("XBTMZ26", "mark.index.price"),
    ]
    estimate = documents[1]["data"]
    assert list(estimate) == ["period", "granularity", "fundingRate", "timestamp"]
    assert (estimate["granularity"], estimate["timestamp"]) == (60_000, PUSH_MS - 1_000)
    assert (documents[0]["data"]["granularity"], documents[0]["data"]["timestamp"]) == (
        1_000, PUSH_MS,
    )  # fmt: skip
    assert b'"fundingRate":0.0002' in found[1].payload
    assert b"E-4" in found[3].payload
    (whole,) = decoded(frames(exchange, uta(exchange, ALL), PUSH_MS))
    for number, document in enumerate((documents[1], documents[3])):
        assert document["data"]["fundingRate"] == float(whole["d"][number]["fr"])
    quiet = frames(exchange, classic(exchange, topics), PUSH_MS + 1_000)
    assert {document["subject"] for document in decoded(quiet)} == {"mark.index.price"}


def test_classic_requests(exchange: Kucoin) -> None:
    """Acks by request, errors, at most 100 topics a frame, pongs in µs, no demand to be slow."""
    session = classic(exchange)
    many = ",".join(f"S{n}" for n in range(101))
    subscribe = {"id": "p28", "type": "subscribe", "topic": f"/contract/instrument:{many}"}
    assert ask(session, json.dumps(subscribe))["code"] == 400
    assert session.subscribed() == []
    subscribe["topic"] = "/nope:X"
    assert ask(session, json.dumps(subscribe)) == {
        "id": "p28", "type": "error", "code": 404, "data": "topic does not exist",
    }  # fmt: skip
    assert ask(session, "not JSON")["code"] == 400
    subscribe["topic"] = "/contract/instrument:A,B"
    assert session.on_text(json.dumps(subscribe), NOW_MS) == ()
    assert session.subscribed() == ["/contract/instrument:A", "/contract/instrument:B"]
    leave = {**subscribe, "type": "unsubscribe", "topic": "/contract/instrument:A"}
    assert ask(session, json.dumps({**leave, "response": True})) == {"id": "p28", "type": "ack"}
    assert session.subscribed() == ["/contract/instrument:B"]
    for _ in range(2):
        pong = {"id": "p16", "type": "pong", "timestamp": NOW_MS * 1_000}
        assert ask(session, '{"id":"p16","type":"ping"}') == pong
    assert (session.rules.silence_s, session.rules.ping_every_s) == (60.0, 0)
    assert (session.rules.messages_per_10_s, session.rules.max_age_s) == (100, 86_400.0)


def test_a_settlement_on_the_classic_socket(exchange: Kucoin) -> None:
    """Announced at its time and 10 s later; the settled rate has the interval as granularity."""
    session = classic(exchange, "/contract/announcement", f"/contract/instrument:{HOURLY}")
    found: dict[tuple[str, str], Any] = {}
    for second in range(-3, 15):
        for document in decoded(frames(exchange, session, FUNDING_MS + second * 1_000)):
            kind, what = document["subject"], document["data"]
            if kind.startswith("funding.") and what.get("granularity") != 60_000:
                key = kind, what.get("symbol", "")
                assert key not in found
                found[key] = what
    settled = {s.symbol: float(s.rate) for s in exchange.settle(FUNDING_MS)}
    assert settled.keys() == {HOURLY, "TRUSTUSDTM", "SOLUSDTM"}
    for symbol, rate in settled.items():
        for subject, timestamp in (("begin", FUNDING_MS), ("end", FUNDING_MS + 10_000)):
            assert found.pop((f"funding.{subject}", symbol)) == {
                "symbol": symbol,
                "fundingTime": FUNDING_MS,
                "fundingRate": rate,
                "timestamp": timestamp,
            }
    assert found == {
        ("funding.rate", ""): {
            "granularity": HOUR_MS,
            "fundingRate": settled[HOURLY],
            "timestamp": FUNDING_MS,
        }
    }


def test_announcements_of_one_contract(exchange: Kucoin) -> None:
    """The newer topic names a contract: acked, and told under that topic."""
    session = classic(exchange)
    topic = f"/contract/announcement:{HOURLY}"
    subscribe = {"id": "7", "type": "subscribe", "topic": topic, "response": True}
    assert ask(session, json.dumps(subscribe)) == {"id": "7", "type": "ack"}
    assert session.subscribed() == [topic]
    told = [
        (document["topic"], document["subject"], document["data"]["symbol"])
        for second in range(15)
        for document in decoded(frames(exchange, session, FUNDING_MS + second * 1_000))
    ]
    assert told == [(topic, "funding.begin", HOURLY), (topic, "funding.end", HOURLY)]


def test_the_sockets_lag_as_rest_does(exchange: Kucoin) -> None:
    """The push just after a settlement is the old estimate, labelled with the new time."""
    session = uta(exchange, ALL)
    for second in (1, 61, 121):
        at_ms = FUNDING_MS + second * 1_000
        (frame,) = decoded(frames(exchange, session, at_ms))
        (row,) = (row for row in frame["d"] if row["s"] == HOURLY)
        shown = active(exchange, at_ms)[HOURLY]
        assert (float(row["fr"]), row["nt"]) == (
            shown["fundingFeeRate"], shown["nextFundingRateDateTime"],
        )  # fmt: skip


def test_the_truth_has_each_sockets_own_event_time(exchange: Kucoin) -> None:
    """P // 1000 and the minute: the same estimate is two updates; each is claimed once."""
    tick = exchange.prepare(PUSH_MS)
    single = '{"id":"2","action":"SUBSCRIBE","channel":"funding-fee","symbol":"ETHUSDTM"}'
    fine = [f for f in tick.frames(uta(exchange, ALL, single)) if f.ledger]
    coarse = [
        f for f in tick.frames(classic(exchange, "/contract/instrument:ETHUSDTM")) if f.ledger
    ]
    push_ns = json.loads(fine[0].payload)["P"]
    lines = [[*f.ledger.claim(f.rows, 5)] for f in (*fine, *coarse) if f.ledger]
    assert list(map(len, lines)) == [16, 0, 1]
    ether, minute = json.loads(lines[0][1]), json.loads(lines[2][0])
    assert ether["contract_id"] == minute["contract_id"] == "kucoin:ETHUSDTM"
    assert (ether["event_time"], ether["sent_at"]) == (push_ns // 1_000, 5)
    assert minute["event_time"] == (PUSH_MS - 1_000) * 1_000
    assert ether["rate"] == minute["rate"]
    assert '"rate":' + json.loads(fine[0].payload)["d"][1]["fr"] in lines[0][1]
    assert tick.event_ms * 1_000_000 >= push_ns


def test_pushes_can_be_faster() -> None:
    """For tests and demos: any multiple of the tick, with the delay inside."""
    options = KucoinOptions(contracts=4, tick_ms=50, push_ms=180)
    exchange = Kucoin(7, options, NOW_MS)
    assert exchange.estimates.push_ms == 200
    session = uta(exchange, ALL)
    counts = [len(frames(exchange, session, NOW_MS + n * 50)) for n in range(8)]
    assert counts == [0, 0, 0, 1] * 2
