"""The checks of the start, and what is told where ClickHouse cannot be used: never a secret."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from pydantic import SecretStr

from infra.clickhouse.migrate import own_migrations
from schemas.config.settings import load_settings
from schemas.errors import ConfigurationError, StateError, UnavailableError
from stream_app.settings import SinkSettings
from stream_app.sink.clickhouse import check_database, connect, explain
from stream_app.sink.ledger import NEWEST_MIGRATION, check_not_newer
from stream_app.sink.tables import TABLES

SECRET = "hunter2-hunter2"
SETTINGS = load_settings(
    SinkSettings, clickhouse_url="http://127.0.0.1:1", clickhouse_password=SECRET
)


@pytest.mark.parametrize("code", [60, 516, 53, 999, 12_345])
def test_every_explanation_hides_the_password(code: int) -> None:
    """A table that is missing, a user that is refused, data that is, a server that is away."""
    error = explain(DatabaseError(f"Code: {code}. DB::Exception: x"), SETTINGS)
    assert SECRET not in str(error)
    assert "http://127.0.0.1:1" in str(error)


@pytest.mark.parametrize("code", [1001, 241, 12_345])
def test_an_error_within_the_server_is_waited_for(code: int) -> None:
    """At the start too, where an exit code of another kind would keep the sink from coming back."""
    error = explain(DatabaseError(f"Code: {code}. DB::Exception: x"), SETTINGS)
    assert isinstance(error, UnavailableError)
    assert "answers with an error" in str(error)


class FakeDatabase:
    """Answers the questions of the start: rights, the newest migration, columns."""

    def __init__(
        self,
        lacking: str = "",
        newest: int = NEWEST_MIGRATION,
        fails: Exception | None = None,
        columns: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.lacking, self.newest, self.fails, self.columns = lacking, newest, fails, columns
        self.checked: list[str] = []

    def command(self, text: str) -> int:
        self.checked.append(text)
        if self.fails:
            raise self.fails
        return int(text != f"CHECK GRANT {self.lacking}")

    def query(self, text: str, **_: object) -> SimpleNamespace:
        if "schema_migrations" in text:
            return SimpleNamespace(result_rows=[(self.newest, "later")])
        return SimpleNamespace(result_rows=self.columns)


WHOLE = [(table.name, field) for table in TABLES for field in table.record_type.fields]


def test_a_missing_table_is_told_without_the_password() -> None:
    """It is told by us, and not by the server."""
    with pytest.raises(UnavailableError, match="is missing") as caught:
        check_database(FakeDatabase(), SETTINGS, TABLES)
    assert SECRET not in str(caught.value)


def test_a_whole_database_passes() -> None:
    """Every table's right is asked for, and that on the record of migrations."""
    database = FakeDatabase(columns=WHOLE)
    check_database(database, SETTINGS, TABLES)
    assert database.checked == [
        "CHECK GRANT SELECT(version, name) ON funding.schema_migrations",
        *(f"CHECK GRANT INSERT ON {table.full_name}" for table in TABLES),
    ]


def test_each_question_of_the_start_begins_with_a_beat() -> None:
    """One may take as long as the time-out, and the watch allows little more than one."""
    beats: list[None] = []
    check_database(FakeDatabase(columns=WHOLE), SETTINGS, TABLES, beat=lambda: beats.append(None))
    assert len(beats) == 1 + len(TABLES) + 2


@pytest.mark.parametrize(
    "right", ["INSERT ON funding.feeds", "SELECT(version, name) ON funding.schema_migrations"]
)
def test_a_lacking_right_is_told_before_a_table_that_it_hides(right: str) -> None:
    """With the statement that gives it, to the user of the settings."""
    settings = load_settings(SinkSettings, clickhouse_username="sink-1")
    with pytest.raises(ConfigurationError, match="'sink-1' lacks") as caught:
        check_database(FakeDatabase(lacking=right), settings, TABLES)
    assert f'`GRANT {right} TO "sink-1"`' in str(caught.value)


def test_rights_to_write_are_not_asked_of_a_reader() -> None:
    """The doctor reads as whoever runs it."""
    database = FakeDatabase(lacking="INSERT ON funding.feeds", columns=WHOLE)
    check_database(database, SETTINGS, TABLES, writes=False)
    assert database.checked == []


@pytest.mark.parametrize("code", [48, 62])
def test_a_server_that_cannot_check_rights_is_used(code: int) -> None:
    """What is lacking there shows at the first insert."""
    error = DatabaseError(f"Code: {code}. DB::Exception: x")
    check_database(FakeDatabase(fails=error, columns=WHOLE), SETTINGS, TABLES)


def test_a_newer_database_ends_the_start() -> None:
    """Both numbers are named. It comes before missing columns, which `migrate` could not make."""
    newer = NEWEST_MIGRATION + 1
    with pytest.raises(StateError, match=f"{newer:04d}.*{NEWEST_MIGRATION:04d}"):
        check_database(FakeDatabase(newest=newer), SETTINGS, TABLES)
    check_not_newer([], 0)
    check_not_newer([(3, "c"), (1, "a")], 3)


def test_the_sink_knows_the_newest_migration() -> None:
    """Whoever adds a file changes the number beside the sink."""
    assert own_migrations()[-1].version == NEWEST_MIGRATION


def test_connecting_tells_no_secret() -> None:
    """Nor does the traceback."""
    with pytest.raises(UnavailableError) as caught:
        connect(SETTINGS)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


async def test_an_https_url_never_sends_the_password_in_the_clear() -> None:
    """Whatever its port: the first bytes are those of a TLS handshake."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.put_nowait(await reader.read(64))
        writer.close()

    listening = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    settings = SinkSettings(
        clickhouse_url=f"https://127.0.0.1:{port}", clickhouse_password=SecretStr(SECRET)
    )
    async with listening, asyncio.timeout(30):
        with pytest.raises(UnavailableError):
            await asyncio.to_thread(connect, settings)
        assert (await heard.get())[:2] == b"\x16\x03"
