"""Simulated Pacifica: what its socket and its REST calls say, and what they refuse."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from infra.simulator.pacifica.exchange import Pacifica, PacificaOptions
from infra.simulator.pacifica.frames import rate_text
from infra.simulator.pacifica.universe import SPOTS
from infra.simulator.pacifica.wire import WIRE
from tests.support.simulated_pacifica import (
    HOUR_MS,
    NOW_MS,
    STEP_MS,
    body,
    delivered,
    get,
    opened,
    say,
    subscribed,
)

FIRST_MS = NOW_MS // STEP_MS * STEP_MS + STEP_MS
NEXT_HOUR_MS = NOW_MS // HOUR_MS * HOUR_MS + HOUR_MS


@pytest.fixture
def exchange() -> Pacifica:
    """A small exchange at a fixed time."""
    return Pacifica(7, PacificaOptions(contracts=30, held_back=2), NOW_MS)


def test_a_subscription_brings_all_and_then_what_has_changed(exchange: Pacifica) -> None:
    """Confirmed first; spot markets come along, with rates of 0."""
    session = opened(exchange)
    assert session.opened() == ()
    assert exchange.session("/stream", {}) is None
    assert delivered(exchange, session, FIRST_MS - STEP_MS) == []
    (answer,) = say(session, '{"method":"subscribe","params":{"source":"prices"}}')
    assert answer == {"channel": "subscribe", "data": {"source": "prices"}}
    assert session.subscribed() == ["prices"]
    (first,) = delivered(exchange, session, FIRST_MS)
    (second,) = delivered(exchange, session, FIRST_MS + STEP_MS)
    assert len(first["data"]) == 30 + len(SPOTS)
    assert len(SPOTS) < len(second["data"]) < len(first["data"])
    spots = [row for row in first["data"] if row["symbol"] in SPOTS]
    assert [(row["funding"], row["next_funding"]) for row in spots] == [("0", "0")] * len(SPOTS)


def test_the_truth_has_the_estimate_and_the_time_of_each_row(exchange: Pacifica) -> None:
    """Rows of a frame have times of their own; the settled rate beside is another one."""
    tick = exchange.prepare(FIRST_MS)
    (frame,) = tick.frames(subscribed(exchange))
    rows = {row["symbol"]: row for row in json.loads(frame.payload)["data"]}
    lines = [json.loads(line) for line in tick.ledger().claim(frame.rows, FIRST_MS * 1_000)]
    assert len(lines) == 30
    assert len(frame.rows) == len(json.loads(frame.payload)["data"])
    for line in lines:
        row = rows[line["contract_id"].removeprefix("pacifica:")]
        assert line["rate"] == float(row["next_funding"])
        assert line["event_time"] == row["timestamp"] * 1_000
        assert FIRST_MS <= row["timestamp"] < tick.event_ms
    assert len({row["timestamp"] for row in rows.values()}) > 10
    assert any(row["funding"] != row["next_funding"] for row in rows.values())


def test_busy_symbols_change_with_each_step_and_quiet_ones_seldom(exchange: Pacifica) -> None:
    """Most each second or two, some every ten seconds."""
    ticks = [exchange.prepare(FIRST_MS + step * STEP_MS).rows() for step in range(40)]
    pushed = sorted(sum(row in rows for rows in ticks) for row in range(30))
    assert (pushed[0], pushed[-1]) == (2, 40)
    assert 10 <= pushed[15] <= 20


def test_a_settled_rate_stands_beside_the_estimate_from_the_hour_on(exchange: Pacifica) -> None:
    """Without its time."""
    (frame,) = delivered(exchange, subscribed(exchange), NEXT_HOUR_MS)
    settled = {one.symbol: one.rate for one in exchange.settle(NEXT_HOUR_MS)}
    shown = {row["symbol"]: row["funding"] for row in frame["data"] if row["symbol"] not in SPOTS}
    assert shown == settled


@pytest.mark.parametrize(
    ("units", "text"), [(1_250, "0.0000125"), (-3, "-0.00000003"), (0, "0"), (10**8, "1")]
)
def test_rates_have_no_zeros_at_their_end(units: int, text: str) -> None:
    """Nor an exponent."""
    assert rate_text(units) == text


@pytest.mark.parametrize(
    "text",
    ["nonsense", "[1]", '{"method":"subscribe"}', '{"method":"subscribe","params":{"source":"x"}}'],
)
def test_what_cannot_be_subscribed_is_an_error_with_a_time(exchange: Pacifica, text: str) -> None:
    """Nothing else changes; a client that says nothing for a minute is cut."""
    session = subscribed(exchange)
    assert say(session, text) == [
        {"code": 400, "err": "Invalid subscription parameters.", "t": NOW_MS}
    ]
    assert say(session, '{"method":"ping"}') == [{"channel": "pong"}]
    assert session.subscribed() == ["prices"]
    assert session.rules.silence_s == 60.0
    say(session, '{"method":"unsubscribe","params":{"source":"prices"}}')
    assert delivered(exchange, session, FIRST_MS) == []


def test_the_list_and_the_prices_have_spot_markets_too(exchange: Pacifica) -> None:
    """The list tells them by their kind; what is delisted is in neither."""
    for name in ("info", "info/prices"):
        symbols = {row["symbol"] for row in body(exchange, name)["data"]}
        assert len(symbols) == 30 + len(SPOTS)
        assert symbols >= SPOTS.keys() | {"BTC", "kPEPE", "NVDA"}
    kinds = [row["instrument_type"] for row in body(exchange, "info")["data"]]
    assert kinds.count("spot") == len(SPOTS)
    exchange.listings.delist("BTC")
    listed = exchange.listings.list_next()
    symbols = {row["symbol"] for row in body(exchange, "info")["data"]}
    assert "BTC" not in symbols
    assert listed in symbols


def test_prices_are_those_of_the_newest_frames(exchange: Pacifica) -> None:
    """What has not changed is as it was."""
    (frame,) = delivered(exchange, subscribed(exchange), FIRST_MS)
    due = {exchange.contracts[row].symbol for row in exchange.prepare(FIRST_MS).rows()}
    shown = {row["symbol"]: row for row in body(exchange, "info/prices")["data"]}
    sent = {row["symbol"]: row for row in frame["data"]}
    assert due
    assert all(shown[symbol] == sent[symbol] for symbol in due)
    assert float(shown["BTC"]["open_interest"]) * float(shown["BTC"]["mark"]) > 1_000


def history(exchange: Pacifica, **query: Any) -> Any:
    """A page of BTC's history."""
    return body(exchange, "funding_rate/history", NOW_MS, symbol="BTC", **query)


