"""The widest gap between two feeds of a base, from the newest rates of its contracts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.rates import apr, rate_8h
from schemas.times import US_PER_MINUTE
from stream_app.pairing import UnitPrice, widest_pair

LEG_STALE_US = 15 * US_PER_MINUTE
"""A rate that is older than this beside the newest one of its base is no leg."""
MAX_LEGS = 64
"""Of one base. There are some ten."""


@dataclass(frozen=True, slots=True)
class Leg:
    """The newest rate of a contract."""

    contract_id: str
    feed: str
    rate: tuple[float, float]
    """Rate per interval, and the interval in hours."""
    event_time: int
    price: UnitPrice
    """What a unit of the base asset costs there."""

    @property
    def rate_8h(self) -> float:
        """The rate per 8 h."""
        return rate_8h(*self.rate)


@dataclass(frozen=True, slots=True)
class Gap:
    """Two legs of different feeds."""

    high: Leg
    low: Leg

    @property
    def rate_8h(self) -> float:
        """How far they are apart, per 8 h."""
        return self.high.rate_8h - self.low.rate_8h

    @property
    def apr(self) -> float:
        """How far they are apart a year."""
        return apr(*self.high.rate) - apr(*self.low.rate)

    @property
    def names(self) -> str:
        """The contracts of both legs."""
        return f"{self.high.contract_id} {self.low.contract_id}"


def widest_gap(legs: Iterable[Leg]) -> Gap | None:
    """Return the widest gap between legs of two feeds and one asset; None where there is none."""
    found = widest_pair(legs)
    return None if found is None else Gap(*found)


class LegTable:
    """The newest legs of every base. What it holds is bounded by the contracts there are."""

    def __init__(self) -> None:
        self._legs: dict[str, dict[str, Leg]] = {}

    def put(self, base: str, leg: Leg) -> None:
        """Take a contract's newest rate."""
        legs = self._legs.setdefault(base, {})
        legs[leg.contract_id] = leg
        if len(legs) > MAX_LEGS:
            del legs[min(legs, key=lambda name: legs[name].event_time)]

    def fresh(self, base: str) -> list[Leg]:
        """Return the legs of a base that are not stale beside its newest one."""
        legs = self._legs.get(base, {})
        newest = max((leg.event_time for leg in legs.values()), default=0)
        return [leg for leg in legs.values() if newest - leg.event_time <= LEG_STALE_US]

    def knows(self, base: str, names: str) -> bool:
        """Tell whether every contract of `Gap.names` has been seen."""
        return all(name in self._legs.get(base, {}) for name in names.split())
