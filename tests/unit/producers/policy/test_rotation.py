"""Every decision of the rotation: when connections are opened, replaced, kept and closed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from producers.policy.rotation import (
    HANDED_OVER,
    MAX_CONTRACTS,
    TOO_LITTLE,
    Action,
    AskTurn,
    Close,
    Open,
    Promote,
    Retry,
    ReturnTurn,
    Rotation,
    RotationConfig,
)
from schemas.backoff import Backoff

CONFIG = RotationConfig()
MAX_AGE_S = 23 * 3_600.0
SILENT_S = 30.0
BACKOFF_S = 0.5
"""The first delay: half of the first ceiling of 1 s."""


def rotation_of(contracts: int | None = None, max_age_s: float = MAX_AGE_S) -> Rotation:
    """A socket whose first connection, number 1, has been opened and has brought A and B at 0 s."""
    made = Rotation(Backoff(lambda: 0.5), max_age_s=max_age_s, silent_s=SILENT_S)
    assert made.want(contracts, 0.0) == [Open(1, 0)]
    assert made.opened(1, 0.0) == ()
    assert made.delivered(1, "AB", 0.0) == ()
    return made


def with_successor() -> Rotation:
    """A socket whose first connection is too old; a second one has been begun beside it."""
    made = rotation_of()
    made.delivered(1, "AB", MAX_AGE_S)
    assert made.tick(MAX_AGE_S) == [AskTurn()]
    assert made.turn_granted(MAX_AGE_S) == [Open(2, 0)]
    made.opened(2, MAX_AGE_S)
    return made


def test_a_socket_without_contracts_is_not_opened() -> None:
    """Until it has some; a kind that carries whatever the exchange lists is opened at once."""
    rotation = Rotation(Backoff(lambda: 0.5), max_age_s=MAX_AGE_S, silent_s=SILENT_S)
    assert rotation.want(0, 0.0) == []
    assert rotation.next_due_s() is None
    assert rotation.want(3, 1.0) == [Open(1, 0)]
    assert rotation.want(4, 2.0) == []


def test_a_socket_that_lost_its_contracts_is_not_opened_again() -> None:
    """Its connection stays until it ends by itself."""
    rotation = rotation_of(2)
    assert rotation.want(0, 1.0) == []
    assert rotation.ended(1, "no data", 40.0) == [Retry("no data", BACKOFF_S)]
    assert rotation.tick(100.0) == []
    assert rotation.next_due_s() is None
    assert rotation.want(1, 101.0) == [Open(2, 0)]


def test_a_connection_that_ends_is_followed_by_another_after_a_delay() -> None:
    """The delay grows with each failure in a row."""
    rotation = rotation_of()
    assert rotation.ended(1, "closed", 10.0) == [Retry("closed", BACKOFF_S)]
    assert rotation.next_due_s() == 10.5
    assert rotation.tick(10.4) == []
    assert rotation.tick(10.5) == [Open(2, 0)]
    assert rotation.ended(2, "refused", 11.0) == [Retry("refused", 2 * BACKOFF_S)]


def test_lasting_data_makes_the_next_failure_a_first_one() -> None:
    """Health is counted from the opening to the newest data."""
    rotation = rotation_of()
    rotation.ended(1, "closed", 10.0)
    rotation.tick(20.0)
    rotation.opened(2, 20.0)
    rotation.delivered(2, "A", 79.0)
    assert rotation.ended(2, "closed", 500.0) == [Retry("closed", 2 * BACKOFF_S)]
    rotation.tick(600.0)
    rotation.opened(3, 600.0)
    rotation.delivered(3, "A", 660.0)
    assert rotation.ended(3, "closed", 700.0) == [Retry("closed", BACKOFF_S)]


def test_an_address_that_brings_no_data_is_followed_by_the_next() -> None:
    """One that has delivered is kept, also after its connection has ended."""
    rotation = Rotation(Backoff(lambda: 0.0), max_age_s=MAX_AGE_S, silent_s=SILENT_S)
    assert rotation.want(None, 0.0) == [Open(1, 0)]
    assert rotation.ended(1, "refused", 1.0)[-1] == Open(2, 1)
    rotation.opened(2, 1.0)
    assert rotation.ended(2, "no data", 31.0)[-1] == Open(3, 2)
    rotation.opened(3, 31.0)
    rotation.delivered(3, (), 32.0)
    assert rotation.ended(3, "closed", 33.0)[-1] == Open(4, 2)


def test_at_its_age_the_turn_to_rotate_is_asked_for_once() -> None:
    """Nothing is opened before it is granted; the connection serves on."""
    rotation = rotation_of()
    assert rotation.next_due_s() == MAX_AGE_S
    assert rotation.tick(MAX_AGE_S - 1.0) == []
    assert rotation.tick(MAX_AGE_S) == [AskTurn()]
    assert rotation.tick(MAX_AGE_S + 60.0) == []
    assert rotation.next_due_s() is None


def test_a_connection_whose_end_is_announced_is_replaced_at_once() -> None:
    """Before it ends, and as any other: it serves until the successor brings what it did."""
    rotation = rotation_of()
    assert rotation.announced(1, 10.0) == [AskTurn()]
    assert rotation.announced(1, 11.0) == []
    assert rotation.turn_granted(12.0) == [Open(2, 0)]
    rotation.opened(2, 12.5)
    assert rotation.delivered(2, "AB", 13.0) == [Promote(2, 13.0), ReturnTurn()]


def test_an_end_is_announced_once_for_each_connection() -> None:
    """A successor that fails is not followed by another before the connection's usual time."""
    rotation = rotation_of()
    rotation.announced(1, 10.0)
    rotation.turn_granted(10.0)
    rotation.ended(2, "refused", 11.0)
    assert rotation.announced(1, 3_000.0) == []
    assert rotation.next_due_s() == MAX_AGE_S


