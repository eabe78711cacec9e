"""The facts of a feed that producers, worker, simulator, page and benchmarks share.

A feed is one market of an exchange, with streams of its own. Its `FeedSpec` stands in
`schemas/venues/<venue>.py` (or in an installed package, see `schemas.feeds`) and names the modules
that hold the rest: description, normaliser and simulator. It is data, so that every part can read
it without importing another part.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from schemas.asset_names import NO_OWN_NAMES, AssetNames
from schemas.contract_status import ContractStatus

MAX_CONTRACTS = 5_000
"""Contracts of one feed: more than twice the largest list that any exchange has
(docs/exchanges/README.md §8)."""
SAME_PUSH_S = 0.7
"""Two connections' copies of a push that names no event time arrive within so many seconds. The
exchange pushes a contract 0.8 s apart or more (docs/exchanges/README.md §8), so a connection that
lags further behind delivers the push as a second one."""


class RateKind(StrEnum):
    """What an exchange's own number for the current rate is. The `rate` of every record is a
    fraction per funding interval, whatever it was made of (docs/exchanges/README.md §3).
    """

    ESTIMATE = "estimate"
    """The running estimate for the coming settlement, a fraction per funding interval."""
    HOURLY_ESTIMATE = "hourly_estimate"
    """The same as a fraction per hour, of contracts that settle every hour."""
    HOURLY_PERCENT_ESTIMATE = "hourly_percent_estimate"
    """The same in percent per hour, of contracts that settle every hour."""
    FIXED = "fixed"
    """The rate that will be paid, known in advance: no estimate."""


class FeedSpec(NamedTuple):
    """What every part needs to know of a feed; times in seconds."""

    name: str
    """The feed's id: small letters, digits and hyphens."""
    description: str
    """Dotted name of the producers' module, which holds `EXCHANGE`."""
    normaliser: str
    """Dotted name of the worker's module, which holds `normalise` and `split_symbol`."""
    simulator: str | None
    """Dotted name of the simulator's module, which holds `SIMULATED`; None: it has none."""
    stale_s: float
    """A contract that has not delivered for this long is stale: its rate holds no longer, and it
    no longer counts as live (docs/exchanges/README.md §8)."""
    cadence_s: float
    """How often the stream pushes each contract (docs/exchanges/README.md §8)."""
    missed_after_s: float
    """Two updates further apart than this have lost at least one between them."""
    statuses: Mapping[str, ContractStatus]
    """What the exchange's words for the state of a contract mean; any other word: it is halted."""
    derive_settlements: bool = False
    """True: no source of settlements is timely, so the last estimate before the hour stands in for
    the settled rate until history has it."""
    settled_decimals: int | None = None
    """Settled rates are rounded to so many decimals while estimates have more; a derived settlement
    is rounded so as well. None: both have the same digits, as far as is known."""
    settling_s: float = 0.0
    """Estimates within so many seconds after a settlement are noise, and ignored."""
    perpetuals: int = 100
    """About how many the exchange lists: with `cadence_s` how much the feed is to do."""
    limits_group: str = ""
    """Feeds of one group share the exchange's limits, and so are streamed by one process; empty:
    the feed is alone in its group."""
    max_contracts: int = MAX_CONTRACTS
    """A longer list is cut to so many contracts, and an alert says so."""
    first_history_min: int = 0
    """Minutes that all days of history take at the first start, where the limits are so strict that
    people must be told; 0: a few."""
    timeless: bool = False
    """Frames of the stream name no event time: the time of receipt stands in for it."""
    rate_kind: RateKind = RateKind.ESTIMATE
    """What the exchange's number for the current rate is."""
    pushes_changes: bool = False
    """True: a contract is pushed only when something of it changes. No tick is missed then, and
    what REST brings of a silent contract is all that there is to know."""
    thinned: bool = False
    """True: it pushes a contract so often that only some updates are published, by a rule that is a
    function of the frames (`schemas.thinning`)."""
    assets: AssetNames = NO_OWN_NAMES
    """What it means by names of assets that mean something else on other exchanges."""
    max_settled_rate: float = 0.10
    """A fraction per interval that no regular settlement exceeds, nor an estimate of a contract of
    which the exchange states no cap (docs/exchanges/README.md §8)."""

    @property
    def pushes_per_s(self) -> float:
        """About how many rates the exchange pushes a second."""
        return self.perpetuals / self.cadence_s

    def status_of(self, word: str | None) -> ContractStatus:
        """Return the state that the exchange's word for it means; it is halted without a word."""
        return self.statuses.get(word or "", ContractStatus.HALTED)
