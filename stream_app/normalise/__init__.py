"""From payload bytes to updates: one pure module per feed, found by the feed's id."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from schemas.feeds import part, spec
from stream_app.model import Normaliser


@cache
def normaliser(feed: str) -> Normaliser:
    """Return the normaliser of a feed.

    Raises:
        ConfigurationError: no such feed, or its module is missing.
    """
    found: Normaliser = part(feed, spec(feed).normaliser, "normalise")
    return found


@cache
def symbol_splitter(feed: str) -> Callable[[str], tuple[str, str]]:
    """Return the function that guesses (base, quote) of a feed's symbols until its facts arrive.

    Raises:
        ConfigurationError: no such feed, or its module is missing.
    """
    found: Callable[[str], tuple[str, str]] = part(feed, spec(feed).normaliser, "split_symbol")
    return found
