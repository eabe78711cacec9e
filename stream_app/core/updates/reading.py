"""Reads items one by one: what can be read and can be true counts, the rest is a dead letter."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.audit_kinds import AuditKind
from schemas.errors import MalformedInputError
from schemas.records import RawItem
from stream_app.core.output.collector import OutputCollector
from stream_app.core.state.item_context import ItemContext
from stream_app.core.updates.plausibility import believable_amounts, check_plausible
from stream_app.model import InstrumentUpdate, Normaliser, ReadItem, Update


class ItemReader:
    """Reads the items of one partition."""

    def __init__(
        self,
        normalise: Normaliser,
        collector: OutputCollector,
        max_ahead_us: int,
        max_settled_rate: float,
    ) -> None:
        """Bounds as of `check_plausible`."""
        self._normalise = normalise
        self._collector = collector
        self._max_ahead_us = max_ahead_us
        self._max_settled_rate = max_settled_rate

    def read(
        self, item: RawItem, symbol: str, at: ItemContext, read: ReadItem | None
    ) -> Sequence[Update]:
        """Return the updates in an item that can be read and can be true.

        What of it cannot goes to the dead letters, with the whole item; the rest counts. `read`:
        what it was read as together with others; None: it was not read yet.
        """
        try:
            if read is None:
                read = self._normalise(
                    at.purpose, at.channel, symbol, item["payload"], at.received_at
                )
            elif isinstance(read, MalformedInputError):
                raise read
        except MalformedInputError as error:
            self._refuse(item, symbol, at, str(error))
            return ()
        try:
            for update in read:
                self._check(update, at.received_at)
        except MalformedInputError:
            return self._without_faults(read, item, symbol, at)
        return read

    def _check(self, update: Update, received_at: int) -> None:
        check_plausible(update, received_at, self._max_ahead_us, self._max_settled_rate)

    def _without_faults(
        self, read: Sequence[Update], item: RawItem, symbol: str, at: ItemContext
    ) -> Sequence[Update]:
        """Return what is good of an item's updates; the item goes to the dead letters.

        Facts lose only the amounts that cannot be: a wrong turnover must not hide a listing.
        """
        good: list[Update] = []
        faults: list[str] = []
        for update in read:
            kept = update
            if isinstance(update, InstrumentUpdate):
                kept, wrong = believable_amounts(update)
                faults += wrong
            try:
                self._check(kept, at.received_at)
                good.append(kept)
            except MalformedInputError as error:
                faults.append(str(error))
        self._refuse(item, symbol, at, "; ".join(faults))
        return good

    def _refuse(self, item: RawItem, symbol: str, at: ItemContext, why: str) -> None:
        """Send an item to the dead letters."""
        self._collector.note(symbol, AuditKind.DEAD_LETTER, at.received_at, at, why)
        self._collector.dead_letter(item, at, why, "normalise")
