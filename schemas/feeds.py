"""The feeds that fundingstream knows. Registering one more exchange is one more line here.

Not responsible for: what a feed does; producers/exchanges and stream_app/normalise hold a module
of the same name each.
"""

from __future__ import annotations

FEEDS: tuple[str, ...] = ("binance-usdm",)


def module_name(feed: str) -> str:
    """Return the Python module name of a feed id: `binance-usdm` is `binance_usdm`."""
    return feed.replace("-", "_")
