"""The processor: outputs, then baselines, then blocks, then the commit; what a restart finds."""

from __future__ import annotations

import asyncio
import json

import pytest

from schemas.errors import UnavailableError
from schemas.records import MAX_READ_ITEMS, RawItem
from schemas.times import US_PER_HOUR
from tests.support.processors import (
    HOUR_US,
    SESSION_S,
    TOPIC,
    Bench,
    Message,
    S,
    raw,
    settled,
    tick,
    ticks,
)


@pytest.fixture
def bench() -> Bench:
    """Fresh tables and an empty log."""
    return Bench()


class TestFlush:
    """The order that makes it correct (docs/decisions/at-least-once-and-dedup.md)."""

    async def test_a_closed_bar_is_published_and_stored_before_its_block(
        self, bench: Bench
    ) -> None:
        """The table has what the topic has."""
        await bench.feed(
            Message(5, tick(0.0001, HOUR_US)),
            Message(6, tick(0.0002, HOUR_US + US_PER_HOUR + 11 * S)),
            Message(7, tick(0.0002, HOUR_US + US_PER_HOUR + 16 * S)),
        )
        await bench.flush()
        assert [bar["hour"] for bar in bench.bars.bars] == [HOUR_US]
        assert bench.outputs.records("funding.bars") == bench.bars.bars
        names = [name for name, _ in bench.journal.entries]
        assert names.index("delivered") < names.index("bars stored") < names.index("blocks stored")

    async def test_outputs_then_baselines_then_blocks_then_the_commit(self, bench: Bench) -> None:
        """Each step complete before the next begins; first it makes sure that it is a member."""
        await bench.feed(Message(5, settled(0)), Message(6, tick(0.0001, HOUR_US + S)))
        await bench.flush()
        assert bench.journal.kinds() == [
            "published",
            "committed",
            "delivered",
            "baselines stored",
            "blocks stored",
            "committed",
        ]
        assert bench.journal.of("delivered") == [3]
        assert bench.journal.of("baselines stored") == [(0, b"binance-usdm:AUSDT")]
        assert bench.journal.of("blocks stored") == [(0, b"binance-usdm/0/0")]
        assert bench.journal.of("committed") == [5, 7]

    async def test_nothing_is_committed_before_a_flush(self, bench: Bench) -> None:
        """A crash would lose it."""
        await bench.feed(*ticks(5, 9))
        assert bench.group.committed == {}

    async def test_an_undelivered_output_stops_the_flush(self, bench: Bench) -> None:
        """No state moves past outputs that the broker does not have."""
        await bench.feed(*ticks(5, 6))
        bench.outputs.error = UnavailableError("no broker")
        with pytest.raises(UnavailableError):
            await bench.flush()
        assert bench.journal.kinds() == ["published", "committed"]
        assert bench.group.committed == {(TOPIC, 0): 5}
        assert (bench.contracts.values, bench.baselines.values) == ({}, {})

    async def test_a_flush_without_changes_stores_nothing(self, bench: Bench) -> None:
        """Every second on a silent log; the group knows it all."""
        await bench.feed(*ticks(5, 5))
        await bench.flush()
        before = len(bench.journal.entries)
        await bench.flush()
        assert [kind for kind, _ in bench.journal.entries[before:]] == ["delivered"]

    async def test_what_arrives_during_a_flush_waits_for_the_next(self, bench: Bench) -> None:
        """It is in no stored block, so it must not be committed with it."""
        await bench.feed(*ticks(5, 6))
        flushing = asyncio.create_task(bench.flush())
        await bench.outputs.asked.wait()
        await bench.feed(*ticks(7, 7))
        await flushing
        assert bench.group.committed == {(TOPIC, 0): 7}
        await bench.flush()
        assert bench.group.committed == {(TOPIC, 0): 8}

    async def test_partitions_are_flushed_together(self, bench: Bench) -> None:
        """Each into its own block."""
        await bench.feed(
            Message(5, tick(0.0001, HOUR_US), partition=0),
            Message(9, tick(0.0002, HOUR_US, "BUSDT"), partition=1),
        )
        await bench.flush()
        assert sorted(bench.contracts.values) == [b"binance-usdm/0/0", b"binance-usdm/1/0"]
        assert bench.group.committed == {(TOPIC, 0): 6, (TOPIC, 1): 10}


