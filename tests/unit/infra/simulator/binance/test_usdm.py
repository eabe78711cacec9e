"""Simulated Binance USD-M without sockets: control messages, streams, REST, limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.simulator.binance.limits import RateLimits
from infra.simulator.binance.streams import BinanceSession
from infra.simulator.binance.usdm import BinanceOptions, BinanceUsdm
from infra.simulator.exchange import Close, Frame, RestCall, RestReply
from infra.simulator.market.history import HISTORY_DAYS

NOW_MS = 1_791_269_856_400
TICK_MS = NOW_MS // 3_000 * 3_000 + 3_000  # a tick of the slow streams too
DAY_MS = 86_400_000


@pytest.fixture
def exchange() -> BinanceUsdm:
    """A small exchange at a fixed time."""
    return BinanceUsdm(7, BinanceOptions(contracts=40, settling=3, rows_per_array=20), NOW_MS)


def opened(exchange: BinanceUsdm, path: str, **query: str) -> BinanceSession:
    """A session at a path."""
    session = exchange.session(path, query)
    assert session is not None
    return session


def ask(session: BinanceSession, text: str) -> Any:
    """The one reply to a control frame."""
    (answer,) = session.on_text(text, NOW_MS)
    assert isinstance(answer, Frame)
    return json.loads(answer.payload)


def delivered(exchange: BinanceUsdm, session: BinanceSession, at_ms: int = TICK_MS) -> list[Any]:
    """What a tick brings to a session."""
    return [json.loads(frame.payload) for frame in exchange.prepare(at_ms).frames(session)]


def get(exchange: BinanceUsdm, name: str, now_ms: int = NOW_MS, **query: Any) -> RestReply:
    """The reply to a REST call."""
    texts = {key: str(value) for key, value in query.items()}
    return exchange.rest(RestCall("GET", f"/fapi/v1/{name}", texts, b"", "127.0.0.1", now_ms))


def test_subscribe_list_unsubscribe(exchange: BinanceUsdm) -> None:
    """The documented acks, and a list of what is subscribed."""
    session = opened(exchange, "/market/ws")
    assert ask(session, '{"method":"SUBSCRIBE","params":["a","!markPrice@arr@1s"],"id":1}') == {
        "result": None,
        "id": 1,
    }
    assert ask(session, '{"method":"LIST_SUBSCRIPTIONS","id":3}') == {
        "result": ["a", "!markPrice@arr@1s"],
        "id": 3,
    }
    ask(session, '{"method":"UNSUBSCRIBE","params":["a"],"id":4}')
    assert session.subscribed() == ["!markPrice@arr@1s"]


@pytest.mark.parametrize("request_id", [0, 7, "4", "3f2c1d9e-77aa-4d52-9c0b-0d4f5e6a7b8c"])
def test_ids_are_numbers_or_texts(exchange: BinanceUsdm, request_id: int | str) -> None:
    """The documentation says unsigned integer, the official SDKs send UUIDs: both are repeated."""
    session = opened(exchange, "/market/ws")
    text = json.dumps({"method": "SUBSCRIBE", "params": ["a"], "id": request_id})
    assert ask(session, text) == {"result": None, "id": request_id}
    assert session.subscribed() == ["a"]


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("nonsense", 3, "Invalid JSON: expected value at line 1 column 1"),
        ('{"method":"SUBSCRIBE","params":["a"]}', 2, "request ID must be an unsigned integer"),
        ('{"method":"SUBSCRIBE","params":["a"],"id":-1}', 2, "must be an unsigned integer"),
        ('{"method":"SUBSCRIBE","params":["a"],"id":true}', 2, "must be an unsigned integer"),
        ('{"method":"SUBSCRIBE","params":["a"],"id":1.5}', 2, "must be an unsigned integer"),
        ('{"method":"SUBSCRIBE","params":["a"],"id":""}', 2, "must be an unsigned integer"),
        (f'{{"method":"SUBSCRIBE","params":["a"],"id":"{"x" * 37}"}}', 2, "must be an unsigned"),
        ('{"method":"NO","id":1}', 2, "unknown variant `NO`, expected one of `SUBSCRIBE`"),
        ('{"id":1}', 2, "missing field `method`"),
        ('{"method":"SUBSCRIBE","params":"a","id":1}', 2, "params must be an array"),
        ('{"method":"SET_PROPERTY","params":["x",true],"id":1}', 0, "Unknown property"),
        (
            '{"method":"SET_PROPERTY","params":["combined",1],"id":1}',
            1,
            "Invalid value type: expected Boolean",
        ),
        ("[1]", 2, "Invalid request"),
        ("[" * 100_000, 3, "Invalid JSON"),
    ],
)
def test_the_error_catalogue(exchange: BinanceUsdm, text: str, code: int, message: str) -> None:
    """Each documented error comes wrapped, and nothing is subscribed."""
    session = opened(exchange, "/market/ws")
    reply = ask(session, text)
    assert reply["error"]["code"] == code
    assert message in reply["error"]["msg"]
    assert session.subscribed() == []


def test_combined_can_be_switched(exchange: BinanceUsdm) -> None:
    """SET_PROPERTY turns raw frames into wrapped ones."""
    session = opened(exchange, "/market/ws/btcusdt@markPrice@1s")
    assert delivered(exchange, session)[0]["s"] == "BTCUSDT"
    ask(session, '{"method":"SET_PROPERTY","params":["combined",true],"id":1}')
    (frame,) = delivered(exchange, session)
    assert frame["stream"] == "btcusdt@markPrice@1s"
    assert frame["data"]["s"] == "BTCUSDT"
    assert ask(session, '{"method":"GET_PROPERTY","params":["combined"],"id":2}')["result"] is True


def test_a_tick_is_several_arrays_with_tradfi_apart(exchange: BinanceUsdm) -> None:
    """All live contracts once, TradFi in an array of their own, dated rows without a rate."""
    arrays = delivered(exchange, opened(exchange, "/market/ws/!markPrice@arr@1s"))
    assert len(arrays) == 3
    rows = {row["s"]: row for array in arrays for row in array}
    assert len(rows) == sum(map(len, arrays)) == 44
    kinds = {c.symbol: c.kind for c in exchange.contracts}
    assert [{kinds[row["s"]] == "tradfi" for row in array} for array in arrays] == [
        {False},
        {False},
        {True},
    ]
    assert list(rows["BTCUSDT"]) == ["e", "E", "s", "p", "ap", "P", "i", "r", "T", "st"]
    assert rows["BTCUSDT"]["st"] == 1
    assert 0 <= rows["BTCUSDT"]["E"] - TICK_MS < 5
    dated = rows["BTCUSDT_261225"]
    assert (dated["r"], dated["T"]) == ("", 0)
    assert "币安人生USDT" in rows


def test_single_and_array_streams_show_the_same_object(exchange: BinanceUsdm) -> None:
    """The per-symbol form holds the same text as the array."""
    tick = exchange.prepare(TICK_MS)
    array = b"".join(f.payload for f in tick.frames(opened(exchange, "/market/ws/!markPrice@arr")))
    for name in ("btcusdt@markPrice", "币安人生usdt@markPrice@1s", "btcusdt_261225@markPrice"):
        (frame,) = tick.frames(opened(exchange, f"/market/ws/{name}"))
        assert frame.payload in array


def test_slow_streams_push_every_third_tick(exchange: BinanceUsdm) -> None:
    """!markPrice@arr is the 3 s form of !markPrice@arr@1s."""
    slow = opened(exchange, "/market/ws/!markPrice@arr")
    counts = [len(delivered(exchange, slow, TICK_MS + n * 1_000)) for n in range(6)]
    assert counts == [3, 0, 0, 3, 0, 0]


@pytest.mark.parametrize(
    "path", ["/ws/!markPrice@arr@1s", "/public/ws/!markPrice@arr@1s", "/private/ws/x"]
)
def test_wrong_routes_ack_and_stay_silent(exchange: BinanceUsdm, path: str) -> None:
    """The trap of 2026-04: everything looks fine and nothing comes."""
    session = opened(exchange, path)
    assert ask(session, '{"method":"SUBSCRIBE","params":["!markPrice@arr"],"id":1}')["id"] == 1
    assert delivered(exchange, session) == []


def test_unknown_streams_are_silent(exchange: BinanceUsdm) -> None:
    """Upper case, junk and delisted contracts deliver nothing."""
    delisted = next(c.symbol for c in exchange.contracts if c.frozen)
    names = f"BTCUSDT@markPrice/nosuch@markPrice/{delisted.lower()}@markPrice@1s"
    assert delivered(exchange, opened(exchange, "/market/stream", streams=names)) == []
    assert exchange.session("/nowhere", {}) is None


def test_binary_frames_and_too_many_streams_close(exchange: BinanceUsdm) -> None:
    """1008 in both cases."""
    session = opened(exchange, "/market/ws")
    assert session.on_binary(b"{}", NOW_MS) == (Close(1008, "Invalid request"),)
    many = json.dumps({"method": "SUBSCRIBE", "params": [f"{n}" for n in range(1025)], "id": 1})
    (answer,) = session.on_text(many, NOW_MS)
    assert isinstance(answer, Close)
    assert answer.code == 1008


def test_coinm_rows_appear_by_option_and_are_not_truth() -> None:
    """Rows with st 2 travel in the arrays, and belong to another feed."""
    exchange = BinanceUsdm(7, BinanceOptions(contracts=8, settling=0, coinm_rows=2), NOW_MS)
    session = opened(exchange, "/market/ws/!markPrice@arr@1s")
    frames = list(exchange.prepare(TICK_MS).frames(session))
    rows = [row for frame in frames for row in json.loads(frame.payload)]
    assert [row["s"] for row in rows if row["st"] == 2] == ["BTCUSD_PERP", "ETHUSD_PERP"]
    claimed = [json.loads(line) for f in frames if f.ledger for line in f.ledger.claim(f.rows, 1)]
    assert {line["contract_id"] for line in claimed} == {
        f"binance-usdm:{row['s']}" for row in rows if row["st"] == 1 and row["r"]
    }


def test_premium_index_shows_the_last_tick(exchange: BinanceUsdm) -> None:
    """The same texts as the stream, and frozen values for SETTLING contracts."""
    tick = exchange.prepare(TICK_MS)
    tick.published()
    arrays = [
        json.loads(f.payload) for f in tick.frames(opened(exchange, "/market/ws/!markPrice@arr@1s"))
    ]
    streamed = {row["s"]: row for array in arrays for row in array}
    rows = {row["symbol"]: row for row in json.loads(get(exchange, "premiumIndex").body)}
    assert len(rows) == 47
    for symbol, row in streamed.items():
        shown = rows[symbol]
        assert (shown["markPrice"], shown["indexPrice"], shown["estimatedSettlePrice"]) == (
            row["p"], row["i"], row["P"],
        )  # fmt: skip
        assert (shown["lastFundingRate"], shown["nextFundingTime"], shown["time"]) == (
            row["r"], row["T"], row["E"],
        )  # fmt: skip
    frozen = [rows[c.symbol] for c in exchange.contracts if c.frozen]
    assert all(row["time"] < NOW_MS - 30 * DAY_MS for row in frozen)
    one = get(exchange, "premiumIndex", symbol="BTCUSDT")
    assert json.loads(one.body) == rows["BTCUSDT"]


def test_funding_rate_windows(exchange: BinanceUsdm) -> None:
    """Ascending, both ends included, forward from startTime, latest 200 without times."""

    def times(**query: Any) -> list[int]:
        reply = get(exchange, "fundingRate", **query)
        return [row["fundingTime"] for row in json.loads(reply.body)]

    hourly = next(c.symbol for c in exchange.contracts if c.interval_hours == 1)
    latest = times(symbol=hourly)
    assert len(latest) == 200
    assert latest == sorted(latest)
    assert NOW_MS - latest[-1] < 3_600_000
    assert times(symbol=hourly, limit=3) == latest[-3:]
    assert times(symbol=hourly, limit=1000) == latest
    everything = times(symbol=hourly, startTime=0, limit=1000)
    assert len(everything) == HISTORY_DAYS * 24
    assert len(times(symbol=hourly, startTime=0)) == 100
    assert times(symbol=hourly, endTime=NOW_MS) == everything[:100]
    assert times(symbol=hourly, startTime=everything[5], endTime=everything[7]) == everything[5:8]
    assert (
        times(symbol=hourly, startTime=everything[5] + 1, endTime=everything[7])
        == (everything[6:8])
    )
    assert len(times()) == 200
    page = times(startTime=NOW_MS - DAY_MS, endTime=NOW_MS, limit=1000)
    assert page == sorted(page)
    assert len(page) == sum(24 // c.interval_hours for c in exchange.contracts[:40])
    assert times(symbol="BTCUSDT_261225", startTime=0) == []


def test_paging_forward_yields_the_history_once(exchange: BinanceUsdm) -> None:
    """Paging by startTime = last fundingTime + 1 walks the whole history of a symbol."""
    symbol, start_ms, seen = "BTCUSDT", 0, []
    while True:
        reply = get(exchange, "fundingRate", symbol=symbol, startTime=start_ms, limit=37)
        rows = json.loads(reply.body)
        if not rows:
            break
        seen += [row["fundingTime"] for row in rows]
        start_ms = seen[-1] + 1
    assert len(seen) == len(set(seen)) == HISTORY_DAYS * 3
    assert {row["rateType"] for row in json.loads(get(exchange, "fundingRate").body)} == {"Regular"}


@pytest.mark.parametrize(
    ("name", "query", "code"),
    [
        ("fundingRate", {"limit": 1001}, -1130),
        ("fundingRate", {"limit": 0}, -1130),
        ("fundingRate", {"startTime": "x"}, -1100),
        ("fundingRate", {"startTime": 2, "endTime": 1}, -1023),
        ("premiumIndex", {"symbol": "NOSUCH"}, -1121),
    ],
)
def test_bad_parameters(exchange: BinanceUsdm, name: str, query: dict[str, Any], code: int) -> None:
    """400 with Binance's own code."""
    reply = get(exchange, name, **query)
    assert reply.status == 400
    assert json.loads(reply.body)["code"] == code


