"""Judges what the checks of `fundingstream doctor` have gathered. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from infra.clickhouse.expected import Expected, Found, repairs
from infra.clickhouse.migrate import Migration, plan
from infra.dead_letters.replaying import Recent
from infra.dead_letters.showing import time_text
from infra.doctor.finding import Finding, ok, problem, warning
from infra.embedded.storage import MIN_FREE_BYTES
from schemas.errors import StateError
from schemas.kafka.admin import TopicState
from schemas.records import FeedState
from schemas.text import one_line
from schemas.times import US_PER_S
from schemas.topics import TopicSpec

SCARCE_BYTES = 4 * MIN_FREE_BYTES
"""Below this a disk is soon full: a day of all feeds takes some GiB."""
MAX_CLOCK_S = 2.0
"""How far a server's clock may be off: its Date has whole seconds, and an answer takes time."""
SILENT_S = 30.0
"""Workers and feeds report every few seconds; one that has not for so long does not run."""
MAX_WORKER_LAG = 50_000
MAX_SINK_LAG = 100_000
"""Records, as in the alerts WorkerBehind and SinkBehind."""
_SHOWN = 4
_START: Mapping[str, str] = {
    "worker": "run `fundingstream worker`",
    "feed": "run `fundingstream producer FEED`",
}
_UNWELL: Mapping[FeedState, str] = {
    "stalled": "its stream brings nothing",
    "fallback": "REST serves it",
    "down": "neither stream nor REST brings it",
}


def judge_topics(
    wanted: Sequence[TopicSpec], found: Mapping[str, TopicState], replication: int
) -> Finding:
    """Compare the topics with their definitions; what is missing is a problem."""
    missing = [spec.name for spec in wanted if spec.name not in found]
    if missing:
        return problem("topics", f"{_some(missing)} missing: run `fundingstream topics`")
    wrong, other = [], []
    for spec in wanted:
        has = found[spec.name]
        if has.partitions != spec.partitions:
            wrong.append(f"{spec.name} has {has.partitions} partitions and needs {spec.partitions}")
        if has.replicas < replication:
            other.append(f"{spec.name} has {has.replicas} replicas, the setting says {replication}")
        elif has.in_sync < has.replicas:
            other.append(f"{spec.name} has {has.in_sync} of {has.replicas} replicas in sync")
        other += [f"{spec.name} {text}" for text in _config_faults(spec, has.config)]
    if wrong:
        return problem("topics", f"{_some(wrong)}: make it anew, contracts are bound to partitions")
    if other:
        return warning("topics", f"{_some(other)}: set it with Kafka's tools, or accept it")
    return ok("topics", f"all {len(wanted)} are there, with their partitions, replicas and times")


def _config_faults(spec: TopicSpec, has: Mapping[str, str]) -> list[str]:
    """Return how a topic keeps less than its definition says; more is no fault."""
    faults = []
    policy = spec.config.get("cleanup.policy", "")
    if set(has.get("cleanup.policy", policy).split(",")) != set(policy.split(",")):
        faults.append(f"has cleanup.policy {has['cleanup.policy']}, not {policy}")
    for name in ("retention.ms", "max.message.bytes"):
        if name in spec.config and name in has:
            least, value = int(spec.config[name]), int(has[name])
            if 0 <= value < least:  # -1: without end
                faults.append(f"has {name} {value}, less than {least}")
    return faults


def judge_database(
    wanted: Sequence[Migration],
    recorded: dict[int, tuple[str, str, bool]] | None,
    expected: Expected,
    found: Found,
) -> Finding:
    """Judge whether the database is that of this version.

    `recorded`: as of `plan`; None: there is no record. `expected`: what the migrations make.
    """
    if recorded is None:
        return problem("database", "nobody has made the database: run `fundingstream migrate`")
    try:
        pending = plan(wanted, recorded)
        made = [name for one in repairs(expected, found) for name in one.made]
    except StateError as error:
        return problem("database", error)
    if pending:
        return problem(
            "database",
            f"it is older than this version, {len(pending)} migrations are to be applied, from "
            f"{pending[0].version:04d} on: run `fundingstream migrate`",
        )
    if made:
        return problem("database", f"{_some(made)} missing: run `fundingstream migrate`")
    return ok(
        "database", f"it is at version {wanted[-1].version:04d}, and has every table and view"
    )


def judge_version(newest: int, wanted: int, user: str) -> Finding:
    """Judge the database by its newest migration alone, for a user who may see no more."""
    if newest < wanted:
        return problem(
            "database",
            f"it is at version {newest:04d} and this version needs {wanted:04d}: run "
            "`fundingstream migrate`",
        )
    return warning(
        "database",
        f"it is at version {newest:04d}; user {user!r} may not see whether each table and view is "
        "whole: call the doctor as the user of `fundingstream migrate` for that",
    )


def judge_clock(check: str, ahead_s: float) -> Finding:
    """Judge how far a server's clock is ahead of ours."""
    if abs(ahead_s) <= MAX_CLOCK_S:
        return ok(check, f"its clock and ours agree within {MAX_CLOCK_S:g} s")
    way = "ahead of" if ahead_s > 0 else "behind"
    return warning(
        check,
        f"its clock is {abs(ahead_s):.0f} s {way} ours: let both follow the same time server (NTP)",
    )


