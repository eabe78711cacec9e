"""What a partition cannot read, and what it stores."""

from __future__ import annotations

import json

import msgspec

from schemas.control_items import UNREADABLE
from schemas.records import RawItem
from stream_app.core.output.collector import MAX_ERROR_CHARS
from stream_app.core.partition import FeedPartition
from stream_app.core.scoring.zones import AlertState
from stream_app.core.state.contract_state import BLOCK_CONTRACTS, ContractBlock, ContractState
from stream_app.normalise.binance_usdm import normalise
from tests.support.partitions import (
    HOUR_US,
    NOW,
    T0,
    Partition,
    S,
    batch,
    item,
    of,
    settled,
    tick,
)


class TestDeadLetters:
    """An item that cannot be read becomes a dead letter, and the others are applied."""

    def test_a_bad_item_does_not_stop_its_batch(self, new: Partition) -> None:
        """Those before and after it are applied; it names itself."""
        bad: RawItem = {"symbol": "BUSDT", "payload": b'{"e":1}', "received_at": T0}
        outputs = new.ticks(tick("AUSDT", 0.0001, T0), bad, tick("CUSDT", 0.0001, T0))
        assert [r["symbol"] for r in of(outputs, "rates")] == ["AUSDT", "CUSDT"]
        (letter,) = new.letters
        assert (letter.key, letter.value, letter.stage) == ("BUSDT", b'{"e":1}', "normalise")
        assert letter[4:] == ("funding.raw.binance-usdm", 3, 100, 1)
        assert "MarkPrice" in letter.error

    def test_a_message_that_could_not_be_cut_is_a_dead_letter(self, new: Partition) -> None:
        """The producer hands it on whole, without a symbol."""
        whole: RawItem = {"symbol": None, "payload": b"<html>", "received_at": T0}
        assert new.run(batch([whole], channel=UNREADABLE)) == []
        (letter,) = new.letters
        assert (letter.key, letter.value, letter.stage) == (None, b"<html>", "slice")

    def test_what_a_dead_letter_says_is_bounded(self, new: Partition) -> None:
        """It travels in a header, which counts into the largest message."""
        row = {**json.loads(tick("AUSDT", 0.0001, T0)["payload"]), "e": "x" * 100_000}
        new.ticks(item(row, T0))
        assert len(new.letters[0].error) <= MAX_ERROR_CHARS
        assert len(new.letters[0].value) > 100_000


