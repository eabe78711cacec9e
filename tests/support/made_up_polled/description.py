"""How producers talk to the venue without a stream."""

from __future__ import annotations

from producers.exchanges.spec import Frame
from schemas.errors import MalformedInputError
from tests.support.made_up_polled.facts import FEED
from tests.support.made_up_venue.description import MadeUp


class MadeUpPolled(MadeUp):
    """The description."""

    feed = FEED.name
    limits_group = FEED.name
    fallback_s = 2.0
    socket_kinds = ()

    def slice_frame(self, data: bytes) -> Frame:
        """Refuse every message: there is no socket that could bring one."""
        raise MalformedInputError(f"a message without a socket: {data[:50]!r}")


EXCHANGE = MadeUpPolled()
