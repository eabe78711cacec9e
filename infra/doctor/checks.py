"""The checks of `fundingstream doctor`: each group asks one server, all groups at once.

What they gather is judged in judging.py. Within a group a server that does not answer is told once,
and what depends on it is not asked.
"""

from __future__ import annotations

import platform
import queue
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import confluent_kafka
from clickhouse_connect.driver.exceptions import ClickHouseError

from infra.clickhouse.database import Database
from infra.clickhouse.expected import expected_of
from infra.clickhouse.migrate import own_migrations
from infra.clickhouse.writer import as_writer
from infra.dead_letters.replaying import recent_letters
from infra.doctor.clock import clock_ahead_s
from infra.doctor.finding import Finding, Result, ok, problem, warning
from infra.doctor.judging import (
    Probed,
    Report,
    judge_clock,
    judge_database,
    judge_disks,
    judge_feeds,
    judge_lags,
    judge_letters,
    judge_parts,
    judge_topics,
    judge_version,
    judge_workers,
)
from infra.embedded.clickhouse.access import READER_NAME
from infra.embedded.kafka.broker import require_java
from infra.kafka.lag import LagReader
from infra.kafka.record_reader import RecordReader
from infra.runs import RUN_DIRECTORIES
from producers.settings import ProducerSettings
from schemas.clock import now_us
from schemas.config.settings import SharedSettings, load_settings, shown_url
from schemas.config.tls import TlsFiles
from schemas.errors import ConfigurationError, FundingStreamError, UnavailableError
from schemas.feeds import FEEDS
from schemas.http.probe import probe
from schemas.kafka.admin import ANSWER_WITHIN_S, topic_states
from schemas.partitioning import PARTITIONS
from schemas.serde.registry import SchemaCatalog
from schemas.text import one_line
from schemas.times import US_PER_HOUR
from schemas.topics import (
    DEAD_LETTERS,
    OUTPUT_TOPICS,
    STATUS,
    WORKERS,
    TopicSpec,
    all_topics,
    changelog_topic_spec,
    raw_topic,
)
from stream_app.settings import AlertSettings, SinkSettings, WorkerSettings
from stream_app.sink.clickhouse import check_database, connect, explain
from stream_app.sink.clickhouse_errors import Fault, classify
from stream_app.sink.ledger import LEDGER, LEDGER_NAME, NEWEST_QUERY, check_not_newer
from stream_app.sink.tables import TABLES as STORED
from stream_app.worker.tables import TABLES

WITHIN_S = 12.0
"""After so long the report is made, whoever has not answered."""
PROBE_WITHIN_S = 2.0


class Settings(NamedTuple):
    """The settings of all parts, as this environment has them."""

    worker: WorkerSettings
    sink: SinkSettings
    producer: ProducerSettings
    alerts: AlertSettings

    @classmethod
    def load(cls) -> Settings:
        """Read them. Raises ConfigurationError: one is wrong."""
        return cls(
            load_settings(WorkerSettings),
            load_settings(SinkSettings),
            load_settings(ProducerSettings),
            load_settings(AlertSettings),
        )


Check = Callable[[], Iterator[Finding]]
"""Yields what it finds. Raises FundingStreamError: what is wrong, what to do; it ends there."""


def check_kafka(settings: Settings) -> Iterator[Finding]:
    """Kafka, its topics, who has reported on them, what waits there."""
    worker = settings.worker
    changelogs = [changelog_topic_spec(worker.worker_id, table) for table in TABLES]
    wanted = [*all_topics(), *changelogs]
    found = topic_states(worker, [spec.name for spec in wanted], ANSWER_WITHIN_S)
    yield ok("kafka", f"{worker.kafka_bootstrap} answers")
    topics = judge_topics(wanted, found, worker.kafka_replication)
    yield topics
    if any(spec.name not in found for spec in wanted):
        return
    yield judge_lags(
        _lag(worker, worker.worker_id, [raw_topic(feed) for feed in FEEDS]),
        _lag(worker, settings.sink.sink_group, [topic.name for topic in OUTPUT_TOPICS]),
    )
    at_us = now_us()
    with RecordReader(worker) as reader:
        catalog = SchemaCatalog(worker, answer_within_s=ANSWER_WITHIN_S)
        workers = _reports(reader, catalog, WORKERS)
        feeds = [one for one in _reports(reader, catalog, STATUS) if one.name in FEEDS]
    started = bool(workers or feeds)
    yield judge_workers(workers, at_us, PARTITIONS * len(FEEDS), started=started)
    yield judge_feeds(feeds, at_us, started=started)


