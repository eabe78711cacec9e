"""The arithmetic of one z-score, step by step, each compared with what is stored. Pure.

Every number comes from the functions that the worker itself computes with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from math import isclose
from typing import NamedTuple

from infra.inspection.evidence import Baseline, Evidence
from schemas.errors import MalformedInputError
from schemas.rates import HOURS_A_YEAR, REFERENCE_INTERVAL_HOURS, apr, rate_8h
from schemas.records import ZScore
from stream_app.core.scoring.statistics import (
    MAD_TO_SIGMA,
    MIN_SAMPLES,
    confidence_of,
    percentile_of,
    robust_z_of,
    z_of,
)
from stream_app.core.scoring.zones import HIGH_Z, crossed_between, rate_moved, trigger_of, zone_of
from stream_app.model import RateUpdate
from stream_app.normalise import normaliser

RELATIVE_TOLERANCE = 1e-9
ABSOLUTE_TOLERANCE = 1e-15
"""Numbers that are this close are equal: they were rounded on different ways."""

Value = float | int | str | None


class Verdict(StrEnum):
    """How a number that is computed again compares with the one that is stored."""

    EQUAL = "equal"
    REVISED = "revised since"
    """It differs, and settlements of its baseline were stored or corrected since."""
    DIFFERS = "differs"
    UNCHECKED = "not checked"
    """What it was computed from is not stored, or no longer."""


class Step(NamedTuple):
    """One number: how it is computed, with which numbers, and what is stored of it."""

    name: str
    formula: str
    numbers: str
    """The formula with the numbers in it."""
    result: Value
    stored: Value
    verdict: Verdict
    note: str = ""
    """What a reader has to know beside; empty: nothing."""


def steps_of(evidence: Evidence) -> list[Step]:
    """Return the steps from the exchange's payload to the z-score's trigger, in their order."""
    row = evidence.row
    return [
        _payload_rate(evidence),
        _interval(evidence),
        *_scaled(row),
        *_statistics(row, evidence.baseline),
        *_scores(row, evidence.baseline),
        _zone(row),
        _trigger(evidence),
    ]


def worst(steps: Sequence[Step]) -> Verdict:
    """Return the verdict about a whole row: `differs` if one step does, then `revised since`."""
    found = {step.verdict for step in steps}
    for verdict in (Verdict.DIFFERS, Verdict.REVISED):
        if verdict in found:
            return verdict
    return Verdict.EQUAL


def _is_equal(result: Value, stored: Value) -> bool:
    if isinstance(result, int | float) and isinstance(stored, int | float):
        return isclose(result, stored, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)
    return result == stored


def _compared(result: Value, stored: Value, baseline: Baseline | None = None) -> Verdict:
    if _is_equal(result, stored):
        return Verdict.EQUAL
    return Verdict.REVISED if baseline is not None and baseline.later else Verdict.DIFFERS


def _payload_rate(evidence: Evidence) -> Step:
    """Read the payload again as the worker does, and compare its rate."""
    row, raw = evidence.row, evidence.raw
    name, formula = "rate", "the rate in the payload, as a fraction"
    stored = row["rate"]
    if raw is None or raw.is_cut:
        note = "the raw record is not at hand" if raw is None else "the payload is too long"
        return Step(name, formula, "", None, stored, Verdict.UNCHECKED, note)
    read = normaliser(row["feed"])
    try:
        updates = read(
            raw.purpose, raw.channel, row["symbol"], raw.payload.encode(), raw.received_at
        )
    except MalformedInputError as error:
        return Step(name, formula, "", None, stored, Verdict.DIFFERS, str(error))
    rates = [update.rate for update in updates if isinstance(update, RateUpdate)]
    if not rates:
        return Step(name, formula, "", None, stored, Verdict.DIFFERS, "the payload has no rate")
    rate = next((rate for rate in rates if rate == stored), rates[0])
    return Step(name, formula, f"{raw.channel}: {rate!r}", rate, stored, _compared(rate, stored))


def _interval(evidence: Evidence) -> Step:
    """Compare the interval with that of the row in `rates`: other evidence may have come since."""
    row, rate_row = evidence.row, evidence.rate_row
    source = row["interval_source"] or "not said"
    name, formula = "interval_hours", f"as known when it was scored; source: {source}"
    stored = row["interval_hours"]
    note = "in doubt: z is null" if row["interval_doubtful"] else ""
    if rate_row is None:
        note = note or "the row of rates is not at hand"
        return Step(name, formula, "", None, stored, Verdict.UNCHECKED, note)
    hours = rate_row["interval_hours"]
    numbers = f"rates: {hours!r}"
    if hours != stored:
        # A flush takes the interval that is known then, the row of rates that of its arrival.
        note = "learnt between the update and its emission"
        return Step(name, formula, numbers, hours, stored, Verdict.UNCHECKED, note)
    return Step(name, formula, numbers, hours, stored, Verdict.EQUAL, note)


def _scaled(row: ZScore) -> Iterator[Step]:
    rate, hours = row["rate"], row["interval_hours"]
    for name, factor, value, stored in (
        ("rate_8h", REFERENCE_INTERVAL_HOURS, rate_8h(rate, hours), row["rate_8h"]),
        ("apr", HOURS_A_YEAR, apr(rate, hours), row["apr"]),
    ):
        formula = f"rate × {factor:g} / interval_hours"
        numbers = f"{rate!r} × {factor:g} / {hours:g}"
        yield Step(name, formula, numbers, value, stored, _compared(value, stored))


def _statistics(row: ZScore, baseline: Baseline | None) -> Iterator[Step]:
    if baseline is None:
        # An empty baseline has no hour.
        yield Step(
            "samples", "settlements in the baseline", "none", 0, row["samples"],
            _compared(0, row["samples"]), unscored_because(row),
        )  # fmt: skip
        return
    stats, later = baseline.stats, len(baseline.later)
    note = f"{later} stored or corrected since" if later else ""
    for name, formula, numbers, value, stored in (
        (
            "samples", "settlements in (H − 30 d, H]", _left_out(baseline), stats.samples,
            row["samples"],
        ),
        (
            "confidence", "by samples: < 10, < 30, < 90, < 180, more", f"{stats.samples}",
            confidence_of(stats.samples), row["confidence"],
        ),
        ("mean", "Σ rate_8h / n", _sum_over(baseline), stats.mean, row["mean"]),
        (
            "std", "√(Σ (rate_8h − mean)² / (n − 1))", _spread_over(baseline), stats.std,
            row["std"],
        ),
    ):  # fmt: skip
        verdict = _compared(value, stored, baseline)
        yield Step(
            name, formula, numbers, value, stored, verdict,
            note if verdict is not Verdict.EQUAL else "",
        )  # fmt: skip


def _left_out(baseline: Baseline) -> str:
    left_out = [
        f"{count} {why}"
        for count, why in (
            (baseline.doubtful, "of a doubtful interval"),
            (baseline.other_generations, "of another generation"),
        )
        if count
    ]
    return f"left out: {', '.join(left_out)}" if left_out else f"{len(baseline.used)} are stored"


def _sum_over(baseline: Baseline) -> str:
    return f"{float(baseline.window.sum())!r} / {len(baseline.used)}"


def _spread_over(baseline: Baseline) -> str:
    window, samples = baseline.window, len(baseline.used)
    if samples < 2:
        return f"n = {samples}"
    squares = float(((window - window.mean()) ** 2).sum())
    return f"√({squares!r} / {samples - 1})"


def _scores(row: ZScore, baseline: Baseline | None) -> Iterator[Step]:
    value = row["rate_8h"]
    scored = baseline is not None and not row["interval_doubtful"]
    stats = baseline.stats if baseline is not None and scored else None
    z = z_of(value, stats)
    note = "" if z is not None else unscored_because(row, baseline)
    numbers = robust = share = ""
    percentile = None
    if baseline is not None and stats is not None and z is not None:
        numbers = f"({value!r} − {stats.mean!r}) / {stats.std!r}"
        robust = f"{MAD_TO_SIGMA:g} × ({value!r} − {stats.median!r}) / {stats.mad!r}"
        percentile = percentile_of(value, baseline.window)
        share = f"{round(percentile * stats.samples)} / {stats.samples}"
    robust_z = robust_z_of(value, stats)
    no_mad = "MAD is 0" if z is not None and robust_z is None else note
    for name, formula, shown, result, stored, remark in (
        ("z", "(rate_8h − mean) / std", numbers, z, row["z"], note),
        (
            "robust_z", f"{MAD_TO_SIGMA:g} × (rate_8h − median) / MAD", robust, robust_z,
            row["robust_z"], no_mad,
        ),
        (
            "percentile", "settlements ≤ rate_8h / n", share, percentile, row["percentile"], note,
        ),
    ):  # fmt: skip
        verdict = _compared(result, stored, baseline)
        yield Step(name, formula, shown, result, stored, verdict, remark)


def unscored_because(row: ZScore, baseline: Baseline | None = None) -> str:
    """Return why a rate has no z."""
    if row["interval_doubtful"]:
        return "no z: what is known about the interval is contradictory or missing"
    if row["stats_as_of"] is None:
        return (
            "no z: no baseline yet: the history was being loaded, or nothing has settled, or the "
            "contract does not trade normally"
        )
    if baseline is not None and baseline.stats.samples >= MIN_SAMPLES:
        return "no z: all settlements of the baseline are equal, so std is 0"
    return f"no z: fewer than {MIN_SAMPLES} settlements"


def _zone(row: ZScore) -> Step:
    """The zone follows from the stored z: a baseline that was revised since does not change it."""
    z, stored = row["z"], row["zone"]
    zone = zone_of(z)
    numbers = "z is null" if z is None else f"|{z!r}| {'>' if zone == 'high' else '≤'} {HIGH_Z:g}"
    formula = f"high: |z| > {HIGH_Z:g}; unrated: no z; else normal"
    return Step("zone", formula, numbers, zone, stored, _compared(zone, stored))


def _trigger(evidence: Evidence) -> Step:
    """Judge again why the row was emitted, from the row before it and the update before it."""
    row, before = evidence.row, evidence.previous
    name, stored = "trigger", row["trigger"]
    formula = "first; cross ±2, ±3; zone: another rate in high; rate_change: > 10 %; else flush"
    if before is None or stored == "first":
        note = "no row before it is stored"
        if before is not None:
            note = "the worker began this contract anew, so the rows before it did not count"
        result = "first" if stored == "first" and before is None else None
        verdict = Verdict.EQUAL if result else Verdict.UNCHECKED
        return Step(name, formula, "", result, stored, verdict, note)
    crossed = crossed_between(before["z"], row["z"])
    numbers = f"z {_short(before['z'])} → {_short(row['z'])}, "
    numbers += f"rate {before['rate']!r} → {row['rate']!r}"
    if stored == "flush" and not rate_moved(before["rate"], row["rate"]):
        # z may have moved with the baseline, between the update and the flush that emitted it.
        return Step(name, formula, numbers, "flush", stored, Verdict.EQUAL)
    rate_before = evidence.previous_rate
    if rate_before is None and crossed is None and stored != "rate_change":
        note = "the update before it is not stored"
        return Step(name, formula, numbers, None, stored, Verdict.UNCHECKED, note)
    result = (
        trigger_of(
            first=False,
            rate_changed=row["rate"] != rate_before,
            emitted_rate=before["rate"],
            rate=row["rate"],
            z=row["z"],
            crossed=crossed,
        )
        or "flush"
    )
    return Step(name, formula, numbers, result, stored, _compared(result, stored))


def _short(z: float | None) -> str:
    return "null" if z is None else f"{z:.4f}"
