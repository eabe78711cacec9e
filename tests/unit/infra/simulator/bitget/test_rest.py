"""Simulated Bitget: lists of three products, rates, settlements, its errors and limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.simulator.bitget import universe
from infra.simulator.bitget.exchange import Bitget, BitgetOptions
from infra.simulator.bitget.limits import BitgetLimits
from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.market.listings import Oddities, State

NOW_MS = 1_791_269_856_400
HOUR_MS = 3_600_000


@pytest.fixture
def exchange() -> Bitget:
    """A small exchange at a fixed time."""
    return Bitget(7, BitgetOptions(contracts=60, held_back=2), NOW_MS)


def get(exchange: Bitget, name: str, now_ms: int = NOW_MS, **query: Any) -> RestReply:
    """The reply to a call."""
    texts = {key: str(value) for key, value in query.items()}
    path = f"/api/v2/mix/market/{name}"
    return exchange.rest(RestCall("GET", path, texts, b"", "127.0.0.1", now_ms))


def rows(exchange: Bitget, name: str, product: str = universe.USDT, **query: Any) -> Any:
    """The data of a call that succeeds."""
    reply = get(exchange, name, productType=product, **query)
    assert reply.status == 200
    body = json.loads(reply.body)
    assert body["code"] == "00000"
    return body["data"]


def test_each_product_has_a_list_of_its_own(exchange: Bitget) -> None:
    """Perpetuals and dated contracts; what is held back is in none."""
    lists = {product: rows(exchange, "contracts", product) for product in universe.PRODUCTS}
    symbols = {row["symbol"] for found in lists.values() for row in found}
    assert len(symbols) == len(exchange.contracts) - 2
    assert all(row["symbol"].endswith("USDT") for row in lists[universe.USDT])
    assert all(row["symbol"].endswith("PERP") for row in lists[universe.USDC])
    kinds = {row["symbol"]: row["symbolType"] for row in lists[universe.COIN]}
    assert kinds["BTCUSD"] == "perpetual"
    assert kinds["BTCUSDZ26"] == "delivery"
    assert {row["symbolStatus"] for row in lists[universe.USDT]} == {"normal"}
    assert {row["fundInterval"] for row in lists[universe.USDT]} <= {"1", "4", "8"}


def test_a_demo_product_has_symbols_of_its_own(exchange: Bitget) -> None:
    """Whoever asks for it sees them."""
    assert [row["symbol"] for row in rows(exchange, "contracts", "SUSDT-FUTURES")] == ["SBTCSUSDT"]


def test_current_rates_have_test_symbols_that_no_list_has(exchange: Bitget) -> None:
    """Twelve, without caps; dated contracts have a row that says nothing."""
    found = {row["symbol"]: row for row in rows(exchange, "current-fund-rate")}
    listed = {row["symbol"] for row in rows(exchange, "contracts")}
    assert found.keys() - listed == set(universe.TEST_SYMBOLS)
    assert {found[symbol]["maxFundingRate"] for symbol in universe.TEST_SYMBOLS} == {None}
    coin = {row["symbol"]: row for row in rows(exchange, "current-fund-rate", universe.COIN)}
    assert coin["BTCUSD"]["nextUpdate"] != "0"
    dated = coin["BTCUSDZ26"]
    assert {dated[name] for name in ("fundingRate", "fundingRateInterval", "nextUpdate")} == {"0"}
    assert rows(exchange, "current-fund-rate", symbol="BTCUSDT") == [found["BTCUSDT"]]


def test_rest_shows_what_was_pushed(exchange: Bitget) -> None:
    """The same texts; turnover and open interest are those of the stream's row."""
    session = exchange.session("/v2/ws/public", {})
    assert session is not None
    arg = {"instType": universe.USDT, "channel": "ticker", "instId": "BTCUSDT"}
    session.on_text(json.dumps({"op": "subscribe", "args": [arg]}), NOW_MS)
    tick = exchange.prepare(NOW_MS // 1_000 * 1_000 + 1_000)
    (frame,) = tick.frames(session)
    tick.published()
    (pushed,) = json.loads(frame.payload)["data"]
    (current,) = rows(exchange, "current-fund-rate", symbol="BTCUSDT")
    assert (current["fundingRate"], current["nextUpdate"]) == (
        pushed["fundingRate"], pushed["nextFundingTime"],
    )  # fmt: skip
    ticker = next(row for row in rows(exchange, "tickers") if row["symbol"] == "BTCUSDT")
    for name in ("markPrice", "indexPrice", "quoteVolume", "holdingAmount"):
        assert ticker[name] == pushed[name]
    assert "nextFundingTime" not in ticker


def test_history_goes_by_page_number(exchange: Bitget) -> None:
    """Newest first, 20 rows by default, cut to 100 in silence, and no window."""
    everything: list[Any] = []
    for page in range(1, 20):
        found = rows(exchange, "history-fund-rate", symbol="BTCUSDT", pageSize=100, pageNo=page)
        everything += found
        if not found:
            break
    times = [int(row["fundingTime"]) for row in everything]
    assert times == sorted(times, reverse=True)
    assert all(at_ms % HOUR_MS == 0 for at_ms in times)
    truth = [rate for rate in exchange.settled_at_start() if rate.symbol == "BTCUSDT"]
    assert [row["fundingRate"] for row in everything[::-1]] == [rate.rate for rate in truth]
    assert rows(exchange, "history-fund-rate", symbol="BTCUSDT") == everything[:20]
    longest = rows(exchange, "history-fund-rate", symbol="BTCUSDT", pageSize=500)
    assert longest == everything[:100]


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("contracts", {}),
        ("contracts", {"productType": "SPOT"}),
        ("tickers", {"productType": universe.USDT, "symbol": "NOSUCH"}),
        ("history-fund-rate", {"productType": universe.USDT}),
        ("history-fund-rate", {"productType": universe.COIN, "symbol": "BTCUSDT"}),
        ("history-fund-rate", {"productType": universe.USDT, "symbol": "BTCUSDT", "pageNo": "x"}),
        ("history-fund-rate", {"productType": universe.USDT, "symbol": "BTCUSDT", "pageNo": "0"}),
    ],
)
def test_bad_parameters(exchange: Bitget, name: str, query: dict[str, Any]) -> None:
    """HTTP 400 with a code."""
    reply = get(exchange, name, **query)
    assert reply.status == 400
    assert json.loads(reply.body)["code"].startswith("400")


