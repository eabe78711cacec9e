"""Pairs updates that were sent with rows that are stored, where no time names both. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from benchmarks.evidence import Stored, Update
from schemas.times import US_PER_S

NEAR_US = 900_000
"""A row received this soon after an update was sent is that update: pushes are further apart."""
FAR_US = 15 * US_PER_S
"""An update is received at most this long after it was sent, or its socket was given up."""
EARLY_US = 100_000
"""A receipt may lie this much before the stamp, which the simulator takes after the send."""


def match(sent: Sequence[Update], rows: Sequence[Stored]) -> tuple[list[Update], list[Stored]]:
    """Pair updates and rows one to one, in order, by contract, rate and moment of receipt.

    Those that were received at once are paired first: a lost update must not be taken for the next
    one with the same rate. Returns what is left of both.
    """
    updates: defaultdict[tuple[str, float], list[Update]] = defaultdict(list)
    receipts: defaultdict[tuple[str, float], list[Stored]] = defaultdict(list)
    for update in sent:
        updates[update.contract_id, update.rate].append(update)
    for row in rows:
        receipts[row.contract_id, row.rate].append(row)
    lost: list[Update] = []
    unused: list[Stored] = []
    for key in updates.keys() | receipts.keys():
        left = sorted(updates.get(key, ()), key=lambda each: each.sent_at)
        over = sorted(receipts.get(key, ()), key=lambda each: each.received_at)
        for late_us in (NEAR_US, FAR_US):
            left, over = _paired(left, over, late_us)
        lost += left
        unused += over
    return lost, unused


def _paired(
    left: list[Update], over: list[Stored], late_us: int
) -> tuple[list[Update], list[Stored]]:
    lost, unused = [], []
    index = 0
    for update in left:
        while index < len(over) and over[index].received_at < update.sent_at - EARLY_US:
            unused.append(over[index])
            index += 1
        if index < len(over) and over[index].received_at <= update.sent_at + late_us:
            index += 1
        else:
            lost.append(update)
    return lost, unused + over[index:]
