"""What two sockets bring twice comes out once, and nothing that one of them brought is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.exchanges.spec import Slice
from producers.policy.dedup import AGAIN_S, MAX_REMEMBERED_BYTES, REMEMBERED, WINDOW_S, Deduplicator


def bring(dedup: Deduplicator, socket: str, payload: bytes, at_s: float, symbol: str = "A") -> bool:
    """Whether a piece is new."""
    return bool(dedup.fresh(socket, [Slice(symbol, payload)], at_s))


def test_the_first_that_arrives_counts() -> None:
    """Whichever socket it is; pieces keep their order, those without a contract always pass."""
    dedup = Deduplicator(timeless=False)
    a, b, none = Slice("A", b"1"), Slice("B", b"2"), Slice(None, b"odd", readable=False)
    assert dedup.fresh("one", [a, none], 0.0) == [a, none]
    assert dedup.fresh("two", [none, b, a], 0.1) == [none, b]
    assert dedup.fresh("one", [b], 0.2) == []
    assert dedup.total == 2


def test_equal_bytes_of_two_contracts_are_two_pieces() -> None:
    """An idle market looks like another."""
    dedup = Deduplicator(timeless=True)
    assert bring(dedup, "one", b"0", 0.0, "A")
    assert bring(dedup, "two", b"0", 0.0, "B")


def test_a_rate_that_does_not_move_is_no_repetition() -> None:
    """The n-th of one socket is the n-th of the other, whoever leads."""
    dedup = Deduplicator(timeless=True)
    fresh = [
        bring(dedup, socket, b"same", at_s)
        for socket, at_s in [
            ("one", 0.0), ("two", 0.1),
            ("two", 1.0), ("one", 1.1),
            ("one", 2.0), ("one", 3.0), ("two", 3.1), ("two", 3.2),
        ]
    ]  # fmt: skip
    assert fresh == [True, False, True, False, True, True, False, False]


@pytest.mark.parametrize("timeless", [True, False])
def test_one_socket_twice_within_a_moment(timeless: bool) -> None:  # noqa: FBT001
    """Where frames have no time it is one piece that was sent twice; else the worker can tell."""
    dedup = Deduplicator(timeless=timeless)
    assert bring(dedup, "one", b"same", 10.0)
    assert bring(dedup, "one", b"same", 10.0 + AGAIN_S / 2) is not timeless
    assert bring(dedup, "one", b"other", 10.0 + AGAIN_S / 2)
    assert bring(dedup, "one", b"same", 10.0 + AGAIN_S)


def test_what_is_longer_ago_is_new() -> None:
    """Beyond the window a socket is not behind: a rate has come back to where it was."""
    dedup = Deduplicator(timeless=False)
    assert bring(dedup, "one", b"1", 0.0)
    assert not bring(dedup, "two", b"1", WINDOW_S)
    assert bring(dedup, "three", b"1", WINDOW_S + 0.001)


def test_a_quiet_contract_goes_on_when_the_older_socket_ends() -> None:
    """Equal bytes for ten seconds, a second socket in the middle: one piece a second throughout."""
    dedup = Deduplicator(timeless=True)
    pushes = [(float(at), "one") for at in range(8)]
    pushes += [(at + 0.05, "two") for at in range(5, 13)]
    fresh = [at_s for at_s, socket in sorted(pushes) if bring(dedup, socket, b"same", at_s)]
    assert [int(at_s) for at_s in fresh] == list(range(13))


def test_a_rate_that_goes_there_and_back_on_one_socket_is_no_repetition() -> None:
    """However quickly."""
    dedup = Deduplicator(timeless=True)
    assert all(bring(dedup, "one", rate, 1.0) for rate in (b"P", b"Q", b"P"))


def test_memory_is_bounded() -> None:
    """So many pieces of a contract, and no contract that is gone."""
    dedup = Deduplicator(timeless=False)
    for number in range(1_000):
        for symbol in ("A", "B"):
            bring(dedup, "one", b"%d" % number, number / 1_000, symbol)
    assert {symbol: len(seen) for symbol, seen in dedup._seen.items()} == {
        "A": REMEMBERED,
        "B": REMEMBERED,
    }
    dedup.keep(["B", "C"])
    assert dedup._seen.keys() == {"B"}
    assert not bring(dedup, "two", b"999", 1.0, "B")


class Arrival(NamedTuple):
    """A piece on a socket."""

    at_s: float
    socket: str
    symbol: str
    payload: bytes


MAX_LAG_S = 4
lags = st.integers(0, MAX_LAG_S)
"""Of a whole socket, s; on top of it each of its frames is up to half a second late."""
jitters = st.lists(st.floats(0.0, 0.5), min_size=25, max_size=25)
rates = st.lists(st.lists(st.integers(0, 2), min_size=3, max_size=3), max_size=25)
"""By tick, what each of three contracts shows: idle ones show the same again and again."""
losses = st.sets(st.tuples(st.integers(0, 24), st.integers(0, 2)), max_size=30)


def arrivals(
    socket: str,
    ticks: Sequence[Sequence[bytes]],
    lag_s: float,
    jitter: Sequence[float],
    lost: set[tuple[int, int]],
) -> list[Arrival]:
    """What a socket brings: a tick a second, in order, late, and not all of it."""
    return [
        Arrival(number + lag_s + jitter[number], socket, f"S{of}", payload)
        for number, tick in enumerate(ticks)
        for of, payload in enumerate(tick)
        if (number, of) not in lost
    ]


def published(both: list[Arrival], *, timeless: bool) -> Counter[tuple[str, bytes]]:
    """What comes out, in whatever order it arrives."""
    dedup = Deduplicator(timeless=timeless)
    out: Counter[tuple[str, bytes]] = Counter()
    for at_s, socket, symbol, payload in sorted(both):
        for piece in dedup.fresh(socket, [Slice(symbol, payload)], at_s):
            out[str(piece.symbol), piece.payload] += 1
    return out


small_lags = st.floats(0.0, 0.2)
small_jitters = st.lists(st.floats(0.0, 0.1), min_size=25, max_size=25)


@given(rates, small_lags, small_lags, small_jitters, small_jitters, losses)
def test_of_two_sockets_comes_out_what_the_whole_one_brought(
    values: list[list[int]],
    lag_1: float,
    lag_2: float,
    jitter_1: list[float],
    jitter_2: list[float],
    lost: set[tuple[int, int]],
) -> None:
    """In count, for each contract and rate, although frames have no time and the other holes."""
    ticks = [[b"%d" % value for value in tick] for tick in values]
    whole = arrivals("one", ticks, lag_1, jitter_1, set())
    holed = arrivals("two", ticks, lag_2, jitter_2, lost)
    expected = Counter((arrival.symbol, arrival.payload) for arrival in whole)
    assert published([*whole, *holed], timeless=True) == expected


@given(rates, lags, lags, jitters, jitters, losses, losses)
def test_of_two_sockets_with_holes_comes_out_all_that_either_brought(
    values: list[list[int]],
    lag_1: int,
    lag_2: int,
    jitter_1: list[float],
    jitter_2: list[float],
    lost_1: set[tuple[int, int]],
    lost_2: set[tuple[int, int]],
) -> None:
    """Once each, where frames have a time and so differ."""
    ticks = [[b"%d@%d" % (value, at) for value in tick] for at, tick in enumerate(values)]
    one = arrivals("one", ticks, lag_1, jitter_1, lost_1)
    two = arrivals("two", ticks, lag_2, jitter_2, lost_2)
    expected = Counter({(arrival.symbol, arrival.payload) for arrival in [*one, *two]})
    assert published([*one, *two], timeless=False) == expected


def test_only_listed_contracts_are_remembered() -> None:
    """Once there is a list: what an exchange makes up costs no memory, and may come twice."""
    dedup = Deduplicator(timeless=False)
    dedup.keep(["A"])
    for number in range(90_000):
        assert bring(dedup, "one", b"x", 0.0, f"X{number}")
    assert set(dedup._seen) <= {"A"}
    assert bring(dedup, "one", b"x", 0.0, "A")
    assert not bring(dedup, "two", b"x", 0.1, "A")


def test_long_pieces_are_not_remembered() -> None:
    """Some thousand contracts with 16 pieces each have to fit into memory."""
    dedup = Deduplicator(timeless=False)
    long = b"x" * (MAX_REMEMBERED_BYTES + 1)
    assert bring(dedup, "one", long, 0.0)
    assert bring(dedup, "two", long, 0.1)
    assert not dedup._seen
