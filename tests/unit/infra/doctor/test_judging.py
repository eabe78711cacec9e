"""What the doctor makes of what it has gathered."""

from __future__ import annotations

from typing import ClassVar

import pytest

from infra.clickhouse.expected import Expected, Found
from infra.clickhouse.migrate import Migration
from infra.dead_letters.letter import Letter, Place, Source
from infra.dead_letters.replaying import Recent
from infra.dead_letters.showing import time_text
from infra.doctor.clock import ahead_s
from infra.doctor.finding import Finding, Result
from infra.doctor.judging import (
    MAX_SINK_LAG,
    MAX_WORKER_LAG,
    Probed,
    Report,
    judge_clock,
    judge_database,
    judge_disks,
    judge_feeds,
    judge_lags,
    judge_letters,
    judge_parts,
    judge_topics,
    judge_version,
    judge_workers,
)
from schemas.kafka.admin import TopicState
from schemas.records import FeedState
from schemas.times import US_PER_S
from schemas.topics import NOTIFICATIONS, RATES

GIB = 1 << 30
NOW = 1_790_000_000 * US_PER_S


def is_a(finding: Finding, result: Result, *texts: str) -> None:
    """Check a finding's result and what its sentence has."""
    assert finding.result is result, finding
    for text in texts:
        assert text in finding.found


class TestTopics:
    """Against their definitions."""

    sound = TopicState(RATES.partitions, 1, 1, RATES.config)

    def test_as_defined(self) -> None:
        """More retention and more replicas are no fault, nor is a broker that tells nothing."""
        longer = {**RATES.config, "retention.ms": "-1"}
        for config in (RATES.config, longer, {}):
            found = {RATES.name: TopicState(RATES.partitions, 3, 3, config)}
            is_a(judge_topics([RATES], found, 1), Result.OK)

    def test_policies_in_another_order_are_the_same(self) -> None:
        """Kafka has a list of them."""
        config = {**NOTIFICATIONS.config, "cleanup.policy": "delete,compact"}
        is_a(
            judge_topics([NOTIFICATIONS], {NOTIFICATIONS.name: TopicState(1, 1, 1, config)}, 1),
            Result.OK,
        )

    @pytest.mark.parametrize(
        ("state", "replication", "result", "text"),
        [
            (None, 1, Result.PROBLEM, "run `fundingstream topics`"),
            (sound._replace(partitions=4), 1, Result.PROBLEM, "has 4 partitions and needs 8"),
            (sound, 3, Result.WARNING, "has 1 replicas, the setting says 3"),
            (sound._replace(replicas=3), 3, Result.WARNING, "1 of 3 replicas in sync"),
            (sound._replace(config={"retention.ms": "60000"}), 1, Result.WARNING, "retention.ms"),
            (sound._replace(config={"max.message.bytes": "9"}), 1, Result.WARNING, "less than"),
            (sound._replace(config={"cleanup.policy": "compact"}), 1, Result.WARNING, "compact"),
        ],
    )
    def test_what_differs(
        self, state: TopicState | None, replication: int, result: Result, text: str
    ) -> None:
        """What loses data or cannot work is a problem, the rest a warning."""
        found = {} if state is None else {RATES.name: state}
        is_a(judge_topics([RATES], found, replication), result, text)


class TestDatabase:
    """Newer, older, changed, or with something missing."""

    one, two = Migration(1, "one", "SELECT 1"), Migration(2, "two", "SELECT 2")
    done: ClassVar = {1: ("one", one.checksum, True), 2: ("two", two.checksum, True)}
    empty = Found({}, {})

    def judged(self, recorded: dict[int, tuple[str, str, bool]] | None, *views: str) -> Finding:
        """The finding about a database that has these records and lacks these views."""
        expected = Expected(views=dict.fromkeys(views), view_statements=["CREATE"])
        return judge_database([self.one, self.two], recorded, expected, self.empty)

    def test_what_each_is(self) -> None:
        """With what to do."""
        is_a(self.judged(self.done), Result.OK, "version 0002")
        is_a(self.judged(None), Result.PROBLEM, "run `fundingstream migrate`")
        is_a(self.judged({1: self.done[1]}), Result.PROBLEM, "older", "0002")
        newer = {**self.done, 3: ("three", "x", True)}
        is_a(self.judged(newer), Result.PROBLEM, "use the newer version")
        is_a(self.judged(self.done, "latest"), Result.PROBLEM, "funding.latest missing")


@pytest.mark.parametrize(
    ("date", "ahead"),
    [
        ("Mon, 21 Sep 2026 14:13:20 GMT", 0.0),
        ("Mon, 21 Sep 2026 14:13:19 GMT", 0.0),
        ("Mon, 21 Sep 2026 14:13:50 GMT", 30.0),
        ("Mon, 21 Sep 2026 14:12:50 GMT", -29.0),
        ("yesterday", None),
    ],
)
def test_how_far_a_clock_is_ahead_at_least(date: str, ahead: float | None) -> None:
    """Of an answer that is there at once, by a Date of whole seconds."""
    assert ahead_s(date, NOW, NOW) == ahead


