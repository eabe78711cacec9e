"""Copies of one push that two connections deliver, for feeds whose frames carry no time.

Other feeds recognise a copy by its event time. Here only the values, the connection and the time of
receipt tell a copy from a rate that did not move. So pushes are matched one to one: the n-th of one
connection is the n-th of the other, within less than the time between two pushes of a contract. A
producer drops copies of its own sockets; this is for two producers of one feed.
"""

from __future__ import annotations

import msgspec

from schemas.feed_spec import SAME_PUSH_S
from schemas.times import US_PER_S
from stream_app.model import RateUpdate

WINDOW_US = int(SAME_PUSH_S * US_PER_S)
REMEMBERED = 8
"""How many pushes of a contract: one producer's records may be seconds behind the other's."""
MAX_CONNECTIONS = 8
"""How many connections of one push are remembered: more than one feed ever has."""


class Push(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What was pushed, when it was received first (µs), and the connections that brought it."""

    received_at: int
    rate: float
    mark_price: float | None
    index_price: float | None
    interval_hours: float | None
    by: list[int]
    """Each as `ItemContext.connection`."""


def is_copy(pushes: list[Push], update: RateUpdate, connection: int, received_at: int) -> bool:
    """Tell whether another connection delivered this push before; it is added to `pushes`.

    Pushes themselves are never changed, so that a copy of the list is all of what was.
    The next funding time is not compared: where no frame tells a time it follows from the receipt,
    which may lie before the hour on one connection and after it on the other.
    """
    for number, push in enumerate(pushes):
        if (
            push.rate == update.rate
            and push.mark_price == update.mark_price
            and push.index_price == update.index_price
            and push.interval_hours == update.interval_hours
            and abs(received_at - push.received_at) < WINDOW_US
            and connection not in push.by
        ):
            if len(push.by) < MAX_CONNECTIONS:
                by = [*push.by, connection]
                pushes[number] = msgspec.structs.replace(push, by=by)
            return True
    pushes.append(
        Push(
            received_at,
            update.rate,
            update.mark_price,
            update.index_price,
            update.interval_hours,
            [connection],
        )
    )
    del pushes[:-REMEMBERED]
    return False