def test_exchange_info(exchange: BinanceUsdm) -> None:
    """Types, statuses, dates, and the price step that clients read first."""
    info = json.loads(get(exchange, "exchangeInfo").body)
    assert info["serverTime"] == NOW_MS
    symbols = {row["symbol"]: row for row in info["symbols"]}
    assert symbols["NVDAUSDT"]["contractType"] == "TRADIFI_PERPETUAL"
    assert symbols["NVDAUSDT"]["underlyingType"] == "EQUITY"
    assert symbols["BTCUSDT_261225"]["contractType"] == "CURRENT_QUARTER"
    assert symbols["BTCUSDT_270326"]["contractType"] == "NEXT_QUARTER"
    assert symbols["BTCUSDT_261225"]["pair"] == "BTCUSDT"
    assert symbols["BTCUSDT"]["deliveryDate"] == 4_133_404_800_000
    assert symbols["1000PEPEUSDT"]["baseAsset"] == "1000PEPE"
    assert sum(row["status"] == "SETTLING" for row in symbols.values()) == 3
    for row in symbols.values():
        (price,) = row["filters"]
        assert price["filterType"] == "PRICE_FILTER"
        assert 0 < float(price["tickSize"]) <= float(price["minPrice"]) < float(price["maxPrice"])
    assert symbols["BTCUSDT"]["filters"] != symbols["1000PEPEUSDT"]["filters"]


