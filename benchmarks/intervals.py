"""How often the interval of a settlement is inferred wrongly, over random histories.

Histories have changes of the interval, moves of the settlement clock and missing rows, as exchanges
make them. Three kinds of evidence are compared: an estimate states the interval of each settlement;
the list says what is in force; nothing is known but the times of the settlements. A settlement
counts as wrong if it has another interval than the true one and is not marked as doubtful.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from schemas.times import US_PER_HOUR, US_PER_MINUTE
from stream_app.core.scoring.baseline import Baseline
from stream_app.core.scoring.interval_evidence import IntervalEvidence

BEGIN_US = 1_791_273_600_000_000
DAYS = 33
INTERVALS = (1.0, 2.0, 4.0, 8.0)
BETWEEN = 0.3
"""Share of the changes that are made between two settlements."""
MISSING = 0.01
"""Share of the rows that are missing in a history."""
EVIDENCE = ("stated", "listed", "spacing")


class Due(NamedTuple):
    """A settlement as it truly is."""

    at: int
    hours: float


@dataclass
class Count:
    """Settlements of one kind of evidence."""

    evidence: str
    settlements: int = 0
    wrong: int = 0
    doubtful: int = 0

    @property
    def share_wrong(self) -> float:
        """Wrong ones among all."""
        return self.wrong / max(1, self.settlements)


def true_history(chance: random.Random) -> list[Due]:
    """Return DAYS of settlements, with up to two changes and perhaps a moved clock."""
    at, end = BEGIN_US, BEGIN_US + DAYS * 24 * US_PER_HOUR
    hours = chance.choice(INTERVALS)
    changes = sorted(chance.uniform(0.1, 0.9) for _ in range(chance.choice((0, 0, 1, 2))))
    move = chance.uniform(0.1, 0.9) if chance.random() < 0.2 else 2.0
    due: list[Due] = []
    while at < end:
        share = (at - BEGIN_US) / (end - BEGIN_US)
        if changes and share >= changes[0]:
            changes.pop(0)
            before, hours = hours, chance.choice([each for each in INTERVALS if each != hours])
            if chance.random() < BETWEEN:
                # Decided between two settlements: the next one is on the grid of the new interval.
                decided = at + int(chance.uniform(0.1, 0.9) * before * US_PER_HOUR)
                step_us = int(hours * US_PER_HOUR)
                at = decided // step_us * step_us
        if share >= move and hours > 1:
            move = 2.0
            at += chance.randrange(1, int(hours)) * US_PER_HOUR
        at += int(hours * US_PER_HOUR)
        due.append(Due(at, hours))
    return due


def evidence_of(due: Sequence[Due], kind: str) -> IntervalEvidence:
    """Return what the exchange has said about a history."""
    said, before = IntervalEvidence(), BEGIN_US
    for one in due:
        if kind == "listed" and (not said.listed or said.listed[-1].hours != one.hours):
            said.note_listed(one.hours, before + 10 * US_PER_MINUTE)
        before = one.at
    if kind == "spacing":
        # A first start: the list of today, received after all of it.
        said.note_listed(due[-1].hours, due[-1].at + US_PER_MINUTE)
    return said


def measure(histories: int, seed: int) -> list[Count]:
    """Infer the intervals of random histories from each kind of evidence."""
    counts = [Count(kind) for kind in EVIDENCE]
    for number in range(histories):
        chance = random.Random(f"{seed}/{number}")
        due = true_history(chance)
        kept = [one for one in due if chance.random() >= MISSING]
        truth = {one.at: one.hours for one in kept}
        for count in counts:
            said, baseline = evidence_of(due, count.evidence), Baseline()
            for offset, one in enumerate(kept):
                if count.evidence == "stated":
                    said.note_stated(one.hours, one.at, one.at - US_PER_MINUTE)
                baseline.add(one.at, 0.0001, None, said, offset)
            for settled in baseline.settled:
                count.settlements += 1
                count.doubtful += settled.doubtful
                is_wrong = settled.interval_hours != truth[settled.funding_time]
                count.wrong += is_wrong and not settled.doubtful
    return counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the shares for each kind of evidence; 1 if what the source states is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks intervals", description=__doc__)
    parser.add_argument("--histories", type=int, default=300, help="how many (default 300)")
    parser.add_argument("--seed", type=int, default=1, help="of the random histories (default 1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args(arguments)
    counts = measure(chosen.histories, chosen.seed)
    verdict = int(any(count.wrong for count in counts if count.evidence == "stated"))
    if chosen.json:
        print(json.dumps([asdict(count) | {"share_wrong": count.share_wrong} for count in counts]))
        return verdict
    print(f"{'evidence':10}{'settlements':>12}{'wrong':>8}{'doubtful':>10}{'share wrong':>14}")
    for count in counts:
        print(
            f"{count.evidence:10}{count.settlements:12,}{count.wrong:8,}{count.doubtful:10,}"
            f"{count.share_wrong:14.5%}"
        )
    return verdict
