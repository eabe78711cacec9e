"""Simulated Hyperliquid without sockets, and one connection through the server."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import websockets
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.simulator.feed import Close, Frame, RestCall, RestReply
from infra.simulator.hyperliquid import Hyperliquid, HyperliquidOptions, create
from infra.simulator.hyperliquid_control import HyperliquidSession
from infra.simulator.hyperliquid_frames import rate_text
from infra.simulator.minute_budget import MinuteBudget
from infra.simulator.options import SimulatorOptions
from infra.simulator.server import SimulatorServer
from infra.simulator.truth import TruthLog

NOW_MS = 1_791_269_856_400
HOUR_MS = 3_600_000
STEP_MS = 200
FIXTURES = Path(__file__).resolve().parents[3] / "shared" / "fixtures" / "messages" / "hyperliquid"


@dataclass(frozen=True, slots=True)
class TypedCall(RestCall):
    """A call that tells the type of its body."""

    content_type: str = ""


@pytest.fixture
def exchange() -> Hyperliquid:
    """A small exchange at a fixed time: 22 live on main, 13 on xyz, the rest elsewhere."""
    return Hyperliquid(7, HyperliquidOptions(contracts=40, held_back=2), NOW_MS)


def opened(exchange: Hyperliquid) -> HyperliquidSession:
    """A new connection."""
    session = exchange.session("/ws", {})
    assert session is not None
    return session


def message(method: str, **subscription: str) -> str:
    """A control message."""
    return json.dumps({"method": method, "subscription": subscription})


def ask(session: HyperliquidSession, text: str, now_ms: int = NOW_MS) -> Any:
    """The one reply to a message."""
    (answer,) = session.on_text(text, now_ms)
    assert isinstance(answer, Frame)
    return json.loads(answer.payload)


def steps(exchange: Hyperliquid, count: int, since_ms: int = NOW_MS) -> list[int]:
    """The next grid times."""
    first = since_ms // exchange.tick_ms * exchange.tick_ms + exchange.tick_ms
    return [first + number * exchange.tick_ms for number in range(count)]


def delivered(exchange: Hyperliquid, session: HyperliquidSession, at_ms: int) -> list[Frame]:
    """What a step brings; it is published."""
    tick = exchange.prepare(at_ms)
    frames = list(tick.frames(session))
    tick.published()
    return frames


def info(
    exchange: Hyperliquid, now_ms: int = NOW_MS, client: str = "127.0.0.1", **request: Any
) -> RestReply:
    """The reply to a call of /info."""
    body = json.dumps(request).encode()
    return exchange.rest(RestCall("POST", "/info", {}, body, client, now_ms))


def read(exchange: Hyperliquid, now_ms: int = NOW_MS, **request: Any) -> Any:
    """The decoded body of a call that succeeds."""
    reply = info(exchange, now_ms, **request)
    assert reply.status == 200
    return json.loads(reply.body)


def test_subscribing_is_acked_in_order(exchange: Hyperliquid) -> None:
    """Each subscription is repeated as it was sent; unsubscribing is acked too."""
    session = opened(exchange)
    for coin in ("BTC", "kPEPE", "xyz:NVDA"):
        assert ask(session, message("subscribe", type="activeAssetCtx", coin=coin)) == {
            "channel": "subscriptionResponse",
            "data": {
                "method": "subscribe",
                "subscription": {"type": "activeAssetCtx", "coin": coin},
            },
        }
    reply = ask(session, message("unsubscribe", type="activeAssetCtx", coin="kPEPE"))
    assert reply["data"]["method"] == "unsubscribe"
    assert [json.loads(key)["coin"] for key in session.subscribed()] == ["BTC", "xyz:NVDA"]


def test_repeated_subscriptions_are_errors(exchange: Hyperliquid) -> None:
    """The message quotes the subscription, and nothing changes."""
    session = opened(exchange)
    ask(session, message("subscribe", type="activeAssetCtx", coin="BTC"))
    quoted = '{"type":"activeAssetCtx","coin":"BTC"}'
    reply = ask(session, message("subscribe", type="activeAssetCtx", coin="BTC"))
    assert reply == {"channel": "error", "data": f"Already subscribed: {quoted}"}
    ask(session, message("unsubscribe", type="activeAssetCtx", coin="BTC"))
    reply = ask(session, message("unsubscribe", type="activeAssetCtx", coin="BTC"))
    assert reply == {"channel": "error", "data": f"Already unsubscribed: {quoted}"}
    assert session.subscribed() == []


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[1]",
        "{}",
        '{"method":"subscribe"}',
        '{"method":"subscribe","subscription":{"type":"bbo","coin":["BTC","ETH"]}}',
        '{"method":"subscribe","subscription":{"type":"nosuch","coin":"BTC"}}',
        '{"method":"post","subscription":{"type":"bbo","coin":"BTC"}}',
        "[" * 100_000,
        '{"method":"subscribe","subscription":{"type":7,"coin":"BTC"}}',
    ],
)
def test_what_cannot_be_read_is_quoted(exchange: Hyperliquid, text: str) -> None:
    """The socket lives on."""
    session = opened(exchange)
    assert ask(session, text) == {
        "channel": "error",
        "data": f"Error parsing JSON into valid websocket request: {text}",
    }
    assert ask(session, '{"method":"ping"}') == {"channel": "pong"}


def test_error_texts_are_those_that_were_captured(exchange: Hyperliquid) -> None:
    """Parse errors and repeated unsubscribes, letter for letter."""
    if not FIXTURES.is_dir():
        pytest.skip("no captured messages here")
    session = opened(exchange)
    captured = json.loads((FIXTURES / "obs_ws_error_parse.json").read_text(encoding="utf-8"))
    text = captured["data"].partition("request: ")[2]
    assert ask(session, text) == captured
    captured = json.loads(
        (FIXTURES / "rs_ws_error_already_unsubscribed.json").read_text(encoding="utf-8")
    )
    assert ask(session, message("unsubscribe", type="trades", coin="ETH")) == captured


@pytest.mark.parametrize("coin", ["NOSUCH", "btc", "NVDA", "XYZ:NVDA", "xyz:nvda", "", "KPEPE"])
def test_a_bad_coin_cuts_the_connection(exchange: Hyperliquid, coin: str) -> None:
    """Unknown, wrong case, or HIP-3 without its dex: no message, no close frame."""
    session = opened(exchange)
    ask(session, message("subscribe", type="activeAssetCtx", coin="BTC"))
    (answer,) = session.on_text(message("subscribe", type="activeAssetCtx", coin=coin), NOW_MS)
    assert isinstance(answer, Close)
    assert answer.code == 1006


def test_each_coin_comes_once_a_second_at_changing_moments(exchange: Hyperliquid) -> None:
    """About 300 bytes, with the captured keys, and without any time."""
    session = opened(exchange)
    for coin in ("BTC", "xyz:NVDA"):
        ask(session, message("subscribe", type="activeAssetCtx", coin=coin))
    at: dict[str, list[int]] = {"BTC": [], "xyz:NVDA": []}
    first_ms = NOW_MS // 1_000 * 1_000 + 1_000 - STEP_MS
    assert exchange.tick_ms == STEP_MS
    frame = {}
    for at_ms in steps(exchange, 50, first_ms):
        for sent in delivered(exchange, session, at_ms):
            frame = json.loads(sent.payload)
            at[frame["data"]["coin"]].append(at_ms)
            assert 250 < len(sent.payload) < 360
    assert list(frame) == ["channel", "data"]
    assert list(frame["data"]) == ["coin", "ctx"]
    assert list(frame["data"]["ctx"]) == [
        "funding", "openInterest", "prevDayPx", "dayNtlVlm", "premium", "oraclePx", "markPx",
        "midPx", "impactPxs", "dayBaseVlm",
    ]  # fmt: skip
    for times in at.values():
        assert [time // 1_000 for time in times] == [first_ms // 1_000 + 1 + n for n in range(10)]
        assert len({time % 1_000 for time in times}) > 1


def test_the_prices_of_a_context_differ(exchange: Hyperliquid) -> None:
    """A reader that takes the wrong field is never right by accident."""
    _, contexts = read(exchange, type="metaAndAssetCtxs")
    for context in contexts:
        if context["midPx"] is not None:
            prices = [context[key] for key in ("prevDayPx", "oraclePx", "markPx", "midPx")]
            assert len({*prices, *context["impactPxs"]}) == 6
            assert context["premium"] != context["funding"]


def test_all_dexs_come_nameless_and_rarely(exchange: Hyperliquid) -> None:
    """In universe order, delisted ones with nulls; about each 13.6 s."""
    session = opened(exchange)
    ask(session, '{"method":"subscribe","subscription":{"type":"allDexsAssetCtxs"}}')
    sent = [
        (at_ms, frame)
        for at_ms in steps(exchange, 300)
        for frame in delivered(exchange, session, at_ms)
    ]
    gaps_ms = [later[0] - earlier[0] for earlier, later in itertools.pairwise(sent)]
    assert gaps_ms
    assert all(13_400 <= gap_ms <= 13_800 for gap_ms in gaps_ms)
    frame = sent[-1][1]
    assert frame.ledger is None
    by_dex = json.loads(frame.payload)["data"]["ctxs"]
    dexs = [None, *(dex and dex["name"] for dex in read(exchange, type="perpDexs")[1:])]
    assert [dex for dex, _ in by_dex] == ["", *dexs[1:]]
    metas = read(exchange, type="allPerpMetas")
    for (_, contexts), meta in zip(by_dex, metas, strict=True):
        assert len(contexts) == len(meta["universe"])
        for asset, context in zip(meta["universe"], contexts, strict=True):
            gone = asset.get("isDelisted", False)
            assert (context["midPx"] is None) is gone
            assert (context["impactPxs"] is None) is gone
            assert (context["premium"] is None) is gone
            assert not gone or context["funding"] == "0.0"


def test_the_documented_proportions() -> None:
    """178 / 109 / 27 / 4 / 8 live, 56 of 234 delisted on main, dexs of which nothing is left."""
    metas = read(Hyperliquid(7, HyperliquidOptions(), NOW_MS), type="allPerpMetas")
    universes = [meta["universe"] for meta in metas]
    live = [sum("isDelisted" not in asset for asset in universe) for universe in universes]
    assert live == [178, 109, 0, 0, 0, 0, 0, 0, 27, 4, 8]
    assert len(universes[0]) == 234
    names = [asset["name"] for universe in universes for asset in universe]
    assert len(names) == len(set(names))
    assert {"kPEPE", "xyz:NVDA", "flx:NVDA"} <= set(names)
    assert all(name.isascii() for name in names)
    assert universes[0][0] == {
        "szDecimals": 0, "name": "BTC", "maxLeverage": 40, "marginTableId": 50,
    }  # fmt: skip


def test_rest_shows_what_was_streamed(exchange: Hyperliquid) -> None:
    """Joined by index, after each coin's frame."""
    session = opened(exchange)
    for coin in ("ETH", "xyz:TSLA"):
        ask(session, message("subscribe", type="activeAssetCtx", coin=coin))
    newest = {}
    for at_ms in steps(exchange, 10):
        for frame in delivered(exchange, session, at_ms):
            data = json.loads(frame.payload)["data"]
            newest[data["coin"]] = data["ctx"]
    for coin, dex in (("ETH", ""), ("xyz:TSLA", "xyz")):
        meta, contexts = read(exchange, type="metaAndAssetCtxs", dex=dex)
        names = [asset["name"] for asset in meta["universe"]]
        assert len(names) == len(contexts)
        assert contexts[names.index(coin)] == newest[coin]
        assert read(exchange, type="meta", dex=dex) == meta


