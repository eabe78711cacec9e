"""Runs the page as a process of its own, until a signal: for many viewers."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import suppress

import uvloop
from aiohttp import web

from schemas.clock import SystemClock
from schemas.kafka.admin import await_kafka, require_topics
from schemas.serde.registry import SchemaCatalog
from stream_app.settings import PageSettings
from stream_app.web.application import Mounted
from stream_app.web.page import Page, listen
from stream_app.web.reader import READ_TOPICS

PATHS = ("/healthz", "/readyz", "/metrics")


def run_page(settings: PageSettings) -> None:
    """Serve the page until SIGTERM or SIGINT.

    Raises:
        UnavailableError: the port is taken, or Kafka, the registry or a topic is missing.
        ConfigurationError: a setting cannot be used.
    """
    listening = listen(settings)
    try:
        await_kafka(settings)
        require_topics(settings, [topic.name for topic in READ_TOPICS])
        page = Page(settings, SchemaCatalog(settings), SystemClock())
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_signal(page, listening))
    finally:
        listening.close()


async def _until_signal(page: Page, listening: socket.socket) -> None:
    running = asyncio.ensure_future(
        page.run(listening, Mounted(PATHS, lambda app: _add_probes(app, page)), lambda: None)
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    with suppress(asyncio.CancelledError):
        await running


def _add_probes(app: web.Application, page: Page) -> None:
    async def health(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_request: web.Request) -> web.Response:
        ready = page.caught_up
        return web.json_response({"ready": ready}, status=200 if ready else 503)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=page.metrics(), content_type="text/plain", charset="utf-8")

    for path, handler in zip(PATHS, (health, ready, metrics), strict=True):
        app.router.add_get(path, handler)
