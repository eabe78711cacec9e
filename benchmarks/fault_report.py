"""The report of a run with faults: tables for people, a document for programs, a verdict. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks.accounting import Account
from benchmarks.fault_times import Times, needs_notice
from benchmarks.freshness import Freshness
from benchmarks.tables import table

UPTIME = 0.999
MAX_ATTEMPTS_A_MINUTE = 30
"""The least number of new connections that any exchange takes in a minute."""


class FeedReport(NamedTuple):
    """All results of one feed."""

    feed: str
    times: Sequence[Times]
    freshness: Freshness
    stream_only: Freshness
    """By what the stream alone brought: what it would be without REST."""
    account: Account
    most_attempts: int
    """To connect, within any minute."""
    refused: int
    calls: Mapping[str, int]
    """REST, by path, in the healthy span."""
    listed_s: Sequence[float]
    """From the listing of a contract to its first rate."""


@dataclass(frozen=True)
class Report:
    """A whole run."""

    feeds: Sequence[FeedReport]
    left_out: Sequence[tuple[str, str, str]]
    duplicates: int
    healthy_s: float
    seconds: float
    notes: Sequence[str] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    failures_of_run: Sequence[str] = ()

    def failures(self) -> list[str]:
        """Return the criteria that are not met, each with its figures."""
        found = list(self.failures_of_run)
        for each in self.feeds:
            found += _failures(each)
            # Without Kafka nobody can be told anything, whatever REST brings.
            if "kafka_away" not in self.extra and not each.freshness.uptime_reachable >= UPTIME:
                found.append(
                    f"{each.feed}: uptime {each.freshness.uptime_reachable:.4%} where REST was "
                    f"reachable, below {UPTIME:.1%}"
                )
        if self.duplicates:
            found.append(f"funding.duplicates has {self.duplicates} rows: must be empty")
        return found


def _failures(report: FeedReport) -> list[str]:
    feed, account = report.feed, report.account
    found = [
        f"{feed}: {what}: {number} (of {account.delivered} sent, {account.missed} missed)"
        for what, number in account.failed.items()
    ]
    if not account.delivered:
        found.append(f"{feed}: nothing was sent")
    if report.most_attempts > MAX_ATTEMPTS_A_MINUTE:
        found.append(f"{feed}: {report.most_attempts} connection attempts within a minute")
    for times in report.times:
        if times.return_s is None:
            found.append(f"{feed}: the stream did not return after {_name(times)}")
        if needs_notice(times.fault) and times.hit and times.detect_s is None:
            found.append(f"{feed}: nothing showed {_name(times)}, which hit {times.hit} contracts")
    return found


def _name(times: Times) -> str:
    chosen = {k: v for k, v in times.fault.parameters.items() if k not in {"seed", "symbols"}}
    return f"{times.fault.kind} {chosen or ''}".strip()


def as_json(report: Report) -> dict[str, Any]:
    """Return the whole report as plain values."""
    return {
        "seconds": report.seconds,
        "duplicates": report.duplicates,
        "left_out": [list(each) for each in report.left_out],
        "failures": report.failures(),
        "notes": list(report.notes),
        **report.extra,
        "feeds": {
            each.feed: {
                "faults": [_times_json(times) for times in each.times],
                "freshness": _numbers(each.freshness),
                "freshness_of_the_stream_alone": _numbers(each.stream_only),
                "sent": each.account.delivered,
                "stored_once": each.account.stored_once,
                "thinned": each.account.thinned,
                "missed": each.account.missed,
                "missed_in_gaps": each.account.missed_in_gaps,
                "stored_by_rest": each.account.stored_by_rest,
                "named": dict(each.account.named),
                "failed": dict(each.account.failed),
                "examples": each.account.examples,
                "most_attempts_a_minute": each.most_attempts,
                "refused": each.refused,
                "calls": dict(each.calls),
                "listed_s": list(each.listed_s),
            }
            for each in report.feeds
        },
    }


def _numbers(freshness: Freshness) -> dict[str, float | None]:
    return {
        name: value if math.isfinite(value) else None for name, value in freshness._asdict().items()
    }


def _times_json(times: Times) -> dict[str, Any]:
    return {
        **times._asdict(),
        "fault": {**times.fault._asdict()},
        "shown": dict(times.shown),
    }


def markdown(report: Report) -> str:
    """Return the report as tables."""
    parts = [
        f"{report.seconds:.0f} s with faults over {len(report.feeds)} feeds.",
        *report.notes,
        _summary(report),
        *(_faults(each) for each in report.feeds),
        _accounts(report.feeds),
        _calls(report),
    ]
    if report.left_out:
        rows = [(feed, kind, why) for feed, kind, why in report.left_out]
        parts.append("Left out:\n\n" + table(("feed", "kind", "why"), rows))
    failures = report.failures()
    verdict = "\n".join(f"- FAILED: {each}" for each in failures) or "All criteria are met."
    return "\n\n".join([*parts, verdict])


def seconds(value: float | None) -> str:
    """Show seconds; a dash where there are none."""
    if value is None or math.isnan(value):
        return "-"
    return "never" if math.isinf(value) else f"{value:.1f}"


def _summary(report: Report) -> str:
    header = (
        "feed", "contracts", "age p50, s", "p99", "max", "p99, REST reachable",
        "uptime", "REST reachable", "by the stream alone", "attempts a minute, most",
    )  # fmt: skip
    rows = [
        (
            each.feed,
            each.freshness.contracts,
            seconds(each.freshness.p50_s),
            seconds(each.freshness.p99_s),
            seconds(each.freshness.max_s),
            seconds(each.freshness.p99_reachable_s),
            f"{each.freshness.uptime:.3%}",
            f"{each.freshness.uptime_reachable:.3%}",
            f"{each.stream_only.uptime:.3%}",
            f"{each.most_attempts} ({each.refused} refused)",
        )
        for each in report.feeds
    ]
    return "## Freshness and uptime\n\n" + table(header, rows)


def _faults(report: FeedReport) -> str:
    header = (
        "fault", "lasted, s", "contracts hit", "detected after, s", "by", "REST after, s",
        "contracts by REST", "stream back after its end, s", "shown by",
    )  # fmt: skip
    rows = [
        (
            _name(times),
            seconds((times.fault.ended_at - times.fault.began_at) / 1e6),
            times.hit,
            seconds(times.detect_s),
            times.detected_by or "-",
            seconds(times.takeover_s),
            times.by_rest,
            seconds(times.return_s),
            _shown(times),
        )
        for times in report.times
    ]
    return f"## {report.feed}\n\n" + table(header, rows)


def _shown(times: Times) -> str:
    shown = [f"{kind} {count}" for kind, count in sorted(times.shown.items())]
    if times.attempts:
        shown.append(f"{times.attempts} attempts to connect")
    return ", ".join(shown) or "-"


def _accounts(feeds: Sequence[FeedReport]) -> str:
    header = (
        "feed", "sent", "stored once", "missed", "in recorded gaps", "by REST", "thinned out",
        "exceptions",
    )  # fmt: skip
    rows = [
        (
            each.feed,
            each.account.delivered,
            each.account.stored_once,
            each.account.missed,
            each.account.missed_in_gaps,
            each.account.stored_by_rest,
            each.account.thinned,
            "; ".join(f"{name}: {n}" for name, n in each.account.named.items()) or "none",
        )
        for each in feeds
    ]
    examples = [f"    {line}" for each in feeds for line in each.account.examples]
    return "\n".join(["## Accounts\n", table(header, rows), *examples])


def _calls(report: Report) -> str:
    rows = [
        (each.feed, path, number)
        for each in report.feeds
        for path, number in sorted(each.calls.items())
    ]
    head = f"## REST calls in the {report.healthy_s:.0f} healthy seconds before\n\n"
    return head + (table(("feed", "path", "calls"), rows) if rows else "None.")


def calls_of(before: Counter[str], after: Counter[str], feed: str) -> dict[str, int]:
    """Return a feed's REST calls between two counts of the simulator, by path."""
    prefix = f"rest:{feed}/"
    return {
        name.removeprefix(prefix[:-1]): number - before[name]
        for name, number in after.items()
        if name.startswith(prefix) and number > before[name]
    }
