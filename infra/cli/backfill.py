"""`fundingstream backfill FEED…`: fetches settled rates only, with a progress bar, then ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from schemas.feeds import FEEDS

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

PROGRESS_STEPS = 1_000


@click.command()
@click.argument("feeds", nargs=-1, type=click.Choice(FEEDS), metavar="[FEED]...")
@click.option("--days", type=click.IntRange(1, 90), help="FUNDING_PRODUCER_HISTORY_DAYS.")
@click.option("--base-url", help="Root of the exchanges, for a simulator.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def backfill(
    feeds: Sequence[str], days: int | None, base_url: str | None, *, as_json: bool
) -> None:
    """Fetch the settled rates of the given feeds (default: all) to Kafka, then end."""
    from infra.cli.servers import require_kafka, require_registry
    from producers.feed.backfill import require_finished, run_backfill
    from producers.settings import ProducerSettings
    from schemas.config.settings import load_settings
    from schemas.process.logs import setup_logging

    settings = load_settings(
        ProducerSettings, producer_history_days=days, exchange_base_url=base_url
    )
    setup_logging("WARNING" if sys.stderr.isatty() else settings.log_level)
    require_kafka(settings)
    require_registry(settings)
    with ExitStack() as drawn:
        bars: list[ProgressBar[str]] = []

        def show(progress: float, rows: int) -> None:
            if not bars:
                bars.append(drawn.enter_context(_bar()))
            bars[0].update(int(PROGRESS_STEPS * progress) - bars[0].pos, f"{rows} rows")

        results = run_backfill(settings, feeds or FEEDS, show)
    if as_json:
        click.echo(json.dumps(results, indent=2))
    else:
        for feed, result in results.items():
            click.echo(f"{feed}: {result['rows']} settlements in {result['calls']} calls")
    require_finished(results)


def _bar() -> ProgressBar[str]:
    """Return one bar over all feeds; only a terminal shows it."""
    return click.progressbar(
        length=PROGRESS_STEPS,
        label="settled rates",
        file=sys.stderr,
        item_show_func=lambda item: item,
    )
