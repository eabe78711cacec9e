"""How a venue names the assets of its contracts, where the market at large names them otherwise.

A venue's own names stand in its `FeedSpec`; names that mean the same on every venue, and the rules
for multipliers, stand in `stream_app.normalise.assets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Meant(NamedTuple):
    """What a name stands for."""

    asset: str
    """The asset's canonical name."""
    multiplier: float
    """How many units of the asset one unit of the name is: 1000 for 1000PEPE."""
    why: str
    """The reason, and the public source that it is known from."""


class AssetNames(NamedTuple):
    """The names that one venue has for itself."""

    names: Mapping[str, Meant] = {}
    """By the name as the venue writes it. What stands here is final: no rule is applied to it."""
    share_endings: tuple[str, ...] = ()
    """What the venue writes behind the ticker of a share. What remains is the asset."""


NO_OWN_NAMES = AssetNames()
