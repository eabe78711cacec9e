"""Which updates of a feed that pushes a contract many times a second are published. Pure.

The rule is a function of two neighbouring frames of a contract and of nothing else: an update is
kept if it is the first of its second by the exchange's clock, or if its rate, interval or next
funding time is not that of the frame before. So two connections keep the same updates byte for
byte, a replay keeps what the first run kept, and an account can tell which updates must be stored.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from schemas.times import US_PER_S

Terms = TypeVar("Terms")


class Thinning(Generic[Terms]):
    """Decides for the updates of one contract on one connection, in their order."""

    __slots__ = ("_second", "_terms")

    def __init__(self) -> None:
        self._second: int | None = None
        self._terms: Terms | None = None

    def keeps(self, event_us: int, terms: Terms) -> bool:
        """Tell whether an update is published.

        Args:
            event_us: when the exchange made it, UTC µs.
            terms: rate, interval and next funding time, in any form that can be compared.
        """
        second = event_us // US_PER_S
        kept = second != self._second or terms != self._terms
        self._second, self._terms = second, terms
        return kept