def test_funding_info_lists_all_or_what_is_adjusted(exchange: BinanceUsdm) -> None:
    """As it did on 2026-09-03, all that trade; as documented, some of 8 h lack."""
    perpetuals = {c.symbol for c in exchange.contracts if c.kind != "dated" and not c.frozen}
    assert perpetuals <= {row["symbol"] for row in json.loads(get(exchange, "fundingInfo").body)}
    options = BinanceOptions(
        contracts=40, settling=3, rows_per_array=20, intervals_listed="adjusted"
    )
    exchange = BinanceUsdm(7, options, NOW_MS)
    listed = {row["symbol"]: row for row in json.loads(get(exchange, "fundingInfo").body)}
    by_symbol = {c.symbol: c for c in exchange.contracts}
    missing = [c for c in by_symbol.values() if c.symbol not in listed and c.kind != "dated"]
    assert missing
    assert {c.interval_hours for c in missing} == {8}
    for symbol, row in listed.items():
        assert row["fundingIntervalHours"] == by_symbol[symbol].interval_hours


def test_a_funding_time_passes(exchange: BinanceUsdm) -> None:
    """T moves on, and the settled rate is what the last estimate said."""
    eight_h = 8 * 3_600_000
    funding_ms = NOW_MS // eight_h * eight_h + eight_h
    session = opened(exchange, "/market/ws/btcusdt@markPrice@1s")
    before = delivered(exchange, session, funding_ms - 1_000)[0]
    after = delivered(exchange, session, funding_ms)[0]
    assert (before["T"], after["T"]) == (funding_ms, funding_ms + eight_h)
    settled = {(s.symbol, s.funding_ms): s for s in exchange.settle(funding_ms)}
    assert settled["BTCUSDT", funding_ms].rate == before["r"]
    assert list(exchange.settle(funding_ms)) == []
    row = json.loads(get(exchange, "fundingRate", symbol="BTCUSDT", limit=1).body)[0]
    assert row["fundingRate"] == before["r"]
    assert 0 <= row["fundingTime"] - funding_ms <= 3


