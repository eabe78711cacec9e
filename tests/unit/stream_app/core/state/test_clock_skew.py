"""Clocks that run ahead: the receipt stands in for the time, duplicates stay duplicates."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.core.state.bars import LATENESS_US
from stream_app.core.state.clock_skew import MAX_SKEWED, SKEW_US, Skewed, standing_time
from tests.support.partitions import T0, Partition, S, audits, clock, of, tick

AHEAD = 30 * S
A = "binance-usdm:AUSDT"


def skewed_tick(rate: float, received_at: int, ahead_us: int = AHEAD) -> tuple[float, int, int]:
    """An update by its rate, its time by the exchange, and its receipt."""
    return rate, received_at + ahead_us, received_at


def run(partition: Partition, *updates: tuple[float, int, int]) -> list[dict[str, object]]:
    """Apply updates one by one; return the rates that were published."""
    rates = []
    for rate, event_time, received_at in updates:
        row = tick("AUSDT", rate, event_time, received_at - event_time)
        rates += of(partition.ticks(row, received_at=received_at), "rates")
    return rates


def test_an_update_from_the_future_stands_at_its_receipt(new: Partition) -> None:
    """It says so, and it is counted."""
    (rate,) = run(new, skewed_tick(0.0001, T0 + S))
    assert (rate["event_time"], rate["event_time_source"]) == (T0 + S, "receipt")
    assert (rate["late"], rate["received_at"]) == (False, T0 + S)
    told = audits(new.run(clock(T0 + 60 * S)), "clock_skew")
    assert told == [("binance-usdm", "clock_skew", 1, "AUSDT: 30.0 s ahead of its receipt")]


def test_up_to_five_seconds_are_believed(new: Partition) -> None:
    """Clocks are never the same."""
    first, second = run(
        new,
        skewed_tick(0.0001, T0, SKEW_US),
        skewed_tick(0.0002, T0 + S, SKEW_US + 1_000),
    )
    assert (first["event_time"], first["event_time_source"]) == (T0 + SKEW_US, "exchange")
    assert (second["event_time"], second["event_time_source"]) == (T0 + S, "receipt")


def test_a_clock_that_comes_back_freezes_nothing(new: Partition) -> None:
    """The first believed update is the current one."""
    run(new, skewed_tick(0.0001, T0), skewed_tick(0.0002, T0 + S))
    run(new, skewed_tick(0.0003, T0 + 2 * S, -2_000))
    (contract,) = new.contracts
    assert contract.rate == 0.0003
    assert new.counts["late"] == new.counts["out_of_order"] == 0


def test_two_sockets_deliver_one_update_each_time(new: Partition) -> None:
    """In any interleaving: the second is a duplicate, and moves nothing back."""
    a1, a2 = T0 + AHEAD, T0 + AHEAD + S
    first = (0.0001, a1, T0)
    second = (0.0002, a2, T0 + S)
    rates = run(new, first, (0.0001, a1, T0 + 5_000), second, (0.0001, a1, T0 + S + 7_000),
                (0.0002, a2, T0 + S + 9_000))  # fmt: skip
    assert [rate["rate"] for rate in rates] == [0.0001, 0.0002]
    assert new.counts["duplicate"] == 3
    (contract,) = new.contracts
    assert (contract.rate, contract.updates) == (0.0002, 2)


def test_an_older_one_that_was_not_seen_stays_older(new: Partition) -> None:
    """The second socket brings what the first has lost."""
    a0 = T0 + AHEAD
    rates = run(new, (0.0001, a0 + 3 * S, T0 + 3 * S), (0.0009, a0 + 2 * S, T0 + 3 * S + 1))
    assert [(rate["event_time"], rate["late"]) for rate in rates] == [
        (T0 + 3 * S, False),
        (T0 + 2 * S, False),
    ]
    (contract,) = new.contracts
    assert contract.rate == 0.0001


def test_what_is_remembered_is_bounded_and_forgotten() -> None:
    """By number, by time, and when the clock is right again."""
    known: list[Skewed] = []
    for index in range(3 * MAX_SKEWED):
        standing_time(known, T0 + AHEAD + index * 1_000, T0 + index * 1_000, SKEW_US)
    assert len(known) == MAX_SKEWED
    standing_time(known, T0 + AHEAD + 20 * S, T0 + 20 * S, SKEW_US)
    assert known == [(T0 + AHEAD + 20 * S, T0 + 20 * S)]
    standing_time(known, T0 + 30 * S, T0 + 30 * S, SKEW_US)
    assert len(known) == 1
    standing_time(known, T0 + 31 * S, T0 + 31 * S, SKEW_US)
    assert known == []


def test_a_clock_that_changes_again_is_no_old_update() -> None:
    """From 30 s ahead to 15: what it says lies behind what it said, and is new."""
    known: list[Skewed] = []
    assert standing_time(known, T0 + 30 * S, T0, SKEW_US) == T0
    assert standing_time(known, T0 + 16 * S, T0 + S, SKEW_US) == T0 + S
    assert standing_time(known, T0 + 17 * S, T0 + 2 * S, SKEW_US) == T0 + 2 * S


@settings(max_examples=150, deadline=None)
@given(
    offsets_s=st.lists(st.integers(-3, 60), min_size=1, max_size=6),
    each=st.integers(1, 25),
    jitter_ms=st.lists(st.integers(0, 300), min_size=1, max_size=7),
)
def test_a_clock_ahead_never_freezes_a_rate_beyond_the_lateness(
    offsets_s: list[int], each: int, jitter_ms: list[int]
) -> None:
    """Whatever the exchange's clock does: each rate is another one, one a second."""
    partition = Partition()
    newest_change, count = T0, 0
    for offset_s in offsets_s:
        for _ in range(each):
            received_at = T0 + count * S + jitter_ms[count % len(jitter_ms)] * 1_000
            rate = 0.0001 + count * 1e-7
            run(partition, (rate, T0 + (count + offset_s) * S, received_at))
            (contract,) = partition.contracts
            if contract.rate == rate:
                newest_change = received_at
            assert received_at - newest_change <= LATENESS_US
            count += 1
