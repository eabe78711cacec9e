"""`fundingstream replay`: the raw log through a second worker, compared with what was published."""

from __future__ import annotations

import asyncio

import click

from infra.cli.times import TIME_HELP, TIME_METAVAR, time_us
from schemas.errors import FundingStreamError


class DifferencesError(FundingStreamError):
    """The replay gave other records than those that were published."""


@click.command()
@click.option(
    "--from", "from_time", metavar=TIME_METAVAR, help=f"{TIME_HELP}. Default: all there is."
)
@click.option("--to", "to_time", metavar=TIME_METAVAR, default="now", help="Default: now.")
@click.option("--timeout-s", type=click.FloatRange(1), default=3600.0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def replay(from_time: str | None, to_time: str, timeout_s: float, *, as_json: bool) -> None:
    """Run the raw log through a second worker and compare with what was published.

    Exit code 0: no difference; 1: differences. The worker's state is built from the beginning of
    the log, so records whose history has left the log (7 days) may differ.
    """
    from infra import replay as part
    from infra.cli.output import json_text
    from infra.cli.servers import require_kafka, require_registry
    from infra.kafka.topic_reader import Span
    from schemas.clock import now_us
    from schemas.config.settings import load_settings
    from stream_app.settings import WorkerSettings

    now = now_us()
    span = Span(0 if from_time is None else time_us(from_time, now), time_us(to_time, now))
    settings = load_settings(WorkerSettings)
    require_kafka(settings)
    require_registry(settings)

    def still(left: int) -> None:
        click.echo(f"  {left:,} raw records to go", err=True)

    results = asyncio.run(part.replay(settings, span, timeout_s, still))
    if as_json:
        click.echo(json_text([result._asdict() for result in results]))
    else:
        for result in results:
            click.echo(
                f"{result.topic:22} {result.published:9,} published {result.replayed:9,} replayed "
                f"{result.repeated:7,} repeated {result.missing:6,} missing {result.extra:6,} extra"
            )
            for example in result.examples:
                click.echo(f"    {example}")
    differing = sum(result.missing + result.extra for result in results)
    if differing:
        raise DifferencesError(f"{differing} records differ")
