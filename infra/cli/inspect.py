"""`fundingstream inspect CONTRACT [TIME]`: how a z-score came to be, computed again."""

from __future__ import annotations

import click

from infra.cli.options import clickhouse_url
from infra.cli.times import TIME_METAVAR, time_us
from schemas.errors import FundingStreamError


class DifferencesError(FundingStreamError):
    """A number that was computed again is not the one that is stored."""


@click.command()
@click.argument("contract")
@click.argument("time", metavar=f"[{TIME_METAVAR}]", default="now")
@click.option("--json", "as_json", is_flag=True, help="For scripts; times are in microseconds.")
@clickhouse_url
def inspect(contract: str, time: str, url: str | None, *, as_json: bool) -> None:
    """Show how the newest z-score of CONTRACT at or before TIME came to be.

    CONTRACT is FEED:SYMBOL, as in the view `contracts`. TIME is 2026-07-30, 2026-07-30T14:00 (UTC),
    or how long ago: 15m, 2h, 7d; by default now. Shown are the row as it is stored, the bytes of
    the exchange that it was made from, the settlements that it was scored against, and each number
    computed again: `equal` to the stored one, `revised since` where settlements were stored or
    corrected afterwards, or `differs`.

    Exit code 1: a number differs; 3: all is shown but the raw record, since Kafka or the registry
    is away.
    """
    from infra.cli.output import json_text
    from infra.inspection.reading import read_evidence
    from infra.inspection.report import document_of, lines_of
    from infra.inspection.steps import Verdict, steps_of
    from schemas.clock import now_us
    from schemas.config.settings import load_settings
    from stream_app.settings import SinkSettings
    from stream_app.web.history.raw_reader import NotKeptError

    now = now_us()
    settings = load_settings(SinkSettings, clickhouse_url=url)
    evidence = read_evidence(settings, contract, time_us(time, now), now)
    steps = steps_of(evidence)
    if as_json:
        click.echo(json_text(document_of(evidence, steps, now)))
    else:
        click.echo("\n".join(lines_of(evidence, steps, now)))
    differing = [step.name for step in steps if step.verdict is Verdict.DIFFERS]
    if differing:
        raise DifferencesError(f"computed again, {', '.join(differing)} differ from what is stored")
    missing = evidence.raw_missing
    if missing is not None and not isinstance(missing, NotKeptError):
        raise missing
