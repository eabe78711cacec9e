"""The connection to ClickHouse, and what is checked of the database before the first insert."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import clickhouse_connect
from clickhouse_connect import common
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.config.settings import shown_url
from schemas.errors import ConfigurationError, FundingStreamError, StateError, UnavailableError
from stream_app.settings import SinkSettings
from stream_app.sink.clickhouse_errors import (
    Fault,
    classify,
    code_of,
    is_unknown_statement,
    one_line,
)
from stream_app.sink.ledger import LEDGER, NEWEST_QUERY, check_not_newer
from stream_app.sink.tables import DATABASE, TableSpec

_CONNECT_TIMEOUT_S = 5

# Whatever the user's profile says: an answer means stored, and tokens count.
_INSERT_SETTINGS = {
    "async_insert": "0",
    "insert_deduplicate": "1",
    # An insert that is repeated reaches a materialized view that the first one did not reach, once.
    "deduplicate_blocks_in_dependent_materialized_views": "1",
}
# From 26.2 on this one overrules `insert_deduplicate`. Older servers refuse names they do not know.
_NEWER_INSERT_SETTINGS = {"deduplicate_insert": "enable"}

# Of the time-out of a request: what remains is for the insert itself.
_QUORUM_SHARE = 0.5

# The driver logs what it also raises; every error is reported once, by whoever handles it.
logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
# A setting that the user's profile fixes: the server is to refuse it, with its number of the error.
# The driver would refuse it by what it heard of the profile when it connected, and go on so after
# somebody has lifted it.
common.set_setting("invalid_setting_action", "send")


def connect(settings: SinkSettings, *, answer_within_s: float | None = None) -> Any:
    """Return a clickhouse-connect client.

    Args:
        settings: ClickHouse's address and user.
        answer_within_s: How long the first answer may take, in whole seconds; None: as long as any.

    Raises:
        UnavailableError: nothing answers at the URL.
        ConfigurationError: a file for TLS cannot be used, or the server refuses the user or the
            password.
    """
    tls = _tls(settings)
    try:
        return clickhouse_connect.get_client(
            dsn=settings.clickhouse_url,
            username=settings.clickhouse_username,
            password=settings.clickhouse_password.get_secret_value(),
            connect_timeout=answer_within_s or _CONNECT_TIMEOUT_S,
            send_receive_timeout=answer_within_s or settings.clickhouse_timeout_s,
            autogenerate_session_id=False,  # a session would serialise the requests of its owner
            compress=False,
            query_retries=0,
            **tls,
        )
    except (ClickHouseError, OSError) as error:
        raise explain(error, settings) from error


def _tls(settings: SinkSettings) -> dict[str, str]:
    """Return the driver's arguments for https. Raises ConfigurationError."""
    if not settings.clickhouse_url.lower().startswith("https:"):
        return {}
    settings.clickhouse_tls.check()
    tls = {
        # The driver goes by the port: it would speak plain HTTP to any but 443 and 8443.
        "interface": "https",
        "ca_cert": settings.clickhouse_ca_file,
        "client_cert": settings.clickhouse_certificate_file,
        "client_cert_key": settings.clickhouse_key_file,
    }
    if settings.clickhouse_certificate_file:
        # In the mode `mutual` the driver sends no password: the certificate logs the user in.
        secret = settings.clickhouse_password.get_secret_value() or "@" in settings.clickhouse_url
        tls["tls_mode"] = "strict" if secret else "mutual"
    return {name: value for name, value in tls.items() if value}


def explain(error: Exception, settings: SinkSettings) -> FundingStreamError:
    """Return the typed error that says what to do about an exception of the client."""
    fault, url = classify(error), shown_url(settings.clickhouse_url)
    if fault is Fault.MISSING:
        return UnavailableError(
            f"ClickHouse at {url} lacks a table or column of this version "
            f"({one_line(error)}): run `fundingstream migrate`"
        )
    if fault is Fault.DENIED:
        return ConfigurationError(
            f"ClickHouse at {url} refuses user "
            f"{settings.clickhouse_username!r} ({one_line(error)}): set "
            "FUNDING_CLICKHOUSE_USERNAME and FUNDING_CLICKHOUSE_PASSWORD"
        )
    if fault is Fault.REFUSED:
        return StateError(f"ClickHouse at {url} refuses: {one_line(error)}")
    if code_of(error) is not None:
        return UnavailableError(
            f"ClickHouse at {url} answers with an error ({one_line(error)}): "
            "its own log may say more"
        )
    advice = settings.clickhouse_tls.advice(error) or "start it, or set FUNDING_CLICKHOUSE_URL"
    return UnavailableError(f"ClickHouse at {url} does not answer ({one_line(error)}): {advice}")


