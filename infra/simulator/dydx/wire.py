"""What faults must know of dYdX's texts: rows stand under their tickers, and have no times.

The fields are those of docs/exchanges/dydx.md §2 and §4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from infra.simulator.exchange import RestReply
from infra.simulator.wire_fields import Wire

_VALUE = rb'("[^"]*"|[^,{}\[\]]+)'
TOO_MANY = b'{"errors":[{"msg":"Too many requests"}]}'


@dataclass(frozen=True)
class KeyedWire(Wire):
    """Rows are members of a map within the contents of a message."""

    def rows(self, payload: bytes) -> tuple[bytes, list[bytes], bytes]:
        """What stands before the rows of a message, the rows, and what stands behind them."""
        message = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
        contents = bytes(message.get("contents", b""))
        if not contents.startswith(b"{"):
            return b"", [payload], b""
        ((_, table),) = msgspec.json.decode(contents, type=dict[str, msgspec.Raw]).items()
        members = msgspec.json.decode(table, type=dict[str, msgspec.Raw])
        pieces = [msgspec.json.encode(name) + b":" + bytes(row) for name, row in members.items()]
        before, _, behind = payload.partition(bytes(table))
        return before + b"{", pieces, b"}" + behind

    def with_bad_field(self, text: bytes, name: str, symbol: str) -> bytes:
        """The same text with an impossible value in the rows of a market."""
        names, value = self.bad_fields[name]
        field = re.compile(rf'("(?:{names})":\s*)'.encode() + _VALUE)
        row = re.compile(rf'"{re.escape(symbol)}":\{{[^{{}}]*\}}'.encode())
        spoiled = super().with_bad_field(text, name, symbol)
        return row.sub(
            lambda found: field.sub(lambda one: one[1] + value.encode(), found[0]), spoiled
        )


WIRE = KeyedWire(
    event=("epochMs",),
    funding=("nextFundingAt",),
    rate=("nextFundingRate", "rate"),
    symbol='"([^"]+-USD)"',
    current="perpetualMarkets",
    rates_have_times=False,
    fixed_interval_hours=1,
    lists_caps=False,
    halts={"PAUSED": False, "CANCEL_ONLY": False, "POST_ONLY": False},
    bad_fields={"oracle-price": ("oraclePrice", '"?"')},
    optional=("defaultFundingRate1H", "openInterestLowerCap", "openInterestUpperCap"),
    unknown_event='{"type":"@event@","at":@ms@}',
)


def refusal(status: int) -> RestReply | None:
    """Refuse a call as the indexer does; None: its words for this status are not known."""
    return RestReply(TOO_MANY, 429) if status == 429 else None
