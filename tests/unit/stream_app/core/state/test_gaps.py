"""Gaps in the stream of a contract: missed ticks, silence, and what filled it."""

from __future__ import annotations

import msgspec
import pytest

from schemas.records import Transport
from schemas.times import US_PER_MINUTE
from stream_app.core.output.outputs import Output
from stream_app.core.partition import FeedPartition
from stream_app.core.state.contract_state import BLOCK_CONTRACTS, ContractBlock
from stream_app.core.state.gaps import Pace, StreamState
from stream_app.normalise.binance_usdm import normalise
from tests.support.partitions import (
    NOW,
    T0,
    Partition,
    S,
    audits,
    batch,
    clock,
    item,
    know,
    of,
    snapshot,
    tick,
)

A = "binance-usdm:AUSDT"
FACTS = "exchangeInfo"
PACE = Pace(cadence_us=S, missed_us=3 * S // 2, stale_us=10 * S)


def status(
    partition: Partition, value: str, received_at: int = T0
) -> list[tuple[str, str, int, str]]:
    """Apply a status of A and return what it is told."""
    row = {"symbol": "AUSDT", "status": value, "baseAsset": "A", "quoteAsset": "USDT"}
    return audits(partition.facts(row, "exchangeInfo", received_at))


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
        step = state.advance(T0 + step_ms * 1_000, T0 + step_ms * 1_000 + 4 * S, 2, 0, PACE)
        assert (step.missed if step else 0) == missed
        assert not (step and step.is_gap)

    def test_none_is_missed_where_only_changes_are_pushed(self) -> None:
        """A silence that is too long for a rate to hold is a gap all the same."""
        pace = PACE._replace(changes_alone=True)
        state = StreamState()
        assert state.advance(T0, T0, 1, 0, pace) is None
        short = state.advance(T0 + 9 * S, T0 + 9 * S, 2, 0, pace)
        assert short is not None
        assert (short.missed, short.is_gap) == (0, False)
        long = state.advance(T0 + 20 * S, T0 + 20 * S, 3, 0, pace)
        assert long is not None
        assert (long.missed, long.is_gap) == (0, True)

    def test_what_rest_shows_in_time_is_no_gap_where_only_changes_are_pushed(self) -> None:
        """Until its rate holds no longer either; of other feeds the stream's silence is one."""
        pace, state = PACE._replace(changes_alone=True), StreamState()
        state.advance(T0, T0, 1, 0, pace)
        state.fill(T0 + 9 * S, pace.stale_us)
        assert state.silent_at(T0 + 10 * S, PACE)
        assert not state.silent_at(T0 + 15 * S, pace)
        assert state.silent_at(T0 + 20 * S, pace)
        assert state.silent_from(pace) == T0 + 20 * S
        back = state.advance(T0 + 19 * S, T0 + 19 * S, 2, 0, pace)
        assert back is not None
        assert (back.is_gap, back.fills, state.fills) == (False, 1, 0)

    def test_a_contract_that_rest_shows_since_it_was_listed_has_no_gap(self) -> None:
        """Where only changes are pushed the first may be long in coming."""
        pace, state = PACE._replace(changes_alone=True), StreamState()
        assert state.expect(T0, 1, 0)
        state.become_due(T0)
        for second in (5, 14, 22):
            state.fill(T0 + second * S, pace.stale_us)
        assert not state.silent_at(T0 + 30 * S, pace)
        assert state.advance(T0 + 31 * S, T0 + 31 * S, 2, 0, pace) is None

    def test_a_push_that_was_held_up_hides_none_and_is_no_clock(self) -> None:
        """It comes with the next one a minute late; the one after that does not come at all."""
        pace = Pace(cadence_us=60 * S, missed_us=90 * S, stale_us=150 * S)
        state = StreamState()
        for event_s, received_s in ((0, 0), (60, 60), (120, 180)):
            state.advance(T0 + event_s * S, T0 + received_s * S, 1, 0, pace)
        behind_us = T0 + 190 * S - state.time_of_receipt(T0 + 190 * S)
        assert behind_us <= 120 * S / 8
        step = state.advance(T0 + 300 * S, T0 + 300 * S, 2, 0, pace)
        assert step is not None
        assert (step.missed, step.since, step.until) == (1, T0 + 120 * S, T0 + 300 * S)

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
        """Between two boundaries there is time enough."""
        new.ticks(tick("AUSDT", 0.0001, T0), received_at=T0)
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
            (A, "trading_ended", 1, "trading -> delisted"),
            (A, "gap_closed", 0, "delisted"),
        ]
        assert status(new, "SETTLING") == []
        assert audits(new.run(clock(T0 + 60 * S)), "gap_opened") == []
        assert status(new, "TRADING") == [(A, "trading_began", 1, "delisted -> trading")]
        new.ticks(tick("AUSDT", 0.0001, T0 + 90 * S), received_at=T0 + 90 * S)
        opened = audits(new.run(clock(T0 + 105 * S)), "gap_opened", "gap_closed")
        assert [kind for _, kind, _, _ in opened] == ["gap_opened"]

    def test_a_halt_is_no_gap_though_a_push_comes_after_it(self, new: Partition) -> None:
        """One that was under way when the status changed."""
        status(new, "TRADING")
        new.ticks(tick("AUSDT", 0.0001, T0), received_at=T0)
        status(new, "SETTLING")
        new.ticks(tick("AUSDT", 0.0001, T0 + S), received_at=T0 + S)
        outputs = new.run(clock(T0 + 60 * S))
        status(new, "TRADING", T0 + 85 * S)
        outputs += new.run(clock(T0 + 90 * S))
        outputs += new.ticks(tick("AUSDT", 0.0001, T0 + 92 * S), received_at=T0 + 92 * S)
        assert audits(outputs, "gap_opened", "gap_closed") == []
        assert new.counts["missed"] == 0

    def test_a_contract_that_never_had_a_rate_ends_in_silence(self, new: Partition) -> None:
        """A status that ends trading makes no event for a contract that never had a rate."""
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


