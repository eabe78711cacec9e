"""What faults must know of Pacifica's texts, and how its REST refuses a call.

The fields are those of docs/exchanges/pacifica.md §6 and §9.
"""

from __future__ import annotations

from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.wire_fields import Wire

WIRE = Wire(
    event=("timestamp",),
    funding=("created_at",),
    rate=("funding", "next_funding", "funding_rate", "next_funding_rate"),
    symbol='"symbol":"([^"]+)"',
    current="info/prices",
    fixed_interval_hours=1,
    lists_caps=False,
    bad_fields={"mark-price": ("mark", '"?"'), "oracle-price": ("oracle", '"-"')},
    optional=("mid", "yesterday_price", "oracle"),
)
TOO_MANY = b'{"success":false,"data":null,"error":"Rate limit exceeded","code":429}'


def refusal(status: int) -> RestReply | None:
    """Refuse a call as the exchange does (UNVERIFIED); None: its words are not known."""
    return RestReply(TOO_MANY, 429) if status == 429 else None


def maintenance(call: RestCall) -> RestReply | None:
    """Answer a call for the exchange's state during maintenance; none is known."""
    del call
    return None
