"""What describes an exchange: data and a few pure functions. All behaviour lives elsewhere, once.

A new exchange is a module in this package with an `EXCHANGE` that satisfies `Exchange`. Not
responsible for: sockets, clocks, retries (connection.py, rest.py, feed.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol


class Slice(NamedTuple):
    """A piece of a message, byte for byte, and the contract that it is about."""

    symbol: str | None
    payload: bytes


class Frame(NamedTuple):
    """A WebSocket message, read just far enough to route it.

    `control`: acks, pongs, errors; they say nothing about health.
    """

    channel: str
    slices: Sequence[Slice]
    control: bool = False


class Listing(NamedTuple):
    """A contract in the exchange's list. `streaming`: it should deliver rates now."""

    symbol: str
    streaming: bool


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A budget in the exchange's own unit: at most `limit` in any `window_s`."""

    limit: int
    window_s: float


@dataclass(frozen=True, slots=True)
class RestCall:
    """A GET. `costs` are drawn from the pools of the exchange's host."""

    resource: str
    """Name of the resource: the channel of what it returns."""
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    costs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SocketPlan:
    """One socket: where to connect, what to send first, whom to expect on it."""

    name: str
    path: str
    subscribe: tuple[str, ...] = ()
    symbols: frozenset[str] | None = None
    """None: every streaming contract."""


HeartbeatKind = Literal["server_ping"]
"""server_ping: the server sends protocol pings, which the WebSocket library answers."""


class HistoryPage(NamedTuple):
    """What one page of settled rates told: rows to publish, and contracts that are complete."""

    slices: Sequence[Slice]
    rows: int


class HistoryWalk(Protocol):
    """A pure walk over settled history: asks for pages until it has them all."""

    def next_call(self) -> RestCall | None:
        """Return the next page's call, or None when done."""
        ...

    def take(self, body: bytes) -> HistoryPage:
        """Take the reply to the last call."""
        ...

    @property
    def progress(self) -> float:
        """Share done, 0 to 1."""
        ...

    @property
    def position_ms(self) -> int:
        """All settlements before this time (ms) were taken: where another walk may resume."""
        ...


class Exchange(Protocol):
    """One exchange's description."""

    feed: str
    ws_url: str
    rest_url: str
    heartbeat: HeartbeatKind
    silent_s: float
    """A socket without a data frame for this long is dead."""
    max_age_s: float
    """A connection is replaced before this age."""
    limits: Mapping[str, RateLimit]
    """Pools by name."""
    fact_calls: Sequence[RestCall]
    """Calls whose replies list the contracts and their facts."""
    snapshot_calls: Sequence[RestCall]
    """Calls that return the current rate of every contract."""

    def sockets(self, symbols: Sequence[str]) -> Sequence[SocketPlan]:
        """Split contracts over connections within the exchange's limits."""
        ...

    def slice_frame(self, data: bytes) -> Frame:
        """Cut a WebSocket message into pieces. Raises MalformedInputError."""
        ...

    def slice_reply(self, call: RestCall, body: bytes) -> Sequence[Slice]:
        """Cut a REST reply into pieces. Raises MalformedInputError."""
        ...

    def listings(self, call: RestCall, slices: Sequence[Slice]) -> Iterable[Listing] | None:
        """Read which contracts a fact reply lists; None: it does not say."""
        ...

    def history(self, symbols: Sequence[str], since_ms: int, until_ms: int) -> HistoryWalk:
        """Return a walk over the settled rates in [since_ms, until_ms]."""
        ...

    def used(self, headers: Mapping[str, str]) -> Mapping[str, int]:
        """Read from reply headers what the exchange counts as used, by pool."""
        ...
