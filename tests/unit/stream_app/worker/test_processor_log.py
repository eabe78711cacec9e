"""The processor: what holes of the raw log, another log and a quiet one lead to."""

from __future__ import annotations

import pytest

from schemas.errors import StateError
from schemas.records import RawItem
from stream_app.worker.processor import QUIET_ROUNDS, HoleError
from tests.support.processors import HOUR_US, TOPIC, Bench, Message, S, raw, tick, ticks


def flush_quiet(bench: Bench, now_us: int) -> None:
    """Let the timer call at a time of the wall clock."""
    bench.clock.time_us = now_us
    bench.processor.flush_quiet()


@pytest.fixture
def bench() -> Bench:
    """Fresh tables and an empty log."""
    return Bench()


class TestHoles:
    """The log is applied without a gap, or the gap is told."""

    async def stored_up_to_7(self, bench: Bench) -> None:
        """Offsets 5 to 7 applied and stored, in an earlier process."""
        await bench.feed(*ticks(5, 7))
        await bench.flush()
        bench.journal.entries.clear()
        bench.restart()

    async def test_a_hole_ends_the_process(self, bench: Bench) -> None:
        """Nothing beyond it is applied; a restart reads on from the last commit."""
        await self.stored_up_to_7(bench)
        with pytest.raises(HoleError, match="record 11 came, and 8 has not"):
            await bench.feed(*ticks(11, 11))
        await bench.flush()
        assert bench.applied() == [5, 6, 7]
        assert bench.group.committed == {(TOPIC, 0): 8}
        bench.restart()
        await bench.feed(*ticks(8, 11))
        assert bench.applied() == list(range(5, 12))

    async def test_records_that_the_log_no_longer_has_are_counted(self, bench: Bench) -> None:
        """The oldest that is there is the next one."""
        await self.stored_up_to_7(bench)
        bench.log.begins[TOPIC, 0] = 11
        await bench.feed(*ticks(11, 13))
        assert bench.applied() == [5, 6, 7, 11, 12, 13]
        assert bench.processor.counts["lost_records"] == 3

    async def test_what_is_lost_is_told_though_the_next_cannot_be_read(self, bench: Bench) -> None:
        """At Kafka's time of the record that shows it."""
        await self.stored_up_to_7(bench)
        bench.log.begins[TOPIC, 0] = 11
        await bench.feed(Message(11, b"no record"))
        (told,) = [e for e in bench.outputs.records("funding.audit") if e["kind"] == "lost_records"]
        assert (told["subject"], told["count"], told["raw_offset"]) == ("binance-usdm", 3, 11)
        assert told["first_event_time"] == told["last_event_time"] == HOUR_US + 7_500_000
        assert (told["first_offset"], told["last_offset"]) == (8, 10)

    async def test_a_restart_after_records_without_effect_sees_no_hole(self, bench: Bench) -> None:
        """Control frames change no state, but the stored offset follows the commit."""
        await bench.feed(*ticks(5, 7))
        await bench.flush()
        control: RawItem = {"symbol": None, "payload": b"{}", "received_at": HOUR_US}
        await bench.feed(*(Message(offset, raw([control], HOUR_US)) for offset in (8, 9)))
        await bench.flush()
        bench.restart()
        await bench.feed(*ticks(10, 11))
        assert bench.applied() == [5, 6, 7, 10, 11]
        assert bench.processor.counts["lost_records"] == 0

    async def test_records_that_are_gone_before_there_is_any_state_are_counted(
        self, bench: Bench
    ) -> None:
        """The group knows how far it was read, though nothing has changed any contract."""
        assert bench.processor.start_of((TOPIC, 0), 5) == 5
        bench.log.begins[TOPIC, 0] = 8
        await bench.feed(*ticks(8, 9))
        assert bench.processor.counts["lost_records"] == 3

    async def test_without_state_the_first_record_is_the_beginning(self, bench: Bench) -> None:
        """A new worker on an old log: there is no hole to speak of."""
        await bench.feed(*ticks(700, 701))
        assert bench.applied() == [700, 701]


