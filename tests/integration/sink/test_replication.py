"""Statements for a cluster, read and run by ClickHouse's engine as far as one process can."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.clickhouse.expected import Found, expected_of, repairs
from infra.clickhouse.migrate import create_ledger, migrate, own_migrations, thresholds_view
from infra.clickhouse.replication import Replication
from schemas.errors import ConfigurationError, StateError
from tests.support import replicating_engine
from tests.support.sink_stack import ClickHouseServer

pytestmark = pytest.mark.integration

CREATE_DATABASE = "CREATE DATABASE IF NOT EXISTS funding"
OWN = [statement for migration in own_migrations() for statement in migration.statements]
WHOLE = [repair.statement for repair in repairs(expected_of(OWN), Found({}, {}))]
ON_CLUSTER = Replication(cluster="{cluster}")


def is_table(statement: str) -> bool:
    """Whether a statement makes a table."""
    return statement.startswith("CREATE TABLE")


def sent(statement: str) -> str:
    """A statement as each server of the cluster runs it."""
    return ON_CLUSTER.statement(statement).replace(" ON CLUSTER '{cluster}'", "")


def on_second(statement: str) -> str:
    """The same as a second server with another macro would run it, in the same process."""
    return sent(statement).replace("'{replica}'", "'two'").replace(" funding.", " second.")


def test_the_engine_understands_every_statement_for_a_cluster(tmp_path: Path) -> None:
    """As it is sent, with ON CLUSTER."""
    given = [CREATE_DATABASE, create_ledger(), thresholds_view(), *OWN, *WHOLE]
    asked = [f"EXPLAIN AST {ON_CLUSTER.statement(statement)}" for statement in given]
    for statement, answer in zip(asked, replicating_engine.run(tmp_path, asked), strict=True):
        assert not answer.startswith("error"), f"{statement}\n{answer}"
        assert "Query" in answer


def test_replicated_tables_are_made_with_their_views(tmp_path: Path) -> None:
    """Engine, keys, settings and codecs are valid together, and Keeper knows the tables by name."""
    given = [CREATE_DATABASE, create_ledger(), *filter(is_table, WHOLE), thresholds_view(),
             *(s for s in WHOLE if not is_table(s))]  # fmt: skip
    *answers, engines, paths = replicating_engine.run(
        tmp_path,
        [
            *map(sent, given),
            "SELECT DISTINCT engine FROM system.tables WHERE database = 'funding' ORDER BY engine",
            "SELECT DISTINCT zookeeper_path FROM system.replicas ORDER BY zookeeper_path",
        ],
    )
    assert [answer for answer in answers if answer] == []
    assert engines.split() == ["MaterializedView", "ReplicatedReplacingMergeTree", "View"]
    names = sorted([*expected_of(OWN).tables, "schema_migrations"])
    assert paths.split() == [f"/clickhouse/tables/funding/{name}" for name in names]


def test_a_server_that_joins_gets_tables_as_the_others_have_them(tmp_path: Path) -> None:
    """The first form of a table, without its later columns, is refused by what Keeper knows."""
    first_form = next(s for s in OWN if s.startswith("CREATE TABLE IF NOT EXISTS funding.audit\n"))
    tables = list(filter(is_table, WHOLE))
    answers = replicating_engine.run(
        tmp_path,
        [
            *map(sent, [CREATE_DATABASE, *tables]),
            "CREATE DATABASE second",
            on_second(first_form),
            *map(on_second, tables),
            "SELECT count() FROM system.replicas WHERE total_replicas = 2",
        ],
    )
    refused = [answer for answer in answers if answer.startswith("error")]
    assert len(refused) == 1
    assert "INCOMPATIBLE_COLUMNS" in refused[0]
    assert int(answers[-1]) == 2 * len(tables)


def test_a_server_that_knows_no_such_cluster_is_told_at_once(clickhouse: ClickHouseServer) -> None:
    """In one sentence, with the exit code of a wrong setting, and before anything is changed."""
    clickhouse.rows("DROP DATABASE funding")
    settings = clickhouse.settings.model_copy(update={"clickhouse_cluster": "two"})
    told = (
        r"FUNDING_CLICKHOUSE_CLUSTER is 'two', and ClickHouse at http\S+ knows no cluster: set it"
    )
    with pytest.raises(ConfigurationError, match=told):
        migrate(settings)
    assert clickhouse.rows("SELECT count() FROM system.databases WHERE name = 'funding'") == [(0,)]


def test_a_server_that_cannot_replicate_is_told_as_well(clickhouse: ClickHouseServer) -> None:
    """A cluster that is named by a macro is known to the server alone, which refuses."""
    clickhouse.rows("DROP DATABASE funding")
    settings = clickhouse.settings.model_copy(update={"clickhouse_cluster": "{cluster}"})
    with pytest.raises(ConfigurationError, match=r"cannot replicate \(.*No macro 'cluster'"):
        migrate(settings)


def test_a_database_of_one_server_is_not_taken_for_a_cluster_s(
    clickhouse: ClickHouseServer,
) -> None:
    """Its tables would stay where they are, and their rows on one server."""
    settings = clickhouse.settings.model_copy(update={"clickhouse_cluster": "two"})
    with pytest.raises(StateError, match="has been made without replication"):
        migrate(settings)
