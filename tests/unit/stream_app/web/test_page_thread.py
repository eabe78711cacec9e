"""The page in a thread: it serves while Kafka is away, and ends when it is told to."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError

from infra.embedded.ports import free_port
from schemas.clock import SystemClock
from schemas.errors import ConfigurationError, UnavailableError
from schemas.serde.registry import SchemaCatalog
from stream_app.settings import PageSettings
from stream_app.web.application import Mounted
from stream_app.web.page import Page, PageThread, listen
from tests.support.tls_case import Authority
from tests.support.waiting import eventually

NOWHERE: dict[str, Any] = {
    "kafka_bootstrap": "127.0.0.1:1",
    "registry_url": "http://127.0.0.1:1",
    "clickhouse_url": "http://127.0.0.1:1",
}
NOTHING = Mounted((), lambda _app: None)


@contextmanager
def running(**changes: Any) -> Iterator[tuple[PageSettings, list[str]]]:
    """A page whose servers are all away, and what it says of its end."""
    settings = PageSettings(web_port=free_port(), **NOWHERE, **changes)
    failures: list[str] = []
    page = Page(settings, SchemaCatalog(settings), SystemClock())
    thread = PageThread(page, settings, NOTHING, failures.append)
    thread.start()
    try:
        yield settings, failures
    finally:
        thread.stop()
    assert not [each for each in threading.enumerate() if each.name == "page"]


async def get(url: str, **options: Any) -> tuple[int, Any]:
    """Status and JSON."""
    async with aiohttp.ClientSession() as http, http.get(url, **options) as reply:
        return reply.status, await reply.json()


async def test_a_page_without_kafka_says_that_it_knows_nothing_yet() -> None:
    """It answers, and ends in time."""
    with running() as (settings, failures):
        status, summary = await get(f"http://127.0.0.1:{settings.web_port}/api/v1/summary")
        assert status == 200
        assert (summary["caught_up"], summary["contracts"], summary["market"]) == (
            False,
            0,
            "unknown",
        )
    assert failures == []


async def test_a_taken_port_is_said_before_anything_is_started() -> None:
    """With the variable that changes it; nothing is left behind."""
    with running() as (settings, _), pytest.raises(UnavailableError, match="FUNDING_WEB_PORT"):
        listen(settings)
    listen(settings).close()


async def test_the_page_is_served_by_tls(tmp_path: Path) -> None:
    """With the certificate that the settings name."""
    authority = Authority(tmp_path)
    pair = authority.pair("page")
    files = {"web_certificate_file": str(pair.certificate), "web_key_file": str(pair.key)}
    with running(**files) as (settings, _):
        context = ssl.create_default_context(cafile=authority.ca_file)
        status, _ = await get(f"https://127.0.0.1:{settings.web_port}/api/v1/summary", ssl=context)
        assert status == 200
        with pytest.raises(aiohttp.ClientError):
            await get(f"http://127.0.0.1:{settings.web_port}/api/v1/summary")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_certificate_that_cannot_be_used_is_a_clear_error(
    tmp_path: Path, content: str | None
) -> None:
    """Before the server listens."""
    file = tmp_path / "page.pem"
    if content is not None:
        file.write_text(content)
    with (
        pytest.raises(ConfigurationError, match="FUNDING_WEB_CERTIFICATE_FILE"),
        running(web_certificate_file=str(file), web_key_file=str(file)),
    ):
        pass


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"web_host": "0.0.0.0"}, "FUNDING_WEB_TOKEN"),
        ({"web_host": "::"}, "FUNDING_WEB_TOKEN"),
        ({"web_host": "192.0.2.7"}, "FUNDING_WEB_TOKEN"),
        ({"web_token": "short"}, "16 to 500"),
        ({"web_token": "with spaces in it, and long"}, "16 to 500"),
        ({"web_certificate_file": "a.pem"}, "are set together"),
    ],
)
def test_an_open_page_is_refused(changes: dict[str, Any], told: str) -> None:
    """Where other machines can connect it has a token, or somebody says that nobody can."""
    with pytest.raises(ValidationError, match=told):
        PageSettings(**changes)
    if told == "FUNDING_WEB_TOKEN":
        PageSettings(**{**changes, "web_token": "0123456789abcdef"})
        PageSettings(**changes, web_without_token=True)


async def test_a_page_whose_reader_has_died_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would show what it knew for ever: the process is told."""
    monkeypatch.setattr("stream_app.web.reader.WATCHED_EVERY_S", 0.01)
    monkeypatch.setattr("schemas.kafka.topic_follower.TopicFollower.run", lambda _self: None)
    with running() as (_, failures):

        async def told() -> bool:
            return failures == ["the page reads the topics no more: start it again"]

        await eventually(told, "the failure is told", 10)


async def test_connections_that_say_nothing_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """After some seconds, and at once where too many are open."""
    monkeypatch.setattr("stream_app.web.server.door.HEAD_WITHIN_S", 0.5)
    monkeypatch.setattr("stream_app.web.page.OTHER_CONNECTIONS", 5)
    with running(web_max_clients=1) as (settings, _):
        port = settings.web_port
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
        opened[0][1].write(b"GET / HTTP/1.1\r\n")
        for reader, writer in opened:
            with suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()

        async def served() -> bool:
            try:
                return (await get(f"http://127.0.0.1:{port}/api/v1/summary"))[0] == 200
            except aiohttp.ClientError:
                return False

        await eventually(served, "there is room again", 10)
