"""`python -m benchmarks faults`: the whole stack through a schedule of faults, and what it did.

Starts everything on embedded parts with simulated exchanges, waits until all feeds are live and all
history is there, lets the simulator follow the schedule, and compares its truth with what is
stored.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.accounting import account, last_ticks, relisted
from benchmarks.evidence import FeedEvidence, Stored, duplicates, gather
from benchmarks.fault_report import FeedReport, Report, as_json, calls_of, markdown
from benchmarks.fault_schedule import SLOW_CADENCE_S, Planned, Schedule, Subject, default_schedule
from benchmarks.fault_times import most_in_a_minute, times_of
from benchmarks.freshness import freshness, listed_spans, unreachable
from benchmarks.kafka_away import Outage, gaps_told, kafka_away
from benchmarks.running import Running, options_of, progress, running
from infra.runs import DEMO_CONTRACTS
from producers.exchanges import exchange
from schemas.clock import now_us
from schemas.errors import ConfigurationError
from schemas.feeds import FEEDS, spec
from schemas.times import US_PER_MINUTE, US_PER_S

MINUTES = 10.0
HEALTHY_S = 60.0
REFRESH_S = 30
"""Of the registry: a contract that is listed during the run is to be seen during the run."""
SETTLE_S = 12.0
"""After the last fault has ended, and two pushes more: the streams come back."""
TOLD_S = 12.0
"""After a minute its counts are published at the next flush, which the producers' ticks cause."""


@dataclass(frozen=True)
class Plan:
    """What a run is to do. `schedule` None: the default one."""

    feeds: tuple[str, ...] = FEEDS
    contracts: int = DEMO_CONTRACTS
    minutes: float = MINUTES
    schedule: Sequence[dict[str, Any]] | None = None
    kinds: tuple[str, ...] | None = None
    healthy_s: float = HEALTHY_S
    push_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds between two pushes of simulated feeds that have an option for it, by feed."""
    kafka_away_s: float = 0.0
    queue_mib: int | None = None
    settle_s: float = SETTLE_S
    producers: int = 1


def main(arguments: Sequence[str]) -> int:
    """Run as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--feeds", nargs="+", choices=FEEDS, default=list(FEEDS), metavar="FEED")
    parser.add_argument("--contracts", type=int, default=DEMO_CONTRACTS)
    parser.add_argument("--producers", type=int, default=1, help="processes that share the feeds")
    parser.add_argument("--schedule", type=Path, help="JSON list, as the simulator's --faults")
    parser.add_argument("--kinds", nargs="+", help="of the default schedule, only these")
    parser.add_argument("--healthy-s", type=float, default=HEALTHY_S, help="before the faults")
    parser.add_argument(
        "--push-s",
        nargs=2,
        action="append",
        default=[],
        metavar=("FEED", "SECONDS"),
        help="sets the simulator's option --FEED-push-s; default: as the exchange",
    )
    parser.add_argument("--kafka-away", type=float, default=0.0, metavar="SECONDS",
                        help="stop Kafka for so long in place of a schedule")  # fmt: skip
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--data-dir", type=Path, help="where to leave data and logs")
    given = parser.parse_args(arguments)
    plan = Plan(
        feeds=tuple(given.feeds),
        contracts=given.contracts,
        producers=given.producers,
        minutes=given.minutes,
        schedule=_read(given.schedule) if given.schedule else None,
        kinds=tuple(given.kinds) if given.kinds else None,
        healthy_s=given.healthy_s,
        push_s={feed: float(seconds) for feed, seconds in given.push_s},
        kafka_away_s=given.kafka_away,
        queue_mib=1 if given.kafka_away else None,
    )
    keep = given.data_dir
    with nullcontext(keep) if keep else tempfile.TemporaryDirectory() as directory:
        report = asyncio.run(measure(plan, Path(directory)))
    print(json.dumps(as_json(report), indent=2) if given.json else markdown(report))
    failures = report.failures()
    for failure in failures:
        progress(f"FAILED: {failure}")
    return 1 if failures else 0


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read the schedule in {path}: {error}") from error
    if not isinstance(document, list):
        raise ConfigurationError(f"{path} is no JSON list of faults")
    return document


