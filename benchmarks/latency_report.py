"""The figures of the latency benchmark as tables, and what was aimed at. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from benchmarks.figures import BUCKETS_MS, shown, spread
from benchmarks.platform import BARE_LOOP, OURS
from benchmarks.tables import Aim, table

MAX_RATIO = 1.5
"""Of our p99 to the loop's of the same span."""
MAX_P99_MS = {"1,900/s": 40.0, "20,000/s": 150.0}
MAX_HOUR_P99_MS = 100.0
ENOUGH = 20_000
"""z-scores for a p99."""
KEPT_UP_MS = 200.0
"""A program whose last quarter has a median below this has kept up."""

_CALLED = {"others": "1,900/s", "hour": "1,900/s over the full hour"}

Run = Mapping[str, Any]


def text(figures: Mapping[str, Any]) -> str:
    """Return the figures as tables."""
    loads, rows = figures["loads"], []
    for load in ("1,900/s", "20,000/s"):
        rows += _rows(load, loads[load], OURS)
    for label, runs in _by_program(loads["others"]):
        rows += _rows("1,900/s, alone", runs, label)
    parts = [
        "Medians of the rounds (least-greatest), ms:",
        table(
            ["load", "program", "p50", "p99", "p99 / loop's", "outputs", "CPU µs an update"], rows
        ),
        _sent(loads),
        "All rounds together, share of the z-scores by ms:",
        _histograms(loads),
        "Over a full hour, ms:",
        _hour(loads["hour"]),
    ]
    behind = [f"{label} at {load}" for load, label in _fell_behind(loads)]
    if behind:
        parts.append(f"Fell behind more and more: {', '.join(behind)}.")
    return "\n\n".join(parts)


def _sent(loads: Mapping[str, Sequence[Run]]) -> str:
    """Say how well the load itself was what it was to be."""
    told = []
    for load in ("1,900/s", "20,000/s"):
        rates = spread([run["updates_s"] for run in loads[load]], 0)
        late_ms = max(run["pacer_late_p99_ms"] for run in loads[load])
        told.append(f"at {load}: {shown(rates, 0)} updates/s, p99 {late_ms:.1f} ms late")
    return f"What was sent, and how much later than planned: {'; '.join(told)}."


def _by_program(runs: Sequence[Run]) -> Iterable[tuple[str, list[Run]]]:
    ordered = sorted(runs, key=lambda run: str(run["program"]))
    return ((label, list(found)) for label, found in groupby(ordered, lambda r: str(r["program"])))


def _rows(load: str, runs: Sequence[Run], label: str) -> list[list[str]]:
    ours = [run["programs"][label] for run in runs]
    loop = [run["programs"][BARE_LOOP.label] for run in runs]
    same = [each["same_records"] for each in loop]
    by_record, by_zscore = _ratio(ours, loop), _ratio(ours, same)
    return [
        [load, label, *_quantiles(ours), shown(by_record, 2), _n(ours), _cpu(ours)],
        [load, BARE_LOOP.label, *_quantiles(loop), "1", _n(loop), _cpu(loop)],
        [load, "the same, weighted", *_quantiles(same), f"to this {shown(by_zscore, 2)}", "", ""],
    ]


def _quantiles(runs: Sequence[Run]) -> list[str]:
    return [shown(_of(runs, name), 1) for name in ("p50", "p99")]


def _of(runs: Sequence[Run], name: str) -> Any:
    return spread([run[name] for run in runs if run[name] is not None])


def _ratio(ours: Sequence[Run], theirs: Sequence[Run]) -> Any:
    pairs = [(a["p99"], b["p99"]) for a, b in zip(ours, theirs, strict=True)]
    return spread([a / b for a, b in pairs if a is not None and b], 2)


def _n(runs: Sequence[Run]) -> str:
    return f"{sum(run['n'] for run in runs):,}"


def _cpu(runs: Sequence[Run]) -> str:
    return shown(_of(runs, "cpu_us"), 1)


