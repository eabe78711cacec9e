"""The registry of listed contracts: which should stream, and whose reference data changed. Pure.

Reference data (interval, status, caps) is kept and compared as the bytes that the exchange sent;
what it means is decided by the worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from producers.exchanges.spec import Listing, Slice
from schemas.feed_spec import MAX_CONTRACTS

MANY = 10
"""When more contracts than this and more than half of the list are missing from a reply, they are
removed only if the next reply agrees."""


class Change(NamedTuple):
    """What a refresh brought: facts to publish, contracts that were listed and delisted."""

    facts: Sequence[Slice]
    listed: frozenset[str]
    delisted: frozenset[str]
    doubtful: bool = False
    """Many contracts are missing: they count as delisted only if the next reply lacks them, too."""
    surplus: int = 0
    """How many contracts are left out because the list is too long."""


def _whole(_resource: str, payload: bytes) -> bytes:
    return payload


class InstrumentRegistry:
    """The reference data of all listed contracts as the exchange last sent it."""

    def __init__(
        self,
        identity: Callable[[str, bytes], bytes] = _whole,
        max_contracts: int = MAX_CONTRACTS,
    ) -> None:
        """`identity` takes (resource, fact) and returns the part of the fact whose change matters.

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
        """All contracts of the exchange's list, whether they should stream or not."""
        return self._listed

    def forget_published(self) -> None:
        """Publish all facts again with the next replies; the raw topic keeps them only for days."""
        self._facts.clear()

    def update(
        self,
        resource: str,
        slices: Iterable[Slice],
        listings: Iterable[Listing] | None,
        *,
        partial: bool = False,
    ) -> Change:
        """Take one reply and return what it changes. Facts about unlisted contracts are left out.

        `partial`: rows of the reply could not be read, so a missing contract may still be listed.
        A contract may also still be listed when most are missing; the next reply has to confirm it.
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
        """Set the listed contracts: `listed` and those `missing` from it that are kept.

        Returns how many are left out because the list is too long. Contracts that were listed
        before stay; new ones are taken in the order of their symbols.
        """
        known = missing | (listed & self._listed)
        new = sorted(listed - self._listed)
        taken = new[: max(0, self._max_contracts - len(known))]
        self._listed = known.union(taken)
        self._facts = {key: fact for key, fact in self._facts.items() if key[1] in self._listed}
        return len(new) - len(taken)


def _many(gone: frozenset[str], of: frozenset[str]) -> bool:
    return len(gone) > max(MANY, len(of) // 2)
