"""`fundingstream page`: the page as a process of its own, until a signal."""

from __future__ import annotations

import click


@click.command()
@click.option("--port", type=int, help="Port of the page (FUNDING_WEB_PORT).")
@click.option("--host", help="Address of the page (FUNDING_WEB_HOST).")
def page(port: int | None, host: str | None) -> None:
    """Serve the page and its API, without a worker: for many viewers."""
    from schemas.config.settings import load_settings
    from schemas.process.logs import setup_logging
    from stream_app.settings import PageSettings
    from stream_app.web.service import run_page

    settings = load_settings(PageSettings, web_port=port, web_host=host)
    setup_logging(settings.log_level)
    run_page(settings)
