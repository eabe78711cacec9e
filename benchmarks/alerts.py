"""`python -m benchmarks alerts`: how many alerts the simulated market makes of a day, by kind.

The market model goes through the worker's core without sockets and without waiting: 30 days of
settlements, then an update of each contract every few seconds, then what settles at each hour. So
it counts what an ordinary market alone leads to; what feeds tell of themselves is not in it.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence

from benchmarks.tables import table
from infra.simulator.market.market import HOUR_MS, Market
from infra.simulator.market.universe import UNITS_PER_ONE
from infra.simulator.options import SimulatorOptions
from infra.simulator.registry import SIMULATED, create_exchanges
from schemas.contract_status import ContractStatus
from schemas.feeds import spec
from schemas.records import Alert, Purpose, RawBatch, RawItem
from schemas.times import US_PER_HOUR, US_PER_MS
from schemas.topics import ALERTS
from stream_app.core.output.outputs import Output
from stream_app.core.partition import FeedPartition
from stream_app.model import (
    InstrumentUpdate,
    RateUpdate,
    ReadItem,
    SettledReader,
    SettlementUpdate,
    StreamReader,
    Update,
)

START_MS = 1_791_244_800_000
"""2026-10-06 00:00 UTC."""
HISTORY_MS = 30 * 24 * HOUR_MS
SETTLED_AFTER_MS = 20_000
"""When the settlements of an hour are known: as soon as a producer asks for them."""
STEP_S = 10.0
Instant = list[Update]


class ReadAlready:
    """A normaliser for updates that were never payloads: a payload is the number of its update."""

    def __init__(self) -> None:
        self.updates: Instant = []
        """The updates of the batch at hand."""

    def __call__(
        self, purpose: Purpose, channel: str, symbol: str, payload: bytes, received_at_us: int
    ) -> Sequence[Update]:
        """Return the update that a payload numbers."""
        del purpose, channel, symbol, received_at_us
        return (self.updates[int(payload)],)

    def frame(
        self, purpose: Purpose, channel: str, items: Sequence[RawItem]
    ) -> list[ReadItem] | None:
        """Return None: each item is read by itself."""
        del purpose, channel, items
        return None

    def column_reader(self, channel: str) -> StreamReader | None:
        """Return None: there is no text that could be read at once."""
        del channel
        return None

    def settled_reader(self, channel: str) -> SettledReader | None:
        """Return None, for the same reason."""
        del channel
        return None


class Day:
    """One feed's contracts in one partition of the core."""

    def __init__(self, feed: str, market: Market) -> None:
        self.feed = feed
        self._market = market
        self._rows = [
            row
            for row, contract in enumerate(market.contracts)
            if contract.kind in {"crypto", "tradfi"} and not contract.frozen
        ]
        self._symbols = [contract.symbol for contract in market.contracts]
        self._normaliser = ReadAlready()
        self._partition = FeedPartition(feed, 0, self._normaliser)
        self._offset = 0

    @property
    def contracts(self) -> int:
        """Contracts with rates."""
        return len(self._rows)

    def run(self, hours: float, step_s: float) -> Iterator[Alert]:
        """Yield what each step of the market leads to, from START_MS on."""
        yield from self._apply(self._listed(), START_MS, "contract")
        yield from self._settle(START_MS - HISTORY_MS, START_MS, START_MS)
        step_ms = int(max(step_s, spec(self.feed).cadence_s) * 1_000)
        settled_ms = START_MS
        for at_ms in range(START_MS + step_ms, START_MS + int(hours * HOUR_MS) + 1, step_ms):
            hour_ms = at_ms // HOUR_MS * HOUR_MS
            if hour_ms > settled_ms and at_ms >= hour_ms + SETTLED_AFTER_MS:
                yield from self._settle(settled_ms, hour_ms, at_ms)
                settled_ms = hour_ms
            yield from self._apply(self._updates(at_ms), at_ms, "stream")

    def _listed(self) -> Instant:
        return [
            InstrumentUpdate(
                self._symbols[row],
                status=ContractStatus.TRADING,
                interval_hours=float(self._market.interval_hours(row, START_MS)),
            )
            for row in self._rows
        ]

    def _updates(self, at_ms: int) -> Instant:
        shown = self._market.snapshot(at_ms)
        rates, due = shown.rate_units.tolist(), shown.next_funding_ms.tolist()
        return [
            RateUpdate(
                self._symbols[row],
                rates[row] / UNITS_PER_ONE,
                at_ms * US_PER_MS,
                next_funding_time=due[row] * US_PER_MS,
                interval_hours=float(self._market.interval_hours(row, at_ms)),
            )
            for row in self._rows
        ]

    def _settle(self, after_ms: int, until_ms: int, at_ms: int) -> Iterator[Alert]:
        known = self._market.settlements(after_ms, until_ms)
        columns = (known.row, known.funding_ms, known.rate_units, known.interval_hours)
        settled: Instant = [
            SettlementUpdate(
                self._symbols[row],
                funding_ms * US_PER_MS,
                units / UNITS_PER_ONE,
                interval_hours=float(hours),
            )
            for row, funding_ms, units, hours in zip(*(c.tolist() for c in columns), strict=True)
        ]
        yield from self._apply(settled, at_ms, "history")

    def _apply(self, updates: Instant, at_ms: int, purpose: Purpose) -> Iterator[Alert]:
        received_at = at_ms * US_PER_MS
        batch: RawBatch = {
            "feed": self.feed,
            "transport": "ws" if purpose == "stream" else "rest",
            "purpose": purpose,
            "channel": purpose,
            "connection_id": "benchmark",
            "sequence": self._offset,
            "received_at": received_at,
            "items": [
                {"symbol": update.symbol, "payload": b"%d" % number, "received_at": received_at}
                for number, update in enumerate(updates)
            ],
        }
        self._normaliser.updates = updates
        self._partition.apply(batch, self._offset, received_at)
        self._offset += 1
        outputs = self._partition.take_outputs()
        self._partition.take_closed_bars()
        assert not outputs.dead_letters, outputs.dead_letters[0]
        alerts = (o for o in outputs.others if isinstance(o, Output) and o.topic is ALERTS)
        yield from (alert.record for alert in alerts)


