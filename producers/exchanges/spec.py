"""What describes an exchange: data and a few pure functions. All behaviour lives elsewhere, once.

A feed's description is the `EXCHANGE` of the module that its `FeedSpec` names. It opens no sockets,
reads no clock and decides on no retries.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, Protocol

from schemas.contract_status import ContractStatus
from schemas.symbols import symbol_fault


class Slice(NamedTuple):
    """A piece of a message, byte for byte, and the contract that it is about.

    A row of an enveloped array (`{"T":…,"P":…,"d":[row, row]}`) is published with the bytes before
    the first row and behind the last one: valid JSON of the frame's form with a single row.
    """

    symbol: str | None
    payload: bytes
    readable: bool = True
    """False: a row that could not be read, cut out of a message whose other rows could. It belongs
    to no contract and goes to the dead letters."""
    terms: bytes | None = None
    """Rate, interval and next funding time as they stand in the row, for a feed that is thinned
    (`schemas.feed_spec.FeedSpec.thinned`); None: the piece is always published."""
    partial: Partial | None = None
    """Set where `payload` is a row that names only the fields that have changed."""
    event_us: int | None = None
    """When the exchange made the row, where the rows of a frame have times of their own."""


class Partial(NamedTuple):
    """Completes a row that names only what has changed since the one before on its connection.

    The fields that were sent before and are missing in the row are added to it, each with the bytes
    that the exchange sent. What is published is `head`, the completed row and `tail`. The fields
    that are kept are `Exchange.row_fields`.
    """

    head: bytes
    tail: bytes
    whole: bool
    """True: the row has all fields, and replaces what was known."""


def unreadable(slices: Iterable[Slice]) -> list[Slice]:
    """Return the pieces that go to the dead letters."""
    return [piece for piece in slices if not piece.readable]


def piece_of(symbol: str | None, payload: bytes) -> Slice:
    """Return the piece of a contract; what cannot be a symbol makes it an unreadable one."""
    if symbol is None or symbol_fault(symbol) is None:
        return Slice(symbol, payload)
    return Slice(None, payload, readable=False)


class Control(NamedTuple):
    """What a frame without data says of its connection. It says nothing about health."""

    greeting: bool = False
    """The exchange's first frame, to be waited for where `SocketKind.greeting_timeout_s` is set."""
    ping_every_s: float | None = None
    """How often the greeting asks for a ping."""
    acknowledged: tuple[str, ...] = ()
    """The contracts whose subscriptions are confirmed, as far as the exchange names them."""
    refused: bool = False
    """The exchange says that something we sent was wrong."""
    refused_symbols: tuple[str, ...] = ()
    """The contracts that a refusal names."""
    of_contracts: bool = True
    """False: what is refused is how much or how often we ask, whichever contracts it is about."""
    answers: str = ""
    """`SubscribeFrame.identity` of the text that it answers, where the exchange repeats it."""
    reply: str | None = None
    """A text that the exchange wants back at once, on the same connection: the answer to a ping
    that is not one of the WebSocket protocol."""
    ends: bool = False
    """The exchange will soon end the connection: another one is to take over from it before."""


class Frame(NamedTuple):
    """A WebSocket message, read just far enough to route it."""

    channel: str
    slices: Sequence[Slice]
    control: Control | None = None
    """Acks, pongs, errors: never health, never published."""
    published: bool = True
    """False: it keeps its socket alive and carries no rate; counted, not published."""
    event_us: int | None = None
    """When the exchange made it, by its clock; None: the frame does not say."""
    sequence: int | None = None
    """A number that grows by one with each message of a connection, where the exchange counts them:
    a hole means that a message was lost, and rows that name changes alone can no longer be
    completed."""
    unknown: str | None = None
    """Name of an event or channel in it that we do not read. What belongs to it is left out: it is
    counted and logged once, is no health, and makes no dead letters."""


class Listing(NamedTuple):
    """A contract in the exchange's list."""

    symbol: str
    status: ContractStatus
    key: str = ""
    """What requests call the contract where that is not its symbol: a number, for example."""

    @property
    def streaming(self) -> bool:
        """True if it should deliver rates now, so that its silence is a gap."""
        return self.status.streams

    @property
    def subscribed(self) -> bool:
        """True if its rates are wanted, whether or not it should deliver some."""
        return self.status.subscribed


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A budget in the exchange's own unit: at most `limit` in any `window_s`."""

    limit: int
    window_s: float


@dataclass(frozen=True, slots=True)
class RestCall:
    """An HTTP request. `costs` are drawn from the pools of the exchange's host."""

    resource: str
    """Name of the resource: the channel of what it returns."""
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    costs: Mapping[str, int] = field(default_factory=dict)
    method: Literal["GET", "POST"] = "GET"
    body: bytes = b""
    """JSON text, for POST."""
    every: int = 1
    """A fact call is made in each so many-th refresh of the registry."""
    vital: bool = True
    """Whether a refresh without its reply has failed, and is made again soon: it lists contracts,
    or states their terms."""


