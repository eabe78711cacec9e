"""`fundingstream sink`: stores the worker's topics in ClickHouse, until a signal."""

from __future__ import annotations

import sys

import click


@click.command()
@click.option(
    "--instance",
    help="Static member id in the consumer group: one for each sink (FUNDING_SINK_INSTANCE).",
)
def sink(instance: str | None) -> None:
    """Store what the worker publishes in ClickHouse."""
    from schemas.config.settings import load_settings
    from schemas.process.logs import setup_logging
    from stream_app.settings import SinkSettings
    from stream_app.sink.service import run_sink

    settings = load_settings(SinkSettings, sink_instance=instance)
    setup_logging(settings.log_level)
    sys.exit(run_sink(settings))