def test_clocks() -> None:
    """Two seconds may be the way there and back."""
    is_a(judge_clock("x", 2.0), Result.OK)
    is_a(judge_clock("x", 30.0), Result.WARNING, "30 s ahead of ours", "NTP")
    is_a(judge_clock("x", -30.0), Result.WARNING, "30 s behind ours")


class TestReports:
    """Of workers and feeds."""

    @pytest.mark.parametrize(
        ("state", "result"),
        [(None, Result.OK), ("live", Result.OK), ("connecting", Result.OK),
         ("fallback", Result.WARNING), ("stalled", Result.WARNING), ("down", Result.PROBLEM)],
    )  # fmt: skip
    def test_what_they_say(self, state: FeedState | None, result: Result) -> None:
        """The worst of them counts."""
        reports = [Report("good", NOW, "live"), Report("other", NOW, state)]
        is_a(judge_feeds(reports, NOW, started=True), result, "other")

    @pytest.mark.parametrize("age_s", [40, 86_400])
    def test_one_that_has_fallen_silent(self, age_s: int) -> None:
        """However long ago: the last report of each stays in its topic."""
        silent = Report("w", NOW - age_s * US_PER_S)
        since = f"w since {time_text(silent.reported_at)}"
        is_a(judge_workers([silent], NOW, 8, started=True), Result.PROBLEM, since)
        well = Report("good", NOW, "live")
        is_a(judge_feeds([well, silent], NOW, started=True), Result.PROBLEM, since)

    def test_where_none_has_ever_reported(self) -> None:
        """Nothing was started yet, or a part is missing."""
        is_a(judge_workers([], NOW, 8, started=False), Result.WARNING, "no worker")
        is_a(judge_workers([], NOW, 8, started=True), Result.PROBLEM, "no worker", "run `")

    def test_a_worker_whose_partitions_others_have(self) -> None:
        """It is one too many, or gone for good; one of which partitions are missing is not."""
        silent = Report("w", NOW - 86_400 * US_PER_S, partitions=4)
        others = [Report("x", NOW, partitions=4), Report("y", NOW, partitions=4)]
        is_a(
            judge_workers([silent, *others], NOW, 8, started=True),
            Result.WARNING, "w since", "taken over", "for good",
        )  # fmt: skip
        is_a(judge_workers([silent, *others], NOW, 9, started=True), Result.PROBLEM, "w since")
        is_a(judge_workers(others, NOW, 8, started=True), Result.OK, "x", "y")


def test_lags() -> None:
    """By the limits of the alerts."""
    is_a(judge_lags(MAX_WORKER_LAG, MAX_SINK_LAG), Result.OK)
    is_a(judge_lags(MAX_WORKER_LAG + 1, 0), Result.WARNING, "for the worker")
    is_a(judge_lags(0, MAX_SINK_LAG + 1), Result.WARNING, "for the sink")


def test_letters() -> None:
    """Each that was not sent again is worth a look."""
    source = Source("funding.rates", 2, 9, -1)
    newest = Letter(Place(3, 17), 5, None, b"", 0, "sink", "why", source, {})
    is_a(judge_letters(Recent(0, None, is_all=True)), Result.OK)
    few, flood = Recent(3, newest, is_all=True), Recent(10_000, newest, is_all=False)
    is_a(judge_letters(few), Result.WARNING, "3 dead", "sink: why", "dead-letters list")
    is_a(judge_letters(flood), Result.WARNING, "at least 10,000 dead", "sink: why")


def test_the_version_that_a_user_sees_who_sees_no_more() -> None:
    """The sink's rights."""
    is_a(judge_version(9, 10, "sink"), Result.PROBLEM, "0009", "fundingstream migrate")
    is_a(judge_version(10, 10, "sink"), Result.WARNING, "0010", "'sink' may not see")


def test_disks() -> None:
    """The fullest one counts."""
    is_a(judge_disks({"/a": 9 * GIB, "/b": 50 * GIB}), Result.OK, "/a")
    is_a(judge_disks({"/a": 9 * GIB, "/b": GIB}), Result.WARNING, "/b")
    is_a(judge_disks({"/a": 9 * GIB, "/b": GIB // 4}), Result.PROBLEM, "/b", "make room")


def test_parts() -> None:
    """One that is not here runs elsewhere, or not at all: its reports say that."""
    well = Probed("worker", "http://w", listens=True, healthy=True, said="ok")
    ill = well._replace(part="sink", healthy=False, said="it stands still")
    away = Probed("alerts", "http://a", listens=False, healthy=False, said="does not answer")
    is_a(judge_parts([well, away]), Result.OK, "worker answer", "not here: alerts")
    is_a(judge_parts([well, ill, away]), Result.PROBLEM, "sink", "stands still")
