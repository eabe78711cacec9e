"""Simulated dYdX: what its connections and calls tell and refuse, as its page says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.simulator.dydx.exchange import PUSHED, Dydx, DydxOptions, create
from infra.simulator.dydx.session import DydxSession
from infra.simulator.dydx.wire import WIRE
from infra.simulator.exchange import Frame, RestCall
from infra.simulator.market.listings import Oddities, State
from infra.simulator.options import SimulatorOptions

HOUR_MS = 3_600_000
NOW_MS = 1_790_000_100_000
ACTIVE = 56
SUBSCRIBE = '{"type":"subscribe","channel":"v4_markets"}'


@pytest.fixture
def exchange() -> Dydx:
    """A small exchange at a fixed time."""
    return Dydx(7, DydxOptions(contracts=ACTIVE, held_back=2), NOW_MS)


def opened(exchange: Dydx) -> DydxSession:
    """A new connection that was greeted."""
    session = exchange.session("/v4/ws", {})
    assert session is not None
    (greeting,) = session.opened()
    assert isinstance(greeting, Frame)
    told = json.loads(greeting.payload)
    assert (told["type"], told["message_id"]) == ("connected", 0)
    return session


def answer(session: DydxSession, text: str) -> Any:
    """The one answer to a text."""
    (frame,) = session.on_text(text, NOW_MS)
    assert isinstance(frame, Frame)
    return json.loads(frame.payload)


def messages(exchange: Dydx, session: DydxSession, ticks: range) -> list[Any]:
    """What some ticks deliver."""
    return [
        json.loads(frame.payload)
        for number in ticks
        for frame in exchange.prepare(NOW_MS + number * 1_000).frames(session)
    ]


def rest(exchange: Dydx, path: str, now_ms: int = NOW_MS, **query: str) -> tuple[int, Any]:
    """Status and body of a call."""
    reply = exchange.rest(RestCall("GET", f"/v4/{path}", query, b"", "10.0.0.1", now_ms))
    return reply.status, json.loads(reply.body)


def test_a_subscription_begins_with_whole_rows_of_all_markets(exchange: Dydx) -> None:
    """Dead ones among them; then the messages are counted, and name what has changed."""
    session = opened(exchange)
    assert session.on_text(SUBSCRIBE, NOW_MS) == ()
    first, *others = messages(exchange, session, range(62))
    assert first["type"] == "subscribed"
    markets = first["contents"]["markets"]
    assert len(markets) == ACTIVE + ACTIVE // 7
    assert {row["ticker"] for row in markets.values()} == set(markets)
    dead = [row for row in markets.values() if row["oraclePrice"] is None]
    final = [row for row in markets.values() if row["status"] == "FINAL_SETTLEMENT"]
    assert dead
    assert final
    assert len(dead) + len(final) == ACTIVE // 7
    assert [told["message_id"] for told in others] == list(range(2, 2 + len(others)))
    assert {told["type"] for told in others} == {"channel_data"}
    kinds = [next(iter(told["contents"])) for told in others]
    assert kinds.count("trading") == 2
    assert set(kinds) == {"trading", "oraclePrices"}


def test_changes_complete_to_what_rest_shows(exchange: Dydx) -> None:
    """Whoever keeps the newest of each field has the current row."""
    session = opened(exchange)
    session.on_text(SUBSCRIBE, NOW_MS)
    rows: dict[str, dict[str, Any]] = {}
    without_rate = 0
    for told in messages(exchange, session, range(95)):
        for part in told["contents"].values():
            for ticker, row in part.items():
                rows.setdefault(ticker, {}).update(row)
                without_rate += "nextFundingRate" not in row
    shown = rest(exchange, "perpetualMarkets")[1]["markets"]
    names = ("ticker", "status", "nextFundingRate", "oraclePrice", "openInterest")
    assert {t: [row[n] for n in names] for t, row in rows.items()} == {
        t: [row[n] for n in names] for t, row in shown.items()
    }
    assert without_rate > 0


def test_estimates_have_more_digits_than_settlements(exchange: Dydx) -> None:
    """Settled rates are multiples of 0.000000125; estimates round to them at the hour."""
    markets = rest(exchange, "perpetualMarkets")[1]["markets"]
    rates = [row["nextFundingRate"] for row in markets.values()]
    assert max(map(len, rates)) >= 20
    history = rest(exchange, "historicalFunding/BTC-USD")[1]["historicalFunding"]
    for row in history:
        assert round(float(row["rate"]) * 1e9) % 125 == 0
    last_ms = NOW_MS // HOUR_MS * HOUR_MS + HOUR_MS - 1_000
    exchange.prepare(last_ms)
    settled = {one.symbol: float(one.rate) for one in exchange.settle(last_ms + 1_000)}
    shown = rest(exchange, "perpetualMarkets")[1]["markets"]
    assert settled
    for symbol, rate in settled.items():
        assert round(float(shown[symbol]["nextFundingRate"]), 9) == pytest.approx(rate, abs=1e-12)


def test_batched_contents_are_an_array(exchange: Dydx) -> None:
    """Where the client asks for them."""
    session = opened(exchange)
    session.on_text('{"type":"subscribe","channel":"v4_markets","batched":true}', NOW_MS)
    _, *others = messages(exchange, session, range(4))
    assert {told["type"] for told in others} == {"channel_batch_data"}
    assert all(isinstance(told["contents"], list) for told in others)


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"type":"nonsense"}', '{"type":"subscribe","channel":"v4_nope"}'],
)
def test_errors_are_messages_of_their_own(exchange: Dydx, text: str) -> None:
    """They are counted as the others are; so is a second subscription refused."""
    session = opened(exchange)
    told = answer(session, text)
    assert (told["type"], told["message_id"]) == ("error", 1)
    session.on_text(SUBSCRIBE, NOW_MS)
    again = answer(session, SUBSCRIBE)
    assert (again["type"], again["message_id"]) == ("error", 2)
    assert answer(session, SUBSCRIBE.replace("subscribe", "unsubscribe"))["type"] == "unsubscribed"
    assert messages(exchange, session, range(3)) == []


def test_a_halted_market_is_told_in_the_stream_and_in_the_list(exchange: Dydx) -> None:
    """With its state alone; and again when it is over."""
    session = opened(exchange)
    session.on_text(SUBSCRIBE, NOW_MS)
    messages(exchange, session, range(1))
    exchange.listings.set_oddities(Oddities({"ETH-USD": State("PAUSED", rated=False)}))
    (told,) = messages(exchange, session, range(1, 2))
    assert told["contents"] == {"trading": {"ETH-USD": {"id": "1", "status": "PAUSED"}}}
    assert rest(exchange, "perpetualMarkets")[1]["markets"]["ETH-USD"]["status"] == "PAUSED"
    assert exchange.rate(1) is None
    exchange.listings.set_oddities(Oddities({}))
    (told,) = messages(exchange, session, range(2, 3))
    assert told["contents"]["trading"]["ETH-USD"]["status"] == "ACTIVE"


def test_whole_rows_at_each_tick() -> None:
    """An option, for clients that cannot wait."""
    options = SimulatorOptions(seed=7, own={PUSHED.name: "rows"})
    exchange = create(options, ACTIVE, NOW_MS)
    session = opened(exchange)
    session.on_text(SUBSCRIBE, NOW_MS)
    _, told = messages(exchange, session, range(2))
    assert len(told["contents"]["trading"]) == ACTIVE
    assert all("nextFundingRate" in row for row in told["contents"]["trading"].values())


def test_history_is_newest_first_and_late(exchange: Dydx) -> None:
    """ISO times, 0.1 to 0.6 s after the hour; until a time, and so many rows."""
    status, body = rest(exchange, "historicalFunding/ETH-USD", limit="5")
    rows = body["historicalFunding"]
    times = [row["effectiveAt"] for row in rows]
    assert (status, len(rows)) == (200, 5)
    assert times == sorted(times, reverse=True)
    assert all(0.1 <= float(time[17:-1]) < 0.6 and time[14:16] == "00" for time in times)
    earlier = rest(exchange, "historicalFunding/ETH-USD", effectiveBeforeOrAt=times[2])[1]
    assert [row["effectiveAt"] for row in earlier["historicalFunding"]][:3] == times[2:]
    whole = rest(exchange, "historicalFunding/ETH-USD")[1]["historicalFunding"]
    assert len(whole) == 40 * 24


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("historicalFunding/NOSUCH-USD", {}),
        ("historicalFunding/ETH-USD", {"limit": "1001"}),
        ("historicalFunding/ETH-USD", {"effectiveBeforeOrAt": "yesterday"}),
        ("perpetualMarkets", {"ticker": "NOSUCH-USD"}),
    ],
)
def test_bad_requests_say_what_is_wrong(exchange: Dydx, path: str, query: dict[str, Any]) -> None:
    """400 with a list of errors; an unknown path is 404."""
    status, body = rest(exchange, path, **query)
    assert status == 400
    assert body["errors"][0]["msg"]
    assert rest(exchange, "nope")[0] == 404


def test_too_many_calls_are_refused() -> None:
    """429; a new budget begins every ten seconds."""
    exchange = Dydx(7, DydxOptions(contracts=ACTIVE, requests_per_10_s=2), NOW_MS)
    assert [rest(exchange, "time")[0] for _ in range(3)] == [200, 200, 429]
    assert rest(exchange, "time", NOW_MS + 10_000)[0] == 200


def test_names_are_by_the_coin_and_some_are_long(exchange: Dydx) -> None:
    """There are no multipliers; a long name holds the pool and the token's address."""
    prices = {contract.symbol: contract.price_usd for contract in exchange.contracts}
    assert prices["PEPE-USD"] == pytest.approx(0.0048 / 1_000)
    assert any(",uniswap_v3,0x" in symbol for symbol in prices)
    assert all(len(symbol) <= 64 for symbol in prices)


