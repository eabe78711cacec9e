"""The sink as a service: waits for what it needs, wires the parts, ends cleanly on a signal.

The loop itself is in consumer.py.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from schemas.clock import Clock, SystemClock
from schemas.errors import FundingStreamError, UnavailableError
from schemas.kafka.admin import require_topics
from schemas.process.heartbeat import Heartbeat
from schemas.serde.registry import SchemaCatalog
from schemas.topics import DEAD_LETTERS
from stream_app.settings import SinkSettings
from stream_app.sink.clickhouse import check_database, connect, quorum_settings
from stream_app.sink.consumer import Sink
from stream_app.sink.dead_letters import DeadLetterQueue
from stream_app.sink.metrics import SinkMetrics
from stream_app.sink.outage import Outage
from stream_app.sink.tables import TABLES, RowReader, TableSpec
from stream_app.sink.writer import TableWriter

log = logging.getLogger(__name__)

_WAIT_S = 3.0
_KAFKA_TIMEOUT_S = 5.0
_SLACK_S = 15.0
"""Beyond ClickHouse's time-out, which one request may take."""

T = TypeVar("T")


def run_sink(settings: SinkSettings, *, stop: threading.Event | None = None) -> int:
    """Run the sink until SIGTERM, SIGINT or `stop`; return the exit code 0.

    Servers that do not answer are waited for, and so are missing tables and topics. While it runs,
    a user that ClickHouse refuses is waited for as well, since rights may come back on the server.
    At the start it is an error: the password comes from the environment, which only a new process
    reads anew.

    Raises:
        ConfigurationError: ClickHouse refuses the user at the start or the user lacks a right, the
            URL is none, or Kafka does not let the sink read its topics.
        StateError: a newer version has migrated the database, or a table is not the one that this
            version writes.
        UnavailableError: the metrics port is taken, or another sink has this instance id.
    """
    stop = stop or threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    metrics = SinkMetrics()
    clock = SystemClock()
    outage = Outage(metrics, clock)
    heartbeat = Heartbeat(clock, settings.clickhouse_timeout_s + _SLACK_S)
    stop_metrics = metrics.serve(settings, heartbeat.trouble)
    try:
        until_available = partial(_until_available, outage, heartbeat, stop)
        client = until_available("clickhouse", lambda: _ready_clickhouse(settings, heartbeat))
        topics = [*(table.topic.name for table in TABLES), DEAD_LETTERS.name]
        until_available("kafka", lambda: require_topics(settings, topics, _KAFKA_TIMEOUT_S))
        if client is not None and not stop.is_set():
            sink = Sink(settings, metrics, outage, heartbeat, stop, clock)
            sink.run(_writers(settings, client, metrics, outage, heartbeat, sink, clock))
    finally:
        stop_metrics()
    log.info("sink stopped")
    return 0


def _writers(
    settings: SinkSettings,
    client: Any,
    metrics: SinkMetrics,
    outage: Outage,
    heartbeat: Heartbeat,
    sink: Sink,
    clock: Clock,
) -> dict[str, TableWriter]:
    catalog = SchemaCatalog(settings)
    letters = DeadLetterQueue(settings)

    def writer(table: TableSpec) -> TableWriter:
        decoder = catalog.decoder(table.record_type)
        reader = RowReader(table, decoder, catalog.schema_text)
        return TableWriter(
            *(table, client, reader, letters, metrics, outage, sink.wait, clock),
            beat=heartbeat.beat,
            own_settings=quorum_settings(settings),
        )

    return {table.topic.name: writer(table) for table in TABLES}


def _ready_clickhouse(settings: SinkSettings, heartbeat: Heartbeat) -> Any:
    client = connect(settings)
    try:
        check_database(client, settings, TABLES, beat=heartbeat.beat)
    except FundingStreamError:
        client.close()  # it is tried again, for hours where nobody migrates
        raise
    return client


def _until_available(
    outage: Outage,
    heartbeat: Heartbeat,
    stop: threading.Event,
    cause: str,
    attempt: Callable[[], T],
) -> T | None:
    """Try until it works or the sink is to stop: a service outlives its neighbours' restarts."""
    while not stop.is_set():
        heartbeat.beat()
        try:
            result = attempt()
        except UnavailableError as error:
            outage.failed(cause, str(error))
            stop.wait(_WAIT_S)
        else:
            outage.over()
            return result
    return None
