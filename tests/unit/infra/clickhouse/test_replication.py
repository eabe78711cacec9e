"""What becomes of the migrations' statements on a cluster of ClickHouse servers."""

from __future__ import annotations

import re

import pytest

from infra.clickhouse.expected import Found, expected_of, repairs
from infra.clickhouse.migrate import create_ledger, own_migrations, thresholds_view
from infra.clickhouse.replication import Replication, replication_of
from schemas.errors import ConfigurationError, StateError
from stream_app.sink.tables import TABLES

ON_CLUSTER = Replication(cluster="two")
BY_DATABASE = Replication(by_database=True)
STATEMENTS = [statement for migration in own_migrations() for statement in migration.statements]
ALL = [
    "CREATE DATABASE IF NOT EXISTS funding",
    create_ledger(),
    thresholds_view(),
    *STATEMENTS,
    *(repair.statement for repair in repairs(expected_of(STATEMENTS), Found({}, {}))),
]
TABLE_NAMES = {table.name for table in TABLES} | {
    *("schema_migrations", "latest_rates", "latest_zscores", "latest_facts"),
}


def name_of(statement: str) -> str:
    """The kind of a statement and what it is about, as a test's parameter."""
    return statement.splitlines()[0][:60]


@pytest.mark.parametrize("statement", ALL, ids=name_of)
def test_one_server_gets_what_the_files_say(statement: str) -> None:
    """Without a cluster nothing is changed, and no setting is sent."""
    assert Replication().statement(statement) == statement
    assert Replication().settings(30) == {}


@pytest.mark.parametrize("statement", [s for s in ALL if s.startswith("CREATE TABLE")], ids=name_of)
@pytest.mark.parametrize("replication", [ON_CLUSTER, BY_DATABASE], ids=["cluster", "database"])
def test_every_table_is_replicated_and_keeps_everything_else(
    statement: str, replication: Replication
) -> None:
    """Engine, window of tokens and ON CLUSTER are all that differs."""
    sent = replication.statement(statement)
    (table,) = re.findall(r"^CREATE TABLE IF NOT EXISTS funding\.(\w+)", sent)
    ours = re.search(r"^ENGINE = (\w+MergeTree)(?:\((.*)\))?$", statement, re.MULTILINE)
    theirs = re.search(r"^ENGINE = (\w+MergeTree)\((.*)\)$", sent, re.MULTILINE)
    assert ours is not None
    assert theirs is not None
    assert theirs[1] == f"Replicated{ours[1]}"
    own = [f"'/clickhouse/tables/funding/{table}', '{{replica}}'"] if replication.cluster else []
    assert theirs[2] == ", ".join(own + ([ours[2]] if ours[2] else []))
    undone = sent.replace(theirs[0], ours[0]).replace(" ON CLUSTER 'two'", "", 1)
    undone = undone.replace(", replicated_deduplication_window_seconds = 604800", "")
    undone = undone.replace(
        "replicated_deduplication_window", "non_replicated_deduplication_window"
    )
    assert undone == statement


@pytest.mark.parametrize("table", sorted({table.name for table in TABLES}))
def test_tokens_are_known_for_as_long_as_kafka_keeps_the_rates(table: str) -> None:
    """The server's default may be an hour; the number of tokens is that of one server."""
    made = next(
        s for s in STATEMENTS if s.startswith(f"CREATE TABLE IF NOT EXISTS funding.{table}\n")
    )
    sent = ON_CLUSTER.statement(made)
    assert re.search(
        r"\breplicated_deduplication_window = 10000, "
        r"replicated_deduplication_window_seconds = 604800\b",
        sent,
    )
    assert "non_replicated" not in sent


@pytest.mark.parametrize(
    "statement", [s for s in ALL if not s.startswith("CREATE TABLE")], ids=name_of
)
def test_databases_and_views_are_made_on_each_server(statement: str) -> None:
    """An ALTER or rows are not sent there: the replicated table brings them to its replicas."""
    sent = ON_CLUSTER.statement(statement)
    if statement.startswith(("ALTER TABLE", "INSERT INTO")):
        assert sent == statement
        return
    first = re.match(
        r"CREATE (?:DATABASE IF NOT EXISTS|OR REPLACE VIEW|MATERIALIZED VIEW IF NOT EXISTS) [\w.]+",
        statement,
    )
    assert first is not None
    assert sent == f"{first[0]} ON CLUSTER 'two'{statement[first.end() :]}"
    assert BY_DATABASE.statement(statement) == statement


def test_the_statements_are_those_of_every_table() -> None:
    """Nothing above passes because there was nothing to look at."""
    made = re.findall(r"^CREATE TABLE IF NOT EXISTS funding\.(\w+)", "\n".join(ALL), re.MULTILINE)
    assert set(made) == TABLE_NAMES
    assert sum(s.startswith("ALTER TABLE") for s in ALL) > 20
    assert sum(s.startswith("CREATE OR REPLACE VIEW") for s in ALL) > 20


def test_a_table_that_cannot_be_replicated_is_noticed() -> None:
    """A later migration may make one of another engine."""
    with pytest.raises(AssertionError, match="odd has no engine that can be replicated"):
        ON_CLUSTER.statement("CREATE TABLE IF NOT EXISTS funding.odd\n(a Int8)\nENGINE = Log")


def test_a_statement_waits_for_all_servers_and_not_for_ever() -> None:
    """A view must find the column that the statement before it has added, on each server."""
    assert ON_CLUSTER.settings(25.0) == {
        "alter_sync": 2,
        "replication_wait_for_inactive_replica_timeout": 25,
        "distributed_ddl_task_timeout": 25,
    }
    assert BY_DATABASE.settings(0.5)["distributed_ddl_task_timeout"] == 1


PLAIN = {"rates": "ReplacingMergeTree", "latest": "View"}
REPLICATED = {"rates": "ReplicatedReplacingMergeTree", "latest": "View"}
SHARED = {"rates": "SharedReplacingMergeTree"}


@pytest.mark.parametrize(
    ("cluster", "database", "engines", "expected"),
    [
        ("", "", {}, Replication()),
        ("", "Atomic", PLAIN, Replication()),
        ("two", "", {}, ON_CLUSTER),
        ("two", "Atomic", REPLICATED, ON_CLUSTER),
        ("", "Replicated", REPLICATED, BY_DATABASE),
        ("two", "Replicated", {}, BY_DATABASE),
        ("", "Shared", SHARED, Replication()),
        ("", "Replicated", SHARED, BY_DATABASE),
    ],
)
def test_setting_and_database_decide_together(
    cluster: str, database: str, engines: dict[str, str], expected: Replication
) -> None:
    """A Replicated database brings its statements to its servers itself, and refuses ON CLUSTER."""
    assert replication_of(cluster, database, engines) == expected


@pytest.mark.parametrize(
    ("cluster", "database", "why"),
    [("two", "Atomic", "FUNDING_CLICKHOUSE_CLUSTER is 'two'"), ("", "Replicated", "the engine of")],
)
def test_tables_that_were_made_without_replication_are_not_passed_over(
    cluster: str, database: str, why: str
) -> None:
    """IF NOT EXISTS would leave them as they are, and rows on one server."""
    with pytest.raises(StateError, match=rf"{why}.*, and funding\.rates has been made without"):
        replication_of(cluster, database, PLAIN)


def test_a_cluster_that_is_not_named_any_more_is_noticed() -> None:
    """New views would be made on one server, and the others would not have them."""
    with pytest.raises(ConfigurationError, match="FUNDING_CLICKHOUSE_CLUSTER is empty"):
        replication_of("", "Atomic", REPLICATED)
