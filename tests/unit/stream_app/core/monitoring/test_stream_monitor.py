"""Ticks, producers' events, reconciliation with REST and of settled rates with estimates."""

from __future__ import annotations

import json

import pytest

from schemas.audit_facts import NO_FACTS, AuditCause, AuditFacts, fact_fields
from schemas.audit_kinds import AuditKind
from schemas.control_items import FEED_EVENT, FeedEvent
from schemas.records import RawItem
from schemas.times import US_PER_HOUR, US_PER_MINUTE
from stream_app.core.monitoring.reconciliation import tolerance
from stream_app.core.output.alerts import mismatch_severity
from stream_app.core.partition import FeedPartition
from stream_app.normalise.binance_usdm import normalise
from tests.support.partitions import (
    HOUR_US,
    NOW,
    T0,
    Partition,
    S,
    audits,
    batch,
    clock,
    item,
    of,
    settled,
    snapshot,
    tick,
)

FEED = "binance-usdm"
A = "binance-usdm:AUSDT"


def event(payload: bytes) -> RawItem:
    """A nameless item."""
    return {"symbol": None, "payload": payload, "received_at": T0}


FACTS = AuditFacts(cause=AuditCause.SILENT, socket="1", rest_polls=0, shift_s=-0.5)


def told(kind: str, facts: AuditFacts = NO_FACTS) -> bytes:
    """A producer's event."""
    times = (T0 - 9 * S, T0 - S)
    return FeedEvent(AuditKind(kind), FEED, *times, 4, "socket 1 is silent", facts).pack()


class TestTicks:
    """They carry time."""

    def test_a_tick_flushes_what_is_owed(self, new: Partition) -> None:
        """As any record past the boundary does; it is counted."""
        new.ticks(tick("AUSDT", 0.0001, T0 + S), tick("AUSDT", 0.000101, T0 + 2 * S))
        assert of(new.run(clock(T0 + 4 * S)), "zscores") == []
        (score,) = of(new.run(clock(T0 + 5 * S)), "zscores")
        assert (score["trigger"], score["rate"]) == ("flush", 0.000101)
        assert (new.counts["tick"], new.counts["control"], new.letters) == (2, 0, [])

    def test_a_tick_before_everything_leads_to_nothing(self, new: Partition) -> None:
        """A partition may have no contract."""
        assert new.run(clock(T0)) == []
        assert list(new.contracts) == []


