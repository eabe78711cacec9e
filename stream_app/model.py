"""What a payload can mean: the vocabulary between the exchanges' normalisers and the core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from schemas.errors import MalformedInputError
from schemas.records import Purpose, RawItem, SettlementSource


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
    """A settled rate, a fraction per interval. `interval_hours` None: the payload does not say."""

    symbol: str
    funding_time_raw: int
    rate: float
    source: SettlementSource = "history"
    interval_hours: float | None = None


class InstrumentUpdate(msgspec.Struct, frozen=True, gc=False):
    """Facts about a contract. None: this payload does not say, so the known value stays."""

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
        """True if it comes from the exchange's list of contracts: only that has a status."""
        return bool(self.status)


class NoRate(msgspec.Struct, frozen=True, gc=False):
    """A well-formed row without a rate, which must not pass for a rate of 0."""

    symbol: str
    reason: str


Update = RateUpdate | SettlementUpdate | InstrumentUpdate | NoRate


ReadItem = Sequence[Update] | MalformedInputError
"""The updates in one item, or the reason why it could not be read."""


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
