"""What is told of ClickHouse where it cannot be used: never a secret."""

from __future__ import annotations

import asyncio
import traceback

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from pydantic import SecretStr

from schemas.config.settings import load_settings
from schemas.errors import UnavailableError
from stream_app.settings import SinkSettings
from stream_app.sink.clickhouse import check_tables, connect, explain
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


def test_a_missing_table_is_told_without_the_password() -> None:
    """It is told by us, and not by the server."""

    class Empty:
        def query(self, *_arguments: object, **_named: object) -> Empty:
            return self

        result_rows: tuple[tuple[str, str], ...] = ()

    with pytest.raises(UnavailableError, match="is missing") as caught:
        check_tables(Empty(), SETTINGS, TABLES)
    assert SECRET not in str(caught.value)


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