def optional(call: RestCall) -> RestCall:
    """Return a fact call as one that a refresh does without, until its next turn: for liquidity."""
    return replace(call, vital=False)


class SubscribeFrame(NamedTuple):
    """A text to send, and the contracts that it subscribes or unsubscribes.

    A text that asks for more about contracts which another one subscribes names none.
    """

    text: str
    symbols: tuple[str, ...]
    identity: str = ""
    """A name in the text that its answer repeats; empty: the exchange repeats none."""


@dataclass(frozen=True, slots=True)
class ClientPing:
    """A text message that the exchange wants from us every so often (never a protocol ping)."""

    every_s: float
    text: Callable[[int], str]
    """From a number that grows by 1 with each ping of a connection."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A call before each connect whose reply says where to connect. Its URL may hold a secret."""

    call: RestCall
    url: Callable[[bytes, str], str]
    """From the reply's body and an id for the connection. Raises MalformedInputError."""


@dataclass(frozen=True, slots=True)
class PayloadFields:
    """The fields in the payloads of a channel, as the exchange documents them.

    A field is named by its path: `data.s`, and `d[].s` for that of an array's entries. What is
    within a field that is named is not looked at where none of its own fields is.
    """

    always: tuple[str, ...]
    """Fields that every payload has."""
    sometimes: tuple[str, ...] = ()
    """Fields that may be absent."""
    every_s: float | None = None
    """A stream brings each contract so often; None: it does so only when something happens, or it
    is a REST resource."""


def _every(_symbol: str) -> bool:
    return True


def _nothing(_symbols: Sequence[str]) -> Sequence[SubscribeFrame]:
    return ()


@dataclass(frozen=True, slots=True)
class SocketKind:
    """One kind of socket: its addresses, the texts that are sent, how many contracts it carries."""

    name: str
    silent_s: float
    """A socket without a data frame for this long is dead."""
    max_age_s: float
    """A connection is replaced before this age."""
    urls: tuple[str, ...] = ()
    """Candidates: one that ends without a data frame is followed by the next, the first that
    delivers is kept."""
    ticket: Ticket | None = None
    """Instead of `urls`."""
    capacity: int | None = None
    """Contracts that one socket takes; None: one socket carries all, without subscribing each."""
    max_sockets: int = 64
    takes: Callable[[str], bool] = _every
    """Which contracts belong to this kind."""
    opening: tuple[str, ...] = ()
    """Texts to send first, on the first socket of the kind."""
    subscribe: Callable[[Sequence[str]], Sequence[SubscribeFrame]] = _nothing
    unsubscribe: Callable[[Sequence[str]], Sequence[SubscribeFrame]] = _nothing
    ping: ClientPing | None = None
    """None: the server sends protocol pings, which the WebSocket library answers."""
    greeting_timeout_s: float | None = None
    """None: the exchange sends no greeting before we may subscribe."""
    quarantines: bool = False
    """An unknown contract closes the socket; acknowledgements come in order and name theirs."""
    splits_refused: bool = False
    """A contract that the exchange does not take fails the whole frame that asks for it. Such a
    frame is asked for again without the contracts that the refusal names, or in halves, until the
    one that is refused stands alone and is held back."""
    decode: Callable[[bytes], bytes] | None = None
    """Makes a message readable before it is cut, where it is compressed (`decoding.gunzip`); what
    is published is what it returns. Raises MalformedInputError."""
    quiet_s: float | None = None
    """So long a socket may go without a data frame that has brought some, while the exchange
    answers within `silent_s`: where nothing is pushed while nothing changes, all of its contracts
    may be quiet. None: answers make no difference."""
    secondary: bool = False
    """A second source of what another kind delivers: optional."""


class HistoryPage(NamedTuple):
    """One page of settled rates: rows to publish, each contract's in the order of their time."""

    slices: Sequence[Slice]


class HistoryWalk(Protocol):
    """A pure walk over settled history: asks for pages until it has them all."""

    def next_call(self) -> RestCall | None:
        """Return the next page's call, or None when done."""
        ...

    def take(self, body: bytes) -> HistoryPage:
        """Take the reply to the last call. Raises MalformedInputError; the page stays wanted."""
        ...

    @property
    def progress(self) -> float:
        """Share done, 0 to 1."""
        ...


NO_KEYS: Mapping[str, str] = {}
"""Every contract goes by its symbol."""