def test_most_assets_rest_at_the_interest_rate() -> None:
    """0.0000125, and half of it on xyz; others have up to ten decimals."""
    exchange = Hyperliquid(7, HyperliquidOptions(), NOW_MS)
    shares = {}
    for dex, resting in (("", "0.0000125"), ("xyz", "0.00000625")):
        _, contexts = read(exchange, type="metaAndAssetCtxs", dex=dex)
        live = [context["funding"] for context in contexts if context["midPx"] is not None]
        shares[dex] = sum(rate == resting for rate in live) / len(live)
        decimals = {len(rate.partition(".")[2]) for rate in live}
        assert max(decimals) == 10
    assert all(0.8 < share < 0.99 for share in shares.values())


@settings(deadline=None)
@given(units=st.integers(-4_000_000, 4_000_000), more=st.integers(0, 1_000))
def test_rate_texts_keep_the_order_of_the_market(units: int, more: int) -> None:
    """At most ten decimals, never -0, half of it on a dex with multiplier, and monotonic."""
    text, halved = rate_text("ETH", units), rate_text("xyz:NVDA", units)
    assert text == text.rstrip("0") or text.endswith(".0")
    assert text not in {"-0.0", "0"}
    assert len(text.partition(".")[2]) <= 10
    # Within one unit the order is that of the added digits.
    assert float(rate_text("ETH", units + more + 1)) >= float(text) - 1e-8
    assert abs(float(halved) - units / 2e8) <= 3_002 / 2e8


