"""`fundingstream sql QUERY`: runs one statement in ClickHouse and prints the answer."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import click

from infra.cli.options import clickhouse_url, of_run


@click.command()
@click.argument("query")
@click.option(
    "--format",
    "output_format",
    default="PrettyCompact",
    show_default=True,
    help="One of ClickHouse's formats; a FORMAT in the query wins. JSONEachRow is for scripts.",
)
@click.option(
    "-p",
    "--param",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Value of {NAME:Type} in the query; bound by the server, never put into the text.",
)
@click.option("--write", is_flag=True, help="Let the statement change something.")
@clickhouse_url
@of_run
def sql(
    query: str,
    output_format: str,
    parameters: tuple[str, ...],
    url: str | None,
    data_dir: Path | None,
    *,
    write: bool,
) -> None:
    """Run QUERY in ClickHouse, database `funding`; `-` reads it from standard input.

    It only reads, unless --write is given.
    """
    from infra.cli.output import broken_pipes_named
    from infra.cli.servers import require_clickhouse
    from infra.clickhouse.query import run_query
    from infra.clickhouse.writer import as_writer
    from schemas.config.settings import load_settings
    from stream_app.settings import SinkSettings

    settings = load_settings(SinkSettings, clickhouse_url=url)
    if write:
        settings = as_writer(settings, data_dir)
    require_clickhouse(settings)
    text = sys.stdin.read() if query == "-" else query
    # The names of broken pipes stand within, since the outer block takes an OSError for one of
    # ClickHouse's connection.
    with (
        run_query(settings, text, parameters, output_format, write=write) as answer,
        broken_pipes_named(),
    ):
        printed = _print(answer.blocks)
    # A Pretty table of no rows has no header either; other formats are read by programs.
    if answer.format_name.startswith("Pretty") and not printed and not write:
        click.echo("0 rows", err=True)


def _print(blocks: Iterable[bytes]) -> bool:
    """Copy blocks to standard output as they come; return whether there was any."""
    out: BinaryIO = click.get_binary_stream("stdout")
    printed = False
    for block in blocks:
        printed = True
        out.write(block)
        out.flush()
    return printed
