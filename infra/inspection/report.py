"""The report about a z-score: lines for a terminal, or a document for scripts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from infra.inspection.evidence import Baseline, Evidence, RawRecord
from infra.inspection.steps import Step, unscored_because, worst
from schemas.errors import MalformedInputError
from schemas.records import FUNDING_RATE, ZSCORE
from schemas.text import one_line, printable
from schemas.times import US_PER_DAY, US_PER_MS
from schemas.topics import RATES, TopicSpec, raw_topic_spec
from stream_app.web.history.raw_reader import NotKeptError
from stream_app.web.history.times_told import iso

MAX_PAYLOAD_CHARS = 4_000
"""So much of a payload is shown on a terminal."""
_TIMES = {
    "stats_as_of", "next_funding_time", "event_time", "received_at", "computed_at",
}  # fmt: skip
_SHOWN_SETTLEMENTS = 3
_NAME_WIDTH = 18


def document_of(evidence: Evidence, steps: Sequence[Step], now_us: int) -> dict[str, Any]:
    """Return the report for scripts: numbers as they are, times in UTC µs since the epoch."""
    raw, baseline = evidence.raw, evidence.baseline
    return {
        "verdict": worst(steps),
        "zscore": dict(evidence.row),
        "rate": evidence.rate_row,
        "rate_missing": "" if evidence.rate_row else _rate_missing(evidence, now_us),
        "raw": None if raw is None else raw._asdict(),
        "raw_missing": "" if raw else raw_missing(evidence),
        "baseline": None if baseline is None else _baseline_document(baseline),
        "baseline_missing": "" if baseline else unscored_because(evidence.row),
        "steps": [step._asdict() for step in steps],
    }


def _baseline_document(baseline: Baseline) -> dict[str, Any]:
    stats = baseline.stats
    return {
        "begin": baseline.begin,
        "as_of": stats.as_of,
        "samples": stats.samples,
        "mean": stats.mean,
        "std": stats.std,
        "median": stats.median,
        "mad": stats.mad,
        "doubtful": baseline.doubtful,
        "other_generations": baseline.other_generations,
        "later": [one.funding_time for one in baseline.later],
        "settlements": [one._asdict() | {"rate_8h": one.rate_8h} for one in baseline.used],
    }


def lines_of(evidence: Evidence, steps: Sequence[Step], now_us: int) -> Iterator[str]:
    """Yield the report as lines for a terminal: nothing in them controls it."""
    for line in _lines(evidence, steps, now_us):
        yield printable(line)


def _lines(evidence: Evidence, steps: Sequence[Step], now_us: int) -> Iterator[str]:
    row = evidence.row
    yield f"{row['contract_id']} at {iso(row['event_time'])}"
    yield ""
    yield "Row of funding.zscores"
    yield from _fields(row, ZSCORE.fields)
    yield ""
    yield from _rate_lines(evidence, now_us)
    yield ""
    place = f"{row['raw_topic']} [{row['raw_partition']}] at {row['raw_offset']}"
    yield f"Raw record: {place}, item {row['raw_item']}"
    yield from _raw_lines(evidence)
    yield ""
    yield from _baseline_lines(evidence)
    yield ""
    yield "Arithmetic"
    for step in steps:
        yield from _step_lines(step)
    yield ""
    yield f"Verdict: {worst(steps)}"


def _fields(record: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    for name in names:
        value = record[name]
        yield f"  {name:{_NAME_WIDTH}} {iso(value) if name in _TIMES else _shown(value)}"


def _shown(value: Any) -> str:
    return "null" if value is None else value if isinstance(value, str) else repr(value)


def _rate_lines(evidence: Evidence, now_us: int) -> Iterator[str]:
    """Show of the row of rates what the z-score does not say, or says otherwise."""
    row: Mapping[str, Any] = dict(evidence.row)
    rate_row = evidence.rate_row
    if rate_row is None:
        yield f"Row of funding.rates: {_rate_missing(evidence, now_us)}"
        return
    own = dict(rate_row)
    names = [name for name in FUNDING_RATE.fields if name not in row or own[name] != row[name]]
    yield "Row of funding.rates, where it says more"
    yield from _fields(own, names)


def _rate_missing(evidence: Evidence, now_us: int) -> str:
    kept_us = _kept_us(RATES)
    if now_us - evidence.row["event_time"] > kept_us:
        return f"expired: kept for {kept_us // US_PER_DAY} days"
    return "missing: it is not stored, or not yet"


def _kept_us(topic: TopicSpec) -> int:
    """How long a topic keeps its records; the tables of the same records keep them as long."""
    return int(topic.config["retention.ms"]) * US_PER_MS


def raw_missing(evidence: Evidence) -> str:
    """Return why the raw record cannot be shown."""
    error = evidence.raw_missing
    if isinstance(error, NotKeptError):
        days = _kept_us(raw_topic_spec(evidence.row["feed"])) // US_PER_DAY
        return f"expired: {error}; kept for {days} days"
    kind = "unreadable" if isinstance(error, MalformedInputError) else "unavailable"
    return f"{kind}: {error}"


def _raw_lines(evidence: Evidence) -> Iterator[str]:
    raw = evidence.raw
    if raw is None:
        yield f"  {one_line(raw_missing(evidence), 600)}"
        return
    yield (
        f"  {raw.transport}, {raw.purpose}, {raw.channel}, received {iso(raw.received_at)}, "
        f"{raw.size_bytes} bytes"
    )
    yield from (f"  {line}" for line in pretty(raw))


def pretty(raw: RawRecord) -> list[str]:
    """Return a payload as lines: JSON indented, its numbers as the exchange wrote them; bounded.

    Characters that a terminal would not show as they are become escapes.
    """
    try:
        text = msgspec.json.format(raw.payload, indent=2)
    except msgspec.DecodeError:
        text = raw.payload
    cut = text[:MAX_PAYLOAD_CHARS]
    lines = [
        "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) for line in cut.split("\n")
    ]
    if raw.is_cut or len(text) > len(cut):
        lines.append(f"… (the first of {raw.size_bytes} bytes; --json has up to 64 KiB)")
    return lines


def _baseline_lines(evidence: Evidence) -> Iterator[str]:
    baseline = evidence.baseline
    if baseline is None:
        yield f"Baseline: {unscored_because(evidence.row)}"
        return
    stats = baseline.stats
    yield (
        f"Baseline: {stats.samples} settlements in ({iso(baseline.begin)}, {iso(stats.as_of)}], "
        "as they are stored now"
    )
    for name in ("mean", "std", "median", "mad"):
        yield f"  {name:{_NAME_WIDTH}} {_shown(getattr(stats, name))}"
    if baseline.later:
        yield f"  {len(baseline.later)} were stored or corrected after the row was computed"
    newest = baseline.used[-_SHOWN_SETTLEMENTS:]
    if newest:
        yield f"  the newest {len(newest)} (--json has all):"
    for one in reversed(newest):
        yield (
            f"    {iso(one.funding_time)}  rate {one.rate!r}  per {one.interval_hours:g} h  "
            f"rate_8h {one.rate_8h!r}  {one.source}"
        )


def _step_lines(step: Step) -> Iterator[str]:
    numbers = f" = {step.numbers}" if step.numbers else ""
    yield f"  {step.name:{_NAME_WIDTH}} {step.formula}{numbers}"
    is_same = step.verdict == "equal"
    stored = "" if is_same else f"stored: {_shown(step.stored)}; "
    note = f" ({one_line(step.note)})" if step.note else ""
    yield f"  {'':{_NAME_WIDTH}} = {_shown(step.result)}   {stored}{step.verdict}{note}"
