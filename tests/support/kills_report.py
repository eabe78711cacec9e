"""What a run with kills of the worker came to: when each was over, and how the tables compare."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from confluent_kafka import OFFSET_END, TopicPartition

from schemas.clock import now_us
from schemas.config.settings import SharedSettings
from schemas.partitioning import PARTITIONS
from schemas.records import FUNDING_RATE
from schemas.serde.registry import SchemaCatalog
from schemas.times import US_PER_S
from schemas.topics import RATES
from tests.support.kills import Differences, Load, consumer_of

CURRENT_US = US_PER_S
"""A worker that is less than this behind has caught up."""
_COLUMNS = "rows missing extra changed on-topic repeated unlike before-FINAL undisturbed"
_HEADER = f"{'table':12}" + "".join(f"{name:>13}" for name in _COLUMNS.split())


@dataclass
class Kill:
    """One kill -9, and when its effect was over; µs of the wall clock."""

    at_us: int
    recovered_us: int | None = None
    """A rate came whose raw record is younger than the kill."""
    current_us: int | None = None
    """Every partition's newest rate was less than CURRENT_US behind the load."""


@dataclass
class Watch:
    """Follows funding.rates from a thread of its own and dates the recoveries."""

    settings: SharedSettings
    load: Load
    kills: list[Kill] = field(default_factory=list)
    seen_us: list[int] = field(default_factory=lambda: [0] * PARTITIONS)

    def start(self) -> None:
        """Begin to follow."""
        self._stopped = threading.Event()
        self._decode = SchemaCatalog(self.settings).decoder(FUNDING_RATE).decode
        self._thread = threading.Thread(target=self._run, name="watch")
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        consumer = consumer_of(self.settings)
        consumer.assign([TopicPartition(RATES.name, p, OFFSET_END) for p in range(PARTITIONS)])
        while not self._stopped.is_set():
            newest = {m.partition(): m for m in consumer.consume(1_000, 0.05) if not m.error()}
            for partition, message in newest.items():
                self.seen_us[partition] = self._decode(message.value())["received_at"]
            self._date(now_us())
        consumer.close()

    def _date(self, at_us: int) -> None:
        behind = zip(self.seen_us, self.load.newest_us, strict=True)
        current = all(seen >= written - CURRENT_US for seen, written in behind)
        for kill in self.kills:
            if kill.recovered_us is None and max(self.seen_us) > kill.at_us:
                kill.recovered_us = at_us
            if kill.current_us is None and kill.recovered_us is not None and current:
                kill.current_us = at_us


class Compared(NamedTuple):
    """One table: what is stored, what an undisturbed run would have stored, and what it took."""

    table: str
    rows: int
    stored: int
    """Rows before equal keys are merged."""
    published: int
    """Records on the topic: what is more than `rows` came again after a kill."""
    replayed: int
    """Records on the topic of the undisturbed run."""
    differing: Differences
    unlike: Differences
    """Of what was published, again or not, against the undisturbed run."""


@dataclass(frozen=True)
class Report:
    """The figures of a run."""

    kills: list[Kill]
    load: Load
    load_s: float
    replay_s: float
    tables: list[Compared]
    duplicates: int
    deaths: int
    """Ends of the worker that were no kill: it gives up on what it cannot be sure of."""

    @property
    def differing(self) -> int:
        """Rows that are not those of the undisturbed run, stored or only published."""
        return sum(table.differing.total + table.unlike.total for table in self.tables)

    def lines(self) -> list[str]:
        """A small table for people."""
        recovered = [(k.recovered_us - k.at_us) / US_PER_S for k in self.kills if k.recovered_us]
        current = [(k.current_us - k.at_us) / US_PER_S for k in self.kills if k.current_us]
        early = sum(
            kill.recovered_us is None or kill.recovered_us > following.at_us
            for kill, following in pairwise(self.kills)
        )
        load, per_s = self.load, self.load.rows / self.load_s
        lines = [
            f"{len(self.kills)} kills in {self.load_s:.0f} s of load, {early} during a recovery",
            f"ends of the worker that were no kill: {self.deaths}",
            f"{load.rows:,} rows in {load.records:,} raw records, {per_s:,.0f} rows/s",
            f"undisturbed run: {self.replay_s:.0f} s",
            f"recovery: p50 {median(recovered):.1f} s, max {max(recovered):.1f} s",
            f"less than 1 s behind after: p50 {median(current):.1f} s, max {max(current):.1f} s"
            if current
            else "never less than 1 s behind: this machine is too small for the load",
            _HEADER,
        ]
        for table in self.tables:
            found = table.differing
            figures = (
                table.rows,
                *(found.missing, found.extra, found.changed),
                *(table.published, table.published - table.rows, table.unlike.total),
                *(table.stored, table.replayed),
            )
            lines.append(f"{table.table:12}" + "".join(f"{figure:13,}" for figure in figures))
            lines += [f"    {e}" for e in (*found.examples, *table.unlike.examples)]
        return lines
