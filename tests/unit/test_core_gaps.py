"""Gaps in the stream of a contract: missed ticks, silence, and what filled it."""

from __future__ import annotations

import pytest

from schemas.times import US_PER_MINUTE
from stream_app.core.gaps import Pace, StreamState
from stream_app.core.partition import FeedPartition
from stream_app.normalise.binance_usdm import normalise
from tests.unit.partition_case import (
    NOW,
    T0,
    Partition,
    S,
    audits,
    batch,
    clock,
    of,
    snapshot,
    tick,
)

A = "binance-usdm:AUSDT"
PACE = Pace(cadence_us=S, missed_us=3 * S // 2, stale_us=10 * S)


def status(partition: Partition, value: str) -> list[tuple[str, str, int, str]]:
    """Apply a status of A and return what it is told."""
    row = {"symbol": "AUSDT", "status": value, "baseAsset": "A", "quoteAsset": "USDT"}
    return audits(partition.facts(row, "exchangeInfo"))


class TestMissed:
    """Ticks that did not come, by event time."""

    @pytest.mark.parametrize(
        ("step_ms", "missed"),
        [(1_000, 0), (1_500, 0), (1_501, 1), (2_400, 1), (2_600, 2), (9_000, 8)],
    )
    def test_beyond_one_and_a_half_cadences(self, step_ms: int, missed: int) -> None:
        """Each whole cadence beyond the first is a tick."""
        state = StreamState()
        assert state.advance(T0, T0, 1, 0, PACE) is None
        step = state.advance(T0 + step_ms * 1_000, T0 + 30 * S, 2, 0, PACE)
        assert (step.missed if step else 0) == missed
        assert not (step and step.is_gap)

    def test_they_are_counted_by_minute(self, new: Partition) -> None:
        """From the update before the first to the one after the last."""
        for second in (0, 1, 4, 5, 7):
            new.ticks(tick("AUSDT", 0.0001, T0 + second * S), received_at=T0 + second * S)
        found = of(new.run(clock(T0 + US_PER_MINUTE)), "audit")
        (event,) = [e for e in found if e["kind"] == "missed"]
        assert (event["subject"], event["count"], event["detail"]) == (
            A,
            3,
            "2.0 s between updates",
        )
        assert event["first_event_time"] == T0 + S
        assert event["last_event_time"] == T0 + 7 * S
        assert new.counts["missed"] == 3

    def test_an_older_update_is_no_step(self, new: Partition) -> None:
        """Nor is the same one on a second socket, nor a row of REST."""
        new.ticks(tick("AUSDT", 0.0001, T0 + 3 * S))
        new.ticks(tick("AUSDT", 0.0002, T0), tick("AUSDT", 0.0001, T0 + 3 * S))
        new.run(snapshot(("AUSDT", 0.0003, T0 + 7 * S), received_at=T0 + 7 * S))
        new.ticks(tick("AUSDT", 0.0002, T0 + 4 * S))
        assert new.counts["missed"] == 0


class TestSilence:
    """A gap is opened at a flush boundary, and closed by the next update."""

    def test_it_is_opened_once_when_it_is_stale(self, new: Partition) -> None:
        """At the first boundary ten seconds after the last receipt."""
        new.ticks(tick("AUSDT", 0.0001, T0 + S))
        assert audits(new.run(clock(T0 + 10 * S))) == []
        (event,) = of(new.run(clock(T0 + 15 * S)), "audit")
        assert (event["subject"], event["kind"]) == (A, "gap_opened")
        assert (event["first_event_time"], event["last_event_time"]) == (T0 + S, T0 + 15 * S)
        assert (event["raw_offset"], event["raw_item"]) == (100, 0)
        assert audits(new.run(clock(T0 + 20 * S))) == []

    def test_it_is_the_same_whichever_boundary_notices(self, new: Partition) -> None:
        """A producer that was down brings no boundary for a minute."""
        new.ticks(tick("AUSDT", 0.0001, T0 + S))
        (event, *_) = of(new.run(clock(T0 + 70 * S)), "audit")
        assert (event["first_event_time"], event["last_event_time"]) == (T0 + S, T0 + 15 * S)

    def test_it_says_what_filled_it(self, new: Partition) -> None:
        """Each REST rate holds until the next, at most ten seconds."""
        new.ticks(tick("AUSDT", 0.0001, T0), received_at=T0)
        for second in (3, 8, 30):
            at = T0 + second * S
            new.run(snapshot(("AUSDT", second * 1e-5, at), received_at=at))
        (closed,) = of(new.ticks(tick("AUSDT", 0.0001, T0 + 33 * S), received_at=T0 + 33 * S), "audit")  # fmt: skip  # noqa: E501
        assert closed["kind"] == "gap_closed"
        # 3 to 18, and 30 to 33.
        assert closed["detail"] == "33.0 s without stream; rest filled 18.0 s with 3 updates"
        assert (closed["first_event_time"], closed["last_event_time"]) == (T0, T0 + 33 * S)
        assert closed["count"] == 32
        again = new.ticks(tick("AUSDT", 0.0001, T0 + 34 * S), received_at=T0 + 34 * S)
        assert audits(again) == []

    def test_what_came_before_the_gap_does_not_fill_it(self, new: Partition) -> None:
        """In hybrid mode REST is there all the time."""
        new.run(snapshot(("AUSDT", 0.0001, T0 - S), received_at=T0))
        new.ticks(tick("AUSDT", 0.0002, T0), received_at=T0)
        new.run(clock(T0 + 10 * S))
        outputs = new.ticks(tick("AUSDT", 0.0001, T0 + 12 * S), received_at=T0 + 12 * S)
        assert audits(outputs, "gap_closed") == [
            (A, "gap_closed", 11, "12.0 s without stream; nothing filled it")
        ]

    def test_a_step_that_no_boundary_saw_opens_and_closes(self, new: Partition) -> None:
        """The updates waited somewhere: what they say of themselves is a gap."""
        new.ticks(tick("AUSDT", 0.0001, T0, lag_us=9 * S), received_at=T0 + 9 * S)
        outputs = new.ticks(tick("AUSDT", 0.0001, T0 + 11 * S), received_at=T0 + 11 * S)
        assert audits(outputs) == [
            (A, "gap_opened", 1, "no stream update for 10 s"),
            (A, "gap_closed", 10, "11.0 s without stream; nothing filled it"),
        ]
        opened, _ = of(outputs, "audit")
        assert (opened["first_event_time"], opened["last_event_time"]) == (T0, T0 + 11 * S)

    def test_what_rest_alone_brings_has_no_gap(self, new: Partition) -> None:
        """There was never a stream of it to fall silent."""
        new.run(snapshot(("AUSDT", 0.0001, T0), received_at=T0))
        assert audits(new.run(clock(T0 + 50 * S))) == []

    def test_a_status_that_ends_trading_ends_the_gap(self, new: Partition) -> None:
        """And none is opened afterwards, until it streams again."""
        status(new, "TRADING")
        new.ticks(tick("AUSDT", 0.0001, T0), received_at=T0)
        assert len(audits(new.run(clock(T0 + 15 * S)), "gap_opened")) == 1
        assert status(new, "SETTLING") == [
            (A, "trading_ended", 1, "TRADING -> SETTLING"),
            (A, "gap_closed", 0, "delisted"),
        ]
        assert status(new, "SETTLING") == []
        assert audits(new.run(clock(T0 + 60 * S)), "gap_opened") == []
        assert status(new, "TRADING") == []
        new.ticks(tick("AUSDT", 0.0001, T0 + 90 * S), received_at=T0 + 90 * S)
        opened = audits(new.run(clock(T0 + 105 * S)), "gap_opened", "gap_closed")
        assert [kind for _, kind, _, _ in opened] == ["gap_opened"]

    def test_a_contract_that_never_had_a_rate_ends_in_silence(self, new: Partition) -> None:
        """Of a hundred that are settling when a producer starts nobody needs to hear."""
        assert status(new, "SETTLING") == []

    def test_a_restart_tells_it_neither_twice_nor_never(self, new: Partition) -> None:
        """What is open, and what has filled it, is state."""
        new.ticks(tick("AUSDT", 0.0001, T0), received_at=T0)
        new.run(snapshot(("AUSDT", 0.0002, T0 + 2 * S), received_at=T0 + 2 * S))
        new.run(clock(T0 + 15 * S))
        new.store.mark_applied(new.offset - 1)
        blocks = [data for _, data in new.store.take_dirty()[0]]
        again = FeedPartition("binance-usdm", 3, normalise, blocks)
        again.apply(clock(T0 + 20 * S), 200, NOW)
        assert again.take_outputs().records() == []
        at = T0 + 21 * S
        again.apply(batch([tick("AUSDT", 0.0003, at)], at), 201, NOW)
        closed = audits(again.take_outputs().records(), "gap_opened", "gap_closed")
        assert closed == [
            (A, "gap_closed", 20, "21.0 s without stream; rest filled 10.0 s with 1 update")
        ]
