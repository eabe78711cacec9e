"""The registry of listed contracts: who should stream, and which facts have changed. Pure.

Not responsible for: fetching (feed.py), what a fact means (stream_app).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from producers.exchanges.spec import Listing, Slice
from schemas.feed_spec import MAX_CONTRACTS

MANY = 10
"""More contracts than this, and half of the list, go only if the next reply agrees."""


class Change(NamedTuple):
    """What a refresh brought: facts to publish, contracts that came and went."""

    facts: Sequence[Slice]
    listed: frozenset[str]
    delisted: frozenset[str]
    doubtful: bool = False
    """So many went that the next reply has to confirm it, soon."""
    surplus: int = 0
    """Contracts of the list that are left out because it is too long."""


def _whole(_resource: str, payload: bytes) -> bytes:
    return payload


class InstrumentRegistry:
    """Facts of all listed contracts as the exchange last sent them."""

    def __init__(
        self,
        identity: Callable[[str, bytes], bytes] = _whole,
        max_contracts: int = MAX_CONTRACTS,
    ) -> None:
        """`identity` of (resource, fact): the part of it whose change counts.

        `max_contracts`: a longer list is cut.
        """
        self._identity = identity
        self._max_contracts = max_contracts
        self._facts: dict[tuple[str, str], bytes] = {}
        self._listed: frozenset[str] = frozenset()
        self._doubted = False
        self.streaming: frozenset[str] = frozenset()

    @property
    def listed(self) -> frozenset[str]:
        """All contracts of the exchange's list, streaming or not."""
        return self._listed

    def forget_published(self) -> None:
        """Have all facts published again by the next replies: the raw log forgets them in time."""
        self._facts.clear()

    def update(
        self,
        resource: str,
        slices: Iterable[Slice],
        listings: Iterable[Listing] | None,
        *,
        partial: bool = False,
    ) -> Change:
        """Take one reply. Facts of contracts that are not listed are left out.

        `partial`: rows of it could not be read, so a contract that is missing may still be listed.
        So it may when most are missing: the next reply has to confirm that.
        """
        before = self.streaming
        doubtful, surplus = False, 0
        if listings is not None:
            entries = list(listings)
            listed = frozenset(entry.symbol for entry in entries)
            streaming = frozenset(entry.symbol for entry in entries if entry.streaming)
            missing, stopped = self._listed - listed, before - streaming
            many = _many(missing, self._listed) or _many(stopped, before)
            self._doubted = doubtful = many and not self._doubted
            if not (partial or doubtful):
                missing = frozenset()
            kept = stopped if doubtful else before & missing
            surplus = self._take(listed, missing)
            self.streaming = (streaming | kept) & self._listed
        changed = []
        for piece in slices:
            if piece.symbol is None or piece.symbol not in self._listed:
                continue
            key = (resource, piece.symbol)
            identity = self._identity(resource, piece.payload)
            if self._facts.get(key) != identity:
                self._facts[key] = identity
                changed.append(piece)
        return Change(changed, self.streaming - before, before - self.streaming, doubtful, surplus)

    def _take(self, listed: frozenset[str], missing: frozenset[str]) -> int:
        """Make a list the current one, and what it should not miss; return how much is left out.

        Contracts that were listed before stay; of new ones the first by their symbols are taken.
        """
        known = missing | (listed & self._listed)
        new = sorted(listed - self._listed)
        taken = new[: max(0, self._max_contracts - len(known))]
        self._listed = known.union(taken)
        self._facts = {key: fact for key, fact in self._facts.items() if key[1] in self._listed}
        return len(new) - len(taken)


def _many(gone: frozenset[str], of: frozenset[str]) -> bool:
    return len(gone) > max(MANY, len(of) // 2)
