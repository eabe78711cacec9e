"""The commands `migrate` and `sql`.

Not responsible for: turning errors into one line and an exit code (infra/cli.py).
"""

from __future__ import annotations

import re
import sys

import click
from clickhouse_connect.driver.exceptions import ClickHouseError

from infra.clickhouse.migrate import migrate as run_migrations
from infra.clickhouse.migrate import own_migrations
from schemas.errors import ConfigurationError
from schemas.settings import load_settings
from stream_app.settings import SinkSettings
from stream_app.sink.clickhouse import connect, explain
from stream_app.sink.faults import Fault, classify, one_line
from stream_app.sink.tables import DATABASE

_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CHUNK_BYTES = 1 << 16


@click.command()
@click.option("--clickhouse", "url", help="ClickHouse's HTTP URL.")
def migrate(url: str | None) -> None:
    """Create or upgrade the tables and views in ClickHouse."""
    settings = load_settings(SinkSettings, clickhouse_url=url)
    applied = run_migrations(settings)
    for migration in applied:
        click.echo(f"applied {migration.version:04d}_{migration.name}")
    if not applied:
        click.echo(f"database {DATABASE} is at version {own_migrations()[-1].version:04d}")


@click.command()
@click.argument("query")
@click.option("--format", "output_format", default="PrettyCompact", help="ClickHouse's formats.")
@click.option(
    "-p",
    "--param",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Value of {NAME:Type} in the query; bound by the server, never put into the text.",
)
@click.option("--clickhouse", "url", help="ClickHouse's HTTP URL.")
def sql(query: str, output_format: str, parameters: tuple[str, ...], url: str | None) -> None:
    """Run QUERY in ClickHouse, database `funding`; `-` reads it from standard input."""
    settings = load_settings(SinkSettings, clickhouse_url=url)
    text = sys.stdin.read() if query == "-" else query
    bound = dict(_parameter(item, text) for item in parameters)
    client = connect(settings)
    try:
        stream = client.raw_stream(
            text, parameters=bound, fmt=output_format, settings={"database": DATABASE}
        )
        out = click.get_binary_stream("stdout")
        while block := stream.read(_CHUNK_BYTES):
            out.write(block)
        out.flush()
    except (ClickHouseError, OSError) as error:
        if classify(error) in {Fault.TRANSIENT, Fault.DENIED}:
            raise explain(error, settings) from error
        raise ConfigurationError(one_line(error)) from error
    finally:
        client.close()


def _parameter(item: str, query: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals or not _PARAMETER.fullmatch(name):
        raise ConfigurationError(f"-p {item!r}: write NAME=VALUE, with NAME as in {{NAME:Type}}")
    # Without such a place the client would look for %(NAME)s and put the value into the text.
    if not re.search(rf"\{{\s*{name}\s*:", query):
        raise ConfigurationError(f"-p {item!r}: the query has no {{{name}:Type}}")
    return name, value
