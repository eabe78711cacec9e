"""Simulated Lighter: its REST calls, their units and refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.simulator.lighter.exchange import LIMIT, Lighter, LighterOptions, create
from infra.simulator.options import SimulatorOptions
from tests.support.simulated_lighter import (
    HOUR_MS,
    NOW_MS,
    STEP_MS,
    body,
    delivered,
    get,
    subscribed,
)

FIRST_MS = NOW_MS // STEP_MS * STEP_MS + STEP_MS


@pytest.fixture
def exchange() -> Lighter:
    """A small exchange at a fixed time."""
    return Lighter(7, LighterOptions(contracts=40, held_back=2), NOW_MS)


def test_current_rates_are_per_eight_hours_among_those_of_others(exchange: Lighter) -> None:
    """Those of the newest frames; some end in the noise of a division."""
    (frame,) = delivered(exchange, subscribed(exchange), FIRST_MS)
    rows = body(exchange, "funding-rates")["funding_rates"]
    own = {row["symbol"]: row["rate"] for row in rows if row["exchange"] == "lighter"}
    # What has not changed with the step is as it was before.
    changed = exchange.prepare(FIRST_MS).rows()
    shown = {
        row["symbol"]: float(f"{row['current_funding_rate']}e-2")
        for row in frame["market_stats"].values()
    }
    assert own.keys() == shown.keys()
    for row in changed:
        symbol = exchange.contracts[row].symbol
        assert own[symbol] / 8 == pytest.approx(shown[symbol], abs=1e-15)
    assert {row["exchange"] for row in rows} == {
        "lighter",
        "binance",
        "okx",
        "bybit",
        "hyperliquid",
    }
    text = get(exchange, "funding-rates").body
    assert b"9999" in text
    assert b"e-" not in text


def test_the_list_has_perpetuals_of_both_states_and_spot_apart(exchange: Lighter) -> None:
    """Open interest in units of the base, while the stream has USDC."""
    found = body(exchange, "orderBookDetails")
    perps = found["order_book_details"]
    assert [perp["market_id"] for perp in perps] == [
        exchange.ids[row] for row in exchange.listings.known_rows()
    ]
    assert sum(perp["status"] == "active" for perp in perps) == 40
    assert sum(perp["status"] == "inactive" for perp in perps) == 5
    assert [spot["market_id"] for spot in found["spot_order_book_details"]] == [2048, 2049]
    (frame,) = delivered(exchange, subscribed(exchange), FIRST_MS)
    streamed = {row["symbol"]: row for row in frame["market_stats"].values()}
    shown = {
        perp["symbol"]: perp for perp in body(exchange, "orderBookDetails")["order_book_details"]
    }
    for symbol in ("ETH", "BTC"):
        value = shown[symbol]["open_interest"] * float(shown[symbol]["mark_price"])
        assert value == pytest.approx(float(streamed[symbol]["open_interest"]), rel=0.01)
    (one,) = body(exchange, "orderBookDetails", market_id=1)["order_book_details"]
    assert one["symbol"] == "BTC"
    assert body(exchange, "orderBookDetails", filter="spot")["order_book_details"] == []


def test_history_is_unsigned_percent_in_seconds(exchange: Lighter) -> None:
    """Ascending from the start, at most `count_back` rows; 0 is all, up to 750."""
    start_s = (NOW_MS - 40 * HOUR_MS) // 1_000
    window: dict[str, Any] = {
        "start_timestamp": start_s,
        "end_timestamp": NOW_MS // 1_000,
        "resolution": "1h",
    }
    settled = [one for one in exchange.settled_at_start() if one.symbol == "BTC"]
    rows = body(exchange, "fundings", market_id=1, count_back=0, **window)["fundings"]
    assert len(rows) == 40
    assert [row["timestamp"] for row in rows] == [one.funding_ms // 1_000 for one in settled[-40:]]
    for row, one in zip(rows, settled[-40:], strict=True):
        sign = -1 if row["direction"] == "short" else 1
        assert not row["rate"].startswith("-")
        assert sign * float(f"{row['rate']}e-2") == float(one.rate)
    few = body(exchange, "fundings", market_id=1, count_back=3, **window)["fundings"]
    assert few == rows[:3]
    window["start_timestamp"] = 0
    assert len(body(exchange, "fundings", market_id=1, count_back=0, **window)["fundings"]) == 750
    ms = {**window, "start_timestamp": start_s * 1_000, "end_timestamp": NOW_MS}
    assert body(exchange, "fundings", market_id=1, count_back=0, **ms)["fundings"] == rows


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"market_id": "x"},
        {"market_id": 2048, "resolution": "1h"},
        {"market_id": 1, "resolution": "2h"},
        {"market_id": 1, "resolution": "1h", "start_timestamp": -1},
    ],
)
def test_parameters_that_are_none_are_refused(exchange: Lighter, query: dict[str, Any]) -> None:
    """With a code in the body."""
    reply = get(exchange, "fundings", **query)
    assert (reply.status, json.loads(reply.body)["code"]) == (400, 20001)


@pytest.mark.parametrize("status", ["429", "200"])
def test_sixty_requests_a_minute(status: str) -> None:
    """Then a code in the body, with the status that the option names."""
    options = SimulatorOptions(own={LIMIT.name: status})
    exchange = create(options, 20, NOW_MS)
    replies = [get(exchange, "funding-rates") for _ in range(61)]
    assert json.loads(replies[59].body)["code"] == 200
    assert (replies[60].status, json.loads(replies[60].body)["code"]) == (int(status), 23000)
    assert get(exchange, "funding-rates", NOW_MS + 60_000).status == 200


def test_a_delisted_market_is_inactive_and_no_longer_pushed(exchange: Lighter) -> None:
    """It stays in the list."""
    exchange.listings.delist("BTC")
    (frame,) = delivered(exchange, subscribed(exchange), FIRST_MS)
    assert "1" not in frame["market_stats"]
    (one,) = body(exchange, "orderBookDetails", market_id=1)["order_book_details"]
    assert one["status"] == "inactive"
    listed = exchange.listings.list_next()
    assert listed is not None
    names = [perp["symbol"] for perp in body(exchange, "orderBookDetails")["order_book_details"]]
    assert listed in names
