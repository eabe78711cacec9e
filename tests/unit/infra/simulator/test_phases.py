"""Simulated exchanges push at moments of their own, or all at one moment with `aligned`."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace

import pytest

from infra.simulator.backpack.exchange import Backpack, BackpackSession
from infra.simulator.exchange import Exchange
from infra.simulator.hyperliquid.exchange import Hyperliquid
from infra.simulator.kucoin.exchange import Kucoin
from infra.simulator.options import SimulatorOptions
from infra.simulator.phases import SPREAD_STEPS, steps_in
from infra.simulator.registry import SIMULATED, create_exchanges
from schemas.feeds import spec
from tests.support.simulated_backpack import open_perps, rows, subscribed
from tests.support.simulated_kucoin import classic

NOW_MS = 1_791_269_856_400
OPTIONS = SimulatorOptions(seed=3)
ALIGNED = replace(OPTIONS, aligned=True)
PERIOD_MS = OPTIONS.tick_ms


def _exchanges(options: SimulatorOptions) -> list[Exchange]:
    return create_exchanges(list(SIMULATED), options, 200, NOW_MS)


def _one(options: SimulatorOptions, feed: str) -> Exchange:
    return next(exchange for exchange in _exchanges(options) if exchange.name == feed)


def _grid(exchange: Exchange, count: int) -> list[int]:
    """The first ticks after the start, as the server times them."""
    first_ms = NOW_MS // exchange.tick_ms * exchange.tick_ms + exchange.tick_ms + exchange.phase_ms
    return [first_ms + number * exchange.tick_ms for number in range(count)]


def test_each_exchange_has_a_phase_of_its_own() -> None:
    """It is within the tick, follows from the seed, and differs between feeds and seeds."""
    phases = {one.name: one.phase_ms for one in _exchanges(OPTIONS)}
    assert all(0 <= one.phase_ms < one.tick_ms for one in _exchanges(OPTIONS))
    assert phases == {one.name: one.phase_ms for one in _exchanges(OPTIONS)}
    assert phases != {one.name: one.phase_ms for one in _exchanges(replace(OPTIONS, seed=4))}
    assert len(set(phases.values())) == len(SIMULATED)


def test_aligned_is_one_common_tick() -> None:
    """Everything that is pushed in a second is pushed at its beginning; some push more often."""
    for one in _exchanges(ALIGNED):
        assert (one.phase_ms, PERIOD_MS % one.tick_ms) == (0, 0), one.name
    for exchange in _exchanges(ALIGNED):
        if not isinstance(exchange, Kucoin):
            tick = exchange.prepare(_grid(exchange, 1)[0])
            frozen = {c.symbol for c in exchange.market.contracts if c.frozen}
            listed = {exchange.market.contracts[row].symbol for row in exchange.listings.rows()}
            pushed = {exchange.market.contracts[row].symbol for row in tick.rows()}
            assert pushed <= listed - frozen
            # An exchange that pushes what has changed need not push all of them at once.
            known = spec(exchange.name)
            changes_alone = known.thinned or known.missed_after_s > 2.5
            assert changes_alone or pushed == listed - frozen or exchange.tick_ms < PERIOD_MS


@pytest.mark.parametrize("feed", ["backpack", "hyperliquid"])
def test_an_exchange_that_pushes_one_by_one_spreads_its_contracts(feed: str) -> None:
    """Each contract comes once in a period, and no step has more than a small share of them."""
    exchange = create_exchanges([feed], OPTIONS, 400, NOW_MS)[0]
    assert exchange.tick_ms * SPREAD_STEPS == PERIOD_MS
    begun_ms = (NOW_MS // PERIOD_MS + 1) * PERIOD_MS + exchange.phase_ms
    grid = range(begun_ms, begun_ms + PERIOD_MS, exchange.tick_ms)
    pushed = [list(exchange.prepare(at_ms).rows()) for at_ms in grid]
    counts = Counter(row for step in pushed for row in step)
    live = {row for row in exchange.listings.rows() if not exchange.market.contracts[row].frozen}
    assert counts == dict.fromkeys(live, 1)
    assert max(map(len, pushed)) < 0.15 * len(live)


def test_a_market_keeps_its_step() -> None:
    """Backpack pushes every market each second: two pushes are a second apart."""
    exchange = _one(OPTIONS, "backpack")
    assert isinstance(exchange, Backpack)
    steps = [list(exchange.prepare(at_ms).rows()) for at_ms in _grid(exchange, 3 * SPREAD_STEPS)]
    assert steps[:SPREAD_STEPS] == steps[SPREAD_STEPS : 2 * SPREAD_STEPS] == steps[-SPREAD_STEPS:]


def test_rest_shows_what_was_pushed_last() -> None:
    """Of each market markPrices has the rate of its newest frame, whatever was pushed since."""
    exchange = _one(OPTIONS, "backpack")
    assert isinstance(exchange, Backpack)
    session: BackpackSession = subscribed(exchange, *open_perps(exchange))
    newest: dict[str, tuple[str, str]] = {}
    for at_ms in _grid(exchange, 2 * SPREAD_STEPS):
        tick = exchange.prepare(at_ms)
        for frame in tick.frames(session):
            data = json.loads(frame.payload)["data"]
            newest[data["s"]] = data["f"], data["p"]
            assert at_ms <= data["E"] // 1_000 <= tick.event_ms
        tick.published()
    shown = {row["symbol"]: (row["fundingRate"], row["markPrice"])
             for row in rows(exchange, "markPrices") if row["symbol"] in newest}  # fmt: skip
    assert newest
    assert shown == newest


def test_estimates_of_a_minute_come_once_a_second_or_two_past_it() -> None:
    """KuCoin's push is about 1 s past the minute, whatever the phase."""
    exchange = _one(OPTIONS, "kucoin")
    assert isinstance(exchange, Kucoin)
    grid = _grid(exchange, 180 * SPREAD_STEPS)
    pushes = [at_ms for at_ms in grid if exchange.estimates.is_push(at_ms)]
    assert len(pushes) == 3
    (past_ms,) = {at_ms % 60_000 for at_ms in pushes}
    assert 1_000 <= past_ms < 2_000
    tick = exchange.prepare(pushes[0])
    assert sorted(tick.rows()) == exchange.rated_rows()


