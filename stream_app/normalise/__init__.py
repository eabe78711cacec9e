"""From payload bytes to updates: one pure module per feed, found by the feed's id."""

from __future__ import annotations

from collections.abc import Callable
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


@cache
def symbol_splitter(feed: str) -> Callable[[str], tuple[str, str]]:
    """Return the function that guesses (base, quote) of a feed's symbols until its facts arrive.

    Raises:
        ConfigurationError: no such feed.
    """
    found: Callable[[str], tuple[str, str]] = import_module(spec(feed).normaliser).split_symbol
    return found
