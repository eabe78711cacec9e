"""Faust's tables, and the raw log's bounds, in the form that processor and checkpoint use.

The tables are written outside of events: first their data, then their changelog records.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any

from faust.types import TP

from schemas.records import HourlyBar
from schemas.times import US_PER_S
from schemas.topics import changelog_topic_spec
from stream_app.worker.checkpoint import Tables
from stream_app.worker.fetcher import Fetcher
from stream_app.worker.output_producer import OutputProducer

CONTRACTS_TABLE = "contracts"
BASELINES_TABLE = "baselines"
BARS_TABLE = "bars"
TABLES = (CONTRACTS_TABLE, BASELINES_TABLE, BARS_TABLE)
_BAR_S = 3600.0
_BARS_KEPT_S = 48 * 3600.0


class FaustStateTable:
    """A table of bytes whose changelog is written by our own producer.

    Faust refuses a plain write outside of an event (faust-streaming/faust#497), and its own
    producer cannot keep up with the thousand baselines that change each second of a backfill.
    """

    def __init__(self, table: Any, output_producer: OutputProducer, changelog: str) -> None:
        self._table = table
        self._output_producer = output_producer
        self._changelog = changelog

    def get(self, key: bytes) -> bytes | None:
        """Return a stored value."""
        value: bytes | None = self._table.data.get(key)
        return value

    async def put(self, records: Sequence[tuple[int, bytes, bytes]]) -> None:
        """Store values by (partition, key, value); return when the changelog has them."""
        data = self._table.data
        for partition, key, value in records:
            data.store(key, value, partition)
        stored = await self._output_producer.store(self._changelog, records)
        for partition, offset in stored.items():
            data.set_persisted_offset(TP(self._changelog, partition), offset)


class FaustBarTable:
    """The windowed table of closed bars.

    Keys are (contract id, window), values plain dicts: Faust's windowed tables fail on bytes keys.
    """

    def __init__(self, table: Any) -> None:
        self._table = table

    def _window(self, hour_us: int) -> Any:
        """The window of an hour, in the seconds that Faust counts in."""
        return self._table.window.ranges(hour_us / US_PER_S)[0]

    def put(self, partition: int, bar: HourlyBar) -> Awaitable[Any]:
        """Store a bar; the result is done when the changelog has it."""
        key = (bar["contract_id"], self._window(bar["hour"]))
        self._table.data.store(key, dict(bar), partition)
        # A plain write would do this, so that the window expires.
        self._table._maybe_set_key_ttl(key, partition)  # noqa: SLF001
        sent: Awaitable[Any] = self._table.send_changelog(partition, key, dict(bar))
        return sent


class KafkaRawLog:
    """The bounds of the raw log: its oldest record is asked for, its end comes with each fetch."""

    def __init__(self, app: Any, fetcher: Fetcher) -> None:
        self._app = app
        self.end = fetcher.end

    async def begin(self, topic: str, partition: int) -> int:
        """Return the offset of the oldest record that is still there."""
        tp = TP(topic, partition)
        offsets: dict[TP, int] = await self._app.consumer.earliest_offsets(tp)
        return offsets[tp]


def faust_tables(app: Any, app_id: str, output_producer: OutputProducer) -> Tables:
    """Declare the worker's tables in a Faust app; `app_id` names their changelogs."""

    def state_table(name: str) -> FaustStateTable:
        spec = changelog_topic_spec(app_id, name)
        table = app.Table(
            name,
            key_type=bytes,
            value_type=bytes,
            partitions=spec.partitions,
            extra_topic_configs=spec.config,
        )
        return FaustStateTable(table, output_producer, spec.name)

    contracts, baselines = state_table(CONTRACTS_TABLE), state_table(BASELINES_TABLE)
    spec = changelog_topic_spec(app_id, BARS_TABLE)
    bars = app.Table(BARS_TABLE, partitions=spec.partitions, extra_topic_configs=spec.config)
    windowed = bars.tumbling(_BAR_S, expires=_BARS_KEPT_S).table
    return Tables(contracts, baselines, FaustBarTable(windowed))
