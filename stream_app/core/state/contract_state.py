"""State of contracts, packed into blocks of at most 256: the values of the `contracts` table.

A block is the unit of recovery: it carries the raw offset up to which it is applied, so that of
records that are delivered again it skips exactly those. See docs/decisions/state-in-blocks.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.contract_status import ContractStatus
from schemas.dead_letter_rate import DeadLetterRate
from schemas.errors import StateError
from schemas.records import IntervalSource, Transport
from stream_app.core.scoring.interval_evidence import IntervalEvidence
from stream_app.core.scoring.settled_intervals import DEFAULT_INTERVAL_HOURS, Interval
from stream_app.core.scoring.zones import AlertState
from stream_app.core.state.audit_counts import AuditCount
from stream_app.core.state.bars import BarState
from stream_app.core.state.clock_skew import Skewed
from stream_app.core.state.gaps import StreamState
from stream_app.core.state.hot_rows import HotRows
from stream_app.core.state.market_facts import MarketFacts
from stream_app.core.state.pushes import Push
from stream_app.core.state.waiting_room import WaitingItem

BLOCK_CONTRACTS = 256
VERSION = 1
VERSION_WITH_ROWS = 2
"""Of a block some of whose contracts are stored as columns (`ContractBlock.rows`)."""
MAX_LIVES = 16
"""Of one ticker."""
_STATUSES = {status.value: status for status in ContractStatus}


class Estimate(msgspec.Struct, array_like=True, gc=False):
    """The last estimate before a full hour at which funding was due."""

    hour: int
    rate: float
    interval_hours: float


class Doubt(msgspec.Struct, array_like=True, gc=False):
    """The stream contradicts the interval that the list says."""

    coming: int
    """The funding time that shows it (µs)."""
    since: int
    """Receipt of the first update that showed it (µs)."""
    hours: float
    """The shortest interval that fits."""


class ContractState(msgspec.Struct, array_like=True):
    """Everything known of one contract except its baseline. New fields may only be appended."""

    symbol: str
    contract_id: str
    base: str
    quote: str
    multiplier: float = 1.0
    status: str = ""
    """The ContractStatus that the exchange lists; empty before it has; state of a version before
    the enumeration holds the exchange's own word."""
    listed_interval_hours: float | None = None
    """The interval that the exchange lists; None: it lists none."""
    rate_cap: float | None = None
    rate_floor: float | None = None
    backfilling: bool = False
    """True while history is loaded: the baseline is not complete, so no z is published."""

    event_time: int = 0
    received_at: int = 0
    rate: float = 0.0
    interval_hours: float = DEFAULT_INTERVAL_HOURS
    interval_source: IntervalSource = "assumed"
    mark_price: float | None = None
    index_price: float | None = None
    next_funding_time: int | None = None
    transport: Transport = "ws"
    raw_offset: int = -1
    raw_item: int = -1
    updates: int = 0
    """How many updates were accepted; 0: no rate is known yet."""

    emitted_updates: int = 0
    """`updates` at the last emission; if it is less than `updates`, the next flush has to emit."""
    emitted_rate: float = 0.0
    emitted_z: float | None = None

    sign: int = 0
    """The sign in the last alert, before that the first clear one; 0: no rate was clear of 0."""

    bars: BarState = msgspec.field(default_factory=BarState)

    stream: StreamState = msgspec.field(default_factory=StreamState)
    skewed: list[Skewed] = []
    """Events whose own time is not believed (clock_skew.py); empty while the clock is right."""
    estimates: list[Estimate] = []
    """The last estimates of the newest hours, oldest first."""
    listed_by: tuple[int, int] = (-1, -1)
    """Raw offset and item that listed it; items before that were of an unlisted symbol."""

    alerts: AlertState = msgspec.field(default_factory=AlertState)
    pushes: list[Push] = []
    """The newest pushes, for feeds without event times (pushes.py)."""

    evidence: IntervalEvidence = msgspec.field(default_factory=IntervalEvidence)
    """What the exchange has said about the interval, and when."""
    interval_doubtful: bool = False
    """`interval_hours` of the current rate is in doubt: it is not scored and raises no alert."""
    passed_funding_time: int = 0
    """The last coming funding time of the stream that has passed (µs); 0: none has."""
    halted: bool = False
    """The stream shows that trading is suspended, whatever the list says."""
    listed_at: int | None = None
    """When its trading began, by the exchange (µs)."""
    lives: list[int] = []
    """When each later contract with the same ticker began (µs), oldest first."""
    status_since: int = 0
    """When `status` was learnt (receipt, µs); 0: by a version that did not keep it."""
    doubt: Doubt | None = None
    beyond_since: int = 0
    """Since when rates are beyond the listed cap (receipt, µs); 0: the newest is not."""
    facts: MarketFacts = msgspec.field(default_factory=MarketFacts)

    @property
    def state(self) -> ContractStatus:
        """What the contract does, by the list and by the stream."""
        listed = _STATUSES.get(self.status, ContractStatus.TRADING)
        if not listed.streams:
            return listed
        if self.halted:
            return ContractStatus.HALTED
        if self.lives and listed is ContractStatus.TRADING:
            return ContractStatus.RELISTED
        return listed

    @property
    def generation(self) -> int:
        """Which contract with this ticker it is, counted from 1."""
        return 1 + len(self.lives)

    def generation_at(self, time_us: int) -> int:
        """Return which contract with this ticker traded at a time (µs)."""
        return 1 + sum(begun <= time_us for begun in self.lives)

    @property
    def interval(self) -> Interval:
        """The interval of the current rate."""
        return Interval(self.interval_hours, self.interval_source, self.interval_doubtful)

    @property
    def owes(self) -> bool:
        """True if something was updated since the last emission."""
        return self.updates > self.emitted_updates