class TestState:
    """Shards, offsets and what is handed out to be stored."""

    def test_a_shard_holds_256_contracts(self, new: Partition) -> None:
        """The next contract opens another block, at the offset before its record."""
        new.ticks(*(tick(f"C{i}USDT", 0.0001, T0) for i in range(BLOCK_CONTRACTS)))
        assert len(new.store.shards) == 1
        new.ticks(tick("ONEMOREUSDT", 0.0001, T0 + S), received_at=T0 + 8 * S)
        assert [len(s.block.contracts) for s in new.store.shards] == [256, 1]
        assert new.store.shards[1].block.applied_offset == 100
        assert new.store.shards[1].block.flushed_at == T0 + 5 * S

    def test_only_what_changed_is_handed_out(self, new: Partition) -> None:
        """One block of two, and the baseline that grew; then nothing."""
        new.ticks(*(tick(f"C{i}USDT", 0.0001, T0) for i in range(BLOCK_CONTRACTS + 1)))
        new.store.take_dirty()
        new.settle(settled("C256USDT", 0.0001, HOUR_US))
        blocks, baselines = new.store.take_dirty()
        assert [index for index, _ in blocks] == [1]
        assert [contract for contract, _ in baselines] == ["binance-usdm:C256USDT"]
        assert new.store.take_dirty() == ([], [])

    def test_a_duplicate_changes_nothing_but_the_audit(self, new: Partition) -> None:
        """It is counted, and that is stored."""
        new.ticks(tick("AUSDT", 0.0001, T0))
        ((_, before),), _ = new.store.take_dirty()
        new.ticks(tick("AUSDT", 0.0001, T0))
        ((_, after),), _ = new.store.take_dirty()
        assert ContractBlock.unpack(after).contracts == ContractBlock.unpack(before).contracts
        assert [(a.kind, a.count) for a in ContractBlock.unpack(after).audits] == [("duplicate", 1)]

    def test_a_block_carries_the_offset_that_it_applied(self, new: Partition) -> None:
        """Where none changed the newest carries it; never an earlier offset than before."""
        new.ticks(tick("AUSDT", 0.0001, T0))
        new.store.mark_applied(100)
        new.store.take_dirty()
        new.store.mark_applied(555)
        assert new.store.applied_offset == 555
        assert len(new.store.take_dirty()[0]) == 1
        new.ticks(tick("AUSDT", 0.0002, T0 + S))
        new.store.mark_applied(42)
        assert new.store.applied_offset == 555
        new.store.mark_applied(556)
        assert new.store.applied_offset == 556

    def test_a_partition_without_contracts_has_applied_nothing(self, new: Partition) -> None:
        """−1, so the log is read from wherever the group stands."""
        assert new.store.applied_offset == -1

    def test_a_redelivery_is_skipped_by_the_shard_that_has_applied_it(self, new: Partition) -> None:
        """Its neighbour, stored earlier, applies the same record."""
        first = batch([tick(f"C{i}USDT", 0.0001, T0) for i in range(BLOCK_CONTRACTS + 1)])
        second = batch([tick("C0USDT", 0.0005, T0 + S), tick("C256USDT", 0.0006, T0 + S)])
        new.run(first)
        new.store.mark_applied(100)
        (_, old_0), (_, old_1) = new.store.take_dirty()[0]
        new.run(second)
        new.store.mark_applied(101)
        (_, new_0), _new_1 = new.store.take_dirty()[0]
        assert new_0 != old_0

        torn = FeedPartition("binance-usdm", 3, normalise, [new_0, old_1])
        torn.apply(second, 101, NOW)
        outputs = torn.take_outputs().records()
        assert [r["symbol"] for r in of(outputs, "rates")] == ["C256USDT"]
        assert torn.counts["redelivered"] == 1
        assert {c.symbol: c.rate for c in torn.contracts if c.updates == 2} == {
            "C0USDT": 0.0005,
            "C256USDT": 0.0006,
        }

    def test_state_without_alerts_and_pushes_is_read(self, new: Partition) -> None:
        """As a version wrote it that had neither: nothing was told, and no z was there yet."""
        new.ticks(tick("AUSDT", 0.0001, T0))
        ((_, stored),), _ = new.store.take_dirty()
        fields = msgspec.msgpack.decode(stored)
        known = ContractState.__struct_fields__.index("alerts")
        fields[3] = [contract[:known] for contract in fields[3]]
        (contract,) = ContractBlock.unpack(msgspec.msgpack.encode(fields)).contracts
        assert (contract.rate, contract.sign) == (0.0001, 0)
        assert (contract.alerts, contract.pushes) == (AlertState(), [])

    def test_an_empty_baseline_is_as_none(self, new: Partition) -> None:
        """A contract without settlements is emitted the same before and after a restart."""
        new.ticks(tick("AUSDT", 0.00010, T0))
        new.facts({"symbol": "AUSDT", "fundingIntervalHours": 8}, "fundingInfo")
        new.store.mark_applied(101)
        restored = FeedPartition(
            "binance-usdm", 3, normalise, [b for _, b in new.store.take_dirty()[0]]
        )
        records = []
        for partition in (new, restored):
            partition.apply(batch([tick("AUSDT", 0.0002, T0 + S)]), 102, NOW)
            records.append(of(partition.take_outputs().records(), "zscores"))
        assert records[0] == records[1]
        assert len(records[0]) == 1
