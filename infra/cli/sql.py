"""`fundingstream sql QUERY`: runs one statement in ClickHouse and prints the answer."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from infra.cli.options import clickhouse_url, of_run

if TYPE_CHECKING:
    from infra.clickhouse.query import Answer

FORMATS = {
    "table": "PrettyCompact",
    "vertical": "Vertical",
    "csv": "CSVWithNames",
    "json": "JSONEachRow",
    "parquet": "Parquet",
}
"""ClickHouse's name of each format that has a short one."""

_BINARY = (
    "Arrow", "Avro", "BSON", "CapnProto", "MsgPack", "Native", "Npy", "ORC", "Parquet", "Protobuf",
    "RowBinary",
)  # fmt: skip
"""How the names of formats begin that no terminal can show."""
_EVERY_S = 2.0
_LOOK_AFTER_READER_S = 0.5


@click.command()
@click.argument("query")
@click.option(
    "--format",
    "output_format",
    default="table",
    show_default=True,
    help=f"{', '.join(FORMATS)}, or any name of ClickHouse's own, such as CSV or JSONCompact. "
    "A FORMAT in the query wins. csv has a line of names, json is one object a line.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file instead; it appears, or is replaced, when the answer is whole.",
)
@click.option("--watch", is_flag=True, help="Ask again and again, until Ctrl-C.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.1, 86_400),
    metavar="SECONDS",
    help=f"How long --watch waits between two answers. Default: {_EVERY_S:g}.",
)
@click.option("--times", type=click.IntRange(1), help="End --watch after this many answers.")
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
    output: Path | None,
    every_s: float | None,
    times: int | None,
    parameters: tuple[str, ...],
    url: str | None,
    data_dir: Path | None,
    *,
    watch: bool,
    write: bool,
) -> None:
    """Run QUERY in ClickHouse, database `funding`; `-` reads it from standard input.

    It only reads, unless --write is given.
    """
    from infra.cli.servers import require_clickhouse
    from infra.clickhouse.query import run_query
    from infra.clickhouse.writer import as_writer
    from schemas.config.settings import load_settings
    from stream_app.settings import SinkSettings

    _check_options(output, every_s, times, watch=watch, write=write)
    settings = load_settings(SinkSettings, clickhouse_url=url)
    if write:
        settings = as_writer(settings, data_dir)
    require_clickhouse(settings)
    text = sys.stdin.read() if query == "-" else query
    format_name = FORMATS.get(output_format, output_format)

    def once(before: bytes = b"") -> None:
        with run_query(settings, text, parameters, format_name, write=write) as answer:
            printed = _print(answer, before) if output is None else _save(answer, output)
        # A Pretty table of no rows has no header either; other formats are read by programs.
        if answer.format_name.startswith("Pretty") and not printed and not write:
            click.echo("0 rows", err=True)

    if watch:
        _watch(once, _EVERY_S if every_s is None else every_s, times)
    else:
        once()


def _check_options(
    output: Path | None, every_s: float | None, times: int | None, *, watch: bool, write: bool
) -> None:
    """Check that the options go together. Raises click.UsageError."""
    if watch and (output or write):
        raise click.UsageError("--watch only reads, and prints: give no --output and no --write")
    if not watch and not (every_s is None and times is None):
        raise click.UsageError("--every and --times belong to --watch")
    if output is not None and output.exists() and not output.is_file():
        raise click.UsageError(f"--output: {output} is no file; a device or a pipe takes `>`")


def _print(answer: Answer, before: bytes) -> bool:
    """Copy an answer to standard output as it comes; return whether there was any.

    Args:
        answer: What ClickHouse says.
        before: What a terminal is told first, once the answer is there.
    """
    from schemas.errors import ConfigurationError

    out: BinaryIO = click.get_binary_stream("stdout")
    if out.isatty() and answer.format_name.startswith(_BINARY):
        raise ConfigurationError(f"{answer.format_name} is not for a terminal: add --output FILE")
    printed = False
    for block in answer.blocks:
        out.write(block if printed else before + block)
        out.flush()
        printed = True
    if not printed and before:
        out.write(before)
        out.flush()
    return printed


def _save(answer: Answer, path: Path) -> bool:
    """Write an answer to a file; return whether there was any.

    Raises:
        UnavailableError: the file cannot be written.
    """
    from schemas.process.files import written_atomically

    printed = False
    with written_atomically(path) as file:
        for block in answer.blocks:
            file.write(block)
            printed = True
    return printed


def _watch(once: Callable[[bytes], None], every_s: float, times: int | None) -> None:
    """Show the answer again and again; on a terminal each takes the place of the one before.

    Raises:
        UnavailableError: ClickHouse does not answer the first time; later it is waited for.
    """
    from infra.cli.output import check_reader
    from schemas.errors import UnavailableError

    # To the top left, and nothing of before below it.
    redraw = b"\x1b[H\x1b[2J" if click.get_binary_stream("stdout").isatty() else b""
    shown, away = 0, False
    while True:
        try:
            once(redraw)
            shown, away = shown + 1, False
        except UnavailableError as error:
            if not shown:
                raise
            if not away:
                click.echo(f"waiting: {error}", err=True)
            away = True
        if shown == times:
            return
        again_s = time.monotonic() + every_s
        while (left_s := again_s - time.monotonic()) > 0:
            check_reader()
            time.sleep(min(left_s, _LOOK_AFTER_READER_S))
