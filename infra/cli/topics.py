"""`fundingstream topics`: creates the Kafka topics and registers the Avro schemas."""

from __future__ import annotations

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def topics(*, as_json: bool) -> None:
    """Create all topics and register all schemas; safe to repeat."""
    from infra.cli.servers import require_kafka, require_registry
    from infra.kafka.topics import create_topics_and_schemas
    from schemas.config.settings import load_settings
    from stream_app.settings import WorkerSettings

    settings = load_settings(WorkerSettings)
    require_kafka(settings)
    require_registry(settings)
    results = create_topics_and_schemas(settings)
    if as_json:
        rows = [
            {"topic": r.name, "partitions": r.partitions, "outcome": r.outcome} for r in results
        ]
        click.echo(json.dumps(rows))
        return
    for result in results:
        click.echo(f"{result.outcome:8} {result.name} ({result.partitions})")
