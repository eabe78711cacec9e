"""Descriptions of the exchanges, found by feed id. Pure: no I/O, no clock."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from producers.exchanges.spec import Exchange
from schemas.errors import ConfigurationError
from schemas.feeds import FEEDS, module_name


@cache
def exchange(feed: str) -> Exchange:
    """Return the description of a feed.

    Raises:
        ConfigurationError: no such feed.
    """
    if feed not in FEEDS:
        raise ConfigurationError(f"unknown feed {feed!r}: known are {', '.join(FEEDS)}")
    found: Exchange = import_module(f"producers.exchanges.{module_name(feed)}").EXCHANGE
    return found