class _Versioned(msgspec.Struct, array_like=True):
    """What blocks of every version begin with."""

    version: int


class ContractBlock(msgspec.Struct, array_like=True):
    """Up to BLOCK_CONTRACTS contracts of one feed and partition, or its unlisted symbols.

    Whatever the exchange sends, a packed block stays below topics.MAX_MESSAGE_BYTES.
    """

    version: int
    applied_offset: int
    """Raw offset of the newest record whose effect is in here; −1: none."""
    flushed_at: int
    """The flush boundary (received_at, µs) up to which this block has emitted; 0: none."""
    contracts: list[ContractState]
    audits: list[AuditCount] = []
    """Decisions counted in the current minute, not yet published."""
    mismatch_hour: int = 0
    """In the first block: the hour (received_at, µs) of the partition's newest mismatch alert."""
    letters: DeadLetterRate = msgspec.field(default_factory=DeadLetterRate)
    """In the first block: the partition's dead letters."""
    is_unlisted: bool = False
    """True for a partition's one block of unlisted symbols, which holds no contracts: the fields
    below, and their audits. It is stored after all others."""
    waiting: list[WaitingItem] = []
    cap_hour: int = 0
    """The hour (received_at, µs) of the newest alert of too many contracts."""
    rows: HotRows | None = None
    """What each update changes, of contracts that are in their rows: it stands for what
    `contracts` say of that. None in a block of version 1, and once it is read."""

    def pack(self) -> bytes:
        """Return the bytes that `unpack` reads."""
        return msgspec.msgpack.encode(self)

    def pack_with(self, contracts: Sequence[msgspec.Raw], rows: HotRows) -> bytes:
        """Return the bytes that `unpack` reads, of contracts that are packed already."""
        fields = [getattr(self, name) for name in self.__struct_fields__]
        fields[0], fields[-1] = VERSION_WITH_ROWS, rows
        fields[self.__struct_fields__.index("contracts")] = contracts
        return msgspec.msgpack.encode(fields)

    @classmethod
    def new(cls) -> ContractBlock:
        """Return an empty block that has applied nothing."""
        return cls(VERSION, -1, 0, [])

    @classmethod
    def unpack(cls, data: bytes) -> ContractBlock:
        """Read what `pack` wrote.

        Raises:
            StateError: the bytes are damaged or of a newer version.
        """
        try:
            version = msgspec.msgpack.decode(data, type=_Versioned).version
        except msgspec.DecodeError as error:
            raise StateError(f"a stored state block is damaged: {error}") from error
        if version > VERSION_WITH_ROWS:
            raise StateError(
                f"a stored state block has version {version}, this program reads up to "
                f"{VERSION_WITH_ROWS}: run the newer fundingstream that wrote it"
            )
        try:
            block = msgspec.msgpack.decode(data, type=cls)
            if block.rows is not None:
                block.rows.restore(block.contracts)
        except (msgspec.DecodeError, LookupError, ValueError, TypeError) as error:
            raise StateError(f"a stored state block is damaged: {error}") from error
        block.version, block.rows = VERSION, None
        return block


UNLISTED = -1
"""The number of the block of unlisted symbols; the others are counted from 0."""


def block_key(feed: str, partition: int, shard: int) -> bytes:
    """Return the key of a block in the `contracts` table."""
    return f"{feed}/{partition}/{shard}".encode()
