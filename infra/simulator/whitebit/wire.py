"""What faults must know of WhiteBIT's texts: rows of a push are positional, the list has names.

The places are those of docs/exchanges/whitebit.md §2 and §4.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from infra.simulator.wire_fields import Wire

_FIELD = rb'("[^"]*"|[^,"\[\]]+)'
_ROW = re.compile(rb'\["([^"]+)",' + rb",".join([_FIELD] * 5) + rb"\]")
_MARK, _INDEX, _RATE, _NEXT, _SENT = range(1, 6)
_PLACES = {"mark-price": _MARK, "index-price": _INDEX, "funding-time": _NEXT}
_PER_S = {"ms": 1_000, "us": 1_000_000}
_ENTRY = b'{"ticker_id":'


@dataclass(frozen=True)
class PositionalWire(Wire):
    """The places in rows of a push; what has a name is found by it."""

    def shifted(self, text: bytes, skew_us: int) -> bytes:
        """The same text by a clock that is ahead by `skew_us`."""

        def shift(fields: list[bytes]) -> None:
            fields[_SENT] = _decimal(Decimal(fields[_SENT].decode()) + Decimal(skew_us) / 10**6)

        return super().shifted(_rewritten(text, shift), skew_us)

    def in_unit(self, text: bytes, unit: str) -> bytes:
        """The same text with every time in `s`, `ms` or `us`."""

        def convert(fields: list[bytes]) -> None:
            per_s = _PER_S.get(unit, 1)
            seconds = Decimal(fields[_NEXT].decode()) / 1_000
            fields[_NEXT] = str(int(seconds * per_s)).encode()
            if per_s > 1:
                fields[_SENT] = str(int(Decimal(fields[_SENT].decode()) * per_s)).encode()

        return super().in_unit(_rewritten(text, convert), unit)

    def in_percent(self, text: bytes) -> bytes:
        """The same text with every rate multiplied by 100."""

        def multiply(fields: list[bytes]) -> None:
            fields[_RATE] = b'"' + _decimal(Decimal(fields[_RATE][1:-1].decode()) * 100) + b'"'

        return super().in_percent(_rewritten(text, multiply))

    def with_nulls(self, text: bytes) -> bytes:
        """The same text with null in every optional field, and as the index of every row."""

        def forget(fields: list[bytes]) -> None:
            fields[_INDEX] = b"null"

        return super().with_nulls(_rewritten(text, forget))

    def with_bad_field(self, text: bytes, name: str, symbol: str) -> bytes:
        """The same text with an impossible value in the rows and the entry of a contract."""
        names, value = self.bad_fields[name]
        bad = value.encode()

        def spoil(fields: list[bytes]) -> None:
            if fields[0] == b'"' + symbol.encode() + b'"':
                fields[_PLACES[name]] = bad

        field = re.compile(rf'("(?:{names})":\s*)("[^"]*"|[^,{{}}]+)'.encode())
        entry = _ENTRY + b'"' + symbol.encode() + b'"'
        text = _rewritten(super().with_bad_field(text, name, symbol), spoil)
        before, found, behind = text.partition(entry)
        own, following, rest = behind.partition(_ENTRY)
        as_text = bad if bad.startswith(b'"') else b'"' + bad + b'"'
        spoiled = field.sub(lambda match: match[1] + as_text, own) if found else own
        return before + found + spoiled + following + rest

    def rows(self, payload: bytes) -> tuple[bytes, list[bytes], bytes]:
        """What stands before the rows of a push, the rows, and what stands behind them."""
        if b'"params":["' in payload:
            return b"", [payload], b""
        return super().rows(payload)


WIRE = PositionalWire(
    event=("time",),
    funding=("next_funding_rate_timestamp",),
    rate=("funding_rate",),
    symbol=r'(?:\["|"ticker_id":"|"market":")([^"]+)"',
    current="/futures",
    bad_fields={
        "mark-price": ("mark_price", '"?"'),
        "index-price": ("index_price", '"-"'),
        "funding-time": ("next_funding_rate_timestamp", "17"),
    },
    optional=("funding_cap", "funding_floor", "index_name", "index_currency", "max_leverage"),
    unknown_event='{"method":"@event@_update","params":[@ms@],"id":null}',
    rows_in=("params",),
)


def _rewritten(text: bytes, change: Callable[[list[bytes]], None]) -> bytes:
    def rewrite(found: re.Match[bytes]) -> bytes:
        fields = [b'"' + found[1] + b'"', *(found[n] for n in range(2, 7))]
        change(fields)
        return b"[" + b",".join(fields) + b"]"

    return _ROW.sub(rewrite, text)


def _decimal(value: Decimal) -> bytes:
    return f"{value:f}".encode()
