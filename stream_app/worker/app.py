"""Faust wiring: the app, its settings, the way of the raw records, timers and the page.

The order of records is kept in processor.py, what a flush makes durable in checkpoint.py. The traps
of Faust that shape this file are in docs/worker.md.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import faust

from schemas.clock import Clock
from schemas.feeds import FEEDS
from schemas.kafka.admin import require_topics
from schemas.partitioning import PARTITIONS
from schemas.serde.raw_frames import RawFrameReader
from schemas.serde.registry import SchemaCatalog
from schemas.times import US_PER_S
from schemas.topics import (
    DEAD_LETTERS,
    MAX_MESSAGE_BYTES,
    WORKERS,
    changelog_topic_spec,
    raw_topic,
)
from stream_app.core.columns.judging import Encoders
from stream_app.settings import WorkerSettings
from stream_app.web.application import Mounted
from stream_app.web.page import Page, PageThread
from stream_app.web.reader import READ_TOPICS
from stream_app.worker.fetcher import Fetcher
from stream_app.worker.flusher import Flusher
from stream_app.worker.funding_app import FundingApp, Intake
from stream_app.worker.hour_ahead import HourAhead
from stream_app.worker.instance import SESSION_S, Expulsions, Instance
from stream_app.worker.output_producer import PUBLISHED, OutputProducer, output_encoders
from stream_app.worker.peers import Peers
from stream_app.worker.probes.routes import PATHS, Probes
from stream_app.worker.probes.view import WorkerView
from stream_app.worker.processor import Processor
from stream_app.worker.raw_input import RawInput
from stream_app.worker.table_store import OffsetTable, PromptTableManager
from stream_app.worker.tables import TABLES, KafkaRawLog, faust_tables
from stream_app.worker.watchdog import end_process

FLUSH_INTERVAL_S = 1.0
REPORT_INTERVAL_S = 1.0
MEMBERSHIP_EVERY_S = 0.5
OVERSLEPT_S = 2 * FLUSH_INTERVAL_S
ANSWERED_WITHIN_S = 3.0
NEVER_S = 10 * 365 * 86_400.0


def create_app(settings: WorkerSettings, instance: Instance, clock: Clock) -> FundingApp:
    """Build the worker. Blocks on registry and Kafka: call it before an event loop runs.

    `instance`: its name in the group, as `claim_instance` gives it.

    Raises:
        FundingStreamError: one of them is away, or schemas or topics are missing.
    """
    catalog = SchemaCatalog(settings)
    reader = RawFrameReader(catalog.schema_text)
    encoders = output_encoders(catalog)
    # Without its topics Faust would end in a traceback, or wait and log nothing.
    require_topics(settings, needed_topics(settings))
    output_producer = OutputProducer(settings, encoders, clock)
    app = faust_app(settings, instance.name)
    fetcher = Fetcher(settings, clock, end_process)
    processor = app.processor = Processor(
        reader,
        Encoders.of(encoders),
        output_producer,
        faust_tables(app, settings.worker_id, output_producer),
        KafkaRawLog(app, fetcher),
        clock,
        int(settings.worker_max_ahead_s * US_PER_S),
    )
    flusher = Flusher(processor, lambda: app.consumer, app.forget, clock, SESSION_S)
    raw_input = RawInput(fetcher, processor, flusher.give_way, end_process)
    app.intake = Intake(fetcher, raw_input, flusher)
    _add_raw_input(app, fetcher, raw_input)
    _add_flush(app, processor, flusher, clock)
    app.task(HourAhead(processor.partitions, lambda: raw_input.is_idle, clock).run)
    _add_membership(app, instance, clock)
    if not settings.worker_output_prefix:
        # A replay's worker reads the past: nobody is interested in its delays.
        _add_reports(app, processor, output_producer, instance.name)
    page = Page(settings, catalog, clock)
    view = WorkerView(processor, page.feeds, clock, lambda: raw_input.is_idle)
    probes = Probes(view, lambda: app.running_loop, page.metrics)
    app.page = PageThread(page, settings, Mounted(PATHS, probes.add_to), end_process)
    return app


def needed_topics(settings: WorkerSettings) -> list[str]:
    """Return the names of the topics that must exist before the worker starts."""
    raw = [raw_topic(feed) for feed in FEEDS]
    outputs = [settings.worker_output_prefix + spec.name for spec in (*PUBLISHED, DEAD_LETTERS)]
    if not settings.worker_output_prefix:
        outputs.append(WORKERS.name)
    changelogs = [changelog_topic_spec(settings.worker_id, table).name for table in TABLES]
    page = [topic.name for topic in READ_TOPICS]
    return list(dict.fromkeys([*raw, *outputs, *changelogs, *page]))


def faust_app(settings: WorkerSettings, instance: str) -> FundingApp:
    """Return the bare Faust app: its connection and its group membership."""
    data_dir = Path(settings.worker_data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    return FundingApp(
        settings.worker_id,
        broker=[f"aiokafka://{host}" for host in settings.kafka_bootstrap.split(",")],
        store="memory://",
        datadir=str(data_dir),
        topic_partitions=PARTITIONS,
        topic_replication_factor=settings.kafka_replication,
        topic_allow_declare=False,
        topic_disable_leader=True,
        producer_linger=0.005,
        # aiokafka compresses on the event loop, lz4 at its slowest level: 26 ms for the state of a
        # second. What is large goes through librdkafka, which compresses in a thread of its own.
        producer_compression_type=None,
        producer_max_request_size=MAX_MESSAGE_BYTES,
        broker_max_poll_records=4000,
        # A member that polls nothing for so long leaves the group and stays away. Faust polls only
        # while it recovers or stands by; whether records are processed, the watchdog sees.
        broker_max_poll_interval=NEVER_S,
        broker_session_timeout=SESSION_S,
        # A member learns of a rebalance by its next heartbeat.
        broker_heartbeat_interval=0.5,
        broker_commit_interval=1.0,
        consumer_max_fetch_size=4 << 20,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=instance,
        stream_wait_empty=False,
        stream_buffer_maxsize=4096,
        # With several workers each partition's tables are kept by a second one, which takes over
        # without reading them first.
        table_standby_replicas=1,
        Table=OffsetTable,
        TableManager=PromptTableManager,
        # The group remembers the URL of a static member, so it must not depend on the page's port.
        canonical_url=f"http://{instance}",
        # The page has a server and a thread of its own: Faust's is on the loop of the rates.
        web_enabled=False,
        **_security(settings),
    )


def _security(settings: WorkerSettings) -> dict[str, Any]:
    """Return Faust's form of the TLS and SASL settings."""
    protocol = settings.kafka_security_protocol
    if protocol == "PLAINTEXT":
        return {}
    context = None if settings.kafka_tls is None else settings.kafka_tls.context()
    if protocol.startswith("SASL"):
        return {
            "broker_credentials": faust.SASLCredentials(
                username=settings.kafka_sasl_username,
                password=settings.kafka_sasl_password.get_secret_value(),
                mechanism=settings.kafka_sasl_mechanism,
                ssl_context=context,
            )
        }
    return {"broker_credentials": faust.SSLCredentials(context=context)}


