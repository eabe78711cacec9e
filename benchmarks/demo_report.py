"""The figures of the benchmarks that run everything, as tables, and what was aimed at. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.figures import histogram, quantile, shown, spread
from benchmarks.tables import Aim, table
from schemas.records import WorkerStatus

READINGS = 0.95
"""In this share of its readings the page has to show less than what is aimed at."""
APPLICATION = ("worker", "sink", "producer")
"""The parts that are ours; of several producers each has a number behind its name."""
GROWS = 2.0
"""More records behind in the last third than so many times those in the first: not sustained."""
FEW_BEHIND = 200
"""So many records behind are none that wait."""


def is_loaded(summary: Mapping[str, Any]) -> bool:
    """Tell whether a summary of the page says that all baselines are loaded."""
    baselines = summary["baselines"]
    ended = 0 < baselines["expected"] <= baselines["loaded"]
    return bool(summary["contracts"] and ended)


def figures_of_phase(
    pages: Sequence[Mapping[str, Any]],
    reports: Sequence[WorkerStatus],
    to_kafka_ms: Sequence[float],
    seconds: float,
) -> dict[str, Any]:
    """Return what the page showed, what the worker reported, and how long z-scores took."""
    shown_ms = [p["delay_p99_s"] * 1_000 for p in pages if p["delay_p99_s"] is not None]
    p50 = [r["delay_p50_s"] * 1_000 for r in reports if r["delay_p50_s"] is not None]
    p99 = [r["delay_p99_s"] * 1_000 for r in reports if r["delay_p99_s"] is not None]
    behind = [report["records_behind"] for report in reports]
    third = max(1, len(behind) // 3)
    updates = pages[-1]["updates"] - pages[0]["updates"] if pages else 0
    # The readings are evenly spaced, from the first to the last.
    covered_s = seconds * (len(pages) - 1) / len(pages) if len(pages) > 1 else seconds
    return {
        "updates_s": round(updates / covered_s),
        "page_p99_ms": spread(shown_ms),
        "page_p99_mostly_ms": round(quantile(shown_ms, READINGS), 1) if shown_ms else None,
        "reported_p50_ms": spread(p50),
        "reported_p99_ms": spread(p99),
        "to_kafka_ms": histogram(to_kafka_ms),
        "behind": {
            "first": round(median(behind[:third])) if behind else None,
            "last": round(median(behind[-third:])) if behind else None,
            "most": max(behind, default=None),
        },
        "stale": max((page["stale"] for page in pages), default=0),
    }


def is_sustained(phase: Mapping[str, Any]) -> bool:
    """Tell whether the worker was no further behind at a phase's end than at its begin."""
    first, last = phase["behind"]["first"], phase["behind"]["last"]
    return last is not None and last <= max(FEW_BEHIND, GROWS * first)


def text(figures: Mapping[str, Any]) -> str:
    """Return the figures as tables."""
    loading, steady = figures["loading"], figures["steady"]
    pushed = (
        "All exchanges push at the same moment."
        if figures["aligned"]
        else "Each exchange pushes at moments of its own, as real ones do."
    )
    ended = "were loaded" if figures["loaded"] else "were NOT loaded"
    sql, both = steady["to_sql_ms"], (loading, steady)
    rows = [
        ["updates/s", *(f"{phase['updates_s']:,}" for phase in both)],
        ["the page's p99, ms", *(shown(phase["page_p99_ms"], 0) for phase in both)],
        [
            f"{READINGS:.0%} of its readings are below",
            *(shown(phase["page_p99_mostly_ms"], 0) for phase in both),
        ],
        ["reported each second: p50", *(shown(phase["reported_p50_ms"], 0) for phase in both)],
        ["reported each second: p99", *(shown(phase["reported_p99_ms"], 0) for phase in both)],
        ["to the z-score on Kafka: p50 / p99 / n", *(_took(p["to_kafka_ms"]) for p in both)],
        ["to the row in SQL: p50 / p99 / n", "", _took(sql)],
        ["records behind: first third / last / most", *(_behind(phase) for phase in both)],
        ["stale contracts, most", *(str(phase["stale"]) for phase in both)],
    ]
    parts = sorted(steady["parts"], key=lambda part: (not _is_ours(part), part))
    used = [
        [
            f"**{part}**" if _is_ours(part) else part,
            *(_part(p, part) for p in (loading, steady)),
        ]
        for part in parts
    ]
    begun = (
        f"{figures['contracts']:,} contracts. All parts were up after {figures['started_s']:g} s; "
        f"{loading['seconds']:.0f} s later all baselines {ended}. {pushed} Times in ms."
    )
    tables = [
        table(["", "while history loads", "once loaded"], rows),
        table(["part: cores / RSS, MB", "while history loads", "once loaded"], used),
    ]
    return "\n\n".join([begun, *tables])


def _is_ours(part: str) -> bool:
    return part.partition("-")[0] in APPLICATION


def _took(found: Mapping[str, Any]) -> str:
    return f"{shown(found['p50'], 0)} / {shown(found['p99'], 0)} / {found['n']:,}"


def _behind(phase: Mapping[str, Any]) -> str:
    behind = phase["behind"]
    return " / ".join(
        "-" if behind[k] is None else str(behind[k]) for k in ("first", "last", "most")
    )


def _part(phase: Mapping[str, Any], part: str) -> str:
    if part not in phase["parts"]:
        return "-"
    cores, memory_mb = phase["parts"][part]
    return f"{cores:.2f} / {memory_mb:,}"


def aims_of(figures: Mapping[str, Any], what: str, most: Mapping[str, float]) -> list[Aim]:
    """Return what was aimed at, with what was measured. `most`: what each figure may be."""
    found = []
    loading, steady = figures["loading"], figures["steady"]
    label = f"{what}, {figures['contracts']:,} contracts"
    for name, phase, when in (
        ("loading_ms", loading, "while history loads"),
        ("loaded_ms", steady, "once loaded"),
    ):
        if name in most:
            p99, mostly = phase["page_p99_ms"], phase["page_p99_mostly_ms"]
            is_met = mostly is not None and mostly < most[name] and figures["loaded"]
            is_met = is_met and is_sustained(phase)
            measured = f"{shown(p99, 0)} ms, {READINGS:.0%} below {shown(mostly, 0)}"
            if not is_sustained(phase):
                measured += ", not sustained"
            if not figures["loaded"]:
                measured += ", not loaded"
            found.append(
                Aim(f"{label}: the page's p99 {when}", f"< {most[name]:g} ms", measured, is_met)
            )
    if "worker_cores" in most:
        cores = steady["parts"]["worker"][0]
        aim = f"< {most['worker_cores']:.0%} of a core"
        is_met = cores < most["worker_cores"]
        found.append(Aim(f"{label}: worker", aim, f"{cores:.0%}", is_met))
    return found
