"""A venue without a stream of rates: what all parts share of it.

Its REST is that of the other made-up venue.
"""

from __future__ import annotations

from tests.support.made_up_venue.facts import FEED as PLAIN

_HERE = __name__.rpartition(".")[0]

FEED = PLAIN._replace(
    name="made-up-polled",
    description=f"{_HERE}.description",
    simulator=f"{_HERE}.simulator",
    cadence_s=2.0,
    missed_after_s=5.0,
)
