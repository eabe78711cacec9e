"""Latency beside the bare loop: what is compared with what, and what is aimed at."""

from __future__ import annotations

from typing import Any

from benchmarks.feeding import Paced
from benchmarks.latency import Span, told
from benchmarks.latency_report import aims, text
from benchmarks.platform import BARE_LOOP, OURS
from schemas.times import US_PER_S

FROM_US = 1_790_000_000 * US_PER_S
LOOP = BARE_LOOP.label


def span(ours: dict[int, list[float]], loop: dict[int, list[float]], label: str = OURS) -> Span:
    """Four seconds of a program beside the loop; times of sending in s, what it took in ms."""
    arrivals = {
        name: {FROM_US + at * US_PER_S: times for at, times in found.items()}
        for name, found in ((label, ours), (LOOP, loop))
    }
    return Span(arrivals, {label: 7.0, LOOP: 2.0}, Paced(80, [0.1, 0.2]), 4.0, FROM_US)


def test_the_loop_is_weighted_as_the_z_scores_are() -> None:
    """A burst brings many z-scores and is one record of the loop's."""
    figures = told(span({0: [30.0, 31.0, 32.0], 1: [9.0]}, {0: [20.0], 1: [5.0], 2: [6.0]}))
    ours, loop = figures["programs"][OURS], figures["programs"][LOOP]
    assert (ours["n"], ours["p50"]) == (4, 31.0)
    assert (loop["n"], loop["p50"]) == (3, 6.0)
    assert (loop["same_records"]["n"], loop["same_records"]["p50"]) == (4, 20.0)
    assert figures["updates_s"] == 20


def test_a_record_that_the_loop_did_not_bring_is_compared_with_nothing() -> None:
    """Neither is one that led to no z-score."""
    figures = told(span({0: [30.0], 3: [8.0]}, {3: [4.0]}))
    assert figures["programs"][LOOP]["same_records"]["n"] == 1


def loads(ours: dict[int, list[float]], loop: dict[int, list[float]]) -> dict[str, Any]:
    """Figures of a run of one round in which every load went alike."""
    usual = told(span(ours, loop))
    hour = {**usual, "just after": usual["programs"][OURS]}
    others = [told(span(ours, loop, "quixstreams"))]
    found = {"1,900/s": [usual], "20,000/s": [usual], "others": others, "hour": [hour]}
    return {"quixstreams": "3.28.1", "loads": found}


def test_all_aims_are_judged() -> None:
    """Enough z-scores, a p99, its ratio to the loop's, and the full hour's."""
    many = {at: [12.0] * 6_000 for at in range(4)}
    met = aims(loads(many, {at: [9.0] for at in range(4)}))
    assert [(aim.measured, aim.met) for aim in met] == [
        ("12.0 ms, n 24,000", True),
        ("12.0 ms, n 24,000", True),
        ("1.33 ×", True),
        ("12.0 ms", True),
    ]
    few = {at: [120.0] for at in range(4)}
    assert [aim.met for aim in aims(loads(few, {at: [60.0] for at in range(4)}))] == [False] * 4


def test_a_program_that_falls_behind_is_named() -> None:
    """The last quarter tells: a p99 of a span that was too short would not."""
    behind = {at: [10.0 + 150.0 * at] for at in range(4)}
    table = text(loads(behind, {at: [5.0] for at in range(4)}))
    usual = f"{OURS} at 1,900/s, {OURS} at 20,000/s, quixstreams at 1,900/s"
    last = table.splitlines()[-1]
    assert last == f"Fell behind more and more: {usual}, {OURS} at 1,900/s over the full hour."
    assert "| 1,900/s | fundingstream | 310.0 | 460.0 |" in table


def test_a_program_without_any_output_is_behind() -> None:
    """It has no quantiles, which are shown as dashes."""
    table = text(loads({}, {at: [5.0] for at in range(4)}))
    assert "| 1,900/s | fundingstream | - | - | - | 0 | 7.0 |" in table
    assert "Fell behind more and more: fundingstream at 1,900/s" in table
