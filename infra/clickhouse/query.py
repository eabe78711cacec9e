"""Runs one statement that a person gives, read-only unless told otherwise, and explains errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from clickhouse_connect.driver.exceptions import ClickHouseError, ProgrammingError
from urllib3.exceptions import HTTPError

from infra.clickhouse.late_errors import TAG_HEADER, without_late_error
from infra.embedded.clickhouse.sqltext import is_read
from schemas.config.settings import shown_url
from schemas.errors import ConfigurationError, FundingStreamError, UnavailableError
from stream_app.settings import SinkSettings
from stream_app.sink.clickhouse import connect, explain
from stream_app.sink.clickhouse_errors import (
    Fault,
    classify,
    code_of,
    is_access_denied,
    is_read_only,
    one_line,
)
from stream_app.sink.tables import DATABASE

_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CHUNK_BYTES = 1 << 16
_TOO_MUCH = frozenset(
    {
        158,  # TOO_MANY_ROWS
        159,  # TIMEOUT_EXCEEDED
        241,  # MEMORY_LIMIT_EXCEEDED
        307,  # TOO_MANY_BYTES
        396,  # TOO_MANY_ROWS_OR_BYTES
    }
)
_READS_ONLY = {"readonly": "2"}
"""ClickHouse's own setting: nothing is written, and the setting itself cannot be changed. 2 and not
1, so that a query may still bring settings of its own (`SELECT … SETTINGS max_threads = 1`)."""
_READ_ONLY_VALUES = frozenset({"1", "2"})


class Answer(NamedTuple):
    """The answer of ClickHouse, as it comes."""

    format_name: str
    """ClickHouse's name of the format that the blocks are in."""
    blocks: Iterator[bytes]
    """They raise what `run_query` raises, where the answer ends in an error or does not end."""
    rows: int | None
    """How many rows it has, where the answer was asked for whole and the server tells."""


class _Asked(NamedTuple):
    """A statement, and how it was sent."""

    text: str
    restricted: bool
    """Whether we told the server to refuse what is more than reading."""


class TooMuchError(UnavailableError):
    """The server gave up on a statement for its time, its memory or the size of its answer."""


@contextmanager
def run_query(
    settings: SinkSettings,
    text: str,
    parameters: Sequence[str],
    output_format: str,
    *,
    write: bool,
    whole: bool = False,
) -> Iterator[Answer]:
    """Run one statement for the time of the `with` block.

    Args:
        settings: Where ClickHouse is, and as whom to ask it.
        text: The statement.
        parameters: `NAME=VALUE` for each place `{NAME:Type}` of the statement.
        output_format: The format of the answer where the statement names none.
        write: Whether the statement may change something.
        whole: Let the server answer when it has all, and not as it comes.

    Raises:
        ConfigurationError: the statement or a parameter is wrong, or the user may not do this.
        TooMuchError: it takes longer, or more memory, or gives more than the server allows.
        UnavailableError: ClickHouse does not answer, or not to the end.
    """
    bound = dict(_parameter(item, text) for item in parameters)
    client = connect(settings)
    limits = {} if write else _reads_only(client.server_settings)
    asked = _Asked(text, restricted=bool(limits))
    try:
        with _refusals_named(settings, asked):
            answer = client.raw_stream(
                text,
                parameters=bound,
                settings={
                    "database": DATABASE,
                    "default_format": output_format,
                    **limits,
                    **({"wait_end_of_query": "1"} if whole else {}),
                },
            )
        format_name = answer.headers.get("X-ClickHouse-Format", output_format)
        rows = _result_rows(answer) if whole else None
        yield Answer(format_name, _blocks(answer, settings, asked), rows)
    finally:
        client.close()


def _reads_only(server_settings: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the settings that make a statement read only.

    None where the user's profile does so already, as ClickHouse's own `readonly`: such a user may
    not set them once more.

    Args:
        server_settings: The settings of this user at the server, by name.
    """
    held = server_settings.get("readonly")
    return {} if held is not None and held.value in _READ_ONLY_VALUES else _READS_ONLY


def _result_rows(answer: Any) -> int | None:
    """Return the number of rows in the summary among the headers of a whole answer."""
    try:
        return int(json.loads(answer.headers["X-ClickHouse-Summary"])["result_rows"])
    except (KeyError, ValueError):
        return None


def _blocks(answer: Any, settings: SinkSettings, asked: _Asked) -> Iterator[bytes]:
    with _refusals_named(settings, asked):
        # As they come, not in blocks of a full length, of which an error would take the last along.
        yield from without_late_error(answer.stream(_CHUNK_BYTES), answer.headers.get(TAG_HEADER))


@contextmanager
def _refusals_named(settings: SinkSettings, asked: _Asked) -> Iterator[None]:
    try:
        yield
    except (ClickHouseError, HTTPError, OSError) as error:
        raise _refusal(error, settings, asked) from error


def _refusal(
    error: ClickHouseError | HTTPError | OSError, settings: SinkSettings, asked: _Asked
) -> FundingStreamError:
    """Return the typed error that says what to do about a query that failed."""
    if isinstance(error, HTTPError):
        return UnavailableError(
            f"the answer of ClickHouse at {shown_url(settings.clickhouse_url)} broke off "
            f"({one_line(error)}): what came of it is not whole; try again"
        )
    writes = not is_read(asked.text.encode())
    if asked.restricted and (is_read_only(error) or (is_access_denied(error) and writes)):
        return ConfigurationError(
            "`fundingstream sql` only reads, and this statement is more than that: "
            f"add --write if you mean it ({one_line(error)})"
        )
    if is_read_only(error) or (is_access_denied(error) and writes):
        return ConfigurationError(
            f"ClickHouse does not let user {settings.clickhouse_username!r} do this "
            f"({one_line(error)}): set FUNDING_CLICKHOUSE_USERNAME and FUNDING_CLICKHOUSE_PASSWORD "
            "to one that may, or give the --data-dir of the run whose ClickHouse it is"
        )
    return _failure(error, settings)


def _failure(error: ClickHouseError | OSError, settings: SinkSettings) -> FundingStreamError:
    """Return the typed error of a query whose rights are in order."""
    fault, code = classify(error), code_of(error)
    if code is None and isinstance(error, ProgrammingError):
        return ConfigurationError(one_line(error))  # the client's own: nothing was sent
    if code in _TOO_MUCH:
        return TooMuchError(
            f"ClickHouse at {shown_url(settings.clickhouse_url)} gives up on this "
            f"({one_line(error)}): ask for less at once"
        )
    if fault is Fault.TRANSIENT and code is not None:
        return UnavailableError(
            f"ClickHouse at {shown_url(settings.clickhouse_url)} cannot do this now "
            f"({one_line(error)}): try again later"
        )
    if fault in {Fault.TRANSIENT, Fault.DENIED}:
        return explain(error, settings)
    return ConfigurationError(one_line(error))


def _parameter(item: str, query: str) -> tuple[str, str]:
    """Split `NAME=VALUE`. Raises ConfigurationError: it is none, or the query has no such place."""
    name, equals, value = item.partition("=")
    if not equals or not _PARAMETER.fullmatch(name):
        raise ConfigurationError(f"-p {item!r}: write NAME=VALUE, with NAME as in {{NAME:Type}}")
    # Without such a place the client would look for %(NAME)s and put the value into the text.
    if not re.search(rf"\{{\s*{name}\s*:", query):
        raise ConfigurationError(f"-p {item!r}: the query has no {{{name}:Type}}")
    return name, value
