"""The shape of a simulated exchange: what the folder of one more exchange has to bring.

These are the interfaces between an exchange's folder (protocol and texts, without I/O and clocks)
and the server (sockets, ticks, truth, faults). The module that a feed's registration names holds a
`SIMULATED`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from infra.simulator.market.history import SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Market
from infra.simulator.market.truth import TickLedger
from infra.simulator.options import OwnOption, SimulatorOptions
from infra.simulator.wire_fields import Wire


@dataclass(frozen=True, slots=True)
class Frame:
    """One WebSocket data frame, and the contract updates in it (none in an ack)."""

    payload: bytes
    binary: bool = False
    ledger: TickLedger | None = None
    rows: Sequence[int] = ()
    shift_us: int = 0
    """How far its times were moved from those of the ledger."""

    def taken(self) -> Frame:
        """A connection holds it now; each `taken` is followed by one `released`."""
        if self.ledger is not None and self.ledger.delivery is not None:
            self.ledger.delivery.took()
        return self

    def released(self) -> None:
        """A connection has sent or lost it."""
        if self.ledger is not None and self.ledger.delivery is not None:
            self.ledger.delivery.released()

    def blame(self, rows: Sequence[int] | None = None) -> None:
        """A fault keeps updates (None: all of it) from a client."""
        if self.ledger is not None and self.ledger.delivery is not None:
            self.ledger.delivery.blame(self.rows if rows is None else rows)


@dataclass(frozen=True, slots=True)
class Close:
    """The exchange ends the connection with this code; 1006 cuts TCP without a farewell."""

    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SocketRules:
    """What an exchange demands of a connection; the server enforces it.

    Attributes:
        ping_every_s: the server sends a protocol PING this often; 0 never.
        pong_within_s: and closes when no matching PONG came for so long.
        messages_per_s: incoming frames of any kind in one second; more closes the connection.
        messages_per_10_s: the same in ten seconds.
        silence_s: cuts the connection when the client sent no message for so long; 0 never.
            PINGs and PONGs of the WebSocket protocol are not messages.
        max_age_s: closes a connection of that age; 0 never.
    """

    ping_every_s: float = 0.0
    pong_within_s: float = 0.0
    messages_per_s: int = 0
    messages_per_10_s: int = 0
    silence_s: float = 0.0
    max_age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RestCall:
    """One HTTP request below the feed's prefix; `query` holds decoded values.

    `base_url` is how the client reached the feed: `http://127.0.0.1:9443/my-venue`.
    """

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes
    client_ip: str
    now_ms: int
    base_url: str = ""


@dataclass(frozen=True, slots=True)
class RestReply:
    """The answer, complete."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


class SettledRate(NamedTuple):
    """One new settlement, for the truth. `rate` is the text on the wire.

    `special`: extra funding beside the regular settlement of the same funding time.
    """

    symbol: str
    funding_ms: int
    rate: str
    interval_hours: int
    special: bool = False


class Session(Protocol):
    """The protocol state of one connection. No I/O. `rules` may change with its state."""

    rules: SocketRules

    def opened(self) -> Sequence[Frame | Close]:
        """Greet a new connection, or refuse it."""
        ...

    def on_text(self, text: str, now_ms: int) -> Sequence[Frame | Close]:
        """Answer a text frame."""
        ...

    def on_binary(self, data: bytes, now_ms: int) -> Sequence[Frame | Close]:
        """Answer a binary frame."""
        ...

    def subscribed(self) -> Sequence[str]:
        """The streams of this connection, for `/stats`."""
        ...


class Tick(Protocol):
    """What one tick brings, prepared ahead of its event time."""

    @property
    def event_ms(self) -> int:
        """When to publish: the latest event time in it."""
        ...

    def frames(self, session: Session) -> Iterable[Frame]:
        """The frames that this session's subscriptions ask for."""
        ...

    def published(self) -> None:
        """The tick is now the newest: REST answers show its values."""
        ...

    def ledgers(self) -> Sequence[TickLedger]:
        """Its entries in the truth; several where sockets tell the same with different times."""
        ...

    def rows(self) -> Sequence[int]:
        """The contracts that it has an update of, for whoever is subscribed."""
        ...


class Exchange(Protocol):
    """One simulated feed.

    Attributes:
        tick_ms: between two ticks.
        phase_ms: how far they are past the multiples of `tick_ms`.
    """

    name: str
    tick_ms: int
    phase_ms: int
    listings: Listings
    market: Market
    book: SettlementBook
    wire: Wire

    def session(self, path: str, query: Mapping[str, str]) -> Session | None:
        """Open a connection at a path below the feed's prefix; None answers 404."""
        ...

    def rest(self, call: RestCall) -> RestReply:
        """Answer an HTTP request."""
        ...

    def refusal(self, call: RestCall, status: int, retry_after_s: int | None) -> RestReply | None:
        """Refuse a call with a status as the exchange words it; None: its words are not known."""
        ...

    def maintenance(self, call: RestCall) -> RestReply | None:
        """Answer, during maintenance, a call for the exchange's own state; None: it is none."""
        ...

    def prepare(self, at_ms: int) -> Tick:
        """Compute the tick of a grid time (`phase_ms` past a multiple of `tick_ms`), just ahead."""
        ...

    def settled_at_start(self) -> Iterable[SettledRate]:
        """The history before the simulator started."""
        ...

    def settle(self, now_ms: int) -> Iterable[SettledRate]:
        """What has settled since the last call."""
        ...


class RowTexts(Protocol):
    """Rows of an exchange from given numbers, for load that no market model makes up."""

    stream: str
    """Channel of the updates."""
    history: str
    """Channel of settled rates."""

    def update(self, symbol: str, event_ms: int, next_ms: int, rate: float, price: float) -> bytes:
        """Return an update as the stream sends it."""
        ...

    def settlement(self, symbol: str, funding_ms: int, rate: float) -> bytes:
        """Return a settled rate as REST sends it."""
        ...

    def facts(self, symbol: str, quote: str, interval_hours: int) -> Mapping[str, bytes]:
        """Return what lists a contract, by channel."""
        ...


@dataclass(frozen=True, slots=True)
class Simulated:
    """A simulated exchange as its feed's registration finds it.

    Attributes:
        perpetuals: listed perpetuals of the real exchange, which set its share of a run's
            contracts.
        create: from the options of the process, the number of listed perpetuals and the time (ms);
            HELD_BACK more contracts come on top.
        wire: where faults find times, rates and symbols.
        options: of the command line, for this exchange alone; `SimulatorOptions.value` reads them.
        rows: for the worker's benchmarks; None: they load it with another exchange's.
    """

    perpetuals: int
    create: Callable[[SimulatorOptions, int, int], Exchange]
    wire: Wire
    options: Sequence[OwnOption] = ()
    rows: RowTexts | None = None