class Exchange(ABC):
    """One exchange's description."""

    feed: str
    rest_url: str
    silent_s: float
    """A contract that no socket has brought for so long is REST's: well before its rate is stale,
    so that REST fills in before anybody misses it."""
    fallback_s: float
    """How often REST is asked for what the stream does not bring: within the stale threshold, and
    within the limits (docs/exchanges/README.md §8.1)."""
    limits: Mapping[str, RateLimit]
    """Pools by name."""
    limits_group: str
    """Feeds of one group share the pools that bear the same name (one address, one budget)."""
    fact_calls: Sequence[RestCall]
    """Calls whose replies list the contracts and their facts."""
    socket_kinds: Sequence[SocketKind]
    """Empty: no stream brings rates, so REST is the source, asked every `fallback_s`."""
    row_fields: frozenset[str] = frozenset()
    """The fields that are kept of rows that name only changes (`Partial`)."""
    row_terms: tuple[str, ...] = ()
    """Those of `row_fields` that are the terms of a completed row (`Slice.terms`)."""
    frames_per_s: float = 5.0
    """Subscribe frames, over all sockets of the feed."""
    documented: Mapping[str, PayloadFields] = {}
    """The fields of payloads, by channel of a stream or by REST resource, for those whose
    documentation is written down in docs/exchanges."""
    quiet_every_s: float | None = None
    """How often REST is asked for contracts that are quiet (`producers.policy.quiet`), where
    nothing is pushed while nothing changes: `silent_s` and this time are within the stale
    threshold. None: every contract is pushed often, and silence is trouble."""
    snapshot_at_start: bool = False
    """The stream is so slow that its contracts are REST's until it brings them; so they are in any
    case where `quiet_every_s` is set."""
    true_up_calls_per_hour: int | None = None
    """None: one walk brings all contracts' settlements, so each hour is followed as it settles.
    Else history is asked for contract by contract: at start as fast as the limits allow, then this
    many calls an hour, longest unvisited first. The hour's settlements reach the worker otherwise:
    in the stream, or derived."""

    @abstractmethod
    def snapshot_calls(self, symbols: Sequence[str]) -> Sequence[RestCall]:
        """Return the calls that together bring the current rate of every contract."""

    @abstractmethod
    def slice_frame(self, data: bytes) -> Frame:
        """Cut a WebSocket message into pieces. Raises MalformedInputError."""

    @abstractmethod
    def slice_reply(self, call: RestCall, body: bytes) -> Sequence[Slice]:
        """Cut a REST reply into pieces. Raises MalformedInputError."""

    def following_page(self, call: RestCall, body: bytes) -> RestCall | None:
        """Return the call for the rest of what a reply begins; None: the reply is whole.

        For lists that the exchange cuts into pages. Raises MalformedInputError.
        """
        del call, body
        return None

    def shown_rate(self, resource: str, payload: bytes) -> bytes:
        """Return the rate in a snapshot's row as sent, where the stream pushes each change of it.

        Empty: nothing follows from the row. Raises MalformedInputError.
        """
        del resource, payload
        return b""

    @abstractmethod
    def listings(self, call: RestCall, slices: Sequence[Slice]) -> Iterable[Listing] | None:
        """Read which contracts a fact reply lists; None: it does not say."""

    @abstractmethod
    def history(
        self,
        symbols: Sequence[str],
        since_ms: int,
        until_ms: int,
        keys: Mapping[str, str] = NO_KEYS,
    ) -> HistoryWalk:
        """Return a walk over the settled rates in [since_ms, until_ms].

        Of one symbol at a time where `true_up_calls_per_hour` is set. `keys`: what requests call
        each contract, by symbol (`Listing.key`).
        """

    def fact_identity(self, resource: str, payload: bytes) -> bytes:
        """Return the part of a fact whose change is worth publishing it again."""
        del resource
        return payload

    def used(self, headers: Mapping[str, str]) -> Mapping[str, int]:
        """Read from reply headers what the exchange counts as used, by pool."""
        del headers
        return {}

    def retry_after_s(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> float | None:
        """Read from the headers and the body of a refusal how long it bars us; None: not told.

        `now_ms`: the wall clock, for a body that names a time.
        """
        del body, now_ms
        text = headers.get("Retry-After", "")
        return float(text) if text.isascii() and text.isdigit() else None

    def barred_s(self, call: RestCall, headers: Mapping[str, str], body: bytes) -> float | None:
        """Tell how long a reply with HTTP 200 bars us because of too many calls; None: not at all.

        For exchanges that say so in the body alone (docs/exchanges/README.md §3 rule 20).
        """
        del call, headers, body
        return None

    def fault(self, call: RestCall, headers: Mapping[str, str], body: bytes) -> str | None:
        """Tell what makes a reply with HTTP 200 a failure all the same; None: nothing."""
        del call, headers, body
        return None
