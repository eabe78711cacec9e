"""Where times, rates and symbols stand in the texts of an exchange, so that faults can change them.

A fault rewrites the outgoing text of frames and REST bodies: other units, another clock, fewer
rows. Values are found by their field names and rewritten in place; everything else stays byte for
byte. Pure. Each exchange's folder holds its own `Wire`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property

import msgspec

_NS_FROM, _US_FROM, _MS_FROM, _S_FROM = 10**17, 10**14, 10**11, 10**8
"""An integer from here on is a time in that unit, for any time from 1973 to 5138."""

_UNIT_US = {"s": 1_000_000, "ms": 1_000}
_WHOLE_NUMBER = re.compile(rb"\A\d{10,}\Z")
_INTEGER = r"\d+(?![\d.eE])"
_VALUE = r'(?:"[^"]*"|\[[^\[\]]*\]|[^,{}\[\]"\s]+)'
_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"


@dataclass(frozen=True)
class Wire:
    """What faults must know of one exchange's texts.

    Attributes:
        event: fields that hold the time of an event or the exchange's own clock; regular
            expressions, for a name that means several things.
        funding: fields that hold funding times.
        rate: fields that hold rates.
        symbol: matches what names the contract of a row or a frame.
        current: matches, in path and body of a REST call, those that return current rates.
        rates_have_times: whether a frame or row with a current rate names any time.
        fixed_interval_hours: of every contract, for ever; 0: contracts differ.
        lists_caps: whether the list tells the cap of a rate.
        halts: names of the states of a contract that is listed and does not trade as ever, and
            whether its rates go on in them; the first is the usual one.
        bad_fields: names of fields that may hold an impossible value beside good ones: matches the
            field's names, and the value as JSON. The first is the usual one.
        optional: fields that may be absent, and so may be null.
        unknown_event: an event that the documentation of the feed does not know, with `@event@`
            for its name and `@ms@` for the time; empty: none was seen.
        own_kinds: kinds of faults that only some exchanges can show, and this one can.
        rows_in: fields of a frame that may hold an array of rows.
        keyed_in: fields that may hold an object of rows, each under a key of its own.
    """

    event: tuple[str, ...]
    funding: tuple[str, ...]
    rate: tuple[str, ...]
    symbol: str
    current: str
    rates_have_times: bool = True
    fixed_interval_hours: int = 0
    lists_caps: bool = True
    halts: Mapping[str, bool] = field(default_factory=dict)
    bad_fields: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    unknown_event: str = ""
    own_kinds: frozenset[str] = frozenset()
    rows_in: tuple[str, ...] = field(default=("data", "d"))
    keyed_in: tuple[str, ...] = ()

    @cached_property
    def _event_values(self) -> re.Pattern[bytes]:
        return _values(self.event, _INTEGER)

    @cached_property
    def _time_values(self) -> re.Pattern[bytes]:
        return _values((*self.event, *self.funding), _INTEGER)

    @cached_property
    def _rate_values(self) -> re.Pattern[bytes]:
        return _values(self.rate, _NUMBER)

    @cached_property
    def _symbol(self) -> re.Pattern[bytes]:
        return re.compile(self.symbol.encode())

    @cached_property
    def _current(self) -> re.Pattern[bytes]:
        return re.compile(self.current.encode())

    def is_current_call(self, path: str, body: bytes) -> bool:
        """Whether a REST call asks for current rates."""
        return bool(self._current.search(path.encode()) or self._current.search(body))

    def symbol_of(self, text: bytes) -> str | None:
        """The contract that a row or a frame of one contract is about."""
        found = self._symbol.search(text)
        return found[1].decode() if found else None

    def shifted(self, text: bytes, skew_us: int) -> bytes:
        """The same text by a clock that is ahead by `skew_us` (negative: behind)."""

        def shift(value: bytes) -> bytes:
            number = int(value)
            unit_ns = _unit_ns(number)
            return str(number + skew_us * 1_000 // unit_ns).encode() if unit_ns else value

        return _times_rewritten(self._event_values, text, shift)

    def in_unit(self, text: bytes, unit: str) -> bytes:
        """The same text with every time in `s`, `ms` or `us`."""

        def convert(value: bytes) -> bytes:
            number = int(value)
            unit_ns = _unit_ns(number)
            if not unit_ns:
                return value
            return str(number * unit_ns // (_UNIT_US.get(unit, 1) * 1_000)).encode()

        return _times_rewritten(self._time_values, text, convert)

    def in_percent(self, text: bytes) -> bytes:
        """The same text with every rate multiplied by 100."""

        def multiply(value: bytes) -> bytes:
            return f"{Decimal(value.decode()) * 100:f}".encode()

        return _rewritten(self._rate_values, text, multiply)

    def with_nulls(self, text: bytes) -> bytes:
        """The same text with null in every optional field."""
        return self._optional_values.sub(rb"\1null", text) if self.optional else text

    def with_bad_field(self, text: bytes, name: str, symbol: str) -> bytes:
        """The same text with an impossible value in the rows of a contract.

        Those are the frame of one contract, and flat objects that name it.
        """
        fields, value = self.bad_fields[name]
        values = re.compile(rf'("(?:{fields})":\s*)({_VALUE})'.encode())
        bad = value.encode()

        def spoiled(found: re.Match[bytes]) -> bytes:
            # What is text on the wire stays text.
            as_text = found[2].startswith(b'"') and not bad.startswith(b'"')
            return found[1] + (b'"' + bad + b'"' if as_text else bad)

        def spoil(row: bytes) -> bytes:
            return values.sub(spoiled, row)

        if set(self._symbol.findall(text)) == {symbol.encode()}:
            return spoil(text)
        name = rf'"(?:s|symbol|instId|contract|name)":"{re.escape(symbol)}"'
        named = rf"\{{[^{{}}]*{name}[^{{}}]*\}}".encode()
        return re.sub(named, lambda found: spoil(found[0]), text)

    @cached_property
    def _optional_values(self) -> re.Pattern[bytes]:
        return re.compile(rf'("(?:{"|".join(self.optional)})":\s*){_VALUE}'.encode())

    def rows(self, payload: bytes) -> tuple[bytes, list[bytes], bytes]:
        """What stands before the rows of a frame, the rows, and what stands behind them.

        A frame that is about one contract is one row.
        """
        whole = payload
        if not payload.startswith(b"["):
            members = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
            for name in self.keyed_in:
                if name in members:
                    return _keyed(payload, bytes(members[name]))
            lists = (bytes(members[name]) for name in self.rows_in if name in members)
            whole = next((text for text in lists if text.startswith(b"[")), b"")
        if not whole:
            return b"", [payload], b""
        before, _, behind = payload.partition(whole)
        pieces = msgspec.json.decode(whole, type=list[msgspec.Raw])
        return before + b"[", [bytes(piece) for piece in pieces], b"]" + behind


def _keyed(payload: bytes, table: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Likewise of an object in which each row stands under a key of its own."""
    rows = msgspec.json.decode(table, type=dict[str, msgspec.Raw])
    if not all(bytes(row).startswith(b"{") for row in rows.values()):
        return b"", [payload], b""
    before, _, behind = payload.partition(table)
    keyed = [b"%b:%b" % (msgspec.json.encode(key), bytes(row)) for key, row in rows.items()]
    return before + b"{", keyed, b"}" + behind


def _values(names: tuple[str, ...], number: str) -> re.Pattern[bytes]:
    """Matches the values of some fields, as text or as number; the number is group 2."""
    return re.compile(rf'("(?:{"|".join(names)})":\s*"?)({number})'.encode())


def _rewritten(values: re.Pattern[bytes], text: bytes, rewrite: Callable[[bytes], bytes]) -> bytes:
    return values.sub(lambda found: found[1] + rewrite(found[2]), text)


def _times_rewritten(
    values: re.Pattern[bytes], text: bytes, rewrite: Callable[[bytes], bytes]
) -> bytes:
    # The body of a call for the time can be a bare number.
    return rewrite(text) if _WHOLE_NUMBER.match(text) else _rewritten(values, text, rewrite)


def _unit_ns(number: int) -> int:
    """How many ns the unit of a time has, by its size; 0: not a time."""
    for limit, unit_ns in (
        (_NS_FROM, 1),
        (_US_FROM, 1_000),
        (_MS_FROM, 1_000_000),
        (_S_FROM, 1_000_000_000),
    ):
        if number >= limit:
            return unit_ns
    return 0
