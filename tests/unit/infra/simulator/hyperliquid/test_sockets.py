"""Simulated Hyperliquid: what its connections tell, refuse and end, one through the server."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from pathlib import Path

import pytest
import websockets

from infra.simulator.exchange import Close
from infra.simulator.hyperliquid.exchange import Hyperliquid, HyperliquidOptions
from infra.simulator.market.truth import TruthLog
from infra.simulator.server.server import SimulatorServer
from tests.support.paths import SHARED_FIXTURES
from tests.support.simulated_hyperliquid import (
    NOW_MS,
    STEP_MS,
    ask,
    delivered,
    message,
    opened,
    read,
    steps,
)

FIXTURES = SHARED_FIXTURES / "messages" / "hyperliquid"


@pytest.fixture
def exchange() -> Hyperliquid:
    """A small exchange at a fixed time: 22 live on main, 13 on xyz, the rest elsewhere."""
    return Hyperliquid(7, HyperliquidOptions(contracts=40, held_back=2), NOW_MS)


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
            gone = bool(asset.get("isDelisted"))
            assert (context["midPx"] is None) is gone
            assert (context["impactPxs"] is None) is gone
            assert (context["premium"] is None) is gone
            assert not gone or context["funding"] == "0.0"


def test_all_mids_come_every_five_seconds(exchange: Hyperliquid) -> None:
    """Of the main dex, or of the one that is named; another dex cuts the connection."""
    session = opened(exchange)
    for subscription in ({"type": "allMids"}, {"type": "allMids", "dex": "xyz"}):
        reply = ask(session, message("subscribe", **subscription))
        assert reply["data"] == {"method": "subscribe", "subscription": subscription}
    at = [step for step in steps(exchange, 51) for _ in delivered(exchange, session, step)]
    assert at == sorted([*range(at[0], at[-1] + 1, 5_000)] * 2)
    main, xyz = (json.loads(frame.payload) for frame in delivered(exchange, session, at[-1]))
    assert main == {"channel": "allMids", "data": {"mids": read(exchange, type="allMids")}}
    mids = read(exchange, type="allMids", dex="xyz")
    assert xyz == {"channel": "allMids", "data": {"mids": mids, "dex": "xyz"}}
    (cut,) = session.on_text(message("subscribe", type="allMids", dex="nosuch"), NOW_MS)
    assert isinstance(cut, Close)


def test_the_documented_proportions() -> None:
    """178 / 109 / 27 / 4 / 8 live, 56 of 234 delisted on main, dexs of which nothing is left."""
    metas = read(Hyperliquid(7, HyperliquidOptions(), NOW_MS), type="allPerpMetas")
    universes = [meta["universe"] for meta in metas]
    live = [sum(not asset.get("isDelisted") for asset in universe) for universe in universes]
    assert live == [178, 109, 0, 0, 0, 0, 0, 0, 27, 4, 8]
    assert any(asset.get("isDelisted", "") is None for asset in universes[0])
    assert len(universes[0]) == 234
    names = [asset["name"] for universe in universes for asset in universe]
    assert len(names) == len(set(names))
    assert {"kPEPE", "xyz:NVDA", "flx:NVDA"} <= set(names)
    assert all(name.isascii() for name in names)
    assert universes[0][0] == {
        "szDecimals": 0, "name": "BTC", "maxLeverage": 40, "marginTableId": 50,
    }  # fmt: skip


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
