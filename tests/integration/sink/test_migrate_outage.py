"""A database that goes away in the middle of a migration."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.clickhouse.migrate import Migration, migrate
from schemas.errors import UnavailableError
from stream_app.settings import SinkSettings
from tests.support.clickhouse_process import WRITER, Server
from tests.support.waiting import until


@pytest.mark.integration
def test_a_migration_that_was_cut_off_says_so_and_is_done_by_the_next_run(tmp_path: Path) -> None:
    """What a crash of the database leaves is an error that tells what to do, and doing it helps."""
    # So many statements that the server is gone before the last one.
    views = [f"CREATE OR REPLACE VIEW funding.made AS SELECT {n} AS x;" for n in range(300)]
    migrations = [Migration(1, "long", "\n".join(views))]

    def settings(server: Server) -> SinkSettings:
        user, password = WRITER
        return SinkSettings(
            clickhouse_url=server.url,
            clickhouse_username=user,
            clickhouse_password=SecretStr(password),
        )

    def begun() -> bool:
        asked = server.sql("SELECT count() FROM funding.schema_migrations")
        return asked.ok and int(asked.text) == 1

    server = Server(tmp_path / "clickhouse")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(migrate, settings(server), migrations)
        until(begun, "the migration", 20)
        server.process.kill()
        with pytest.raises(UnavailableError, match=r"0001_long, statement .* migrate` again"):
            running.result(30)
    server.stop()

    server = Server(tmp_path / "clickhouse")
    try:
        assert [m.name for m in migrate(settings(server), migrations).applied] == ["long"]
        assert migrate(settings(server), migrations).applied == []
    finally:
        server.stop()