class TestFeedEvents:
    """What a producer tells becomes an audit event at once."""

    @pytest.mark.parametrize("kind", ["gap_opened", "failover", "listed", "rate_limited"])
    def test_it_is_told_as_it_is(self, new: Partition, kind: str) -> None:
        """With where it stands in the log; no alert."""
        (output,) = new.run(batch([event(b"x"), event(told(kind, FACTS))], channel=FEED_EVENT))
        assert (output.topic.name, output.key) == ("funding.audit", FEED)
        assert output.record == {
            "subject": FEED, "kind": kind, "count": 4, "first_event_time": T0 - 9 * S,
            "last_event_time": T0 - S, "detail": "socket 1 is silent",
            "raw_topic": "funding.raw.binance-usdm", "raw_partition": 3, "raw_offset": 100,
            "raw_item": 1, **fact_fields(FACTS),
        }  # fmt: skip

    def test_an_event_of_a_version_before_the_facts_is_told_without(self, new: Partition) -> None:
        """The log holds such events for days after an upgrade."""
        old = json.dumps({
            "kind": "gap_opened", "subject": FEED, "first_event_time": T0 - S,
            "last_event_time": T0, "count": 1, "detail": "socket 1: closed",
        })  # fmt: skip
        (output,) = new.run(batch([event(old.encode())], channel=FEED_EVENT))
        assert (output.record["kind"], output.record["detail"]) == (
            "gap_opened",
            "socket 1: closed",
        )
        assert set(fact_fields(NO_FACTS).values()) == {output.record["socket"]} == {None}

    def test_an_event_of_a_later_version_is_told_as_other(self, new: Partition) -> None:
        """Producers may be upgraded before the worker: the kind is kept in the sentence."""
        newer = json.dumps({
            "kind": "moon_phase", "subject": FEED, "first_event_time": T0, "last_event_time": T0,
            "detail": "full", "facts": {"cause": "tide", "height_m": 2.5, "socket": "1"},
        })  # fmt: skip
        (output,) = new.run(batch([event(newer.encode())], channel=FEED_EVENT))
        told = {key: output.record[key] for key in ("kind", "detail", "cause", "socket")}
        assert told == {
            "kind": "other",
            "detail": "moon_phase: full",
            "cause": "other",
            "socket": "1",
        }

    @pytest.mark.parametrize(
        ("kind", "severity", "words"),
        [("feed_down", "critical", "feed down"), ("feed_recovered", "info", "feed recovered")],
    )
    def test_the_health_of_a_feed_is_an_alert(
        self, new: Partition, kind: str, severity: str, words: str
    ) -> None:
        """With an id that a replay gives again."""
        (alert,) = of(new.run(batch([event(told(kind))], channel=FEED_EVENT)), "alerts")
        assert alert == {
            "alert_id": f"{kind}/funding.raw.binance-usdm/3/100/0", "subject": FEED, "kind": kind,
            "severity": severity, "value": None, "threshold": None,
            "message": f"binance-usdm: {words}: socket 1 is silent", "event_time": T0 - S,
            "created_at": NOW, "raw_topic": "funding.raw.binance-usdm", "raw_partition": 3,
            "raw_offset": 100, "raw_item": 0,
        }  # fmt: skip

    @pytest.mark.parametrize(
        "payload", [b"", b"[]", b'{"kind":"x"}', b'{"kind":"\xff"}', b"[" * 9_000]
    )
    def test_one_that_cannot_be_read_is_a_dead_letter(self, new: Partition, payload: bytes) -> None:
        """And stops nothing."""
        outputs = new.run(batch([event(payload), event(told("failover"))], channel=FEED_EVENT))
        assert [kind for _, kind, _, _ in audits(outputs)] == ["failover"]
        assert [(letter.stage, letter.value) for letter in new.letters] == [("event", payload)]
        assert new.counts["failed"] == 0

    @pytest.mark.parametrize(
        "subject", ["", "kucoin", "binance-usdm:", "kucoin:A", f"{FEED}:A B", f"{FEED}:{'A' * 65}"]
    )
    def test_it_is_about_the_feed_or_a_contract_of_it(self, new: Partition, subject: str) -> None:
        """Its subject is the key of records; anybody may write to the raw topic."""
        forged = FeedEvent(AuditKind.FEED_DOWN, subject, T0, T0)
        assert new.run(batch([event(forged.pack())], channel=FEED_EVENT)) == []
        assert [letter.stage for letter in new.letters] == ["event"]
        real = FeedEvent(AuditKind.LISTED, f"{FEED}:币安人生USDT", T0, T0)
        (output,) = new.run(batch([event(real.pack())], channel=FEED_EVENT))
        assert output.key == f"{FEED}:币安人生USDT"

    def test_a_record_that_comes_again_tells_nothing(self, new: Partition) -> None:
        """What is stored has it."""
        new.ticks(tick("AUSDT", 0.0001, T0))
        new.run(batch([event(told("feed_down"))], channel=FEED_EVENT))
        new.store.mark_applied(101)
        blocks = [data for _, data in new.store.take_dirty()[0]]
        again = FeedPartition(FEED, 3, normalise, blocks)
        again.apply(batch([event(told("feed_down"))], channel=FEED_EVENT), 101, NOW)
        assert again.take_outputs().records() == []
        assert again.counts["redelivered"] == 1


