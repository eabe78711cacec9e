"""Hosts simulated exchanges on one port: HTTP, WebSocket, ticks, truth and faults.

Each feed is served below `/<feed>`, followed by the exchange's own paths. Beside them are
`/healthz`, `/stats` and `/control` (control.py). The server runs the sockets, times the ticks,
records what was sent, and ends everything in order; protocols are the exchanges'.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

from aiohttp import web

from infra.simulator.exchange import Exchange, Frame, RestCall, RestReply, SettledRate, Tick
from infra.simulator.faults import replies
from infra.simulator.faults.book import Running
from infra.simulator.faults.control import FaultControl
from infra.simulator.faults.frames import FrameFaults
from infra.simulator.faults.schedule import Entry
from infra.simulator.market.truth import Delivery, TruthLog
from infra.simulator.server import control
from infra.simulator.server.connection import ClientConnection
from schemas.errors import UnavailableError
from schemas.http.server import guard, quiet_malformed_requests

_LEAD_S = 0.02  # a tick is computed this long before its event time
_FLUSH_S = 0.25
_HOUSEKEEPING_S = 1.0
_DRAIN_S = 5.0
_MAX_BODY_BYTES = 65_536
_NO_SOCKETS = ("refuse-ws", "maintenance")


class SimulatorServer:
    """All feeds of one simulator process.

    Args:
        exchanges: the feeds to host.
        truth: where to record what was sent.
        host, port: where to listen; port 0 takes a free one.
        tls: serve wss and https.
        wall_ns: the wall clock, in ns; tests shift it to reach a funding time.
        housekeeping_s: how often heartbeats and ages are looked at.
        faults: begun one by one, from the start on.
        truth_missed: record as well what nobody got.
        allowed_hosts: names, beside addresses and localhost, by which clients call the server.
    """

    def __init__(
        self,
        exchanges: Sequence[Exchange],
        truth: TruthLog,
        *,
        host: str = "127.0.0.1",
        port: int = 9443,
        tls: ssl.SSLContext | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
        housekeeping_s: float = _HOUSEKEEPING_S,
        faults: Sequence[Entry] = (),
        truth_missed: bool = False,
        allowed_hosts: Collection[str] = (),
    ) -> None:
        self.host = host
        self.port = port
        self.counts: Counter[str] = Counter()
        self.connections: dict[str, set[ClientConnection]] = {e.name: set() for e in exchanges}
        self._exchanges = {exchange.name: exchange for exchange in exchanges}
        self.faults = FaultControl(
            self._exchanges, self.connections, truth, wall_ns, time.monotonic
        )
        self._planned = faults
        self._allowed_hosts = allowed_hosts
        self._opened = itertools.count()
        self._truth = truth
        self._truth_missed = truth_missed
        self._tls = tls
        self._wall_ns = wall_ns
        self._housekeeping_s = housekeeping_s
        self._runner: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Listen, record the history, and begin to tick."""
        quiet_malformed_requests()
        app = web.Application(
            client_max_size=_MAX_BODY_BYTES, middlewares=[guard(self._allowed_hosts)]
        )
        control.add_routes(app, self.faults, self._figures)
        for name in self._exchanges:
            for route in (f"/{name}", f"/{name}/{{path:.*}}"):
                app.router.add_route("*", route, self._feed_handler(name))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_DRAIN_S)
        await self._runner.setup()
        await self._listen(self._runner)
        for exchange in self._exchanges.values():
            self._record_settled(exchange.name, exchange.settled_at_start())
        self._truth.flush()
        self.faults.schedule(self._planned)
        self._tasks = [
            asyncio.create_task(loop, name=f"simulator-{n}")
            for n, loop in enumerate((
                *(self._tick(exchange) for exchange in self._exchanges.values()),
                self._flush(),
                self._keep_house(),
                self.faults.run(),
            ))
        ]  # fmt: skip

    async def run(self, stop: asyncio.Event) -> None:
        """After `start`: serve until asked to stop; a failing part ends it with its error."""
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([stopping, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            await self.stop()

    async def stop(self) -> None:
        """Stop ticking, send what is queued, close with 1001, write the truth."""
        tasks, self._tasks = self._tasks, []
        failed = [task.exception() for task in tasks if task.done() and not task.cancelled()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.faults.stopped()
        await asyncio.gather(
            *(c.finish(1001, "Going away", _DRAIN_S) for c in self._open_connections())
        )
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self._truth.flush()
        for error in failed:
            if error is not None:
                raise error

    def _figures(self) -> dict[str, object]:
        """Return what `/stats` shows."""
        return {
            "counts": dict(sorted(self.counts.items())),
            "connections": {
                feed: [list(c.session.subscribed())[:16] for c in connections]
                for feed, connections in self.connections.items()
            },
            "faults": self.faults.names(),
        }

    def _open_connections(self) -> list[ClientConnection]:
        return [connection for opened in self.connections.values() for connection in opened]

    async def _listen(self, runner: web.AppRunner) -> None:
        site = web.TCPSite(runner, self.host, self.port, ssl_context=self._tls)
        try:
            await site.start()
        except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host
            await runner.cleanup()
            taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            reason = "the port is in use" if taken else getattr(error, "strerror", error)
            where = f"{self.host}:{self.port}"
            message = f"simulator cannot listen on {where}: {reason}; choose another --port"
            raise UnavailableError(message) from error
        self.port = runner.addresses[0][1]

    def _feed_handler(self, name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        exchange = self._exchanges[name]

        async def handle(request: web.Request) -> web.StreamResponse:
            path = "/" + request.match_info.get("path", "")
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._socket(exchange, request, path)
            return await self._rest(exchange, request, path)

        return handle

    async def _rest(self, exchange: Exchange, request: web.Request, path: str) -> web.Response:
        self.counts[f"rest:{exchange.name}{path[:80]}" if len(self.counts) < 512 else "rest"] += 1
        call = RestCall(
            method=request.method,
            path=path,
            query=request.query,
            body=await request.read(),
            client_ip=request.remote or "",
            now_ms=self._wall_ns() // 1_000_000,
            base_url=f"{request.scheme}://{request.host}/{exchange.name}",
        )
        faults = self.faults.of(exchange.name)
        reply = await self._faulty(exchange, call, faults) if faults else exchange.rest(call)
        if reply is None:
            return _cut(request)
        return web.Response(
            body=reply.body,
            status=reply.status,
            headers=reply.headers,
            content_type=reply.content_type,
        )

    async def _faulty(
        self, exchange: Exchange, call: RestCall, faults: Sequence[Running]
    ) -> RestReply | None:
        """The answer while faults run; None: cut TCP."""
        delay_s = sum(fault.get("delay_s") for fault in faults if fault.kind == "slow-rest")
        if delay_s:
            await asyncio.sleep(delay_s)
        refusing = next((f for f in faults if f.kind in replies.REFUSING), None)
        if refusing is None:
            return replies.changed(exchange.rest(call), exchange.wire, faults, call)
        self.counts[f"refused-rest:{exchange.name}"] += 1
        if refusing.get("how") == "cut":
            return None
        return replies.refusal(exchange, refusing, call)

    async def _socket(
        self, exchange: Exchange, request: web.Request, path: str
    ) -> web.StreamResponse:
        refusing = self.faults.first(exchange.name, *_NO_SOCKETS)
        if refusing is not None:
            self.counts[f"refused:{exchange.name}"] += 1
            if refusing.get("how") == "cut":
                return _cut(request)
            return web.Response(status=503, text="Service Unavailable")
        session = exchange.session(path, request.query)
        if session is None:
            return web.Response(status=404, text="Not Found")
        ws = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=_MAX_BODY_BYTES)
        await ws.prepare(request)
        connection = ClientConnection(
            next(self._opened),
            ws,
            request.transport,
            session,
            self._recorder(exchange.name),
            self._wall_ns,
            FrameFaults(exchange.wire),
        )
        self.connections[exchange.name].add(connection)
        self.faults.opened(exchange.name, connection)
        self.counts[f"opened:{exchange.name}"] += 1
        try:
            await connection.run()
        finally:
            self.connections[exchange.name].discard(connection)
        return ws

    def _recorder(self, feed: str) -> Callable[[Frame, int], None]:
        def record_sent(frame: Frame, sent_us: int) -> None:
            assert frame.ledger is not None
            lines = frame.ledger.claim(frame.rows, sent_us, frame.shift_us)
            self.counts[f"frames:{feed}"] += 1
            self.counts[f"updates:{feed}"] += len(lines)
            self._truth.updates(feed, lines)

        return record_sent

    async def _tick(self, exchange: Exchange) -> None:
        """Compute each tick just before its event time, publish it right then.

        A process that was held up skips the ticks it missed, as an exchange under load does.
        """
        tick_ms, phase_ms = exchange.tick_ms, exchange.phase_ms
        at_ms = _grid_ms(self._wall_ns() // 1_000_000, tick_ms, phase_ms) + tick_ms
        while True:
            await self._sleep_until(at_ms, _LEAD_S)
            tick = exchange.prepare(at_ms)
            outgoing = [
                (connection, list(tick.frames(connection.session)))
                for connection in self.connections[exchange.name]
            ]
            await self._sleep_until(tick.event_ms, 0.0)
            tick.published()
            self._publish(exchange.name, tick, outgoing)
            settled = self._record_settled(exchange.name, exchange.settle(at_ms))
            self.counts[f"settled:{exchange.name}"] += settled
            self.counts[f"ticks:{exchange.name}"] += 1
            now_ms = self._wall_ns() // 1_000_000
            at_ms = max(at_ms, _grid_ms(now_ms, tick_ms, phase_ms)) + tick_ms

    def _publish(
        self,
        feed: str,
        tick: Tick,
        outgoing: Sequence[tuple[ClientConnection, Sequence[Frame]]],
    ) -> None:
        delivery = self._followed(feed, tick) if self._truth_missed else None
        is_faulty = bool(self.faults.of(feed))
        for connection, frames in outgoing:
            faults = self.faults.on_frames(feed, connection.number) if is_faulty else ()
            for frame in frames:
                connection.publish(frame, faults)
        if delivery is not None:
            delivery.released()

    def _followed(self, feed: str, tick: Tick) -> Delivery | None:
        """The delivery that records the missed updates of a tick; None when it has no updates."""
        rows = tick.rows()
        if not rows:
            return None
        otherwise = "unsubscribed" if self.connections[feed] else "no socket"
        if not self.connections[feed] and self.faults.first(feed, *_NO_SOCKETS) is not None:
            otherwise = "fault"

        def record(lines: Sequence[str]) -> None:
            self.counts[f"missed:{feed}"] += len(lines)
            self._truth.missed(feed, lines)

        published_us = self._wall_ns() // 1_000
        return Delivery(tick.ledgers(), rows, published_us, otherwise, record)

    def _record_settled(self, feed: str, settled: Iterable[SettledRate]) -> int:
        count = 0
        for rate in settled:
            count += 1
            self._truth.settlement(
                f"{feed}:{rate.symbol}",
                rate.funding_ms * 1_000,
                rate.rate,
                rate.interval_hours,
                special=rate.special,
            )
        return count

    async def _sleep_until(self, wall_ms: int, lead_s: float) -> None:
        # Re-read the clock after each sleep: timers may fire a little early.
        while True:
            left_s = wall_ms / 1_000 - lead_s - self._wall_ns() / 1e9
            if left_s <= 0:
                return
            await asyncio.sleep(left_s)

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            self._truth.flush()

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(self._housekeeping_s)
            for connection in self._open_connections():
                connection.housekeeping()


def _grid_ms(now_ms: int, tick_ms: int, phase_ms: int) -> int:
    """Return the time of the newest tick of a grid."""
    return (now_ms - phase_ms) // tick_ms * tick_ms + phase_ms


def _cut(request: web.Request) -> web.Response:
    """End a request by cutting TCP: the answer has nowhere to go."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)
