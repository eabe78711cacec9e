"""Pages of settled history: what is applied together, and what is not."""

from __future__ import annotations

from typing import Any

from schemas.control_items import BACKFILL_BEGIN
from schemas.records import RawItem
from schemas.serde.raw_frames import RawFrame
from schemas.times import US_PER_HOUR
from stream_app.core.feed_pass import Placed, apply_records
from stream_app.core.output.outputs import EncodedRecords
from stream_app.core.scoring.settlement import Change, Settled
from stream_app.core.state.contract_state import BLOCK_CONTRACTS
from stream_app.core.state.contract_store import ContractEntry
from tests.support.partitions import (
    HOUR_US,
    NOW,
    T0,
    Partition,
    audits,
    batch,
    item,
    know,
    of,
    settled,
    tick,
)

S = 1_000_000
ALONE = 4
"""The first settlements of a contract, which show its interval."""


def is_resident(entry: ContractEntry) -> bool:
    """Whether a contract is in its row now."""
    return entry.resident


def page(symbol: str, rows: int, newest: int = 0) -> list[RawItem]:
    """Settlements every eight hours, the newest so many intervals before HOUR_US."""
    return [
        settled(symbol, 0.0001 + age % 3 * 1e-5, HOUR_US - age * 8 * US_PER_HOUR)
        for age in range(newest + rows - 1, newest - 1, -1)
    ]


def history(items: list[RawItem]) -> Any:
    """A record of the history."""
    return batch(items, purpose="history", channel="fundingRate", transport="rest")


def apply(partition: Partition, raw: Any) -> list[int]:
    """Apply a record; return how many settlements were published together, each time."""
    know(partition, raw, partition.offset)
    partition.apply(raw, partition.offset, NOW)
    partition.offset += 1
    others = partition.take_outputs().others
    return [len(other.values) for other in others if isinstance(other, EncodedRecords)]


def test_a_page_is_published_together(new: Partition) -> None:
    """Once the first rows have shown the interval."""
    assert apply(new, history(page("AUSDT", 30))) == [30 - ALONE]
    assert new.counts["settlement"] == 30
    assert len(new.store.entries["AUSDT"].baseline) == 30


def test_a_page_of_many_contracts_is_published_together(new: Partition) -> None:
    """In the order of time, as some exchanges send it."""
    symbols = [f"{letter}USDT" for letter in "ABCDE"]
    apply(new, history([row for symbol in symbols for row in page(symbol, 10, newest=3)]))
    rows = [row for rows in zip(*(page(s, 3) for s in symbols), strict=True) for row in rows]
    assert apply(new, history(rows)) == [15]


def test_rows_before_a_known_settlement_are_published_together(new: Partition) -> None:
    """As where the stream has shown the newest one before its history is loaded.

    The row beside it is not: it tells the interval of the known one for certain.
    """
    apply(new, history(page("AUSDT", 1)))
    assert apply(new, history(page("AUSDT", 40, newest=1))) == [36]
    assert new.counts["settlement_found"] == 40 - 1


def test_what_is_known_is_not_published_again(new: Partition) -> None:
    """A page that comes a second time is counted."""
    apply(new, history(page("AUSDT", 30)))
    assert new.settle(*page("AUSDT", 30)) == []
    assert new.counts["settlement_known"] == 30


