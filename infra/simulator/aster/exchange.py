"""Simulated Aster: one path for all streams, one array of all contracts, its limits and options.

The facts are those of docs/exchanges/aster.md. Ticks, sessions and control messages are those of
infra/simulator/binance/streams.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from infra.simulator.aster import universe
from infra.simulator.aster.rest import AsterRest
from infra.simulator.aster.universe import FEED
from infra.simulator.aster.wire import WIRE
from infra.simulator.binance.frames import EVENT, SWALLOWED
from infra.simulator.binance.limits import RateLimits
from infra.simulator.binance.streams import (
    BinanceExchange,
    BinanceSession,
    StreamPlan,
    opened_session,
)
from infra.simulator.binance.universe import frozen_at_ms
from infra.simulator.exchange import Simulated, SocketRules
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Market
from infra.simulator.market.universe import Contract
from infra.simulator.options import HELD_BACK, NO_LIMIT, OwnOption, SimulatorOptions
from infra.simulator.phases import own_phase_ms

LISTED = 480
"""Contracts of the real exchange (§8)."""
RULES = SocketRules(ping_every_s=300.0, pong_within_s=900.0, messages_per_s=10, max_age_s=86_400.0)
"""§3 and §4."""
_MAX_SETTLING = 4
_WEIGHT_PER_MINUTE = 2_400
_SECOND_MS = 1_000


@dataclass(frozen=True, slots=True)
class AsterOptions:
    """What can be varied. Defaults follow aster.md §3, §8 and §9."""

    contracts: int = LISTED
    settling: int = _MAX_SETTLING
    held_back: int = 0
    tick_ms: int = _SECOND_MS
    phase_ms: int = 0
    max_streams: int = 200
    weight_per_minute: int = _WEIGHT_PER_MINUTE
    stocks: universe.StockType = "PERPETUAL"
    retry_after: bool = False
    rules: SocketRules = RULES


STOCKS = OwnOption(
    "aster_stocks",
    default="PERPETUAL",
    values=("PERPETUAL", "TRADIFI_PERPETUAL"),
    help="The contractType of Aster's stocks and commodities.",
)


def create(options: SimulatorOptions, contracts: int, now_ms: int) -> Aster:
    """The exchange of a simulator process."""
    # Event times are whole seconds (§5).
    whole = options.tick_ms % _SECOND_MS == 0
    own = AsterOptions(
        contracts=contracts,
        settling=min(_MAX_SETTLING, contracts // 4),
        held_back=HELD_BACK,
        tick_ms=options.tick_ms,
        phase_ms=0 if whole else own_phase_ms(options, FEED, options.tick_ms),
        weight_per_minute=NO_LIMIT if options.open_limits else _WEIGHT_PER_MINUTE,
        stocks=options.value(STOCKS),
        retry_after=options.retry_after,
        rules=replace(RULES, ping_every_s=options.ping_every_s),
    )
    return Aster(options.seed, own, now_ms)


def stream_row(contract: Contract, next_funding_ms: int) -> bytes:
    """The text of a row: without average price and `st` (§6)."""
    return (
        f'{{"e":"markPriceUpdate","E":{EVENT},"s":"{contract.symbol}","p":"%.8f",{SWALLOWED}'
        f'"P":"%.8f","i":"%.8f","r":"%.8f","T":{next_funding_ms}}}'
    ).encode()


class Aster(BinanceExchange):
    """The exchange."""

    wire = WIRE
    row_template = staticmethod(stream_row)
    jitter_ms = 1

    def __init__(self, seed: int, options: AsterOptions, now_ms: int) -> None:
        self._options = options
        contracts = universe.contracts(
            options.contracts, options.settling, now_ms, options.held_back, options.stocks
        )
        market = Market(seed, FEED, contracts)
        listings = Listings([contract.symbol for contract in contracts], options.held_back)
        book = SettlementBook(market, now_ms, listings)
        api = AsterRest(
            market,
            listings,
            book,
            RateLimits(options.weight_per_minute),
            frozen=market.snapshot(frozen_at_ms(now_ms)),
            retry_after=options.retry_after,
            intervals_listed="all",
        )
        super().__init__(
            FEED,
            market,
            listings,
            book,
            api,
            self._one_array,
            tick_ms=options.tick_ms,
            phase_ms=options.phase_ms,
        )
        # REST answers from the start: with the tick before the first that is streamed.
        self.prepare(now_ms // self.tick_ms * self.tick_ms).published()

    def session(self, path: str, query: Mapping[str, str]) -> BinanceSession | None:
        """Open a connection; nothing is split by route (§1)."""
        return opened_session(
            path,
            query,
            self._options.rules,
            self._options.max_streams,
            delivers=True,
            needs_id=False,
        )

    def _one_array(self, live: Sequence[int]) -> StreamPlan:
        """All contracts in one array (§5)."""
        named: list[tuple[str, int | Sequence[int]]] = [("!markPrice@arr", (0,))]
        named += [(f"{self.contracts[row].symbol.lower()}@markPrice", row) for row in live]
        return StreamPlan([list(live)], named)


SIMULATED = Simulated(LISTED, create, WIRE, (STOCKS,))
