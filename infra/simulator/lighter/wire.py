"""What faults must know of Lighter's texts, and how its REST refuses a call.

The fields are those of docs/exchanges/lighter.md §6 and §9.
"""

from __future__ import annotations

from infra.simulator.exchange import RestCall, RestReply
from infra.simulator.wire_fields import Wire

WIRE = Wire(
    # At the head of a row of the history it is the time of a settlement.
    event=(r'(?<!\{")timestamp',),
    funding=("funding_timestamp", r'(?<=\{")timestamp'),
    rate=("current_funding_rate", "funding_rate", "rate"),
    symbol='"symbol":"([^"]+)"',
    current="funding-rates",
    fixed_interval_hours=1,
    lists_caps=False,
    bad_fields={"mark-price": ("mark_price", '"?"'), "index-price": ("index_price", '"-"')},
    optional=("mid_price", "best_ask_price", "best_bid_price", "daily_price_change", "index_price"),
    keyed_in=("market_stats",),
)
TOO_MANY = b'{"code":23000,"message":"Too Many Requests!"}'


def refusal(status: int) -> RestReply | None:
    """Refuse a call as the exchange does; None: its words for this status are not known."""
    return RestReply(TOO_MANY, 429) if status == 429 else None


def maintenance(call: RestCall) -> RestReply | None:
    """Answer a call for the exchange's state during maintenance; none is known."""
    del call
    return None
