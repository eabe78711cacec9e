"""One push of an exchange that two connections bring, where frames carry no time. Pure.

Elsewhere an update is known again by its event time (ordering.py). Here only what it reads, who
brought it and when tell a copy from a rate that did not move. So pushes are matched one to one: the
n-th that one connection brings is the n-th of the other, within less than contracts are pushed
apart. A producer drops what its own sockets bring twice; this is for two producers of one feed.
"""

from __future__ import annotations

import msgspec

from schemas.feed_spec import SAME_PUSH_S
from schemas.times import US_PER_S
from stream_app.model import RateUpdate

WINDOW_US = int(SAME_PUSH_S * US_PER_S)
REMEMBERED = 8
"""Pushes of a contract: one producer's records may come some seconds behind the other's."""
MAX_CONNECTIONS = 8
"""That are remembered to have brought one push: more producers than anybody runs for one feed."""


class Push(msgspec.Struct, array_like=True, gc=False):
    """What was pushed, when it was received first (µs), and the connections that brought it."""

    received_at: int
    rate: float
    mark_price: float | None
    index_price: float | None
    interval_hours: float | None
    by: list[int]
    """Each by its number (Position.connection)."""


def is_copy(pushes: list[Push], update: RateUpdate, connection: int, received_at: int) -> bool:
    """Tell whether another connection brought the push before; `pushes` remembers this one.

    The next funding time is not compared: where no frame tells a time it follows from the receipt,
    which may lie before the hour on one connection and after it on the other.
    """
    for push in pushes:
        if (
            push.rate == update.rate
            and push.mark_price == update.mark_price
            and push.index_price == update.index_price
            and push.interval_hours == update.interval_hours
            and abs(received_at - push.received_at) < WINDOW_US
            and connection not in push.by
        ):
            if len(push.by) < MAX_CONNECTIONS:
                push.by.append(connection)
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
