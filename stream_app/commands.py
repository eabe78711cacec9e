"""The console command `fundingstream worker`. Not responsible for: the worker itself."""

from __future__ import annotations

import click
import faust

from schemas.logs import setup_logging
from schemas.settings import load_settings
from stream_app.settings import WorkerSettings
from stream_app.worker import create_app


@click.command()
@click.option("--web-port", type=int, help="Port of the status page (FUNDING_WEB_PORT).")
@click.option("--web-host", help="Address of the status page (FUNDING_WEB_HOST).")
def worker(web_port: int | None, web_host: str | None) -> None:
    """Run the Faust worker: raw records to rates, z-scores, settlements and alerts."""
    settings = load_settings(WorkerSettings, web_port=web_port, web_host=web_host)
    setup_logging(settings.log_level)
    app = create_app(settings)
    faust.Worker(app, override_logging=False, quiet=True).execute_from_commandline()
