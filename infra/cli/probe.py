"""`fundingstream probe FEED`: what an exchange really sends, beside what it documents."""

from __future__ import annotations

import asyncio

import click

from schemas.errors import FundingStreamError, UnavailableError
from schemas.feeds import FEEDS


class NotAsDocumentedError(FundingStreamError):
    """An exchange does not send something that it documents."""


@click.command()
@click.argument("feed", type=click.Choice(FEEDS), metavar="FEED")
@click.option(
    "--seconds",
    type=click.FloatRange(1, 3_600),
    default=20.0,
    show_default=True,
    help="How long to listen.",
)
@click.option("--contracts", type=click.IntRange(1), help="Subscribe to so many at most.")
@click.option("--base-url", help="Root of the exchanges, for a simulator.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def probe(
    feed: str, seconds: float, contracts: int | None, base_url: str | None, *, as_json: bool
) -> None:
    """Connect to an exchange without Kafka and show what it sends, beside what it documents.

    Sockets and REST calls are those of the feed's producer; the settings FUNDING_... decide whether
    the exchange is the real or a simulated one. It makes a handful of REST calls, which count
    against the limits of this address beside those of a running producer.

    Exit code 0: all is as documented; 1: something documented is missing; 3: it cannot be reached.
    """
    from infra.cli.output import json_text
    from infra.probe.report import document_of, lines_of
    from infra.probe.watch import watch
    from producers.exchanges import exchange
    from producers.settings import ProducerSettings
    from schemas.clock import SystemClock
    from schemas.config.settings import load_settings
    from schemas.process.logs import setup_logging

    settings = load_settings(ProducerSettings, exchange_base_url=base_url)
    setup_logging("ERROR")
    click.echo(f"listening to {feed} for {seconds:g} s", err=True)
    seen = asyncio.run(watch(exchange(feed), settings, seconds, contracts, SystemClock()))
    if as_json:
        click.echo(json_text(document_of(seen)))
    else:
        click.echo("\n".join(lines_of(seen)))
    if seen.is_unreachable:
        why = "; ".join(seen.problems) or "no socket was opened"
        raise UnavailableError(f"{feed} cannot be reached: {why}")
    if missing := seen.missing():
        raise NotAsDocumentedError(f"{len(missing)} of what {feed} documents are missing")
