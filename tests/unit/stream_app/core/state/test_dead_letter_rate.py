"""The alert of a partition whose items are dead letters for the most part."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.control_items import UNREADABLE
from schemas.dead_letter_rate import LETTERS_IN_A_ROW, DeadLetterRate, TotalsWatch
from schemas.records import RawItem
from schemas.times import US_PER_HOUR, US_PER_MINUTE
from stream_app.core.output.outputs import Output
from stream_app.core.partition import FeedPartition
from stream_app.normalise.binance_usdm import normalise
from tests.support.partitions import HOUR_US, NOW, T0, Partition, S, batch, clock, of, tick


def bad(at: int) -> RawItem:
    """An item that cannot be decoded."""
    return {"symbol": "BUSDT", "payload": b'{"e":1}', "received_at": at}


def mixed(partition: Partition, letters: int, good: int, at: int = T0) -> list[dict[str, Any]]:
    """Apply a record and return its alerts."""
    items = [bad(at)] * letters + [tick(f"G{number}USDT", 0.0001, at) for number in range(good)]
    return of(partition.ticks(*items, received_at=at), "alerts")


class TestShare:
    """Ten within a minute, and more than half."""

    @pytest.mark.parametrize(
        ("letters", "good", "alerts"),
        [(10, 9, 1), (10, 10, 0), (9, 0, 0), (11, 10, 1), (40, 60, 0)],
    )
    def test_of_one_record(self, new: Partition, letters: int, good: int, alerts: int) -> None:
        """Where most of what comes cannot be read."""
        assert len(mixed(new, letters, good)) == alerts

    def test_what_it_says(self, new: Partition) -> None:
        """With an id that a replay gives again."""
        (alert,) = mixed(new, 12, 4)
        message = alert.pop("message")
        assert alert == {
            "alert_id": f"dead_letters/binance-usdm/3/{HOUR_US}", "subject": "binance-usdm",
            "kind": "dead_letters", "severity": "critical", "value": 0.75, "threshold": 0.5,
            "event_time": T0, "created_at": NOW, "raw_topic": "funding.raw.binance-usdm",
            "raw_partition": 3, "raw_offset": 100, "raw_item": None,
        }  # fmt: skip
        assert message.startswith(
            "binance-usdm: 12 of 16 items of partition 3 within a minute are dead letters, "
            "the newest in normalise: "
        )
        assert len(message) <= 300

    def test_records_of_one_minute_add_up(self, new: Partition) -> None:
        """From the record of the first dead letter on; ticks of time are no items."""
        minute = T0 - T0 % US_PER_MINUTE + US_PER_MINUTE
        assert mixed(new, 0, 100, minute) == []
        told: list[dict[str, Any]] = []
        for second in range(10):
            assert told == []
            told += mixed(new, 1, 0, minute + second * S)
            new.run(clock(minute + second * S))
        assert [alert["value"] for alert in told] == [1.0]

    def test_another_minute_begins_anew(self, new: Partition) -> None:
        """One bad item now and then is a matter of the item."""
        for minute in range(30):
            assert mixed(new, 3, 1, T0 + minute * US_PER_MINUTE) == []

    def test_messages_that_could_not_be_cut_count(self, new: Partition) -> None:
        """They have no symbol, and there may be no contract yet."""
        whole: RawItem = {"symbol": None, "payload": b"<html>", "received_at": T0}
        told: list[Output] = []
        for _ in range(10):
            told += new.run(batch([whole], channel=UNREADABLE))
        assert len(of(told, "alerts")) == 1

    def test_a_bug_of_ours_counts(self, new: Partition, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every item fails in the core: nothing else says so but the dead letters."""
        failure = RuntimeError("a bug")

        def fail(*_arguments: object) -> None:
            raise failure

        monkeypatch.setattr(new._rates, "apply", fail)
        (alert,) = mixed(new, 0, 15)
        assert alert["message"].endswith("core: RuntimeError('a bug')")