class Report(NamedTuple):
    """The newest report of a worker or a feed."""

    name: str
    reported_at: int
    state: FeedState | None = None
    """Of a feed."""
    partitions: int = 0
    """Of a worker: how many it has."""

    def is_silent(self, now_us: int) -> bool:
        """Tell whether it is too old for one that runs."""
        return now_us - self.reported_at > SILENT_S * US_PER_S


def judge_workers(
    reports: Sequence[Report], now_us: int, partitions: int, *, started: bool
) -> Finding:
    """Judge the newest report of each worker there has been.

    Args:
        reports: One for each.
        now_us: The time now.
        partitions: How many all of them have to read.
        started: Whether some part of this installation has ever reported.
    """
    running = [one for one in reports if not one.is_silent(now_us)]
    if len(running) < len(reports) and sum(one.partitions for one in running) >= partitions:
        return warning(
            "workers",
            f"nothing heard of worker {_silent(reports, now_us)}; the {len(running)} that run "
            "have taken over all partitions: start it again, or take it out of funding.workers "
            "(docs/tools.md says how) if it was stopped for good",
        )
    return _judge_reports("workers", "worker", reports, now_us, started=started)


def judge_feeds(reports: Sequence[Report], now_us: int, *, started: bool) -> Finding:
    """Judge the newest report of each feed there has been, and what it says of itself."""
    return _judge_reports("feeds", "feed", reports, now_us, started=started)


def _silent(reports: Sequence[Report], now_us: int) -> str:
    """Name those that do not report any more, the last heard first, and since when."""
    silent = sorted(
        (one for one in reports if one.is_silent(now_us)), key=lambda one: -one.reported_at
    )
    return _some([f"{one.name} since {time_text(one.reported_at)}" for one in silent])


def _judge_reports(
    check: str, what: str, reports: Sequence[Report], now_us: int, *, started: bool
) -> Finding:
    if not reports:
        if started:
            return problem(
                check, f"no {what} has ever reported, and other parts have: {_START[what]}"
            )
        return warning(check, f"no {what} has ever reported: {_START[what]}, or wait for its start")
    silent = _silent(reports, now_us)
    if silent:
        return problem(check, f"nothing heard of {what} {silent}: does it run? Read its log")
    down = [one.name for one in reports if one.state == "down"]
    if down:
        return problem(check, f"{_some(down)} down, {_UNWELL['down']}: read its producer's log")
    unwell = [
        f"{one.name} is {one.state} ({_UNWELL[one.state]})"
        for one in reports
        if one.state is not None and one.state in _UNWELL
    ]
    if unwell:
        return warning(check, f"{_some(unwell)}: its producer's log says why")
    names = [one.name if one.state is None else f"{one.name} {one.state}" for one in reports]
    return ok(check, f"{len(reports)} report: {_some(names)}")


def judge_lags(worker: int, sink: int) -> Finding:
    """Judge how many records wait for worker and sink."""
    behind = [
        f"{count:,} records wait for the {part}"
        for part, count, most in (("worker", worker, MAX_WORKER_LAG), ("sink", sink, MAX_SINK_LAG))
        if count > most
    ]
    if behind:
        return warning("lag", f"{' and '.join(behind)}: does it run, and does it catch up?")
    return ok("lag", f"{worker:,} records wait for the worker, {sink:,} for the sink")


def judge_letters(recent: Recent) -> Finding:
    """Judge the dead letters of the last hour that were not sent again."""
    newest = recent.newest
    if newest is None:
        return ok("letters", "no dead letters within the hour that are not sent again")
    reason = one_line(f"{newest.stage}: {newest.reason}")
    how_many = f"{recent.total:,} dead letters within the hour, the newest"
    if not recent.is_all:
        how_many = f"at least {recent.total:,} dead letters within the hour, one of them"
    return warning(
        "letters",
        f"{how_many}: {reason}. See them with `fundingstream dead-letters list --since 1h`",
    )


def judge_disks(free_bytes: Mapping[str, int]) -> Finding:
    """Judge the room on the disks of the directories that are in use."""
    worst = min(free_bytes, key=lambda path: free_bytes[path])
    left = free_bytes[worst]
    text = f"the disk of {worst} has {left / 2**30:.1f} GiB left"
    if left < MIN_FREE_BYTES:
        return problem(
            "disk", f"{text}, and a part needs {MIN_FREE_BYTES / 2**30:.1f} GiB: make room"
        )
    return warning("disk", f"{text}: make room soon") if left < SCARCE_BYTES else ok("disk", text)


class Probed(NamedTuple):
    """What one part said at its health address, if it runs on this machine."""

    part: str
    url: str
    listens: bool
    healthy: bool
    said: str


def judge_parts(probed: Sequence[Probed]) -> Finding:
    """Judge what the parts on this machine say; one that runs elsewhere is none of them."""
    ill = [
        f"{one.part} at {one.url}: {one.said}" for one in probed if one.listens and not one.healthy
    ]
    if ill:
        return problem("parts", f"not well: {_some(ill)}")
    well = [one.part for one in probed if one.listens]
    absent = [one.part for one in probed if not one.listens]
    return ok(
        "parts",
        f"{', '.join(well) or 'none'} answer on this machine"
        + (f"; not here: {', '.join(absent)}" if absent else ""),
    )


def _some(texts: Sequence[str]) -> str:
    """Return the first few, and how many more there are."""
    more = len(texts) - _SHOWN
    return ", ".join(texts[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
