"""The command `sink`. Not responsible for: turning errors into exit codes (infra/cli.py)."""

from __future__ import annotations

import logging
import sys

import click

from schemas.settings import load_settings
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
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    # The clients' libraries log each request and retry; the sink reports what comes of them.
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    sys.exit(run_sink(settings))
