"""A venue that no part of fundingstream knows: what all parts share of it.

One socket pushes arrays of rows `{"c":"PEPE/USD","at":ms,"fr":"0.0001","next":ms}`; REST has
`/contracts`, `/current` and `/settled`. With the three modules beside this one and a line of
registration it is complete.
"""

from __future__ import annotations

from schemas.contract_status import ContractStatus
from schemas.feed_spec import FeedSpec

_HERE = __name__.rpartition(".")[0]

FEED = FeedSpec(
    "made-up",
    description=f"{_HERE}.description",
    normaliser=f"{_HERE}.normaliser",
    simulator=f"{_HERE}.simulator",
    stale_s=10.0,
    cadence_s=1.0,
    missed_after_s=1.5,
    statuses={"live": ContractStatus.TRADING},
)
