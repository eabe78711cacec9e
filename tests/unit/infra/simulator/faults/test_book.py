"""Which faults there are, whom they hit and when: kinds, book, chance, schedule. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.simulator.faults import kinds as fault_kinds
from infra.simulator.faults import schedule
from infra.simulator.faults.book import MAX_RUNNING, FaultBook, in_share
from infra.simulator.faults.kinds import KINDS
from infra.simulator.faults.schedule import Resume
from schemas.errors import ConfigurationError
from tests.support.faults import WIRES, fault, running, symbols


def test_every_kind_can_be_asked_for() -> None:
    """With what is required alone; the rest has defaults."""
    required: dict[str, dict[str, Any]] = {
        "delay": {"delay_s": 1},
        "slow-rest": {"delay_s": 0.5},
        "settle-late": {"delay_s": 9},
        "bad-units": {"field": "rate"},
        "clock-skew": {"skew_s": -1.5},
        "interval-change": {"symbol": "X", "interval_hours": 4},
    }
    for kind in KINDS:
        feed = next(feed for feed in WIRES if not fault_kinds.can(kind, WIRES[feed]))
        asked = fault(kind, feed=feed, **required.get(kind, {}))
        assert (asked.kind, asked.feed, asked.seconds) == (kind, feed, None)
    assert set(fault_kinds.described()) == set(KINDS)


@given(
    kind=st.sampled_from(sorted(KINDS)),
    arguments=st.dictionaries(
        st.sampled_from(["feed", "seconds", "p", "how", "delay_s", "code", "share", "symbols"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=3)
        | st.lists(st.integers(), max_size=2)
        | st.dictionaries(st.text(max_size=1), st.none(), max_size=1),
    ),
)
def test_any_arguments_are_taken_or_refused(kind: str, arguments: dict[str, Any]) -> None:
    """In one sentence, with no other exception."""
    try:
        asked = fault_kinds.parse(kind, arguments, WIRES)
    except ConfigurationError:
        return
    assert set(asked.parameters) <= set(KINDS[kind].parameters)
    assert asked.seconds is None or asked.seconds > 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["silence", "drop", "refuse-ws"]),
            st.sampled_from([None, "kucoin", "backpack"]),
            st.none() | st.integers(1, 9),
        ),
        max_size=12,
    ),
    st.integers(0, 20),
)
def test_the_book_agrees_with_a_list(
    begun: Sequence[tuple[str, str | None, int | None]], at_s: int
) -> None:
    """Begun second by second, at a later second: the newest of each kind and feed, if not over."""
    book, expected = FaultBook(), {}
    for second, (kind, feed, seconds) in enumerate(begun):
        book.begin(fault(kind, feed=feed, seconds=seconds), second, 0)
        expected[kind, feed] = None if seconds is None else second + seconds
    now_s = len(begun) + at_s
    book.expire(now_s)
    alive = {key for key, until_s in expected.items() if until_s is None or until_s > now_s}
    assert set(book.names()) == {f"{kind}:{feed or '*'}" for kind, feed in alive}
    for feed in ("kucoin", "backpack", "hyperliquid"):
        of_feed = {(r.kind, r.fault.feed) for r in book.of(feed)}
        assert of_feed == {key for key in alive if key[1] in {None, feed}}
    next_s = book.next_end_s()
    assert next_s is None or next_s > now_s
    ended = book.end(feed="kucoin")
    assert {(r.kind, r.fault.feed) for r in ended} == {key for key in alive if key[1] == "kucoin"}
    book.end()
    assert book.names() == []


def test_the_book_is_bounded() -> None:
    """One too many is refused, one in the place of an equal one is not."""
    book = FaultBook()
    for number in range(MAX_RUNNING):
        book.begin(fault("drop", seed=number), 0, 0)
    with pytest.raises(ConfigurationError):
        book.begin(fault("drop", seed=MAX_RUNNING), 0, 0)
    _, replaced = book.begin(fault("drop", seed=5, seconds=3), 0, 0)
    assert [old.get("seed") for old in replaced] == [5]


@given(symbols, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_a_smaller_one(symbol: str, one: float, two: float) -> None:
    """And none and all are what they say."""
    low, high = sorted((one, two))
    assert in_share(symbol, low) <= in_share(symbol, high)
    assert in_share(symbol, 1)
    assert not in_share(symbol, 0)


def test_a_share_is_about_that_share() -> None:
    """Of many contracts."""
    chosen = sum(in_share(f"S{number}USDT", 0.3) for number in range(2_000))
    assert 500 < chosen < 700


def test_chance_is_seeded() -> None:
    """The same seed strikes the same frames, in about p of all cases."""
    one, two, other = (running("drop", p=0.3, seed=seed) for seed in (1, 1, 2))
    drawn = [one.strikes() for _ in range(500)]
    assert drawn == [two.strikes() for _ in range(500)]
    assert drawn != [other.strikes() for _ in range(500)]
    assert 100 < sum(drawn) < 200


def test_a_fault_of_one_connection() -> None:
    """Leaves the others alone; delays of several faults add up."""
    book = FaultBook()
    book.begin(fault("delay", delay_s=2), 0, 0, frozenset({4}))
    book.begin(fault("delay", delay_s=3, feed="kucoin"), 0, 0)
    assert [book.delay_s("kucoin", n) for n in (4, 5)] == [5, 3]
    assert [book.delay_s("backpack", n) for n in (4, 5)] == [2, 0]
    book.begin(fault("drop"), 0, 0, frozenset({4}))
    assert [len(book.on_frames("kucoin", n)) for n in (4, 5)] == [1, 0]


def test_a_schedule_in_any_order() -> None:
    """Sorted by time, equal times as written; `resume` is an entry."""
    document = [
        {"at_s": 9, "kind": "resume", "feed": "kucoin", "id": 4},
        {"at_s": 2.5, "kind": "drop", "p": 0.5, "seconds": 3},
        {"at_s": 2.5, "kind": "delist", "feed": "kucoin"},
    ]
    entries = schedule.parse(document, WIRES)
    assert [entry.at_s for entry in entries] == [2.5, 2.5, 9]
    assert entries[0].what == fault("drop", p=0.5, seconds=3)
    assert entries[2].what == Resume("kucoin", None, 4)