def test_other_calls_are_none(exchange: Bitget) -> None:
    """404; the time is told."""
    assert get(exchange, "nonsense").status == 404
    call = RestCall("GET", "/api/v2/public/time", {}, b"", "127.0.0.1", NOW_MS)
    assert json.loads(exchange.rest(call).body)["data"] == {"serverTime": str(NOW_MS)}


def test_each_endpoint_takes_20_calls_a_second_of_an_address() -> None:
    """And all together 6,000 a minute."""
    limits = BitgetLimits()
    assert [limits.charge("a", "tickers", NOW_MS) for _ in range(21)][-2:] == [0, None]
    assert limits.charge("a", "contracts", NOW_MS) == 19
    assert limits.charge("b", "tickers", NOW_MS) == 19
    assert limits.charge("a", "tickers", NOW_MS + 1_000) == 19
    few = BitgetLimits(per_minute=2)
    found = [few.charge("a", name, NOW_MS) for name in ("x", "y", "z")]
    assert found == [19, 19, None]


def test_a_refused_call_says_so() -> None:
    """429, with the header as long as it is served."""
    exchange = Bitget(7, BitgetOptions(contracts=20), NOW_MS)
    replies = [get(exchange, "tickers", productType=universe.USDC) for _ in range(21)]
    assert replies[0].headers == {"x-mbx-used-remain-limit": "19"}
    assert [reply.status for reply in replies[-2:]] == [200, 429]


def test_states_are_in_the_list(exchange: Bitget) -> None:
    """Delisted contracts are off; one that is listed twice has another state."""
    symbols = [c.symbol for c in exchange.contracts if c.quote == "USDT"]
    exchange.listings.delist(symbols[5])
    exchange.listings.set_oddities(
        Oddities(
            {symbols[6]: State("maintain", rated=False)},
            twice=frozenset({symbols[7]}),
            nameless=True,
        )
    )
    found = rows(exchange, "contracts")
    states = [(row["symbol"], row["symbolStatus"]) for row in found]
    assert (symbols[5], "off") in states
    assert (symbols[6], "maintain") in states
    assert [status for symbol, status in states if symbol == symbols[7]] == ["normal", "maintain"]
    assert ("", "normal") in states