def check_letters(settings: Settings) -> Iterator[Finding]:
    """Dead letters of the last hour."""
    try:
        there = topic_states(settings.worker, [DEAD_LETTERS.name], ANSWER_WITHIN_S)
    except FundingStreamError:
        return  # check_kafka tells it
    if there:
        with RecordReader(settings.worker) as reader:
            yield judge_letters(recent_letters(reader, now_us() - US_PER_HOUR))


def _lag(settings: SharedSettings, group: str, topics: list[str]) -> int:
    with closing(LagReader(settings, group)) as reader:
        return reader.lag(topics)


def _reports(reader: RecordReader, catalog: SchemaCatalog, topic: TopicSpec) -> list[Report]:
    """Return the newest report of each key that its compacted topic has."""
    assert topic.record_type is not None
    newest: dict[bytes, bytes | None] = {}
    for message in reader.scan(topic.name, dict.fromkeys(range(topic.partitions), 0)):
        newest[message.key() or b""] = message.value()
    decode = catalog.decoder(topic.record_type).decode
    records: list[dict[str, Any]] = [decode(value) for value in newest.values() if value]
    return [
        Report(
            one.get("feed") or one["worker"],
            one["reported_at"],
            one.get("state"),
            one.get("partitions", 0),
        )
        for one in records
    ]


def check_registry(settings: Settings) -> Iterator[Finding]:
    """The registry answers, has this version's schema of every topic, and the right time."""
    catalog = SchemaCatalog(settings.worker, answer_within_s=ANSWER_WITHIN_S)
    catalog.require_answer()
    topics = [topic for topic in all_topics() if topic.record_type is not None]
    for topic in topics:
        catalog.encoder(topic)
    yield ok("registry", f"answers and has the schemas of {len(topics)} topics")
    url = settings.worker.registry_url.split(",")[0]
    yield from _clock("registry", url, settings.worker.registry_tls)


def check_clickhouse(settings: Settings) -> Iterator[Finding]:
    """ClickHouse answers, and its database is the one of this version."""
    sink = as_writer(settings.sink, None)
    with closing(connect(sink, answer_within_s=ANSWER_WITHIN_S)) as client:
        yield ok("clickhouse", f"{shown_url(sink.clickhouse_url)} answers: {client.server_version}")
        yield from _clock("clickhouse", f"{sink.clickhouse_url}/ping", sink.clickhouse_tls)
        try:
            database = _database(client, sink)
        except (ClickHouseError, OSError) as error:
            raise explain(error, sink) from error
        yield database
        if database.result is not Result.PROBLEM:
            yield from _rights(client, sink)


def _database(client: Any, sink: SinkSettings) -> Finding:
    """Compare the database with this version, as far as this user may see it."""
    wanted = own_migrations()
    expected = expected_of(one for migration in wanted for one in migration.statements)
    found = Database(client, sink, expected.tables).found()
    recorded = None
    if LEDGER_NAME in found.engines:
        try:
            rows = client.query(
                f"SELECT version, name, checksum, applied FROM {LEDGER} FINAL"  # noqa: S608
            ).result_rows
        except ClickHouseError as error:
            if classify(error) is not Fault.DENIED:
                raise
            # The rights of the sink are enough for what it checks itself.
            newest = client.query(NEWEST_QUERY).result_rows
            check_not_newer(newest)
            version = newest[0][0] if newest else 0
            return judge_version(version, wanted[-1].version, sink.clickhouse_username)
        recorded = {row[0]: (row[1], row[2], bool(row[3])) for row in rows}
    return judge_database(wanted, recorded, expected, found)


def _rights(client: Any, sink: SinkSettings) -> Iterator[Finding]:
    """Check that the sink may write, as far as this user can tell."""
    try:
        check_database(client, sink, STORED)
    except ConfigurationError as error:
        if sink.clickhouse_username != READER_NAME:
            raise
        # The sink's user need not be known where the doctor is called.
        yield warning("rights", f"as the user of the sink, if it is this one: {error}")


