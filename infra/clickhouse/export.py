"""Copies a span of a table or view into Parquet files, one for each slice of time."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.clickhouse.export_plan import (
    Slice,
    covered,
    days,
    file_name,
    file_stem,
    halves,
    outermost,
    plan,
    replaceable,
    span_of_file,
)
from infra.clickhouse.query import TooMuchError, run_query
from schemas.errors import ConfigurationError, UnavailableError
from schemas.process.files import remove_leftovers, written_atomically
from schemas.times import US_PER_S, hour_floor
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
    may_repeat: bool
    """Whether the table may hold a row twice until it merges them."""
    kept_days: int | None
    """Rows expire when they are so old; None: never, or not by a number of days."""
    filters: tuple[tuple[str, str], ...]
    """Columns, with the value that each has in the rows that are wanted."""

    @property
    def stem(self) -> str:
        """How the names of the files begin."""
        return file_stem(self.table, (value for _, value in self.filters))

    def statement(
        self, columns: str, span: Slice, ends: str, *, each_once: bool
    ) -> tuple[str, list[str]]:
        """Return a statement about the rows of a span, and its parameters.

        Args:
            columns: What it selects.
            span: Of which time.
            ends: What follows its conditions.
            each_once: Whether a row that the table holds twice is to be read once, which takes the
                server longer.
        """
        conditions = [_IN_SPAN]
        bound = [f"table={self.table}", f"column={self.time_column}"]
        bound += [f"since={_shown(span.from_us)}", f"until={_shown(span.to_us)}"]
        for number, (column, value) in enumerate(self.filters):
            conditions.append(f"{{filter{number}:Identifier}} = {{value{number}:String}}")
            bound += [f"filter{number}={column}", f"value{number}={value}"]
        final = " FINAL" if self.may_repeat and each_once else ""
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
    tables = {row["name"]: row for row in _rows(settings, _TABLES_QUERY, [])}
    name = table.removeprefix(f"{DATABASE}.")
    if name not in tables:
        known = ", ".join(sorted(tables)) or "none: run `fundingstream migrate`"
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
    stem = name.removesuffix("_once")
    filters = _filters(types, contract, feed, f"{name}_once" if f"{name}_once" in tables else None)
    return Source(
        name,
        stored or times[0],
        tables[name]["engine"].startswith("Replacing"),
        int(tables[stem]["kept_days"] or 0) or None if stem in tables else None,
        filters,
    )


def _filters(
    types: Mapping[str, str], contract: str | None, feed: str | None, wider: str | None
) -> tuple[tuple[str, str], ...]:
    """Return the columns that a table chooses rows by, with their values.

    Raises:
        ConfigurationError: it has no such column; `wider` is the view that may have it.
    """
    filters = []
    for option, value, columns in (
        ("--feed", feed, (_FEED_COLUMN,)),
        ("--contract", contract, _CONTRACT_COLUMNS),
    ):
        if value is not None:
            column = next((column for column in columns if column in types), None)
            if column is None:
                with_more = "" if wider is None else f"; {wider} has more"
                raise ConfigurationError(
                    f"{option}: there is no column {' or '.join(columns)}{with_more}"
                )
            filters.append((column, value))
    return tuple(filters)


def export(
    settings: SinkSettings,
    source: Source,
    span: Slice,
    directory: Path,
    progress: Callable[[str], None],
    *,
    now_us: int,
    force: bool,
) -> Iterator[ExportedFile]:
    """Write the files that are missing, and yield each, those that are there first.

    Args:
        settings: Where ClickHouse is.
        source: What is exported.
        span: Of which time; it begins and ends at full hours.
        directory: Where the files are.
        progress: Is told what happens, for a person.
        now_us: The present time.
        force: Write anew what is there already. A file of which ClickHouse may have lost rows
            stays, and `progress` is told.

    Raises:
        ConfigurationError: with `force`, a file that is there has a part of the span only.
        UnavailableError: ClickHouse does not answer, or a file cannot be written; the files of
            before stay, and another run goes on from there.
    """
    done = _files(directory, source.stem, span)
    if force:
        _check_within(directory, source.stem, done, span)
    rows_by_hour = _rows_by_hour(settings, source, span)
    old = replaceable(done, rows_by_hour, source.kept_days, now_us) if force else []
    for one in done:
        if one not in old:
            path = directory / file_name(source.stem, one)
            if force:
                progress(f"{path.name}: kept as it is, ClickHouse may have dropped rows of it")
            yield ExportedFile(str(path), None, written=False)
    missing = deque(sorted([*outermost(old), *plan(rows_by_hour, done, MAX_ROWS, span)]))
    written: list[Slice] = []
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
        written.append(piece)
        for one in covered(old, written):
            _remove(directory / file_name(source.stem, one))
        progress(
            f"{path.name}: {'' if rows is None else f'{rows:,} rows, '}"
            f"{len(written)} of {len(written) + len(missing)} files"
        )
        yield ExportedFile(str(path), rows, written=True)


_TABLES_QUERY = (
    "SELECT name, engine, "  # noqa: S608 - ours
    "extract(engine_full, 'TTL .*toIntervalDay[(]([0-9]+)[)]') AS kept_days "
    f"FROM system.tables WHERE database = '{DATABASE}' "
    "AND engine NOT IN ('MaterializedView')"
)
_COLUMNS_QUERY = (
    f"SELECT name, type FROM system.columns WHERE database = '{DATABASE}' "  # noqa: S608 - ours
    "AND table = {table:String} ORDER BY position"
)


def _write(settings: SinkSettings, source: Source, span: Slice, path: Path) -> int | None:
    text, bound = source.statement("*", span, "ORDER BY {column:Identifier}", each_once=True)
    with (
        run_query(settings, text, bound, "Parquet", write=False, whole=True) as answer,
        written_atomically(path) as file,
    ):
        for block in answer.blocks:
            file.write(block)
    return answer.rows


def _rows_by_hour(settings: SinkSettings, source: Source, span: Slice) -> Counter[int]:
    """Return how many rows each hour has, for a plan: those that are held twice count twice."""
    rows: Counter[int] = Counter()
    first_us = _first_us(settings, source, span)
    left = deque(() if first_us is None else days(Slice(hour_floor(first_us), span.to_us)))
    while left:
        piece = left.popleft()
        text, bound = source.statement(
            "toUInt32(toUnixTimestamp(toStartOfHour(toDateTime({column:Identifier}, 'UTC')))) "
            "AS hour_s, count() AS hour_rows",
            piece,
            "GROUP BY hour_s",
            each_once=False,
        )
        try:
            found = _rows(settings, text, bound)
        except TooMuchError:
            smaller = halves(piece)
            if smaller is None:
                raise
            left.extendleft(reversed(smaller))
            continue
        for row in found:
            rows[int(row["hour_s"]) * US_PER_S] += int(row["hour_rows"])
    return rows


def _first_us(settings: SinkSettings, source: Source, span: Slice) -> int | None:
    """Return a time before which the span has no rows; None: it has none at all."""
    text, bound = source.statement(
        "toUInt32(toUnixTimestamp(toDateTime(min({column:Identifier}), 'UTC'))) AS first_s",
        span,
        "",
        each_once=False,
    )
    try:
        (row,) = _rows(settings, text, bound)
    except TooMuchError:
        return span.from_us
    first_us = int(row["first_s"]) * US_PER_S
    # Of no rows ClickHouse's minimum is the beginning of 1970.
    return first_us if first_us >= span.from_us else None


def _rows(settings: SinkSettings, text: str, bound: list[str]) -> list[dict[str, Any]]:
    with run_query(settings, text, bound, "JSONEachRow", write=False) as answer:
        return [json.loads(line) for line in b"".join(answer.blocks).splitlines()]


def _files(directory: Path, stem: str, span: Slice) -> list[Slice]:
    """Return the spans of the files that meet the span.

    The directory is made if it is missing; what killed exports have left in it is removed.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        remove_leftovers(directory, lambda name: span_of_file(stem, name) is not None)
        names = [path.name for path in directory.iterdir()]
    except OSError as error:
        raise UnavailableError(f"{directory} cannot be used ({error.strerror})") from error
    found = [found for name in names if (found := span_of_file(stem, name)) is not None]
    return sorted(one for one in found if one.from_us < span.to_us and span.from_us < one.to_us)


def _check_within(directory: Path, stem: str, files: list[Slice], span: Slice) -> None:
    """Check that no file has a part of the span only. Raises ConfigurationError."""
    beyond = [one for one in files if one.from_us < span.from_us or one.to_us > span.to_us]
    if beyond:
        raise ConfigurationError(
            f"--force: {directory / file_name(stem, beyond[0])} reaches beyond the span: "
            "choose one that holds it whole, or another --output"
        )


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be removed ({error.strerror}): do it yourself, its rows are in newer "
            "files beside it"
        ) from error


def _shown(time_us: int) -> str:
    """Return a time of full seconds as ClickHouse reads it, without a zone: seconds."""
    return str(time_us // US_PER_S)
