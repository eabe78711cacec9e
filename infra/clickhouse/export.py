"""Copies a span of a table or view into Parquet files, one for each slice of time."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.clickhouse.export_plan import (
    Slice,
    file_name,
    file_stem,
    halves,
    plan,
    span_of_file,
)
from infra.clickhouse.query import TooMuchError, run_query
from schemas.errors import ConfigurationError, UnavailableError
from schemas.process.files import written_atomically
from schemas.times import US_PER_S
from stream_app.settings import SinkSettings
from stream_app.sink.tables import DATABASE, TABLES

MAX_ROWS = 500_000
"""Of a file of several hours. It is some 30 MB, and seconds for an embedded server."""

_CONTRACT_COLUMNS = ("contract_id", "subject")
_FEED_COLUMN = "feed"
_IN_SPAN = (
    "{column:Identifier} >= {since:DateTime64(6, 'UTC')} "
    "AND {column:Identifier} < {until:DateTime64(6, 'UTC')}"
)


@dataclass(frozen=True, slots=True)
class Source:
    """What is exported."""

    table: str
    time_column: str
    each_once: bool
    """Whether the table may hold a row twice until it merges them: it is read `FINAL`."""
    filters: tuple[tuple[str, str], ...]
    """Columns, with the value that each has in the rows that are wanted."""

    @property
    def stem(self) -> str:
        """How the names of the files begin."""
        return file_stem(self.table, (value for _, value in self.filters))

    def statement(self, columns: str, span: Slice, ends: str) -> tuple[str, list[str]]:
        """Return a statement about the rows of a span, and its parameters."""
        conditions = [_IN_SPAN]
        bound = [f"table={self.table}", f"column={self.time_column}"]
        bound += [f"since={_shown(span.from_us)}", f"until={_shown(span.to_us)}"]
        for number, (column, value) in enumerate(self.filters):
            conditions.append(f"{{filter{number}:Identifier}} = {{value{number}:String}}")
            bound += [f"filter{number}={column}", f"value{number}={value}"]
        final = " FINAL" if self.each_once else ""
        where = " AND ".join(conditions)
        text = (
            f"SELECT {columns} FROM {{table:Identifier}}{final} "  # noqa: S608 - values are bound
            f"WHERE {where} {ends}"
        )
        return text, bound


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file of the export."""

    path: str
    rows: int | None
    """None: it was there already, or the server has not told."""
    written: bool
    """Whether this run has written it."""


def find_source(
    settings: SinkSettings, table: str, *, contract: str | None, feed: str | None
) -> Source:
    """Return what is to be exported, after a look at the table's columns.

    Raises:
        ConfigurationError: there is no such table or view, it has no column of time, or none for a
            filter.
        UnavailableError: ClickHouse does not answer.
    """
    engines = {row["name"]: row["engine"] for row in _rows(settings, _TABLES_QUERY, [])}
    name = table.removeprefix(f"{DATABASE}.")
    if name not in engines:
        known = ", ".join(sorted(engines)) or "none: run `fundingstream migrate`"
        raise ConfigurationError(f"there is no table or view {table!r} in {DATABASE}: {known}")
    types = {row["name"]: row["type"] for row in _rows(settings, _COLUMNS_QUERY, [f"table={name}"])}
    times = [column for column, kind in types.items() if kind.startswith("Date")]
    stored = next(
        (spec.time_field for spec in TABLES if name in {spec.name, f"{spec.name}_once"}), ""
    )
    if not times:
        raise ConfigurationError(
            f"{name} has no column of time to divide it by: `fundingstream sql --format parquet "
            "--output FILE` takes it whole"
        )
    filters = []
    for option, value, columns in (
        ("--feed", feed, (_FEED_COLUMN,)),
        ("--contract", contract, _CONTRACT_COLUMNS),
    ):
        if value is not None:
            column = next((column for column in columns if column in types), None)
            if column is None:
                with_more = f"; {name}_once has more" if f"{name}_once" in engines else ""
                raise ConfigurationError(
                    f"{option}: {name} has no column {' or '.join(columns)}{with_more}"
                )
            filters.append((column, value))
    return Source(name, stored or times[0], engines[name].startswith("Replacing"), tuple(filters))


