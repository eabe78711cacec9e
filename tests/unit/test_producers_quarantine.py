"""The suspect of a silent close: the first without an acknowledgement, if it was sent just now."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from producers.pacing import Pacer
from producers.quarantine import HOLD_S, MAX_HOLD_S, SOON_S, Quarantine


def test_the_first_unacknowledged_is_held_and_comes_back_last() -> None:
    """10 minutes, then again, behind all others."""
    quarantine = Quarantine()
    quarantine.opened()
    for number, symbol in enumerate(["A", "B", "C"]):
        quarantine.sent(symbol, 100.0 + number / 20)
    quarantine.acknowledged("A")
    assert quarantine.closed(100.2) == "B"
    assert quarantine.allowed("ABC", 101.0) == ["A", "C"]
    assert quarantine.next_release_s(101.0) == 100.2 + HOLD_S
    assert quarantine.held(101.0) == 1
    assert quarantine.allowed("ABC", 100.2 + HOLD_S) == ["A", "C", "B"]
    assert quarantine.next_release_s(100.2 + HOLD_S) is None


def test_a_close_long_after_or_with_nothing_pending_blames_nobody() -> None:
    """The network ends connections too."""
    quarantine = Quarantine()
    assert quarantine.closed(1.0) is None
    quarantine.sent("A", 10.0)
    assert quarantine.closed(10.0 + SOON_S + 0.01) is None
    quarantine.sent("A", 20.0)
    quarantine.acknowledged("A")
    assert quarantine.closed(20.1) is None
    quarantine.sent("A", 30.0)
    quarantine.opened()
    assert quarantine.closed(30.1) is None
    assert quarantine.total == 0


def test_a_repeated_offence_is_held_longer_and_an_ack_clears_it() -> None:
    """Up to six hours: each try costs all others their subscriptions."""
    quarantine = Quarantine()
    now_s, holds = 0.0, []
    for _ in range(10):
        quarantine.sent("BAD", now_s)
        assert quarantine.closed(now_s) == "BAD"
        release_s = quarantine.next_release_s(now_s)
        assert release_s is not None
        holds.append(release_s - now_s)
        now_s = release_s
    assert holds[:3] == [HOLD_S, 2 * HOLD_S, 4 * HOLD_S]
    assert holds[-1] == MAX_HOLD_S
    quarantine.sent("BAD", now_s)
    quarantine.acknowledged("BAD")
    assert quarantine.allowed(["BAD", "C"], now_s) == ["BAD", "C"]


@given(
    st.sampled_from([0.5, 2.0, 20.0]),
    st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=50),
)
def test_turns_are_apart_and_none_is_later_than_needed(per_s: float, pauses: list[float]) -> None:
    """In the order in which they were asked for."""
    pacer = Pacer(per_s)
    now_s, turns = 0.0, []
    for pause_s in pauses:
        now_s += pause_s
        turns.append(now_s + pacer.wait_s(now_s))
        previous = turns[-2] + 1 / per_s if len(turns) > 1 else 0.0
        assert turns[-1] >= previous - 1e-9
        assert abs(turns[-1] - max(now_s, previous)) < 1e-6
