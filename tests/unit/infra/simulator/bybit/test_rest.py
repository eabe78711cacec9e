"""Simulated Bybit: tickers, settled rates and the list by REST, errors and limits (bybit.md §4)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.simulator.bybit import universe
from infra.simulator.bybit.exchange import Bybit, BybitOptions, create
from infra.simulator.bybit.frames import rate_text
from infra.simulator.market.history import HISTORY_DAYS
from infra.simulator.market.liquidity import liquidity
from infra.simulator.market.universe import crypto_assets, price_usd
from infra.simulator.options import SimulatorOptions
from tests.support.simulated_bybit import (
    HOUR_MS,
    NOW_MS,
    get,
    refusal,
    result,
    steps,
    subscribed,
    unsized,
)


@pytest.fixture
def exchange() -> Bybit:
    """A small exchange at a fixed time."""
    return Bybit(7, BybitOptions(contracts=40, held_back=2), NOW_MS)


def test_the_documented_counts() -> None:
    """668 linear perpetuals and about 20 inverse ones, dated ones beside them (§5)."""
    exchange = Bybit(7, BybitOptions(), NOW_MS)
    lists = {
        family: result(exchange, "instruments-info", category=family, limit=1000)["list"]
        for family in (universe.LINEAR, universe.INVERSE)
    }
    counts = {
        kind: sum(row["contractType"] == kind for row in [*lists["linear"], *lists["inverse"]])
        for kind in ("LinearPerpetual", "InversePerpetual", "LinearFutures", "InverseFutures")
    }
    assert counts["LinearPerpetual"] + counts["InversePerpetual"] == universe.PERPETUALS
    assert 15 <= counts["InversePerpetual"] <= 30
    assert (counts["LinearFutures"], counts["InverseFutures"]) == (4, 2)
    symbols = {row["symbol"] for row in lists["linear"]}
    assert {"BTCPERP", "1000PEPEUSDT", "10000SATSUSDT", "SHIB1000USDT"} <= symbols
    assert len(symbols) == len(lists["linear"])
    assert {row["fundingInterval"] for row in lists["linear"]} == {0, 60, 120, 240, 480}


def test_a_coin_in_other_lots_costs_as_much() -> None:
    """10000 SATS are ten times 1000 of them."""
    exchange = Bybit(7, BybitOptions(), NOW_MS)
    found = next(c for c in exchange.contracts if c.symbol == "10000SATSUSDT")
    thousand = next(a for a in crypto_assets() if a.name == "1000SATS")
    assert found.price_usd == pytest.approx(10 * price_usd(thousand))


def test_tickers_are_what_was_pushed(exchange: Bybit) -> None:
    """Of one family at a time, or of one contract."""
    symbols = ["BTCUSDT", "ETHUSDT", "BTCPERP"]
    (frames,) = steps(exchange, [subscribed(exchange, *symbols)], 30)
    known: dict[str, dict[str, str]] = {}
    for frame in frames:
        known.setdefault(frame["data"]["symbol"], {}).update(frame["data"])
    rows = {row["symbol"]: row for row in result(exchange, "tickers", category="linear")["list"]}
    assert {symbol: unsized(rows[symbol]) for symbol in symbols} == {
        symbol: unsized(row) for symbol, row in known.items()
    }
    (one,) = result(exchange, "tickers", category="linear", symbol="ETHUSDT")["list"]
    assert one == rows["ETHUSDT"]
    inverse = result(exchange, "tickers", category="inverse")["list"]
    assert {row["symbol"] for row in inverse if row["fundingRate"]} == {"BTCUSD"}


def test_a_dated_row_has_empty_texts(exchange: Bybit) -> None:
    """As it was seen (README.md §8.3.15); the row before a listing has a rate of 0."""
    rows = result(exchange, "tickers", category="linear")["list"]
    (dated, *_) = [row for row in rows if "-" in row["symbol"]]
    assert [dated[name] for name in ("fundingRate", "nextFundingTime", "fundingIntervalHour")] == [
        "",
        "0",
        "",
    ]
    assert int(dated["deliveryTime"]) > NOW_MS
    (early,) = [row for row in rows if row["curPreListingPhase"]]
    assert (early["symbol"], early["fundingRate"]) == ("OPENAIUSDT", "0")


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTCUSD"])
def test_amounts_are_of_both_sides_and_of_one(exchange: Bybit, symbol: str) -> None:
    """Inverse contracts are counted in USD, and their values in coins (§3)."""
    inverse = symbol.endswith("USD")
    family = "inverse" if inverse else "linear"
    (row,) = result(exchange, "tickers", category=family, symbol=symbol)["list"]
    traded, held = liquidity("bybit", symbol, NOW_MS)
    usd = "volume24h" if inverse else "turnover24h"
    assert float(row[usd]) == pytest.approx(traded)
    one = "singleOpenInterest" if inverse else "singleOpenInterestValue"
    assert float(row[one]) == pytest.approx(held)
    for name in ("penInterest", "penInterestValue"):
        assert float(row[f"o{name}"]) == pytest.approx(2 * float(row[f"singleO{name}"]), rel=1e-3)


def test_history_is_newest_first_and_paged_by_its_end(exchange: Bybit) -> None:
    """On the grid, 200 rows at most."""
    (row, *_) = [
        row
        for row in result(exchange, "instruments-info", category="linear")["list"]
        if row["fundingInterval"] == 60
    ]
    ask: dict[str, Any] = {"category": "linear", "symbol": row["symbol"]}
    first = result(exchange, "funding/history", **ask)["list"]
    stamps = [int(one["fundingRateTimestamp"]) for one in first]
    assert len(stamps) == 200
    assert stamps == [stamps[0] - number * HOUR_MS for number in range(200)]
    assert stamps[0] % HOUR_MS == 0
    second = result(exchange, "funding/history", **ask, endTime=stamps[-1] - 1)["list"]
    assert int(second[0]["fundingRateTimestamp"]) == stamps[-1] - HOUR_MS
    window = {"startTime": stamps[5], "endTime": stamps[2]}
    cut = result(exchange, "funding/history", **ask, **window, limit=200)["list"]
    assert cut == first[2:6]
    everything = stamps[0] - (HISTORY_DAYS - 1) * 24 * HOUR_MS
    page = result(exchange, "funding/history", **ask, startTime=everything, endTime=NOW_MS)
    assert page["list"] == first


def test_history_says_what_settled(exchange: Bybit) -> None:
    """To the last digit."""
    settled = [one for one in exchange.settled_at_start() if one.symbol == "BTCUSD"]
    ask: dict[str, Any] = {"category": "inverse", "symbol": "BTCUSD", "limit": 7}
    rows = result(exchange, "funding/history", **ask)["list"]
    assert [(int(row["fundingRateTimestamp"]), row["fundingRate"]) for row in rows] == [
        (one.funding_ms, one.rate) for one in settled[::-1][:7]
    ]


def test_what_is_not_launched_is_listed_only_when_it_is_asked_for(exchange: Bybit) -> None:
    """By its status (§4c)."""
    listed = {
        status: result(exchange, "instruments-info", category="linear", status=status)["list"]
        for status in ("", "PreLaunch", "Trading")
    }
    assert [(row["symbol"], row["isPreListing"]) for row in listed["PreLaunch"]] == [
        ("OPENAIUSDT", True)
    ]
    assert listed[""] == listed["Trading"]
    assert not any(row["isPreListing"] for row in listed[""])


def test_the_list_is_paged(exchange: Bybit) -> None:
    """Until the cursor is empty (§4c)."""
    whole = result(exchange, "instruments-info", category="linear")
    assert whole["nextPageCursor"] == ""
    rows: list[object] = []
    cursor = ""
    for _ in range(9):
        page = result(exchange, "instruments-info", category="linear", limit=7, cursor=cursor)
        rows += page["list"]
        cursor = page["nextPageCursor"]
        if not cursor:
            break
    assert rows == whole["list"]


@pytest.mark.parametrize(
    ("name", "query", "text"),
    [
        ("tickers", {"category": "nosuch"}, "Illegal category"),
        ("tickers", {}, "Illegal category"),
        ("tickers", {"category": "linear", "symbol": "BTCUSD"}, "params error: symbol invalid"),
        ("funding/history", {"category": "linear"}, "params error: symbol invalid"),
        (
            "funding/history",
            {"category": "linear", "symbol": "BTCUSDT", "startTime": "1"},
            "endTime is needed with startTime",
        ),
        (
            "funding/history",
            {"category": "linear", "symbol": "BTCUSDT", "limit": "201"},
            "limit is invalid",
        ),
        ("instruments-info", {"category": "linear", "limit": "x"}, "limit is invalid"),
    ],
)
def test_errors_come_with_http_200(
    exchange: Bybit, name: str, query: dict[str, str], text: str
) -> None:
    """A code, a text, and no result."""
    assert refusal(exchange, name, **query) == (10001, text)


def test_other_products_have_nothing_here(exchange: Bybit) -> None:
    """Clients ask for them before they begin."""
    for category in ("spot", "option"):
        assert result(exchange, "tickers", category=category)["list"] == []
        assert result(exchange, "instruments-info", category=category)["list"] == []


def test_too_many_requests_are_banned_for_ten_minutes() -> None:
    """600 in 5 s (§4)."""
    exchange = Bybit(7, BybitOptions(contracts=4, requests=3), NOW_MS)
    replies = [get(exchange, "time") for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 200, 200, 403]
    assert b"access too frequent" in replies[-1].body
    assert get(exchange, "time", NOW_MS + 599_999).status == 403
    assert get(exchange, "time", NOW_MS + 600_000).status == 200


def test_too_many_requests_may_be_told_with_http_200() -> None:
    """Code 10006, without a ban (§4)."""
    exchange = create(SimulatorOptions(own={"bybit_too_many": "10006"}), 4, NOW_MS)
    codes = [json.loads(get(exchange, "time").body)["retCode"] for _ in range(601)]
    assert (set(codes[:600]), codes[600]) == ({0}, 10006)
    assert json.loads(get(exchange, "time", NOW_MS + 5_000).body)["retCode"] == 0


def test_a_delisted_contract_is_in_no_reply(exchange: Bybit) -> None:
    """What it settled stays out of reach as well."""
    exchange.listings.delist("ETHUSDT")
    for name in ("tickers", "instruments-info"):
        rows = result(exchange, name, category="linear")["list"]
        assert "ETHUSDT" not in {row["symbol"] for row in rows}


@pytest.mark.parametrize(
    ("units", "text"),
    [(0, "0"), (10_000, "0.0001"), (-1_874, "-0.00001874"), (7_421, "0.00007421"), (10**8, "1")],
)
def test_rates_have_no_trailing_zeros(units: int, text: str) -> None:
    """As they were seen."""
    assert rate_text(units) == text
