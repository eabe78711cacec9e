"""`fundingstream worker`: the Faust worker, until a signal."""

from __future__ import annotations

import click


@click.command()
@click.option("--web-port", type=int, help="Port of the status page (FUNDING_WEB_PORT).")
@click.option("--web-host", help="Address of the status page (FUNDING_WEB_HOST).")
def worker(web_port: int | None, web_host: str | None) -> None:
    """Run the Faust worker: raw records to rates, z-scores, settlements and alerts."""
    from schemas.config.settings import load_settings
    from schemas.process.logs import setup_logging
    from stream_app.settings import WorkerSettings
    from stream_app.worker.service import start_worker

    settings = load_settings(WorkerSettings, web_port=web_port, web_host=web_host)
    setup_logging(settings.log_level)
    start_worker(settings)
