"""A webhook on loopback that notes what it gets, refuses it, or keeps its sender waiting."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from aiohttp import web


class Webhook:
    """A server of one path, on a port of its own."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        """Bodies that were accepted, in their order."""
        self.refused = 0
        self.status = 200
        self.open = asyncio.Event()
        """While it is cleared, requests are noted and not answered."""
        self.open.set()
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen; the same port again after a stop."""
        app = web.Application()
        app.router.add_post("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Refuse connections."""
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        """The target's URL, with something in it that must never be shown."""
        return f"json://user:hunter2-hunter2@127.0.0.1:{self.port}/hook"

    @property
    def titles(self) -> list[str]:
        """Titles of what was accepted."""
        return [body["title"] for body in self.got]

    @property
    def counts(self) -> Counter[str]:
        """How often each alert was accepted."""
        return Counter(body["alert_id"] for body in self.got)

    async def _answer(self, request: web.Request) -> web.Response:
        if self.status != 200:
            self.refused += 1
            return web.Response(status=self.status)
        body = await request.json()
        assert request.headers["X-Alert-Id"]
        self.got.append(body)
        await self.open.wait()
        return web.Response(status=200)
