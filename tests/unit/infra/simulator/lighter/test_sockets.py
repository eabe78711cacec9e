"""Simulated Lighter: what its connections are told, in which unit and how often."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.simulator.exchange import Frame
from infra.simulator.lighter.exchange import Lighter, LighterOptions
from infra.simulator.lighter.frames import fraction_text, percent_text
from infra.simulator.lighter.wire import WIRE
from tests.support.simulated_lighter import (
    HOUR_MS,
    NOW_MS,
    STEP_MS,
    delivered,
    opened,
    say,
    subscribed,
)

FIRST_MS = NOW_MS // STEP_MS * STEP_MS + STEP_MS
NEXT_HOUR_MS = NOW_MS // HOUR_MS * HOUR_MS + HOUR_MS


@pytest.fixture
def exchange() -> Lighter:
    """A small exchange at a fixed time."""
    return Lighter(7, LighterOptions(contracts=40, held_back=2), NOW_MS)


def test_the_first_frame_greets(exchange: Lighter) -> None:
    """Before anything is asked for; each connection has a name of its own."""
    greetings = []
    for _ in range(2):
        (frame,) = opened(exchange).opened()
        assert isinstance(frame, Frame)
        greetings.append(json.loads(frame.payload))
    assert {greeting["type"] for greeting in greetings} == {"connected"}
    assert greetings[0]["session_id"] != greetings[1]["session_id"]
    assert exchange.session("/ws", {}) is None


def test_a_subscription_brings_all_and_then_what_has_changed(exchange: Lighter) -> None:
    """Rows by market id, complete; inactive markets are in none."""
    session = subscribed(exchange)
    (first,) = delivered(exchange, session, FIRST_MS)
    assert (first["type"], first["channel"]) == ("subscribed/market_stats", "market_stats:all")
    active = {str(exchange.ids[row]) for row in exchange.active_rows()}
    assert first["market_stats"].keys() == active
    assert len(active) == 40
    (second,) = delivered(exchange, session, FIRST_MS + STEP_MS)
    assert (second["type"], second["timestamp"]) == ("update/market_stats", FIRST_MS + STEP_MS)
    assert 0 < len(second["market_stats"]) < len(active)
    for number, row in (*first["market_stats"].items(), *second["market_stats"].items()):
        assert str(row["market_id"]) == number
        assert row.keys() == first["market_stats"]["0"].keys()


def test_busy_markets_change_with_each_step_and_quiet_ones_seldom(exchange: Lighter) -> None:
    """About a tenth each half second, most each second or two, some every ten seconds."""
    pushed = [
        len([1 for step in range(40) if row in exchange.prepare(FIRST_MS + step * STEP_MS).rows()])
        for row in exchange.active_rows()
    ]
    assert max(pushed) == 40
    assert min(pushed) == 2
    assert 10 <= sorted(pushed)[len(pushed) // 2] <= 20


def test_rates_are_percent_and_the_truth_has_fractions(exchange: Lighter) -> None:
    """Four decimals of a percent, six of a fraction; the estimate is not the last settlement."""
    session = subscribed(exchange)
    tick = exchange.prepare(FIRST_MS)
    (frame,) = tick.frames(session)
    rows = json.loads(frame.payload)["market_stats"]
    lines = tick.ledger().claim(range(len(exchange.contracts)), FIRST_MS * 1_000)
    truth = [json.loads(line) for line in lines]
    sent = {row["symbol"]: row["current_funding_rate"] for row in rows.values()}
    assert {line["contract_id"].removeprefix("lighter:") for line in truth} == sent.keys()
    for line in truth:
        text = sent[line["contract_id"].removeprefix("lighter:")]
        assert line["rate"] == float(f"{text}e-2")
        assert line["event_time"] == FIRST_MS * 1_000
    settled = [row["funding_rate"] for row in rows.values()]
    assert settled != list(sent.values())
    assert percent_text(-1_200) == "-0.0012"
    assert fraction_text(-1_200) == "-0.000012"


def test_a_settlement_is_shown_with_the_time_of_its_hour(exchange: Lighter) -> None:
    """A second after the hour, and up to a millisecond late; the estimate goes on."""
    session = subscribed(exchange)
    (before,) = delivered(exchange, session, NEXT_HOUR_MS + STEP_MS)
    stamps = {row["funding_timestamp"] for row in before["market_stats"].values()}
    assert stamps == {NEXT_HOUR_MS - HOUR_MS, NEXT_HOUR_MS - HOUR_MS + 1}
    later = subscribed(exchange)
    (after,) = delivered(exchange, later, NEXT_HOUR_MS + 2 * STEP_MS)
    assert {row["funding_timestamp"] for row in after["market_stats"].values()} == {
        NEXT_HOUR_MS,
        NEXT_HOUR_MS + 1,
    }
    settled = {one.symbol: one.rate for one in exchange.settle(NEXT_HOUR_MS)}
    for row in after["market_stats"].values():
        assert float(settled[row["symbol"]]) == float(f"{row['funding_rate']}e-2")


def test_one_market_is_a_row_without_a_map(exchange: Lighter) -> None:
    """Its channel names the id with a colon, as the request did with a slash."""
    session = subscribed(exchange, "1")
    (frame,) = delivered(exchange, session, FIRST_MS)
    assert frame["channel"] == "market_stats:1"
    assert frame["market_stats"]["symbol"] == "BTC"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "subscribe", "channel": "market_stats/all"}, 30003),
        ({"type": "unsubscribe", "channel": "market_stats/0"}, 30002),
        ({"type": "subscribe", "channel": "market_stats/2048"}, 30005),
        ({"type": "subscribe", "channel": "market_stats:all"}, 30005),
        ({"type": "subscribe"}, 30005),
        ({"type": "subscribe", "channel": 7}, 30005),
        ({}, 30005),
    ],
)
def test_errors_have_codes(exchange: Lighter, message: dict[str, Any], code: int) -> None:
    """Nothing else changes."""
    session = subscribed(exchange)
    (answer,) = say(session, **message)
    assert answer["error"]["code"] == code
    assert session.subscribed() == ["market_stats:all"]


def test_pings_are_answered_and_asked_for(exchange: Lighter) -> None:
    """Text either way; a client that says nothing for two minutes is cut."""
    session = subscribed(exchange)
    assert say(session, type="ping") == [{"type": "pong"}]
    assert say(session, type="pong") == []
    assert session.rules.silence_s == 120.0
    asked = [
        frame
        for step in range(0, 130_000, STEP_MS)
        for frame in delivered(exchange, session, FIRST_MS + step)
        if frame["type"] == "ping"
    ]
    assert len(asked) == 2


def test_messages_of_an_address_are_limited(exchange: Lighter) -> None:
    """200 in a minute, over all its connections."""
    sessions = [opened(exchange), opened(exchange)]
    answers = [say(sessions[n % 2], type="ping")[0] for n in range(201)]
    assert answers[199] == {"type": "pong"}
    assert answers[200]["error"]["code"] == 30009
    assert say(sessions[0], NOW_MS + 60_000, type="ping") == [{"type": "pong"}]


def test_unsubscribing_ends_it(exchange: Lighter) -> None:
    """With an answer of its own."""
    session = subscribed(exchange)
    (answer,) = say(session, type="unsubscribe", channel="market_stats/all")
    assert answer == {"type": "unsubscribed", "channel": "market_stats:all"}
    assert delivered(exchange, session, FIRST_MS) == []


def test_faults_find_rows_times_and_rates(exchange: Lighter) -> None:
    """Rows of a map; the stamp of a settlement is no event."""
    (frame,) = exchange.prepare(FIRST_MS).frames(subscribed(exchange))
    head, rows, tail = WIRE.rows(frame.payload)
    assert len(rows) == 40
    assert json.loads(head + b",".join(rows[:2]) + tail)["market_stats"].keys() == {"0", "1"}
    late = json.loads(WIRE.shifted(frame.payload, 5_000_000))
    assert late["timestamp"] == FIRST_MS + 5_000
    assert late["market_stats"]["1"]["funding_timestamp"] < FIRST_MS
    percent = json.loads(WIRE.in_percent(frame.payload))["market_stats"]["1"]
    plain = json.loads(frame.payload)["market_stats"]["1"]
    assert float(percent["current_funding_rate"]) == pytest.approx(
        100 * float(plain["current_funding_rate"])
    )
    history = b'{"timestamp":1790002800,"value":"1","rate":"0.0012","direction":"long"}'
    assert WIRE.shifted(history, 5_000_000) == history
    spoiled = json.loads(WIRE.with_bad_field(frame.payload, "mark-price", "BTC"))["market_stats"]
    assert [number for number, row in spoiled.items() if row["mark_price"] == "?"] == ["1"]


def test_some_markets_may_be_quiet_for_long_while_rest_shows_them() -> None:
    """They are pushed once in the time that is asked for; the others go on."""
    options = LighterOptions(contracts=40, quiet_ms=HOUR_MS, server_ping_ms=0)
    exchange = Lighter(7, options, NOW_MS)
    session = subscribed(exchange)
    delivered(exchange, session, FIRST_MS)
    quiet = {str(exchange.ids[row]) for row in exchange.active_rows() if row % 25 == 9}
    assert quiet
    minute_ms = range(FIRST_MS + STEP_MS, FIRST_MS + 60_000, STEP_MS)
    pushed = {
        name
        for at_ms in minute_ms
        for frame in delivered(exchange, session, at_ms)
        for name in frame["market_stats"]
    }
    assert pushed == {str(exchange.ids[row]) for row in exchange.active_rows()} - quiet
    before = exchange.newest[9]
    turn_ms = range(NEXT_HOUR_MS, NEXT_HOUR_MS + 10_000, STEP_MS)
    woken = [f for at_ms in turn_ms for f in delivered(exchange, session, at_ms)]
    assert quiet <= {name for frame in woken for name in frame["market_stats"]}
    assert exchange.newest[9] != before
