"""The commands `migrate` and `sql`. Errors end in infra/cli/main.py."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any, BinaryIO

import click
from clickhouse_connect.driver.exceptions import ClickHouseError

from infra.clickhouse.migrate import migrate as run_migrations
from infra.clickhouse.migrate import own_migrations
from infra.clickhouse.writer import as_writer
from schemas.config.settings import load_settings
from schemas.errors import ConfigurationError, FundingStreamError
from stream_app.settings import SinkSettings
from stream_app.sink.clickhouse import connect, explain
from stream_app.sink.clickhouse_errors import Fault, classify, is_read_only_refusal, one_line
from stream_app.sink.tables import DATABASE

_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CHUNK_BYTES = 1 << 16
_READS_ONLY = {"readonly": 2}
"""ClickHouse's own setting: nothing is written, and the setting itself cannot be changed. 2 and not
1, so that a query may still bring settings of its own (`SELECT … SETTINGS max_threads = 1`)."""
BROKEN_PIPE_EXIT = 141
"""128 + SIGPIPE: what a shell reports of any tool whose reader, such as `head`, has gone."""


_of_run = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write as the writer of the run of `up` with this data directory. Default: the run that "
    "holds .fundingstream/live or .fundingstream/demo now, unless a user is set.",
)


@click.command()
@click.option("--clickhouse", "url", help="ClickHouse's HTTP URL.")
@_of_run
def migrate(url: str | None, data_dir: Path | None) -> None:
    """Create or upgrade the tables and views in ClickHouse, and make again what is missing."""
    settings = as_writer(load_settings(SinkSettings, clickhouse_url=url), data_dir)
    done = run_migrations(settings)
    for migration in done.applied:
        click.echo(f"applied {migration.version:04d}_{migration.name}")
    for name in done.made:
        click.echo(f"made {name} (was missing)")
    if not done.applied:
        click.echo(f"database {DATABASE} is at version {own_migrations()[-1].version:04d}")


@click.command()
@click.argument("query")
@click.option(
    "--format",
    "output_format",
    default="PrettyCompact",
    show_default=True,
    help="One of ClickHouse's formats; a FORMAT in the query wins.",
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
@click.option("--clickhouse", "url", help="ClickHouse's HTTP URL.")
@_of_run
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
    settings = load_settings(SinkSettings, clickhouse_url=url)
    if write:
        settings = as_writer(settings, data_dir)
    text = sys.stdin.read() if query == "-" else query
    bound = dict(_parameter(item, text) for item in parameters)
    client = connect(settings)
    try:
        answer = client.raw_stream(
            text,
            parameters=bound,
            settings={
                "database": DATABASE,
                "default_format": output_format,
                **({} if write else _READS_ONLY),
            },
        )
        printed = _print(answer)
    except (ClickHouseError, OSError) as error:
        raise _refusal(error, settings, write=write) from error
    finally:
        client.close()
    # A Pretty table of no rows has no header either; other formats are read by programs.
    pretty = answer.headers.get("X-ClickHouse-Format", output_format).startswith("Pretty")
    if pretty and not printed and not write:
        click.echo("0 rows", err=True)


def _print(answer: Any) -> bool:
    """Copy the answer to standard output; return whether there was any.

    Ends the process where the reader of standard output has gone.
    """
    out: BinaryIO = click.get_binary_stream("stdout")
    printed = False
    while block := answer.read(_CHUNK_BYTES):
        printed = True
        try:
            out.write(block)
            out.flush()
        except BrokenPipeError:
            # What is still buffered would raise once more when the interpreter ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
            sys.exit(BROKEN_PIPE_EXIT)
    return printed


def _refusal(error: Exception, settings: SinkSettings, *, write: bool) -> FundingStreamError:
    """Return the typed error that says what to do about a query that failed."""
    if is_read_only_refusal(error) and not write:
        return ConfigurationError(
            "`fundingstream sql` only reads, and this statement is more than that: "
            f"add --write if you mean it ({one_line(error)})"
        )
    if is_read_only_refusal(error):
        return ConfigurationError(
            f"ClickHouse does not let user {settings.clickhouse_username!r} do this "
            f"({one_line(error)}): set FUNDING_CLICKHOUSE_USERNAME and FUNDING_CLICKHOUSE_PASSWORD "
            "to one that may, or give the --data-dir of the run whose ClickHouse it is"
        )
    if classify(error) in {Fault.TRANSIENT, Fault.DENIED}:
        return explain(error, settings)
    return ConfigurationError(one_line(error))


def _parameter(item: str, query: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals or not _PARAMETER.fullmatch(name):
        raise ConfigurationError(f"-p {item!r}: write NAME=VALUE, with NAME as in {{NAME:Type}}")
    # Without such a place the client would look for %(NAME)s and put the value into the text.
    if not re.search(rf"\{{\s*{name}\s*:", query):
        raise ConfigurationError(f"-p {item!r}: the query has no {{{name}:Type}}")
    return name, value
