"""What a payload can mean: the vocabulary between the exchanges' normalisers and the core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.contract_status import ContractStatus
from schemas.errors import MalformedInputError
from schemas.records import Purpose, RawItem, SettlementKind, SettlementSource

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
MAX_AMOUNT = 1e18
"""In the quote asset: more than is traded of anything in a day, in a currency of small units."""


class RateUpdate(msgspec.Struct, frozen=True, gc=False):
    """An estimate of the rate at `next_funding_time`.

    The rate is a fraction per interval, times are UTC µs. `event_time` None: the exchange gives no
    time, so that of receipt is used. `interval_hours` None: the payload does not say.
    """

    symbol: str
    rate: float
    event_time: int | None = None
    mark_price: float | None = None
    index_price: float | None = None
    next_funding_time: int | None = None
    interval_hours: float | None = None


class SettlementUpdate(msgspec.Struct, frozen=True, gc=False):
    """A settled rate, a fraction per interval. `interval_hours` None: the payload does not say.

    A `special` one is extra funding beside the regular one, a fraction without an interval.
    """

    symbol: str
    funding_time_raw: int
    rate: float
    source: SettlementSource = "history"
    interval_hours: float | None = None
    kind: SettlementKind = "regular"


class InstrumentUpdate(msgspec.Struct, frozen=True, gc=False):
    """Facts about a contract. None: this payload does not say, so the known value stays."""

    symbol: str
    base: str | None = None
    quote: str | None = None
    multiplier: float | None = None
    status: ContractStatus | None = None
    status_word: str | None = None
    """The exchange's own word for `status`."""
    interval_hours: float | None = None
    rate_cap: float | None = None
    rate_floor: float | None = None
    listed_at: int | None = None
    """When trading of this contract began or begins, by the exchange (UTC µs)."""
    mark_price: float | None = None
    """The newest mark price, of a venue whose stream brings none."""
    turnover_24h: float | None = None
    """What was traded in the last 24 hours, in the quote currency."""
    open_interest: float | None = None
    """The value of all open positions of one side, in the quote currency."""
    open_interest_units: float | None = None
    """The same in units of what the price is of, where the row has no price: its value is that at
    the contract's newest mark price."""

    @property
    def lists(self) -> bool:
        """True if it comes from the exchange's list of contracts: only that has a status."""
        return self.status is not None


class NoRate(msgspec.Struct, frozen=True, gc=False):
    """A well-formed row without a rate, which must not pass for a rate of 0."""

    symbol: str
    reason: str
    halted: bool = False
    """The row shows that trading of the contract is suspended."""


class Unreadable(msgspec.Struct, frozen=True, gc=False):
    """A field of a row that cannot be what it should be, beside others that are good."""

    symbol: str
    reason: str


Update = RateUpdate | SettlementUpdate | InstrumentUpdate | NoRate | Unreadable


ReadItem = Sequence[Update] | MalformedInputError
"""The updates in one item, or the reason why it could not be read."""


class StreamColumns(NamedTuple):
    """Updates of a stream, a column for each field of a RateUpdate; times in µs."""

    symbols: Sequence[str]
    rates: Floats
    """NaN: this is to be read by the normaliser itself."""
    event_times: Longs
    mark_prices: Floats
    """NaN: there is none. The same holds of the next."""
    index_prices: Floats
    next_funding_times: Longs
    """0: there is none."""


class SettledColumns(NamedTuple):
    """Regular settlements of the history, a column for each field; times in µs."""

    symbols: Sequence[str]
    funding_times_raw: Longs
    rates: Floats
    """NaN: this is to be read by the normaliser itself."""


class SettledReader(Protocol):
    """Reads many settlements of the history at once."""

    def read(self, payloads: Sequence[bytes]) -> SettledColumns | None:
        """Read payloads; None if they are not all as the exchange usually sends them."""
        ...


class StreamReader(Protocol):
    """Reads many updates of a stream at once."""

    def read(self, payloads: Sequence[bytes]) -> StreamColumns | None:
        """Read payloads; None if they are not all as the exchange usually sends them."""
        ...


class Normaliser(Protocol):
    """Turns the payloads of raw items into updates. Pure."""

    def __call__(
        self, purpose: Purpose, channel: str, symbol: str, payload: bytes, received_at_us: int
    ) -> Sequence[Update]:
        """Read one payload.

        Every update is of `symbol`, the item's: some payloads name none, and one that names another
        is malformed. `received_at_us` (UTC µs) is for payloads whose times are relative to their
        receipt.

        Raises:
            MalformedInputError: the bytes cannot be read. No other error is raised.
        """
        ...

    def frame(
        self, purpose: Purpose, channel: str, items: Sequence[RawItem]
    ) -> list[ReadItem] | None:
        """Read all items of a record at once; None if they must be read one by one.

        Each element is what the call would return or raise for that item.
        """
        ...

    def column_reader(self, channel: str) -> StreamReader | None:
        """Return what reads many updates of a channel of the stream at once; None: nothing does."""
        ...

    def settled_reader(self, channel: str) -> SettledReader | None:
        """Return what reads many settlements of a channel of the history at once; None: nothing."""
        ...
