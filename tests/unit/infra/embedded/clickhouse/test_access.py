"""Roles by credentials, the engine's directory, and lanes that a cancelled caller leaves empty."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from infra.embedded.clickhouse.access import Credentials, Users
from infra.embedded.clickhouse.errors import ClickHouseError
from infra.embedded.clickhouse.lanes import Lane
from infra.embedded.clickhouse.layout import prepare_default_database
from infra.embedded.clickhouse.roles import Role, users_xml

OPEN = Users(Credentials(), Credentials("fundingstream", "w"))
CLOSED = Users(Credentials(password="r"), Credentials("fundingstream", "w"))


@pytest.mark.parametrize("users", [OPEN, CLOSED])
def test_the_writer_writes(users: Users) -> None:
    """With its password alone; bytes that are no text are a wrong password."""
    assert users.role_of(Credentials("fundingstream", "w")) is Role.WRITER
    for password in ("", "r", "W", "\udcff"):
        with pytest.raises(ClickHouseError, match="Authentication"):
            users.role_of(Credentials("fundingstream", password))


def test_who_reads_needs_a_password_only_where_there_is_one() -> None:
    """A user without a password takes any, as in ClickHouse; it is no writer's."""
    assert OPEN.role_of(Credentials()) is Role.READER
    assert OPEN.role_of(Credentials("default", "w")) is Role.READER
    assert CLOSED.role_of(Credentials("default", "r")) is Role.READER
    for password in ("", "w"):
        with pytest.raises(ClickHouseError, match="Authentication"):
            CLOSED.role_of(Credentials("default", password))


def test_a_writer_without_a_password_is_nobody() -> None:
    """An empty secret must not open the door."""
    with pytest.raises(ClickHouseError, match="Authentication"):
        Users(Credentials(), Credentials("fundingstream", "")).role_of(Credentials("fundingstream"))


def test_nobody_is_granted_a_source_outside() -> None:
    """In no role; the user itself has its roles and nothing else."""
    grants = [query.text or "" for query in ET.fromstring(users_xml()).iter("query")]
    given = [grant for grant in grants if not grant.startswith("REVOKE ")]
    words = {word for grant in given for word in grant.replace(",", " ").split()}
    assert not words & {
        "ALL",
        "SOURCES",
        "URL",
        "FILE",
        "READ",
        "DICTIONARY",
        "CREATE,",
        "SHUTDOWN",
    }
    assert grants[-1] == "GRANT reader, writer, owner"


def test_tables_of_an_earlier_layout_stay_where_they_are(tmp_path: Path) -> None:
    """The database takes the identity that its link names; a second start changes nothing."""
    metadata = tmp_path / "metadata"
    metadata.mkdir()
    identity = "ec10bd57-ec48-4c2e-bb54-e106b1f70a47"
    for _ in range(2):
        (metadata / "default").symlink_to(f"../store/ec1/{identity}")
        prepare_default_database(tmp_path)
        assert identity in (metadata / "default.sql").read_text()
        assert not (metadata / "default").is_symlink()


async def test_a_cancelled_caller_stops_its_call_and_waits_for_the_end() -> None:
    """However often it is cancelled; the slot's next owner finds no call of the old one."""
    lane = Lane("test", 1, 1)
    begun, stopped, asked = threading.Event(), threading.Event(), []

    def call() -> None:
        begun.set()
        assert stopped.wait(10)

    def stop() -> None:
        asked.append(1)
        if len(asked) == 3:
            stopped.set()

    task = asyncio.create_task(lane.run_stoppable(stop, call))
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stopped.is_set()
    with lane.admitted(), pytest.raises(ClickHouseError), lane.admitted():
        pass
    lane.close()