class TestInARow:
    """Twenty without a good one between them, however slowly they come."""

    def test_a_slow_partition_is_told_of(self, new: Partition) -> None:
        """One item a minute is never ten a minute."""
        told: list[dict[str, Any]] = []
        for minute in range(LETTERS_IN_A_ROW):
            assert told == []
            told += mixed(new, 1, 0, T0 + minute * US_PER_MINUTE)
        (alert,) = told
        assert alert["value"] == 1.0
        assert "20 of 20 items of partition 3 in a row are dead letters" in alert["message"]

    def test_a_good_item_ends_the_row(self, new: Partition) -> None:
        """Also one that comes minutes after the last dead letter."""
        for minute in range(0, 4 * LETTERS_IN_A_ROW, 4):
            assert mixed(new, 1, 0, T0 + minute * US_PER_MINUTE) == []
            if minute % 32 == 0:
                assert mixed(new, 0, 1, T0 + (minute + 2) * US_PER_MINUTE) == []


class TestTotals:
    """The same limits by what a process has counted."""

    @pytest.mark.parametrize(
        ("letters", "good", "beyond"), [(9, 0, False), (10, 9, True), (10, 10, False)]
    )
    def test_the_share_of_a_minute(self, letters: int, good: int, beyond: bool) -> None:  # noqa: FBT001 - a case
        """For as long as that minute lasts; then only further dead letters count."""
        watch = TotalsWatch()
        assert not watch.is_beyond(T0, 0, 5_000)
        assert watch.is_beyond(T0 + S, letters, 5_000 + good) is beyond
        assert not watch.is_beyond(T0 + 2 * US_PER_MINUTE, letters, 5_000 + good)

    def test_a_row_lasts_until_a_good_one(self) -> None:
        """However long nothing comes."""
        watch = TotalsWatch()
        for number in range(LETTERS_IN_A_ROW):
            assert not watch.is_beyond(T0 + number * US_PER_MINUTE, number, 0)
        late = T0 + 2 * US_PER_HOUR
        assert watch.is_beyond(late, LETTERS_IN_A_ROW, 0)
        assert watch.is_beyond(late + US_PER_HOUR, LETTERS_IN_A_ROW, 0)
        assert not watch.is_beyond(late + US_PER_HOUR, LETTERS_IN_A_ROW, 1)

    def test_the_share_of_a_minute_that_is_over_says_nothing(self) -> None:
        """Of fewer than too many in a row, after which nothing comes at all."""
        watch = TotalsWatch()
        assert watch.is_beyond(T0, LETTERS_IN_A_ROW - 5, 0)
        assert not watch.is_beyond(T0 + US_PER_MINUTE, LETTERS_IN_A_ROW - 5, 0)
        assert not watch.is_beyond(T0 + US_PER_HOUR, LETTERS_IN_A_ROW - 5, 0)
        assert watch.is_beyond(T0 + US_PER_HOUR, LETTERS_IN_A_ROW, 0)

    def test_totals_that_begin_anew_are_no_step_back(self) -> None:
        """A feed that failed is run anew, and counts from zero."""
        watch = TotalsWatch()
        assert watch.is_beyond(T0, 30, 5)
        assert not watch.is_beyond(T0 + US_PER_MINUTE, 1, 9)


class TestOnce:
    """One an hour."""

    def test_again_in_the_next_hour(self, new: Partition) -> None:
        """Not sooner, however many there are."""
        told = [
            mixed(new, 20, 0, T0 + minute * US_PER_MINUTE)
            for minute in range(int(US_PER_HOUR / US_PER_MINUTE))
        ]
        assert [minute for minute, alerts in enumerate(told) if alerts] == [0, 44]

    def test_a_restart_counts_on(self, new: Partition) -> None:
        """What was counted, and that it was told, is state; a record that comes again is not."""
        records = [batch([bad(T0)] * 6, T0), batch([bad(T0)] * 6, T0), batch([bad(T0)] * 6, T0)]
        again: FeedPartition = new
        told = []
        for offset, record in enumerate(records, start=100):
            for _ in range(2):
                again.apply(record, offset, NOW)
                told += [offset] * len(of(again.take_outputs().records(), "alerts"))
                again.store.mark_applied(offset)
                blocks = [shard.pack() for shard in again.store.shards]
                again = FeedPartition("binance-usdm", 3, normalise, blocks)
        assert told == [101]

    def test_a_partition_that_is_sound_stores_nothing_more(self, new: Partition) -> None:
        """The count begins with a dead letter."""
        mixed(new, 0, 50)
        assert new.store.shards[0].block.letters == DeadLetterRate()
        assert msgspec.msgpack.decode(new.store.shards[0].pack())[6] == [0, 0, 0, 0, 0]
