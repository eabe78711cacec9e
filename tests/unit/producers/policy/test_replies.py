"""An exchange that pings is answered; one out of its mind is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from producers.policy.replies import MAX_CHARS, MAX_PER_S, Replies


def test_answers_are_counted_and_long_ones_are_none() -> None:
    """It may have us repeat what it sent, within a bound. What is dropped was not sent."""
    replies = Replies()
    assert replies.allows("x" * MAX_CHARS, 0.0)
    assert replies.total == 0
    replies.sent()
    assert not replies.allows("x" * (MAX_CHARS + 1), 9.0)
    assert (replies.total, replies.refused) == (1, 1)
    assert replies.allows("x", 9.0)
    replies.dropped()
    assert (replies.total, replies.refused) == (1, 2)


@given(st.lists(st.floats(0, 20)))
def test_no_second_has_more_answers_than_are_allowed(times: list[float]) -> None:
    """Whenever it begins; and where fewer are asked for, each is given."""
    replies, given_s = Replies(), list[float]()
    for now_s in sorted(times):
        recent = [at_s for at_s in given_s if now_s - at_s < 1.0]
        assert replies.allows("pong", now_s) == (len(recent) < MAX_PER_S)
        given_s += [now_s] * (len(recent) < MAX_PER_S)
    assert replies.refused == len(times) - len(given_s)
