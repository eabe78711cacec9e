"""The benchmark of disturbances: what counts as silence, and what its table shows."""

from __future__ import annotations

from benchmarks.disturbances import HEADER, Found
from benchmarks.steady_load import Arrival, silence_us


def arrivals(*times: int) -> list[Arrival]:
    """Rates that came then."""
    return [Arrival(at, at - 1) for at in times]


def test_the_longest_pause_after_the_disturbance_is_the_silence() -> None:
    """One that was over before it does not count, one that it falls into counts as a whole."""
    came = arrivals(0, 50, 60, 75, 80)
    assert silence_us(came, 55, 85) == 15
    assert silence_us(came, 40, 85) == 50


def test_a_partition_that_stays_silent_is_silent_to_the_end() -> None:
    """Whatever came later belongs to the next disturbance."""
    assert silence_us(arrivals(0, 10, 90), 5, 70) == 60
    assert silence_us([], 5, 70) == 0


def test_a_row_shows_both_groups_of_partitions() -> None:
    """Under their headings; a group without partitions has no figures."""
    line = Found("kill", 3, 7, 1, 2, [1.0, 2.0, 4.0]).line()
    assert line == "| kill | 3 | 7 | 1 | 2 | 2.0 / 4.0 | – |"
    assert {row.count("|") for row in HEADER.splitlines()} == {line.count("|")}