def test_announcements_on_one_connection_after_the_other_have_a_pace() -> None:
    """An exchange that sends one to each newcomer has a replacement a minute."""
    rotation = rotation_of()
    rotation.announced(1, 10.0)
    rotation.turn_granted(10.0)
    rotation.opened(2, 10.0)
    assert rotation.announced(2, 11.0) == []
    rotation.delivered(2, "AB", 12.0)
    again_s = 10.0 + CONFIG.announced_again_s
    assert rotation.next_due_s() == 12.0 + CONFIG.drain_s
    assert rotation.tick(again_s - 1.0) == [Close(1, HANDED_OVER)]
    assert rotation.ended(1, HANDED_OVER, again_s - 1.0) == []
    assert rotation.next_due_s() == again_s
    assert rotation.tick(again_s) == [AskTurn()]
    assert rotation.announced(9, again_s) == []


def test_a_connection_that_is_not_open_yet_has_no_age() -> None:
    """However long the attempt waits for its turn to connect."""
    rotation = Rotation(Backoff(lambda: 0.5), max_age_s=MAX_AGE_S, silent_s=SILENT_S)
    rotation.want(5, 0.0)
    assert rotation.tick(2 * MAX_AGE_S) == []
    assert rotation.next_due_s() is None


def test_a_turn_that_comes_too_late_is_given_back() -> None:
    """The connection ended while other sockets rotated, and a fresh one serves."""
    rotation = rotation_of()
    rotation.tick(MAX_AGE_S)
    assert rotation.ended(1, "closed", MAX_AGE_S) == [Retry("closed", BACKOFF_S)]
    assert rotation.tick(MAX_AGE_S + 1.0) == [Open(2, 0)]
    rotation.opened(2, MAX_AGE_S + 2.0)
    assert rotation.turn_granted(MAX_AGE_S + 3.0) == [ReturnTurn()]
    assert rotation.tick(2 * MAX_AGE_S + 2.0) == [AskTurn()]