def test_a_funding_time_passes(exchange: Hyperliquid) -> None:
    """What settles is the last estimate; the history stamps it 1 to 118 ms late."""
    funding_ms = NOW_MS // HOUR_MS * HOUR_MS + HOUR_MS
    session = opened(exchange)
    for row in exchange.listings.rows():
        if not exchange.contracts[row].frozen:
            coin = exchange.contracts[row].symbol
            ask(session, message("subscribe", type="activeAssetCtx", coin=coin))
    last = {}
    for at_ms in range(funding_ms - 1_000, funding_ms, STEP_MS):
        for frame in delivered(exchange, session, at_ms):
            data = json.loads(frame.payload)["data"]
            last[data["coin"]] = data["ctx"]["funding"]
    settled = {rate.symbol: rate for rate in exchange.settle(funding_ms)}
    assert settled.keys() == last.keys()
    assert len(settled) == 40
    assert {coin: rate.rate for coin, rate in settled.items()} == last
    assert len(set(last.values())) > 2
    later_ms = funding_ms + 1_000
    (row,) = read(exchange, later_ms, type="fundingHistory", coin="ETH", startTime=funding_ms)
    assert row["fundingRate"] == last["ETH"]
    assert 1 <= row["time"] - funding_ms <= 118
    assert list(exchange.settle(funding_ms)) == []


