"""The registry of listed contracts: which are wanted, and whose reference data changed. Pure.

Reference data (interval, status, caps) is kept and compared as the bytes that the exchange sent;
what it means is decided by the worker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from producers.exchanges.spec import Listing, Slice
from schemas.contract_status import ContractStatus
from schemas.feed_spec import MAX_CONTRACTS

MAX_KEY_CHARS = 128
"""A longer `Listing.key` is none."""
MANY = 10
"""When more contracts than this and more than half of the list are missing from a reply, they are
removed only if the next reply agrees."""


class Change(NamedTuple):
    """What a refresh brought: facts to publish, contracts that were listed and delisted."""

    facts: Sequence[Slice]
    listed: frozenset[str]
    """Contracts whose rates are wanted from now on. One that is halted and trades again is none."""
    delisted: frozenset[str]
    """Contracts whose rates are wanted no longer. One that is halted is none."""
    doubtful: bool = False
    """Many contracts are missing: they count as delisted only if the next reply lacks them, too."""
    surplus: int = 0
    """How many contracts are left out because the list is too long."""


def _whole(_resource: str, payload: bytes) -> bytes:
    return payload


class OneEach(NamedTuple):
    """A reply in which no contract is named twice."""

    slices: Sequence[Slice]
    twice: frozenset[str]
    """The contracts that the reply named more than once."""


def one_each(
    slices: Iterable[Slice],
    status: Callable[[Slice], ContractStatus | None],
    identity: Callable[[Slice], bytes],
) -> OneEach:
    """Leave out all but one of the entries that a reply has of one contract.

    Else contract and facts would change with each refresh. The entry that streams is taken, else
    one that is subscribed, else one that is listed at all; among equals the first by `identity`,
    so that the order in the reply does not matter.

    `status` returns the state that an entry gives its contract; None: it does not list it.
    """

    def rank(piece: Slice) -> tuple[bool, bool, bool, bytes]:
        state = status(piece)
        streams, subscribed = (state.streams, state.subscribed) if state else (False, False)
        return not streams, not subscribed, state is None, identity(piece)

    entries: dict[str, list[Slice]] = defaultdict(list)
    everything = list(slices)
    for piece in everything:
        if piece.symbol is not None:
            entries[piece.symbol].append(piece)
    twice = {symbol: found for symbol, found in entries.items() if len(found) > 1}
    chosen = {symbol: min(found, key=rank) for symbol, found in twice.items()}
    kept = []
    for piece in everything:
        if piece.symbol not in twice:
            kept.append(piece)
        elif piece == chosen.get(piece.symbol):
            kept.append(chosen.pop(piece.symbol))
    return OneEach(kept, frozenset(twice))


class _OneList(NamedTuple):
    """What one resource lists: some exchanges have a list for each family of contracts."""

    listed: frozenset[str] = frozenset()
    streaming: frozenset[str] = frozenset()
    subscribed: frozenset[str] = frozenset()
    is_doubted: bool = False
    """Its last reply lacked many contracts, which the next one has to confirm."""


class InstrumentRegistry:
    """The reference data of all listed contracts as the exchange last sent it.

    Several resources may list contracts: each is the whole list of its own, and all of them
    together are the exchange's.
    """

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
        self._lists: dict[str, _OneList] = {}
        """By resource, those that list contracts."""
        self._listed: frozenset[str] = frozenset()
        self.streaming: frozenset[str] = frozenset()
        """Contracts that should deliver rates: their silence is a gap, and REST fills in."""
        self.subscribed: frozenset[str] = frozenset()
        """Contracts whose rates are wanted: those that stream, and those that may be silent."""
        self.keys: Mapping[str, str] = {}
        """What requests call contracts that do not go by their symbols (`Listing.key`)."""

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
        before = self.subscribed
        doubtful, surplus = False, 0
        if listings is not None:
            entries = list(listings)
            doubtful, surplus = self._relist(resource, entries, partial=partial)
            found = {e.symbol: e.key for e in entries if 0 < len(e.key) <= MAX_KEY_CHARS}
            keys = {**self.keys, **found}
            self.keys = {symbol: keys[symbol] for symbol in keys if symbol in self._listed}
        changed = []
        for piece in slices:
            if piece.symbol is None or piece.symbol not in self._listed:
                continue
            key = (resource, piece.symbol)
            identity = self._identity(resource, piece.payload)
            if self._facts.get(key) != identity:
                self._facts[key] = identity
                changed.append(piece)
        came, went = self.subscribed - before, before - self.subscribed
        return Change(changed, came, went, doubtful, surplus)

    def _relist(
        self, resource: str, entries: Sequence[Listing], *, partial: bool
    ) -> tuple[bool, int]:
        """Take what a resource lists now; tell whether it is doubted, and how many are too many."""
        listed = frozenset(entry.symbol for entry in entries)
        streaming = frozenset(entry.symbol for entry in entries if entry.streaming)
        subscribed = frozenset(entry.symbol for entry in entries if entry.subscribed)
        own = self._lists.get(resource, _OneList())
        missing = own.listed - listed
        many = _many(missing, own.listed) or _many(own.streaming - streaming, own.streaming)
        many = many or _many(own.subscribed - subscribed, own.subscribed)
        doubtful = many and not own.is_doubted
        if not (partial or doubtful):
            missing = frozenset()
        streaming |= own.streaming if doubtful else own.streaming & missing
        subscribed |= own.subscribed if doubtful else own.subscribed & missing
        taken = self._taken(resource, own, listed, missing)
        self._lists[resource] = _OneList(taken, streaming & taken, subscribed & taken, doubtful)
        lists = self._lists.values()
        self._listed = frozenset().union(*(each.listed for each in lists))
        self.streaming = frozenset().union(*(each.streaming for each in lists))
        self.subscribed = frozenset().union(*(each.subscribed for each in lists))
        self._facts = {key: fact for key, fact in self._facts.items() if key[1] in self._listed}
        return doubtful, len(listed | missing) - len(taken)

    def _taken(
        self, resource: str, own: _OneList, listed: frozenset[str], missing: frozenset[str]
    ) -> frozenset[str]:
        """Return the contracts of a list that there is room for.

        `listed` and those `missing` from it that are kept. Contracts that were listed before stay;
        new ones are taken in the order of their symbols.
        """
        known = missing | (listed & own.listed)
        others = sum(len(each.listed) for name, each in self._lists.items() if name != resource)
        new = sorted(listed - own.listed)
        return known.union(new[: max(0, self._max_contracts - len(known) - others)])


def _many(gone: frozenset[str], of: frozenset[str]) -> bool:
    return len(gone) > max(MANY, len(of) // 2)
