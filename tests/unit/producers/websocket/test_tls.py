"""Over TLS, as the exchanges are: certificates are verified, and a bad one is a failed attempt."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from infra.simulator.market.truth import TruthLog
from infra.simulator.options import SimulatorOptions
from infra.simulator.registry import create_exchanges
from infra.simulator.server.server import SimulatorServer
from infra.simulator.server.tls import self_signed, server_context
from producers.exchanges import exchange
from producers.websocket import transport
from producers.websocket.connection import ConnectionCallbacks, ManagedConnection
from producers.websocket.session import FrameOutcome
from schemas.backoff import Backoff
from schemas.clock import SystemClock

FEED = "binance-usdm"
OPTIONS = SimulatorOptions(seed=7, tick_ms=50)


@pytest.fixture(autouse=True)
def _fresh_context() -> Iterator[None]:
    """The default context is made once in a process; here the authorities change."""
    transport.verifying.cache_clear()
    yield
    transport.verifying.cache_clear()


@asynccontextmanager
async def simulated(folder: Path) -> AsyncIterator[tuple[str, Path]]:
    """A simulated Binance over TLS: its stream's URL and its certificate."""
    certificate, key = self_signed(folder, "127.0.0.1")
    with TruthLog(folder, OPTIONS.seed) as truth:
        exchanges = create_exchanges([FEED], OPTIONS, 5, time.time_ns() // 1_000_000)
        tls = server_context(certificate, key)
        server = SimulatorServer(exchanges, truth, port=0, tls=tls, housekeeping_s=0.02)
        await server.start()
        try:
            path = "/market/ws/!markPrice@arr@1s"
            yield f"wss://127.0.0.1:{server.port}/{FEED}{path}", certificate
        finally:
            await server.stop()


class Attempts:
    """A managed connection that runs, and what becomes of it."""

    def __init__(self, url: str, tls: ssl.SSLContext | None) -> None:
        self.symbols: set[str | None] = set()
        self.asked = 0
        self.changed = asyncio.Event()

        async def address(_attempt: int) -> str:
            self.asked += 1
            self.changed.set()
            return url

        kind = exchange(FEED).socket_kinds[0]
        callbacks = ConnectionCallbacks(self.on_frame, lambda _closed: None)
        self.backoff = Backoff(lambda: 0.0)
        self.managed = ManagedConnection(
            FEED, "s", kind, address, callbacks, SystemClock(), self.backoff, tls=tls
        )

    async def on_frame(self, _identity: str, message: bytes, _received_at: int) -> FrameOutcome:
        slices = exchange(FEED).slice_frame(message).slices
        self.symbols |= {piece.symbol for piece in slices}
        self.changed.set()
        return FrameOutcome(data=bool(slices))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """It never gives up by itself."""
        task = asyncio.create_task(self.managed.run())
        try:
            async with asyncio.timeout(20):
                yield
            assert not task.done()
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def first(self) -> None:
        """Wait for the first rates."""
        while not self.symbols:
            self.changed.clear()
            await self.changed.wait()


async def test_a_given_context_is_used(tmp_path: Path) -> None:
    """It trusts the certificate, so rates arrive."""
    async with simulated(tmp_path) as (url, certificate):
        attempts = Attempts(url, ssl.create_default_context(cafile=certificate))
        async with attempts.running():
            await attempts.first()
    assert "BTCUSDT" in attempts.symbols


async def test_without_one_the_systems_authorities_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in live mode, where no context is given."""
    async with simulated(tmp_path) as (url, certificate):
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        attempts = Attempts(url, None)
        async with attempts.running():
            await attempts.first()
    assert attempts.managed.connects == 1


async def test_an_untrusted_certificate_is_a_failed_attempt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is sent over the untrusted connection, and another attempt follows after a delay."""
    async with simulated(tmp_path) as (url, _certificate):
        attempts = Attempts(f"{url}?token=SECRET", None)
        async with attempts.running():
            while attempts.asked < 3:
                attempts.changed.clear()
                await attempts.changed.wait()
    assert attempts.managed.connects == 0
    assert attempts.backoff.failures >= 2
    ours = [record.getMessage() for record in caplog.records]
    assert any("no connection: SSLCertVerificationError" in text for text in ours)
    assert not any("SECRET" in text for text in ours)
