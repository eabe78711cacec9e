"""Simulated KuCoin without sockets: its universe, REST, limits, and forms of numbers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.simulator.kucoin import universe as kucoin_universe
from infra.simulator.kucoin.estimates import decimal_text, number_text
from infra.simulator.kucoin.exchange import Kucoin, KucoinOptions
from infra.simulator.market.universe import UNITS_PER_ONE
from tests.support.simulated_kucoin import (
    ALL,
    DAY_MS,
    FUNDING_MS,
    HOUR_MS,
    HOURLY,
    NOW_MS,
    PUSH_MS,
    active,
    classic,
    data,
    decoded,
    frames,
    get,
    post,
    uta,
)


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
        assert one["lastTimeFundingRate"] == shown["lastTimeFundingRate"]
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
    """As the exchange writes them: docs/exchanges/kucoin.md §5."""
    assert number_text(units, exponent=True) == text
