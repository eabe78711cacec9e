"""A valid payload for every feed, purpose and channel, with the normalisers that read them."""

from __future__ import annotations

from schemas.feeds import FEEDS
from stream_app.model import Normaliser
from stream_app.normalise import normaliser
from tests.venues.samples import payloads

SAMPLES = payloads()

# Imported here and not where they are used first: a fuzzer sees the branches of what is imported
# with its targets.
_NORMALISERS = {feed: normaliser(feed) for feed in FEEDS}


def normaliser_of(feed: str) -> Normaliser:
    """The normaliser of a feed."""
    return _NORMALISERS[feed]
