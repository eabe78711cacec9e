"""The REST calls of an hour in which a feed's stream is well, by its description.

`python -m benchmarks.hourly_calls` writes the table of them into docs/feeds.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.platform import ROOT
from benchmarks.tables import table
from infra.simulator.exchange import Exchange as SimulatedExchange
from infra.simulator.options import SimulatorOptions
from infra.simulator.registry import SIMULATED
from producers.exchanges import exchange
from producers.exchanges.spec import Exchange
from producers.policy.history.bulk_schedule import SETTLED_AFTER_S
from producers.settings import ProducerSettings
from schemas.feeds import FEEDS

PAGE = ROOT / "docs" / "feeds.md"
START_MS = 1_790_000_000_000
_BEGIN, _END = "<!-- calls of an hour -->", "<!-- end -->"
_TABLE = re.compile(f"(?<={_BEGIN}\n\n).*?(?=\n\n{_END})", re.DOTALL)


class HourlyCalls(NamedTuple):
    """How often REST is asked in an hour after the start, by what for."""

    facts: Mapping[str, float]
    """Lists, terms and liquidity, by resource."""
    settled: float
    snapshot: float
    """What the stream is compared with: one call for each family of contracts that there are."""
    quiet: float
    """At most, for contracts that are quiet: as many calls, while each family has one."""
    turn_hours: float | None = None
    """How long until a contract is asked for its settled rates again; None: one walk brings all."""

    @property
    def healthy(self) -> float:
        """All of them while no contract is quiet."""
        return sum(self.facts.values()) + self.settled + self.snapshot

    @property
    def most(self) -> float:
        """All of them while contracts of every family are quiet."""
        return self.healthy + self.quiet


def hourly_calls(found: Exchange, symbols: Sequence[str]) -> HourlyCalls:
    """Return the calls of a feed that streams some contracts."""
    refreshes = 3_600 / ProducerSettings.model_fields["producer_registry_refresh_s"].default
    facts: dict[str, float] = {}
    for call in found.fact_calls:
        facts[call.resource] = facts.get(call.resource, 0.0) + refreshes / call.every
    snapshot = len(found.snapshot_calls(symbols))
    quiet_every_s, settled = found.quiet_every_s, found.true_up_calls_per_hour
    return HourlyCalls(
        facts,
        float(settled or len(SETTLED_AFTER_S)),
        float(snapshot),
        0.0 if quiet_every_s is None else 3_600 / quiet_every_s * snapshot,
        max(1.0, len(symbols) / settled) if settled else None,
    )


def streaming(simulated: SimulatedExchange) -> list[str]:
    """Return the contracts that a simulated exchange streams."""
    contracts = simulated.market.contracts
    return [
        contracts[row].symbol
        for row in simulated.listings.rows()
        if contracts[row].kind in {"crypto", "tradfi"} and not contracts[row].frozen
    ]


def calls_of(feed: str) -> HourlyCalls:
    """Return the calls of a feed with as many contracts as its exchange lists."""
    one = SIMULATED[feed]
    simulated = one.create(SimulatorOptions(), one.perpetuals, START_MS)
    return hourly_calls(exchange(feed), streaming(simulated))


def calls_table() -> str:
    """Return the table of all feeds in Markdown."""
    header = (
        "feed", "lists, terms and liquidity, by resource", "settled rates",
        "a contract's turn, h", "snapshot", "an hour", "for quiet contracts, at most", "with these",
    )  # fmt: skip
    return table(header, [_row(feed, calls_of(feed)) for feed in FEEDS])


def _row(feed: str, calls: HourlyCalls) -> tuple[str, ...]:
    facts = ", ".join(f"`{resource}` {count:g}" for resource, count in calls.facts.items())
    quiet = (f"{calls.quiet:g}", f"{calls.most:g}") if calls.quiet else ("-", "-")
    return (
        f"`{feed}`", facts, f"{calls.settled:g}",
        "-" if calls.turn_hours is None else f"{calls.turn_hours:.0f}",
        f"{calls.snapshot:g}", f"{calls.healthy:g}", *quiet,
    )  # fmt: skip


def with_table(page: str, calls: str) -> str:
    """Return a page with the table in the place of the one that it has."""
    return _TABLE.sub(lambda _: calls, page)


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), calls_table()), encoding="utf-8")