def test_history_pages(exchange: Hyperliquid) -> None:
    """Ascending, at most 500 rows, both ends included; some rows lack `premium`."""
    rows = read(exchange, type="fundingHistory", coin="xyz:NVDA", startTime=0)
    assert len(rows) == 500
    rest = read(
        exchange, type="fundingHistory", coin="xyz:NVDA", startTime=rows[-1]["time"] + 1
    )  # fmt: skip
    times = [row["time"] for row in rows + rest]
    assert len(times) == 720
    assert times == sorted(set(times))
    assert {1 <= time % HOUR_MS <= 118 for time in times} == {True}
    assert len({time % HOUR_MS for time in times}) > 50
    assert 0 < sum("premium" not in row for row in rows) < 50
    window = read(
        exchange, type="fundingHistory", coin="xyz:NVDA", startTime=times[5], endTime=times[7]
    )
    assert [row["time"] for row in window] == times[5:8]
    truth = {
        rate.funding_ms: rate.rate
        for rate in exchange.settled_at_start()
        if rate.symbol == "xyz:NVDA"
    }
    assert {row["time"] // HOUR_MS * HOUR_MS: row["fundingRate"] for row in rows + rest} == truth


def test_predicted_fundings_have_their_quirks(exchange: Hyperliquid) -> None:
    """Main dex only, null entries, and an hour that has settled already."""
    rows = read(exchange, type="predictedFundings")
    assert all(":" not in name for name, _ in rows)
    venues = {name: dict(entries) for name, entries in rows}
    assert any(entry["BinPerp"] is None for entry in venues.values())
    assert venues["BTC"]["HlPerp"]["nextFundingTime"] == NOW_MS // HOUR_MS * HOUR_MS
    meta, contexts = read(exchange, type="metaAndAssetCtxs")
    names = [asset["name"] for asset in meta["universe"]]
    assert venues["ETH"]["HlPerp"]["fundingRate"] == contexts[names.index("ETH")]["funding"]


def test_status_and_dexs(exchange: Hyperliquid) -> None:
    """The first dex is null; xyz has a multiplier."""
    assert read(exchange, type="exchangeStatus") == {"specialStatuses": None, "time": NOW_MS}
    dexs = read(exchange, type="perpDexs")
    assert dexs[0] is None
    assert dexs[1]["name"] == "xyz"
    assert ["xyz:NVDA", "0.5"] in dexs[1]["assetToFundingMultiplier"]
    spot = read(exchange, type="spotMeta")
    assert spot["universe"] == []
    names = {token["index"]: token["name"] for token in spot["tokens"]}
    collaterals = {names[m["collateralToken"]] for m in read(exchange, type="allPerpMetas")}
    assert collaterals == {"USDC", "USDH", "USDE", "USDT0"}


@pytest.mark.parametrize(
    ("request_", "status", "body"),
    [
        ({"type": "fundingHistory", "coin": "NOSUCH", "startTime": 0}, 500, b"null"),
        ({"type": "fundingHistory", "coin": "btc", "startTime": 0}, 500, b"null"),
        ({"type": "meta", "dex": "nosuch"}, 500, b"null"),
        ({"type": "nosuch"}, 422, None),
        ({}, 422, None),
        ({"type": ["meta"]}, 422, None),
        ({"type": "meta", "dex": 7}, 422, None),
        ({"type": "fundingHistory", "coin": "BTC"}, 422, None),
        ({"type": "fundingHistory", "coin": "BTC", "startTime": "0"}, 422, None),
        ({"type": "fundingHistory", "coin": "BTC", "startTime": True}, 422, None),
    ],
)
def test_bad_requests(
    exchange: Hyperliquid, request_: dict[str, Any], status: int, body: bytes | None
) -> None:
    """422 for what cannot be read, 500 with null for what does not exist."""
    reply = info(exchange, **request_)
    assert reply.status == status
    assert body is None or reply.body == body


def test_method_path_and_type_of_content(exchange: Hyperliquid) -> None:
    """405 for GET, 404 elsewhere, 422 for what is no JSON, 415 for another type."""
    body = b'{"type":"meta"}'

    def status(call: RestCall) -> int:
        return exchange.rest(call).status

    assert status(RestCall("GET", "/info", {}, b"", "c", NOW_MS)) == 405
    assert status(RestCall("POST", "/nosuch", {}, body, "c", NOW_MS)) == 404
    assert status(RestCall("POST", "/info", {}, b"{", "c", NOW_MS)) == 422
    assert status(RestCall("POST", "/info", {}, b"[" * 99_999, "c", NOW_MS)) == 422
    assert status(RestCall("POST", "/info", {}, body, "c", NOW_MS)) == 200
    typed = (
        TypedCall("POST", "/info", {}, body, "c", NOW_MS, content_type=kind)
        for kind in ("application/json", "text/plain", "")
    )
    assert [status(call) for call in typed] == [200, 415, 415]


def test_weights_per_client_and_minute() -> None:
    """20 a call, 2 for the status, 1 per 20 rows of history; then 429 until the next minute."""
    options = HyperliquidOptions(contracts=4, weight_per_minute=90, retry_after=True)
    exchange = Hyperliquid(7, options, NOW_MS)
    read(exchange, type="fundingHistory", coin="BTC", startTime=0)
    assert [info(exchange, type="meta").status for _ in range(3)] == [200, 200, 429]
    refused = info(exchange, type="meta")
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert info(exchange, client="other", type="meta").status == 200
    assert info(exchange, NOW_MS + 60_000, type="meta").status == 200


def test_open_limits_know_no_429() -> None:
    """For demos."""
    exchange = create(SimulatorOptions(open_limits=True), 4, NOW_MS)
    assert {info(exchange, type="meta").status for _ in range(100)} == {200}


def test_ten_connections_and_thirty_new_ones_a_minute() -> None:
    """The eleventh is refused until one is gone; a gone one is not shown to ticks any more."""
    exchange = Hyperliquid(7, HyperliquidOptions(contracts=4), NOW_MS)
    sessions = [exchange.session("/ws", {}) for _ in range(10)]
    assert None not in sessions
    assert exchange.session("/ws", {}) is None
    for at_ms in steps(exchange, 3):
        tick = exchange.prepare(at_ms)
        for session in sessions[1:]:
            assert session is not None
            list(tick.frames(session))
    assert exchange.session("/ws", {}) is not None
    assert exchange.session("/nowhere", {}) is None
    limited = Hyperliquid(7, HyperliquidOptions(contracts=4, connections=99), NOW_MS)
    opened_ = [limited.session("/ws", {}) is not None for _ in range(31)]
    assert opened_ == [True] * 30 + [False]
    limited.prepare(NOW_MS + 60_000)
    assert limited.session("/ws", {}) is not None


def test_subscriptions_and_messages_are_limited_over_all_connections() -> None:
    """1000 and 2000 a minute on the exchange."""
    options = HyperliquidOptions(contracts=8, subscriptions=3, messages_per_minute=6)
    exchange = Hyperliquid(7, options, NOW_MS)
    one, two = opened(exchange), opened(exchange)
    channels = [
        ask(session, message("subscribe", type=kind, coin="BTC"))["channel"]
        for session, kind in ((one, "bbo"), (one, "trades"), (two, "bbo"), (two, "trades"))
    ]
    assert channels == ["subscriptionResponse"] * 3 + ["error"]
    ping = '{"method":"ping"}'
    ask(one, ping)
    ask(two, ping)
    assert one.on_text(ping, NOW_MS) == (Close(1006, "Too many messages"),)
    assert ask(one, ping, NOW_MS + 60_000) == {"channel": "pong"}


def test_a_connection_without_data_is_cut_after_a_minute(exchange: Hyperliquid) -> None:
    """A ping in time keeps it, because its pong is something that the server has sent."""
    quiet, pinging = opened(exchange), opened(exchange)
    start_ms = steps(exchange, 1)[0]
    for at_ms in range(start_ms, start_ms + 59_800, 20_000):
        tick = exchange.prepare(at_ms)
        assert [*tick.frames(quiet), *tick.frames(pinging)] == []
    ask(pinging, '{"method":"ping"}', start_ms + 50_000)
    assert not quiet.rules.silence_s
    tick = exchange.prepare(start_ms + 60_000)
    assert [*tick.frames(quiet), *tick.frames(pinging)] == []
    assert quiet.rules.silence_s
    assert not pinging.rules.silence_s


def test_listing_and_delisting(exchange: Hyperliquid) -> None:
    """Absent everywhere, then last in its universe; delisted it stays, without a rate."""
    coin = exchange.contracts[-2].symbol
    bad = message("subscribe", type="activeAssetCtx", coin=coin)
    (answer,) = opened(exchange).on_text(bad, NOW_MS)
    assert isinstance(answer, Close)
    before = [asset["name"] for asset in read(exchange, type="meta")["universe"]]
    assert coin not in before
    assert info(exchange, type="fundingHistory", coin=coin, startTime=0).status == 500
    exchange.listings.list_symbol(coin)
    assert [asset["name"] for asset in read(exchange, type="meta")["universe"]] == [*before, coin]
    assert read(exchange, type="fundingHistory", coin=coin, startTime=0) == []
    session = opened(exchange)
    ask(session, bad)
    assert [f for at_ms in steps(exchange, 10) for f in delivered(exchange, session, at_ms)]
    exchange.listings.delist(coin)
    assert not [f for at_ms in steps(exchange, 10) for f in delivered(exchange, session, at_ms)]
    meta, contexts = read(exchange, type="metaAndAssetCtxs")
    assert meta["universe"][-1]["isDelisted"] is True
    assert (contexts[-1]["funding"], contexts[-1]["midPx"]) == ("0.0", None)
    hour_ms = NOW_MS // HOUR_MS * HOUR_MS + HOUR_MS
    assert coin not in {rate.symbol for rate in exchange.settle(hour_ms)}


def test_minutes_of_a_budget() -> None:
    """Per client, from one full minute to the next."""
    budget = MinuteBudget(3)
    assert budget.charge("a", 3, 59_999)
    assert not budget.charge("a", 1, 59_999)
    assert budget.charge("b", 3, 59_999)
    assert budget.charge("a", 3, 60_000)


async def test_over_a_socket(tmp_path: Path) -> None:
    """What a client got is the truth's sequence of rates; a bad coin cuts without a farewell."""
    now_ms = 1_791_269_856_400
    with TruthLog(tmp_path, seed=7) as truth:
        exchange = Hyperliquid(7, HyperliquidOptions(contracts=30, tick_ms=100), now_ms)
        server = SimulatorServer([exchange], truth, port=0, housekeeping_s=0.02)
        await server.start()
        received: dict[str, list[float]] = {}
        url = f"ws://127.0.0.1:{server.port}/hyperliquid/ws"
        try:
            async with asyncio.timeout(30), websockets.connect(url, ping_interval=None) as ws:
                for coin in ("BTC", "ETH", "xyz:NVDA"):
                    await ws.send(message("subscribe", type="activeAssetCtx", coin=coin))
                while min((len(rates) for rates in received.values()), default=0) < 5:
                    _receive(received, await ws.recv())
                await ws.send(message("subscribe", type="activeAssetCtx", coin="NVDA"))
                with contextlib.suppress(websockets.ConnectionClosedError):
                    async for frame in ws:
                        _receive(received, frame)
                assert ws.close_code == 1006
        finally:
            await server.stop()
    lines = (tmp_path / "truth" / "hyperliquid.ndjson").read_text(encoding="utf-8").splitlines()
    sent: dict[str, list[float]] = {}
    for line in map(json.loads, lines):
        assert 0 <= line["sent_at"] - line["event_time"] < 2_000_000
        sent.setdefault(line["contract_id"], []).append(line["rate"])
    assert received.keys() == {"hyperliquid:BTC", "hyperliquid:ETH", "hyperliquid:xyz:NVDA"}
    # The cut may lose the last frames on their way.
    assert {key: rates[: len(received[key])] for key, rates in sent.items()} == received


def _receive(received: dict[str, list[float]], frame: str | bytes) -> None:
    content = json.loads(frame)
    if content["channel"] == "activeAssetCtx":
        data = content["data"]
        rates = received.setdefault(f"hyperliquid:{data['coin']}", [])
        rates.append(float(data["ctx"]["funding"]))
