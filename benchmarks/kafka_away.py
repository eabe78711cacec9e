"""Stops Kafka under a running stack and starts it again on its own data.

The exchanges go on: the producers' queues fill, reading pauses, connections are given up. Whether
anything was lost by it computes accounting.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

import psutil

from benchmarks.running import Running, progress
from infra.stack.parts import service
from schemas.audit_facts import AuditCause
from schemas.audit_kinds import AuditKind
from schemas.clock import now_us
from schemas.times import US_PER_S

MAX_PRODUCER_MB = 400
"""Above the 16 MiB (here 1 MiB) of queue a feed, what a producer of all contracts needs anyway."""
BACK_WITHIN_S = 120.0
_LOOK_S = 0.5


class Outage(NamedTuple):
    """When Kafka was away (µs), and what happened to the producer's memory."""

    began_at: int
    ended_at: int
    before_mb: float
    most_mb: float
    live_s: float | None
    """After Kafka's return, until every feed was live again."""
    gaps: int = 0
    """Gap events of connections whose cause is that Kafka took nothing."""

    def failures(self) -> Sequence[str]:
        """Return what should not have happened."""
        found = []
        if self.most_mb > MAX_PRODUCER_MB:
            found.append(f"the producer took {self.most_mb:.0f} MB while Kafka was away")
        if self.live_s is None:
            found.append("not every feed was live again after Kafka's return")
        if not self.gaps:
            found.append(f"no gap of a connection has the cause {AuditCause.KAFKA_FULL}")
        return found

    def describe(self) -> str:
        """Return the result as one sentence."""
        away_s = (self.ended_at - self.began_at) / US_PER_S
        back = "never" if self.live_s is None else f"{self.live_s:.1f} s later"
        return (
            f"Kafka was away for {away_s:.0f} s; all feeds were live again {back}; the producer "
            f"took {self.before_mb:.0f} MB before and {self.most_mb:.0f} MB at most; "
            f"{self.gaps} gap events of connections have the cause {AuditCause.KAFKA_FULL}. "
            "Ages are by receipt: what waited in the queues counts as known."
        )


async def kafka_away(run: Running, seconds: float) -> Outage:
    """Stop the broker for `seconds`; return when every feed is live again, or at the deadline."""
    pid = run.supervisor.pids["producer"]
    before_mb = most_mb = _memory_mb(pid)
    progress(f"Kafka is stopped for {seconds:.0f} s")
    began_at = now_us()
    await run.supervisor.stop_service("broker")
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        most_mb = max(most_mb, _memory_mb(pid))
        await asyncio.sleep(_LOOK_S)
    await run.supervisor.start(service(run.options, "broker"))
    ended_at = now_us()
    progress("Kafka is back")
    live_s = None
    deadline_s = time.monotonic() + BACK_WITHIN_S
    while time.monotonic() < deadline_s:
        most_mb = max(most_mb, _memory_mb(pid))
        if await _all_live(run, ended_at):
            live_s = (now_us() - ended_at) / US_PER_S
            break
        await asyncio.sleep(_LOOK_S)
    return Outage(began_at, ended_at, before_mb, most_mb, live_s)


async def gaps_told(run: Running) -> int:
    """Count the gap events of connections that Kafka caused; all events must be stored by now."""
    rows = await run.rows(
        f"SELECT count() FROM funding.audit FINAL WHERE cause = '{AuditCause.KAFKA_FULL}' "
        f"AND kind IN ('{AuditKind.GAP_OPENED}', '{AuditKind.GAP_CLOSED}')"
    )
    return int(rows[0][0])


async def _all_live(run: Running, since_us: int) -> bool:
    rows = await run.rows(
        "SELECT feed FROM (SELECT feed, argMax(state, reported_at) AS newest FROM funding.feeds "
        f"WHERE toUnixTimestamp64Micro(reported_at) > {since_us} GROUP BY feed) "
        "WHERE newest = 'live'"
    )
    return {feed for (feed,) in rows} >= set(run.options.feeds)


def _memory_mb(pid: int) -> float:
    try:
        return float(psutil.Process(pid).memory_info().rss / 1e6)
    except psutil.NoSuchProcess:
        return 0.0
