"""The checks of `fundingstream doctor`: each asks one server, all at once and within a time."""

from __future__ import annotations

import queue
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from infra.doctor.finding import Finding, Result, finding_of
from infra.embedded.clickhouse.access import READER_NAME
from infra.embedded.storage import MIN_FREE_BYTES
from schemas.config.settings import load_settings
from schemas.errors import FundingStreamError, UnavailableError
from schemas.kafka.admin import ANSWER_WITHIN_S, require_topics
from schemas.serde.registry import SchemaCatalog
from schemas.text import one_line
from schemas.topics import all_topics, changelog_topic_spec
from stream_app.settings import SinkSettings, WorkerSettings
from stream_app.sink.clickhouse import check_database, connect
from stream_app.sink.tables import TABLES as STORED
from stream_app.worker.tables import TABLES

WITHIN_S = 12.0
"""After so long the report is made, whoever has not answered."""

Check = Callable[[], str]
"""Returns what was found where all is well. Raises FundingStreamError: what is not, what to do."""


def check_kafka() -> str:
    """Kafka answers and has every topic."""
    settings = load_settings(WorkerSettings)
    names = [topic.name for topic in all_topics()]
    names += [changelog_topic_spec(settings.worker_id, table).name for table in TABLES]
    require_topics(settings, names, ANSWER_WITHIN_S)
    return f"{settings.kafka_bootstrap} answers and has {len(names)} topics"


def check_registry() -> str:
    """The registry answers and has this version's schema of every topic."""
    catalog = SchemaCatalog(load_settings(WorkerSettings), answer_within_s=ANSWER_WITHIN_S)
    catalog.require_answer()
    topics = [topic for topic in all_topics() if topic.record_type is not None]
    for topic in topics:
        catalog.encoder(topic)
    return f"answers and has the schemas of {len(topics)} topics"


def check_clickhouse() -> str:
    """ClickHouse answers, has every table and column, and lets a user of the settings write."""
    settings = load_settings(SinkSettings)
    client = connect(settings, answer_within_s=ANSWER_WITHIN_S)
    try:
        # Beside a run of `up` the settings name no user, and that is the embedded server's reader.
        check_database(client, settings, STORED, writes=settings.clickhouse_username != READER_NAME)
        return f"{client.server_version} answers and has {len(STORED)} tables"
    finally:
        client.close()


def check_disk() -> str:
    """The disk of the working directory has the room that a part needs at its start."""
    free_bytes = shutil.disk_usage(Path.cwd()).free
    if free_bytes < MIN_FREE_BYTES:
        raise UnavailableError(
            f"the disk of {Path.cwd()} has {free_bytes // 2**20} MiB left and a part needs "
            f"{MIN_FREE_BYTES // 2**20} MiB: make room"
        )
    return f"{free_bytes // 2**30} GiB are free on the disk of the working directory"


CHECKS: Mapping[str, Check] = {
    "kafka": check_kafka,
    "registry": check_registry,
    "clickhouse": check_clickhouse,
    "disk": check_disk,
}


def examine(checks: Mapping[str, Check] = CHECKS, within_s: float = WITHIN_S) -> list[Finding]:
    """Run all checks at once; return their findings in the order of `checks`.

    One that does not answer within `within_s` is a problem. Its thread ends with the process.
    """
    answers: queue.SimpleQueue[Finding] = queue.SimpleQueue()
    for name, check in checks.items():
        threading.Thread(target=_run, args=(name, check, answers), daemon=True).start()
    deadline_s = time.monotonic() + within_s
    found: dict[str, Finding] = {}
    while len(found) < len(checks):
        try:
            finding = answers.get(timeout=max(0.0, deadline_s - time.monotonic()))
        except queue.Empty:
            break
        found[finding.check] = finding
    late = f"no answer within {within_s:g} s: look at its log, or start it again"
    return [found.get(name, Finding(name, Result.PROBLEM, late)) for name in checks]


def _run(name: str, check: Check, answers: queue.SimpleQueue[Finding]) -> None:
    try:
        finding = Finding(name, Result.OK, check())
    except FundingStreamError as error:
        finding = finding_of(name, error)
    except Exception as error:  # noqa: BLE001 - a report, and no traceback, for whatever it is
        finding = Finding(name, Result.PROBLEM, one_line(f"{type(error).__name__}: {error}"))
    answers.put(finding)
