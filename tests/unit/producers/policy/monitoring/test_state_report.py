"""The reported state: one event for each transition, with its reason; alerts for blindness."""

from __future__ import annotations

from producers.policy.monitoring.state_report import (
    KAFKA_FULL_S,
    UNLISTED_S,
    Delivery,
    StateReport,
)
from producers.policy.ownership import Rest
from schemas.control_items import FeedEvent
from schemas.times import US_PER_S

FEED, START_US = "kucoin", 1_790_000_000_000_000


def delivery(
    streamed: int, rest: Rest = Rest.IDLE, *silent: str, expected: int = 9, full_s: float = 0.0
) -> Delivery:
    """So many of nine contracts are streamed."""
    return Delivery(expected, streamed, rest, frozenset(silent), full_s)


class Case:
    """A feed that was live from its first second on."""

    def __init__(self) -> None:
        self.report = StateReport(FEED, 0.0, START_US)
        self.now_s = 0.0

    def observe(self, seen: Delivery) -> list[FeedEvent]:
        """Take an observation a second after the last one."""
        self.now_s += 1.0
        return self.report.observe(seen, self.now_s, START_US + round(self.now_s * US_PER_S))


def live() -> Case:
    """Return a feed after its start."""
    case = Case()
    assert case.observe(delivery(0)) == []
    (event,) = case.observe(delivery(9))
    assert event == FeedEvent(
        "feed_state",
        FEED,
        START_US,
        START_US + 2 * US_PER_S,
        detail="connecting -> live: the stream brings 9 of 9 contracts",
    )
    return case


def test_a_start_is_no_recovery_and_no_transition_is_no_event() -> None:
    """The reason of the start is gone once the feed is live."""
    case = live()
    assert case.observe(delivery(9)) == []
    assert (case.report.state, case.report.detail) == ("live", "")
    assert case.report.since_us == START_US + 2 * US_PER_S


def test_an_outage_is_a_failover_and_its_end_a_recovery() -> None:
    """Each event lasts from the transition before; a few silent contracts are named."""
    case = live()
    case.report.explain("socket main: closed")
    (stalled,) = case.observe(delivery(0, Rest.IDLE, *"DCBA"))
    assert stalled.kind == "feed_state"
    assert stalled.detail == (
        "live -> stalled: the stream brings 0 of 9 contracts, silent: A, B, C, ... "
        "(socket main: closed)"
    )
    (failover,) = case.observe(delivery(0, Rest.SERVING, "A"))
    assert (failover.kind, failover.first_event_time) == ("failover", stalled.last_event_time)
    (recovery,) = case.observe(delivery(9))
    assert (recovery.kind, recovery.detail[:16]) == ("recovery", "fallback -> live")
    assert "closed" not in recovery.detail
    assert case.report.detail == ""


def test_blindness_and_its_end_are_events_of_their_own() -> None:
    """The worker makes an alert of them."""
    case = live()
    case.observe(delivery(0))
    transition, down = case.observe(delivery(0, Rest.FAILING))
    assert (transition.kind, down.kind) == ("feed_state", "feed_down")
    failover, recovered = case.observe(delivery(0, Rest.SERVING))
    assert (failover.kind, recovered.kind) == ("failover", "feed_recovered")
    assert recovered.detail == "after 1.0 s: fallback"


def test_a_queue_that_is_full_for_long_is_the_reason() -> None:
    """No frame is read then: the exchange is not to blame."""
    case = live()
    case.report.explain("socket main: silent")
    (event,) = case.observe(delivery(0, full_s=KAFKA_FULL_S + 5.4))
    assert event.detail.endswith("(Kafka takes nothing for 7 s, so reading is paused)")


def test_a_feed_without_contracts_is_down_after_a_while() -> None:
    """REST serves nobody whom it does not know."""
    case = Case()
    nobody = delivery(0, expected=0)
    assert case.observe(nobody) == []
    case.now_s = UNLISTED_S
    _, down = case.observe(nobody)
    assert down.detail.endswith("(no contract is known to trade)")
