"""Simulated KuCoin without sockets: both protocols, settlements, REST, limits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.simulator import kucoin_universe
from infra.simulator.feed import Close, Frame, RestCall, RestReply
from infra.simulator.kucoin import Kucoin, KucoinOptions
from infra.simulator.kucoin_classic import ClassicSession
from infra.simulator.kucoin_estimates import decimal_text, number_text
from infra.simulator.kucoin_uta import UtaSession
from infra.simulator.universe import UNITS_PER_ONE

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
FUNDING_MS = 1_790_118_000_000  # 23:00 UTC: the hourly contract and TRUSTUSDTM settle
NOW_MS = FUNDING_MS - 30 * 60_000
PUSH_MS = NOW_MS + 61_000  # a tick that carries estimates
HOURLY = "1000PEPEUSDTM"
ALL = '{"id":"1","action":"SUBSCRIBE","channel":"funding-fee-all-symbols"}'


@pytest.fixture
def exchange() -> Kucoin:
    """A small exchange at a fixed time."""
    return Kucoin(7, KucoinOptions(contracts=16, held_back=2), NOW_MS)


def uta(exchange: Kucoin, *requests: str) -> UtaSession:
    """A UTA session after these requests, all of which are acked."""
    session = exchange.session("/", {})
    assert isinstance(session, UtaSession)
    for request in requests:
        assert ask(session, request)["result"] is True
    return session


def classic(exchange: Kucoin, *topics: str) -> ClassicSession:
    """A classic session with these topics."""
    token = data(post(exchange, "/api/v1/bullet-public"))["token"]
    session = exchange.session("/classic/", {"token": token, "connectId": "c7"})
    assert isinstance(session, ClassicSession)
    for topic in topics:
        request = {"id": 9, "type": "subscribe", "topic": topic, "response": True}
        assert ask(session, json.dumps(request)) == {"id": 9, "type": "ack"}
    return session


def ask(session: UtaSession | ClassicSession, text: str, now_ms: int = NOW_MS) -> Any:
    """The one reply to a client frame."""
    (answer,) = session.on_text(text, now_ms)
    assert isinstance(answer, Frame)
    return json.loads(answer.payload)


def frames(exchange: Kucoin, session: UtaSession | ClassicSession, at_ms: int) -> list[Frame]:
    """What a tick brings."""
    return list(exchange.prepare(at_ms).frames(session))


def decoded(found: Sequence[Frame]) -> list[Any]:
    """The documents of frames."""
    return [json.loads(frame.payload) for frame in found]


def get(exchange: Kucoin, path: str, now_ms: int = NOW_MS, **query: Any) -> RestReply:
    """The reply to a GET; a final underscore of a name is left out."""
    texts = {key.rstrip("_"): str(value) for key, value in query.items()}
    return exchange.rest(RestCall("GET", path, texts, b"", "127.0.0.1", now_ms))


def post(exchange: Kucoin, path: str, base_url: str = "http://127.0.0.1:9443/kucoin") -> RestReply:
    """The reply to a POST."""
    return exchange.rest(RestCall("POST", path, {}, b"", "127.0.0.1", NOW_MS, base_url))


def data(reply: RestReply) -> Any:
    """What a successful reply holds."""
    document = json.loads(reply.body)
    assert (reply.status, document["code"]) == (200, "200000")
    return document["data"]


def active(exchange: Kucoin, now_ms: int = NOW_MS) -> dict[str, Any]:
    """contracts/active by symbol."""
    return {r["symbol"]: r for r in data(get(exchange, "/api/v1/contracts/active", now_ms))}


def test_the_universe_has_the_exchanges_oddities(exchange: Kucoin) -> None:
    """XBT, three margin kinds, a dated contract, multipliers, pre-market, intervals, counts."""
    rows = active(exchange)
    assert len(rows) == 18
    assert (rows["XBTUSDTM"]["baseCurrency"], rows["XBTUSDTM"]["multiplier"]) == ("XBT", 0.001)
    inverse = rows["XBTUSDM"]
    assert (inverse["isInverse"], inverse["multiplier"], inverse["settleCurrency"]) == (
        True, -1, "XBT",
    )  # fmt: skip
    assert rows["XBTUSDCM"]["quoteCurrency"] == "USDC"
    assert rows["ANTHROPICUSDTM"]["marketStage"] == "PRE_MARKET"
    assert rows["XBTUSDTM"]["marketStage"] == "NORMAL"
    dated = rows["XBTMZ26"]
    assert dated["type"] == "FFICSX"
    assert not [key for key in dated if "funding" in key.lower()]
    full = [c for c in kucoin_universe.contracts(682, NOW_MS) if c.kind != "dated"]
    assert len({c.symbol for c in full}) == 682
    assert [sum(c.quote == q for c in full) for q in ("USDT", "USDC", "USD")] == [673, 5, 4]
    assert [sum(c.interval_hours == h for c in full) for h in (8, 4, 1)] == pytest.approx(
        [251, 429, 2], abs=5
    )
    assert all(c.symbol.isascii() for c in full)


@pytest.mark.parametrize("symbol", ["ANTHROPICUSDTM", "OPENAIUSDTM"])
def test_pre_market_contracts_have_a_fixed_rate(exchange: Kucoin, symbol: str) -> None:
    """The same estimate at all times, which is also what settles; one is really 0."""
    shown = {active(exchange, NOW_MS + n * HOUR_MS)[symbol]["fundingFeeRate"] for n in range(9)}
    settled = {float(s.rate) for s in exchange.settled_at_start() if s.symbol == symbol}
    assert shown == settled == {0.0 if symbol == "OPENAIUSDTM" else 0.00005}


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
            '{"id":"p20","action":"SUBSCRIBE","channel":"trade","symbol":"X"}',
            {
                "id": "p20",
                "result": False,
                "reason": "topic trade not allowed in current environment",
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
    assert settled.keys() == {HOURLY, "TRUSTUSDTM"}
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


def test_rest_lags_after_a_settlement(exchange: Kucoin) -> None:
    """First the old estimate with the next time, then the settled rate, then a new estimate."""
    for funding_ms in range(FUNDING_MS, FUNDING_MS + DAY_MS, HOUR_MS):
        before = active(exchange, funding_ms - 1)[HOURLY]
        after = active(exchange, funding_ms + 129_000)[HOURLY]
        settled = {s.symbol: float(s.rate) for s in exchange.settle(funding_ms)}[HOURLY]
        # The charged rate often equals the last estimate, in six decimals: find one that does not.
        if len({settled, before["fundingFeeRate"], after["fundingFeeRate"]}) == 3:
            break
    rows = {s: active(exchange, funding_ms + s * 1_000)[HOURLY] for s in range(130)}
    assert before["nextFundingRateTime"] == 1
    assert {r["nextFundingRateDateTime"] for r in rows.values()} == {funding_ms + HOUR_MS}
    assert {r["lastTimeFundingRate"] for r in rows.values()} == {settled}
    old = [s for s, row in rows.items() if row["fundingFeeRate"] == before["fundingFeeRate"]]
    assert old[:5] == [0, 1, 2, 3, 4]
    charged = [s for s, row in rows.items() if row["fundingFeeRate"] == settled]
    assert 5 <= charged[0] <= 20
    assert 55 <= charged[-1] - charged[0] <= 61
    assert charged == list(range(charged[0], charged[-1] + 1))
    assert rows[129]["fundingFeeRate"] == after["fundingFeeRate"]


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


def test_next_funding_is_a_countdown(exchange: Kucoin) -> None:
    """In ms; the epoch time beside it can be missing."""
    row = active(exchange)["XBTUSDTM"]
    assert row["nextFundingRateTime"] == row["nextFundingRateDateTime"] - NOW_MS < 8 * HOUR_MS
    without = Kucoin(7, KucoinOptions(contracts=2, epoch_times=False), NOW_MS)
    assert "nextFundingRateDateTime" not in active(without)["XBTUSDTM"]
    assert active(without)["XBTUSDTM"]["nextFundingRateTime"] == row["nextFundingRateTime"]


def test_the_rest_resources_agree(exchange: Kucoin) -> None:
    """contracts/active, UTA's list and one contract's current rate: one estimate."""
    rows = active(exchange)
    current = data(get(exchange, "/api/ua/v2/market/funding-rate"))
    assert len(current) == 16
    for row in current:
        shown = rows[row["symbol"]]
        assert (float(row["nextFundingRate"]), row["fundingTime"], row["currentGranularity"]) == (
            shown["fundingFeeRate"],
            shown["nextFundingRateDateTime"],
            shown["fundingRateGranularity"],
        )
        one = data(get(exchange, f"/api/v1/funding-rate/{row['symbol']}/current"))
        assert (one["value"], one["fundingTime"]) == (shown["fundingFeeRate"], row["fundingTime"])
        assert one["symbol"] == shown["fundingRateSymbol"]
    one = data(get(exchange, "/api/ua/v2/market/funding-rate", symbol="ETHUSDTM"))
    assert one == [current[1]]
    assert data(get(exchange, "/api/v1/timestamp")) == NOW_MS
    assert data(get(exchange, "/api/v1/status"))["status"] == "open"
    assert data(get(exchange, "/api/v1/contracts/XBTUSDTM")) == rows["XBTUSDTM"]


def test_history_is_a_window_of_the_newest_first(exchange: Kucoin) -> None:
    """100 records at most, both ends included, stamped at the settlement instant."""
    path = "/api/v1/contract/funding-rates"

    def times(start_ms: int, end_ms: int) -> list[int]:
        rows = data(get(exchange, path, symbol=HOURLY, from_=start_ms, to=end_ms))
        assert {row["symbol"] for row in rows} == {HOURLY}
        return [row["timepoint"] for row in rows]

    newest = FUNDING_MS - HOUR_MS
    assert times(0, NOW_MS) == [newest - n * HOUR_MS for n in range(100)]
    assert times(newest - 5 * HOUR_MS, newest - 3 * HOUR_MS) == [
        newest - n * HOUR_MS for n in (3, 4, 5)
    ]
    seen: list[int] = []
    end_ms = NOW_MS
    while end_ms > NOW_MS - 20 * DAY_MS:
        seen += times(end_ms - 90 * HOUR_MS + 1, end_ms)
        end_ms -= 90 * HOUR_MS
    assert seen == [newest - n * HOUR_MS for n in range(len(seen))]
    settled = {(s.symbol, s.funding_ms): s.rate for s in exchange.settled_at_start()}
    start_ms = NOW_MS - 30 * DAY_MS
    rows = data(get(exchange, path, symbol="XBTUSDTM", from_=start_ms, to=NOW_MS))
    assert len(rows) == 90
    for row in rows:
        assert float(settled["XBTUSDTM", row["timepoint"]]) == row["fundingRate"]
    other = "/api/ua/v1/market/funding-rate-history"
    same = data(get(exchange, other, symbol="XBTUSDTM", startAt=start_ms, endAt=NOW_MS))["list"]
    assert [(r["ts"], r["fundingRate"]) for r in same] == [
        (r["timepoint"], r["fundingRate"]) for r in rows
    ]


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("/api/v1/contract/funding-rates", {"from_": 0, "to": 1}, "200003"),
        ("/api/v1/contract/funding-rates", {"symbol": "XBTUSDTM", "to": 1}, "200003"),
        ("/api/v1/contract/funding-rates", {"symbol": "XBTUSDTM", "from_": "x", "to": 1}, "200003"),
        ("/api/v1/funding-rate/NOPEUSDTM/current", {}, "415000"),
        ("/api/v1/funding-rate/XBTMZ26/current", {}, "415000"),
        ("/api/v1/contracts/NOPEUSDTM", {}, "404000"),
    ],
)
def test_business_errors_are_http_200(
    exchange: Kucoin, path: str, query: dict[str, Any], code: str
) -> None:
    """The code tells; a bad path alone is a 404."""
    reply = get(exchange, path, **query)
    assert (reply.status, json.loads(reply.body)["code"]) == (200, code)
    assert get(exchange, "/api/v1/nope").status == 404


def test_weights_and_their_headers() -> None:
    """A pool for 30 s, a countdown in ms, 429000 without Retry-After; timestamp is free."""
    exchange = Kucoin(7, KucoinOptions(contracts=2, weight_per_30_s=15), NOW_MS)
    path = "/api/v1/contracts/active"
    first = get(exchange, path)
    assert first.headers == {
        "gw-ratelimit-limit": "15", "gw-ratelimit-remaining": "12", "gw-ratelimit-reset": "30000",
    }  # fmt: skip
    post(exchange, "/api/v1/bullet-public")
    refused = get(exchange, path, NOW_MS + 1_000)
    assert (refused.status, json.loads(refused.body)["code"]) == (429, "429000")
    assert refused.headers["gw-ratelimit-remaining"] == "2"
    assert refused.headers["gw-ratelimit-reset"] == "29000"
    assert "Retry-After" not in refused.headers
    assert get(exchange, "/api/v1/timestamp").headers == {}
    again = get(exchange, path, NOW_MS + 30_000)
    assert (again.status, again.headers["gw-ratelimit-remaining"]) == (200, "12")


def test_listing_and_delisting(exchange: Kucoin) -> None:
    """Held back: nowhere. Listed: everywhere. Delisted: silent, Closed, without a rate."""
    symbol = exchange.contracts[-2].symbol
    single = f'{{"id":"2","action":"SUBSCRIBE","channel":"funding-fee","symbol":"{symbol}"}}'
    sessions = uta(exchange, single), classic(exchange, f"/contract/instrument:{symbol}")
    assert [len(frames(exchange, session, PUSH_MS)) for session in sessions] == [0, 0]
    assert symbol not in active(exchange)
    assert exchange.listings.list_next() == symbol
    assert [len(frames(exchange, session, PUSH_MS)) for session in sessions] == [1, 2]
    exchange.prepare(PUSH_MS).published()
    row = active(exchange)[symbol]
    assert row["status"] == "Open"
    exchange.listings.delist(symbol)
    for n in range(2):
        exchange.prepare(PUSH_MS + n * 1_000).published()
    assert [len(frames(exchange, session, PUSH_MS)) for session in sessions] == [0, 0]
    closed = active(exchange)[symbol]
    assert closed["status"] == "Closed"
    assert (closed["fundingFeeRate"], closed["nextFundingRateDateTime"]) == (None, None)
    assert closed["markPrice"] == row["markPrice"]
    uta_rows = data(get(exchange, "/api/ua/v2/market/funding-rate"))
    assert symbol not in {one["symbol"] for one in uta_rows}
    (whole,) = decoded(frames(exchange, uta(exchange, ALL), PUSH_MS))
    assert symbol not in {one["s"] for one in whole["d"]}


@given(st.integers(min_value=-30_000, max_value=30_000))
def test_rates_read_back_from_every_form(steps: int) -> None:
    """Six decimals, as text, as a plain number and in exponent form."""
    units = steps * kucoin_universe.STEP_UNITS
    rate = units / UNITS_PER_ONE
    texts = (
        decimal_text(units),
        number_text(units, exponent=False),
        number_text(units, exponent=True),
    )
    assert {float(text) for text in texts} == {rate}
    assert [json.loads(text) for text in texts] == [rate] * 3
    assert ("E" in texts[2]) is (0 < abs(rate) < 0.001)
    assert texts[0] == "0" or not texts[0].startswith("-0.000000")


@pytest.mark.parametrize(
    ("units", "text"),
    [(6_100, "6.1E-5"), (13_300, "1.33E-4"), (-10_000, "-1.0E-4"), (300_000, "0.003"), (0, "0.0")],
)
def test_exponent_forms(units: int, text: str) -> None:
    """As the exchange writes them: exchanges.md 3.5."""
    assert number_text(units, exponent=True) == text


def test_pushes_can_be_faster() -> None:
    """For tests and demos: any multiple of the tick, with the delay inside."""
    options = KucoinOptions(contracts=4, tick_ms=50, push_ms=180)
    exchange = Kucoin(7, options, NOW_MS)
    assert exchange.estimates.push_ms == 200
    session = uta(exchange, ALL)
    counts = [len(frames(exchange, session, NOW_MS + n * 50)) for n in range(8)]
    assert counts == [0, 0, 0, 1] * 2
