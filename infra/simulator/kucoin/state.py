"""What the sockets and REST of the simulated KuCoin show: contracts, estimates, what is listed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from infra.simulator.kucoin import universe
from infra.simulator.kucoin.estimates import Estimates
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Market, Snapshot
from infra.simulator.market.truth import head
from infra.simulator.market.universe import Contract
from infra.simulator.phases import own_steps

INSTRUMENT = "/contract/instrument:"
"""The topic of the classic socket that is followed by a contract."""


class KucoinState:
    """Contracts by their row number, in the market's order."""

    def __init__(
        self,
        feed: str,
        contracts: Sequence[Contract],
        seed: int,
        *,
        held_back: int,
        period_ms: int,
        phase_ms: int,
        steps: int,
        push_ms: int,
    ) -> None:
        """`period_ms`: between two mark prices of a contract, in one of its `steps`."""
        self.period_ms = period_ms
        self.tick_ms = period_ms // steps
        self.phase_ms = phase_ms % self.tick_ms
        self.contracts = contracts
        self.market = Market(seed, feed, contracts, universe.STEP_UNITS)
        self.listings = Listings([c.symbol for c in contracts], held_back)
        self.estimates = Estimates(self.market, self.listings, period_ms, push_ms, phase_ms)
        self.heads = [head(feed, contract.symbol) for contract in contracts]
        self._prices: Snapshot | None = None
        self.instrument_topics = [f"{INSTRUMENT}{contract.symbol}" for contract in contracts]
        self._rows = {contract.symbol: row for row, contract in enumerate(contracts)}
        own = own_steps(seed, feed, [contract.symbol for contract in contracts], steps)
        self._rows_by_step = [frozenset(np.flatnonzero(own == n).tolist()) for n in range(steps)]

    def priced_rows(self, at_ms: int) -> frozenset[int]:
        """The contracts whose mark prices come with the tick of a time."""
        return self._rows_by_step[at_ms % self.period_ms // self.tick_ms]

    def prices_at(self, at_ms: int) -> Snapshot:
        """Return the market at a time; all ticks of a period ask for the same."""
        if self._prices is None or self._prices.at_ms != at_ms:
            self._prices = self.market.snapshot(at_ms)
        return self._prices

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
