"""What a run with faults leaves behind, as plain records: the truth's files and the stored rows.

The truth is what the simulator sent, missed and did wrong (infra/simulator/market/truth.py); the
rest is what fundingstream stored. accounting.py, fault_times.py and freshness.py compare the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from benchmarks.running import Running

EVERY_DUPLICATE = (
    "SELECT * FROM funding.duplicates_between("
    "since = '1970-01-01 00:00:00', until = '2200-01-01 00:00:00')"
)
"""All that is stored twice under different keys, of whatever time."""
_US = "toUnixTimestamp64Micro"


class Update(NamedTuple):
    """An update that was sent, or that nobody got (`why`); times in µs.

    `sent_at` of a missed one is when its tick was published.
    """

    contract_id: str
    event_time: int
    sent_at: int
    rate: float
    why: str = ""


class Stored(NamedTuple):
    """A row of funding.rates."""

    contract_id: str
    event_time: int
    received_at: int
    rate: float
    transport: str
    source: str
    """Of the event time: `exchange` or `receipt`."""


class Audit(NamedTuple):
    """A row of funding.audit; times in µs."""

    subject: str
    kind: str
    """An AuditKind."""
    number: int
    first: int
    last: int


class Status(NamedTuple):
    """A row of funding.feeds."""

    feed: str
    reported_at: int
    state: str
    expected: int
    live: int
    by_rest: int
    attempts: int
    connects: int
    rest_failures: int


class Fault(NamedTuple):
    """A fault that the simulator had; `ended_at` as `began_at` for an instant one; µs."""

    number: int
    kind: str
    feed: str | None
    began_at: int
    ended_at: int
    parameters: dict[str, Any]
    error: str = ""

    def concerns(self, feed: str) -> bool:
        """Tell whether it is about a feed."""
        return self.feed is None or self.feed == feed


@dataclass(frozen=True)
class FeedEvidence:
    """All about one feed."""

    feed: str
    delivered: list[Update]
    missed: list[Update]
    stored: list[Stored]
    audit: list[Audit]
    status: list[Status]
    faults: list[Fault]
    settled: dict[str, list[int]] = field(default_factory=dict)
    """Funding times (µs), by contract."""

    @property
    def own_faults(self) -> list[Fault]:
        """The faults that concern the feed, in their order."""
        return [each for each in self.faults if each.concerns(self.feed)]


class _SettledLine(msgspec.Struct):
    contract_id: str
    funding_time: int


class _UpdateLine(msgspec.Struct):
    contract_id: str
    event_time: int
    sent_at: int
    rate: float
    why: str = ""


class _FaultLine(msgspec.Struct):
    id: int
    kind: str
    began_at: int
    feed: str | None = None
    ended_at: int | None = None
    parameters: dict[str, Any] = {}
    error: str = ""


def updates(path: Path) -> list[Update]:
    """Read `truth/<feed>.ndjson` or `.missed.ndjson`; nothing if it is not there."""
    decode = msgspec.json.Decoder(_UpdateLine).decode
    return [
        Update(line.contract_id, line.event_time, line.sent_at, line.rate, line.why)
        for line in map(decode, _lines(path))
    ]


def faults(path: Path, until_us: int) -> list[Fault]:
    """Read `truth/faults.ndjson`; one without an end lasts until `until_us`."""
    decode = msgspec.json.Decoder(_FaultLine).decode
    newest: dict[tuple[int, int], _FaultLine] = {}
    for line in map(decode, _lines(path)):
        newest[line.id, line.began_at] = line
    found = [
        Fault(
            line.id,
            line.kind,
            line.feed,
            line.began_at,
            until_us if line.ended_at is None else line.ended_at,
            line.parameters,
            line.error,
        )
        for line in newest.values()
    ]
    return sorted(found, key=lambda each: each.began_at)


def settled(path: Path, since_us: int) -> dict[str, list[int]]:
    """Read the funding times since a time from `truth/settlements.ndjson`, by contract."""
    decode = msgspec.json.Decoder(_SettledLine).decode
    times: dict[str, list[int]] = {}
    for line in map(decode, _lines(path)):
        if line.funding_time >= since_us:
            times.setdefault(line.contract_id, []).append(line.funding_time)
    return times


def _lines(path: Path) -> list[bytes]:
    # A line that is being written has no end yet.
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


async def gather(running: Running, feed: str, since_us: int, until_us: int) -> FeedEvidence:
    """Read everything about a feed; what settled before `since_us` is of no interest."""
    truth = running.options.data_dir / "truth"
    return FeedEvidence(
        feed,
        updates(truth / f"{feed}.ndjson"),
        updates(truth / f"{feed}.missed.ndjson"),
        await _rates(running, feed),
        await _audit(running, feed),
        await _status(running, feed),
        faults(truth / "faults.ndjson", until_us),
        settled(truth / "settlements.ndjson", since_us),
    )


async def _rates(running: Running, feed: str) -> list[Stored]:
    columns = await running.columns(
        f"SELECT contract_id, {_US}(event_time), {_US}(received_at), rate, transport, "
        f"event_time_source FROM funding.rates FINAL WHERE feed = '{feed}'"
    )
    return list(map(Stored._make, zip(*columns, strict=True)))


async def _audit(running: Running, feed: str) -> list[Audit]:
    rows = await running.rows(
        f"SELECT subject, kind, count, {_US}(first_event_time) AS first, "
        f"{_US}(last_event_time) AS last FROM funding.audit FINAL "
        f"WHERE subject = '{feed}' OR startsWith(subject, '{feed}:') ORDER BY last"
    )
    return list(map(Audit._make, rows))


async def _status(running: Running, feed: str) -> list[Status]:
    rows = await running.rows(
        f"SELECT feed, {_US}(reported_at) AS at, state, contracts_expected, contracts_live, "
        "contracts_by_rest, connect_attempts, connects, rest_failures FROM funding.feeds FINAL "
        f"WHERE feed = '{feed}' ORDER BY at"
    )
    return list(map(Status._make, rows))


async def duplicates(running: Running) -> Sequence[tuple[Any, ...]]:
    """Return what the view of duplicates shows of all that is stored: it must be empty."""
    return await running.rows(EVERY_DUPLICATE)
