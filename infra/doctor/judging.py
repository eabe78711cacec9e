"""Judges what the checks of `fundingstream doctor` have gathered. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from infra.clickhouse.expected import Expected, Found, repairs
from infra.clickhouse.migrate import Migration, plan
from infra.doctor.finding import Finding, ok, problem, warning
from infra.embedded.storage import MIN_FREE_BYTES
from schemas.errors import StateError
from schemas.kafka.admin import TopicState
from schemas.records import FeedState
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


def judge_reports(check: str, what: str, reports: Sequence[Report], now_us: int) -> Finding:
    """Judge whether those that have reported lately still do, and what they say of themselves."""
    if not reports:
        return warning(check, f"no {what} has reported lately: start one, or wait for its start")
    silent = [
        f"{one.name} for {age_s:.0f} s"
        for one in reports
        if (age_s := (now_us - one.reported_at) / US_PER_S) > SILENT_S
    ]
    if silent:
        return problem(check, f"nothing heard of {what} {_some(silent)}: does it run? Read its log")
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


def judge_letters(count: int, newest_reason: str) -> Finding:
    """Judge the dead letters of the last hour that were not sent again."""
    if not count:
        return ok("letters", "no dead letters within the hour that are not sent again")
    return warning(
        "letters",
        f"{count:,} dead letters within the hour, the newest: {newest_reason}. See them with "
        "`fundingstream dead-letters list --since 1h`",
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
