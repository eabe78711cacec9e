"""Mounts `/api/v1` on a web application. Every response is JSON or CSV, also a refusal.

A request that is refused gets a JSON object whose `error` says what is wrong and what is allowed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from schemas.clock import Clock
from stream_app.web.fleet import Fleet
from stream_app.web.history.history import History
from stream_app.web.history.raw_reader import RawReader
from stream_app.web.history.shared_answers import SharedAnswers
from stream_app.web.rest import openapi
from stream_app.web.rest.live_routes import LiveRoutes
from stream_app.web.rest.parameters import MAX_QUERY_CHARS, RefusedError, read
from stream_app.web.rest.past_routes import PastRoutes
from stream_app.web.rest.replies import (
    Content,
    csv_content,
    json_content,
    refusal,
    response,
    wants_csv,
)
from stream_app.web.rest.route import PREFIX, Route

_METHODS = ("GET", "HEAD")
MAX_AT_ONCE = 32
"""Requests; most of them wait for an answer that is made once for all who ask the same."""
SHARE = 0.25
"""Answers may take so much of the event loop's time: the frames of open pages, and in a worker the
rates, go on beside whatever is asked."""
_MAX_ANSWERS = 16
_DESCRIPTION_KEPT_S = 3_600.0


def add_rest(
    app: web.Application,
    fleet: Fleet,
    history: History,
    raw: RawReader,
    clock: Clock,
    status: Callable[[], Mapping[str, Any]],
) -> None:
    """Add the routes below `/api/v1`.

    Args:
        app: Gets the routes. Its event loop is the one of all others.
        fleet: Everything that is live.
        history: Asks ClickHouse. Whoever made it closes it.
        raw: Reads the raw log.
        clock: The time.
        status: Returns the object `status` of the frames of `/live`.
    """
    routes = (
        *LiveRoutes(fleet, clock, status).routes(),
        *PastRoutes(fleet, history, raw, clock).routes(),
    )
    rest = _Rest(routes, clock)
    for route in rest.routes:
        app.router.add_route("*", PREFIX + route.path, rest.handler(route))
    for path in (PREFIX, PREFIX + "/{rest:.*}"):
        app.router.add_route("*", path, rest.nowhere)
    app.on_cleanup.append(rest.close)


class _Rest:
    """Answers requests by the declarations of the routes."""

    def __init__(self, routes: tuple[Route, ...], clock: Clock) -> None:
        described = Route(
            "/openapi.json",
            "This description.",
            (),
            dict[str, Any],
            self._description,
            kept_s=_DESCRIPTION_KEPT_S,
        )
        self.routes = (*routes, described)
        self._document = openapi.document(self.routes)
        self._answers = SharedAnswers(clock.monotonic_s, _MAX_ANSWERS)
        self._at_once = 0
        self._free_at_s = 0.0
        self._turn = asyncio.Lock()
        self._clock = clock

    def handler(self, route: Route) -> Callable[[web.Request], Any]:
        """Return the handler of a route."""

        async def handle(request: web.Request) -> web.Response:
            try:
                return await self._answer(route, request)
            except RefusedError as error:
                return refusal(error)

        return handle

    async def nowhere(self, _request: web.Request) -> web.Response:
        """Answer a path that is none."""
        paths = ", ".join(PREFIX + route.path for route in self.routes)
        return refusal(RefusedError(404, f"there is nothing at this path. There are {paths}"))

    async def close(self, _app: web.Application) -> None:
        """End what is being answered."""
        await self._answers.close()

    async def _answer(self, route: Route, request: web.Request) -> web.Response:
        if request.method not in _METHODS:
            raise RefusedError(
                405,
                f"{request.path} is only read: use {' or '.join(_METHODS)}",
                Allow=", ".join(_METHODS),
            )
        if request.body_exists:
            raise RefusedError(413, "a request of this interface has no body: send none")
        if len(request.rel_url.raw_query_string) > MAX_QUERY_CHARS:
            raise RefusedError(
                400, f"the query has more than {MAX_QUERY_CHARS} characters: ask for less at once"
            )
        asked = read(route.declared, request.query, request.match_info, PREFIX + route.path)
        as_csv = bool(route.rows) and wants_csv(request, asked.get("format"))
        if self._at_once >= MAX_AT_ONCE:
            raise RefusedError(
                503,
                f"{MAX_AT_ONCE} requests are being answered: ask again in a second",
                **{"Retry-After": "1"},
            )
        self._at_once += 1
        try:
            content = await self._answers.get(
                (route.path, *asked.values(), as_csv),
                route.kept_s,
                lambda: self._content(route, asked, as_csv=as_csv),
            )
            return await response(request, content)
        finally:
            self._at_once -= 1

    async def _content(self, route: Route, asked: Mapping[str, Any], *, as_csv: bool) -> Content:
        async with self._turn:
            await asyncio.sleep(max(0.0, self._free_at_s - self._clock.monotonic_s()))
        begun_s = time.thread_time()
        answer = await route.handler(asked)
        content = None if as_csv else json_content(answer)
        spent_s = time.thread_time() - begun_s
        self._free_at_s = self._clock.monotonic_s() + spent_s * (1 / SHARE - 1)
        if content is not None:
            return content
        columns = asked.get("fields") or openapi.columns(route.answer, route.rows)
        # In a thread, where the event loop has its turn every few milliseconds.
        return await asyncio.to_thread(csv_content, answer, route.rows, columns)

    async def _description(self, _asked: Mapping[str, Any]) -> dict[str, Any]:
        return self._document
