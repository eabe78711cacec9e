"""`fundingstream producer FEED…`: streams feeds from their exchanges to Kafka until stopped."""

from __future__ import annotations

from collections.abc import Sequence

import click

from schemas.feeds import FEEDS


@click.command()
@click.argument("feeds", nargs=-1, type=click.Choice(FEEDS), metavar="[FEED]...")
@click.option("--metrics-port", type=int, help="FUNDING_PRODUCER_METRICS_PORT.")
@click.option("--base-url", help="Root of the exchanges, for a simulator.")
def producer(feeds: Sequence[str], metrics_port: int | None, base_url: str | None) -> None:
    """Stream the given feeds (default: all) from their exchanges to Kafka."""
    from producers.feed.service import run_producer
    from producers.settings import ProducerSettings
    from schemas.config.settings import load_settings
    from schemas.process.logs import setup_logging

    settings = load_settings(
        ProducerSettings, producer_metrics_port=metrics_port, exchange_base_url=base_url
    )
    setup_logging(settings.log_level)
    run_producer(settings, feeds or FEEDS)
