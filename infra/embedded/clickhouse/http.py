"""ClickHouse's HTTP interface: requests in, engine calls in threads, answers out.

Everything is bounded: statements at once, requests waiting for them, result and statement sizes,
and how long a client may stall. Not responsible for what a statement means (engine.py, sqltext.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from aiohttp import web

from infra.embedded.clickhouse.access import Credentials, credentials_of, require
from infra.embedded.clickhouse.answers import Answer, late_exception, result_headers
from infra.embedded.clickhouse.compression import accepted_coding, compressor
from infra.embedded.clickhouse.engine import Engine, Handle, Result, Stream
from infra.embedded.clickhouse.errors import STD_EXCEPTION, ClickHouseError, too_busy
from infra.embedded.clickhouse.incoming import Incoming, read_request
from infra.embedded.clickhouse.sessions import Session, Sessions
from infra.embedded.clickhouse.sqltext import (
    is_read,
    is_streamable,
    reaches_for_files,
    result_format,
)
from schemas.browser_guard import refusal

log = logging.getLogger(__name__)
_P = ParamSpec("_P")
_T = TypeVar("_T")

MAX_RUNNING = 8
MAX_WAITING = 256
_WRITE_TIMEOUT_S = 120.0
_EXPIRE_INTERVAL_S = 5.0
_DRAIN_TIMEOUT_S = 8.0
_CANCEL_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """Who may ask, and the settings that each statement starts from."""

    credentials: Credentials
    default_settings: Mapping[str, str]
    buffered_settings: Mapping[str, str]
    allowed_hosts: tuple[str, ...] = ()


class HttpInterface:
    """The application's handlers around one engine."""

    def __init__(self, engine: Engine, options: HttpOptions) -> None:
        self._engine = engine
        self._options = options
        # Two threads more than statements, so that closing handles never waits for a slot.
        self._threads = ThreadPoolExecutor(MAX_RUNNING + 2, "clickhouse")
        self._slots = asyncio.Semaphore(MAX_RUNNING)
        self._pending = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._sessions = Sessions(lambda: self._run(engine.open), lambda h: self._run(h.close))
        self._host_name = os.uname().nodename

    def make_app(self) -> web.Application:
        """The application; its clean-up closes all handles and the engine."""
        app = web.Application()
        for path in ("/ping", "/replicas_status"):
            app.router.add_get(path, self._ping)
        for path in ("/", "/query"):
            app.router.add_route("*", path, self._handle)
        app.cleanup_ctx.append(self._lifetime)
        return app

    async def _lifetime(self, _app: web.Application) -> AsyncIterator[None]:
        expiry = asyncio.create_task(self._expire_sessions())
        yield
        expiry.cancel()
        if self._pending == 0:
            await self._sessions.close()
            self._threads.shutdown()
            self._engine.close()

    async def drain(self) -> None:
        """Takes no more requests, lets the running ones end, and ends those that take too long.

        An engine call cannot be cancelled from outside: the engine itself is asked to.
        """
        self._closing = True
        if await self._becomes_idle(_DRAIN_TIMEOUT_S):
            return
        with contextlib.suppress(ClickHouseError):
            await self._run(self._engine.cancel_running)
        if not await self._becomes_idle(_CANCEL_TIMEOUT_S):
            log.warning("statements are still running: their inserts are not acknowledged")
            # The threads cannot be ended; what was acknowledged is on the disk (as after kill -9).
            os._exit(0)

    async def _becomes_idle(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def _expire_sessions(self) -> None:
        while True:
            await asyncio.sleep(_EXPIRE_INTERVAL_S)
            await self._sessions.expire()

    async def _run(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: call(*args, **kwargs))

    async def _ping(self, request: web.Request) -> web.Response:
        reason = refusal(request.headers, self._options.allowed_hosts)
        if reason is not None:
            return web.Response(status=403, text=f"{reason}\n")
        if self._closing:
            return web.Response(status=503, text="The server is stopping.\n")
        return web.Response(text="Ok.\n")

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        answer = Answer(self._engine, self._host_name, request)
        reason = refusal(request.headers, self._options.allowed_hosts)
        if reason is not None:
            return answer.error(ClickHouseError(497, reason, "ACCESS_DENIED"))
        if self._closing:
            return answer.error(too_busy("requests while the server is stopping"))
        if self._pending >= MAX_WAITING:
            return answer.error(too_busy("requests"))
        self._pending += 1
        self._idle.clear()
        try:
            return await self._execute(request, answer)
        except ClickHouseError as error:
            return answer.error(error)
        except (asyncio.CancelledError, ConnectionError, web.HTTPException):
            raise
        except Exception as error:
            log.exception("a request failed inside the server")
            text = f"{type(error).__name__}: {error}"
            return answer.error(ClickHouseError(STD_EXCEPTION, text, "STD_EXCEPTION"))
        finally:
            self._pending -= 1
            if self._pending == 0:
                self._idle.set()

    async def _execute(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        given = credentials_of(request.headers, request.query)
        require(given, self._options.credentials)
        if request.method in {"GET", "HEAD"} and "query" not in request.query:
            return web.Response(text="Ok.\n")
        incoming = await read_request(request)
        if reaches_for_files(incoming.sql):
            raise ClickHouseError(
                497, "Files and programs of the server's machine are out of reach.", "ACCESS_DENIED"
            )
        session = await self._sessions.enter(given.user, request.query)
        try:
            async with contextlib.AsyncExitStack() as held:
                if session is not None:
                    await held.enter_async_context(session.lock)
                await held.enter_async_context(self._slots)
                return await self._with_handle(request, incoming, session, answer)
        finally:
            if session is not None:
                self._sessions.leave(session)

    async def _with_handle(
        self,
        request: web.Request,
        incoming: Incoming,
        session: Session | None,
        answer: Answer,
    ) -> web.StreamResponse:
        plan = _Plan.of(request, incoming)
        settings = self._settings(incoming, plan, in_session=session is not None)
        handle = session.handle if session is not None else await self._run(self._engine.open)
        try:
            await self._run(handle.apply, incoming.database, settings)
            await self._load_external(handle, incoming)
            if incoming.insert is not None:
                return await self._insert(handle, incoming, answer)
            return await self._query(request, handle, incoming, plan, answer)
        finally:
            # Shielded: a cancelled request must not leave its settings or its handle behind.
            if session is None:
                await asyncio.shield(self._run(handle.close))
            else:
                await asyncio.shield(self._reset(handle, list(settings)))

    def _settings(self, incoming: Incoming, plan: _Plan, *, in_session: bool) -> dict[str, str]:
        buffered = {} if plan.streamed else self._options.buffered_settings
        settings = {**self._options.default_settings, **buffered, **incoming.settings}
        if incoming.read_only:
            if not is_read(incoming.sql):
                raise ClickHouseError(164, "Cannot execute query in readonly mode.", "READONLY")
            if not in_session:
                # Last, because nothing can be set after it; so a session could never write again.
                settings.pop("readonly", None)
                settings["readonly"] = "2"
        return settings

    async def _reset(self, handle: Handle, names: list[str]) -> None:
        with contextlib.suppress(ClickHouseError):
            await self._run(handle.reset, names, self._options.default_settings)

    async def _load_external(self, handle: Handle, incoming: Incoming) -> None:
        for table in incoming.external:
            if not table.name.isidentifier() or reaches_for_files(table.structure.encode()):
                raise ClickHouseError(36, f"Bad external table {table.name!r}.", "BAD_ARGUMENTS")

            def load(name: str, structure: str, table_format: str, data: bytes) -> None:
                statement = f"CREATE OR REPLACE TEMPORARY TABLE {name} ({structure})"
                handle.query(statement, "Null", {})
                insert = handle.insert(f"INSERT INTO {name}", table_format)
                insert.append(data)
                insert.finish()

            await self._run(load, table.name, table.structure, table.format, table.data)

    async def _insert(
        self, handle: Handle, incoming: Incoming, answer: Answer
    ) -> web.StreamResponse:
        assert incoming.insert is not None, "an INSERT with data"
        assert incoming.data is not None, "an INSERT with data"
        if incoming.parameters:
            await self._run(handle.bind, incoming.parameters)
        insert = await self._run(handle.insert, incoming.insert.statement, incoming.insert.format)
        try:
            async for piece in incoming.data:
                await self._run(insert.append, piece)
            summary = await self._run(insert.finish)
        except BaseException:
            await asyncio.shield(self._run(insert.cancel))
            raise
        return web.Response(headers=answer.headers(summary), content_type="text/plain")

    async def _query(
        self,
        request: web.Request,
        handle: Handle,
        incoming: Incoming,
        plan: _Plan,
        answer: Answer,
    ) -> web.StreamResponse:
        call = handle.stream if plan.streamed else handle.query
        result = await self._run(call, plan.sql, plan.output_format, incoming.parameters)
        headers = answer.headers(result.summary)
        headers |= result_headers(plan.output_format)
        coding = None
        if request.query.get("enable_http_compression") == "1":
            coding = accepted_coding(request.headers.get("Accept-Encoding", ""))
        if coding is not None:
            headers["Content-Encoding"] = coding
        if result.rest is None:
            packer = compressor(coding)
            body = await self._run(lambda: packer.compress(result.data) + packer.finish())
            return web.Response(body=body, headers=headers)
        return await self._send_stream(request, result, result.rest, headers, coding)

    async def _send_stream(
        self,
        request: web.Request,
        result: Result,
        rest: Stream,
        headers: dict[str, str],
        coding: str | None,
    ) -> web.StreamResponse:
        """Sends a result while it is computed. A late error goes into the body, marked by a tag."""
        tag = uuid.uuid4().hex[:16]
        headers["X-ClickHouse-Exception-Tag"] = tag
        response = web.StreamResponse(headers=headers)
        packer = compressor(coding)
        data, ended = result.data, False
        try:
            response.enable_chunked_encoding()
            await response.prepare(request)
            while True:
                await _write(response, await self._run(packer.compress, data))
                if ended:
                    break
                try:
                    data, ended = await self._run(rest.next_piece)
                except ClickHouseError as error:
                    data, ended = late_exception(error, tag), True
            await _write(response, packer.finish())
        except (asyncio.CancelledError, ConnectionError, TimeoutError):
            await asyncio.shield(self._run(rest.cancel))
            raise
        await response.write_eof()
        return response


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a statement is to be run."""

    sql: str
    output_format: str
    streamed: bool

    @classmethod
    def of(cls, request: web.Request, incoming: Incoming) -> _Plan:
        sql = incoming.sql.decode(errors="replace")
        output_format = (
            result_format(sql)
            or request.query.get("default_format")
            or request.headers.get("X-ClickHouse-Format")
            or "TabSeparated"
        )
        whole = request.query.get("wait_end_of_query") == "1"
        streamed = (
            incoming.insert is None and not whole and is_streamable(incoming.sql, output_format)
        )
        return cls(sql, output_format, streamed)


async def _write(response: web.StreamResponse, data: bytes) -> None:
    if data:
        async with asyncio.timeout(_WRITE_TIMEOUT_S):
            await response.write(data)
