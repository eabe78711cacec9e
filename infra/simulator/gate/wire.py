"""What faults must know of Gate's texts: the fields of docs/exchanges/gate.md §6 and §9."""

from __future__ import annotations

from infra.simulator.exchange import RestReply
from infra.simulator.wire_fields import Wire

WIRE = Wire(
    # `t` is ms in a frame, and the time of a settlement in s in the history.
    event=(r't(?=":\d{13})', "time_ms", "time"),
    funding=("funding_next_apply", r't(?=":\d{10}\b)'),
    rate=("funding_rate", "r"),
    symbol='"(?:contract|name)":"([^"]+)"',
    current="/contracts",
    halts={"circuit_breaker": False, "delisting": True, "prelaunch": False},
    bad_fields={
        "mark-price": ("mark_price", '"?"'),
        "index-price": ("index_price", '"-"'),
        "funding-time": ("funding_next_apply", "17"),
    },
    optional=(
        "index_price", "funding_interval", "funding_next_apply", "launch_time", "quanto_multiplier",
        "position_size", "volume_24h_quote", "funding_rate_indicative",
    ),
    unknown_event=(
        '{"time":1,"time_ms":@ms@,"channel":"@event@","event":"update","result":{"type":"x"}}'
    ),
    rows_in=("result",),
)  # fmt: skip


def refusal(status: int) -> RestReply | None:
    """Refuse a call as the exchange does; None: its words for this status are not known."""
    if status != 429:
        return None
    return RestReply(b'{"label":"TOO_MANY_REQUESTS","message":"Request rate limit exceeded"}', 429)
