"""Runs one statement that a person gives, read-only unless told otherwise, and explains errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from clickhouse_connect.driver.exceptions import ClickHouseError

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


class Answer(NamedTuple):
    """The answer of ClickHouse, as it comes."""

    format_name: str
    """ClickHouse's name of the format that the blocks are in."""
    blocks: Iterator[bytes]


@contextmanager
def run_query(
    settings: SinkSettings,
    text: str,
    parameters: Sequence[str],
    output_format: str,
    *,
    write: bool,
) -> Iterator[Answer]:
    """Run one statement for the time of the `with` block.

    Args:
        settings: Where ClickHouse is, and as whom to ask it.
        text: The statement.
        parameters: `NAME=VALUE` for each place `{NAME:Type}` of the statement.
        output_format: The format of the answer where the statement names none.
        write: Whether the statement may change something.

    Raises:
        ConfigurationError: the statement or a parameter is wrong, or the user may not do this.
        UnavailableError: ClickHouse does not answer.
    """
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
        format_name = answer.headers.get("X-ClickHouse-Format", output_format)
        yield Answer(format_name, iter(lambda: answer.read(_CHUNK_BYTES), b""))
    except (ClickHouseError, OSError) as error:
        raise _refusal(error, settings, write=write) from error
    finally:
        client.close()


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
    """Split `NAME=VALUE`. Raises ConfigurationError: it is none, or the query has no such place."""
    name, equals, value = item.partition("=")
    if not equals or not _PARAMETER.fullmatch(name):
        raise ConfigurationError(f"-p {item!r}: write NAME=VALUE, with NAME as in {{NAME:Type}}")
    # Without such a place the client would look for %(NAME)s and put the value into the text.
    if not re.search(rf"\{{\s*{name}\s*:", query):
        raise ConfigurationError(f"-p {item!r}: the query has no {{{name}:Type}}")
    return name, value
