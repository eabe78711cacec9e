"""From payload bytes to updates: one pure module per feed, found by the feed's id."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from schemas.feeds import spec
from stream_app.model import Normaliser


@cache
def normaliser(feed: str) -> Normaliser:
    """Return the normaliser of a feed.

    Raises:
        ConfigurationError: no such feed.
    """
    found: Normaliser = import_module(spec(feed).normaliser).normalise
    return found
