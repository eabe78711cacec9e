"""Simulated Binance USD-M: which path delivers, which rows travel together, and its options.

The facts are those of docs/exchanges/binance-usdm.md. streams.py holds ticks and sessions, rest.py
REST, universe.py the contracts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from infra.simulator.binance import universe as binance_universe
from infra.simulator.binance import wire
from infra.simulator.binance.frames import usdm_row
from infra.simulator.binance.limits import RateLimits, shared_limits
from infra.simulator.binance.rest import BinanceRest
from infra.simulator.binance.rows import UsdmRows
from infra.simulator.binance.streams import (
    RULES,
    BinanceExchange,
    BinanceSession,
    StreamPlan,
    opened_session,
)
from infra.simulator.binance.universe import IntervalsListed
from infra.simulator.exchange import Simulated, SocketRules
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Market
from infra.simulator.market.universe import Contract
from infra.simulator.options import HELD_BACK, OwnOption, SimulatorOptions
from infra.simulator.phases import own_phase_ms

FEED = "binance-usdm"
_MAX_SETTLING = 12


@dataclass(frozen=True, slots=True)
class BinanceOptions:
    """What can be varied. Defaults follow binance-usdm.md §3, §4, §9 and §13."""

    contracts: int = 745
    settling: int = 12
    coinm_rows: int = 0
    held_back: int = 0
    tick_ms: int = 1_000
    phase_ms: int = 0
    rows_per_array: int = 300
    max_streams: int = 1_024
    weight_per_minute: int = 2_400
    pool_per_5_minutes: int = 500
    intervals_listed: IntervalsListed = "all"
    retry_after: bool = False
    rules: SocketRules = RULES


COINM_ROWS = OwnOption(
    "coinm_rows",
    default=0,
    values=(0, 100),
    help="COIN-M rows (st 2) that appear in the USD-M arrays.",
)

FUNDING_INFO = OwnOption(
    "funding_info",
    default="all",
    values=("all", "adjusted"),
    help="What USD-M's fundingInfo lists: all that trade, or as documented without some of 8 h.",
)


def create(options: SimulatorOptions, contracts: int, now_ms: int) -> BinanceUsdm:
    """The exchange of a simulator process."""
    own = BinanceOptions(
        contracts=contracts,
        settling=min(_MAX_SETTLING, contracts // 4),
        coinm_rows=options.value(COINM_ROWS),
        intervals_listed=options.value(FUNDING_INFO),
        held_back=HELD_BACK,
        tick_ms=options.tick_ms,
        phase_ms=own_phase_ms(options, FEED, options.tick_ms),
        retry_after=options.retry_after,
        rules=replace(RULES, ping_every_s=options.ping_every_s),
    )
    return BinanceUsdm(options.seed, own, now_ms, shared_limits(options))


class BinanceUsdm(BinanceExchange):
    """The exchange. `limits`: counted here and elsewhere; None: its own."""

    wire = wire.USDM_WIRE
    row_template = staticmethod(usdm_row)

    def __init__(
        self, seed: int, options: BinanceOptions, now_ms: int, limits: RateLimits | None = None
    ) -> None:
        self._options = options
        contracts = binance_universe.contracts(
            options.contracts, options.settling, options.coinm_rows, now_ms, options.held_back
        )
        market = Market(seed, FEED, contracts)
        listings = Listings([contract.symbol for contract in contracts], options.held_back)
        book = SettlementBook(market, now_ms, listings)
        api = BinanceRest(
            market,
            listings,
            book,
            limits or RateLimits(options.weight_per_minute, options.pool_per_5_minutes),
            frozen=market.snapshot(binance_universe.frozen_at_ms(now_ms)),
            retry_after=options.retry_after,
            intervals_listed=options.intervals_listed,
        )
        super().__init__(
            FEED,
            market,
            listings,
            book,
            api,
            self._arrays,
            tick_ms=options.tick_ms,
            phase_ms=options.phase_ms,
        )
        # REST answers from the start: with the tick before the first that is streamed.
        self.prepare(now_ms // self.tick_ms * self.tick_ms).published()

    def session(self, path: str, query: Mapping[str, str]) -> BinanceSession | None:
        """Open a connection (§1); routes other than /market stay silent."""
        route = next(
            (r for r in ("/market", "/public", "/private") if path.startswith(r + "/")), ""
        )
        return opened_session(
            path.removeprefix(route),
            query,
            self._options.rules,
            self._options.max_streams,
            delivers=route == "/market",
        )

    def _arrays(self, live: Sequence[int]) -> StreamPlan:
        """The arrays of one tick: crypto in pieces, TradFi apart (§5)."""
        contracts: Sequence[Contract] = self.contracts
        groups = (
            [row for row in live if contracts[row].kind != "tradfi"],
            [row for row in live if contracts[row].kind == "tradfi"],
        )
        arrays = [
            piece.tolist()
            for group in groups
            if group
            for piece in np.array_split(
                np.array(group), -(-len(group) // self._options.rows_per_array)
            )
        ]
        named: list[tuple[str, int | Sequence[int]]] = [("!markPrice@arr", range(len(arrays)))]
        named += [
            (f"{contracts[row].symbol.lower()}@markPrice", row)
            for row in live
            if contracts[row].kind != "foreign"
        ]
        return StreamPlan(arrays, named)


SIMULATED = Simulated(745, create, wire.USDM_WIRE, (COINM_ROWS, FUNDING_INFO), UsdmRows())
