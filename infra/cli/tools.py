"""Small tools: `topics`, `tail`, `config`. Not responsible for: SQL tools (infra/clickhouse)."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import click
from confluent_kafka import Consumer, KafkaError
from pydantic import SecretStr

from infra.cli.settings_file import DEFAULT_ENV_FILE, ENV_FILE_VARIABLE, PARTS
from schemas.config.settings import ENV_PREFIX, SharedSettings, load_settings, shown_url
from schemas.errors import ConfigurationError, MalformedInputError
from schemas.kafka.admin import TopicResult, ensure_topics, require_topics
from schemas.serde.codec import schema_id_of
from schemas.serde.registry import SchemaCatalog
from schemas.topics import TopicSpec, all_topics, changelog_topic_spec
from stream_app.settings import WorkerSettings
from stream_app.worker.tables import TABLES


def create_topics_and_schemas(settings: WorkerSettings) -> list[TopicResult]:
    """Create every topic and register every schema. Safe to repeat.

    Raises:
        FundingStreamError: Kafka or the registry is away, or holds something incompatible.
    """
    wanted = [*all_topics()]
    changelogs = [changelog_topic_spec(settings.worker_id, table) for table in TABLES]
    results = ensure_topics(settings, [*wanted, *changelogs])
    catalog = SchemaCatalog(settings)
    for topic in wanted:
        if topic.record_type is not None:
            catalog.register(topic)
    return results


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def topics(as_json: bool) -> None:  # noqa: FBT001 - click passes flags so
    """Create all topics and register all schemas; safe to repeat."""
    results = create_topics_and_schemas(load_settings(WorkerSettings))
    if as_json:
        rows = [
            {"topic": r.name, "partitions": r.partitions, "outcome": r.outcome} for r in results
        ]
        click.echo(json.dumps(rows))
        return
    for result in results:
        click.echo(f"{result.outcome:8} {result.name} ({result.partitions})")


def _spec_of(name: str) -> TopicSpec:
    specs = {spec.name: spec for spec in all_topics()}
    full = name if name in specs else f"funding.{name}"
    if full not in specs:
        raise ConfigurationError(f"unknown topic {name!r}: known are {', '.join(sorted(specs))}")
    return specs[full]


def _readable(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    raise TypeError(f"{value!r} has no JSON form")


@click.command()
@click.argument("topic")
@click.option("--count", type=click.IntRange(1), help="Stop after this many records.")
@click.option("--from-beginning", is_flag=True, help="Begin with the oldest record.")
@click.option("--idle-s", type=float, help="Stop after this many seconds without a record.")
def tail(topic: str, count: int | None, from_beginning: bool, idle_s: float | None) -> None:  # noqa: FBT001
    """Print the records of a topic as JSON lines (`rates` is short for `funding.rates`)."""
    spec = _spec_of(topic)
    settings = load_settings(SharedSettings)
    require_topics(settings, [spec.name])
    catalog = SchemaCatalog(settings)
    decoder = catalog.decoder(spec.record_type) if spec.record_type is not None else None
    consumer: Any = Consumer(
        {
            **settings.quiet_librdkafka(),
            "group.id": f"fundingstream-tail-{time.time_ns()}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest" if from_beginning else "latest",
            "error_cb": _tell_that_kafka_is_away,
        }
    )
    consumer.subscribe([spec.name])
    shown, last_s = 0, time.monotonic()
    try:
        while count is None or shown < count:
            message = consumer.poll(0.5)
            if message is None or message.error() is not None:
                if idle_s is not None and time.monotonic() - last_s > idle_s:
                    return
                continue
            last_s = time.monotonic()
            shown += 1
            click.echo(json.dumps(_shown(message, decoder), default=_readable, ensure_ascii=False))
            sys.stdout.flush()
    finally:
        consumer.close()


def _tell_that_kafka_is_away(error: KafkaError) -> None:
    """Say so once for each time that the last connection is lost; the client connects anew."""
    if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - librdkafka's name for it
        click.echo("Kafka is away: waiting for it", err=True)


def _shown(message: Any, decoder: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "partition": message.partition(),
        "offset": message.offset(),
        "key": message.key(),
    }
    if decoder is None:
        return {**shown, "headers": dict(message.headers() or []), "value": message.value()}
    try:
        return {**shown, "schema_id": schema_id_of(message.value()),
                "value": decoder.decode(message.value())}  # fmt: skip
    except MalformedInputError as error:
        return {**shown, "error": str(error), "value": message.value()}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_obj
def config(from_file: frozenset[str] | None, as_json: bool) -> None:  # noqa: FBT001
    """Show every setting: its variable, its value now, where that comes from, who reads it.

    Secrets stay hidden.
    """
    rows: dict[str, dict[str, Any]] = {}
    for part, settings_type in PARTS.items():
        settings = load_settings(settings_type)
        for name in settings_type.model_fields:
            variable = f"{ENV_PREFIX}{name.upper()}"
            row = rows.setdefault(variable, {"parts": []})
            row["parts"].append(part)
            row["value"] = _shown_setting(name, getattr(settings, name))
    rows[ENV_FILE_VARIABLE] = {
        "parts": ["console script"],
        "value": os.environ.get(ENV_FILE_VARIABLE, DEFAULT_ENV_FILE),
    }
    file = rows[ENV_FILE_VARIABLE]["value"]
    for variable, row in rows.items():
        own = variable in os.environ
        row["source"] = file if variable in (from_file or ()) else "environment" if own else ""
    if as_json:
        click.echo(json.dumps(rows))
        return
    for variable, row in sorted(rows.items()):
        source = f"from {row['source']}; " if row["source"] else ""
        click.echo(f"{variable}={row['value']}   # {source}{', '.join(row['parts'])}")


def _shown_setting(name: str, value: Any) -> Any:
    if isinstance(value, SecretStr):
        return "********" if value else ""
    return shown_url(value) if name.endswith("_url") else value
