"""Simulated OKX: rates, settlements, lists and liquidity by REST, errors and limits (okx.md §4)."""

from __future__ import annotations

import json

import pytest

from infra.simulator.market.liquidity import liquidity
from infra.simulator.market.universe import Asset, price_usd
from infra.simulator.okx import universe
from infra.simulator.okx.exchange import Okx, OkxOptions, create
from infra.simulator.okx.frames import rate_text
from infra.simulator.options import SimulatorOptions
from tests.support.simulated_okx import HOUR_MS, NOW_MS, data, get, refusal, subscribed, ticks

BTC = "BTC-USDT-SWAP"


@pytest.fixture
def exchange() -> Okx:
    """A small exchange at a fixed time."""
    return Okx(7, OkxOptions(contracts=40, held_back=2), NOW_MS)


def test_the_documented_counts() -> None:
    """482 swaps and 192 X-Perps in the reply that has all rates (§4a)."""
    exchange = Okx(7, OkxOptions(), NOW_MS)
    rows = data(exchange, "public/funding-rate", instId="ANY")
    swaps = [row for row in rows if row["instType"] == "SWAP"]
    others = {universe.PRE_MARKET, universe.TEST}
    assert len(swaps) == universe.SWAPS + len(others)
    assert len(rows) - len(swaps) == universe.X_PERPS
    hours = [
        (int(row["fundingTime"]) - int(row["prevFundingTime"])) // HOUR_MS
        for row in swaps
        if row["instId"] not in others
    ]
    assert abs(hours.count(8) - 273) <= 5
    assert abs(hours.count(4) - 208) <= 5
    assert hours.count(1) == 1
    assert {"BTC-USD-SWAP", "BTC-USDC-SWAP", "PEPE-USDT-SWAP"} <= {row["instId"] for row in swaps}


def test_one_coin_has_its_price() -> None:
    """Where others trade lots of 1000."""
    exchange = Okx(7, OkxOptions(), NOW_MS)
    pepe = next(c for c in exchange.contracts if c.symbol == "PEPE-USDT-SWAP")
    assert pepe.price_usd == pytest.approx(price_usd(Asset("1000PEPE", tradfi=False)) / 1_000)


def test_current_rates_are_what_was_pushed(exchange: Okx) -> None:
    """Of all contracts, or of one."""
    symbols = exchange.symbols[:30]
    known = {
        frame["arg"]["instId"]: frame["data"][0]
        for frame in ticks(exchange, subscribed(exchange, *symbols), 100)
    }
    rows = {row["instId"]: row for row in data(exchange, "public/funding-rate", instId="ANY")}
    assert {symbol: rows[symbol] for symbol in symbols} == known
    assert data(exchange, "public/funding-rate", instId=BTC) == [known[BTC]]


def test_history_is_newest_first_and_paged_by_what_is_older(exchange: Okx) -> None:
    """`after` and `before` are exclusive; 400 rows at most (§4b)."""
    symbol = next(c.symbol for c in exchange.contracts if c.interval_hours == 1)
    path = "public/funding-rate-history"
    first = data(exchange, path, instId=symbol)
    stamps = [int(row["fundingTime"]) for row in first]
    assert len(stamps) == 400
    assert stamps == [stamps[0] - number * HOUR_MS for number in range(400)]
    assert stamps[0] % HOUR_MS == 0
    page = data(exchange, path, instId=symbol, after=stamps[9], limit=5)
    assert page == first[10:15]
    newer = data(exchange, path, instId=symbol, before=stamps[3])
    assert newer == first[:3]


def test_history_has_the_settled_rate_beside_the_predicted_one(exchange: Okx) -> None:
    """They need not be equal."""
    settled = [one for one in exchange.settled_at_start() if one.symbol == BTC]
    rows = data(exchange, "public/funding-rate-history", instId=BTC)
    assert [(int(row["fundingTime"]), row["realizedRate"]) for row in rows] == [
        (one.funding_ms, one.rate) for one in settled[::-1]
    ]
    differing = [row for row in rows if row["fundingRate"] != row["realizedRate"]]
    assert 0 < len(differing) < len(rows) / 2