def test_a_turn_without_a_connection_is_given_back_and_the_socket_connects() -> None:
    """A reconnect does not wait for the feed's turn."""
    rotation = rotation_of()
    rotation.tick(MAX_AGE_S)
    rotation.ended(1, "closed", MAX_AGE_S)
    assert rotation.turn_granted(MAX_AGE_S + 1.0) == [ReturnTurn(), Open(2, 0)]


def test_a_successor_serves_once_it_brings_what_the_old_connection_brought() -> None:
    """The old one is closed after the drain, and that is a hand-over."""
    rotation = with_successor()
    assert rotation.delivered(2, "A", MAX_AGE_S + 1.0) == ()
    promoted = rotation.delivered(2, "B", MAX_AGE_S + 2.0)
    assert promoted == [Promote(2, MAX_AGE_S + 2.0), ReturnTurn()]
    assert rotation.next_due_s() == MAX_AGE_S + 2.0 + CONFIG.drain_s
    assert rotation.tick(MAX_AGE_S + 3.9) == []
    assert rotation.tick(MAX_AGE_S + 4.0) == [Close(1, HANDED_OVER)]
    assert rotation.tick(MAX_AGE_S + 5.0) == []
    assert rotation.handed_over(1)
    assert rotation.ended(1, HANDED_OVER, MAX_AGE_S + 6.0) == []
    assert rotation.next_due_s() == 2 * MAX_AGE_S


def test_an_old_connection_that_ends_while_it_drains_is_no_failure() -> None:
    """The successor serves already."""
    rotation = with_successor()
    rotation.delivered(2, "AB", MAX_AGE_S + 1.0)
    assert rotation.handed_over(1)
    assert rotation.ended(1, "closed by the exchange", MAX_AGE_S + 1.5) == []
    assert rotation.tick(MAX_AGE_S + 10.0) == []


@pytest.mark.parametrize(("brought", "serves"), [(18, False), (19, True)])
def test_a_share_of_95_percent_is_enough(brought: int, serves: object) -> None:
    """A contract that stopped trading in the meantime keeps no old connection alive."""
    contracts = [f"S{number}" for number in range(20)]
    rotation = rotation_of()
    rotation.delivered(1, contracts, MAX_AGE_S)
    rotation.tick(MAX_AGE_S)
    rotation.turn_granted(MAX_AGE_S + SILENT_S)
    rotation.opened(2, MAX_AGE_S + SILENT_S)
    actions = rotation.delivered(2, contracts[:brought], MAX_AGE_S + SILENT_S)
    assert bool(actions) is serves


def test_after_a_connection_that_brought_nothing_any_data_is_enough() -> None:
    """Frames without contracts count as health, too."""
    rotation = rotation_of()
    rotation.tick(MAX_AGE_S)
    rotation.turn_granted(MAX_AGE_S)
    rotation.opened(2, MAX_AGE_S)
    assert rotation.delivered(2, (), MAX_AGE_S) == [Promote(2, MAX_AGE_S), ReturnTurn()]


def test_a_successor_that_stays_silent_is_closed_and_the_old_connection_serves_on() -> None:
    """Another attempt follows after a delay, at the next address; the turn is free meanwhile."""
    rotation = with_successor()
    until_s = MAX_AGE_S + CONFIG.handover_timeout_s
    assert rotation.next_due_s() == until_s
    assert rotation.tick(until_s - 0.1) == []
    assert rotation.tick(until_s) == [Close(2, TOO_LITTLE)]
    assert rotation.tick(until_s + 1.0) == []
    assert rotation.next_due_s() is None
    ended = rotation.ended(2, TOO_LITTLE, until_s + 1.0)
    assert ended == [ReturnTurn(), Retry(TOO_LITTLE, BACKOFF_S)]
    assert rotation.next_due_s() == until_s + 1.5
    assert rotation.tick(until_s + 1.5) == [AskTurn()]
    assert rotation.turn_granted(until_s + 1.5) == [Open(3, 1)]


def test_a_successor_that_brings_a_part_is_closed() -> None:
    """Also when its missing contract arrives after the decision."""
    rotation = with_successor()
    until_s = MAX_AGE_S + CONFIG.handover_timeout_s
    rotation.delivered(1, "AB", until_s)
    rotation.delivered(2, "A", until_s)
    assert rotation.tick(until_s) == [Close(2, TOO_LITTLE)]
    assert rotation.delivered(2, "B", until_s) == ()


