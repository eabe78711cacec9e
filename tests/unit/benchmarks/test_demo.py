"""The benchmarks that run everything: what the worker says of itself becomes figures and aims."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.demo_report import aims_of, figures_of_phase, is_loaded, is_sustained, text
from benchmarks.figures import histogram
from schemas.records import WorkerStatus


def page(p99_ms: float | None, updates: int, stale: int = 0) -> dict[str, Any]:
    """A summary as /api/v1/summary gives it, as far as it is read."""
    p99_s = None if p99_ms is None else p99_ms / 1_000
    return {
        "delay_p99_s": p99_s,
        "updates": updates,
        "stale": stale + 1,
    }


def report(p99_ms: float | None, behind: int) -> WorkerStatus:
    """A report of a worker."""
    delay_s = None if p99_ms is None else p99_ms / 1_000
    return {
        "worker": "w",
        "reported_at": 0,
        "started_at": 0,
        "partitions": 8,
        "records_behind": behind,
        "records": 5,
        "delay_p50_s": delay_s,
        "delay_p99_s": delay_s,
        "contradicted_feeds": [],
    }


def phase(p99_ms: float, behind: tuple[int, ...] = (0, 0, 0), cores: float = 0.1) -> dict[str, Any]:
    """A phase in which everything took alike."""
    pages = [page(p99_ms, 1_000 * n) for n in range(5)]
    return {
        "seconds": 10.0,
        "parts": {"worker": (cores, 150), "broker": (0.2, 300)},
        "to_sql_ms": histogram([800.0]),
        **figures_of_phase(pages, [report(p99_ms, n) for n in behind], [p99_ms], 10.0),
    }


def figures(loading: dict[str, Any], steady: dict[str, Any], *, loaded: bool = True) -> Any:
    """Figures of a run with 70 contracts."""
    document = {"contracts": 70, "started_s": 12.5, "loaded": loaded, "tabs": 1, "aligned": False}
    return {**document, "loading": loading, "steady": steady}


def test_what_the_page_shows_and_the_worker_reports() -> None:
    """Seconds without a record have no delay."""
    pages = [page(None, 100), page(40.0, 300, stale=2), page(60.0, 500)]
    reports = [report(30.0, 9), report(None, 3), report(50.0, 1)]
    found = figures_of_phase(pages, reports, [12.0, 14.0], seconds=3.0)
    assert found["page_p99_ms"] == {"median": 50.0, "min": 40.0, "max": 60.0, "runs": 2}
    assert found["page_p99_mostly_ms"] == 60.0
    assert found["reported_p99_ms"]["max"] == 50.0
    assert found["behind"] == {"first": 9, "last": 1, "most": 9}
    assert (found["stale"], found["updates_s"], found["to_kafka_ms"]["n"]) == (3, 200, 2)


@pytest.mark.parametrize(
    ("behind", "sustained"),
    [
        ((0, 5, 150), True),
        ((900, 900, 1_700), True),
        ((0, 500, 1_000), False),
        ((900, 1_500, 1_900), False),
        ((), False),
    ],
)
def test_a_load_is_sustained_if_the_worker_does_not_fall_behind(
    *, behind: tuple[int, ...], sustained: bool
) -> None:
    """A few records always wait; without a report nobody knows."""
    assert is_sustained(phase(10.0, behind)) == sustained


@pytest.mark.parametrize(
    ("contracts", "loaded", "expected", "is_whole"),
    [(70, 70, 70, True), (70, 69, 70, False), (0, 70, 70, False), (70, 0, 0, False)],
)
def test_all_baselines_are_loaded(
    contracts: int,
    loaded: int,
    expected: int,
    is_whole: bool,  # noqa: FBT001 - pytest passes parameters so
) -> None:
    """Those of the contracts that are expected, of which there must be some."""
    summary = {"contracts": contracts, "baselines": {"loaded": loaded, "expected": expected}}
    assert is_loaded(summary) == is_whole


MOST = {"loading_ms": 250.0, "loaded_ms": 100.0, "worker_cores": 0.15}


def test_the_aims_of_a_run() -> None:
    """The page's p99 while loading and after, and the worker's share of a core."""
    good = aims_of(figures(phase(200.0), phase(60.0)), "demo", MOST)
    assert [aim.met for aim in good] == [True, True, True]
    assert good[0].what == "demo, 70 contracts: the page's p99 while history loads"
    assert good[2].measured == "10%"
    bad = aims_of(figures(phase(300.0), phase(110.0, cores=0.2)), "demo", MOST)
    assert [aim.met for aim in bad] == [False, False, False]


def test_a_run_that_was_not_loaded_or_not_sustained_meets_no_aim() -> None:
    """A low p99 of a worker that falls behind means nothing."""
    for found, told in (
        (figures(phase(9.0), phase(9.0), loaded=False), "not loaded"),
        (figures(phase(9.0), phase(9.0, (0, 500, 1_000))), "not sustained"),
    ):
        aim = aims_of(found, "demo", {"loaded_ms": 100.0})[0]
        assert not aim.met
        assert told in aim.measured


def test_the_tables_name_parts_and_times() -> None:
    """The application's parts first, in bold."""
    table = text(figures(phase(200.0), phase(60.0)))
    assert (
        "70 contracts. All parts were up after 12.5 s; 10 s later all baselines were loaded."
        in table
    )
    assert "| the page's p99, ms | 200 | 60 |" in table
    assert table.index("| **worker** | 0.10 / 150 | 0.10 / 150 |") < table.index("| broker |")
