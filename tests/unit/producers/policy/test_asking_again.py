"""What is asked for again is asked at growing distances."""

from __future__ import annotations

from itertools import pairwise

from producers.policy.asking_again import AGAIN_S, MAX_AGAIN_S, MAX_REMEMBERED, AskingAgain


def test_a_contract_is_due_at_once_and_then_at_growing_distances() -> None:
    """An exchange that never sends a whole row is asked once an hour."""
    asking, seconds = AskingAgain(), range(4 * int(MAX_AGAIN_S))
    times = [second for second in seconds if asking.due(["A"], float(second))]
    distances = [after - before for before, after in pairwise(times)]
    assert times[0] == 0
    assert distances[:3] == [AGAIN_S, 2 * AGAIN_S, 4 * AGAIN_S]
    assert max(distances) == MAX_AGAIN_S
    assert len(times) < 12


def test_each_contract_has_its_own_times() -> None:
    """One that was just asked for holds up no other."""
    asking = AskingAgain()
    assert asking.due(["A"], 5.0) == {"A"}
    assert asking.due(["A", "B"], 6.0) == {"B"}


def test_what_is_long_ago_is_forgotten() -> None:
    """The next loss is the first one again."""
    asking = AskingAgain()
    for now_s in (0.0, AGAIN_S, AGAIN_S + MAX_AGAIN_S + 1, 2 * AGAIN_S + MAX_AGAIN_S + 1):
        assert asking.due(["A"], now_s)


def test_the_memory_is_bounded() -> None:
    """Contracts beyond it wait until others are forgotten."""
    asking = AskingAgain()
    many = [f"X{number}" for number in range(MAX_REMEMBERED)]
    assert len(asking.due(many, 0.0)) == MAX_REMEMBERED
    assert not asking.due(["A"], 1.0)
    assert asking.due(["A"], MAX_AGAIN_S + 1.0)
