"""The simulated exchanges: one line each, and how many contracts each gets.

Responsible for: which feeds can be simulated, and sharing the contracts of a run among them in
the proportions of the real exchanges. Not responsible for: any exchange's protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from infra.simulator.backpack import exchange as backpack
from infra.simulator.binance import coinm as binance_coinm
from infra.simulator.binance import usdm as binance_usdm
from infra.simulator.exchange import Exchange
from infra.simulator.hyperliquid import exchange as hyperliquid
from infra.simulator.kucoin import exchange as kucoin
from infra.simulator.options import SimulatorOptions
from schemas.errors import ConfigurationError
from schemas.feeds import FEEDS

Factory = Callable[[SimulatorOptions, int, int], Exchange]
"""`create(options, contracts, now_ms)` of an exchange's module; `contracts` are the listed
perpetuals, HELD_BACK more come on top."""

MIN_CONTRACTS = 2


class _Simulated(NamedTuple):
    perpetuals: int
    """Of the real exchange (exchanges.md §8)."""
    create: Factory


_SIMULATED: Mapping[str, _Simulated] = {
    "binance-usdm": _Simulated(745, binance_usdm.create),
    "binance-coinm": _Simulated(30, binance_coinm.create),
    "kucoin": _Simulated(682, kucoin.create),
    "hyperliquid": _Simulated(326, hyperliquid.create),
    "backpack": _Simulated(91, backpack.create),
}

EXCHANGES: Mapping[str, Factory] = {feed: one.create for feed, one in _SIMULATED.items()}

ALL_CONTRACTS = sum(one.perpetuals for one in _SIMULATED.values())


def default_feeds() -> tuple[str, ...]:
    """Every feed of fundingstream that can be simulated."""
    return tuple(feed for feed in FEEDS if feed in EXCHANGES)


def shares(feeds: Sequence[str], contracts: int) -> dict[str, int]:
    """Share a number of contracts among feeds, in the proportions of the real exchanges.

    The shares add up to `contracts`, except that no feed gets fewer than MIN_CONTRACTS.

    Raises:
        ConfigurationError: a feed is not known, or named twice.
    """
    for number, feed in enumerate(feeds):
        if feed not in EXCHANGES or feed in feeds[:number]:
            known = ", ".join(EXCHANGES)
            raise ConfigurationError(f"feeds: each at most once of {known}; not {feed!r}")
    weights = {feed: _SIMULATED[feed].perpetuals for feed in feeds}
    total = sum(weights.values())
    found = {f: max(MIN_CONTRACTS, contracts * w // total) for f, w in weights.items()}

    def excess(feed: str) -> int:
        # How far a feed is above its exact share, in units of 1 / total.
        return found[feed] * total - contracts * weights[feed]

    while sum(found.values()) < contracts:
        found[min(found, key=excess)] += 1
    while sum(found.values()) > contracts:
        larger = [feed for feed, share in found.items() if share > MIN_CONTRACTS]
        if not larger:
            break
        found[max(larger, key=excess)] -= 1
    return found


def create_exchanges(
    feeds: Sequence[str], options: SimulatorOptions, contracts: int, now_ms: int
) -> list[Exchange]:
    """Create the exchanges of a run.

    Raises:
        ConfigurationError: as `shares`.
    """
    return [
        EXCHANGES[feed](options, share, now_ms) for feed, share in shares(feeds, contracts).items()
    ]