def _add_raw_input(app: FundingApp, fetcher: Fetcher, raw_input: RawInput) -> None:
    raw = app.topic(
        *(raw_topic(feed) for feed in FEEDS),
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        partitions=PARTITIONS,
    )
    # Subscribed without an agent: the group hands out its partitions, the fetcher reads them.
    app.topics.add(raw)

    @app.task  # type: ignore[untyped-decorator]
    async def _process_forever() -> None:
        fetcher.start()
        await raw_input.run()

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def _on_revoked(_app: Any, _revoked: Any, **_kwargs: Any) -> None:
        try:
            await app.give_away()
        except Exception:  # noqa: BLE001 - a successor must not go on from state that is half stored
            end_process("what was processed could not be stored before a rebalance")


def _add_membership(app: FundingApp, instance: Instance, clock: Clock) -> None:
    @app.task  # type: ignore[untyped-decorator]
    async def _watch_membership() -> None:
        expulsions = Expulsions(clock.monotonic_s())
        peers = Peers(instance, clock)
        while not app.should_stop:
            await asyncio.sleep(MEMBERSHIP_EVERY_S)
            member_id = app.member_id()
            if member_id:
                instance.remember(member_id)
                dead = peers.dead()
                if dead:
                    await app.consumer.remove_members(dead)
            if expulsions.expelled(clock.monotonic_s(), member_id):
                end_process(
                    f"another worker uses the name {instance.name} and has thrown this one out of "
                    f"the group {app.conf.id} again and again: give each its own "
                    "FUNDING_WORKER_INSTANCE, or none"
                )


async def _flush_once(app: FundingApp, processor: Processor, flusher: Flusher) -> None:
    if processor.quiet and not await _answers(app):
        # Producers may hold records for a broker that is away: the log's end is not final.
        processor.forget_quiet()
    processor.flush_quiet()
    await flusher.flush()


async def _answers(app: FundingApp) -> bool:
    """Tell whether the broker answers now."""
    try:
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            await app.consumer.earliest_offsets(*app.consumer.assignment())
    except Exception:  # noqa: BLE001 - whatever a client raises: it is no answer
        return False
    return True


def _add_flush(app: FundingApp, processor: Processor, flusher: Flusher, clock: Clock) -> None:
    @app.task  # type: ignore[untyped-decorator]
    async def _flush_forever() -> None:
        while not app.should_stop:
            slept_from_s = clock.monotonic_s()
            await asyncio.sleep(FLUSH_INTERVAL_S)
            if clock.monotonic_s() - slept_from_s > OVERSLEPT_S:
                # The process stood still: what came meanwhile has not been fetched yet.
                processor.forget_quiet()
            if app.rebalancing or app.in_recovery:
                continue
            try:
                await _flush_once(app, processor, flusher)
            except Exception:  # noqa: BLE001 - outputs or state could not be made durable: start again
                end_process("the flush failed")


def _add_reports(
    app: FundingApp, processor: Processor, output_producer: OutputProducer, worker: str
) -> None:
    @app.task  # type: ignore[untyped-decorator]
    async def _report_forever() -> None:
        while not app.should_stop:
            await asyncio.sleep(REPORT_INTERVAL_S)
            output_producer.report(processor.report(worker))
