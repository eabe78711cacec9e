"""What the sockets and REST of the simulated KuCoin show: contracts, estimates, what is listed."""

from __future__ import annotations

from collections.abc import Sequence

from infra.simulator.kucoin import universe
from infra.simulator.kucoin.estimates import Estimates
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Market
from infra.simulator.market.truth import head
from infra.simulator.market.universe import Contract


class KucoinState:
    """Contracts by their row number, in the market's order."""

    def __init__(
        self,
        feed: str,
        contracts: Sequence[Contract],
        seed: int,
        *,
        held_back: int,
        tick_ms: int,
        phase_ms: int,
        push_ms: int,
    ) -> None:
        self.tick_ms = tick_ms
        self.phase_ms = phase_ms
        self.contracts = contracts
        self.market = Market(seed, feed, contracts, universe.STEP_UNITS)
        self.listings = Listings([c.symbol for c in contracts], held_back)
        self.estimates = Estimates(self.market, self.listings, tick_ms, push_ms, phase_ms)
        self.heads = [head(feed, contract.symbol) for contract in contracts]
        self._rows = {contract.symbol: row for row, contract in enumerate(contracts)}

    def live_row(self, symbol: str) -> int | None:
        """The row of a contract that is listed now."""
        return self._rows.get(symbol) if self.listings.is_listed(symbol) else None

    def known_row(self, symbol: str) -> int | None:
        """The row of a contract that is listed or was."""
        return self._rows[symbol] if self.listings.is_known(symbol) else None

    def is_rated(self, row: int) -> bool:
        """Whether a contract has a rate now."""
        contract = self.contracts[row]
        return contract.kind != "dated" and self.listings.is_listed(contract.symbol)

    def rated_rows(self) -> list[int]:
        """The contracts that have a rate now."""
        return [row for row in self.listings.rows() if self.contracts[row].kind != "dated"]
