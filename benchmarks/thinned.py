"""Which updates of the truth a thinned feed need not store. Pure.

The producer follows the rule of `schemas.thinning` on what a connection brings, and the truth has
what was written into sockets, in the same order. Of the terms that the rule compares the truth has
the rate alone: an update that is left out here is stored all the same where its interval or next
funding time is another than before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from benchmarks.evidence import Update
from schemas.thinning import Thinning
from schemas.times import US_PER_S

Key = tuple[str, int, float]
"""Contract, event time (µs) and rate of an update."""


def left_out(sent: Iterable[Key]) -> set[Key]:
    """Return the updates that the rule leaves out of those that were sent, in their order."""
    contracts: defaultdict[str, Thinning[float]] = defaultdict(Thinning)
    kept: set[Key] = set()
    found: set[Key] = set()
    for key in sent:
        contract_id, event_us, rate = key
        (kept if contracts[contract_id].keeps(event_us, rate) else found).add(key)
    return found - kept


def in_their_seconds(updates: Iterable[Key]) -> set[tuple[str, int, float]]:
    """Return contract, second and rate of updates: what the loss of another one would repeat."""
    return {(contract_id, at // US_PER_S, rate) for contract_id, at, rate in updates}


class Owed(NamedTuple):
    """What a feed need not have stored; nothing of a feed that is not thinned."""

    left_out: frozenset[Key] = frozenset()
    """Updates that were sent, and that the rule leaves out."""
    lost_not_owed: frozenset[Key] = frozenset()
    """Updates that the exchange lost, so that no client got them, and that would not have been
    stored anyway: the rule would have left them out, or an update of the same contract, second and
    rate was sent."""


def owed_of(sent: Sequence[Update], missed: Sequence[Update]) -> Owed:
    """Return what a thinned feed need not have stored of what was sent, and of what nobody got."""
    keys, missing = _in_order(sent), _in_order(missed)
    said = in_their_seconds(keys)
    repeated = {key for key in missing if in_their_seconds([key]) & said}
    unseen = left_out(_in_order([*sent, *missed])) & set(missing)
    return Owed(frozenset(left_out(keys)), frozenset(unseen | repeated))


def _in_order(updates: Sequence[Update]) -> list[Key]:
    in_order = sorted(updates, key=lambda each: each.sent_at)
    return [(each.contract_id, each.event_time, each.rate) for each in in_order]
