"""Descriptions of the exchanges, found by feed id. Pure: no I/O, no clock."""

from __future__ import annotations

from functools import cache

from producers.exchanges.spec import Exchange
from schemas.feeds import part, spec


@cache
def exchange(feed: str) -> Exchange:
    """Return the description of a feed.

    Raises:
        ConfigurationError: no such feed, or its module is missing.
    """
    found: Exchange = part(feed, spec(feed).description, "EXCHANGE")
    return found