def test_the_list_has_neither_interval_nor_cap(exchange: Okx) -> None:
    """But what is not to be read, by its type, rule and state (§3)."""
    swaps = {row["instId"]: row for row in data(exchange, "public/instruments", instType="SWAP")}
    assert {row["instType"] for row in swaps.values()} == {"SWAP"}
    assert swaps[universe.PRE_MARKET]["ruleType"] == "pre_market"
    assert swaps[universe.TEST]["state"] == "test"
    assert not any("unding" in key for key in swaps[BTC])
    inverse = swaps["BTC-USD-SWAP"]
    assert (inverse["ctType"], inverse["settleCcy"]) == ("inverse", "BTC")
    futures = data(exchange, "public/instruments", instType="FUTURES")
    assert all("_UM_XPERP-" in row["instId"] for row in futures)
    assert futures


@pytest.mark.parametrize("symbol", [BTC, "BTC-USD-SWAP", "PEPE-USDT-SWAP"])
def test_liquidity_is_in_coins_and_in_usd(exchange: Okx, symbol: str) -> None:
    """Turnover in coins, held also in USD (§4d)."""
    traded, held = liquidity("okx", symbol, NOW_MS)
    (ticker,) = data(exchange, "market/tickers", instType="SWAP", instId=symbol)
    assert float(ticker["volCcy24h"]) * float(ticker["last"]) == pytest.approx(traded, rel=1e-4)
    (row,) = data(exchange, "public/open-interest", instType="SWAP", instId=symbol)
    assert float(row["oiUsd"]) == pytest.approx(held)
    marks = data(exchange, "public/mark-price", instType="SWAP", instId=symbol)
    assert float(row["oiCcy"]) * float(marks[0]["markPx"]) == pytest.approx(held, rel=1e-4)


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("public/funding-rate", {}, "50014"),
        ("public/funding-rate", {"instId": "NOPE"}, "51001"),
        ("public/funding-rate-history", {"instId": BTC, "limit": "401"}, "51000"),
        ("public/funding-rate-history", {"instId": BTC, "after": "x"}, "51000"),
        ("public/instruments", {}, "51000"),
        ("market/tickers", {"instType": "SWAPS"}, "51000"),
    ],
)
def test_errors_come_with_http_200(
    exchange: Okx, path: str, query: dict[str, str], code: str
) -> None:
    """A code, and no rows."""
    assert refusal(exchange, path, **query) == (200, code)
    assert get(exchange, "public/nosuch").status == 404


def test_limits_are_of_a_call_and_its_contract(exchange: Okx) -> None:
    """10 in 2 s; another contract has its own (§4)."""
    path = "public/funding-rate-history"
    statuses = [get(exchange, path, instId=BTC).status for _ in range(11)]
    assert statuses == [200] * 10 + [429]
    assert json.loads(get(exchange, path, instId=BTC).body)["code"] == "50011"
    assert get(exchange, path, instId="ETH-USDT-SWAP").status == 200
    assert get(exchange, path, NOW_MS + 2_000, instId=BTC).status == 200


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        (SimulatorOptions(own={"okx_too_many": "200"}), 200, "50011"),
        (SimulatorOptions(open_limits=True), 200, "0"),
    ],
)
def test_too_many_may_be_told_with_http_200(
    options: SimulatorOptions, status: int, code: str
) -> None:
    """Both can be had; a demo has no limits."""
    exchange = create(options, 4, NOW_MS)
    replies = [get(exchange, "public/time") for _ in range(11)]
    assert (replies[-1].status, json.loads(replies[-1].body)["code"]) == (status, code)


def test_a_delisted_contract_is_in_no_reply(exchange: Okx) -> None:
    """Neither rates nor lists."""
    exchange.listings.delist("ETH-USDT-SWAP")
    rates = data(exchange, "public/funding-rate", instId="ANY")
    swaps = data(exchange, "public/instruments", instType="SWAP")
    assert "ETH-USDT-SWAP" not in {row["instId"] for row in [*rates, *swaps]}
    assert refusal(exchange, "public/funding-rate", instId="ETH-USDT-SWAP") == (200, "51001")


def test_rates_have_16_decimals() -> None:
    """The market's eight stay as they are; the same value is always the same text."""
    for units, begins in ((6_914, "0.00006914"), (-2_000, "-0.00002000"), (10**8, "1.00000000")):
        text = rate_text(BTC, units)
        assert text.startswith(begins)
        assert len(text.partition(".")[2]) == 16
        assert text == rate_text(BTC, units)
    assert float(rate_text(BTC, 0)) == 0.0
