"""Simulated Binance COIN-M: which of the disputed paths delivers, its pair streams and options.

The facts are those of docs/exchanges/binance-coinm.md. streams.py holds ticks and sessions, rest.py
REST, coinm_universe.py the contracts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from infra.simulator.binance import coinm_universe, universe, wire
from infra.simulator.binance.frames import coinm_row
from infra.simulator.binance.limits import RateLimits, shared_limits
from infra.simulator.binance.rest import CoinmRest
from infra.simulator.binance.streams import (
    RULES,
    BinanceExchange,
    BinanceSession,
    StreamPlan,
    opened_session,
)
from infra.simulator.exchange import Simulated, SocketRules
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Market
from infra.simulator.options import HELD_BACK, OwnOption, SimulatorOptions
from infra.simulator.phases import own_phase_ms

FEED = "binance-coinm"

Route = Literal["", "/market"]
"""What precedes `/stream` and `/ws`: the sources disagree (§1)."""


@dataclass(frozen=True, slots=True)
class CoinmOptions:
    """What can be varied. Defaults follow binance-coinm.md §1, §3 and §7.

    `delivering` is the route that delivers; the other acks and stays silent.
    """

    contracts: int = 30
    held_back: int = 0
    delivering: Route = ""
    tick_ms: int = 1_000
    phase_ms: int = 0
    max_streams: int = 1_024
    retry_after: bool = False
    rules: SocketRules = RULES


COINM_PATH = OwnOption(
    "coinm_path",
    default="/stream",
    values=("/stream", "/market/stream"),
    help="The path at which COIN-M delivers; the other stays silent.",
)


def create(options: SimulatorOptions, contracts: int, now_ms: int) -> BinanceCoinm:
    """The exchange of a simulator process."""
    own = CoinmOptions(
        contracts=contracts,
        held_back=HELD_BACK,
        delivering="/market" if options.value(COINM_PATH) == "/market/stream" else "",
        tick_ms=options.tick_ms,
        phase_ms=own_phase_ms(options, FEED, options.tick_ms),
        retry_after=options.retry_after,
        rules=replace(RULES, ping_every_s=options.ping_every_s),
    )
    return BinanceCoinm(options.seed, own, now_ms, shared_limits(options))


class BinanceCoinm(BinanceExchange):
    """The exchange. `limits`: shared with USD-M where both are hosted; None: its own."""

    wire = wire.COINM_WIRE
    row_template = staticmethod(coinm_row)

    def __init__(
        self, seed: int, options: CoinmOptions, now_ms: int, limits: RateLimits | None = None
    ) -> None:
        self._options = options
        contracts = coinm_universe.contracts(options.contracts, now_ms, options.held_back)
        market = Market(seed, FEED, contracts)
        listings = Listings([contract.symbol for contract in contracts], options.held_back)
        book = SettlementBook(market, now_ms, listings)
        api = CoinmRest(
            market,
            listings,
            book,
            limits or RateLimits(),
            frozen=market.snapshot(universe.frozen_at_ms(now_ms)),
            retry_after=options.retry_after,
        )
        super().__init__(
            FEED,
            market,
            listings,
            book,
            api,
            self._pairs,
            tick_ms=options.tick_ms,
            phase_ms=options.phase_ms,
        )
        # REST answers from the start: with the tick before the first that is streamed.
        self.prepare(now_ms // self.tick_ms * self.tick_ms).published()

    def session(self, path: str, query: Mapping[str, str]) -> BinanceSession | None:
        """Open a connection at one of the candidate paths (§1)."""
        route: Route = "/market" if path.startswith("/market/") else ""
        return opened_session(
            path.removeprefix(route),
            query,
            self._options.rules,
            self._options.max_streams,
            delivers=route == self._options.delivering,
        )

    def _pairs(self, live: Sequence[int]) -> StreamPlan:
        """One array per pair, delivery contracts included (§2, §4).

        `!markPrice@arr` is not documented here, and stays silent.
        """
        members: dict[str, list[int]] = {}
        for row in live:
            members.setdefault(universe.pair(self.contracts[row]), []).append(row)
        named: list[tuple[str, int | Sequence[int]]] = [
            (f"{self.contracts[row].symbol.lower()}@markPrice", row) for row in live
        ]
        named += [(f"{pair.lower()}@markPrice", (number,)) for number, pair in enumerate(members)]
        return StreamPlan(list(members.values()), named)


SIMULATED = Simulated(30, create, wire.COINM_WIRE, (COINM_PATH,))