class TestForeignLogs:
    """The log is another one than the state was made from."""

    async def test_a_topic_that_was_made_anew_is_told(self, bench: Bench) -> None:
        """Its records would pass for known ones and be skipped in silence."""
        await bench.feed(*ticks(5, 9))
        await bench.flush()
        bench.restart()
        bench.log.ends[TOPIC, 0] = 3
        with pytest.raises(StateError, match="made anew"):
            await bench.feed(*ticks(0, 1))

    async def test_a_redelivery_is_no_new_topic(self, bench: Bench) -> None:
        """Known records come again after a crash."""
        await bench.feed(*ticks(5, 9))
        await bench.flush()
        bench.restart()
        bench.log.ends[TOPIC, 0] = 10
        await bench.feed(*ticks(6, 9))


class TestQuietLogs:
    """The wall clock flushes what no batch does, at the end of the log alone."""

    @pytest.fixture
    async def owing(self, bench: Bench) -> Bench:
        """One update is owed, and offset 6 is the last of the log."""
        await bench.feed(*ticks(5, 6))
        bench.log.ends[TOPIC, 0] = 7
        return bench

    @staticmethod
    def flushed(bench: Bench) -> list[int]:
        """Raw offsets of what was emitted by a flush."""
        zscores = bench.outputs.records("funding.zscores")
        return [z["raw_offset"] for z in zscores if z["trigger"] == "flush"]

    async def test_a_quiet_partition_is_flushed(self, owing: Bench) -> None:
        """Fifteen seconds after the boundary, once, when it has been quiet for a while."""
        for _ in range(QUIET_ROUNDS + 1):
            flush_quiet(owing, HOUR_US + 25 * S - 1)
        assert self.flushed(owing) == []
        flush_quiet(owing, HOUR_US + 25 * S)
        flush_quiet(owing, HOUR_US + 26 * S)
        assert self.flushed(owing) == [6]

    async def test_after_a_pause_nothing_is_taken_for_quiet(self, owing: Bench) -> None:
        """What came while the process stood still has not been fetched: the end is an old one."""
        for _ in range(QUIET_ROUNDS):
            flush_quiet(owing, HOUR_US)
        owing.processor.forget_quiet()
        for _ in range(QUIET_ROUNDS):
            flush_quiet(owing, HOUR_US + 60 * S)
        assert self.flushed(owing) == []
        flush_quiet(owing, HOUR_US + 60 * S)
        assert self.flushed(owing) == [6]

    async def test_a_partition_with_a_backlog_is_not(self, owing: Bench) -> None:
        """The batch at the boundary is still to come, and must find what the clock would take."""
        owing.log.ends[TOPIC, 0] = 8
        for _ in range(QUIET_ROUNDS + 1):
            flush_quiet(owing, HOUR_US + 60 * S)
        assert self.flushed(owing) == []

    async def test_the_lag_is_what_the_log_has_and_nobody_applied(self, owing: Bench) -> None:
        """Summed over partitions; an unknown end counts nothing."""
        assert owing.processor.lag() == 0
        owing.log.ends[TOPIC, 0] = 10
        await owing.feed(Message(4, tick(0.1, HOUR_US, "BUSDT"), partition=1))
        assert owing.processor.lag() == 3


class TestReport:
    """What a worker says of itself once a second."""

    async def test_a_feed_is_named_while_its_stream_contradicts_its_list(
        self, bench: Bench
    ) -> None:
        """Its producer asks for the list again; 10 s after the newest contradiction it is over."""
        bench.clock.time_us = HOUR_US + 20 * S
        await bench.feed(*ticks(5, 7))
        assert bench.processor.report("w")["contradicted_feeds"] == []
        beyond_any_cap = tick(0.9, HOUR_US + 19 * S)
        await bench.feed(Message(8, beyond_any_cap))
        assert bench.processor.report("w")["contradicted_feeds"] == ["binance-usdm"]
        bench.clock.time_us = HOUR_US + 31 * S
        assert bench.processor.report("w")["contradicted_feeds"] == []