def test_mark_prices_of_topics_for_each_contract_are_spread() -> None:
    """KuCoin's classic socket has each contract's price once a second, in a step of its own."""
    exchange = create_exchanges(["kucoin"], OPTIONS, 100, NOW_MS)[0]
    assert isinstance(exchange, Kucoin)
    symbols = [exchange.contracts[row].symbol for row in exchange.listings.rows()][:90]
    session = classic(exchange, f"/contract/instrument:{','.join(symbols)}")
    counts: Counter[str] = Counter()
    most = 0
    for at_ms in _grid(exchange, SPREAD_STEPS):
        prices = [json.loads(frame.payload) for frame in exchange.prepare(at_ms).frames(session)]
        most = max(most, len(prices))
        counts.update(price["topic"].partition(":")[2] for price in prices)
        assert {price["subject"] for price in prices} <= {"mark.index.price"}
        assert {price["data"]["timestamp"] % PERIOD_MS for price in prices} <= {0}
    assert counts == dict.fromkeys(symbols, 1)
    assert most < 0.15 * len(symbols)


def test_arrays_of_a_tick_come_together() -> None:
    """An exchange with an array for all contracts pushes all of it at its phase."""
    exchange = _one(OPTIONS, "binance-usdm")
    (at_ms,) = _grid(exchange, 1)
    tick = exchange.prepare(at_ms)
    assert at_ms <= tick.event_ms < at_ms + 3
    live = [row for row in exchange.listings.rows() if not exchange.market.contracts[row].frozen]
    assert sorted(tick.rows()) == live


@pytest.mark.parametrize(
    ("period_ms", "most", "steps"), [(1_000, 20, 20), (1_000, 1, 1), (250, 20, 5), (50, 20, 1)]
)
def test_a_short_period_has_few_steps(period_ms: int, most: int, steps: int) -> None:
    """Steps are whole and not shorter than 50 ms."""
    assert steps_in(period_ms, most) == steps


def test_hyperliquid_coins_change_their_moments() -> None:
    """Two pushes of a coin are not always a second apart."""
    exchange = _one(OPTIONS, "hyperliquid")
    assert isinstance(exchange, Hyperliquid)
    at = [at_ms for at_ms in _grid(exchange, 200) if 0 in exchange.prepare(at_ms).rows()]
    assert len({later - earlier for earlier, later in itertools.pairwise(at)}) > 1
