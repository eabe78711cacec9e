"""The client of ClickHouse: what it sends, and what becomes of each way to fail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from infra.embedded.ports import free_port
from schemas.errors import UnavailableError
from stream_app.settings import ClickHouseSettings
from stream_app.web.history.breaker import CLOSED_FOR_S
from stream_app.web.history.clickhouse import ClickHouse
from tests.support.clock import ManualClock

Reply = Callable[[web.Request, dict[str, str]], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def asked(reply: Reply, **settings: Any) -> AsyncIterator[tuple[ClickHouse, ManualClock]]:
    """A client of a server that answers so; it gets the fields of each form."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return await reply(request, {k: str(v) for k, v in (await request.post()).items()})

    app = web.Application()
    app.router.add_post("/", answer)
    server = TestServer(app)
    await server.start_server()
    clock = ManualClock()
    url = str(server.make_url("")).rstrip("/")
    client = ClickHouse(ClickHouseSettings(clickhouse_url=url, **settings), clock)
    try:
        yield client, clock
    finally:
        await client.close()
        await server.close()


def error(code: int, status: int = 500) -> web.Response:
    """How ClickHouse refuses."""
    return web.Response(status=status, text=f"Code: {code}. DB::Exception: it says why.")


async def test_parameters_travel_apart_from_the_text() -> None:
    """Escaped as ClickHouse reads them, and with bounds on time and rows; nothing is written."""
    seen: list[tuple[dict[str, str], dict[str, str], dict[str, str]]] = []

    async def reply(request: web.Request, form: dict[str, str]) -> web.Response:
        seen.append((form, dict(request.query), dict(request.headers)))
        return web.Response(text='[["a"],[1]]')

    secret = {"clickhouse_reader_password": SecretStr("p w")}
    async with asked(reply, **secret) as (client, _):
        found = await client.ask(
            "SELECT {a:String}", tuple[list[str], list[int]], a="it's\n\\x\0", n=7, ids=["'", "b"]
        )
    assert found == (["a"], [1])
    ((form, query, headers),) = seen
    assert form == {
        "query": "SELECT {a:String}", "param_a": "it\\'s\\n\\\\x\\0", "param_n": "7",
        "param_ids": "['\\'','b']",
    }  # fmt: skip
    assert query["readonly"] == "2"
    assert int(query["max_result_rows"]) <= 200_000
    assert int(query["max_execution_time"]) <= 5
    assert headers["X-ClickHouse-User"] == "default"
    assert headers["X-ClickHouse-Key"] == "p w"


async def test_an_answer_without_rows_has_empty_columns() -> None:
    """ClickHouse names no columns then."""

    async def reply(_request: web.Request, _form: dict[str, str]) -> web.Response:
        return web.Response(text="[\n\n]\n")

    async with asked(reply) as (client, _):
        assert await client.ask("SELECT 1", tuple[list[str], list[int]]) == ([], [])


@pytest.mark.parametrize(
    ("code", "told"),
    [(516, "FUNDING_CLICKHOUSE_USERNAME"), (60, "fundingstream migrate"), (159, "ask for less")],
)
async def test_a_refusal_says_what_to_do(code: int, told: str) -> None:
    """By what ClickHouse's code means."""

    async def reply(_request: web.Request, _form: dict[str, str]) -> web.Response:
        return error(code)

    async with asked(reply) as (client, _):
        with pytest.raises(UnavailableError, match=told):
            await client.ask("SELECT 1", tuple[list[int]])


async def test_a_query_that_is_too_dear_does_not_shut_out_the_others() -> None:
    """Only a server that is away does, or one that refuses us altogether."""
    replies = iter((error(159), web.Response(text="[[1]]")))

    async def reply(_request: web.Request, _form: dict[str, str]) -> web.Response:
        return next(replies)

    async with asked(reply) as (client, _):
        with pytest.raises(UnavailableError):
            await client.ask("SELECT 1", tuple[list[int]])
        assert await client.ask("SELECT 1", tuple[list[int]]) == ([1],)


FIXED = "DB::Exception: Cannot modify 'max_execution_time' setting in readonly mode."
BOUNDED = "DB::Exception: Setting max_result_rows shouldn't be greater than 9."


@pytest.mark.parametrize(
    ("text", "left"), [(f"Code: 164. {FIXED}", ""), (f"Code: 452. {BOUNDED}", "2")]
)
async def test_a_user_whose_settings_are_fixed_is_asked_with_fewer(text: str, left: str) -> None:
    """Once and for all. Who may write is always told to read only."""
    queries: list[tuple[str, bool]] = []

    async def reply(request: web.Request, _form: dict[str, str]) -> web.Response:
        queries.append((request.query.get("readonly", ""), "max_result_rows" in request.query))
        if len(queries) == 1:
            return web.Response(status=500, text=text)
        return web.Response(text="[[1]]")

    async with asked(reply) as (client, _):
        for _ in range(2):
            assert await client.ask("SELECT 1", tuple[list[int]], settings={"a": "b"}) == ([1],)
    assert queries == [("2", True), (left, False), (left, False)]


async def test_what_would_write_is_not_asked_again() -> None:
    """That a statement may only read is no setting that a server refuses."""
    count = 0

    async def reply(_request: web.Request, _form: dict[str, str]) -> web.Response:
        nonlocal count
        count += 1
        return error(164)

    async with asked(reply) as (client, _):
        with pytest.raises(UnavailableError, match="gave no answer"):
            await client.ask("DROP TABLE x", tuple[list[int]])
    assert count == 1


@pytest.mark.parametrize("body", ["Code: 241", '[["x"]]', "[[1],[2]]", "[[1]", "[[null]]", "\xff"])
async def test_what_cannot_be_read_is_no_answer(body: str) -> None:
    """However it looks."""

    async def reply(_request: web.Request, _form: dict[str, str]) -> web.Response:
        return web.Response(text=body)

    async with asked(reply) as (client, _):
        with pytest.raises(UnavailableError, match="cannot be read"):
            await client.ask("SELECT 1", tuple[list[int]])


async def test_a_server_that_is_away_costs_the_next_question_nothing() -> None:
    """For some seconds; then one tries."""
    clock = ManualClock()
    url = f"http://127.0.0.1:{free_port()}"
    client = ClickHouse(ClickHouseSettings(clickhouse_url=url), clock)
    try:
        for _ in range(3):
            with pytest.raises(UnavailableError, match="does not answer"):
                await client.ask("SELECT 1", tuple[list[int]])
        assert client.queries == 1
        assert "does not answer" in client.reason
        clock.advance(CLOSED_FOR_S)
        with pytest.raises(UnavailableError):
            await client.ask("SELECT 1", tuple[list[int]])
        assert client.queries == 2
    finally:
        await client.close()


async def test_a_redirect_is_not_followed() -> None:
    """The password is for this server alone."""

    async def reply(_request: web.Request, _form: dict[str, str]) -> web.Response:
        raise web.HTTPFound("http://127.0.0.1:1/")

    async with asked(reply) as (client, _):
        with pytest.raises(UnavailableError, match="gave no answer"):
            await client.ask("SELECT 1", tuple[list[int]])
