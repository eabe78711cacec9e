"""Simulated Hyperliquid: rates, settlements and listings by /info, its errors and weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.simulator.exchange import Close, RestCall
from infra.simulator.hyperliquid.exchange import Hyperliquid, HyperliquidOptions, create
from infra.simulator.hyperliquid.frames import rate_text
from infra.simulator.market.history import HISTORY_DAYS
from infra.simulator.market.minute_budget import MinuteBudget
from infra.simulator.options import SimulatorOptions
from tests.support.simulated_hyperliquid import (
    HOUR_MS,
    NOW_MS,
    STEP_MS,
    ask,
    delivered,
    info,
    message,
    opened,
    read,
    steps,
)


@dataclass(frozen=True, slots=True)
class TypedCall(RestCall):
    """A call that tells the type of its body."""

    content_type: str = ""


@pytest.fixture
def exchange() -> Hyperliquid:
    """A small exchange at a fixed time: 22 live on main, 13 on xyz, the rest elsewhere."""
    return Hyperliquid(7, HyperliquidOptions(contracts=40, held_back=2), NOW_MS)


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
    assert len(times) == HISTORY_DAYS * 24
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
    assert {name: token for token, name in names.items()}.items() >= {
        "USDE": 235,
        "USDH": 360,
    }.items()


def test_all_mids(exchange: Hyperliquid) -> None:
    """The mid price of every live coin of a dex by its name; delisted ones have none."""
    for dex in ("", "xyz"):
        meta, contexts = read(exchange, type="metaAndAssetCtxs", dex=dex)
        names = [asset["name"] for asset in meta["universe"]]
        expected = {
            name: context["midPx"]
            for name, context in zip(names, contexts, strict=True)
            if context["midPx"] is not None
        }
        assert read(exchange, type="allMids", dex=dex) == expected
        assert 0 < len(expected) <= len(names)
    assert info(exchange, type="allMids", dex="nosuch").status == 500


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
