"""`fundingstream replay`: the raw log through a second worker, compared with what was published."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import click

from schemas.errors import ConfigurationError, FundingStreamError


class DifferencesError(FundingStreamError):
    """The replay gave other records than those that were published."""


@click.command()
@click.option("--from", "from_time", metavar="TIME", help="ISO 8601, UTC. Default: all there is.")
@click.option("--to", "to_time", metavar="TIME", help="ISO 8601, UTC. Default: now.")
@click.option("--timeout-s", type=click.FloatRange(1), default=3600.0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def replay(from_time: str | None, to_time: str | None, timeout_s: float, *, as_json: bool) -> None:
    """Run the raw log through a second worker and compare with what was published.

    Exit code 0: no difference; 1: differences. The worker's state is built from the beginning of
    the log, so records whose history has left the log (7 days) may differ.
    """
    from infra import replay as part
    from infra.cli.servers import require_kafka, require_registry
    from infra.kafka.topic_reader import Span
    from schemas.clock import now_us
    from schemas.config.settings import load_settings
    from stream_app.settings import WorkerSettings

    span = Span(_time_us(from_time, 0), _time_us(to_time, now_us()))
    settings = load_settings(WorkerSettings)
    require_kafka(settings)
    require_registry(settings)

    def still(left: int) -> None:
        click.echo(f"  {left:,} raw records to go", err=True)

    results = asyncio.run(part.replay(settings, span, timeout_s, still))
    if as_json:
        click.echo(json.dumps([result._asdict() for result in results], ensure_ascii=False))
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


def _time_us(text: str | None, default_us: int) -> int:
    """Return an ISO 8601 time, UTC where it names no zone, in microseconds since the epoch.

    Raises:
        ConfigurationError: it is none.
    """
    if text is None:
        return default_us
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"not an ISO 8601 time: {text!r}") from None
    return round(parsed.replace(tzinfo=parsed.tzinfo or UTC).timestamp() * 1_000_000)
