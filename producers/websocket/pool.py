"""All sockets of a feed: opened as its contracts need them, each contract on one of each source.

Not responsible for: one socket's life (connection.py), which socket takes whom (allocation.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator

from producers.exchanges.spec import Exchange, SocketKind
from producers.policy.endpoints import Endpoints
from producers.policy.sharding import allocate
from producers.policy.throttle import Throttle
from producers.rest.client import RestClient
from producers.websocket.connection import Address, ConnectionCallbacks, ManagedConnection
from schemas.clock import now_us

log = logging.getLogger(__name__)

ATTEMPTS_PER_S = 0.5
"""New connections of a feed: within the 30 a minute of the strictest exchange (§4.4)."""


class ConnectionPool:
    """The managed connections of one feed."""

    def __init__(
        self,
        exchange: Exchange,
        endpoints: Endpoints,
        rest: RestClient,
        watcher: ConnectionCallbacks,
        *,
        secondary: bool,
        spares: int = 0,
    ) -> None:
        """`secondary`: also open the second source. `spares`: connections of each other socket
        beyond the first, with the same subscriptions.
        """
        self._exchange = exchange
        self._endpoints = endpoints
        self._rest = rest
        self._watcher = watcher
        self._secondary = secondary
        self._spares = spares
        self._frames = Throttle(exchange.frames_per_s)
        self._attempts = Throttle(ATTEMPTS_PER_S)
        self._relief = asyncio.Lock()
        self._connections: dict[str, list[list[ManagedConnection]]] = {}
        """By kind and index; each socket has its first connection and its spares."""

    def __iter__(self) -> Iterator[ManagedConnection]:
        """Yield every connection."""
        for pool in self._connections.values():
            for connections in pool:
                yield from connections

    def sync(self, tasks: asyncio.TaskGroup, streaming: frozenset[str]) -> None:
        """Have these contracts subscribed: on the sockets that are up, and on more if need be."""
        for kind in self._exchange.socket_kinds:
            if kind.secondary and not self._secondary:
                continue
            pool = self._connections.setdefault(kind.name, [])
            shards = allocate(kind, [s[0].wanted for s in pool], streaming)
            if shards.surplus:
                log.warning(
                    "%s: no room on sockets %r for %d contracts, among them %s",
                    self._exchange.feed,
                    kind.name,
                    len(shards.surplus),
                    min(shards.surplus),
                )
            for index, symbols in enumerate(shards.pool):
                if index == len(pool):
                    # A second source is a spare by itself.
                    number = 1 if kind.secondary else 1 + self._spares
                    pool.append([self._connection(kind, index, spare) for spare in range(number)])
                    for connection in pool[index]:
                        tasks.create_task(connection.run())
                for connection in pool[index]:
                    connection.want(symbols)

    def _connection(self, kind: SocketKind, index: int, spare: int) -> ManagedConnection:
        name = f"{kind.name}-{index + 1}" if index else kind.name
        return ManagedConnection(
            self._exchange.feed,
            f"{name}-spare-{spare}" if spare else name,
            kind,
            self._address(kind),
            self._watcher,
            opening=() if index else kind.opening,
            frames=self._frames,
            attempts=self._attempts,
            relief=self._relief,
        )

    def _address(self, kind: SocketKind) -> Address:
        candidates = list(dict.fromkeys(map(self._endpoints.socket, kind.urls)))

        async def address(attempt: int) -> str:
            if kind.ticket is None:
                return candidates[attempt % len(candidates)]
            body = await self._rest.fetch(kind.ticket.call)
            return self._endpoints.socket(kind.ticket.url(body, str(now_us())))

        return address

    @property
    def open(self) -> int:
        """Sockets that are open."""
        return sum(connection.open for connection in self)

    @property
    def attempts(self) -> int:
        """Attempts to connect so far."""
        return sum(connection.attempts for connection in self)

    @property
    def connects(self) -> int:
        """Successful connects so far."""
        return sum(connection.connects for connection in self)

    @property
    def held_back(self) -> int:
        """Contracts that are in quarantine now."""
        now_s = time.monotonic()
        return sum(connection.quarantine.held(now_s) for connection in self)

    @property
    def quarantined(self) -> int:
        """How often a contract was put in quarantine."""
        return sum(connection.quarantine.total for connection in self)
