"""Descriptions of the exchanges, found by feed id. Pure: no I/O, no clock."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from producers.exchanges.spec import Exchange
from schemas.feeds import spec


@cache
def exchange(feed: str) -> Exchange:
    """Return the description of a feed.

    Raises:
        ConfigurationError: no such feed.
    """
    found: Exchange = import_module(spec(feed).description).EXCHANGE
    return found