class TestReconciliation:
    """A REST snapshot beside what the stream told."""

    @staticmethod
    def compared(
        new: Partition, rate: float, at: int = T0 + 500_000, received_at: int = T0 + S
    ) -> list[tuple[str, str, int, str]]:
        """Compare a rate of A and return what is counted in that minute."""
        assert (
            new.run(snapshot(("AUSDT", rate, at), received_at=received_at, purpose="reconcile"))
            == []
        )
        kinds = ("matched", "mismatch", "not_compared")
        return audits(new.run(clock(received_at + US_PER_MINUTE)), *kinds)

    def test_what_is_equal_matches(self, new: Partition) -> None:
        """Counted for the feed."""
        new.ticks(tick("AUSDT", 0.0001, T0))
        assert self.compared(new, 0.0001001) == [(FEED, "matched", 1, "")]

    def test_what_differs_is_told_of_the_contract(self, new: Partition) -> None:
        """Both values, both times, and what would have been allowed."""
        new.ticks(tick("AUSDT", 0.0001, T0))
        values = "rest 0.0002 at 08:16:40.500, stream 0.0001 at 08:16:40.000"
        assert self.compared(new, 0.0002) == [
            (A, "mismatch", 1, f"{values}, tolerance 1.1e-06"),
            (FEED, "mismatch", 1, A),
        ]

    def test_any_rate_of_the_stale_time_may_match(self, new: Partition) -> None:
        """REST may show what the stream told some seconds ago."""
        for second, rate in enumerate((0.0001, 0.0004, 0.0005)):
            new.ticks(tick("AUSDT", rate, T0 + second * S))
        assert self.compared(new, 0.0001, T0 + 3 * S, T0 + 3 * S) == [(FEED, "matched", 1, "")]

    @pytest.mark.parametrize("at", [T0 - 11 * S, T0 + 11 * S])
    def test_without_a_stream_rate_of_that_time_nothing_is_compared(
        self, new: Partition, at: int
    ) -> None:
        """A share of guesses would be none; a rate that REST brought says nothing of the stream."""
        new.ticks(tick("AUSDT", 0.0001, T0))
        new.run(snapshot(("AUSDT", 0.0001, T0 + 11 * S), received_at=T0 + 11 * S))
        assert self.compared(new, 0.0001, at, T0 + 11 * S) == [
            (FEED, "not_compared", 1, "stale: no stream rate within 10 s")
        ]

    def test_an_unknown_contract_is_not_compared_and_not_made(self, new: Partition) -> None:
        """The snapshot is no source of rates."""
        assert self.compared(new, 0.0001) == [(FEED, "not_compared", 1, "no rate yet")]
        assert list(new.contracts) == []

    def test_it_moves_nothing(self, new: Partition) -> None:
        """Neither rates nor bars nor the order."""
        new.ticks(tick("AUSDT", 0.0001, T0))
        (before,) = [contract.bars.held.copy() for contract in new.contracts]
        self.compared(new, 0.0009, T0 + 2 * S, T0 + 2 * S)
        (contract,) = new.contracts
        assert (contract.rate, contract.event_time, contract.updates) == (0.0001, T0, 1)
        assert contract.bars.held == before
        new.ticks(tick("AUSDT", 0.0003, T0 + S), received_at=T0 + 70 * S)
        assert contract.rate == 0.0003

    @pytest.mark.parametrize(
        ("wrong", "compared", "severity"),
        [
            (1, 1, None),
            (2, 2, "critical"),
            (2, 3, None),
            (3, 30, None),
            (3, 29, "warning"),
            (9, 19, "warning"),
            (9, 18, "critical"),
        ],
    )
    def test_many_mismatches_are_an_alert(
        self, new: Partition, wrong: int, compared: int, severity: str | None
    ) -> None:
        """At least three, or both of two, and more than a tenth of what one record compared."""
        symbols = [f"C{number}USDT" for number in range(compared)]
        new.ticks(*(tick(symbol, 0.0001, T0) for symbol in symbols))
        rates = [(s, 0.0003 if i < wrong else 0.0001, T0) for i, s in enumerate(symbols)]
        received_at = T0 + 2 * S
        raw = snapshot(*rates, ("NONE", 0.1, T0), received_at=received_at, purpose="reconcile")
        alerts = of(new.run(raw), "alerts")
        assert [alert["severity"] for alert in alerts] == ([severity] if severity else [])
        for alert in alerts:
            assert (alert["alert_id"], alert["event_time"]) == (
                f"mismatch/binance-usdm/3/{HOUR_US}",
                received_at,
            )
            assert (alert["subject"], alert["value"]) == (FEED, wrong / compared)
            assert (alert["kind"], alert["threshold"]) == ("mismatch", 0.10)
        assert of(new.run(snapshot(("C0USDT", 0.0001, T0), received_at=T0)), "alerts") == []

    def test_a_mismatch_that_lasts_is_one_alert_an_hour(self, new: Partition) -> None:
        """Whether or not the worker is restarted meanwhile."""
        found = []
        for minute in range(0, 120, 10):
            at = T0 + minute * US_PER_MINUTE
            new.ticks(*(tick(symbol, 0.0001, at) for symbol in ("AUSDT", "BUSDT")), received_at=at)
            rates = [(symbol, 0.0009, at) for symbol in ("AUSDT", "BUSDT")]
            found += of(new.run(snapshot(*rates, received_at=at, purpose="reconcile")), "alerts")
            new.store.mark_applied(new.offset - 1)
            blocks = [data for _, data in new.store.take_dirty()[0]]
            offset, new = new.offset, Partition()
            FeedPartition.__init__(new, FEED, 3, normalise, blocks)
            new.offset = offset
        ids = [alert["alert_id"] for alert in found if alert["kind"] == "mismatch"]
        hours = [HOUR_US + number * US_PER_HOUR for number in range(3)]
        assert ids == [f"mismatch/{FEED}/3/{hour}" for hour in hours]

    def test_a_rate_beyond_the_cap_is_not_compared(self, new: Partition) -> None:
        """The stream told the same, and it was not held."""
        row = {"symbol": "AUSDT", "adjustedFundingRateCap": "0.01",
               "adjustedFundingRateFloor": "-0.01", "fundingIntervalHours": 8}  # fmt: skip
        new.facts(row, "fundingInfo")
        new.ticks(tick("AUSDT", 0.0001, T0), tick("AUSDT", 0.02, T0 + 400_000))
        assert self.compared(new, 0.02) == [(FEED, "not_compared", 1, "beyond the cap")]

    def test_tolerance_grows_with_time_and_rate_to_its_cap(self) -> None:
        """Twice 1e-7 a second, half a basis point at most, one percent at least."""
        assert tolerance(0.0, 0) == 1e-6
        assert tolerance(1e-5, 10 * S) == pytest.approx(3e-6)
        assert tolerance(-0.0004, 10 * S) == pytest.approx(4e-6)
        assert tolerance(0.0, 3_600 * S) == 5e-5
        assert tolerance(-0.01, 0) == pytest.approx(1e-4)

    def test_nothing_compared_is_no_mismatch(self) -> None:
        """Of none, none."""
        assert mismatch_severity(0, 0) is None


