"""What the monitor of a feed reports; producers/feed/feed.py handles each kind in one place. Pure.

A FeedEvent is only put on record; the other kinds ask a part of the feed to do something.
"""

from __future__ import annotations

from typing import NamedTuple

from schemas.control_items import FeedEvent


class ContractsSilent(NamedTuple):
    """The stream does not deliver these contracts now (perhaps none): REST has to."""

    contracts: frozenset[str]
    quiet: frozenset[str] = frozenset()
    """Those of them that are quiet (`producers.policy.quiet`)."""


class FewSilent(NamedTuple):
    """A few contracts among many have gone silent: they may be delisted, so the list is due."""

    contracts: frozenset[str]


class UnknownContracts(NamedTuple):
    """The stream delivers contracts that the list does not have."""

    contracts: tuple[str, ...]


class SettlementsMissed(NamedTuple):
    """A full hour lies in a gap of this socket, whose contracts nothing else delivered."""

    socket: str


MonitorEvent = ContractsSilent | FewSilent | UnknownContracts | SettlementsMissed | FeedEvent