def test_rows_that_are_applied_alone_are_so_in_their_order(new: Partition) -> None:
    """Whichever contract they are of."""
    for symbol in ("AUSDT", "BUSDT", "CUSDT"):
        apply(new, history(page(symbol, 8, newest=4)))
    pages = (page(symbol, 3) for symbol in ("CUSDT", "AUSDT", "BUSDT"))
    rows = [row for rows in zip(*pages, strict=True) for row in rows]
    odd = {"fundingTime": HOUR_US // 1_000, "fundingRate": "much"}
    for position in (1, 3, 8, 5):
        rows[position] = item({"symbol": rows[position]["symbol"], **odd}, T0)
    new.settle(*rows)
    assert [letter.item for letter in new.letters] == [1, 3, 5, 8]
    assert new.counts["settlement"] == 3 * 8 + 5


def test_corrections_of_stored_state_come_first(new: Partition) -> None:
    """They are published with the next message of their contract."""
    apply(new, history(page("AUSDT", 10, newest=3)))
    entry = new.store.entries["AUSDT"]
    before = entry.baseline.settled[0]
    entry.corrections = [Change(before._replace(interval_hours=4.0), before)]
    records = of(new.settle(*page("AUSDT", 3)), "settlements")
    assert [record["interval_hours"] for record in records] == [4.0, 8.0, 8.0, 8.0]


def test_a_settlement_is_compared_with_its_estimate(new: Partition) -> None:
    """So its row is applied alone."""
    apply(new, history(page("AUSDT", 30, newest=1)))
    at = HOUR_US - 2 * S
    new.ticks(tick("AUSDT", 0.0001, at, coming=HOUR_US), received_at=at)
    new.ticks(tick("AUSDT", 0.00012, T0), received_at=T0)
    new.settle(*page("AUSDT", 3))
    later = batch([tick("AUSDT", 0.00012, T0 + 90 * S)], T0 + 90 * S)
    assert ("binance-usdm", "settled_matched", 1, "") in audits(new.run(later))


def stream(partition: Partition, at: int) -> None:
    """Apply a frame as a worker does."""
    frame = RawFrame.of(batch([tick(f"{a}USDT", 0.0001, at) for a in "ABCDEF"], at))
    apply_records(partition.columns, {partition: [Placed(partition.offset, frame)]}, NOW)
    partition.offset += 1
    partition.take_outputs()


def streaming(partition: Partition) -> None:
    """Bring contracts into their rows of the columns."""
    for letter in "ABCDEF":
        symbol = f"{letter}USDT"
        partition.facts({"symbol": symbol, "fundingIntervalHours": 8}, "fundingInfo")
        partition.facts({"symbol": symbol, "status": "TRADING"}, "exchangeInfo")
    for second in range(4):
        stream(partition, T0 + second * S)


def test_history_leaves_a_contract_in_its_row_while_it_is_not_scored(new: Partition) -> None:
    """Else each page would cost the stream of all its contracts."""
    streaming(new)
    new.mark("AUSDT", BACKFILL_BEGIN)
    apply(new, history(page("AUSDT", 8, newest=3)))
    stream(new, T0 + 5 * S)
    stream(new, T0 + 6 * S)
    entry = new.store.entries["AUSDT"]
    assert entry.resident
    assert apply(new, history(page("AUSDT", 3))) == [3]
    assert entry.resident


def test_history_of_a_scored_contract_is_judged_by_at_once(new: Partition) -> None:
    """Its rates are scored against the new settlements."""
    streaming(new)
    apply(new, history(page("AUSDT", 12, newest=3)))
    stream(new, T0 + 5 * S)
    stream(new, T0 + 6 * S)
    entry = new.store.entries["AUSDT"]
    assert is_resident(entry)
    apply(new, history(page("AUSDT", 3)))
    assert not is_resident(entry)
    entry.refresh(T0)
    assert entry.stats is not None
    assert entry.stats.samples == 15


def test_the_blocks_of_all_contracts_are_stored(new: Partition) -> None:
    """With the baselines: a baseline that is ahead of its block is cut when it is loaded."""
    symbols = [f"A{number:03d}USDT" for number in range(BLOCK_CONTRACTS + 1)]
    apply(new, history([row for symbol in symbols for row in page(symbol, 5, newest=1)]))
    new.store.mark_applied(new.offset - 1)
    new.take_dirty()
    apply(new, history([*page(symbols[0], 1), *page(symbols[1], 1), *page(symbols[-1], 1)]))
    new.store.mark_applied(new.offset - 1)
    blocks, baselines = new.take_dirty()
    assert [index for index, _ in blocks] == [0, 1]
    assert len(baselines) == 3


def test_a_payload_of_another_contract_is_not_taken(new: Partition) -> None:
    """Nor one of the future, nor one beyond any rate."""
    apply(new, history(page("AUSDT", 10, newest=4)))
    rows = page("AUSDT", 4)
    rows[1] = {**rows[1], "payload": rows[1]["payload"].replace(b"AUSDT", b"BUSDT")}
    rows[3] = settled("AUSDT", 0.5, HOUR_US)
    new.settle(*rows)
    assert [letter.item for letter in new.letters] == [1, 3]
    known = new.store.entries["AUSDT"].baseline
    assert isinstance(known.known(HOUR_US - 8 * US_PER_HOUR), Settled)
    assert known.known(HOUR_US) is None
