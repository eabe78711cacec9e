"""The registry of feeds: one line for each, and every part finds its module from there.

A line names a `FeedSpec` as `module:attribute`. The feeds of this repository stand in `_OWN`. An
installed package adds a feed with one line in its metadata, an entry point of the group
`fundingstream.feeds`:

    [project.entry-points."fundingstream.feeds"]
    my-venue = "my_package.facts:FEED"

Every process that can import the package then knows the feed. The feed's own modules are imported
by the part that needs them, when it does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from schemas.errors import ConfigurationError
from schemas.feed_spec import FeedSpec
from schemas.text import one_line

GROUP = "fundingstream.feeds"
"""The group of entry points that other packages register feeds in."""

_OWN = (
    "schemas.venues.binance_usdm:FEED",
    "schemas.venues.binance_coinm:FEED",
    "schemas.venues.kucoin:FEED",
    "schemas.venues.hyperliquid:FEED",
    "schemas.venues.backpack:FEED",
    "schemas.venues.aster:FEED",
    "schemas.venues.gate:FEED",
    "schemas.venues.whitebit:FEED",
    "schemas.venues.dydx:FEED",
    "schemas.venues.bybit:FEED",
    "schemas.venues.okx:FEED",
    "schemas.venues.bitget:FEED",
    "schemas.venues.mexc:FEED",
    "schemas.venues.lighter:FEED",
    "schemas.venues.pacifica:FEED",
)

_is_name = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*").fullmatch


def registered(lines: Iterable[str]) -> dict[str, FeedSpec]:
    """Return the feeds that registration lines name, by feed id.

    Raises:
        ConfigurationError: a line leads to no FeedSpec, or an id is malformed or taken.
    """
    found: dict[str, FeedSpec] = {}
    for line in lines:
        feed = _loaded(line)
        if not isinstance(feed, FeedSpec):
            raise ConfigurationError(f"the registered feed {line!r} is no FeedSpec")
        if not _is_name(feed.name) or feed.name in found:
            raise ConfigurationError(f"{line!r}: {feed.name!r} is taken, or cannot be a feed's id")
        found[feed.name] = feed
    return found


def part(feed: str, module: str, name: str) -> Any:
    """Return an object of a feed's own modules, which `spec(feed)` names.

    Raises:
        ConfigurationError: the module cannot be imported, or lacks the object.
    """
    return _loaded(f"{module}:{name}", f"feed {feed!r}: ")


def _loaded(line: str, told: str = "") -> Any:
    try:
        return EntryPoint("feed", line, GROUP).load()
    except Exception as error:  # noqa: BLE001 - it may be another package's code
        why = one_line(f"{type(error).__name__}: {error}")
        raise ConfigurationError(f"{told}{line!r} cannot be loaded: {why}") from None


def _installed() -> list[str]:
    """Return the lines of installed packages, in the order of their names."""
    return [each.value for each in sorted(entry_points(group=GROUP), key=lambda each: each.name)]


_BY_NAME = registered((*_OWN, *_installed()))
FEEDS: tuple[str, ...] = tuple(_BY_NAME)


def spec(feed: str) -> FeedSpec:
    """Return the facts of a feed.

    Raises:
        ConfigurationError: no such feed is registered.
    """
    found = _BY_NAME.get(feed)
    if found is None:
        raise ConfigurationError(f"unknown feed {feed!r}: known are {', '.join(FEEDS)}")
    return found


def limits_groups(feeds: Sequence[str]) -> list[tuple[str, ...]]:
    """Return feeds by the limits that they share (`FeedSpec.limits_group`), in their order."""
    found: dict[str, list[str]] = {}
    for feed in feeds:
        found.setdefault(spec(feed).limits_group or feed, []).append(feed)
    return [tuple(group) for group in found.values()]


def shared_out(feeds: Sequence[str], number: int, shares: int) -> tuple[str, ...]:
    """Return one process's share of feeds, where several processes share them.

    Feeds that share limits are in one share. The groups with most pushes are dealt out first, each
    to the share that has the least to do so far, so that all have about as much. All processes have
    to know the same feeds: a further one may move others to another share.

    Args:
        feeds: All feeds.
        number: Which share, from 1 on.
        shares: How many there are.

    Raises:
        ConfigurationError: there is no such share, a feed is not known, or none falls to the share.
    """
    if not 1 <= number <= shares:
        raise ConfigurationError(f"there is no share {number} of {shares}")
    groups = limits_groups(feeds)
    if shares > len(groups):
        what = "feed is" if len(groups) == 1 else "feeds with limits of their own are"
        raise ConfigurationError(f"{len(groups)} {what} too few for {shares} shares")
    dealt: list[list[str]] = [[] for _ in range(shares)]
    for group in sorted(groups, key=pushes_per_s, reverse=True):
        # An empty share comes first, whatever the others weigh.
        min(dealt, key=lambda share: (bool(share), pushes_per_s(share))).extend(group)
    return tuple(sorted(dealt[number - 1], key=feeds.index))


def pushes_per_s(feeds: Iterable[str]) -> float:
    """Return about how many rates the exchanges of some feeds push a second."""
    return sum(spec(feed).pushes_per_s for feed in feeds)


def stale_s(feed: str) -> float:
    """Return the stale threshold of a feed, in seconds."""
    return spec(feed).stale_s
