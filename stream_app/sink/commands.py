"""The console command `fundingstream sink`."""

from __future__ import annotations

import sys

import click

from schemas.config.settings import load_settings
from schemas.process.logs import setup_logging
from stream_app.settings import SinkSettings
from stream_app.sink.service import run_sink


@click.command()
@click.option(
    "--instance",
    help="Static member id in the consumer group: one for each sink (FUNDING_SINK_INSTANCE).",
)
def sink(instance: str | None) -> None:
    """Store what the worker publishes in ClickHouse."""
    settings = load_settings(SinkSettings, sink_instance=instance)
    setup_logging(settings.log_level)
    sys.exit(run_sink(settings))