class TestRestart:
    """The tables carry on where the last flush stood."""

    async def test_a_redelivery_after_a_restart_is_skipped(self, bench: Bench) -> None:
        """Stored, not committed: the offsets in the blocks tell. It counts as processed."""
        await bench.feed(*ticks(5, 7))
        await bench.flush()
        bench.restart()
        await bench.feed(*ticks(6, 9))
        assert bench.applied() == [5, 6, 7, 8, 9]
        await bench.flush()
        assert bench.group.committed == {(TOPIC, 0): 10}

    async def test_what_was_not_flushed_is_applied_again(self, bench: Bench) -> None:
        """Its outputs come twice, with the same coordinates."""
        await bench.feed(*ticks(5, 6))
        await bench.flush()
        await bench.feed(*ticks(7, 8))
        bench.restart()
        await bench.feed(*ticks(7, 8))
        assert bench.applied() == [5, 6, 7, 8, 7, 8]
        rates = bench.outputs.records("funding.rates")
        assert rates[2:4] == rates[4:6]

    async def test_a_partition_is_loaded_with_all_its_blocks(self, bench: Bench) -> None:
        """More contracts than one block holds, and their baselines."""
        items: list[RawItem] = [
            {
                "symbol": symbol,
                "payload": json.dumps({"symbol": symbol, "fundingIntervalHours": 4}).encode(),
                "received_at": 1,
            }
            for symbol in (f"C{index}USDT" for index in range(300))
        ]
        await bench.feed(
            Message(5, raw(items, HOUR_US, "contract", "fundingInfo")),
            Message(6, settled(0, "C299USDT")),
        )
        await bench.flush()
        bench.restart()
        bench.processor.assign(TOPIC, 0)
        (state,) = bench.processor.partitions()
        assert len(list(state.contracts)) == 300
        assert len(state.store.entries["C299USDT"].baseline) == 1

    async def test_what_waits_to_be_listed_is_stored_and_loaded(self, bench: Bench) -> None:
        """After all other blocks, though there is no other one; committed like any record."""
        symbol = "NEW_260925"
        await bench.feed(Message(5, tick(0.0001, HOUR_US, symbol)))
        await bench.flush()
        assert bench.applied() == []
        assert bench.group.committed == {(TOPIC, 0): 6}
        assert list(bench.contracts.values) == [b"binance-usdm/0/-1"]
        bench.restart()
        entry = json.dumps({"symbol": symbol, "status": "TRADING"}).encode()
        items: list[RawItem] = [{"symbol": symbol, "payload": entry, "received_at": HOUR_US + S}]
        await bench.feed(
            Message(5, tick(0.0001, HOUR_US, symbol)),
            Message(6, raw(items, HOUR_US + S, "contract", "exchangeInfo")),
        )
        assert bench.applied() == [5]
        await bench.flush()
        assert bench.journal.of("blocks stored")[-2:] == [
            (0, b"binance-usdm/0/0"),
            (0, b"binance-usdm/0/-1"),
        ]

    async def test_a_revoked_partition_is_loaded_anew(self, bench: Bench) -> None:
        """What was applied and is not durable is gone with it; the group knows nothing of it."""
        await bench.feed(*ticks(5, 6))
        bench.processor.revoke_all_but({(TOPIC, 1)})
        assert list(bench.processor.partitions()) == []
        await bench.flush()
        assert bench.group.committed == {}


class TestAssignments:
    """Where a partition is read from when the group has given it to this worker."""

    PARTITION = (TOPIC, 0)

    async def test_a_new_one_from_its_oldest_record(self, bench: Bench) -> None:
        """Or from what is committed, if another worker has read it without effect."""
        assert bench.processor.start_of(self.PARTITION, None) is None
        assert bench.processor.start_of(self.PARTITION, 40) == 40

    async def test_one_that_stays_keeps_its_state(self, bench: Bench) -> None:
        """All of it is durable, and nobody has gone on from there."""
        await bench.feed(*ticks(5, 6))
        await bench.flush()
        (state,) = bench.processor.partitions()
        assert bench.processor.start_of(self.PARTITION, 7) == 7
        assert list(bench.processor.partitions()) == [state]

    @pytest.mark.parametrize("committed", [5, 9, None])
    async def test_one_that_another_had_meanwhile_is_loaded(
        self, bench: Bench, committed: int | None
    ) -> None:
        """The group knows another offset than this worker has committed."""
        await bench.feed(*ticks(5, 6))
        await bench.flush()
        (state,) = bench.processor.partitions()
        bench.processor.start_of(self.PARTITION, committed)
        (loaded,) = bench.processor.partitions()
        assert loaded is not state

    async def test_one_with_effects_that_are_not_durable_is_loaded(self, bench: Bench) -> None:
        """They come again."""
        await bench.feed(*ticks(5, 6))
        await bench.flush()
        await bench.feed(*ticks(7, 7))
        assert bench.processor.start_of(self.PARTITION, 7) == 7
        await bench.feed(*ticks(7, 7))
        assert bench.applied() == [5, 6, 7, 7]

    async def test_state_behind_the_commit_is_brought_up_from_the_log(self, bench: Bench) -> None:
        """A worker that was replaced has overwritten a newer block with an older one."""
        await bench.feed(*ticks(5, 6))
        await bench.flush()
        older = dict(bench.contracts.values)
        await bench.feed(*ticks(7, 9))
        await bench.flush()
        bench.contracts.values.update(older)
        bench.restart()
        assert bench.processor.start_of(self.PARTITION, 10) == 7
        await bench.feed(*ticks(7, 11))
        await bench.flush()
        assert bench.group.committed == {self.PARTITION: 12}

    async def test_loaded_state_is_not_committed_before_a_record_has_come(
        self, bench: Bench
    ) -> None:
        """Of several blocks some may be older than the newest: what they miss is yet to come."""
        await bench.feed(*ticks(5, 9))
        await bench.flush()
        bench.restart()
        bench.group.committed = {self.PARTITION: 6}
        assert bench.processor.start_of(self.PARTITION, 6) == 6
        await bench.flush()
        assert bench.group.committed == {self.PARTITION: 6}


