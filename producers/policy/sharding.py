"""Which socket carries which contracts: a contract stays on its socket while it is listed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from producers.exchanges.spec import SocketKind


class Shards(NamedTuple):
    """How the contracts are spread over the sockets of one kind."""

    pool: Sequence[frozenset[str]]
    """The contracts of each socket, in the order of the sockets."""
    surplus: frozenset[str]
    """Contracts for which no socket has room."""


def allocate(
    kind: SocketKind,
    present: Sequence[frozenset[str]],
    wanted: Iterable[str],
    expected: frozenset[str] | None = None,
) -> Shards:
    """Spread the wanted contracts of a kind over its sockets.

    `present`: the contracts of each socket now. Contracts that are not wanted any more leave their
    socket; new ones go to the first socket with room, and those beyond evenly to new sockets. A
    socket may be left without contracts; its place in the order stays.

    `expected`: the wanted contracts that should deliver (None: all). Where there is not room for
    all, the others take none of theirs.
    """
    if kind.capacity is None:
        return Shards([frozenset()], frozenset())
    all_mine = frozenset(filter(kind.takes, wanted))
    mine = _with_room(kind, present, all_mine, all_mine if expected is None else expected)
    kept = [set(symbols & mine) for symbols in present]
    new = sorted(mine.difference(*kept), reverse=True)
    for symbols in kept:
        while new and len(symbols) < kind.capacity:
            symbols.add(new.pop())
    for left in range(min(-(-len(new) // kind.capacity), kind.max_sockets - len(kept)), 0, -1):
        # Evenly: a socket with few contracts may have none that is pushed often.
        size = min(-(-len(new) // left), kind.capacity)
        kept.append({new.pop() for _ in range(size)})
    return Shards([frozenset(symbols) for symbols in kept], all_mine.difference(*kept))


def _with_room(
    kind: SocketKind,
    present: Sequence[frozenset[str]],
    mine: frozenset[str],
    expected: frozenset[str],
) -> frozenset[str]:
    """Leave out contracts that need not deliver, as far as those that should take the room.

    Those that have a socket are left out last.
    """
    assert kind.capacity is not None
    owed = mine & expected
    subscribed = frozenset[str]().union(*present)
    others = sorted(mine - owed, key=lambda symbol: (symbol not in subscribed, symbol))
    room = kind.capacity * kind.max_sockets - len(owed)
    return owed.union(others[: max(0, room)])