def test_a_successor_that_brings_as_much_as_the_old_one_does_by_now_serves() -> None:
    """The old one has lost a contract since the successor was begun."""
    rotation = with_successor()
    until_s = MAX_AGE_S + CONFIG.handover_timeout_s
    rotation.delivered(1, "A", until_s)
    rotation.delivered(2, "A", until_s)
    assert rotation.tick(until_s) == [Promote(2, until_s), ReturnTurn()]


def test_a_refused_successor_does_not_end_the_old_connection() -> None:
    """Attempts go on, and each gives the turn back before its delay."""
    rotation = with_successor()
    assert rotation.ended(2, "refused", MAX_AGE_S + 1.0) == [
        ReturnTurn(),
        Retry("refused", BACKOFF_S),
    ]
    assert rotation.delivered(1, "AB", MAX_AGE_S + 2.0) == ()
    assert rotation.tick(MAX_AGE_S + 2.0) == [AskTurn()]


def test_when_the_old_connection_ends_its_successor_serves_at_once() -> None:
    """Without a delay, even if it has brought nothing yet."""
    rotation = with_successor()
    at_s = MAX_AGE_S + 1.0
    assert rotation.ended(1, "closed", at_s) == [Promote(2, at_s), ReturnTurn()]
    assert not rotation.handed_over(1)
    assert rotation.ended(2, "closed", at_s + 1.0) == [Retry("closed", BACKOFF_S)]


def test_when_the_old_connection_ends_a_rejected_successor_does_not_serve() -> None:
    """It is being closed, so a new connection is opened."""
    rotation = with_successor()
    until_s = MAX_AGE_S + CONFIG.handover_timeout_s
    rotation.tick(until_s)
    assert rotation.ended(1, "closed", until_s) == [Retry("closed", BACKOFF_S)]
    assert rotation.ended(2, TOO_LITTLE, until_s) == [ReturnTurn()]
    assert rotation.tick(until_s + BACKOFF_S) == [Open(3, 1)]


def lose_a_contract(rotation: Rotation, from_s: float, until_s: float) -> Sequence[Action]:
    """Deliver A alone, in time, with the checks that are due; return what is done."""
    actions: list[Action] = []
    at_s = from_s
    while at_s < until_s and not actions:
        rotation.delivered(1, "A", at_s)
        actions += rotation.tick(at_s)
        at_s += CONFIG.partial_check_s
    return actions


def test_a_connection_that_brings_a_part_for_long_is_replaced() -> None:
    """Exchanges lose single subscriptions; the new connection subscribes to all."""
    rotation = rotation_of(2)
    assert rotation.next_due_s() == CONFIG.partial_check_s
    begun_s = SILENT_S + CONFIG.partial_check_s
    assert lose_a_contract(rotation, 0.0, begun_s + CONFIG.partial_s) == []
    assert lose_a_contract(rotation, begun_s + CONFIG.partial_s, 999.0) == [AskTurn()]


def test_where_contracts_are_quiet_a_part_is_not_replaced() -> None:
    """However few are pushed."""
    rotation = Rotation(
        Backoff(lambda: 0.5), max_age_s=MAX_AGE_S, silent_s=SILENT_S, replaces_part=False
    )
    rotation.want(2, 0.0)
    rotation.opened(1, 0.0)
    rotation.delivered(1, "AB", 0.0)
    assert lose_a_contract(rotation, 0.0, 3_600.0) == []


def test_a_part_that_comes_back_is_no_reason() -> None:
    """Neither before the turn is asked for nor before it is granted."""
    rotation = rotation_of(2)
    assert lose_a_contract(rotation, 0.0, 100.0) == []
    rotation.delivered(1, "AB", 100.0)
    assert rotation.tick(100.0) == []
    assert lose_a_contract(rotation, 110.0, 999.0) == [AskTurn()]
    rotation.delivered(1, "AB", 1_000.0)
    assert rotation.turn_granted(1_000.0) == [ReturnTurn()]