async def measure(plan: Plan, directory: Path) -> Report:
    """Run everything once and return what happened.

    Raises:
        UnavailableError: the stack does not get ready, or the simulator refuses the schedule.
    """
    environment = {
        "FUNDING_PRODUCER_REGISTRY_REFRESH_S": str(REFRESH_S),
        "FUNDING_SINK_BATCH_AGE_S": "0.2",
    }
    if plan.queue_mib is not None:
        environment["FUNDING_PRODUCER_QUEUE_MIB"] = str(plan.queue_mib)
    arguments = ["--truth-missed"]
    for feed, push_s in plan.push_s.items():
        arguments += [f"--{feed}-push-s", str(push_s)]
    options = options_of(
        directory, plan.feeds, plan.contracts, environment, tuple(arguments), plan.producers
    )
    progress(f"starting {', '.join(plan.feeds)} with {plan.contracts} contracts in {directory}")
    async with running(options) as run:
        await run.ready()
        return await _scene(run, plan)


async def _scene(run: Running, plan: Plan) -> Report:
    progress(f"all feeds are live; {plan.healthy_s:.0f} s without a fault")
    from_us = now_us()
    samples = await run.sampled(plan.healthy_s)
    healthy = samples[0][1], samples[-1][1]
    begun_us = now_us()
    outage: Outage | None = None
    schedule = Schedule([], [])
    if plan.kafka_away_s:
        outage = await kafka_away(run, plan.kafka_away_s)
    else:
        schedule, length_s = await _post(run, plan)
        await _watched(length_s)
    pause_s = plan.settle_s + max(2 * _push_s(plan, feed) for feed in plan.feeds)
    progress(f"the faults are over; {pause_s:.0f} s for the streams to come back")
    await asyncio.sleep(pause_s)
    until_us = now_us()
    audit_s = _audit_s(until_us, max(_push_s(plan, feed) for feed in plan.feeds))
    progress(f"{audit_s:.0f} s until the counts of the last minute are published")
    await asyncio.sleep(audit_s)
    counts = await run.counts()
    lost = await _drained(run)
    progress("comparing")
    if outage is not None:
        outage = outage._replace(gaps=await gaps_told(run))
    reports = [
        await _feed_report(run, feed, (from_us, begun_us, until_us), healthy, counts)
        for feed in plan.feeds
    ]
    return Report(
        reports,
        schedule.left_out,
        len(await duplicates(run)),
        plan.healthy_s,
        (until_us - begun_us) / US_PER_S,
        notes=_notes(plan, outage),
        extra={"kafka_away": outage._asdict()} if outage else {},
        failures_of_run=[*lost, *(outage.failures() if outage else ())],
    )


