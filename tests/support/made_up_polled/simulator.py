"""The venue without a stream, simulated."""

from __future__ import annotations

from collections.abc import Mapping

from infra.simulator.exchange import Session, Simulated
from infra.simulator.options import SimulatorOptions
from tests.support.made_up_polled.facts import FEED
from tests.support.made_up_venue.simulator import WIRE, MadeUp


class MadeUpPolled(MadeUp):
    """The exchange."""

    name = FEED.name

    def session(self, path: str, query: Mapping[str, str]) -> Session | None:
        """Refuse every connection."""
        del path, query
        return None


def create(options: SimulatorOptions, contracts: int, now_ms: int) -> MadeUpPolled:
    """Create the exchange of a simulator process."""
    return MadeUpPolled(options.seed, contracts, options.tick_ms, now_ms)


SIMULATED = Simulated(20, create, WIRE)