def ticks_at(new: Partition, *times: tuple[float, float]) -> list[Output]:
    """Apply an update for each (event time, receipt), in seconds from T0; return what is told."""
    outputs = []
    for event_s, received_s in times:
        at, received_at = T0 + int(event_s * S), T0 + int(received_s * S)
        outputs += new.ticks(tick("AUSDT", 0.0001, at, received_at - at), received_at=received_at)
    return outputs


class TestSteppedClocks:
    """Where event times move on otherwise than receipts, nobody knows what did not come."""

    @pytest.mark.parametrize(("step_s", "told"), [(30.0, "+30.0"), (12.5, "+12.5")])
    def test_a_step_forward_misses_nothing(self, new: Partition, step_s: float, told: str) -> None:
        """An update a second was received all the time."""
        outputs = ticks_at(new, (-60, 0), (-59, 1), (step_s - 58, 2), (step_s - 57, 3))
        assert audits(outputs, "gap_opened", "gap_closed") == []
        assert new.counts["missed"] == 0
        assert audits(new.run(clock(T0 + US_PER_MINUTE)), "clock_skew") == [
            ("binance-usdm", "clock_skew", 1, f"AUSDT: {told} s between two updates")
        ]

    def test_what_ends_a_silence_says_how_long_it_was(self, new: Partition) -> None:
        """By receipt, where the event times say less; what came late was not missed."""
        outputs = ticks_at(new, (0, 0), (1, 1), (2, 61), (3, 61.1))
        assert audits(outputs, "gap_opened", "gap_closed") == [
            (A, "gap_opened", 1, "no stream update for 10 s"),
            (A, "gap_closed", 0, "60.0 s without stream; nothing filled it"),
        ]
        closed = of(outputs, "audit")[-1]
        assert (closed["first_event_time"], closed["last_event_time"]) == (T0 + S, T0 + 61 * S)

    def test_a_skew_is_one_row_a_minute_for_all_contracts(self, new: Partition) -> None:
        """It is one fact: our clock, or that of the exchange."""
        for second in range(3):
            at = T0 + second * S
            symbols = [f"C{number}USDT" for number in range(7)]
            items = [tick(symbol, 0.0001, at + 6 * S, -6 * S) for symbol in symbols]
            new.ticks(*items, received_at=at)
        assert audits(new.run(clock(T0 + US_PER_MINUTE)), "clock_skew") == [
            ("binance-usdm", "clock_skew", 21, "C6USDT: 6.0 s ahead of its receipt")
        ]


