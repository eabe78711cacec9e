"""`/api/v1` on a running server, with all that stands behind it: Kafka, a registry, ClickHouse."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from infra.embedded.ports import free_port
from schemas.clock import Clock
from schemas.config.settings import SharedSettings
from schemas.records import RAW_BATCH
from schemas.serde.codec import Encoder
from stream_app.settings import ClickHouseSettings
from stream_app.web.fleet import Fleet
from tests.support.mock_kafka import MockKafka
from tests.support.rest_scene import application

START_TIMEOUT_S = 20.0
SCHEMA_ID = 7


def add_registry(app: web.Application) -> None:
    """Add what a registry answers about the schema of raw records."""

    async def schema(request: web.Request) -> web.Response:
        if request.match_info["id"] != str(SCHEMA_ID):
            return web.json_response({"error_code": 40_403, "message": "no schema"}, status=404)
        return web.json_response({"schema": RAW_BATCH.text})

    app.router.add_get("/schemas/ids/{id}", schema)


def raw_record(feed: str, *payloads: bytes) -> bytes:
    """A raw record with an item for each payload, as a producer publishes it."""
    items = [
        {"symbol": f"S{number}", "payload": payload, "received_at": 1_790_000_000_000_000 + number}
        for number, payload in enumerate(payloads)
    ]
    return Encoder(RAW_BATCH, SCHEMA_ID).encode({
        "feed": feed, "transport": "ws", "purpose": "stream", "channel": "!markPrice@arr@1s",
        "connection_id": "c1", "sequence": 1, "received_at": 1_790_000_000_000_000,
        "items": items,
    })  # fmt: skip


@contextmanager
def running(
    fleet: Fleet, clock: Clock, clickhouse: ClickHouseSettings, kafka: MockKafka
) -> Iterator[str]:
    """Serve in a thread with an event loop of its own for the `with` block; yield the URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = SharedSettings(kafka_bootstrap=kafka.bootstrap, registry_url=url)
    started, ended = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        app = application(fleet, clock, clickhouse, settings)
        add_registry(app)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            started.set()
            await ended.wait()
        finally:
            await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(START_TIMEOUT_S)
    try:
        yield url
    finally:
        loops[0].call_soon_threadsafe(ended.set)
        thread.join(START_TIMEOUT_S)
