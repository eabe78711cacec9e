"""The simulated exchanges of the registered feeds, and how many contracts each gets in a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infra.simulator.exchange import Exchange, Simulated
from infra.simulator.options import SimulatorOptions
from schemas.errors import ConfigurationError
from schemas.feeds import FEEDS, part, spec

MIN_CONTRACTS = 2


def _simulated() -> dict[str, Simulated]:
    modules = {feed: spec(feed).simulator for feed in FEEDS}
    return {feed: part(feed, name, "SIMULATED") for feed, name in modules.items() if name}


SIMULATED: Mapping[str, Simulated] = _simulated()
"""Every registered feed that can be simulated."""


def listed_contracts(feeds: Sequence[str]) -> int:
    """Return how many perpetuals the real exchanges of some feeds list.

    Raises:
        ConfigurationError: a feed cannot be simulated.
    """
    if unknown := [feed for feed in feeds if feed not in SIMULATED]:
        raise ConfigurationError(f"feeds: {unknown[0]!r} has no simulated exchange")
    return sum(SIMULATED[feed].perpetuals for feed in feeds)


ALL_CONTRACTS = listed_contracts(list(SIMULATED))


def shares(feeds: Sequence[str], contracts: int) -> dict[str, int]:
    """Share a number of contracts among feeds, in the proportions of the real exchanges.

    The shares add up to `contracts`, except that no feed gets fewer than MIN_CONTRACTS.

    Raises:
        ConfigurationError: a feed is not known, or named twice.
    """
    for number, feed in enumerate(feeds):
        if feed not in SIMULATED or feed in feeds[:number]:
            known = ", ".join(SIMULATED)
            raise ConfigurationError(f"feeds: each at most once of {known}; not {feed!r}")
    weights = {feed: SIMULATED[feed].perpetuals for feed in feeds}
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
        SIMULATED[feed].create(options, share, now_ms)
        for feed, share in shares(feeds, contracts).items()
    ]
