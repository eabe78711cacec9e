"""Programs beside each other: tables, ratios and aims."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from benchmarks.throughput import SIZES, aims, text
from schemas.partitioning import PARTITIONS


def runs(*speeds: float, cpu_us: float = 9.0) -> list[dict[str, Any]]:
    """Runs of one program with these updates a second; 0: nothing came."""
    return [{"updates": 10, "updates_s": s, "cpu_us": cpu_us, "complete": True} for s in speeds]


def figures(sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Figures as a run gives them."""
    found: dict[str, Any] = {"sizes": sizes, "quixstreams": "3.28.1", "seconds": 5.0}
    assert json.dumps(found), "figures go into a file"
    return found


def test_ratios_are_of_the_same_round() -> None:
    """A machine that is slow in one round is slow for both."""
    found = figures({"63": {
        "fundingstream": runs(90_000, 30_000, 60_000),
        "quixstreams": runs(30_000, 10_000, 15_000),
    }})  # fmt: skip
    table = text(found)
    assert "| 63 | 60,000 (30,000-90,000) | 15,000 (10,000-30,000) |" in table
    assert "| 63 | 3.0 (3.0-4.0) |" in table
    assert "quixstreams 3.28.1" in table
    assert [(aim.measured, aim.met) for aim in aims(found)] == [
        ("60,000 (30,000-90,000)/s, 9.0 µs", False),
        ("3.0 (3.0-4.0) ×", True),
    ]


def test_both_speed_and_cpu_are_aimed_at() -> None:
    """Of small records only the ratio is."""
    quick = figures({"420": {"fundingstream": runs(120_000, cpu_us=10.1)}})
    assert [aim.met for aim in aims(quick)] == [False]
    cheap = figures({"420": {"fundingstream": runs(120_000, cpu_us=8.5)}})
    assert [aim.met for aim in aims(cheap)] == [True]
    small = figures({"1": {"fundingstream": runs(7_000), "quixstreams": runs(14_000)}})
    assert [(aim.measured, aim.met) for aim in aims(small)] == [("0.5 ×", False)]


def test_a_program_that_did_nothing_has_a_dash() -> None:
    """It is no zero in a median, and no endless ratio."""
    found = figures({"63": {"fundingstream": runs(90_000), "naive Faust": runs(0)}})
    table = text(found)
    assert "| 63 | 90,000 | - |" in table
    assert table.endswith("| 63 | - |")


def test_a_backlog_has_whole_seconds_and_two_at_least() -> None:
    """Each contract has an update a second."""
    for size in SIZES:
        assert size.seconds(1.0) == round(size.updates / (size.each * PARTITIONS))
        assert size.seconds(0.0) == 2
