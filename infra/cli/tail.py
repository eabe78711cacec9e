"""`fundingstream tail TOPIC`: prints the records of a topic as JSON lines."""

from __future__ import annotations

import json
import sys

import click

from infra.cli.completion import complete_topic


@click.command()
@click.argument("topic", shell_complete=complete_topic)
@click.option("--count", type=click.IntRange(1), help="Stop after this many records.")
@click.option("--from-beginning", is_flag=True, help="Begin with the oldest record.")
@click.option("--idle-s", type=float, help="Stop after this many seconds without a record.")
def tail(topic: str, count: int | None, idle_s: float | None, *, from_beginning: bool) -> None:
    """Print the records of a topic as JSON lines (`rates` is short for `funding.rates`)."""
    from infra.cli.output import check_reader
    from infra.cli.servers import require_kafka, require_registry
    from infra.kafka.tail import topic_named, topic_records
    from schemas.clock import SystemClock
    from schemas.config.settings import SharedSettings, load_settings

    spec = topic_named(topic)
    settings = load_settings(SharedSettings)
    require_kafka(settings)
    if spec.record_type is not None:
        require_registry(settings)
    records = topic_records(
        settings,
        spec,
        SystemClock(),
        from_beginning=from_beginning,
        idle_s=idle_s,
        kafka_is_away=lambda: click.echo("Kafka is away: waiting for it", err=True),
        still=check_reader,
    )
    for shown, record in enumerate(records, start=1):
        click.echo(json.dumps(record, default=_readable, ensure_ascii=False))
        sys.stdout.flush()
        if shown == count:
            break
    records.close()


def _readable(value: object) -> str:
    """Return bytes as text; what is not UTF-8 in them as escapes."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    raise TypeError(f"{value!r} has no JSON form")
