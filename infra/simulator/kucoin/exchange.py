"""Simulated KuCoin Futures: both sockets and REST of one feed (exchanges.md section 3).

Responsible for: which path is which socket, what is listed and has a rate, settlements. Not
responsible for: protocols (kucoin_uta.py, kucoin_classic.py), texts (kucoin_tick.py), REST
(kucoin_rest.py), contracts (kucoin_universe.py), what is shown when (kucoin_estimates.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from infra.simulator.exchange import Frame, RestCall, RestReply, Session, SettledRate
from infra.simulator.kucoin import universe
from infra.simulator.kucoin.classic import ClassicSession, Tokens
from infra.simulator.kucoin.estimates import Estimates, decimal_text
from infra.simulator.kucoin.limits import KucoinLimits
from infra.simulator.kucoin.rest import CLASSIC_PATH, KucoinRest
from infra.simulator.kucoin.tick import KucoinTick
from infra.simulator.kucoin.uta import UtaSession
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Market, Settlements
from infra.simulator.market.truth import head
from infra.simulator.options import HELD_BACK, NO_LIMIT, SimulatorOptions

FEED = "kucoin"


@dataclass(frozen=True, slots=True)
class KucoinOptions:
    """What can be varied. Defaults follow exchanges.md 3A, 3.5 and 3.8.

    Attributes:
        contracts: perpetuals; dated ones come on top.
        held_back: more perpetuals, not listed at first.
        tick_ms: between two pushes of mark prices.
        push_ms: between two estimates; a minute on the exchange.
        epoch_times: contracts/active has nextFundingRateDateTime beside the countdown.
        weight_per_30_s: REST limit.
    """

    contracts: int = 682
    held_back: int = 0
    tick_ms: int = 1_000
    push_ms: int = 60_000
    epoch_times: bool = True
    weight_per_30_s: int = 2_000


def create(options: SimulatorOptions, contracts: int, now_ms: int) -> Kucoin:
    """The exchange of a simulator process."""
    own = KucoinOptions(
        contracts=contracts,
        held_back=HELD_BACK,
        tick_ms=options.tick_ms,
        push_ms=options.kucoin_push_ms,
    )
    limits = KucoinLimits(NO_LIMIT if options.open_limits else own.weight_per_30_s)
    return Kucoin(options.seed, own, now_ms, limits)


class Kucoin:
    """The exchange: created at a time, then driven by ticks, sessions and calls."""

    name = FEED

    def __init__(
        self,
        seed: int,
        options: KucoinOptions,
        now_ms: int,
        limits: KucoinLimits | None = None,
    ) -> None:
        self.tick_ms = options.tick_ms
        self.contracts = universe.contracts(options.contracts, now_ms, options.held_back)
        self.market = Market(seed, FEED, self.contracts, universe.STEP_UNITS)
        self.listings = Listings([c.symbol for c in self.contracts], options.held_back)
        self.estimates = Estimates(self.market, options.tick_ms, options.push_ms)
        self.heads = [head(FEED, contract.symbol) for contract in self.contracts]
        self._rows = {contract.symbol: row for row, contract in enumerate(self.contracts)}
        self.book = SettlementBook(self.market, now_ms, self.listings)
        self._tokens = Tokens()
        self._now_ms = now_ms
        self.started_ms = now_ms // self.tick_ms * self.tick_ms
        self.api = KucoinRest(
            self,
            self.book,
            self._tokens,
            limits or KucoinLimits(options.weight_per_30_s),
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

    def prepare(self, at_ms: int) -> KucoinTick:
        """Compute the tick of a grid time."""
        self._now_ms = max(self._now_ms, at_ms)
        return KucoinTick(self, at_ms)

    def due(self, session: Session, tick: KucoinTick) -> Iterator[Frame]:
        """What a tick brings to a session of this exchange."""
        return cast("UtaSession | ClassicSession", session).due(tick)

    def settled_at_start(self) -> Iterable[SettledRate]:
        """The 30 days before the start."""
        return self._settled(self.book.all)

    def settle(self, now_ms: int) -> Iterable[SettledRate]:
        """What has settled since the last call."""
        return self._settled(self.book.settle(now_ms))

    def live_row(self, symbol: str) -> int | None:
        """The row of a contract that is listed now."""
        return self._rows.get(symbol) if self.listings.is_listed(symbol) else None

    def known_row(self, symbol: str) -> int | None:
        """The row of a contract that is listed or was."""
        known = self.listings.is_listed(symbol) or self.listings.is_delisted(symbol)
        return self._rows.get(symbol) if known else None

    def is_rated(self, row: int) -> bool:
        """Whether a contract has a rate now."""
        contract = self.contracts[row]
        return contract.kind != "dated" and self.listings.is_listed(contract.symbol)

    def rated_rows(self) -> list[int]:
        """The contracts that have a rate now."""
        return [row for row in self.listings.rows() if self.contracts[row].kind != "dated"]

    def _settled(self, settlements: Settlements) -> Iterable[SettledRate]:
        for row, funding_ms, units in zip(
            settlements.row.tolist(),
            settlements.funding_ms.tolist(),
            settlements.rate_units.tolist(),
            strict=True,
        ):
            contract = self.contracts[row]
            text = decimal_text(units)
            hours = self.market.interval_hours(row)
            yield SettledRate(contract.symbol, funding_ms, text, hours)
