"""Simulated MEXC: one contract a frame, pushes on change, errors with HTTP 200, its limits."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import Any

import pytest

from infra.simulator.exchange import Close, RestCall, RestReply
from infra.simulator.market.listings import Oddities, State
from infra.simulator.mexc import universe, wire
from infra.simulator.mexc.exchange import Mexc, MexcOptions, create
from infra.simulator.mexc.frames import rate_text
from infra.simulator.mexc.limits import MexcLimits
from infra.simulator.mexc.session import MexcSession
from infra.simulator.options import SimulatorOptions

NOW_MS = 1_791_269_856_000
HOUR_MS = 3_600_000


@pytest.fixture
def exchange() -> Mexc:
    """A small exchange at a fixed time."""
    return Mexc(7, MexcOptions(contracts=60, held_back=2, has_limits=False), NOW_MS)


def opened(exchange: Mexc) -> MexcSession:
    """A connection."""
    session = exchange.session("/edge", {})
    assert session is not None
    return session


def answered(session: MexcSession, method: str, symbol: str | None = None) -> list[Any]:
    """The answers to a request."""
    param = {} if symbol is None else {"symbol": symbol}
    answers = session.on_text(json.dumps({"method": method, "param": param}), NOW_MS)
    return [json.loads(one.payload) for one in answers if not isinstance(one, Close)]


def subscribed(exchange: Mexc) -> MexcSession:
    """A connection with all contracts."""
    session = opened(exchange)
    for row in exchange.listings.rows():
        answered(session, "sub.funding.rate", exchange.contracts[row].symbol)
    return session


def pushes(exchange: Mexc, session: MexcSession, seconds: int, from_ms: int = NOW_MS) -> list[Any]:
    """What some seconds bring."""
    found: list[Any] = []
    for at_ms in range(from_ms + 1_000, from_ms + seconds * 1_000 + 1, 1_000):
        tick = exchange.prepare(at_ms)
        found += [json.loads(frame.payload) for frame in tick.frames(session)]
        tick.published()
    return found


def get(exchange: Mexc, name: str, now_ms: int = NOW_MS, **query: Any) -> RestReply:
    """The reply to a call."""
    texts = {key: str(value) for key, value in query.items()}
    path = f"/api/v1/contract/{name}"
    return exchange.rest(RestCall("GET", path, texts, b"", "127.0.0.1", now_ms))


def data(exchange: Mexc, name: str, **query: Any) -> Any:
    """The data of a call that succeeds."""
    reply = get(exchange, name, **query)
    body = json.loads(reply.body)
    assert (reply.status, body["success"], body["code"]) == (200, True, 0)
    return body["data"]


def test_the_documented_counts() -> None:
    """1,061 in USDT, 78 in USDC, 35 in USD1, 10 inverse; 425 stocks, a fifth of the rates 0."""
    contracts = universe.contracts(universe.PERPETUALS, NOW_MS)
    assert Counter(c.quote for c in contracts) == {"USDT": 1_061, "USDC": 78, "USD1": 35, "USD": 10}
    assert len({c.symbol for c in contracts}) == 1_184
    assert 350 <= sum(c.kind == "tradfi" for c in contracts) <= 425
    assert 0.18 < sum(c.behaviour == "zero" for c in contracts) / 1_184 < 0.24
    assert {c.interval_hours for c in contracts} == {1, 2, 4, 8, 24}


def test_an_ack_names_the_method_and_an_error_the_contract(exchange: Mexc) -> None:
    """An unknown method has no answer."""
    session = opened(exchange)
    (ack,) = answered(session, "sub.funding.rate", "BTC_USDT")
    assert ack == {"channel": "rs.sub.funding.rate", "data": "success", "ts": NOW_MS}
    (error,) = answered(session, "sub.funding.rate", "NOSUCH_USDT")
    assert (error["channel"], error["data"]) == ("rs.error", "Contract [NOSUCH_USDT] not exists")
    assert answered(session, "sub.nonsense", "BTC_USDT") == []
    assert answered(session, "nonsense") == []
    assert session.on_text("no json", NOW_MS) == ()
    (pong,) = answered(session, "ping")
    assert pong == {"channel": "pong", "data": NOW_MS, "ts": NOW_MS}
    assert session.subscribed() == ["BTC_USDT"]
    assert 60 <= session.rules.silence_s <= 68
    assert answered(session, "unsub.funding.rate", "BTC_USDT")[0]["data"] == "success"
    assert session.subscribed() == []
    assert answered(session, "sub.tickers") == [
        {"channel": "rs.sub.tickers", "data": "success", "ts": NOW_MS}
    ]


def test_a_rate_is_pushed_when_it_changes(exchange: Mexc) -> None:
    """About once a minute; one of 0 for ever is not, and REST has it."""
    found = pushes(exchange, subscribed(exchange), 300)
    assert {frame["channel"] for frame in found} == {"push.funding.rate"}
    assert {tuple(frame["data"]) for frame in found} == {("symbol", "rate", "nextSettleTime")}
    times: dict[str, list[int]] = {}
    for frame in found:
        times.setdefault(frame["symbol"], []).append(frame["ts"])
    gaps = [b - a for own in times.values() for a, b in itertools.pairwise(own)]
    assert min(gaps) >= 39_000
    assert sum(gap <= 81_000 for gap in gaps) > 0.8 * len(gaps)
    still = {c.symbol for c in exchange.contracts if c.behaviour == "zero"}
    assert still
    assert not still & times.keys()
    rates = {row["symbol"]: row["fundingRate"] for row in data(exchange, "funding_rate")}
    assert {rates[symbol] for symbol in still if symbol in rates} == {0}


def test_unchanged_rates_are_pushed_on_demand() -> None:
    """Which of the two the exchange does is not known."""
    exchange = Mexc(7, MexcOptions(contracts=30, pushes_all=True), NOW_MS)
    found = pushes(exchange, subscribed(exchange), 90)
    assert {frame["symbol"] for frame in found} == {c.symbol for c in exchange.contracts}


def test_rest_shows_what_was_pushed_last(exchange: Mexc) -> None:
    """With the time at which it was made, and prices of now."""
    newest = {f["symbol"]: f for f in pushes(exchange, subscribed(exchange), 90)}
    shown = {row["symbol"]: row for row in data(exchange, "funding_rate")}
    assert shown.keys() >= newest.keys()
    for symbol, frame in newest.items():
        row = shown[symbol]
        assert (row["fundingRate"], row["nextSettleTime"]) == (
            frame["data"]["rate"], frame["data"]["nextSettleTime"],
        )  # fmt: skip
        assert row["timestamp"] >= frame["ts"]
        assert row["collectCycle"] in {1, 2, 4, 8, 24}
        assert row["minFundingRate"] == -row["maxFundingRate"]
    listed = {row["symbol"] for row in data(exchange, "detail")}
    assert shown.keys() - listed == set(universe.UNLISTED)
    assert data(exchange, "funding_rate/BTC_USDT") == shown["BTC_USDT"]
    assert (
        data(exchange, "ticker", symbol="BTC_USDT")["fundingRate"]
        == (shown["BTC_USDT"]["fundingRate"])
    )


def test_the_next_interval_s_rate_follows_a_settlement_within_seconds() -> None:
    """What settles need not be the last that was shown."""
    exchange = Mexc(7, MexcOptions(contracts=60, has_limits=False), NOW_MS)
    funding_ms = NOW_MS // (8 * HOUR_MS) * 8 * HOUR_MS + 8 * HOUR_MS
    session = subscribed(exchange)
    before = pushes(exchange, session, 100, funding_ms - 100_000)
    after = pushes(exchange, session, 6, funding_ms)
    settled = {
        rate.symbol: float(rate.rate)
        for rate in exchange.settle(funding_ms + 1_000)
        if rate.funding_ms == funding_ms
    }
    moved = {f["symbol"] for f in [*before, *after] if f["data"]["nextSettleTime"] > funding_ms}
    assert moved >= settled.keys() - {
        c.symbol for c in exchange.contracts if c.behaviour in {"zero", "resting"}
    }
    last = {f["symbol"]: f["data"]["rate"] for f in before if f["symbol"] in settled}
    assert any(settled[symbol] != rate for symbol, rate in last.items())


def test_history_goes_by_page_number(exchange: Mexc) -> None:
    """A page of more than 100 rows becomes one of 20."""
    everything: list[Any] = []
    for number in range(1, 20):
        page = data(
            exchange, "funding_rate/history", symbol="BTC_USDT", page_size=100, page_num=number
        )
        everything += page["resultList"]
        assert page["currentPage"] == number
        if number >= page["totalPage"]:
            break
    assert len(everything) == page["totalCount"]
    times = [row["settleTime"] for row in everything]
    assert times == sorted(times, reverse=True)
    truth = [rate for rate in exchange.settled_at_start() if rate.symbol == "BTC_USDT"]
    assert [row["fundingRate"] for row in everything[::-1]] == [float(r.rate) for r in truth]
    long = data(exchange, "funding_rate/history", symbol="BTC_USDT", page_size=101)
    assert long["resultList"] == everything[:20]


@pytest.mark.parametrize(
    ("name", "query", "code"),
    [
        ("funding_rate/NOSUCH_USDT", {}, 1001),
        ("funding_rate/history", {"symbol": "NOSUCH_USDT"}, 1001),
        ("funding_rate/history", {}, 600),
        ("funding_rate/history", {"symbol": "BTC_USDT", "page_num": "x"}, 600),
        ("detail", {"symbol": "NOSUCH_USDT"}, 1001),
    ],
)
def test_errors_come_with_http_200(
    exchange: Mexc, name: str, query: dict[str, Any], code: int
) -> None:
    """With a code."""
    reply = get(exchange, name, **query)
    body = json.loads(reply.body)
    assert (reply.status, body["success"], body["code"]) == (200, False, code)


def test_one_call_too_many_is_refused_with_http_200() -> None:
    """20 in 2 s, of the list one in 5 s; only what stands before the exchange has a status."""
    exchange = Mexc(7, MexcOptions(contracts=20), NOW_MS)
    codes = [json.loads(get(exchange, "ticker").body)["code"] for _ in range(21)]
    assert codes == [0] * 20 + [510]
    assert [json.loads(get(exchange, "detail").body)["code"] for _ in range(2)] == [0, 510]
    assert json.loads(get(exchange, "detail", NOW_MS + 5_001).body)["code"] == 0
    refused = wire.refusal(429)
    assert refused is not None
    assert refused.status == 429
    limits = MexcLimits()
    assert all(limits.charge("b", "ticker", NOW_MS) for _ in range(20))
    assert not limits.charge("b", "ticker", NOW_MS + 1_000)
    assert limits.charge("b", "ticker", NOW_MS + 2_000)


def test_states_are_numbers(exchange: Mexc) -> None:
    """A delisted contract is offline; one that is listed twice has another state."""
    symbols = [c.symbol for c in exchange.contracts]
    exchange.listings.delist(symbols[5])
    exchange.listings.set_oddities(
        Oddities(
            {symbols[6]: State("4", rated=False)}, twice=frozenset({symbols[7]}), nameless=True
        )
    )
    states = [(row["symbol"], row["state"]) for row in data(exchange, "detail")]
    assert (symbols[5], 3) in states
    assert (symbols[6], 4) in states
    assert [state for symbol, state in states if symbol == symbols[7]] == [0, 4]
    assert ("", 0) in states


@pytest.mark.parametrize(
    ("units", "row", "text"),
    [(0, 6, "0"), (12_300, 0, "0.000123"), (-5_900, 6, "-5.9E-5"), (10_000, 6, "1.0E-4"),
     (2_000_000, 6, "0.02")],
)  # fmt: skip
def test_rates_are_numbers_of_two_spellings(units: int, row: int, text: str) -> None:
    """The same value in both."""
    assert rate_text(units, row) == text
    assert json.loads(text) == pytest.approx(units / 1e8)


def test_one_process_s_options_make_it() -> None:
    """Aligned, all rates are made at the same moment; other addresses are none."""
    options = SimulatorOptions(seed=3, aligned=True, own={"mexc_pushes": "all"})
    made = create(options, 20, NOW_MS)
    assert len(made.listings.rows()) == len(made.contracts) - 2
    counts = [len(made.prepare(NOW_MS + n * 1_000).rows()) for n in range(1, 61)]
    assert sorted(set(counts)) == [0, len(made.contracts) - 2]
    assert made.session("/", {}) is None
    assert get(made, "nonsense").status == 404