def _audit_s(now: int, push_s: float) -> float:
    """Return how long to wait until all that is missing by now has been told.

    An update is known to be missing when the next one comes, and is counted with that one's minute.
    """
    told_us = now + int(push_s * 1.1 * US_PER_S)
    return (-(-told_us // US_PER_MINUTE) * US_PER_MINUTE - now) / US_PER_S + TOLD_S


def _push_s(plan: Plan, feed: str) -> float:
    return plan.push_s.get(feed, spec(feed).cadence_s)


def _notes(plan: Plan, outage: Outage | None) -> list[str]:
    notes = []
    for feed in plan.feeds:
        if spec(feed).cadence_s >= SLOW_CADENCE_S:
            push_s = _push_s(plan, feed)
            real = "as the exchange does" if push_s == spec(feed).cadence_s else "not as the real"
            notes.append(f"{feed} pushes every {push_s:g} s, {real}.")
    if outage is not None:
        notes.append(outage.describe())
    return notes


async def _post(run: Running, plan: Plan) -> tuple[Schedule, float]:
    """Hand the schedule to the simulator; return it and its length."""
    if plan.schedule is not None:
        entries = list(plan.schedule)
        ends = [float(e.get("at_s", 0)) + float(e.get("seconds", 0)) for e in entries]
        schedule, length_s = Schedule([], []), max(ends, default=0.0)
    else:
        rows = await run.rows(
            "SELECT feed, min(symbol), argMin(interval_hours, symbol) FROM funding.rates "
            "GROUP BY feed"
        )
        subjects = {feed: Subject(symbol, hours) for feed, symbol, hours in rows}
        schedule = default_schedule(plan.feeds, plan.minutes, subjects, plan.kinds)
        entries = [planned.entry() for planned in schedule.planned]
        length_s = schedule.length_s
    await run.control("schedule", entries)
    progress(f"{len(entries)} faults within {length_s:.0f} s")
    _tell(schedule.planned)
    return schedule, length_s


def _tell(planned: Sequence[Planned]) -> None:
    for each in planned:
        lasting = "" if each.seconds is None else f" for {each.seconds:g} s"
        progress(f"  at {each.at_s:5.0f} s {each.feed}: {each.kind}{lasting}")


async def _watched(seconds: float) -> None:
    """Wait for the end of the schedule, and tell how far it is."""
    left_s = seconds
    while left_s > 0:
        await asyncio.sleep(min(30.0, left_s))
        left_s -= 30.0
        progress(f"{max(0.0, left_s):.0f} s of faults left")


async def _drained(run: Running) -> list[str]:
    """End the input and wait until all of it is stored; say what did not work."""
    found = [f"{end.name} was given up: {end.message}" for end in run.supervisor.failures]
    if not await run.stack.drain():
        found.append("the worker or the sink did not get through their input")
    # Before Kafka: the supervisor ends what it started last first, and that may be the broker.
    for name in ("worker", "sink"):
        await run.supervisor.stop_service(name)
    return found


async def _feed_report(
    run: Running,
    feed: str,
    times: tuple[int, int, int],
    healthy: tuple[Counter[str], Counter[str]],
    counts: Counter[str],
) -> FeedReport:
    from_us, begun_us, until_us = times
    evidence = await gather(run, feed, from_us - 3_600 * US_PER_S, until_us)
    listed = listed_spans(evidence.stored, _ends(evidence, until_us), begun_us, until_us)
    span = (begun_us, until_us)
    again_s = exchange(feed).fallback_s
    away = unreachable(evidence.faults, feed, again_s, begun_us, until_us)
    stale_s = spec(feed).stale_s
    streamed = [row for row in evidence.stored if row.transport == "ws"]
    # The last instants are not judged: what is on its way then has not been told of yet.
    judged = until_us - 2 * US_PER_S
    return FeedReport(
        feed,
        times_of(evidence, until_us),
        freshness(evidence.stored, listed, span, stale_s, away),
        freshness(streamed, listed, span, stale_s, away),
        account(evidence, from_us, judged),
        most_in_a_minute([s for s in evidence.status if s.reported_at >= from_us]),
        counts[f"refused:{feed}"],
        calls_of(*healthy, feed),
        _listed_s(evidence, streamed, begun_us),
    )


def _ends(evidence: FeedEvidence, until_us: int) -> dict[str, int]:
    """Return when each contract that is pushed no longer was pushed last.

    Of a ticker that is used again, that is the end of the contract before.
    """
    cadence_us = int(spec(evidence.feed).cadence_s * US_PER_S)
    again = relisted(evidence)
    return {
        contract_id: at + cadence_us
        for contract_id, at in last_ticks(evidence, again).items()
        if contract_id in again or at < until_us - 2 * cadence_us
    }


def _listed_s(evidence: FeedEvidence, rows: Sequence[Stored], since_us: int) -> list[float]:
    """Return how long a contract that was listed since then had to wait for its first rate."""
    first_sent: dict[str, int] = {}
    for updates in (evidence.delivered, evidence.missed):
        for update in updates:
            known = first_sent.get(update.contract_id, update.sent_at)
            first_sent[update.contract_id] = min(known, update.sent_at)
    first_row: dict[str, int] = {}
    for row in rows:
        known = first_row.get(row.contract_id, row.received_at)
        first_row[row.contract_id] = min(known, row.received_at)
    return [
        (first_row[contract_id] - at) / US_PER_S
        for contract_id, at in first_sent.items()
        if at >= since_us and contract_id in first_row
    ]
