"""The suspect of a silent close: the first without an acknowledgement, the second time over."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from producers.policy.quarantine import HOLD_S, MAX_HOLD_S, SOON_S, SUSPICION_S, Quarantine
from producers.policy.throttle import Throttle


def close(quarantine: Quarantine, coins: Iterable[str], bad: str, now_s: float) -> str | None:
    """A connection on which all are acknowledged until the bad one closes it."""
    quarantine.opened()
    for coin in quarantine.allowed(coins, now_s):
        quarantine.sent(coin, now_s)
        if coin == bad:
            break
        quarantine.acknowledged(coin)
    return quarantine.closed(now_s + 0.1)


def test_a_suspect_is_first_put_last_and_then_held_and_comes_back_last() -> None:
    """One close proves nothing; the second, behind all others, does: 10 minutes."""
    quarantine = Quarantine()
    assert close(quarantine, "ABC", "B", 100.0) is None
    assert quarantine.allowed("ABC", 101.0) == ["A", "C", "B"]
    assert close(quarantine, "ABC", "B", 101.0) == "B"
    assert quarantine.allowed("ABC", 102.0) == ["A", "C"]
    assert quarantine.next_release_s(102.0) == 101.1 + HOLD_S
    assert quarantine.held(102.0) == 1
    assert quarantine.allowed("ABC", 101.1 + HOLD_S) == ["A", "C", "B"]
    assert quarantine.next_release_s(101.1 + HOLD_S) is None


def test_a_close_long_after_or_with_nothing_pending_blames_nobody() -> None:
    """The network ends connections too."""
    quarantine = Quarantine()
    assert quarantine.closed(1.0) is None
    for _ in range(3):
        quarantine.opened()
        quarantine.acknowledged("Z")
        quarantine.sent("A", 10.0)
        assert quarantine.closed(10.0 + SOON_S + 0.01) is None
        quarantine.sent("A", 20.0)
        quarantine.acknowledged("A")
        assert quarantine.closed(20.1) is None
        quarantine.sent("A", 30.0)
        quarantine.opened()
        assert quarantine.closed(30.1) is None
    assert quarantine.total == 0
    assert quarantine.allowed("BA", 40.0) == ["A", "B"]


def test_an_outage_holds_nobody() -> None:
    """The balancer accepts and resets for three hours; no coin was answered, none is to blame."""
    quarantine = Quarantine()
    coins = [f"C{number:03}" for number in range(178)]
    for attempt in range(360):
        now_s = attempt * 30.0
        quarantine.opened()
        for number, coin in enumerate(quarantine.allowed(coins, now_s)[:6]):
            quarantine.sent(coin, now_s + number * 0.05)
        assert quarantine.closed(now_s + 0.3) is None
    assert quarantine.allowed(coins[:2], 11_000.0) == coins[:2]
    assert quarantine.total == 0
    assert close(quarantine, coins, "C007", 11_000.0) is None
    assert close(quarantine, coins, "C007", 11_030.0) == "C007"


def test_an_innocent_among_random_cuts_is_cleared_by_its_acknowledgement() -> None:
    """Put last after a cut, it is answered on the next connection."""
    quarantine = Quarantine()
    for number in range(50):
        quarantine.opened()
        for coin in quarantine.allowed("ABCDEFGH", number * 30.0):
            quarantine.sent(coin, number * 30.0)
            if coin == "ABCDEFGH"[number % 8]:
                break
            quarantine.acknowledged(coin)
        quarantine.closed(number * 30.0 + 0.1)
        for coin in "ABCDEFGH":
            quarantine.acknowledged(coin)
    assert quarantine.total == 0


def test_a_refused_subscription_does_not_hide_who_closes() -> None:
    """An error names no contract and answers the oldest subscription; so does the ack of a later
    one.
    """
    for explicit in (True, False):
        quarantine = Quarantine()
        blamed = []
        for attempt in range(2):
            now_s = attempt * 30.0
            quarantine.opened()
            quarantine.sent("REFUSED", now_s)
            if explicit:
                quarantine.refused()
            for number in range(60):
                quarantine.sent(f"c{number}", now_s + 0.05 * number)
                quarantine.acknowledged(f"c{number}")
            quarantine.sent("BAD", now_s + 3.05)
            blamed.append(quarantine.closed(now_s + 3.15))
        assert blamed == [None, "BAD"]


def test_several_offenders_are_all_found() -> None:
    """Each in its turn, within a few closes."""
    quarantine = Quarantine()
    bad, blamed = {"B", "D", "E"}, []
    for attempt in range(6):
        now_s = attempt * 30.0
        quarantine.opened()
        for coin in quarantine.allowed("ABCDEF", now_s):
            quarantine.sent(coin, now_s)
            if coin in bad:
                break
            quarantine.acknowledged(coin)
        blamed.append(quarantine.closed(now_s + 0.1))
    assert blamed == [None, None, None, "B", "D", "E"]
    assert quarantine.allowed("ABCDEF", 200.0) == ["A", "C", "F"]


def test_an_old_suspicion_counts_no_more() -> None:
    """Two closes half an hour apart are two accidents."""
    quarantine = Quarantine()
    assert close(quarantine, "AB", "B", 0.0) is None
    assert close(quarantine, "AB", "B", SUSPICION_S + 1.0) is None
    assert close(quarantine, "AB", "B", SUSPICION_S + 31.0) == "B"


def test_a_repeated_offence_is_held_longer_and_an_ack_clears_it() -> None:
    """Up to six hours: each try costs all others their subscriptions."""
    quarantine = Quarantine()
    assert close(quarantine, ["A", "BAD"], "BAD", 0.0) is None
    now_s, holds = 1.0, []
    for _ in range(10):
        assert close(quarantine, ["A", "BAD"], "BAD", now_s) == "BAD"
        release_s = quarantine.next_release_s(now_s + 0.1)
        assert release_s is not None
        holds.append(round(release_s - now_s - 0.1))
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
    throttle = Throttle(per_s)
    now_s, turns = 0.0, []
    for pause_s in pauses:
        now_s += pause_s
        turns.append(now_s + throttle.wait_s(now_s))
        previous = turns[-2] + 1 / per_s if len(turns) > 1 else 0.0
        assert turns[-1] >= previous - 1e-9
        assert abs(turns[-1] - max(now_s, previous)) < 1e-6


def test_what_is_refused_is_held_back_and_longer_each_time() -> None:
    """Until it was taken once in between."""
    quarantine, now_s = Quarantine(), 50.0
    for hold_s in (HOLD_S, 2 * HOLD_S, 4 * HOLD_S):
        quarantine.hold("A", now_s)
        assert quarantine.allowed("AB", now_s) == ["B"]
        now_s += hold_s
        assert quarantine.next_release_s(now_s - 1) == now_s
        assert quarantine.allowed("AB", now_s) == ["A", "B"]
    quarantine.acknowledged("A")
    quarantine.hold("A", now_s)
    assert quarantine.next_release_s(now_s) == now_s + HOLD_S
    assert quarantine.total == 4