def _clock(server: str, url: str, tls: TlsFiles) -> Iterator[Finding]:
    """Compare a server's clock with ours, where its HTTP answers tell it."""
    ahead_s = clock_ahead_s(url, tls, ANSWER_WITHIN_S)
    if ahead_s is not None:
        yield judge_clock(f"{server} clock", ahead_s)


def check_parts(settings: Settings) -> Iterator[Finding]:
    """The parts that run on this machine, at their health addresses."""
    parts = [
        (
            "producer",
            settings.producer.producer_metrics_host,
            settings.producer.producer_metrics_port,
        ),
        ("sink", settings.sink.sink_metrics_host, settings.sink.sink_metrics_port),
        ("alerts", settings.alerts.alert_metrics_host, settings.alerts.alert_metrics_port),
    ]
    if not settings.worker.web_certificate_file:
        parts.insert(0, ("worker or page", settings.worker.web_host, settings.worker.web_port))
    yield judge_parts([_probed(*part) for part in parts])


def _probed(part: str, host: str, port: int) -> Probed:
    host = "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104 - compared, not bound
    url = f"http://{host}:{port}/healthz"
    try:
        socket.create_connection((host, port), PROBE_WITHIN_S).close()
    except OSError as error:
        return Probed(part, url, listens=False, healthy=False, said=str(error))
    healthy, said = probe(url, PROBE_WITHIN_S)
    return Probed(part, url, listens=True, healthy=healthy, said=one_line(said))


def check_machine() -> Iterator[Finding]:
    """Room on the disks, and what is installed."""
    places = [Path.cwd(), *(path for path in RUN_DIRECTORIES.values() if path.is_dir())]
    yield judge_disks({str(path.absolute()): shutil.disk_usage(path).free for path in places})
    versions = f"Python {platform.python_version()}, librdkafka {confluent_kafka.libversion()[0]}"
    try:
        require_java()
    except UnavailableError as error:
        yield warning("versions", f"{versions}; for a Kafka of `up` itself: {error}")
    else:
        yield ok("versions", f"{versions}, and Java for a Kafka of `up` itself")


def checks_of(settings: Settings) -> Mapping[str, Check]:
    """Return the checks, by the name under which one that does not answer is told."""
    return {
        "kafka": lambda: check_kafka(settings),
        "letters": lambda: check_letters(settings),
        "registry": lambda: check_registry(settings),
        "clickhouse": lambda: check_clickhouse(settings),
        "parts": lambda: check_parts(settings),
        "machine": check_machine,
    }


def examine_all() -> list[Finding]:
    """Run all checks. A wrong setting is told once, and then only the machine is looked at."""
    try:
        checks = checks_of(Settings.load())
    except ConfigurationError as error:
        return [problem("settings", error), *examine({"machine": check_machine})]
    return examine(checks)


def examine(checks: Mapping[str, Check], within_s: float = WITHIN_S) -> list[Finding]:
    """Run all checks at once; return their findings in the order of `checks`.

    One that does not end within `within_s` is a problem, beside what it has found until then. Its
    thread ends with the process.
    """
    answers: queue.SimpleQueue[tuple[str, Finding | None]] = queue.SimpleQueue()
    for name, check in checks.items():
        threading.Thread(target=_run, args=(name, check, answers), daemon=True).start()
    deadline_s = time.monotonic() + within_s
    found: dict[str, list[Finding]] = {name: [] for name in checks}
    running = set(checks)
    while running:
        try:
            name, finding = answers.get(timeout=max(0.0, deadline_s - time.monotonic()))
        except queue.Empty:
            break
        if finding is None:
            running.discard(name)
        else:
            found[name].append(finding)
    late = f"no answer within {within_s:g} s: look at its log, or start it again"
    for name in running:
        found[name].append(problem(name, late))
    return [finding for name in checks for finding in found[name]]


def _run(name: str, check: Check, answers: queue.SimpleQueue[tuple[str, Finding | None]]) -> None:
    try:
        for finding in check():
            answers.put((name, finding))
    except FundingStreamError as error:
        answers.put((name, problem(name, error)))
    except Exception as error:  # noqa: BLE001 - a report, and no traceback, for whatever it is
        answers.put((name, problem(name, f"{type(error).__name__}: {error}")))
    answers.put((name, None))