class TestNeverPushed:
    """A contract that trades by the facts, and of which the stream brings nothing."""

    def test_it_is_a_gap_beside_others_that_stream(self, new: Partition) -> None:
        """From the fact on, or from when the feed's stream began; REST fills it."""
        status(new, "TRADING")
        outputs = new.ticks(tick("BUSDT", 0.0001, T0 + 3 * S), received_at=T0 + 3 * S)
        outputs += new.run(snapshot(("AUSDT", 0.0001, T0 + 5 * S), received_at=T0 + 5 * S))
        outputs += new.ticks(tick("BUSDT", 0.0001, T0 + 12 * S), received_at=T0 + 12 * S)
        assert audits(outputs, "gap_opened", "gap_closed") == []
        outputs += new.run(clock(T0 + 16 * S))
        assert audits(outputs, "gap_opened") == [(A, "gap_opened", 1, "no stream update for 10 s")]
        outputs += new.ticks(tick("AUSDT", 0.0001, T0 + 33 * S), received_at=T0 + 33 * S)
        assert audits(outputs, "gap_closed") == [
            (A, "gap_closed", 30, "30.0 s without stream; rest filled 10.0 s with 1 update")
        ]
        opened, closed = (
            event
            for event in of(outputs, "audit")
            if event["kind"].startswith("gap_") and event["subject"] == A
        )
        # By receipt, two milliseconds after the events: of the first there is no other time.
        since, until = T0 + 3 * S + 2_000, T0 + 33 * S + 2_000
        assert (opened["first_event_time"], opened["last_event_time"]) == (since, T0 + 15 * S)
        assert (closed["first_event_time"], closed["last_event_time"]) == (since, until)
        assert (opened["raw_offset"], opened["raw_item"]) == (100, 0)

    def test_it_is_none_while_the_whole_feed_brings_nothing(self, new: Partition) -> None:
        """As of a producer that polls, or has not connected yet: that is for it to tell."""
        status(new, "TRADING")
        outputs = new.run(snapshot(("AUSDT", 0.0001, T0 + 5 * S), received_at=T0 + 5 * S))
        outputs += new.run(clock(T0 + 600 * S))
        at = T0 + 700 * S
        outputs += new.ticks(tick("AUSDT", 0.0001, at), received_at=at)
        assert audits(outputs, "gap_opened", "gap_closed", "missed") == []

    def test_it_is_none_where_the_feed_is_polled_since(self, new: Partition) -> None:
        """What is listed then is due when the stream is back."""
        new.ticks(tick("BUSDT", 0.0001, T0), received_at=T0)
        status(new, "TRADING", T0 + 30 * S)
        outputs = new.run(snapshot(("AUSDT", 0.0001, T0 + 35 * S), received_at=T0 + 35 * S))
        outputs += new.run(clock(T0 + 600 * S))
        assert audits(outputs, "gap_opened") == []
        at = T0 + 700 * S
        new.ticks(tick("BUSDT", 0.0001, at), received_at=at)
        (opened,) = (
            event
            for event in of(new.run(clock(at + 15 * S)), "audit")
            if (event["subject"], event["kind"]) == (A, "gap_opened")
        )
        assert opened["first_event_time"] == at + 2_000

    def test_it_is_one_after_an_upgrade(self, new: Partition) -> None:
        """The others stream, and no push is the first of its contract."""
        new.ticks(tick("BUSDT", 0.0001, T0), received_at=T0)
        new.store.mark_applied(new.offset - 1)
        (_, data), *_ = new.store.take_dirty()[0]
        fields = msgspec.msgpack.decode(data)
        del fields[6:]
        again = FeedPartition("binance-usdm", 3, normalise, [msgspec.msgpack.encode(fields)])
        listed = item({"symbol": "AUSDT", "status": "TRADING"}, T0 + S)
        again.apply(batch([listed], T0 + S, "contract", FACTS), 200, NOW)
        at = T0 + 2 * S
        again.apply(batch([tick("BUSDT", 0.0001, at)], at), 201, NOW)
        again.apply(clock(at + 15 * S), 202, NOW)
        told = audits(again.take_outputs().records(), "gap_opened")
        assert {subject for subject, *_ in told} == {A, "binance-usdm:BUSDT"}

    def test_shards_that_were_stored_at_different_records_agree(self, new: Partition) -> None:
        """Each contract becomes due by the record, not by its neighbour in another shard."""
        for number in range(BLOCK_CONTRACTS):
            new.facts({"symbol": f"C{number}USDT", "status": "SETTLING"}, "exchangeInfo")
        status(new, "TRADING")
        new.store.mark_applied(new.offset - 1)
        (_, _old_0), (_, old_1) = new.store.take_dirty()[0]
        at = T0 + 3 * S
        first = batch([tick("C0USDT", 0.0001, at), tick("BUSDT", 0.0001, at)], at)
        offset = new.offset
        new.run(first)
        new.store.mark_applied(offset)
        new_0 = new.store.shards[0].pack()
        torn = FeedPartition("binance-usdm", 3, normalise, [new_0, old_1])
        for partition in (new, torn):
            if partition is torn:
                partition.apply(first, offset, NOW)
            partition.apply(clock(at + 15 * S), offset + 1, NOW)
        told = [
            {e["subject"]: e["first_event_time"] for e in of(p.take_outputs().records(), "audit")}
            for p in (new, torn)
        ]
        assert told[0][A] == told[1][A] == at + 2_000

    def test_it_is_none_if_the_first_push_comes_in_time(self, new: Partition) -> None:
        """A listed contract whose first push comes in time has no gap before it."""
        new.ticks(tick("BUSDT", 0.0001, T0), received_at=T0)
        status(new, "TRADING")
        outputs = new.ticks(tick("AUSDT", 0.0001, T0 + 9 * S), received_at=T0 + 9 * S)
        outputs += new.run(clock(T0 + 15 * S))
        told = audits(outputs, "gap_opened", "gap_closed", "missed")
        assert [subject for subject, *_ in told] == ["binance-usdm:BUSDT"]

    def test_a_delisting_ends_it(self, new: Partition) -> None:
        """And one that does not trade when it is first heard of has none."""
        status(new, "TRADING")
        new.ticks(tick("BUSDT", 0.0001, T0), received_at=T0)
        assert A in {subject for subject, *_ in audits(new.run(clock(T0 + 20 * S)), "gap_opened")}
        assert audits(new.run(clock(T0 + 40 * S)), "gap_opened") == []
        told = status(new, "SETTLING", T0 + 60 * S)
        assert (A, "gap_closed", 0, "delisted") in told
        assert audits(new.run(clock(T0 + 90 * S)), "gap_opened") == []

    def test_a_restart_of_the_worker_forgets_nothing(self, new: Partition) -> None:
        """Neither that it is awaited, nor that it is due."""
        again: FeedPartition = new
        records = [
            batch([item({"symbol": "AUSDT", "status": "TRADING"}, T0)], T0, "contract", FACTS),
            batch([tick("BUSDT", 0.0001, T0 + S)], T0 + S),
            clock(T0 + 20 * S),
        ]
        for offset, record in enumerate(records, start=100):
            know(again, record, offset)
            again.apply(record, offset, NOW)
            again.store.mark_applied(offset)
            told = audits(again.take_outputs().records(), "gap_opened")
            blocks = [shard.pack() for shard in again.store.shards]
            again = FeedPartition("binance-usdm", 3, normalise, blocks)
        assert {subject for subject, *_ in told} == {A, "binance-usdm:BUSDT"}


