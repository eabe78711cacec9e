"""Replays the raw log with a second worker and compares the result with what was published.

The worker is a pure function of the raw topics, so a second one must give the same outputs. It has
an identity of its own, reads the whole log that is still in Kafka and publishes to topics of its
own; then every record of the span of `received_at` is compared. The live topics are only read.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

from infra.embedded.ports import free_port
from infra.embedded.supervision.readiness import http_ready
from infra.embedded.supervision.supervisor import NEVER, Service, Supervisor
from infra.kafka.lag import LagReader
from infra.kafka.topic_reader import Ends, Span, read_topic, topic_ends
from schemas.clock import now_us
from schemas.errors import UnavailableError
from schemas.feeds import FEEDS
from schemas.kafka import clients
from schemas.kafka.admin import ensure_topics
from schemas.serde.registry import SchemaCatalog
from schemas.topics import DEAD_LETTERS, TopicSpec, changelog_topic_spec, raw_topic
from stream_app.settings import WorkerSettings
from stream_app.worker.output_producer import PUBLISHED
from stream_app.worker.tables import TABLES

VOLATILE = frozenset({"computed_at", "created_at"})
"""Fields that a replay cannot repeat: when something was computed."""
LINES_KEPT = 20
"""How many of the second worker's last lines an error message shows."""
SETTLE_S = 40.0
"""How long to wait at the end of a log without ticks there: the wall clock flushes it, after twice
QUIET_FLUSH_US."""
TICKED_S = 8.0
"""How long to wait at the end of a log with ticks, which flush it: the outputs become durable."""
_SHOWN = 5


class Compared(NamedTuple):
    """The comparison of one topic, in numbers of distinct records."""

    topic: str
    published: int
    replayed: int
    repeated: int
    """Records that the live topic has more than once, because a crashed worker repeated them."""
    missing: int
    """Records that were published and not replayed."""
    extra: int
    """Records that were replayed and not published."""
    examples: list[str]


def compare(
    topic: str,
    published: Iterable[dict[str, Any]],
    replayed: Iterable[dict[str, Any]],
    later: Iterable[dict[str, Any]] = (),
    *,
    is_compacted: bool = False,
) -> Compared:
    """Compare records as sets, without their volatile fields. Pure.

    Args:
        topic: The live topic's name.
        published: Records that the live topic had when the replay began: the replay has read all
            that they follow from, so it must repeat them.
        replayed: Records of the replay.
        later: Records that were published meanwhile: the replay may repeat them or not.
        is_compacted: The live topic may lack facts of a contract that newer ones have replaced.
    """
    newest: Counter[str] = Counter()
    live = Counter(_identity(record) for record in _noted(published, newest))
    repeated = {_identity(record): record for record in replayed}
    missing = live.keys() - repeated.keys()
    live += Counter(_identity(record) for record in _noted(later, newest))
    extra = repeated.keys() - live.keys()
    if is_compacted:
        extra = {one for one in extra if not _is_replaced(repeated[one], newest)}
    return Compared(
        topic,
        len(live),
        len(repeated),
        live.total() - len(live),
        len(missing),
        len(extra),
        [f"- {m}" for m in sorted(missing)[:_SHOWN]] + [f"+ {e}" for e in sorted(extra)[:_SHOWN]],
    )


def _noted(records: Iterable[dict[str, Any]], newest: Counter[str]) -> Iterator[dict[str, Any]]:
    """Yield records, and note when the newest of each contract was updated (µs)."""
    for record in records:
        contract, updated_at = record.get("contract_id", ""), record.get("updated_at", 0)
        newest[contract] = max(newest[contract], updated_at)
        yield record


def _is_replaced(record: dict[str, Any], newest: Counter[str]) -> bool:
    updated_at: int = record["updated_at"]
    return updated_at < newest[record["contract_id"]]


def _identity(record: dict[str, Any]) -> str:
    kept = {name: value for name, value in record.items() if name not in VOLATILE}
    return json.dumps(kept, sort_keys=True, ensure_ascii=False)


