"""`fundingstream tail TOPIC`: prints the records of a topic, for people or as JSON lines."""

from __future__ import annotations

import sys

import click

from infra.cli.completion import complete_topic
from infra.cli.times import TIME_HELP, TIME_METAVAR, time_us


@click.command()
@click.argument("topic", shell_complete=complete_topic)
@click.option("--contract", metavar="ID", help="Records of this contract only.")
@click.option("--feed", help="Records of this feed only.")
@click.option("--min-z", type=click.FloatRange(0), help="Records with |z| of this or more only.")
@click.option("--count", type=click.IntRange(1), help="Stop after this many records.")
@click.option("--from-beginning", is_flag=True, help="Begin with the oldest record.")
@click.option(
    "--since", metavar=TIME_METAVAR, help=f"Begin with what was published then: {TIME_HELP}."
)
@click.option(
    "--idle-s", type=float, help="Stop after this many seconds without a record to be shown."
)
@click.option("--json", "as_json", is_flag=True, help="Print whole records, a JSON object a line.")
def tail(
    topic: str,
    contract: str | None,
    feed: str | None,
    min_z: float | None,
    count: int | None,
    since: str | None,
    idle_s: float | None,
    *,
    from_beginning: bool,
    as_json: bool,
) -> None:
    """Print the records of a topic as they come (`rates` is short for `funding.rates`)."""
    from infra.cli.output import check_reader, json_text
    from infra.cli.servers import require_kafka, require_registry
    from infra.cli.tail_lines import head_line, record_line
    from infra.kafka.tail import OLDEST_US, topic_named, topic_records
    from infra.kafka.tail_filter import Filter
    from schemas.clock import SystemClock
    from schemas.config.settings import SharedSettings, load_settings

    if from_beginning and since is not None:
        raise click.UsageError("--from-beginning and --since exclude each other")
    spec, clock = topic_named(topic), SystemClock()
    wanted = Filter(contract, feed, min_z)
    wanted.check(spec)
    from_us = OLDEST_US if from_beginning else None
    if since is not None:
        from_us = time_us(since, clock.now_us())
    settings = load_settings(SharedSettings)
    require_kafka(settings)
    if spec.record_type is not None:
        require_registry(settings)
    records = topic_records(
        settings,
        spec,
        clock,
        wanted,
        from_us=from_us,
        idle_s=idle_s,
        kafka_is_away=lambda: click.echo("Kafka is away: waiting for it", err=True),
        still=check_reader,
    )
    for shown, record in enumerate(records, start=1):
        if as_json:
            click.echo(json_text(record, _readable))
        else:
            if shown == 1:
                click.echo(head_line(spec.record_type))
            click.echo(record_line(spec.record_type, record))
        sys.stdout.flush()
        if shown == count:
            break
    records.close()


def _readable(value: object) -> str:
    """Return bytes as text; what is not UTF-8 in them as escapes."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    raise TypeError(f"{value!r} has no JSON form")
