"""The page of one process: it reads the topics, and serves what they tell.

It runs in a thread of its own within a worker (`PageThread`), or is a process (service.py). Nothing
of a worker's state is touched: other routes that the process serves are given to it (`Mounted`).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

import uvloop
from aiohttp import web

from schemas.clock import Clock
from schemas.errors import ConfigurationError, FundingStreamError, UnavailableError
from schemas.http.server import quiet_malformed_requests
from schemas.records import FeedStatus
from schemas.serde.registry import SchemaCatalog
from stream_app.settings import PageSettings
from stream_app.web.application import Mounted, application
from stream_app.web.fleet import Fleet
from stream_app.web.history.clickhouse import ClickHouse
from stream_app.web.history.history import History
from stream_app.web.history.raw_reader import RawReader
from stream_app.web.live.frames import FrameMaker
from stream_app.web.live.hub import Hub
from stream_app.web.loader import Loader
from stream_app.web.metrics import page_metrics
from stream_app.web.reader import Reader
from stream_app.web.rest.mount import add_rest
from stream_app.web.server.door import Doors
from stream_app.web.server.limits import Load
from stream_app.web.status import FleetStatus

log = logging.getLogger(__name__)

_EPOCH_BYTES = 8
OTHER_CONNECTIONS = 300
"""Beside the sockets of open pages so many connections may be open, for files and the API."""
_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 10.0
_BACKLOG = 512
_KEPT_ALIVE_S = 15.0
"""A connection without a request for so long is closed."""
_HANDSHAKE_S = 5.0
_SHUTDOWN_S = 1.0


class Page:
    """The page of one process. Connects nothing before it runs."""

    def __init__(self, settings: PageSettings, catalog: SchemaCatalog, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self.fleet = Fleet()
        self._reader = Reader(settings, catalog, self.fleet, clock)
        clickhouse = ClickHouse(settings, clock)
        self._history = History(clickhouse, clock)
        self._raw = RawReader(settings)
        self._status = FleetStatus(
            self.fleet, lambda: self._reader.caught_up, self._history.state, clock
        )
        epoch = secrets.token_hex(_EPOCH_BYTES)
        self._hub = Hub(self.fleet, FrameMaker(self.fleet, self._status, epoch), clock, epoch)
        self._load = Load()
        self.metrics = page_metrics(self.fleet, self._reader, self._hub, self._load, clickhouse)

    def feeds(self) -> Mapping[str, FeedStatus]:
        """Return the newest report of each feed's producer. Safe in any thread."""
        return dict(self.fleet.feeds)

    @property
    def caught_up(self) -> bool:
        """True once the topics have been read up to their ends at the start."""
        return self._reader.caught_up

    async def run(
        self, listening: socket.socket, mounted: Mounted, started: Callable[[], None]
    ) -> None:
        """Read and serve until cancelled.

        Args:
            listening: The socket to serve on; it is closed at the end.
            mounted: Other routes to serve.
            started: Called once requests are answered.

        Raises:
            ConfigurationError: a file for TLS cannot be used.
            FatalError: a part of the page has ended by itself.
        """
        quiet_malformed_requests()
        app = application(
            self._settings, self._hub, self._load, self._clock, self._add_api, mounted
        )
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=_SHUTDOWN_S,
            keepalive_timeout=_KEPT_ALIVE_S,
        )
        await runner.setup()
        assert runner.server is not None, "set up"
        loop = asyncio.get_running_loop()
        most = self._settings.web_max_clients + OTHER_CONNECTIONS
        doors = Doors(runner.server, most, self._load)
        tls = _tls(self._settings)
        server = await loop.create_server(
            doors,
            sock=listening,
            backlog=_BACKLOG,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else _HANDSHAKE_S,
        )
        tasks: list[asyncio.Task[None]] = []
        try:
            self._reader.start(loop)
            tasks += [
                asyncio.create_task(self._hub.run()),
                asyncio.create_task(Loader(self.fleet, self._history).run()),
                asyncio.create_task(self._reader.watch()),
            ]
            started()
            # None of them ends, unless by an error.
            for ended in (await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED))[0]:
                ended.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            server.close()
            doors.close()
            await asyncio.to_thread(self._reader.stop)
            await runner.cleanup()
            await self._history.close()

    def _add_api(self, app: web.Application) -> None:
        add_rest(app, self.fleet, self._history, self._raw, self._clock, self._status)


class PageThread:
    """Runs a Page in a thread with an event loop of its own."""

    def __init__(
        self,
        page: Page,
        settings: PageSettings,
        mounted: Mounted,
        failed: Callable[[str], None],
    ) -> None:
        """Set what runs. `failed` is called in the thread when the page has ended by an error."""
        self._page = page
        self._settings = settings
        self._mounted = mounted
        self._failed = failed
        self._thread: threading.Thread | None = None
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen, and return once requests are answered.

        Raises:
            UnavailableError: the port is taken, or the address is not this machine's.
            ConfigurationError: a file for TLS cannot be used.
        """
        _tls(self._settings)
        listening = listen(self._settings)
        self._thread = threading.Thread(
            target=self._run, args=(listening,), name="page", daemon=True
        )
        self._thread.start()
        self._started.wait(_START_TIMEOUT_S)

    def stop(self) -> None:
        """End the thread and wait for it. Safe where it was never started."""
        if self._thread is None:
            return
        if self._loop is not None and self._running is not None:
            with suppress(RuntimeError):  # The loop is closed: it has ended by itself.
                self._loop.call_soon_threadsafe(self._running.cancel)
        self._thread.join(_STOP_TIMEOUT_S)

    def _run(self, listening: socket.socket) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._until_stopped(listening))
        except asyncio.CancelledError:
            log.debug("the page has stopped")
        except FundingStreamError as error:
            self._failed(str(error))
        except Exception:
            log.exception("the page has failed")
            self._failed("the page has failed")
        finally:
            self._started.set()

    async def _until_stopped(self, listening: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._running = asyncio.ensure_future(
            self._page.run(listening, self._mounted, self._started.set)
        )
        await self._running


def listen(settings: PageSettings) -> socket.socket:
    """Return a socket that listens on the page's port.

    Raises:
        UnavailableError: the port is taken, or the address is not this machine's.
    """
    host, port = settings.web_host, settings.web_port
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, proto)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)
            listening.setblocking(False)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise UnavailableError(
            f"port {port} for the status page is not free on {host} ({error.strerror}): stop what "
            "listens there, or set FUNDING_WEB_PORT"
        ) from error
    return listening


def _tls(settings: PageSettings) -> ssl.SSLContext | None:
    """Return what https is served with; None: http. Raises ConfigurationError."""
    if not settings.web_certificate_file:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Without a password function OpenSSL would ask on the terminal.
        context.load_cert_chain(settings.web_certificate_file, settings.web_key_file, lambda: "")
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"FUNDING_WEB_CERTIFICATE_FILE {settings.web_certificate_file} and "
            f"FUNDING_WEB_KEY_FILE {settings.web_key_file} cannot be used ({error}): give PEM "
            "files, the key without a password"
        ) from error
    return context
