"""All sockets of a feed: opened as its contracts need them, each contract on one of each kind.

Which contract goes to which socket is decided by producers/policy/sharding.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet

from producers.exchanges.spec import Exchange, SocketKind
from producers.policy.endpoints import Endpoints
from producers.policy.sharding import allocate
from producers.policy.throttle import Throttle
from producers.rest.client import RestClient
from producers.websocket.config import DEFAULT_CONFIG, ConnectionConfig
from producers.websocket.connection import Address, ConnectionCallbacks, ManagedConnection
from schemas.backoff import Backoff
from schemas.clock import Clock

log = logging.getLogger(__name__)


class ConnectionPool:
    """The managed connections of one feed."""

    def __init__(
        self,
        exchange: Exchange,
        endpoints: Endpoints,
        rest: RestClient,
        callbacks: ConnectionCallbacks,
        clock: Clock,
        random: Callable[[], float],
        *,
        secondary: bool,
        spares: int = 0,
        config: ConnectionConfig = DEFAULT_CONFIG,
    ) -> None:
        """`random` returns numbers in [0, 1), for the delays between attempts.

        `secondary`: also open the sockets of the exchange's second source. `spares`: how many
        further connections each socket of the first source has, with the same subscriptions.
        """
        self._exchange = exchange
        self._endpoints = endpoints
        self._rest = rest
        self._callbacks = callbacks
        self._clock = clock
        self._random = random
        self._config = config
        self._secondary = secondary
        self._spares = spares
        self._frames = Throttle(exchange.frames_per_s)
        self._attempts = Throttle(config.attempts_per_s)
        self._rotating = asyncio.Lock()
        self._all_of: dict[str, frozenset[str]] = {}
        """By the name of the socket kind: the contracts that belong to it."""
        self._connections: dict[str, list[list[ManagedConnection]]] = {}
        """By the name of the socket kind and the number of the socket: its first connection and its
        spares."""

    def __iter__(self) -> Iterator[ManagedConnection]:
        """Yield every connection."""
        for pool in self._connections.values():
            for connections in pool:
                yield from connections

    def sync(
        self, tasks: asyncio.TaskGroup, subscribed: frozenset[str], streaming: frozenset[str]
    ) -> None:
        """Subscribe to these contracts, on the sockets that are up and on new ones if needed.

        `streaming`: those of them that should deliver. Connections that are new run as tasks of
        the group.
        """
        for kind in self._exchange.socket_kinds:
            self._all_of[kind.name] = frozenset(filter(kind.takes, subscribed))
            if kind.secondary and not self._secondary:
                continue
            pool = self._connections.setdefault(kind.name, [])
            shards = allocate(kind, [s[0].wanted for s in pool], subscribed, streaming)
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
                    # The second source needs no spares, since it is one for the first source.
                    number = 1 if kind.secondary else 1 + self._spares
                    pool.append([self._connection(kind, index, spare) for spare in range(number)])
                    for connection in pool[index]:
                        tasks.create_task(connection.run())
                for connection in pool[index]:
                    connection.want(symbols, symbols & streaming)

    def taken(self, identity: str) -> AbstractSet[str]:
        """Return the contracts that the exchange has taken on a connection; none if it has ended.

        All of its kind where a connection carries them without subscribing each.
        """
        for kind, pool in self._connections.items():
            for connections in pool:
                for connection in connections:
                    session = connection.session(identity)
                    if session is not None:
                        return self._all_of[kind] if session.taken is None else session.taken
        return frozenset()

    def _connection(self, kind: SocketKind, index: int, spare: int) -> ManagedConnection:
        name = f"{kind.name}-{index + 1}" if index else kind.name
        return ManagedConnection(
            self._exchange.feed,
            f"{name}-spare-{spare}" if spare else name,
            kind,
            self._address(kind),
            self._callbacks,
            self._clock,
            Backoff(self._random),
            opening=() if index else kind.opening,
            frames=self._frames,
            attempts=self._attempts,
            rotating=self._rotating,
            replaces_part=self._exchange.quiet_every_s is None,
            config=self._config,
        )

    def _address(self, kind: SocketKind) -> Address:
        candidates = list(dict.fromkeys(map(self._endpoints.socket, kind.urls)))

        async def address(attempt: int) -> str:
            if kind.ticket is None:
                return candidates[attempt % len(candidates)]
            body = await self._rest.fetch(kind.ticket.call)
            return self._endpoints.socket(kind.ticket.url(body, str(self._clock.now_us())))

        return address

    def ask_again(self, symbols: frozenset[str]) -> None:
        """Subscribe anew to contracts whose changes are not pushed, where each is subscribed."""
        for connection in self:
            connection.ask_again(symbols)

    @property
    def open(self) -> int:
        """Connections that are open."""
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
        """Contracts whose subscription is held back now."""
        now_s = self._clock.monotonic_s()
        return sum(connection.quarantine.held(now_s) for connection in self)

    @property
    def quarantined(self) -> int:
        """How often the subscription of a contract was held back."""
        return sum(connection.quarantine.total for connection in self)

    @property
    def replies(self) -> int:
        """Answers to pings of the exchange that were sent."""
        return sum(connection.replies.total for connection in self)

    @property
    def replies_refused(self) -> int:
        """Answers that were not sent, because they were too many or too long."""
        return sum(connection.replies.refused for connection in self)
