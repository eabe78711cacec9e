"""Completes rows that name only what has changed, from the rows before them. Pure.

For each connection and contract the newest text of each field is kept, as the exchange sent it. A
change that comes before any whole row of its contract cannot be completed: it is left out, and the
contract has to be asked for again. What is published has its fields in a fixed order, so that two
connections make the same bytes of the same changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from producers.exchanges.json_slicing import ABSENT, decoder, json_text, present
from producers.exchanges.spec import Partial, Slice
from schemas.errors import MalformedInputError

MAX_CONTRACTS = 10_000
"""Contracts that are kept of a connection beside the listed ones, which always have room."""
MAX_FIELD_BYTES = 256
"""A longer text of a field that is kept makes its row unreadable."""

_Row = dict[str, bytes]
"""Of each field its name and text as in JSON, empty before its first; all in the same order."""


class Completed(NamedTuple):
    """What the pieces of a frame have become."""

    slices: list[Slice]
    incomplete: list[str]
    """Contracts of which a whole row is needed: changes were left out because none came before, or
    could not be read."""


class Merging:
    """The newest fields of each contract on each connection of one feed."""

    def __init__(self, fields: Iterable[str], terms: Iterable[str]) -> None:
        """`fields`: `Exchange.row_fields`, `terms`: `Exchange.row_terms`."""
        self._fields = tuple(sorted(fields))
        self._terms = tuple(terms)
        self._names = tuple(json_text(field).encode() + b":" for field in self._fields)
        attributes = [f"field_{number}" for number in range(len(self._fields))]
        self._decode: Callable[[bytes], msgspec.Struct] = decoder(
            msgspec.defstruct(
                "Row",
                [(attribute, msgspec.Raw, ABSENT) for attribute in attributes],
                rename=dict(zip(attributes, self._fields, strict=True)),
            )
        )
        self._rows: dict[str, dict[str, _Row]] = {}
        """By connection id and contract."""
        self._sequences: dict[str, int] = {}
        """`Frame.sequence` of the newest frame, by connection id."""
        self._listed: frozenset[str] = frozenset()
        self.incomplete = 0
        """Rows that could not be completed."""

    def follows(self, connection: str, sequence: int | None) -> bool:
        """Note a frame's number; False: frames before it were lost, and all rows are forgotten."""
        if sequence is None:
            return True
        before = self._sequences.get(connection)
        self._sequences[connection] = sequence
        if before is None or sequence <= before + 1:
            return True
        self._rows.pop(connection, None)
        return False

    def complete(self, connection: str, slices: Iterable[Slice]) -> Completed:
        """Complete the pieces of a frame; one that cannot be read goes to the dead letters."""
        rows = self._rows.setdefault(connection, {})
        pieces, incomplete, broken = [], [], []
        for piece in slices:
            if piece.partial is None or not piece.readable:
                pieces.append(piece)
                continue
            symbol = piece.symbol
            if symbol is None:
                pieces.append(Slice(None, piece.payload, readable=False))
                continue
            try:
                row = self._merged(rows, symbol, piece.payload, piece.partial)
            except MalformedInputError:
                # What it has changed is not known, so neither are the rows after it.
                rows.pop(symbol, None)
                pieces.append(Slice(None, piece.payload, readable=False))
                broken.append(symbol)
                continue
            if row is None:
                incomplete.append(symbol)
                continue
            pieces.append(self._piece(symbol, row, piece.partial, piece.event_us))
        self.incomplete += len(incomplete)
        return Completed(pieces, incomplete + broken)

    def _merged(
        self, rows: dict[str, _Row], symbol: str, payload: bytes, partial: Partial
    ) -> _Row | None:
        """Apply a row; None: there is nothing that it could complete."""
        known = rows.get(symbol)
        if known is None and not partial.whole:
            return None
        changes = self._changes(payload, nulls=partial.whole)
        if partial.whole:
            known = dict.fromkeys(self._fields, b"")
            if symbol in rows or symbol in self._listed or len(rows) < MAX_CONTRACTS:
                rows[symbol] = known
        assert known is not None
        known.update(changes)
        return known

    def _changes(self, payload: bytes, *, nulls: bool) -> _Row:
        """Read the fields that a row names; `nulls`: those without a value as well.

        In a row of changes null says no more than an absent key.
        """
        changes = {}
        raws: tuple[msgspec.Raw, ...] = msgspec.structs.astuple(self._decode(payload))
        for field, name, raw in zip(self._fields, self._names, raws, strict=True):
            if raw is ABSENT or not (nulls or present(raw)):
                continue
            text = bytes(raw)
            if len(text) > MAX_FIELD_BYTES:
                raise MalformedInputError(f"{field} has {len(text)} bytes")
            changes[field] = name + text
        return changes

    def _piece(self, symbol: str, row: _Row, partial: Partial, event_us: int | None) -> Slice:
        text = b",".join(filter(None, row.values()))
        terms = b",".join([row[field] for field in self._terms])
        payload = b"%b{%b}%b" % (partial.head, text, partial.tail)
        return Slice(symbol, payload, terms=terms, event_us=event_us)

    def closed(self, connection: str) -> None:
        """Forget a connection: the next one begins with whole rows."""
        self._rows.pop(connection, None)
        self._sequences.pop(connection, None)

    def keep(self, symbols: Iterable[str]) -> None:
        """Set the contracts that always have room."""
        self._listed = frozenset(symbols)
