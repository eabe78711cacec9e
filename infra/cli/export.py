"""`fundingstream export TABLE`: copies a span of a table or view into Parquet files."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from infra.cli.completion import complete_table
from infra.cli.options import clickhouse_url
from infra.cli.times import TIME_HELP, TIME_METAVAR, time_us


@click.command()
@click.argument("table", shell_complete=complete_table)
@click.option("--since", required=True, metavar=TIME_METAVAR, help=f"{TIME_HELP}.")
@click.option(
    "--until",
    default="now",
    metavar=TIME_METAVAR,
    help="Default: the last hour that has been over for five minutes.",
)
@click.option(
    "--output",
    "directory",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The directory of the files; it is made if it is missing.",
)
@click.option("--contract", metavar="ID", help="Rows of this contract only.")
@click.option("--feed", help="Rows of this feed only.")
@click.option(
    "--force",
    is_flag=True,
    help="Write anew what is there already, where ClickHouse still has all its rows.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the files and their rows as JSON.")
@clickhouse_url
def export(
    table: str,
    since: str,
    until: str,
    directory: Path,
    contract: str | None,
    feed: str | None,
    url: str | None,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Copy the rows of TABLE, a table or a view, of a span of time into Parquet files.

    The span is taken in full hours. Each row is there once, each file is whole and named by its
    span; a run that was stopped goes on where it was when it is called again.
    """
    from infra.cli.servers import require_clickhouse
    from infra.clickhouse import export as part
    from infra.clickhouse.export_plan import span_of
    from schemas.clock import now_us
    from schemas.config.settings import load_settings
    from schemas.errors import ConfigurationError
    from schemas.times import hour_floor
    from stream_app.settings import SinkSettings
    from stream_app.web.history.times_told import iso

    now = now_us()
    until_us = time_us(until, now)
    span = span_of(time_us(since, now), until_us, now)
    if span.from_us >= span.to_us:
        raise ConfigurationError(
            f"no full hour lies between --since {since} and --until {until}: begin earlier, or "
            "wait until an hour has been over for five minutes"
        )
    if span.to_us < hour_floor(until_us):
        click.echo(
            f"the files end at {iso(span.to_us)}: an hour is exported once it has been over for "
            "five minutes",
            err=True,
        )
    settings = load_settings(SinkSettings, clickhouse_url=url)
    require_clickhouse(settings)
    source = part.find_source(settings, table, contract=contract, feed=feed)
    files = list(
        part.export(
            settings,
            source,
            span,
            directory,
            lambda line: click.echo(line, err=True),
            now_us=now,
            force=force,
        )
    )
    if as_json:
        click.echo(json.dumps([asdict(file) for file in files]))
        return
    written = [file for file in files if file.written]
    rows = sum(file.rows or 0 for file in written)
    kept = len(files) - len(written)
    click.echo(
        f"{table}: {rows:,} rows in {len(written)} new files, {kept} files were there already"
        if files
        else f"{table} has no such rows: no files"
    )
