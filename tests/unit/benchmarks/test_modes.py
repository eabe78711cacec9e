"""The table of the modes, and the verdict on Kafka's absence."""

from __future__ import annotations

from benchmarks.freshness import Freshness
from benchmarks.kafka_away import MAX_PRODUCER_MB, Outage
from benchmarks.modes import Figures, text


def fresh(p50_s: float, p99_s: float) -> Freshness:
    """Ages of a feed."""
    return Freshness(2, 60, p50_s, p99_s, p99_s + 1, 0.9, 60, 0.9, p99_s)


def figures(p50_s: float, p99_s: float, calls: float) -> Figures:
    """What a mode did."""
    ages = fresh(p50_s, p99_s)
    return Figures(
        {"backpack": ages},
        ages,
        fresh(p50_s / 2, p99_s / 2),
        {"backpack": calls},
        (12.0, 34.0, 5),
        {"producer": (7.0, 90.0)},
    )


def test_the_table_has_a_column_for_each_mode_and_the_ratio() -> None:
    """Poll to stream; none where the stream needs nothing."""
    lines = text({"poll": figures(16, 30, 120), "stream": figures(0.5, 0.75, 0)}).splitlines()
    assert lines[0] == "|  | poll | stream | poll / stream |"
    assert "| all feeds: age p99, s | 30.0 | 0.8 | 40.0 |" in lines
    assert "| feeds that push each second: age p50, s | 8.0 | 0.2 | 32.0 |" in lines
    assert "| backpack: REST calls an hour | 120.0 | 0.0 | - |" in lines
    assert "| producer: memory, MB | 90.0 | 90.0 | 1.0 |" in lines


def test_a_mode_alone_has_no_ratio() -> None:
    """There is nothing to compare."""
    assert text({"stream": figures(1, 2, 3)}).splitlines()[0] == "|  | stream |"


def test_an_outage_is_judged_by_memory_return_and_what_was_told() -> None:
    """Each of them can fail."""
    good = Outage(1, 2_000_001, 90.0, 95.0, 3.5, 2)
    assert list(good.failures()) == []
    assert "Kafka was away for 2 s" in good.describe()
    for bad in (
        good._replace(most_mb=MAX_PRODUCER_MB + 1),
        good._replace(live_s=None),
        good._replace(gaps=0),
    ):
        assert len(bad.failures()) == 1
