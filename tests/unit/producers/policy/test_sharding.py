"""Contracts on sockets: each once, none moved while it is listed, capacities kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges.spec import SocketKind
from producers.policy.sharding import allocate

symbols_st = st.frozensets(st.integers(0, 40).map(lambda n: f"S{n}"), max_size=30)


def kind_of(capacity: int | None, max_sockets: int = 64) -> SocketKind:
    """A kind of socket for contracts without a 7."""
    return SocketKind(
        "k",
        1.0,
        2.0,
        ("wss://x/",),
        capacity=capacity,
        max_sockets=max_sockets,
        takes=lambda symbol: "7" not in symbol,
    )


@given(st.lists(symbols_st, max_size=6), st.integers(1, 9), st.integers(1, 4))
def test_contracts_stay_and_none_is_lost(
    history: list[frozenset[str]], capacity: int, max_sockets: int
) -> None:
    """Over any sequence of lists: a partition of the wanted ones, stable, within the limits."""
    present: list[frozenset[str]] = []
    for wanted in history:
        kind = kind_of(capacity, max_sockets)
        found = allocate(kind, present, wanted)
        mine = {symbol for symbol in wanted if "7" not in symbol}
        placed = [symbol for socket in found.pool for symbol in socket]
        assert len(placed) == len(set(placed))
        assert set(placed) | found.surplus == mine
        assert not set(placed) & found.surplus
        assert all(len(socket) <= capacity for socket in found.pool)
        assert len(found.pool) <= max_sockets
        if found.surplus:
            assert len(placed) == capacity * max_sockets
        for before, after in zip(present, found.pool, strict=False):
            assert before & mine <= after, "a listed contract was moved"
        present = list(found.pool)


def test_new_contracts_fill_gaps_before_a_socket_is_added() -> None:
    """A delisting makes room for a listing."""
    first = allocate(kind_of(2), [], {"A", "B", "C"})
    assert list(map(set, first.pool)) == [{"A", "B"}, {"C"}]
    more = allocate(kind_of(2), first.pool, {"B", "C", "D", "E"})
    assert list(map(set, more.pool)) == [{"B", "D"}, {"C", "E"}]
    less = allocate(kind_of(2), first.pool, {"C"})
    assert list(map(set, less.pool)) == [set(), {"C"}]


def test_new_sockets_are_filled_evenly() -> None:
    """No socket is left with a single contract, which may be a quiet one."""
    found = allocate(kind_of(200), [], {f"S{number:04}" for number in range(1_001) if number})
    mine = sum(len(socket) for socket in found.pool)
    sizes = [len(socket) for socket in found.pool]
    assert len(sizes) == -(-mine // 200)
    assert max(sizes) - min(sizes) <= 1
    few = allocate(kind_of(200, 2), [], {f"S{number:04}" for number in range(1_001)})
    assert [len(socket) for socket in few.pool] == [200, 200]


def test_a_stream_of_all_is_one_socket_whoever_is_listed() -> None:
    """Also before the list is known."""
    assert allocate(kind_of(None), [], set()).pool == [frozenset()]
    assert allocate(kind_of(None), [frozenset()], {"A"}) == ([frozenset()], frozenset())


lists_st = st.lists(st.tuples(symbols_st, symbols_st), max_size=6)
"""Lists: the wanted contracts, and those that should deliver."""


@given(lists_st, st.integers(1, 9), st.integers(1, 3))
def test_contracts_that_need_not_deliver_take_nobody_s_room(
    history: list[tuple[frozenset[str], frozenset[str]]], capacity: int, max_sockets: int
) -> None:
    """Those that should have a place as if the others were not there; no room stays empty."""
    present: list[frozenset[str]] = []
    for wanted, expected in history:
        kind = kind_of(capacity, max_sockets)
        found = allocate(kind, present, wanted, expected)
        placed = frozenset[str]().union(*found.pool)
        mine = {symbol for symbol in wanted if "7" not in symbol}
        owed = mine & expected
        room = capacity * max_sockets
        assert len(placed & owed) == min(len(owed), room)
        assert placed | found.surplus == mine
        assert len(placed) == min(len(mine), room)
        assert all(len(socket) <= capacity for socket in found.pool)
        present = list(found.pool)


def test_a_halted_contract_gives_way_to_one_that_trades() -> None:
    """And the halted ones that have a place keep it before those that have none."""
    kind = kind_of(2, 1)
    full = allocate(kind, [], {"A", "B"}, frozenset("B"))
    assert full.pool == [frozenset("AB")]
    more = allocate(kind, full.pool, {"A", "B", "C"}, frozenset("BC"))
    assert more == ([frozenset("BC")], frozenset("A"))
    less = allocate(kind, [frozenset("BX")], {"A", "B", "X"}, frozenset("B"))
    assert less == ([frozenset("BX")], frozenset("A"))