def test_history_is_newest_first_and_goes_on_at_a_cursor(exchange: Pacifica) -> None:
    """Each row once; 200 rows where no number is named."""
    settled = [one for one in exchange.settled_at_start() if one.symbol == "BTC"][::-1]
    first = history(exchange)
    second = history(exchange, limit=700, cursor=first["next_cursor"])
    third = history(exchange, limit=700, cursor=second["next_cursor"])
    assert (len(first["data"]), len(second["data"])) == (200, 700)
    assert (third["has_more"], third["next_cursor"]) == (False, None)
    rows = [*first["data"], *second["data"], *third["data"]]
    assert len(rows) == len(settled)
    for row, one in zip(rows, settled, strict=True):
        assert row["funding_rate"] == one.rate
        assert 0 <= row["created_at"] - one.funding_ms < 1_000
    for later, row in itertools.pairwise(rows):
        assert row["next_funding_rate"] == later["funding_rate"]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"symbol": "SOL-USDC"},
        {"symbol": "BTC", "limit": 4_001},
        {"symbol": "BTC", "cursor": "x"},
    ],
)
def test_parameters_that_are_none_are_refused(exchange: Pacifica, query: dict[str, Any]) -> None:
    """The body says so itself."""
    reply = get(exchange, "funding_rate/history", **query)
    assert (reply.status, json.loads(reply.body)["success"]) == (400, False)


def test_credits_run_out_and_headers_count_tenths_of_them(exchange: Pacifica) -> None:
    """12 for a page of history, 1 for the others, 125 a minute."""
    reply = get(exchange, "info")
    assert reply.headers["ratelimit"].startswith('"credits";r=1240;t=')
    assert reply.headers["ratelimit-policy"] == '"credits";q=1250;w=60'
    for _ in range(10):
        assert get(exchange, "funding_rate/history", symbol="BTC").status == 200
    refused = get(exchange, "funding_rate/history", symbol="BTC")
    assert refused.status == 429
    assert get(exchange, "info").status == 200
    assert get(exchange, "funding_rate/history", NOW_MS + 60_000, symbol="BTC").status == 200
    assert get(exchange, "nosuch").status == 404


def test_faults_find_rows_times_and_rates(exchange: Pacifica) -> None:
    """Rows of the array; both rates."""
    (frame,) = exchange.prepare(FIRST_MS).frames(subscribed(exchange))
    _, rows, _ = WIRE.rows(frame.payload)
    assert len(rows) == 30 + len(SPOTS)
    late = json.loads(WIRE.shifted(rows[0], 5_000_000))
    plain = json.loads(rows[0])
    assert late["timestamp"] == plain["timestamp"] + 5_000
    percent = json.loads(WIRE.in_percent(rows[0]))
    for name in ("funding", "next_funding"):
        assert float(percent[name]) == pytest.approx(100 * float(plain[name]))


def test_rows_of_the_history_may_be_written_long_after_the_hour() -> None:
    """None is written before its time; each is of the hour before it."""
    late_ms = 40 * 60_000
    exchange = Pacifica(7, PacificaOptions(contracts=30, history_late_ms=late_ms), NOW_MS)
    symbol = exchange.contracts[3].symbol
    page = body(exchange, "funding_rate/history", symbol=symbol, limit=100)
    stamps = [row["created_at"] for row in page["data"]]
    assert all(stamp <= NOW_MS for stamp in stamps)
    assert len({stamp // HOUR_MS for stamp in stamps}) == len(stamps)
    assert max(stamp % HOUR_MS for stamp in stamps) > 10 * 60_000
    assert all(stamp % HOUR_MS < late_ms for stamp in stamps)


def test_some_symbols_may_be_quiet_for_long() -> None:
    """REST shows them all the same."""
    exchange = Pacifica(7, PacificaOptions(contracts=30, quiet_ms=HOUR_MS), NOW_MS)
    session = subscribed(exchange)
    delivered(exchange, session, FIRST_MS)
    quiet = exchange.contracts[9].symbol
    before = exchange.newest[9]
    pushed = {
        row["symbol"]
        for at_ms in range(FIRST_MS + STEP_MS, FIRST_MS + 30_000, STEP_MS)
        for frame in delivered(exchange, session, at_ms)
        for row in frame["data"]
    }
    assert quiet not in pushed
    assert len(pushed - set(SPOTS)) == 29
    assert exchange.newest[9] != before