async def replay(
    settings: WorkerSettings, span: Span, timeout_s: float, still: Callable[[int], None]
) -> list[Compared]:
    """Replay the raw log and compare each published topic, in the span of `received_at`.

    Args:
        settings: Of the worker whose topics are compared.
        span: What is compared.
        timeout_s: How long the second worker may take to read the log.
        still: Is told again and again how many raw records are left.

    Raises:
        UnavailableError: Kafka or the registry does not answer, or the second worker ended or took
            too long.
    """
    name = f"{settings.worker_id}-replay-{now_us()}"
    prefix = f"{name}."
    # None of them is compacted: all that the replay publishes is to be compared.
    config = DEAD_LETTERS.config
    outputs = [TopicSpec(prefix + t.name, None, t.partitions, config) for t in PUBLISHED]
    letters = TopicSpec(prefix + DEAD_LETTERS.name, None, config=config)
    changelogs = [changelog_topic_spec(name, table) for table in TABLES]
    own = [*outputs, letters, *changelogs]
    ensure_topics(settings, own)
    try:
        begun = [topic_ends(settings, topic.name, topic.partitions) for topic in PUBLISHED]
        await run_second_worker(settings, name, prefix, timeout_s, still=still)
        catalog = SchemaCatalog(settings)
        return [
            _compare_topic(settings, catalog, topic, prefix, span, ends)
            for topic, ends in zip(PUBLISHED, begun, strict=True)
        ]
    finally:
        _delete(settings, [topic.name for topic in own])


def _compare_topic(
    settings: WorkerSettings,
    catalog: SchemaCatalog,
    topic: TopicSpec,
    prefix: str,
    span: Span,
    begun: Ends,
) -> Compared:
    """Compare a live topic with the replay's; `begun` is where it ended before the replay."""
    assert topic.record_type is not None
    decode = catalog.decoder(topic.record_type).decode
    again = prefix + topic.name
    return compare(
        topic.name,
        read_topic(settings, topic.name, decode, span, begun),
        read_topic(settings, again, decode, span, topic_ends(settings, again, topic.partitions)),
        read_topic(
            settings,
            topic.name,
            decode,
            span,
            topic_ends(settings, topic.name, topic.partitions),
            begun,
        ),
        is_compacted=topic.is_compacted,
    )


async def run_second_worker(
    settings: WorkerSettings,
    name: str,
    prefix: str,
    timeout_s: float,
    *,
    owing: bool = True,
    still: Callable[[int], None] = lambda _left: None,
) -> None:
    """Run the second worker until it has read all of the log and published what follows from it.

    Args:
        settings: Of the first worker.
        name: The second worker's identity: its consumer group, its instance, its changelogs.
        prefix: What precedes the names of the topics that it publishes to.
        timeout_s: How long it may take to read the log.
        owing: Whether records may be left for ticks or the wall clock to flush once the log is
            read. False where the last record of each partition is too late for that.
        still: Is told again and again how many raw records are left.

    Raises:
        UnavailableError: the worker has ended, did not get through in time, or Kafka is away.
    """
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        service = Service(
            "replay",
            [sys.executable, "-m", "infra.cli", "worker"],
            env={
                **os.environ,
                "FUNDING_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
                "FUNDING_REGISTRY_URL": settings.registry_url,
                "FUNDING_WORKER_ID": name,
                "FUNDING_WORKER_INSTANCE": name,
                "FUNDING_WORKER_OUTPUT_PREFIX": prefix,
                "FUNDING_WORKER_MAX_AHEAD_S": str(settings.worker_max_ahead_s),
                "FUNDING_WORKER_DATA_DIR": directory,
                "FUNDING_WEB_PORT": str(port),
            },
            ready=http_ready(f"http://127.0.0.1:{port}/startupz"),
            restart=NEVER,
            stop_timeout_s=30.0,
        )
        said: deque[str] = deque(maxlen=LINES_KEPT)
        async with Supervisor(sink=lambda _name, line: said.append(line)) as supervisor:
            await supervisor.start(service)

            def require_running() -> None:
                if supervisor.failures:
                    last = "\n".join(said)
                    raise UnavailableError(f"the worker of the replay has ended:\n{last}")

            def left_to_read(left: int) -> None:
                require_running()
                still(left)

            topics = [raw_topic(feed) for feed in FEEDS]
            with closing(LagReader(settings, name)) as reader:
                ends = await asyncio.to_thread(reader.ends, topics)
                await reader.wait(topics, timeout_s, ends=ends, still=left_to_read)
                if owing:
                    await _settle(reader, topics)
            require_running()
            await supervisor.stop_service("replay")


async def _settle(reader: LagReader, topics: list[str]) -> None:
    """Wait until the outputs of the end of the log are flushed and durable."""
    before = await asyncio.to_thread(reader.ends, topics)
    await asyncio.sleep(TICKED_S)
    after = await asyncio.to_thread(reader.ends, topics)
    if any(end and after.get(partition) == end for partition, end in before.items()):
        await asyncio.sleep(SETTLE_S - TICKED_S)


def _delete(settings: WorkerSettings, names: list[str]) -> None:
    admin: Any = clients.admin_client(settings.quiet_librdkafka())
    for future in admin.delete_topics(names, operation_timeout=10).values():
        future.exception(timeout=15)