def check_database(
    client: Any,
    settings: SinkSettings,
    tables: Sequence[TableSpec],
    *,
    writes: bool = True,
    beat: Callable[[], None] = lambda: None,
) -> None:
    """Check that the sink may write, and that the database is the one of this version.

    Rights come first: a table without any right on it is hidden, and would look like a missing one.
    They are not checked of a user who does not write. `beat` is called before each request, which
    may take as long as the time-out.

    Raises:
        ConfigurationError: the user lacks a right, and the message has the GRANT that gives it.
        StateError: a newer version has migrated the database.
        UnavailableError: a table or column is missing, and the message says which, and to migrate;
            or the server does not answer.
    """
    try:
        if writes:
            _check_rights(client, settings, tables, beat)
        beat()
        check_not_newer(client.query(NEWEST_QUERY).result_rows)
        beat()
        _check_columns(client, settings, tables)
    except (ClickHouseError, OSError) as error:
        raise explain(error, settings) from error


def _check_rights(
    client: Any, settings: SinkSettings, tables: Sequence[TableSpec], beat: Callable[[], None]
) -> None:
    rights = [f"SELECT(version, name) ON {LEDGER}"]
    rights += [f"INSERT ON {table.full_name}" for table in tables]
    for right in rights:
        beat()
        try:
            # As a command: the statement takes no FORMAT, which a query of the driver ends with.
            granted = str(client.command(f"CHECK GRANT {right}")) == "1"
        except ClickHouseError as error:
            if is_unknown_statement(error):
                return  # an older server; what is lacking shows at the first insert
            raise
        if not granted:
            user = settings.clickhouse_username
            raise ConfigurationError(
                f"user {user!r} lacks a right on {right.partition(' ON ')[2]} in ClickHouse at "
                f"{shown_url(settings.clickhouse_url)}: run `GRANT {right} TO {_quoted(user)}` "
                "there (docs/deployment.md has all rights), or set FUNDING_CLICKHOUSE_USERNAME and "
                "FUNDING_CLICKHOUSE_PASSWORD to another user"
            )


def _quoted(name: str) -> str:
    """Return a user's name as it stands in a GRANT: an identifier, in quotes where it needs them.

    Double quotes and no backticks, in which a shell would run what it is given.
    """
    if name.isidentifier() and name.isascii():
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _check_columns(client: Any, settings: SinkSettings, tables: Sequence[TableSpec]) -> None:
    """Check that each table has a column for each Avro field."""
    found = client.query(
        "SELECT table, name FROM system.columns WHERE database = {database:String}",
        parameters={"database": DATABASE},
    ).result_rows
    columns: dict[str, set[str]] = {}
    for table, name in found:
        columns.setdefault(table, set()).add(name)
    for table in tables:
        lacking = [f for f in table.record_type.fields if f not in columns.get(table.name, ())]
        if lacking:
            what = f"column {lacking[0]} of table" if table.name in columns else "table"
            raise UnavailableError(
                f"{what} {table.full_name} is missing in ClickHouse at "
                f"{shown_url(settings.clickhouse_url)}: run `fundingstream migrate`"
            )


def insert_settings(client: Any) -> dict[str, str]:
    """Ask the server which settings it knows, and return those that each insert needs.

    Raises:
        ClickHouseError, OSError: the server does not answer.
    """
    known = client.query(
        "SELECT name FROM system.settings WHERE name IN {names:Array(String)}",
        parameters={"names": list(_NEWER_INSERT_SETTINGS)},
    ).result_rows
    return _INSERT_SETTINGS | {name: _NEWER_INSERT_SETTINGS[name] for (name,) in known}


def quorum_settings(settings: SinkSettings) -> dict[str, str]:
    """Return the settings of an insert that make it wait for other servers; none without a quorum.

    The server gives up waiting before the sink does, and says why. The insert is repeated with the
    same token then.
    """
    if not settings.sink_insert_quorum:
        return {}
    timeout_ms = int(settings.clickhouse_timeout_s * 1_000 * _QUORUM_SHARE)
    return {
        "insert_quorum": settings.sink_insert_quorum,
        "insert_quorum_timeout": str(max(1, timeout_ms)),
    }
