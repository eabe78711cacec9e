"""Simulated KuCoin Futures: both sockets and REST of one feed (docs/exchanges/kucoin.md).

This module says which path is which socket and tells what has settled. The other modules of the
folder hold the sockets' protocols (uta.py, classic.py), the texts of pushes (tick.py) and REST.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from infra.simulator.exchange import RestCall, RestReply, SettledRate, Simulated
from infra.simulator.kucoin import universe, wire
from infra.simulator.kucoin.classic import ClassicSession, Tokens
from infra.simulator.kucoin.estimates import decimal_text
from infra.simulator.kucoin.limits import KucoinLimits
from infra.simulator.kucoin.rest import CLASSIC_PATH, KucoinRest
from infra.simulator.kucoin.state import KucoinState
from infra.simulator.kucoin.tick import KucoinTick
from infra.simulator.kucoin.uta import UtaSession
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.market import Settlements
from infra.simulator.options import HELD_BACK, NO_LIMIT, OwnOption, SimulatorOptions
from infra.simulator.phases import most_steps, own_phase_ms, steps_in

FEED = "kucoin"


@dataclass(frozen=True, slots=True)
class KucoinOptions:
    """What can be varied. Defaults follow kucoin.md §A, §5 and §8.

    Attributes:
        contracts: perpetuals; dated ones come on top.
        held_back: more perpetuals, not listed at first.
        tick_ms: between two pushes of a contract's mark price.
        phase_ms: how far pushes are past the multiples of `tick_ms`.
        steps: a contract's mark prices come in one of so many steps of that time, always the same.
        push_ms: between two estimates; a minute on the exchange.
        epoch_times: contracts/active has nextFundingRateDateTime beside the countdown.
        weight_per_30_s: REST limit.
    """

    contracts: int = 682
    held_back: int = 0
    tick_ms: int = 1_000
    phase_ms: int = 0
    steps: int = 1
    push_ms: int = 60_000
    epoch_times: bool = True
    weight_per_30_s: int = 2_000


PUSH_S = OwnOption(
    "kucoin_push_s",
    default=60.0,
    values=(0.02, 600.0),
    help="Seconds between two pushes of KuCoin's estimates.",
)


def create(options: SimulatorOptions, contracts: int, now_ms: int) -> Kucoin:
    """The exchange of a simulator process."""
    own = KucoinOptions(
        contracts=contracts,
        held_back=HELD_BACK,
        tick_ms=options.tick_ms,
        phase_ms=own_phase_ms(options, FEED, options.tick_ms),
        steps=most_steps(options),
        push_ms=round(options.value(PUSH_S) * 1_000),
    )
    limits = KucoinLimits(NO_LIMIT if options.open_limits else own.weight_per_30_s)
    return Kucoin(options.seed, own, now_ms, limits)


class Kucoin(KucoinState):
    """The exchange: created at a time, then driven by ticks, sessions and calls."""

    name = FEED
    wire = wire.WIRE

    def __init__(
        self,
        seed: int,
        options: KucoinOptions,
        now_ms: int,
        limits: KucoinLimits | None = None,
    ) -> None:
        super().__init__(
            FEED,
            universe.contracts(options.contracts, now_ms, options.held_back),
            seed,
            held_back=options.held_back,
            period_ms=options.tick_ms,
            phase_ms=options.phase_ms,
            steps=steps_in(options.tick_ms, options.steps),
            push_ms=options.push_ms,
        )
        self.book = SettlementBook(self.market, now_ms, self.listings)
        self._tokens = Tokens()
        self._now_ms = now_ms
        self.started_ms = now_ms // self.tick_ms * self.tick_ms
        self.api = KucoinRest(
            self,
            self.book,
            self._tokens,
            limits or KucoinLimits(options.weight_per_30_s),
            self.prepare(self.started_ms),
            epoch_times=options.epoch_times,
        )

    def session(self, path: str, query: Mapping[str, str]) -> UtaSession | ClassicSession | None:
        """Open a connection.

        The exchange has a host for each socket; here a token, or the path that bullet-public
        names, makes it the classic one.
        """
        token = query.get("token")
        if path.rstrip("/") == CLASSIC_PATH.rstrip("/") or (token and path.rstrip("/") == ""):
            admitted = self._tokens.spend(token or "", self._now_ms)
            return ClassicSession(self, query.get("connectId", "welcome"), admitted=admitted)
        return UtaSession(self) if path.rstrip("/") == "" else None

    def rest(self, call: RestCall) -> RestReply:
        """Answer an HTTP request."""
        return self.api.answer(call)

    def refusal(self, call: RestCall, status: int, retry_after_s: int | None) -> RestReply | None:
        """Refuse a call with a status as the exchange words it."""
        del call
        return wire.refusal(status, retry_after_s)

    def maintenance(self, call: RestCall) -> RestReply | None:
        """Answer a call for the exchange's state during maintenance."""
        return wire.maintenance(call)

    def prepare(self, at_ms: int) -> KucoinTick:
        """Compute the tick of a grid time."""
        self._now_ms = max(self._now_ms, at_ms)
        return KucoinTick(self, at_ms, self._show)

    def _show(self, tick: KucoinTick) -> None:
        # The first tick is made before REST is.
        self.api.show(tick)

    def settled_at_start(self) -> Iterable[SettledRate]:
        """The 40 days before the start."""
        return self._settled(self.book.all)

    def settle(self, now_ms: int) -> Iterable[SettledRate]:
        """What has settled since the last call."""
        return self._settled(self.book.settle(now_ms))

    def _settled(self, settlements: Settlements) -> Iterable[SettledRate]:
        for row, funding_ms, units, hours in zip(
            settlements.row.tolist(),
            settlements.funding_ms.tolist(),
            settlements.rate_units.tolist(),
            settlements.interval_hours.tolist(),
            strict=True,
        ):
            yield SettledRate(self.contracts[row].symbol, funding_ms, decimal_text(units), hours)


SIMULATED = Simulated(682, create, wire.WIRE, (PUSH_S,))
