"""What is told of ClickHouse where it cannot be used: never the secrets in its URL."""

from __future__ import annotations

import asyncio
import traceback

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from pydantic import SecretStr

from schemas.errors import ConfigurationError, FundingStreamError, UnavailableError
from stream_app.settings import SinkSettings
from stream_app.sink.clickhouse import check_tables, connect, explain
from stream_app.sink.tables import TABLES

SECRET = "hunter2-hunter2"
URL = f"http://loader:{SECRET}@127.0.0.1:1/?send_receive_timeout=5"


@pytest.mark.parametrize("code", [60, 516, 53, 999, 12_345])
def test_every_explanation_hides_the_password(code: int) -> None:
    """A table that is missing, a user that is refused, data that is, a server that is away."""
    error = explain(
        DatabaseError(f"Code: {code}. DB::Exception: x"), SinkSettings(clickhouse_url=URL)
    )
    assert SECRET not in str(error)
    assert "http://***@127.0.0.1:1/" in str(error)


def test_a_missing_table_is_told_without_the_password() -> None:
    """It is told by us, and not by the server."""

    class Empty:
        def query(self, *_arguments: object, **_named: object) -> Empty:
            return self

        result_rows: tuple[tuple[str, str], ...] = ()

    with pytest.raises(ConfigurationError, match="is missing") as caught:
        check_tables(Empty(), SinkSettings(clickhouse_url=URL), TABLES)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (URL, UnavailableError),
        (f"http://u:p/{SECRET}@127.0.0.1:1", ConfigurationError),
        (f"http://u:p:{SECRET}#@127.0.0.1:1", ConfigurationError),
        (f"http://u:{SECRET}#@127.0.0.1:1", ConfigurationError),
    ],
)
def test_connecting_tells_no_secret(url: str, kind: type[FundingStreamError]) -> None:
    """Nor does the traceback, where a password that is not escaped makes it no URL."""
    with pytest.raises(kind) as caught:
        connect(SinkSettings(clickhouse_url=url))
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