class TestSettledAgainstEstimates:
    """What was charged beside what was estimated last."""

    END = HOUR_US + 8 * US_PER_HOUR

    def settle(self, new: Partition, rate: float) -> list[tuple[str, str, int, str]]:
        """Apply the settlement at END and return what is told of it a minute later."""
        row = settled("AUSDT", rate, self.END + 41_000)
        row["received_at"] = self.END + 4 * US_PER_HOUR
        raw = batch([row], row["received_at"], "history", "fundingRate", "rest")
        outputs = new.run(raw) + new.run(clock(row["received_at"] + 2 * US_PER_MINUTE))
        return audits(outputs, "settled_matched", "settled_differs")

    def estimate(self, new: Partition, rate: float, at: int) -> None:
        """One update of the stream."""
        row = json.loads(tick("AUSDT", rate, at)["payload"])
        row["T"] = (self.END if at < self.END else self.END + 8 * US_PER_HOUR) // 1_000
        new.run(batch([item(row, at)], at))

    @pytest.mark.parametrize(
        ("rate", "told_of"),
        [
            (0.00011, (FEED, "settled_matched", 1, "")),
            (0.000089, (A, "settled_differs", 1,
             "estimate 0.0001, settled 8.9e-05 per 8 h: -0.110 bp")),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("goes_on", [True, False])
    def test_the_last_estimate_counts(
        self,
        new: Partition,
        rate: float,
        told_of: tuple[str, str, int, str],
        goes_on: bool,  # noqa: FBT001
    ) -> None:
        """Whether or not the next interval has begun; once."""
        self.estimate(new, 0.0007, self.END - 3 * S)
        self.estimate(new, 0.0001, self.END - S)
        if goes_on:
            for hours in range(4):
                self.estimate(new, 0.0009, self.END + hours * US_PER_HOUR)
        assert self.settle(new, rate) == [told_of]
        assert self.settle(new, rate) == []

    def test_an_estimate_that_was_stale_is_not_compared(self, new: Partition) -> None:
        """Nor one that was for another time, nor a contract without any."""
        self.estimate(new, 0.0001, self.END - 11 * S)
        self.estimate(new, 0.0001, self.END + S)
        assert self.settle(new, 0.0009) == []