def test_weights_are_counted_and_reset_each_minute(exchange: BinanceUsdm) -> None:
    """10 for all symbols, 1 for one; the next minute starts at nothing."""
    used = "X-MBX-USED-WEIGHT-1M"
    assert get(exchange, "premiumIndex").headers[used] == "10"
    assert get(exchange, "premiumIndex", symbol="BTCUSDT").headers[used] == "11"
    assert get(exchange, "fundingRate").headers[used] == "11"
    assert get(exchange, "time", NOW_MS + 60_000).headers[used] == "1"


def test_429_then_418_then_forgiven() -> None:
    """Going on after refusals earns a ban of two minutes, then of four."""
    limits = RateLimits(weight_per_minute=20)
    now_ms = 60_000 * 1_000
    statuses = [limits.charge("a", 10, now_ms).status for _ in range(14)]
    assert statuses == [200, 200] + [429] * 10 + [418] * 2
    assert limits.charge("b", 10, now_ms).status == 200
    banned = limits.charge("a", 1, now_ms + 119_999)
    assert (banned.status, banned.retry_after_s) == (418, 1)
    assert "banned until" in banned.message
    assert limits.charge("a", 1, now_ms + 120_000).status == 200


def test_the_funding_pool_is_shared() -> None:
    """500 calls in 5 minutes for fundingRate and fundingInfo together; Retry-After by option."""
    options = BinanceOptions(contracts=4, settling=0, pool_per_5_minutes=3, retry_after=True)
    exchange = BinanceUsdm(7, options, NOW_MS)
    replies = [get(exchange, name) for name in ("fundingRate", "fundingInfo") * 2]
    assert [reply.status for reply in replies] == [200, 200, 200, 429]
    assert 0 < int(replies[-1].headers["Retry-After"]) <= 300
    assert json.loads(replies[-1].body)["code"] == -1003
    assert get(exchange, "premiumIndex").status == 200
    assert get(exchange, "fundingInfo", NOW_MS + 300_000).status == 200


