"""What a payload can mean: the vocabulary between the exchanges' normalisers and the core.

Not responsible for: decoding (one module per feed), or what follows from a reading (core).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from schemas.errors import MalformedInputError
from schemas.records import Purpose, RawItem, SettlementSource


class RateUpdate(msgspec.Struct, frozen=True, gc=False):
    """An estimate of the rate at `next_funding_time`.

    `event_time` None: the exchange gives no time, so receipt stands in. `interval_hours` None: the
    payload does not say. Times in µs, rate a fraction per interval.
    """

    symbol: str
    rate: float
    event_time: int | None = None
    mark_price: float | None = None
    index_price: float | None = None
    next_funding_time: int | None = None
    interval_hours: float | None = None


class SettlementUpdate(msgspec.Struct, frozen=True, gc=False):
    """A settled rate. `interval_hours` None: to be derived from the settlement before."""

    symbol: str
    funding_time_raw: int
    rate: float
    source: SettlementSource = "history"
    interval_hours: float | None = None


class InstrumentUpdate(msgspec.Struct, frozen=True, gc=False):
    """Facts about a contract. None: this payload does not say, so what is known stays."""

    symbol: str
    base: str | None = None
    quote: str | None = None
    multiplier: float | None = None
    status: str | None = None
    interval_hours: float | None = None
    rate_cap: float | None = None
    rate_floor: float | None = None

    @property
    def lists(self) -> bool:
        """True if it is of the exchange's list of contracts: such a fact tells a status."""
        return bool(self.status)


class NoRate(msgspec.Struct, frozen=True, gc=False):
    """A row that is well-formed and carries no rate: never a rate of 0, never a row."""

    symbol: str
    reason: str


Update = RateUpdate | SettlementUpdate | InstrumentUpdate | NoRate


ReadItem = Sequence[Update] | MalformedInputError
"""What an item means, or why it means nothing."""


class Normaliser(Protocol):
    """Turns items' payloads into readings. Pure."""

    def __call__(
        self, purpose: Purpose, channel: str, symbol: str, payload: bytes, received_at_us: int
    ) -> Sequence[Update]:
        """Read one payload.

        Every reading is of `symbol`, the item's: some payloads carry none, and one that names
        another is malformed. `received_at_us` (UTC µs) is for payloads that tell a time only in
        relation to their receipt.

        Raises:
            MalformedInputError: and nothing else, for bytes that it cannot read.
        """
        ...

    def frame(
        self, purpose: Purpose, channel: str, items: Sequence[RawItem]
    ) -> list[ReadItem] | None:
        """Read all items of a batch at once; None if they must be read one by one.

        Item for item what the call gives, or raises.
        """
        ...
