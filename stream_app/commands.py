"""The console command `fundingstream worker`. Not responsible for: the worker itself."""

from __future__ import annotations

import gc
import socket

import click
import faust

from schemas.errors import UnavailableError
from schemas.logs import setup_logging
from schemas.settings import load_settings
from stream_app.settings import WorkerSettings
from stream_app.worker import create_app

GC_THRESHOLDS = (100_000, 50, 100)


@click.command()
@click.option("--web-port", type=int, help="Port of the status page (FUNDING_WEB_PORT).")
@click.option("--web-host", help="Address of the status page (FUNDING_WEB_HOST).")
def worker(web_port: int | None, web_host: str | None) -> None:
    """Run the Faust worker: raw records to rates, z-scores, settlements and alerts."""
    settings = load_settings(WorkerSettings, web_port=web_port, web_host=web_host)
    setup_logging(settings.log_level)
    # Faust would end in a traceback.
    _require_free_port(settings.web_host, settings.web_port)
    app = create_app(settings)
    # Records come and go without cycles; collections over the state would only add to the latency.
    gc.set_threshold(*GC_THRESHOLDS)
    service = faust.Worker(app, override_logging=False, quiet=True)
    service.spinner = None  # It writes cursor codes, to what is no terminal as well.
    service.execute_from_commandline()


def _require_free_port(host: str, port: int) -> None:
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise UnavailableError(
            f"port {port} for the status page is not free on {host} ({error.strerror}): stop what "
            "listens there, or set FUNDING_WEB_PORT"
        ) from error