def test_a_lost_contract_is_no_reason_where_contracts_are_not_counted() -> None:
    """A socket that carries whatever the exchange lists has no number to compare with."""
    rotation = rotation_of()
    assert lose_a_contract(rotation, 0.0, 3_600.0) == []


def test_replacing_because_of_a_part_is_not_repeated_soon() -> None:
    """An exchange that lists contracts which it never streams would make us rotate for ever."""
    rotation = rotation_of(2)
    lose_a_contract(rotation, 0.0, 999.0)
    assert rotation.turn_granted(200.0) == [Open(2, 0)]
    rotation.ended(2, "refused", 201.0)
    again_s = 200.0 + CONFIG.partial_again_s
    assert lose_a_contract(rotation, 210.0, again_s) == []
    assert lose_a_contract(rotation, again_s, again_s + 60.0) == [AskTurn()]


def test_made_up_contracts_are_remembered_up_to_a_bound() -> None:
    """An exchange cannot fill the memory."""
    rotation = rotation_of()
    rotation.delivered(1, (f"X{number}" for number in range(2 * MAX_CONTRACTS)), MAX_AGE_S)
    rotation.tick(MAX_AGE_S)
    rotation.turn_granted(MAX_AGE_S)
    enough = (f"Y{number}" for number in range(MAX_CONTRACTS))
    assert rotation.delivered(2, enough, MAX_AGE_S) == [Promote(2, MAX_AGE_S), ReturnTurn()]


def test_events_of_a_connection_that_is_unknown_change_nothing() -> None:
    """A frame or an end that is reported late is harmless."""
    rotation = rotation_of()
    assert rotation.opened(9, 1.0) == ()
    assert rotation.delivered(9, "AB", 1.0) == ()
    assert rotation.ended(9, "closed", 1.0) == []
    assert rotation.next_due_s() == MAX_AGE_S


def test_a_part_is_counted_of_the_contracts_that_should_deliver() -> None:
    """A connection with many halted contracts brings all that it owes, and is not replaced."""
    rotation = rotation_of()
    rotation.want(90, 1.0, 2)
    for second in range(10, 400, 10):
        rotation.delivered(1, "AB", float(second))
        assert rotation.tick(float(second)) == []
    rotation.want(90, 400.0, 3)
    rotation.delivered(1, "AB", 520.0)
    assert rotation.tick(521.0) == [AskTurn()], "one of three is missing"


def test_where_nothing_is_owed_an_open_successor_takes_over() -> None:
    """It is not measured by what its predecessor happened to bring before its contracts halted."""
    rotation = rotation_of()
    rotation.want(2, 1.0, 0)
    rotation.tick(MAX_AGE_S)
    rotation.turn_granted(MAX_AGE_S)
    rotation.opened(2, MAX_AGE_S)
    judged_s = MAX_AGE_S + CONFIG.handover_timeout_s
    assert rotation.tick(judged_s - 1.0) == []
    assert rotation.tick(judged_s) == [Promote(2, judged_s), ReturnTurn()]


def test_where_nothing_is_owed_a_successor_that_is_not_open_is_given_up() -> None:
    """The predecessor is open, at least."""
    rotation = rotation_of()
    rotation.want(2, 1.0, 0)
    rotation.tick(MAX_AGE_S)
    rotation.turn_granted(MAX_AGE_S)
    actions = rotation.tick(MAX_AGE_S + CONFIG.handover_timeout_s)
    assert actions == [Close(2, TOO_LITTLE)]


def test_a_socket_of_halted_contracts_is_needed() -> None:
    """What they bring is wanted; one without contracts is not needed."""
    rotation = Rotation(Backoff(lambda: 0.5), max_age_s=MAX_AGE_S, silent_s=SILENT_S)
    assert rotation.want(0, 0.0, 0) == []
    assert rotation.want(2, 1.0, 0) == [Open(1, 0)]
