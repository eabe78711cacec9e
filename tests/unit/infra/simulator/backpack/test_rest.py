"""Simulated Backpack: rates, settlements and listings by REST, its errors and limits."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.simulator.backpack.exchange import (
    Backpack,
    BackpackOptions,
    create,
)
from infra.simulator.backpack.frames import history_text, rate_text
from infra.simulator.exchange import RestCall
from infra.simulator.market.history import HISTORY_DAYS
from infra.simulator.options import SimulatorOptions
from tests.support.simulated_backpack import (
    CRYPTO,
    HOUR_MS,
    NOW_MS,
    STOCK,
    TICK_MS,
    delivered,
    get,
    open_perps,
    rows,
    subscribed,
)


@pytest.fixture
def exchange() -> Backpack:
    """A small exchange at a fixed time."""
    return Backpack(7, BackpackOptions(contracts=40, held_back=2), NOW_MS)


def test_the_documented_counts() -> None:
    """91 open perpetuals, of them 17 on stocks and commodities, and 12 that are closed."""
    exchange = Backpack(7, BackpackOptions(), NOW_MS)
    markets = rows(exchange, "markets")
    perps = [m for m in markets if m["marketType"] == "PERP"]
    live = [m for m in perps if m["orderBookState"] == "Open"]
    assert (len(perps), len(live), sum("rwaMarketType" in m for m in live)) == (103, 91, 17)
    assert {m["marketType"] for m in markets} == {"PERP", "PREDICTION", "SPOT"}
    assert {m["fundingInterval"] for m in perps} == {HOUR_MS}
    assert {m["visible"] for m in perps if m not in live} == {False}
    bounds = [m["fundingRateUpperBound"] for m in perps]
    assert (bounds.count("150"), bounds.count("100")) == (100, 3)
    assert all(m["fundingRateLowerBound"] == f"-{m['fundingRateUpperBound']}" for m in perps)
    assert {row["symbol"] for row in rows(exchange, "markPrices")} == {m["symbol"] for m in perps}


def test_mark_prices_equal_the_stream(exchange: Backpack) -> None:
    """One call for all; long rates are the same text."""
    symbols = open_perps(exchange)
    frames = delivered(exchange, subscribed(exchange, *symbols))
    streamed = {frame["data"]["s"]: frame["data"] for frame in frames}
    shown = {row["symbol"]: row for row in rows(exchange, "markPrices")}
    for symbol in symbols:
        row, data = shown[symbol], streamed[symbol]
        assert (row["fundingRate"], row["markPrice"]) == (data["f"], data["p"])
        assert (row["indexPrice"], row["nextFundingTimestamp"]) == (data["i"], data["n"])
    digits = [len(row["fundingRate"].lstrip("-0.").replace(".", "")) for row in shown.values()]
    assert max(digits) >= 27
    assert rows(exchange, "markPrices", symbol="ETH_USDC_PERP") == [shown["ETH_USDC_PERP"]]


def test_a_cached_copy_tells_its_age() -> None:
    """Values of then, and the header `age`; none without a copy."""
    fresh = Backpack(7, BackpackOptions(contracts=8), NOW_MS)
    cached = Backpack(7, BackpackOptions(contracts=8, age_s=40), NOW_MS)
    reply = get(cached, "markPrices")
    assert reply.headers["age"] == "40"
    assert "age" not in get(fresh, "markPrices").headers
    fresh.prepare(NOW_MS // 1_000 * 1_000 - 40_000).published()
    assert json.loads(reply.body) == rows(fresh, "markPrices")


def test_the_first_row_of_the_history_is_not_settled(exchange: Backpack) -> None:
    """It ends in the future; the others are the truth, rounded to 9 decimals, newest first."""
    symbol = "ETH_USDC_PERP"
    found = rows(exchange, "fundingRates", symbol=symbol, limit=10_000)
    ends = [row["intervalEndTimestamp"] for row in found]
    assert ends == sorted(ends, reverse=True)
    assert (ends[0], ends[1]) == ("2026-10-06T07:00:00", "2026-10-06T06:00:00")
    assert len(found) == HISTORY_DAYS * 24 + 1
    truth = [rate for rate in exchange.settled_at_start() if rate.symbol == symbol]
    assert [row["fundingRate"] for row in found[:0:-1]] == [rate.rate for rate in truth]
    assert max(len(rate.rate.partition(".")[2]) for rate in truth) == 9
    (running,) = rows(exchange, "markPrices", symbol=symbol)
    assert abs(Decimal(found[0]["fundingRate"]) - Decimal(running["fundingRate"])) < Decimal("1e-6")
    assert {row["symbol"] for row in found} == {symbol}


def test_pages_of_the_history(exchange: Backpack) -> None:
    """100 rows unless asked for more; offset counts from the newest."""
    symbol = "kPEPE_USDC_PERP"
    everything = rows(exchange, "fundingRates", symbol=symbol, limit=1_000)
    assert rows(exchange, "fundingRates", symbol=symbol) == everything[:100]
    reply = get(exchange, "fundingRates", symbol=symbol, limit=50, offset=100)
    assert json.loads(reply.body) == everything[100:150]
    assert reply.headers == {
        "X-PAGE-COUNT": "20",
        "X-CURRENT-PAGE": "3",
        "X-PAGE-SIZE": "50",
        "X-TOTAL": str(HISTORY_DAYS * 24 + 1),
    }
    assert rows(exchange, "fundingRates", symbol=symbol, offset=961) == []


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("fundingRates", {}),
        ("fundingRates", {"symbol": "NOSUCH"}),
        ("fundingRates", {"symbol": "btc_usdc_perp"}),
        ("fundingRates", {"symbol": "BTC_USDC_PERP", "limit": 10_001}),
        ("fundingRates", {"symbol": "BTC_USDC_PERP", "limit": 0}),
        ("fundingRates", {"symbol": "BTC_USDC_PERP", "offset": -1}),
        ("markPrices", {"symbol": "NOSUCH_USDC_PERP"}),
        ("markPrices", {"marketType": "perp"}),
        ("markets", {"marketType": "x"}),
    ],
)
def test_bad_parameters(exchange: Backpack, name: str, query: dict[str, Any]) -> None:
    """400 INVALID_CLIENT_REQUEST."""
    reply = get(exchange, name, **query)
    assert reply.status == 400
    assert json.loads(reply.body)["code"] == "INVALID_CLIENT_REQUEST"


@pytest.mark.parametrize("name", ["markPrices", "fundingRates"])
def test_an_unknown_symbol_has_its_own_words(exchange: Backpack, name: str) -> None:
    """As the exchange says it."""
    reply = get(exchange, name, symbol="NOSUCH_USDC_PERP")
    error = {"code": "INVALID_CLIENT_REQUEST", "message": "Symbol not found"}
    assert (reply.status, json.loads(reply.body)) == (400, error)


def test_a_funding_time_passes(exchange: Backpack) -> None:
    """What settles is the last estimate, rounded; then the next interval runs."""
    funding_ms = NOW_MS // HOUR_MS * HOUR_MS + HOUR_MS
    symbols = open_perps(exchange)
    session = subscribed(exchange, *symbols)
    before = {f["data"]["s"]: f["data"] for f in delivered(exchange, session, funding_ms - 1_000)}
    after = {f["data"]["s"]: f["data"] for f in delivered(exchange, session, funding_ms)}
    assert {data["n"] for data in before.values()} == {funding_ms}
    assert {data["n"] for data in after.values()} == {funding_ms + HOUR_MS}
    settled = {rate.symbol: rate for rate in exchange.settle(funding_ms)}
    assert settled.keys() == set(symbols)
    for symbol, rate in settled.items():
        assert rate.rate == history_text(before[symbol]["f"])
        assert (rate.funding_ms, rate.interval_hours) == (funding_ms, 1)
    assert list(exchange.settle(funding_ms)) == []
    running, last = rows(exchange, "fundingRates", funding_ms, symbol="ETH_USDC_PERP", limit=2)
    assert last["fundingRate"] == settled["ETH_USDC_PERP"].rate
    assert running["intervalEndTimestamp"] > last["intervalEndTimestamp"]


@settings(deadline=None)
@given(units=st.integers(-1_500_000, 1_500_000))
def test_rate_texts(units: int) -> None:
    """28 digits at most, exactly half for stocks, 9 decimals in the history, never -0."""
    for contract, part in ((CRYPTO, Decimal(1)), (STOCK, Decimal("0.5"))):
        text = rate_text(contract, units)
        assert len(text.lstrip("-0.").replace(".", "")) <= 28
        assert text.count(".") <= 1
        assert "e" not in text.lower()
        assert not text.endswith(".")
        assert text != "-0"
        assert abs(Decimal(text) / part - Decimal(units) / 10**8) <= Decimal("0.00002002")
        settled = history_text(text)
        assert abs(Decimal(settled) - Decimal(text)) <= Decimal("5e-10")
        assert len(settled.partition(".")[2]) <= 9


def test_plain_answers(exchange: Backpack) -> None:
    """Time and ping are text, status is JSON."""
    assert get(exchange, "time").body == str(NOW_MS).encode()
    assert (get(exchange, "ping").body, get(exchange, "ping").content_type) == (
        b"pong",
        "text/plain",
    )
    assert rows(exchange, "status") == {"message": None, "status": "Ok"}
    assert get(exchange, "nosuch").status == 404
    assert exchange.rest(RestCall("GET", "/time", {}, b"", "c", NOW_MS)).status == 404
    assert exchange.rest(RestCall("POST", "/api/v1/time", {}, b"", "c", NOW_MS)).status == 405


def test_too_many_requests() -> None:
    """429 with its code until the next minute; open limits know none."""
    options = BackpackOptions(contracts=4, requests_per_minute=3, retry_after=True)
    exchange = Backpack(7, options, NOW_MS)
    assert [get(exchange, "time").status for _ in range(4)] == [200, 200, 200, 429]
    refused = get(exchange, "ping")
    assert json.loads(refused.body)["code"] == "TOO_MANY_REQUESTS"
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert get(exchange, "time", NOW_MS + 60_000).status == 200
    open_ = create(SimulatorOptions(open_limits=True), 4, NOW_MS)
    assert {get(open_, "time").status for _ in range(2_001)} == {200}


def test_listing_and_delisting(exchange: Backpack) -> None:
    """Absent everywhere, then it streams; delisted it is Closed, silent, and keeps its price."""
    symbol = exchange.contracts[-2].symbol
    session = subscribed(exchange, symbol)
    assert symbol not in open_perps(exchange)
    assert get(exchange, "markPrices", symbol=symbol).status == 400
    exchange.listings.list_symbol(symbol)
    assert symbol in open_perps(exchange)
    (frame,) = delivered(exchange, session)
    assert len(rows(exchange, "fundingRates", symbol=symbol)) == 1
    exchange.listings.delist(symbol)
    assert delivered(exchange, session, TICK_MS + 90_000) == []
    (market,) = [m for m in rows(exchange, "markets") if m["symbol"] == symbol]
    assert market["orderBookState"] == "Closed"
    (row,) = rows(exchange, "markPrices", symbol=symbol)
    assert row["markPrice"] == frame["data"]["p"]
    funding_ms = NOW_MS // HOUR_MS * HOUR_MS + HOUR_MS
    assert symbol not in {rate.symbol for rate in exchange.settle(funding_ms)}
    assert rows(exchange, "fundingRates", symbol=symbol) == []