def test_faults_find_rows_under_their_tickers(exchange: Dydx) -> None:
    """A message is cut into its rows, and put together again."""
    session = opened(exchange)
    session.on_text(SUBSCRIBE, NOW_MS)
    (frame,) = exchange.prepare(NOW_MS).frames(session)
    head, pieces, tail = WIRE.rows(frame.payload)
    assert json.loads(head + b",".join(pieces) + tail) == json.loads(frame.payload)
    assert len(pieces) == len(frame.rows)
    assert [WIRE.symbol_of(piece) for piece in pieces][:2] == ["BTC-USD", "ETH-USD"]
    spoiled = json.loads(WIRE.with_bad_field(frame.payload, "oracle-price", "ETH-USD"))
    markets = spoiled["contents"]["markets"]
    assert markets["ETH-USD"]["oraclePrice"] == "?"
    assert markets["BTC-USD"]["oraclePrice"] != "?"


def test_the_truth_has_each_row_of_a_market_that_trades(exchange: Dydx) -> None:
    """Whether or not it names the rate: the one that holds is told."""
    session = opened(exchange)
    session.on_text(SUBSCRIBE, NOW_MS)
    (frame,) = exchange.prepare(NOW_MS).frames(session)
    assert frame.ledger is not None
    assert len(frame.ledger.claim(frame.rows, 0)) == ACTIVE
    tick = exchange.prepare(NOW_MS + 1_000)
    (frame,) = tick.frames(session)
    assert frame.ledger is not None
    assert len(frame.ledger.claim(frame.rows, 0)) == len(frame.rows) == len(tick.rows())
