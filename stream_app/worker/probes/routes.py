"""The worker's own routes: `/healthz`, `/startupz`, `/readyz` for supervisors, and `/metrics`.

They are served by the page's thread, and answered by the worker's event loop: a worker whose loop
does not answer is not healthy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiohttp import web

from stream_app.worker.probes.metrics import metrics_text
from stream_app.worker.probes.view import WorkerView

ANSWERED_WITHIN_S = 3.0
PATHS = ("/healthz", "/startupz", "/readyz", "/metrics")

T = TypeVar("T")


class Probes:
    """Answers for one worker."""

    def __init__(
        self,
        view: WorkerView,
        loop: Callable[[], asyncio.AbstractEventLoop | None],
        more_metrics: Callable[[], bytes],
    ) -> None:
        """Set whom the routes ask.

        Args:
            view: The worker's state.
            loop: Returns the worker's event loop; None: there is none yet.
            more_metrics: Returns what else `/metrics` shows of this process.
        """
        self._view = view
        self._loop = loop
        self._more_metrics = more_metrics

    def add_to(self, app: web.Application) -> None:
        """Add the routes to a server that may run in another thread."""
        handlers = (self.health, self.startup, self.ready, self.metrics)
        for path, handler in zip(PATHS, handlers, strict=True):
            app.router.add_get(path, handler)

    async def health(self, _request: web.Request) -> web.Response:
        """200 if the event loop answers, else 503."""
        return await self._answer(self._health)

    async def startup(self, _request: web.Request) -> web.Response:
        """200 once partitions are assigned and their state is loaded, else 503."""
        return await self._answer(self._startup)

    async def ready(self, _request: web.Request) -> web.Response:
        """200 while every feed that has a producer is delivered, else 503 with the reasons."""
        return await self._answer(self._ready)

    async def metrics(self, _request: web.Request) -> web.Response:
        """Everything that Prometheus reads of this process."""
        return await self._answer(self._metrics)

    async def _answer(self, make: Callable[[], Awaitable[web.Response]]) -> web.Response:
        """Return what a coroutine function gives in the worker's loop; 503: it gives nothing."""

        async def made() -> web.Response:
            return await make()

        loop = self._loop()
        if loop is None:
            return _told({"status": "the worker is starting"}, good=False)
        answer = asyncio.run_coroutine_threadsafe(made(), loop)
        try:
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                return await asyncio.wrap_future(answer)
        except TimeoutError:
            answer.cancel()
            return _told({"status": "the worker's event loop does not answer"}, good=False)

    async def _health(self) -> web.Response:
        return _told({"status": "ok", "uptime_s": round(self._view.uptime_s(), 1)}, good=True)

    async def _startup(self) -> web.Response:
        started = self._view.started
        return _told({"started": started}, good=started)

    async def _ready(self) -> web.Response:
        picture = await self._view.picture()
        body = {**picture.readiness, "idle_s": round(self._view.idle_s(), 1)}
        return _told(body, good=body["ready"])

    async def _metrics(self) -> web.Response:
        text = metrics_text(await self._view.picture(), self._view.timings)
        return web.Response(
            body=text + self._more_metrics(), content_type="text/plain", charset="utf-8"
        )


def _told(body: dict[str, Any], *, good: bool) -> web.Response:
    return web.json_response(body, status=200 if good else 503)
