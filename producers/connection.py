"""One managed WebSocket: connect, subscribe, hand over frames, reconnect with backoff.

Health is data: a socket that is open and silent is closed and tried again. Not responsible for:
what frames mean (exchanges/), what follows from an outage (feed.py).
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections.abc import Awaitable, Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from producers.backoff import Backoff
from producers.exchanges.description import SocketPlan
from producers.publisher import connection_id
from schemas.times import now_us

log = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
MAX_FRAME_BYTES = 16 << 20
FRAMES_QUEUED = 16
"""Beyond this the library stops reading from the socket, so TCP slows the exchange down."""

OnFrame = Callable[[str, bytes, int], Awaitable[bool]]
"""(connection id, message, received_at µs) → whether it carried data."""


class ManagedConnection:
    """Keeps one socket of a feed up until cancelled."""

    def __init__(
        self,
        feed: str,
        plan: SocketPlan,
        url: str,
        silent_s: float,
        max_age_s: float,
        on_frame: OnFrame,
        on_open: Callable[[bool], None],
        on_close: Callable[[str], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`on_open` is told whether it is a reconnect; `on_close` why the socket ended."""
        self._feed = feed
        self._plan = plan
        self._url = url
        self._silent_s = silent_s
        self._max_age_s = max_age_s
        self._on_frame = on_frame
        self._on_open = on_open
        self._on_close = on_close
        self._tls = tls
        self._backoff = Backoff(random.random)
        self.connects = 0
        self.attempts = 0
        self.is_open = False

    async def run(self) -> None:
        """Connect and reconnect until cancelled."""
        while True:
            healthy_s = 0.0
            reason = "closed"
            try:
                healthy_s, reason = await self._session()
            except (OSError, TimeoutError, InvalidHandshake, InvalidURI, ConnectionClosed) as error:
                reason = f"{type(error).__name__}: {error}"
            finally:
                if self.is_open:
                    self.is_open = False
                    self._on_close(reason)
            delay_s = self._backoff.failed(healthy_s)
            log.warning(
                "%s/%s: %s; next attempt in %.1f s", self._feed, self._plan.name, reason, delay_s
            )
            await asyncio.sleep(delay_s)

    async def _session(self) -> tuple[float, str]:
        """Run one connection to its end; return (seconds of data, why it ended)."""
        self.attempts += 1
        async with connect(
            self._url,
            ssl=self._tls,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None,
            max_size=MAX_FRAME_BYTES,
            max_queue=FRAMES_QUEUED,
            user_agent_header="fundingstream",
        ) as socket:
            self.connects += 1
            self.is_open = True
            self._on_open(self.connects > 1)
            log.info("%s/%s: connected to %s", self._feed, self._plan.name, self._url)
            for message in self._plan.subscribe:
                await socket.send(message)
            return await self._read(socket)

    async def _read(self, socket: ClientConnection) -> tuple[float, str]:
        identity = connection_id(self._feed, self._plan.name)
        opened_s = time.monotonic()
        first_data_s: float | None = None
        last_data_s = opened_s
        while True:
            now_s = time.monotonic()
            healthy_s = last_data_s - first_data_s if first_data_s is not None else 0.0
            if now_s - opened_s > self._max_age_s:
                return healthy_s, f"planned rotation after {self._max_age_s:.0f} s"
            wait_s = last_data_s + self._silent_s - now_s
            if wait_s <= 0:
                return healthy_s, f"no data for {self._silent_s:g} s"
            try:
                # Not wait_for: Python 3.11's loses a cancellation that meets an arriving frame.
                async with asyncio.timeout(wait_s):
                    message = await socket.recv(decode=False)
            except TimeoutError:
                continue
            except ConnectionClosed as error:
                return healthy_s, f"closed by the exchange: {error}"
            if await self._on_frame(identity, message, now_us()):
                last_data_s = time.monotonic()
                first_data_s = first_data_s or last_data_s
