"""Every registered exchange with its kinds of sockets and messages, for the contract suite."""

from __future__ import annotations

import pytest

from producers.exchanges import exchange
from schemas.feeds import FEEDS

EXCHANGES = [exchange(feed) for feed in FEEDS]
KINDS = [(found, kind) for found in EXCHANGES for kind in found.socket_kinds]
SYMBOL_KINDS = [(found, kind) for found, kind in KINDS if kind.capacity is not None]
each_feed = pytest.mark.parametrize("feed", FEEDS)
each_kind = pytest.mark.parametrize(
    ("found", "kind"), KINDS, ids=[f"{found.feed}-{kind.name}" for found, kind in KINDS]
)