def _together(runs: Sequence[Run]) -> list[int]:
    return [sum(column) for column in zip(*(run["counts"] for run in runs), strict=True)]


def _histograms(loads: Mapping[str, Sequence[Run]]) -> str:
    columns: dict[str, list[int]] = {}
    for load in ("1,900/s", "20,000/s"):
        columns[f"{OURS}, {load}"] = _together([r["programs"][OURS] for r in loads[load]])
        loop = [r["programs"][BARE_LOOP.label]["same_records"] for r in loads[load]]
        columns[f"loop, weighted, {load}"] = _together(loop)
    for label, runs in _by_program(loads["others"]):
        columns[f"{label}, 1,900/s"] = _together([r["programs"][label] for r in runs])
    names = [*(f"≤ {bound:,}" for bound in BUCKETS_MS), f"> {BUCKETS_MS[-1]:,}"]
    rows = [
        [name, *(_share(counts, place) for counts in columns.values())]
        for place, name in enumerate(names)
        if any(counts[place] for counts in columns.values())
    ]
    return table(["ms", *columns], rows)


def _share(counts: Sequence[int], place: int) -> str:
    share = counts[place] / max(1, sum(counts))
    return f"{share:.2%}" if counts[place] else ""


def _hour(runs: Sequence[Run]) -> str:
    rows = [
        [
            number,
            shown(ours["p50"], 1),
            shown(ours["p99"], 1),
            shown(run["just after"]["p99"], 1),
            shown(ours["max"], 1),
            shown(run["programs"][BARE_LOOP.label]["same_records"]["p99"], 1),
            f"{ours['n']:,}",
        ]
        for number, run in enumerate(runs, 1)
        for ours in (run["programs"][OURS],)
    ]
    head = ["hour", "p50", "p99", "p99 of the 2 s after it", "max", "loop's p99, weighted", "n"]
    return table(head, rows)


def _fell_behind(loads: Mapping[str, Sequence[Run]]) -> list[tuple[str, str]]:
    found = []
    for load, runs in loads.items():
        for run in runs:
            for label, program in run["programs"].items():
                last = program["last_quarter_p50"]
                if last is None or last > KEPT_UP_MS:
                    found.append((_CALLED.get(load, load), label))
    return list(dict.fromkeys(found))


def aims(figures: Mapping[str, Any]) -> list[Aim]:
    """Return what was aimed at, with what was measured."""
    loads, found = figures["loads"], []
    behind = _fell_behind(loads)
    for load, most_ms in MAX_P99_MS.items():
        runs = loads[load]
        ours = [run["programs"][OURS] for run in runs]
        p99 = _of(ours, "p99")
        is_met = p99 is not None and p99["median"] < most_ms and (load, OURS) not in behind
        is_met = is_met and sum(run["n"] for run in ours) >= ENOUGH
        measured = f"{shown(p99, 1)} ms, n {_n(ours)}"
        found.append(Aim(f"raw to z at {load}: p99", f"< {most_ms:g} ms", measured, is_met))
    runs = loads["1,900/s"]
    ours = [run["programs"][OURS] for run in runs]
    ratio = _ratio(ours, [run["programs"][BARE_LOOP.label]["same_records"] for run in runs])
    is_met = ratio is not None and ratio["median"] <= MAX_RATIO
    what = "the same, beside the bare loop on the same records"
    found.append(Aim(what, f"≤ {MAX_RATIO:g} ×", f"{shown(ratio, 2)} ×", is_met))
    hour = _of([run["programs"][OURS] for run in loads["hour"]], "p99")
    is_met = hour is not None and hour["max"] < MAX_HOUR_P99_MS
    what = "raw to z at 1,900/s over a full hour: p99"
    found.append(Aim(what, f"< {MAX_HOUR_P99_MS:g} ms", f"{shown(hour, 1)} ms", is_met))
    return found
