"""ClickHouse's HTTP interface: authentication, admission of requests, errors in ClickHouse's form.

Everything is bounded: statements at once, requests waiting for them, statement sizes, and how long
a read may take. How one statement runs is in statements.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from aiohttp import web

from infra.embedded.clickhouse.access import Users, credentials_of
from infra.embedded.clickhouse.answers import Answer
from infra.embedded.clickhouse.engine import Engine
from infra.embedded.clickhouse.errors import STD_EXCEPTION, ClickHouseError, denied, too_busy
from infra.embedded.clickhouse.incoming import read_request
from infra.embedded.clickhouse.lanes import Lane
from infra.embedded.clickhouse.roles import Role
from infra.embedded.clickhouse.sessions import Sessions
from infra.embedded.clickhouse.sqltext import reaches_for_files
from infra.embedded.clickhouse.statements import Statement, StatementLimits
from schemas.http.browser_guard import refusal

log = logging.getLogger(__name__)

_EXPIRE_INTERVAL_S = 5.0
_DRAIN_TIMEOUT_S = 8.0
_CANCEL_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class UserLimits:
    """The limits of one user: how many statements at once, and what each may use."""

    max_running: int
    max_waiting: int
    statement: StatementLimits


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """The users and the limits of each."""

    users: Users
    limits: Mapping[Role, UserLimits]
    allowed_hosts: tuple[str, ...] = ()


class HttpInterface:
    """The handlers of the HTTP application around one engine."""

    def __init__(self, engine: Engine, options: HttpOptions) -> None:
        self._engine = engine
        self._options = options
        self._lanes = {
            role: Lane(f"clickhouse-{role}", limits.max_running, limits.max_waiting)
            for role, limits in options.limits.items()
        }
        self._pending = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._sessions = Sessions(
            lambda: asyncio.to_thread(engine.open), lambda h: asyncio.to_thread(h.close)
        )
        self._host_name = os.uname().nodename

    def make_app(self) -> web.Application:
        """Return the application; its clean-up closes all handles and the engine."""
        app = web.Application()
        for path in ("/ping", "/replicas_status"):
            app.router.add_get(path, self._ping)
        for path in ("/", "/query"):
            # Any other method is answered with 405 by aiohttp, and nothing runs.
            app.router.add_get(path, self._handle)
            app.router.add_post(path, self._handle)
            app.router.add_options(path, self._options_of)
        app.cleanup_ctx.append(self._lifetime)
        return app

    async def _lifetime(self, _app: web.Application) -> AsyncIterator[None]:
        expiry = asyncio.create_task(self._expire_sessions())
        yield
        expiry.cancel()
        if self._pending == 0:
            await self._sessions.close()
            for lane in self._lanes.values():
                lane.close()
            self._engine.close()

    async def drain(self) -> None:
        """Refuse new requests, let the running ones end, and end those that take too long.

        A call of the engine cannot be cancelled from outside, so the engine is asked to end it.
        """
        self._closing = True
        if await self._becomes_idle(_DRAIN_TIMEOUT_S):
            return
        with contextlib.suppress(ClickHouseError):
            await asyncio.to_thread(self._engine.cancel_running)
        if not await self._becomes_idle(_CANCEL_TIMEOUT_S):
            log.warning("statements are still running: their inserts are not acknowledged")
            # The threads cannot be ended. As after kill -9, what was acknowledged is on the disk.
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

    async def _ping(self, request: web.Request) -> web.Response:
        reason = refusal(request.headers, self._options.allowed_hosts)
        if reason is not None:
            return web.Response(status=403, text=f"{reason}\n")
        if self._closing:
            return web.Response(status=503, text="The server is stopping.\n")
        return web.Response(text="Ok.\n")

    async def _options_of(self, _request: web.Request) -> web.Response:
        return web.Response(status=204, headers={"Allow": "GET, HEAD, OPTIONS, POST"})

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        answer = Answer(self._engine, self._host_name, request)
        reason = refusal(request.headers, self._options.allowed_hosts)
        if reason is not None:
            return answer.error(denied(reason))
        if self._closing:
            return answer.error(too_busy("requests while the server is stopping"))
        self._pending += 1
        self._idle.clear()
        try:
            return await self._execute(request, answer)
        except ClickHouseError as error:
            return answer.error(error)
        except (asyncio.CancelledError, ConnectionError, web.HTTPException):
            raise
        except web.RequestPayloadError as error:
            text = f"The request's body cannot be read: {error}"
            return answer.error(ClickHouseError(33, text, "CANNOT_READ_ALL_DATA"))
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
        user = self._options.users.role_of(given)
        if request.method in {"GET", "HEAD"} and "query" not in request.query:
            return web.Response(text="Ok.\n")
        lane = self._lanes[user]
        with lane.admitted():
            incoming = await read_request(request)
            if await lane.run(reaches_for_files, incoming.sql):
                raise denied("Files and programs of the server's machine are out of reach.")
            session = await self._sessions.enter(given.user, request.query)
            try:
                async with contextlib.AsyncExitStack() as held:
                    if session is not None:
                        await held.enter_async_context(session.lock)
                    await held.enter_async_context(lane.slot())
                    limits = self._options.limits[user].statement
                    statement = Statement(self._engine, lane, user, limits, request, incoming)
                    return await statement.execute(session, answer)
            finally:
                if session is not None:
                    self._sessions.leave(session)