class TestStateOfBefore:
    """State of a version that did not watch streams."""

    @pytest.mark.parametrize(("transport", "kinds"), [("ws", 2), ("rest", 0)])
    def test_the_gap_over_the_upgrade_is_told(
        self, new: Partition, transport: Transport, kinds: int
    ) -> None:
        """Where the newest rate came by stream."""
        new.ticks(tick("AUSDT", 0.0001, T0), received_at=T0)
        new.store.mark_applied(new.offset - 1)
        block = ContractBlock.unpack(new.store.take_dirty()[0][0][1])
        block.contracts[0].stream = StreamState()
        block.contracts[0].transport = transport
        again = FeedPartition("binance-usdm", 3, normalise, [block.pack()])
        at = T0 + 3_600 * S
        again.apply(clock(at), 200, NOW)
        again.apply(batch([tick("AUSDT", 0.0003, at)], at), 201, NOW)
        told = audits(again.take_outputs().records(), "gap_opened", "gap_closed")
        assert [count for _, _, count, _ in told] == [1, 3_599][:kinds]

    def test_a_restart_in_a_halt_brings_no_gap_back(self, new: Partition) -> None:
        """A stream that was ended is not one of before."""
        status(new, "TRADING")
        new.ticks(tick("AUSDT", 0.0001, T0), received_at=T0)
        status(new, "SETTLING")
        status(new, "TRADING", T0 + 85 * S)
        new.store.mark_applied(new.offset - 1)
        blocks = [data for _, data in new.store.take_dirty()[0]]
        again = FeedPartition("binance-usdm", 3, normalise, blocks)
        again.apply(clock(T0 + 90 * S), 200, NOW)
        assert audits(again.take_outputs().records(), "gap_opened") == []


class TestTimeOfReceipt:
    """Where a REST row stands that names no time."""

    @pytest.mark.parametrize(
        ("lag_s", "received_s", "stands_s"),
        [(0, 7, 7), (2, 7, 5), (20, 7, -13), (-3, 7, 7), (-3, 1, 3), (2, -1, -3), (0, -1, -1)],
    )
    def test_it_follows_the_clock_of_the_stream(
        self, lag_s: int, received_s: int, stands_s: int
    ) -> None:
        """Behind it by as much; never before the newest push, unless it was received before."""
        state = StreamState()
        state.advance(T0 - lag_s * S, T0, 1, 0, PACE)
        assert state.time_of_receipt(T0 + received_s * S) == T0 + stands_s * S

    def test_without_a_stream_it_is_the_receipt(self) -> None:
        """As on a feed whose stream names no times either."""
        assert StreamState().time_of_receipt(T0) == T0
        assert StreamState.ended(T0 - 9).time_of_receipt(T0) == T0
