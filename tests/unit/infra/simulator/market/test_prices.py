"""Contracts of one base have one price on all simulated exchanges, as those of one asset have."""

from __future__ import annotations

from collections import defaultdict

from infra.simulator.options import SimulatorOptions
from infra.simulator.registry import ALL_CONTRACTS, SIMULATED, create_exchanges
from schemas.feeds import part, spec
from schemas.partitioning import contract_id
from stream_app.normalise.assets import canonical_asset
from stream_app.pairing import MOST_APART
from tests.support.clock import START_US


def test_a_unit_costs_the_same_wherever_it_is_traded() -> None:
    """Whatever prefix or multiplier a symbol has: else it would be in no spread."""
    now_ms = START_US // 1_000
    found: dict[str, list[tuple[float, str]]] = defaultdict(list)
    exchanges = create_exchanges(list(SIMULATED), SimulatorOptions(), ALL_CONTRACTS, now_ms)
    for exchange in exchanges:
        feed = spec(exchange.name)
        split = part(feed.name, feed.normaliser, "split_symbol")
        marks = exchange.market.snapshot(now_ms).mark
        for contract, mark in zip(exchange.market.contracts, marks.tolist(), strict=True):
            if contract.kind in ("crypto", "tradfi") and not contract.frozen:
                base, multiplier = canonical_asset(split(contract.symbol)[0], feed.assets)
                found[base].append((mark / multiplier, contract_id(feed.name, contract.symbol)))
    apart = {base: sorted(told) for base, told in found.items() if _gap(told) > MOST_APART}
    assert apart == {}
    assert max(map(len, found.values())) > len(SIMULATED) // 2


def _gap(told: list[tuple[float, str]]) -> float:
    prices = [price for price, _ in told]
    return max(prices) / min(prices) - 1
