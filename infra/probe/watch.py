"""Watches an exchange for some seconds: its sockets, and a few REST calls, without Kafka.

The sockets, subscriptions, limits and slicers are those of the producers. Limits are counted by
this process alone: a producer of the same address has its own count.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import aiohttp

from infra.probe.observation import MAX_EVENTS, Call, Observation, Socket
from producers.exchanges.spec import Exchange, Listing, RestCall, Slice
from producers.policy.endpoints import Endpoints
from producers.policy.merging import Merging
from producers.policy.rate_limiter import RateLimiter
from producers.rest.client import RestClient, RestError, http_session
from producers.settings import ProducerSettings
from producers.websocket.connection import Closed, ConnectionCallbacks
from producers.websocket.pool import ConnectionPool
from producers.websocket.session import FrameOutcome
from schemas.clock import Clock
from schemas.errors import MalformedInputError
from schemas.text import one_line
from schemas.times import MS_PER_DAY, US_PER_MS

_MS_PER_S = 1_000.0


async def watch(
    exchange: Exchange,
    settings: ProducerSettings,
    seconds: float,
    contracts: int | None,
    clock: Clock,
) -> Observation:
    """Return what an exchange has sent in `seconds`, which begin when its contracts are listed.

    `contracts`: of so many at most, the first by name; None: of all that should deliver. What fails
    stands in the observation.
    """
    observation = Observation(
        exchange.feed,
        bool(settings.exchange_base_url),
        seconds,
        exchange.documented,
        {pool: limit.limit for pool, limit in exchange.limits.items()},
    )
    async with http_session(_trace(exchange, observation, clock)) as session:
        watcher = _Watcher(exchange, settings, session, observation, clock)
        await watcher.ask(contracts)
        if observation.listed:
            await watcher.listen()
        observation.clock_ahead_s = watcher.rest.clock_ahead_s
    return observation


class _Watcher:
    """Asks and listens to one exchange, and notes what comes."""

    def __init__(
        self,
        exchange: Exchange,
        settings: ProducerSettings,
        session: aiohttp.ClientSession,
        observation: Observation,
        clock: Clock,
    ) -> None:
        self._exchange = exchange
        self._observation = observation
        self._clock = clock
        self._endpoints = Endpoints(exchange.feed, settings.exchange_base_url)
        self.rest = RestClient(
            exchange,
            self._endpoints.rest(exchange.rest_url),
            session,
            RateLimiter(exchange.limits),
            clock,
        )
        self._started_s = clock.monotonic_s()
        self._sockets: dict[str, Socket] = {}
        self._merging = Merging(exchange.row_fields, exchange.row_terms)

    async def ask(self, contracts: int | None) -> None:
        """Ask for the list of contracts, for current rates, and for a page of one's history."""
        listings: list[Listing] = []
        for call in self._exchange.fact_calls:
            slices = await self._call(call)
            listings += self._exchange.listings(call, slices) or ()
        streaming = sorted({entry.symbol for entry in listings if entry.streaming})[:contracts]
        self._observation.listed = frozenset(streaming)
        if not streaming:
            if not self._observation.problems:
                self._observation.problem("no contract is listed that should deliver")
            return
        facts = {call.resource for call in self._exchange.fact_calls}
        for call in self._exchange.snapshot_calls(streaming[:1]):
            if call.resource not in facts:
                await self._call(call)
        keys = {entry.symbol: entry.key for entry in listings if entry.key}
        await self._history(streaming[0], keys)

    async def _history(self, symbol: str, keys: Mapping[str, str]) -> None:
        now_ms = self._clock.now_us() // US_PER_MS
        walk = self._exchange.history((symbol,), now_ms - MS_PER_DAY, now_ms, keys)
        call = walk.next_call()
        if call is None:
            return
        try:
            body = await self.rest.fetch(call)
            self._take(call, body, walk.take(body).slices)
        except (RestError, MalformedInputError) as error:
            self._observation.problem(f"{call.resource}: {error}")

    async def _call(self, call: RestCall) -> list[Slice]:
        """Make a call and note its reply; return the pieces that could be read."""
        try:
            body = await self.rest.fetch(call)
            slices = list(self._exchange.slice_reply(call, body))
        except (RestError, MalformedInputError) as error:
            self._observation.problem(f"{call.resource}: {error}")
            return []
        self._take(call, body, slices)
        return [piece for piece in slices if piece.readable]

    def _take(self, call: RestCall, body: bytes, slices: Any) -> None:
        channel, at_us = self._observation.resource(call.resource), self._clock.now_us()
        channel.frame(len(body))
        for piece in slices:
            channel.take(piece.symbol, piece.payload, at_us)

    async def listen(self) -> None:
        """Keep the sockets of the listed contracts up until the time is over."""
        pool = ConnectionPool(
            self._exchange,
            self._endpoints,
            self.rest,
            ConnectionCallbacks(self._on_frame, self._on_close, self._on_open),
            self._clock,
            random.random,
            secondary=True,
        )
        listed = self._observation.listed
        self._started_s = self._clock.monotonic_s()
        listening = asyncio.create_task(_keep_up(pool, listed))
        await asyncio.wait({listening}, timeout=self._observation.seconds)
        listening.cancel()
        ended = (await asyncio.gather(listening, return_exceptions=True))[0]
        if ended is not None and not isinstance(ended, asyncio.CancelledError):
            raise ended

    def _since_start_ms(self) -> float:
        return (self._clock.monotonic_s() - self._started_s) * _MS_PER_S

    def _on_open(self, name: str, identity: str) -> None:
        socket = self._sockets[identity] = Socket(name, self._since_start_ms())
        if len(self._observation.sockets) < MAX_EVENTS:
            self._observation.sockets.append(socket)

    def _on_close(self, closed: Closed) -> None:
        if self._since_start_ms() < self._observation.seconds * _MS_PER_S:
            self._observation.problem(f"socket {closed.socket} was closed: {closed.reason}")

    async def _on_frame(self, identity: str, message: bytes, received_at: int) -> FrameOutcome:
        try:
            frame = self._exchange.slice_frame(message)
        except MalformedInputError as error:
            self._observation.without_data("unreadable")
            self._observation.problem(f"a frame cannot be read: {one_line(str(error))}")
            return FrameOutcome(data=False)
        if frame.unknown is not None:
            self._observation.without_data(f"unknown: {one_line(frame.unknown, 40)}")
        if frame.control is not None:
            self._observation.without_data(_name_of(frame.control))
            if frame.control.refused:
                self._observation.problem(f"refused: {one_line(message.decode(errors='replace'))}")
            return FrameOutcome(data=False, control=frame.control)
        if not frame.slices:
            if frame.unknown is None:
                self._observation.without_data("without a rate")
            return FrameOutcome(data=frame.unknown is None)
        socket = self._sockets[identity]
        if socket.data_ms is None:
            socket.data_ms = self._since_start_ms()
        channel = self._observation.stream(frame.channel)
        channel.frame(len(message))
        slices, _ = self._merging.complete(identity, frame.slices)
        for piece in slices:
            channel.take(piece.symbol, piece.payload, received_at)
        symbols = [piece.symbol for piece in slices if piece.symbol is not None]
        return FrameOutcome(data=True, symbols=symbols)


async def _keep_up(pool: ConnectionPool, symbols: frozenset[str]) -> None:
    """Run the connections until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        pool.sync(tasks, symbols, symbols)


def _name_of(control: Any) -> str:
    if control.greeting:
        return "greeting"
    if control.refused:
        return "refused"
    return "acknowledged" if control.acknowledged else "ack or pong"


def _trace(exchange: Exchange, observation: Observation, clock: Clock) -> aiohttp.TraceConfig:
    """Return what notes how long each reply took, and what its headers count as used."""
    trace = aiohttp.TraceConfig()

    async def begun(_session: Any, context: Any, _request: Any) -> None:
        context.begun_s = clock.monotonic_s()

    async def answered(_session: Any, context: Any, reply: Any) -> None:
        took_ms = (clock.monotonic_s() - context.begun_s) * _MS_PER_S
        used = dict(exchange.used(reply.response.headers))
        call = Call(reply.url.path, reply.response.status, took_ms, used)
        if len(observation.calls) < MAX_EVENTS:
            observation.calls.append(call)

    trace.on_request_start.append(begun)
    trace.on_request_end.append(answered)
    return trace
