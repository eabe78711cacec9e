"""Order and duplicates of a contract's updates (docs/decisions/order-and-duplicates.md)."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.core.rates import Verdict, judge
from stream_app.core.state.bars import LATENESS_US, MAX_HELD, Held
from stream_app.core.state.contract_state import ContractState

START_US = 1_791_269_856_000_000
S = 1_000_000


class Update(NamedTuple):
    """An update of one contract."""

    at: int
    rate: float


def verdicts(updates: list[Update], settle_each: int = 1) -> tuple[list[Verdict], ContractState]:
    """Judge updates in turn, as the partition does, from a new contract.

    Bars are settled after every `settle_each` updates.
    """
    contract = ContractState("A", "f:A", "A", "")
    given_verdicts: list[Verdict] = []
    for count, (at, rate) in enumerate(updates):
        verdict = judge(contract, at, rate)
        given_verdicts.append(verdict)
        if verdict in {"accepted", "conflict"}:
            contract.event_time, contract.rate = at, rate
            contract.updates += 1
        if verdict in {"accepted", "conflict", "out_of_order"}:
            contract.bars.add(Held(at, rate, None, None, "ws"))
        if count % settle_each == 0:
            contract.bars.settle(10 * S)
    return given_verdicts, contract


def reference(updates: list[Update]) -> list[Verdict]:
    """The rules by themselves, over everything that came before; slow and without state."""
    found: list[Verdict] = []
    known: list[Update] = []
    for update in updates:
        newest = max((one.at for one in known), default=None)
        if newest is None or update.at > newest:
            found.append("accepted")
        elif newest - update.at > LATENESS_US:
            found.append("late")
            continue
        elif update in known:
            found.append("duplicate")
        elif update.at == newest:
            found.append("conflict")
        else:
            found.append("out_of_order")
        known.append(update)
    return found


steps = st.integers(-14 * S, 14 * S) | st.sampled_from([0, LATENESS_US, -LATENESS_US])
updates_lists = st.lists(
    st.builds(
        Update,
        st.one_of(
            st.integers(0, 40).map(lambda s: START_US + s * S // 2),
            steps.map(lambda us: START_US + us),
        ),
        st.sampled_from([0.1, 0.2, 0.3]),
    ),
    max_size=30,
)


@given(updates=updates_lists)
def test_verdicts_are_those_of_the_plain_rules(updates: list[Update]) -> None:
    """Whatever the order, the times and the rates are."""
    for index, (found, expected) in enumerate(
        zip(verdicts(updates)[0], reference(updates), strict=True)
    ):
        # The last one before the lateness is still remembered, since it may still hold.
        repeated = expected == "late" and updates[index] in updates[:index]
        assert found == expected or (repeated and found == "duplicate")


@given(updates=updates_lists, settle_each=st.integers(2, 40))
def test_verdicts_do_not_depend_on_when_bars_are_settled(
    updates: list[Update], settle_each: int
) -> None:
    """A duplicate is one whether its time is in a bar already or not."""
    assert verdicts(updates, settle_each)[0] == verdicts(updates)[0]


@given(data=st.data(), updates=updates_lists)
def test_a_repetition_within_the_lateness_changes_nothing(
    data: st.DataObject, updates: list[Update]
) -> None:
    """Each update may come again at once or later, and the contract ends the same."""
    once, contract = verdicts(updates)
    doubled: list[Update] = []
    for index, update in enumerate(updates):
        doubled.append(update)
        doubled += data.draw(st.lists(st.sampled_from(updates[: index + 1]), max_size=1))
    twice, same = verdicts(doubled)
    assert (same.event_time, same.rate, same.updates) == (
        contract.event_time,
        contract.rate,
        contract.updates,
    )
    assert sorted(v for v in twice if v not in {"duplicate", "late"}) == sorted(
        v for v in once if v not in {"duplicate", "late"}
    )


def test_the_newest_event_time_wins_whatever_arrives_last() -> None:
    """An older update moves nothing."""
    given_verdicts, contract = verdicts(
        [Update(START_US, 0.1), Update(START_US + 5 * S, 0.2), Update(START_US + 4 * S, 0.3)]
    )
    assert given_verdicts == ["accepted", "accepted", "out_of_order"]
    assert (contract.event_time, contract.rate) == (START_US + 5 * S, 0.2)


def test_at_the_same_time_the_later_received_rate_wins() -> None:
    """A correction by the exchange, audited as a conflict."""
    given_verdicts, contract = verdicts([Update(START_US, 0.1), Update(START_US, 0.2)])
    assert given_verdicts == ["accepted", "conflict"]
    assert contract.rate == 0.2


def test_a_second_socket_does_not_undo_a_correction() -> None:
    """Both sockets bring both rows: the corrected rate stays, whatever their interleaving."""
    first, corrected = Update(START_US, 0.1), Update(START_US, 0.2)
    given_verdicts, contract = verdicts([first, corrected, first, corrected])
    assert given_verdicts == ["accepted", "conflict", "duplicate", "duplicate"]
    assert (contract.rate, contract.updates) == (0.2, 2)


@pytest.mark.parametrize(
    ("behind_us", "verdict"),
    [(1, "out_of_order"), (LATENESS_US, "out_of_order"), (LATENESS_US + 1, "late")],
)
def test_beyond_ten_seconds_is_late(behind_us: int, verdict: Verdict) -> None:
    """Exactly ten seconds behind is still within the lateness."""
    given_verdicts, _ = verdicts([Update(START_US, 0.1), Update(START_US - behind_us, 0.2)])
    assert given_verdicts == ["accepted", verdict]


def test_an_older_update_that_comes_again_is_a_duplicate() -> None:
    """Out of order once, then known."""
    late_by_a_second = Update(START_US - S, 0.3)
    given_verdicts, _ = verdicts([Update(START_US, 0.1), late_by_a_second, late_by_a_second])
    assert given_verdicts == ["accepted", "out_of_order", "duplicate"]


def test_what_is_remembered_is_bounded() -> None:
    """A contract that updates a thousand times a second keeps its newest few."""
    _, contract = verdicts([Update(START_US + i * 1_000, 0.1) for i in range(1_000)])
    assert len(contract.bars.held) <= MAX_HELD
    assert contract.bars.held[-1].event_time == START_US + 999_000


def test_what_is_older_than_the_lateness_is_forgotten() -> None:
    """It would be judged late anyway."""
    _, contract = verdicts([Update(START_US + i * 4 * S, 0.1) for i in range(9)])
    # The first of them still holds at the beginning of the lateness.
    assert [h.event_time for h in contract.bars.held] == [
        START_US + i * 4 * S for i in (5, 6, 7, 8)
    ]
