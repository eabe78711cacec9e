"""From payload bytes to readings: one pure module per feed, found by the feed's id.

Not responsible for: state, order, statistics (stream_app.core).
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from schemas.errors import ConfigurationError
from schemas.feeds import FEEDS, module_name
from stream_app.model import Normaliser


@cache
def normaliser(feed: str) -> Normaliser:
    """Return the normaliser of a feed.

    Raises:
        ConfigurationError: no such feed.
    """
    if feed not in FEEDS:
        raise ConfigurationError(f"unknown feed {feed!r}: known are {', '.join(FEEDS)}")
    module = import_module(f"stream_app.normalise.{module_name(feed)}")
    found: Normaliser = module.normalise
    return found