def export(
    settings: SinkSettings,
    source: Source,
    span: Slice,
    directory: Path,
    progress: Callable[[str], None],
    *,
    force: bool,
) -> Iterator[ExportedFile]:
    """Write the files that are missing, and yield each, those that are there first.

    Args:
        settings: Where ClickHouse is.
        source: What is exported.
        span: Of which time; it begins and ends at full hours.
        directory: Where the files are.
        progress: Is told what happens, for a person.
        force: Write anew what is there already.

    Raises:
        ConfigurationError: with `force`, a file that is there has a part of the span only.
        UnavailableError: ClickHouse does not answer, or a file cannot be written; the files of
            before stay, and another run goes on from there.
    """
    done = _files(directory, source.stem, span)
    if force:
        _remove(directory, source.stem, done, span)
        done = []
    for one in done:
        yield ExportedFile(str(directory / file_name(source.stem, one)), None, written=False)
    missing = deque(plan(_rows_by_hour(settings, source, span), done, MAX_ROWS, span))
    written = 0
    while missing:
        piece = missing.popleft()
        path = directory / file_name(source.stem, piece)
        try:
            rows = _write(settings, source, piece, path)
        except TooMuchError as error:
            smaller = halves(piece)
            if smaller is None:
                raise
            progress(f"{path.name}: too much at once, in two parts ({error})")
            missing.extendleft(reversed(smaller))
            continue
        written += 1
        progress(
            f"{path.name}: {'' if rows is None else f'{rows:,} rows, '}"
            f"{written} of {written + len(missing)} files"
        )
        yield ExportedFile(str(path), rows, written=True)


_TABLES_QUERY = (
    f"SELECT name, engine FROM system.tables WHERE database = '{DATABASE}' "  # noqa: S608 - ours
    "AND engine NOT IN ('MaterializedView')"
)
_COLUMNS_QUERY = (
    f"SELECT name, type FROM system.columns WHERE database = '{DATABASE}' "  # noqa: S608 - ours
    "AND table = {table:String} ORDER BY position"
)


def _write(settings: SinkSettings, source: Source, span: Slice, path: Path) -> int | None:
    text, bound = source.statement("*", span, "ORDER BY {column:Identifier}")
    with (
        run_query(settings, text, bound, "Parquet", write=False, whole=True) as answer,
        written_atomically(path) as file,
    ):
        for block in answer.blocks:
            file.write(block)
    return answer.rows


def _rows_by_hour(settings: SinkSettings, source: Source, span: Slice) -> dict[int, int]:
    """Return how many rows each hour has."""
    hour = "toUnixTimestamp(toStartOfHour(toDateTime({column:Identifier}, 'UTC')))"
    text, bound = source.statement(
        f"toUInt32({hour}) AS hour_s, count() AS hour_rows", span, "GROUP BY hour_s"
    )
    return {
        int(row["hour_s"]) * US_PER_S: int(row["hour_rows"]) for row in _rows(settings, text, bound)
    }


def _rows(settings: SinkSettings, text: str, bound: list[str]) -> list[dict[str, Any]]:
    with run_query(settings, text, bound, "JSONEachRow", write=False) as answer:
        return [json.loads(line) for line in b"".join(answer.blocks).splitlines()]


def _files(directory: Path, stem: str, span: Slice) -> list[Slice]:
    """Make the directory if it is missing, and return the spans of its files that meet the span."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        names = [path.name for path in directory.iterdir()]
    except OSError as error:
        raise UnavailableError(f"{directory} cannot be used ({error.strerror})") from error
    found = [found for name in names if (found := span_of_file(stem, name)) is not None]
    return sorted(one for one in found if one.from_us < span.to_us and span.from_us < one.to_us)


def _remove(directory: Path, stem: str, files: list[Slice], span: Slice) -> None:
    beyond = [one for one in files if one.from_us < span.from_us or one.to_us > span.to_us]
    if beyond:
        raise ConfigurationError(
            f"--force: {directory / file_name(stem, beyond[0])} reaches beyond the span: "
            "choose one that holds it whole, or another --output"
        )
    for one in files:
        (directory / file_name(stem, one)).unlink()


def _shown(time_us: int) -> str:
    """Return a time of full seconds as ClickHouse reads it, without a zone: seconds."""
    return str(time_us // US_PER_S)
