"""When REST is polled for the rates that the stream does not deliver. Pure.

The first poll is due at once, further ones a period apart, and fewer for contracts that are silent
for long. Times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from producers.exchanges.spec import RateLimit, RestCall
from producers.policy.ownership import Rest
from schemas.backoff import ceiling_s
from schemas.times import MS_PER_HOUR

SHARE = 0.6
"""The share of the rate limits that polls may use; history and the list of contracts need the
rest."""
SOON_S = 1.0
"""The time between two polls when many more contracts have gone silent since the last one."""
RETRY_S = 1.0
"""The delay after a failed poll; it doubles with each further failure, up to the period."""
FAILING_S = 8.0
TOLERATED_PERIODS = 2.0
"""REST counts as failing after FAILING_S without rates; once it has brought rates, after this many
periods more."""
LONG_S = 600.0
"""When only a few contracts are silent for this long, they are polled SELDOM_S apart: the exchange
lists them and does not stream them."""
SELDOM_S = 60.0
VERY_LONG_S = 3_600.0
VERY_SELDOM_S = 300.0
"""The time between polls for contracts that are silent for VERY_LONG_S: 12 an hour, where a healthy
feed makes 48 calls at most (docs/feeds.md)."""
FEW_SHARE = 0.05
RECONCILE_AFTER_MS = 150_000
"""After the full hour, when the exchanges have settled (docs/exchanges/README.md §8.2)."""


def affordable_s(calls: Iterable[RestCall], limits: Mapping[str, RateLimit]) -> float:
    """Return how many seconds apart these calls have to be to stay within SHARE of the limits."""
    drawn: dict[str, int] = {}
    for call in calls:
        for pool, cost in call.costs.items():
            drawn[pool] = drawn.get(pool, 0) + cost
    return max(
        (
            cost * limits[pool].window_s / (limits[pool].limit * SHARE)
            for pool, cost in drawn.items()
        ),
        default=0.0,
    )


def reconcile_due_ms(now_ms: int) -> int:
    """Return the next wall-clock time at which the stream is compared, once an hour."""
    hour_ms = now_ms // MS_PER_HOUR * MS_PER_HOUR
    due_ms = hour_ms + RECONCILE_AFTER_MS
    return due_ms if due_ms > now_ms else due_ms + MS_PER_HOUR


class Polling:
    """The pace of one feed's polls, and whether they bring rates."""

    def __init__(
        self,
        period_s: float,
        quiet_every_s: float | None = None,
        *,
        soon_s: float = SOON_S,
        retry_s: float = RETRY_S,
    ) -> None:
        """`period_s`: between two polls while nothing is in the way.

        `quiet_every_s`: that for contracts that are quiet, as `Exchange.quiet_every_s`.
        """
        self.period_s = period_s
        self._quiet_every_s = quiet_every_s
        self._soon_s = soon_s
        self._retry_s = retry_s
        self._since: dict[str, float] = {}
        """Since when each contract has been wanted that is not quiet."""
        self._quiet: frozenset[str] = frozenset()
        self._loaded = False
        """A history was loaded since the last poll."""
        self._polled: set[str] = set()
        self._polled_s: float | None = None
        self._begun_s: float | None = None
        """When the poll that is under way began."""
        self._failures = 0
        self._wanted_s: float | None = None
        """Since when at least one contract has been silent."""
        self._served_s: float | None = None
        self._failing_s = 0.0
        """When the first of the polls began that have failed since one that served."""

    def want(
        self, silent: Iterable[str], now_s: float, quiet: frozenset[str] = frozenset()
    ) -> None:
        """Set the contracts that the stream does not deliver, and those of them that are quiet."""
        since = self._since
        self._since = {symbol: since.get(symbol, now_s) for symbol in silent if symbol not in quiet}
        self._quiet = quiet
        self._polled -= quiet
        if not self._since and not quiet:
            self._polled.clear()
            self._failures = 0
            self._wanted_s = self._served_s = None
        elif self._wanted_s is None:
            self._wanted_s = now_s

    def loaded(self) -> None:
        """Note that the history of contracts was loaded, so that their next rates can be scored.

        A quiet contract would have no z-score until its turn comes.
        """
        self._loaded = True

    @property
    def wanted(self) -> frozenset[str]:
        """The contracts that the stream does not deliver."""
        return self._quiet.union(self._since)

    @property
    def quiet(self) -> frozenset[str]:
        """Those of them that are quiet."""
        return self._quiet

    def due_s(self, expected: int, floor_s: float) -> float | None:
        """Return when the next poll is due; None: no contract is silent.

        At once when many contracts are silent that no poll has asked for, otherwise a period after
        the last poll. `floor_s`: the least time between two polls, because of the rate limits.
        `expected`: how many contracts the feed has.
        """
        if self._polled_s is None or self._wanted_s is None:
            return self._wanted_s
        return self._polled_s + max(floor_s, self._pause_s(expected))

    def _pause_s(self, expected: int) -> float:
        few = expected * FEW_SHARE
        new = len(self._since.keys() - self._polled)
        if new > few:
            return self._soon_s
        if self._failures:
            return ceiling_s(self._failures - 1, self._retry_s, self.period_s)
        quiet_s = self._quiet_every_s if self._quiet else None
        if quiet_s is not None and self._loaded:
            quiet_s = min(quiet_s, SELDOM_S)
        pause_s = self._silent_pause_s(new, few) if self._since else quiet_s
        assert pause_s is not None
        return pause_s if quiet_s is None else min(pause_s, quiet_s)

    def _silent_pause_s(self, new: int, few: float) -> float:
        """Return the pause for contracts that are silent and not quiet, `new` ones among them."""
        if new:
            return min(self.period_s / 2, SELDOM_S)
        assert self._polled_s is not None
        if len(self._since) > few:
            return self.period_s
        silent_s = self._polled_s - max(self._since.values())
        if silent_s >= VERY_LONG_S:
            return max(self.period_s, VERY_SELDOM_S)
        return max(self.period_s, SELDOM_S) if silent_s >= LONG_S else self.period_s

    def begun(self, now_s: float) -> None:
        """Note that a poll begins."""
        self._polled_s = self._begun_s = now_s
        self._polled = set(self._since)
        self._loaded = False

    def ended(self, now_s: float, *, served: bool) -> None:
        """Note that the poll has ended; `served`: it has brought rates."""
        self._begun_s = None
        if served:
            self._served_s = now_s
        elif not self._failures:
            self._failing_s = self._polled_s or now_s
        self._failures = 0 if served else self._failures + 1

    def rest(self, now_s: float, expected: int) -> Rest:
        """Return what REST does for the contracts that the stream does not deliver.

        `expected`: how many contracts the feed has. A few contracts that no poll has asked for yet
        do not change the result.
        """
        if self._wanted_s is None:
            return Rest.IDLE
        tolerance_s = FAILING_S + TOLERATED_PERIODS * self.period_s
        unasked = self._since.keys() - self._polled
        if len(unasked) > expected * FEW_SHARE:
            since_s = max(self._since[symbol] for symbol in unasked)
            return Rest.FAILING if now_s - since_s > tolerance_s else Rest.IDLE
        if self._served_s is not None:
            waiting_s = 0.0 if self._begun_s is None else now_s - self._begun_s
            # Polls for quiet contracts are far apart: what was not asked for has not failed.
            since_s = max(self._served_s, self._failing_s - self.period_s)
            failing_s = now_s - since_s if self._failures else 0.0
            if max(waiting_s, failing_s) <= tolerance_s:
                return Rest.SERVING
            return Rest.FAILING
        if not self._since and not self._failures:
            return Rest.IDLE
        return Rest.FAILING if now_s - self._wanted_s > FAILING_S else Rest.IDLE