def count(alerts: Sequence[Alert]) -> dict[str, int]:
    """Return how many there are of each kind and severity."""
    return dict(sorted(Counter(f"{a['kind']} {a['severity']}" for a in alerts).items()))


def busiest_hour(alerts: Sequence[Alert]) -> int:
    """Return the most alerts of one hour."""
    return max(Counter(a["event_time"] // US_PER_HOUR for a in alerts).values(), default=0)


def main(arguments: Sequence[str]) -> int:
    """Run the days of all feeds, print what they led to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks alerts", description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--contracts", type=int, default=1874)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--step-s", type=float, default=STEP_S, help="between two updates")
    parser.add_argument("--feeds", default=",".join(tuple(SIMULATED)))
    parser.add_argument("--json", action="store_true", help="each alert, a line each")
    chosen = parser.parse_args(arguments)
    options = SimulatorOptions(seed=chosen.seed)
    feeds = chosen.feeds.split(",")
    rows: list[tuple[object, ...]] = []
    total: Counter[str] = Counter()
    for exchange in create_exchanges(feeds, options, chosen.contracts, START_MS):
        day = Day(exchange.name, exchange.market)
        alerts = list(day.run(chosen.hours, chosen.step_s))
        if chosen.json:
            for alert in alerts:
                print(json.dumps(alert))
        counts = count(alerts)
        total.update(counts)
        subjects = len({alert["subject"] for alert in alerts})
        told = ", ".join(f"{kind} {number}" for kind, number in counts.items())
        rows.append((day.feed, day.contracts, len(alerts), subjects, busiest_hour(alerts), told))
    if not chosen.json:
        header = ("feed", "contracts", "alerts", "of contracts", "busiest hour", "by kind")
        print(table(header, rows))
        print(f"\n{chosen.hours:g} h, all feeds: {dict(total)}")
    return 0
