"""The rights in docs/deployment.md are enough for each part, and the engine refuses less."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.clickhouse.migrate import create_ledger, own_migrations, thresholds_view
from stream_app.sink.ledger import NEWEST_QUERY
from stream_app.sink.tables import TABLES
from tests.support import replicating_engine
from tests.support.paths import ROOT

pytestmark = pytest.mark.integration

PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
_GRANT = re.compile(r"^GRANT (.* ON .*) TO (\w+);$", re.MULTILINE)
GRANTS: dict[str, list[str]] = {}
for _rights, _user in _GRANT.findall(PAGE):
    GRANTS.setdefault(_user, []).append(_rights)
OWN = [statement for migration in own_migrations() for statement in migration.statements]
VIEWS = sorted({name for s in OWN for name in re.findall(r"^CREATE OR REPLACE VIEW (\S+)", s)})
VIEWS.remove("funding.duplicates_between")  # it wants a span; duplicates reads it
MIGRATE = [
    "CREATE DATABASE IF NOT EXISTS funding",
    create_ledger(),
    "INSERT INTO funding.schema_migrations (version, applied) VALUES (1, 1)",
    "SELECT count() FROM funding.schema_migrations FINAL FORMAT Null",
    thresholds_view(),
    *OWN,
]


def run_as(
    directory: Path, grants: dict[str, list[str]], *turns: tuple[str, list[str]]
) -> list[str]:
    """Run statements by users who have these rights and no others; return what was refused."""
    roles = "".join(
        f"<{user}><grants>{''.join(f'<query>GRANT {r}</query>' for r in rights)}</grants></{user}>"
        for user, rights in grants.items()
    )
    (directory / "users.xml").write_text(
        "<clickhouse><profiles><default/></profiles><quotas><default/></quotas>"
        f"<roles>{roles}</roles><users><default><password></password>"
        "<networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>"
        f"<grants><query>GRANT {', '.join(grants)}</query></grants></default></users></clickhouse>",
        encoding="utf-8",
    )
    statements = [s for user, asked in turns for s in (f"SET ROLE {user}", *asked)]
    answers = replicating_engine.run(directory, statements)
    return [answer for answer in answers if answer.startswith("error")]


def test_the_page_names_the_rights_of_three_users() -> None:
    """Nothing below passes because there was nothing to grant."""
    assert set(GRANTS) == {"migrator", "sink", "desk"}
    assert len(VIEWS) > 15


COPIER = {"copier": ["SELECT, INSERT ON funding.*"]}
"""What the migrator has on a server, as whom the materialized views copy. Here all roles are of one
user, and a view whose definer is the user of the session asks for that session's rights."""


def test_the_rights_are_enough(tmp_path: Path) -> None:
    """To migrate twice, to find the columns and insert, and to read every view."""
    known = "SELECT name FROM system.settings WHERE name = 'deduplicate_insert' FORMAT Null"
    columns = "throwIf(uniq(table) < {}) FROM system.columns WHERE database = 'funding' FORMAT Null"
    stored = [
        f"INSERT INTO {table.full_name} ({table.time_field}) VALUES (now())" for table in TABLES
    ]
    copied = ("funding.rates", "funding.zscores", "funding.contract_facts")
    plain = [s for s in stored if not any(name in s for name in copied)]
    read = [f"SELECT count() FROM {view} FORMAT Null" for view in VIEWS]
    refused = run_as(
        tmp_path,
        GRANTS | COPIER,
        ("migrator", [*MIGRATE, *MIGRATE]),
        ("sink", [f"{NEWEST_QUERY} FORMAT Null", f"SELECT {columns.format(len(TABLES))}"]),
        ("sink", [known, *plain]),
        ("sink, copier", stored),
        ("desk", read),
    )
    assert refused == []


def test_a_desk_cannot_write_and_a_sink_cannot_read(tmp_path: Path) -> None:
    """The users are what their rights say, so the test above means something."""
    refused = run_as(
        tmp_path,
        GRANTS,
        ("migrator", MIGRATE),
        ("sink", ["SELECT rate FROM funding.rates", "DROP TABLE funding.rates"]),
        ("sink", ["SELECT checksum FROM funding.schema_migrations FINAL"]),
        ("desk", ["INSERT INTO funding.feeds (feed) VALUES ('x')"]),
    )
    assert [("ACCESS_DENIED" in answer) for answer in refused] == [True, True, True, True]


def test_later_migrations_replace_views_of_earlier_ones(tmp_path: Path) -> None:
    """DROP VIEW looks superfluous in the list, and is not."""
    less = GRANTS | {"migrator": [r.replace("DROP VIEW, ", "") for r in GRANTS["migrator"]]}
    assert any("DROP VIEW" in answer for answer in run_as(tmp_path, less, ("migrator", MIGRATE)))
