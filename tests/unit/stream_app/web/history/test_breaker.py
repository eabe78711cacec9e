"""Whether a server that has failed is asked again."""

from __future__ import annotations

from stream_app.web.history.breaker import CLOSED_FOR_S, Breaker


def test_a_server_that_works_is_asked() -> None:
    """At any time."""
    breaker = Breaker()
    assert breaker.allows(0.0)
    breaker.worked()
    assert breaker.allows(0.0)
    assert not breaker.is_open(0.0)


def test_nobody_is_sent_to_a_server_that_failed_for_some_seconds() -> None:
    """Then one tries, and the others wait for what it finds."""
    breaker = Breaker()
    breaker.failed(100.0, "it is away")
    assert breaker.reason == "it is away"
    assert breaker.is_open(100.0 + CLOSED_FOR_S - 0.1)
    assert not breaker.allows(100.0 + CLOSED_FOR_S - 0.1)
    assert breaker.allows(100.0 + CLOSED_FOR_S)
    assert not breaker.allows(100.0 + CLOSED_FOR_S)


def test_a_trial_that_works_lets_everybody_in() -> None:
    """At once."""
    breaker = Breaker()
    breaker.failed(0.0, "it is away")
    assert breaker.allows(CLOSED_FOR_S)
    breaker.worked()
    assert breaker.allows(CLOSED_FOR_S)
    assert breaker.allows(CLOSED_FOR_S)
    assert not breaker.reason


def test_a_trial_that_fails_is_not_repeated_at_once() -> None:
    """The seconds begin anew."""
    breaker = Breaker()
    breaker.failed(0.0, "it is away")
    assert breaker.allows(CLOSED_FOR_S)
    breaker.failed(CLOSED_FOR_S + 2, "still away")
    assert not breaker.allows(2 * CLOSED_FOR_S + 1.9)
    assert breaker.allows(2 * CLOSED_FOR_S + 2)