class TestMembership:
    """A worker that was replaced without knowing it writes nothing."""

    async def standing_still(self, bench: Bench, seconds: float) -> None:
        """Two records are applied and not stored when the process is stopped for a while."""
        await bench.feed(*ticks(5, 5))
        await bench.flush()
        await bench.feed(*ticks(6, 7))
        bench.journal.entries.clear()
        bench.clock.advance(seconds)
        bench.group.is_member = False

    async def test_after_its_session_it_asks_and_leaves_all_to_its_successor(
        self, bench: Bench
    ) -> None:
        """The state in memory is forgotten; the group has its word when it is joined again."""
        await self.standing_still(bench, SESSION_S)
        await bench.flush()
        assert bench.journal.kinds() == ["refused"]
        assert list(bench.processor.partitions()) == []

    async def test_after_a_silence_it_asks_and_goes_on(self, bench: Bench) -> None:
        """It is still a member: the commit of what is committed proves it."""
        await self.standing_still(bench, SESSION_S)
        bench.group.is_member = True
        await bench.flush()
        expected = ["committed", "delivered", "blocks stored", "committed"]
        assert bench.journal.kinds() == expected
        assert bench.journal.of("committed") == [6, 8]

    async def test_within_its_session_nobody_can_have_replaced_it(self, bench: Bench) -> None:
        """Its state is stored; that the commit is refused during a rebalance is no error."""
        await self.standing_still(bench, SESSION_S / 2)
        await bench.flush()
        assert bench.journal.kinds() == ["delivered", "blocks stored", "refused"]
        bench.restart()
        assert bench.processor.start_of((TOPIC, 0), 6) == 6
        await bench.feed(*ticks(6, 7))
        assert bench.applied() == [5, 6, 7]


class TestDeadLetters:
    """A record that cannot be read is told, committed and passed over."""

    @pytest.mark.parametrize("value", [b"", None, b"plain text", tick(0.1, HOUR_US)[:-1]])
    async def test_a_malformed_record_is_a_dead_letter(
        self, bench: Bench, value: bytes | None
    ) -> None:
        """With its bytes and coordinates, and the next record is applied."""
        await bench.feed(Message(5, value), *ticks(6, 6))
        (letter,) = bench.outputs.letters
        assert (letter.value, letter.stage) == (value or b"", "decode")
        assert letter[4:] == (TOPIC, 0, 5, -1)
        assert bench.applied() == [6]
        await bench.flush()
        assert bench.group.committed == {(TOPIC, 0): 7}
        assert bench.processor.counts["dead_letter"] == 1

    async def test_a_record_of_too_many_items_is_one_dead_letter(self, bench: Bench) -> None:
        """No producer makes such a record; the next one is applied."""
        item: RawItem = {"symbol": None, "payload": b"", "received_at": HOUR_US}
        value = raw([item] * (MAX_READ_ITEMS + 1), HOUR_US)
        await bench.feed(Message(5, value), *ticks(6, 6))
        (letter,) = bench.outputs.letters
        assert (letter.stage, letter.value) == ("decode", value)
        assert letter.error == f"a record of {MAX_READ_ITEMS + 1} items, more than {MAX_READ_ITEMS}"
        assert bench.applied() == [6]

    async def test_a_malformed_item_is_a_dead_letter(self, bench: Bench) -> None:
        """From within a record that is otherwise applied."""
        broken: RawItem = {"symbol": "AUSDT", "payload": b"{", "received_at": HOUR_US}
        await bench.feed(Message(5, raw([broken], HOUR_US)))
        assert [(letter.stage, letter.item) for letter in bench.outputs.letters] == [
            ("normalise", 0)
        ]