def test_listing_and_delisting() -> None:
    """Held back: nowhere. Listed: everywhere. Delisted: silent, frozen, SETTLING, unsettled."""
    options = BinanceOptions(contracts=8, settling=1, held_back=2)
    exchange = BinanceUsdm(7, options, NOW_MS)
    symbol = exchange.contracts[-1].symbol
    session = opened(exchange, "/market/ws/!markPrice@arr@1s")

    def shown() -> tuple[bool, bool, bool, bool]:
        streamed = {r["s"] for array in delivered(exchange, session) for r in array}
        index = {row["symbol"] for row in json.loads(get(exchange, "premiumIndex").body)}
        info = json.loads(get(exchange, "exchangeInfo").body)["symbols"]
        trading = {row["symbol"] for row in info if row["status"] == "TRADING"}
        settled = get(exchange, "fundingRate", symbol=symbol).status == 200
        return symbol in streamed, symbol in index, symbol in trading, settled

    assert shown() == (False, False, False, False)
    exchange.listings.list_symbol(symbol)
    exchange.prepare(TICK_MS).published()
    assert shown() == (True, True, True, True)
    before = json.loads(get(exchange, "premiumIndex", symbol=symbol).body)
    assert before["time"] - TICK_MS < 5
    exchange.listings.delist(symbol)
    for n in (1, 2):
        exchange.prepare(TICK_MS + n * 1_000).published()
    assert shown() == (False, True, False, True)
    assert json.loads(get(exchange, "premiumIndex", symbol=symbol).body) == before
    exchange.listings.list_symbol(symbol)
    exchange.prepare(TICK_MS + 3_000).published()
    again = json.loads(get(exchange, "premiumIndex", symbol=symbol).body)
    assert again["time"] > before["time"]


def test_unknown_paths_and_methods(exchange: BinanceUsdm) -> None:
    """404 and 405."""
    assert get(exchange, "nosuch").status == 404
    call = RestCall("POST", "/fapi/v1/time", {}, b"", "127.0.0.1", NOW_MS)
    assert exchange.rest(call).status == 405
