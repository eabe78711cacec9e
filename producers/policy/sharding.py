"""Which contracts live on which socket: a contract stays where it is while it is listed. Pure.

Not responsible for: sockets (sockets.py), subscribing (connection.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from producers.exchanges.spec import SocketKind


class Shards(NamedTuple):
    """Contracts per socket of a kind, in the order of the sockets, and those that found none."""

    pool: Sequence[frozenset[str]]
    surplus: frozenset[str]


def allocate(kind: SocketKind, present: Sequence[frozenset[str]], wanted: Iterable[str]) -> Shards:
    """Take what is gone off its socket, put what is new on the first with room, or on one more.

    A socket may be left without contracts; its place in the order stays.
    """
    if kind.capacity is None:
        return Shards([frozenset()], frozenset())
    mine = frozenset(filter(kind.takes, wanted))
    kept = [set(symbols & mine) for symbols in present]
    new = sorted(mine.difference(*kept), reverse=True)
    for symbols in kept:
        while new and len(symbols) < kind.capacity:
            symbols.add(new.pop())
    while new and len(kept) < kind.max_sockets:
        kept.append({new.pop() for _ in range(min(len(new), kind.capacity))})
    return Shards([frozenset(symbols) for symbols in kept], frozenset(new))
