"""Faust wiring: the app, its tables, the agent over the raw topics, timers, web. Nothing else.

What each record means is decided in core, in which order things become durable in ingest.py. The
traps of Faust that shape this file are in docs/worker.md.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import faust
from faust.types import TP

from schemas.contracts import PARTITIONS
from schemas.errors import FundingStreamError, StateError
from schemas.feeds import FEEDS
from schemas.kafka import require_topics
from schemas.records import RAW_BATCH, HourlyBar
from schemas.registry import SchemaCatalog
from schemas.times import US_PER_HOUR, US_PER_S, hour_floor, now_us
from schemas.topics import DEAD_LETTERS, RAW_PREFIX, changelog_topic_spec, raw_topic
from stream_app.ingest import HoleError, Ingest
from stream_app.outbox import PUBLISHED, Outbox, output_encoders
from stream_app.settings import WorkerSettings
from stream_app.web.pages import add_pages
from stream_app.web.view import WorkerView

log = logging.getLogger(__name__)

CONTRACTS_TABLE = "contracts"
BASELINES_TABLE = "baselines"
BARS_TABLE = "bars"
TABLES = (CONTRACTS_TABLE, BASELINES_TABLE, BARS_TABLE)
BAR_S = 3600.0
BARS_KEPT_S = 48 * 3600.0
FLUSH_INTERVAL_S = 1.0
OVERSLEPT_S = 2 * FLUSH_INTERVAL_S
ANSWERED_WITHIN_S = 3.0
EXIT_FATAL = 70


class _TableStore:
    """A Faust table written outside of events: data first, then its changelog record by hand.

    Faust refuses a plain write outside of an event (faust-streaming/faust#497).
    """

    def __init__(self, table: Any) -> None:
        self._table = table

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._table.data.get(key)
        return value

    def put(self, partition: int, key: bytes, value: bytes) -> Awaitable[Any]:
        self._table.data[key] = value
        sent: Awaitable[Any] = self._table.send_changelog(
            partition, key, value, key_serializer="raw", value_serializer="raw"
        )
        return sent


class _BarTable:
    """The windowed table of closed bars, written outside of events as `_TableStore` is.

    Keys are (contract id, window), values plain dicts: Faust's windowed tables fail on bytes keys.
    """

    def __init__(self, table: Any) -> None:
        self._table = table

    def _window(self, hour_us: int) -> Any:
        """The window of an hour, in the seconds that Faust counts in."""
        return self._table.window.ranges(hour_us / US_PER_S)[0]

    def put(self, partition: int, bar: HourlyBar) -> Awaitable[Any]:
        key = (bar["contract_id"], self._window(bar["hour"]))
        self._table.data[key] = dict(bar)
        # What a plain write would do, so that the window expires.
        self._table._maybe_set_key_ttl(key, partition)  # noqa: SLF001
        sent: Awaitable[Any] = self._table.send_changelog(partition, key, dict(bar))
        return sent

    def newest(self, contract: str, limit: int) -> list[HourlyBar]:
        hour = hour_floor(now_us())
        hours = (hour - back * US_PER_HOUR for back in range(limit, -1, -1))
        found = (self._table.data.get((contract, self._window(hour_us))) for hour_us in hours)
        return [bar for bar in found if bar is not None]


class _FaustLog:
    """The raw log through Faust's consumer."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def begin(self, topic: str, partition: int) -> int:
        tp = TP(topic, partition)
        offsets: dict[TP, int] = await self._app.consumer.earliest_offsets(tp)
        return offsets[tp]

    def end(self, topic: str, partition: int) -> int | None:
        end: int | None = self._app.consumer.highwater(TP(topic, partition))
        return end


class FundingApp(faust.App):  # type: ignore[misc]
    """The Faust app; stops by making everything durable first."""

    ingest: Ingest | None = None

    async def on_stop(self) -> None:
        """Flush and commit while the consumer still lives, then stop as Faust does."""
        if self.ingest is not None and self._consumer is not None:
            try:
                await self.ingest.flush()
                await self._consumer.commit()
            except FundingStreamError as error:
                log.error("stopping without a last flush: %s", error)  # noqa: TRY400
        await super().on_stop()


def create_app(settings: WorkerSettings) -> FundingApp:
    """Build the worker. Blocks on registry and Kafka: call it before an event loop runs.

    Raises:
        FundingStreamError: one of them is away, or schemas or topics are missing.
    """
    catalog = SchemaCatalog(settings)
    decoder = catalog.decoder(RAW_BATCH)
    encoders = output_encoders(catalog)
    # Faust would end in a traceback, or wait without a word.
    require_topics(settings, needed_topics(settings))
    outbox = Outbox(settings, encoders)
    app = _faust_app(settings)
    raw = app.topic(
        *(raw_topic(feed) for feed in FEEDS),
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        partitions=PARTITIONS,
    )
    tables = {
        name: _table(app, settings.worker_id, name) for name in (CONTRACTS_TABLE, BASELINES_TABLE)
    }
    ingest = Ingest(
        decoder,
        outbox,
        _TableStore(tables[CONTRACTS_TABLE]),
        _TableStore(tables[BASELINES_TABLE]),
        _BarTable(_bar_table(app, settings.worker_id)),
        _FaustLog(app),
        int(settings.worker_max_ahead_s * US_PER_S),
    )
    app.ingest = ingest
    _add_agent(app, raw, ingest)
    _add_tasks(app, ingest, settings)
    add_pages(app.web.web_app, WorkerView(ingest, settings))
    return app


def needed_topics(settings: WorkerSettings) -> list[str]:
    """Return the topics that must exist before the worker starts."""
    raw = [raw_topic(feed) for feed in FEEDS]
    outputs = [settings.worker_output_prefix + spec.name for spec in (*PUBLISHED, DEAD_LETTERS)]
    changelogs = [changelog_topic_spec(settings.worker_id, table).name for table in TABLES]
    return [*raw, *outputs, *changelogs]


def _faust_app(settings: WorkerSettings) -> FundingApp:
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
        producer_compression_type="lz4",
        producer_max_request_size=4 << 20,
        broker_max_poll_records=4000,
        broker_session_timeout=10,
        broker_heartbeat_interval=2,
        broker_commit_interval=1.0,
        consumer_max_fetch_size=4 << 20,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=settings.worker_instance,
        stream_wait_empty=False,
        stream_buffer_maxsize=4096,
        table_standby_replicas=0,
        # The group remembers a static member's URL: it must not change with the page's port.
        canonical_url=f"http://{settings.worker_instance}",
        web_bind=settings.web_host,
        web_host=settings.web_host,
        web_port=settings.web_port,
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


def _table(app: FundingApp, app_id: str, name: str) -> Any:
    spec = changelog_topic_spec(app_id, name)
    return app.Table(
        name,
        key_type=bytes,
        value_type=bytes,
        partitions=spec.partitions,
        extra_topic_configs=spec.config,
    )


def _bar_table(app: FundingApp, app_id: str) -> Any:
    spec = changelog_topic_spec(app_id, BARS_TABLE)
    table = app.Table(BARS_TABLE, partitions=spec.partitions, extra_topic_configs=spec.config)
    return table.tumbling(BAR_S, expires=BARS_KEPT_S).table


def _add_agent(app: FundingApp, raw: Any, ingest: Ingest) -> None:
    @app.agent(raw, concurrency=1, name="ingest")  # type: ignore[untyped-decorator]
    async def _ingest(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                await ingest.handle(event)
            except (HoleError, StateError) as error:
                _die(str(error))
            except Exception:  # noqa: BLE001 - an agent's exception would ack the event and go on
                _die("a raw record could not be processed")

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def _on_revoked(_app: Any, revoked: Any, **_kwargs: Any) -> None:
        for tp in revoked:
            if tp.topic.startswith(RAW_PREFIX):
                ingest.revoke(tp.topic, tp.partition)


async def _flush_once(app: FundingApp, ingest: Ingest) -> None:
    for tp in app.consumer.assignment():
        if tp.topic.startswith(RAW_PREFIX):
            ingest.assign(tp.topic, tp.partition)
    if ingest.quiet and not await _answers(app):
        # What a producer holds for a broker that is away is not in the log yet.
        ingest.forget_quiet()
    ingest.flush_quiet(now_us())
    await ingest.flush()


async def _answers(app: FundingApp) -> bool:
    """Tell whether the broker answers now."""
    try:
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            await app.consumer.earliest_offsets(*app.consumer.assignment())
    except Exception:  # noqa: BLE001 - whatever a client raises: it is no answer
        return False
    return True


def _add_tasks(app: FundingApp, ingest: Ingest, settings: WorkerSettings) -> None:
    @app.task  # type: ignore[untyped-decorator]
    async def _flush_forever() -> None:
        while not app.should_stop:
            slept_from = time.monotonic()
            await asyncio.sleep(FLUSH_INTERVAL_S)
            if time.monotonic() - slept_from > OVERSLEPT_S:
                # The process stood still: what came meanwhile has not been fetched yet.
                ingest.forget_quiet()
            if app.rebalancing or app.in_recovery:
                continue
            try:
                await _flush_once(app, ingest)
            except Exception:  # noqa: BLE001 - outputs or state could not be made durable: start again
                _die("the flush failed")

    @app.task  # type: ignore[untyped-decorator]
    async def _watchdog() -> None:
        while not app.should_stop:
            await asyncio.sleep(settings.worker_watchdog_s / 4)
            if not app.rebalancing and not app.in_recovery and _stuck(ingest, settings):
                _die(f"input advances and processing has not for {settings.worker_watchdog_s:g} s")


def _stuck(ingest: Ingest, settings: WorkerSettings) -> bool:
    if time.monotonic() - ingest.progress_at < settings.worker_watchdog_s:
        return False
    return ingest.lag() > 0


def _die(reason: str) -> None:
    """End the process at once: the supervisor restarts it, the changelog rebuilds the state."""
    error = sys.exc_info()[1]
    known = isinstance(error, FundingStreamError)
    log.critical(
        "%s: exiting, to restart from the last acknowledged state",
        f"{reason}: {error}" if known and str(error) != reason else reason,
        exc_info=None if known else error,
    )
    logging.shutdown()
    sys.stderr.flush()
    os._exit(EXIT_FATAL)
