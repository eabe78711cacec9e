"""`fundingstream producer FEED…`: streams feeds from their exchanges to Kafka until stopped."""

from __future__ import annotations

from collections.abc import Sequence

import click

from schemas.feeds import FEEDS, shared_out


class Share(click.ParamType):
    """One of several equal shares, written as K/N: the number K of N."""

    name = "share"

    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[int, int]:
        """Return K and N."""
        if isinstance(value, tuple):
            return value
        number, _, shares = str(value).partition("/")
        if not (number.isdecimal() and shares.isdecimal() and 1 <= int(number) <= int(shares)):
            self.fail(f"{value!r} is no share: write K/N, as in 1/3", param, ctx)
        return int(number), int(shares)


@click.command()
@click.argument("feeds", nargs=-1, type=click.Choice(FEEDS), metavar="[FEED]...")
@click.option("--share", type=Share(), metavar="K/N",
              help="Only one of N shares of the feeds, with about as many pushes as each of the "
              "others: the shares 1/N to N/N have all of them together.")  # fmt: skip
@click.option("--metrics-port", type=int, help="FUNDING_PRODUCER_METRICS_PORT.")
@click.option("--base-url", help="Root of the exchanges, for a simulator.")
def producer(
    feeds: Sequence[str],
    share: tuple[int, int] | None,
    metrics_port: int | None,
    base_url: str | None,
) -> None:
    """Stream the given feeds (default: all) from their exchanges to Kafka."""
    from producers.feed.service import run_producer
    from producers.settings import ProducerSettings
    from schemas.config.settings import load_settings
    from schemas.process.logs import setup_logging

    settings = load_settings(
        ProducerSettings, producer_metrics_port=metrics_port, exchange_base_url=base_url
    )
    setup_logging(settings.log_level)
    number, shares = share or (1, 1)
    # All processes together publish no more history a second than one alone.
    history = {"producer_history_rows_per_s": settings.producer_history_rows_per_s / shares}
    run_producer(settings.model_copy(update=history), shared_out(feeds or FEEDS, number, shares))
