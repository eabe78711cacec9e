"""Blocks of contracts: what is stored comes back whole, or is refused."""

from __future__ import annotations

import msgspec
import pytest

from schemas.audit_facts import AuditCause, AuditFacts
from schemas.audit_kinds import AuditKind
from schemas.dead_letter_rate import DeadLetterRate
from schemas.errors import StateError
from schemas.feeds import FEEDS
from schemas.records import MAX_CHANNEL_BYTES
from schemas.symbols import MAX_NAME_BYTES, MAX_SYMBOL_BYTES
from schemas.topics import MAX_MESSAGE_BYTES
from stream_app.core.monitoring.reconciliation import KEPT_ESTIMATES
from stream_app.core.scoring.interval_evidence import (
    MAX_STATEMENTS,
    IntervalEvidence,
    Listed,
    Stated,
)
from stream_app.core.scoring.zones import CROSSINGS, AlertState, Excursion
from stream_app.core.state.audit_counts import MAX_DETAIL_BYTES, MAX_ENTRIES, AuditCount
from stream_app.core.state.bars import MAX_HELD, BarState, Held, OpenBar
from stream_app.core.state.clock_skew import MAX_SKEWED
from stream_app.core.state.contract_state import (
    BLOCK_CONTRACTS,
    MAX_LIVES,
    VERSION,
    VERSION_WITH_ROWS,
    ContractBlock,
    ContractState,
    Doubt,
    Estimate,
    block_key,
)
from stream_app.core.state.gaps import StreamState
from stream_app.core.state.hot_rows import (
    BAR_DOUBLES,
    BAR_LONGS,
    BAR_OPTIONALS,
    CONTRACT_DOUBLES,
    CONTRACT_LONGS,
    HELD_FIELDS,
    OPTIONAL_DOUBLES,
    STREAM_LONGS,
    HotRows,
)
from stream_app.core.state.market_facts import MarketFacts
from stream_app.core.state.pushes import MAX_CONNECTIONS, REMEMBERED, Push
from stream_app.core.state.waiting_room import (
    MAX_WAITING_BYTES,
    MAX_WAITING_ITEMS,
    MAX_WAITING_SYMBOLS,
    WaitingItem,
)

CONTRACT = ContractState(
    symbol="币安人生USDT",
    contract_id="binance-usdm:币安人生USDT",
    base="币安人生",
    quote="USDT",
    multiplier=2.0,
    status="TRADING",
    listed_interval_hours=4.0,
    rate_cap=0.03,
    rate_floor=-0.02,
    backfilling=True,
    event_time=11,
    received_at=12,
    rate=0.13,
    interval_hours=14.0,
    interval_source="observed",
    mark_price=15.0,
    index_price=16.0,
    next_funding_time=17,
    transport="rest",
    raw_offset=18,
    raw_item=19,
    updates=20,
    emitted_updates=9,
    emitted_rate=0.22,
    emitted_z=-2.3,
    sign=-1,
    bars=BarState(
        held=[Held(24, 0.25, 2.6, None, "ws"), Held(27, 0.28, None, 29.0, "rest")],
        counted_from=30,
        bar=OpenBar(31, 0.32, 0.33, 0.34, 0.35, 0.36, 0.37, 38, 39, 40, -4.1, 4.2, 4.3, 44.0),
        closed_to=45,
        late_updates=46,
    ),
    stream=StreamState(60, 61, 62, 63, opened=True, filled_us=64, filled_to=65, fills=66),
    skewed=[(67, 68), (69, 70)],
    estimates=[Estimate(71, 0.72, 7.3)],
)


def test_a_block_comes_back_as_it_was() -> None:
    """Every field of every contract, and the offsets."""
    audit = AuditCount("f:A", "late", 51, 52, 53, 54, "why", 55, 56)
    block = ContractBlock(VERSION, 41, 42, [CONTRACT, ContractState("A", "f:A", "A", "")], [audit])
    assert ContractBlock.unpack(block.pack()) == block


def test_a_new_block_has_applied_nothing() -> None:
    """No contract, no offset, no flush."""
    assert ContractBlock.new() == ContractBlock(VERSION, -1, 0, [])


def test_new_contracts_share_no_memory_of_updates() -> None:
    """Each has its own list."""
    first, second = ContractState("A", "f:A", "A", ""), ContractState("B", "f:B", "B", "")
    first.bars.held.append(Held(1, 0.1, None, None, "ws"))
    first.skewed.append((1, 2))
    first.stream.fills = 3
    assert (second.bars.held, second.skewed, second.stream.fills) == ([], [], 0)


def test_a_block_without_the_newest_fields_is_read() -> None:
    """Fields are only appended, so what an earlier version stored has fewer of them."""
    old = [VERSION, 7, 8, [["A", "f:A", "A", "USDT", 1.0, "TRADING"]]]
    (contract,) = ContractBlock.unpack(msgspec.msgpack.encode(old)).contracts
    assert (contract.status, contract.updates, contract.bars.held) == ("TRADING", 0, [])
    assert (contract.stream, contract.skewed, contract.estimates) == (StreamState(), [], [])


def test_a_newer_version_is_refused() -> None:
    """Whatever its layout is."""
    with pytest.raises(StateError, match="newer fundingstream"):
        ContractBlock.unpack(msgspec.msgpack.encode([VERSION_WITH_ROWS + 1, "another layout"]))


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\xc1", b"\x90", b"\x01", b"\x80", b"\xc0"),
        msgspec.msgpack.encode([VERSION]),
        msgspec.msgpack.encode([VERSION, 1, 2, [["A"]]]),
        msgspec.msgpack.encode([VERSION, 1, 2, "no contracts"]),
        msgspec.msgpack.encode(["1", 1, 2, []]),
        ContractBlock(VERSION, 1, 2, [CONTRACT]).pack()[:-3],
    ],
    ids=lambda data: repr(data[:12]),
)
def test_a_damaged_block_is_refused(data: bytes) -> None:
    """State that cannot be read is an error, never an empty state."""
    with pytest.raises(StateError, match="damaged"):
        ContractBlock.unpack(data)


def test_a_contract_owes_what_it_has_not_emitted() -> None:
    """Updates beyond those at the last emission."""
    contract = ContractState("A", "f:A", "A", "")
    owed = []
    for contract.updates, contract.emitted_updates in ((0, 0), (3, 0), (3, 2), (3, 3)):
        owed.append(contract.owes)
    assert owed == [False, True, True, False]


def test_a_key_names_feed_partition_and_shard() -> None:
    """One place in the table for each block."""
    assert block_key("binance-usdm", 3, 1) == b"binance-usdm/3/1"
    assert len({block_key("f", p, s) for p in range(12) for s in range(12)}) == 144


BIG = 2**62
RATE = 0.123456789
RECORD_OVERHEAD_BYTES = 4_096
"""Key, headers and framing of a record."""


def largest_contract() -> ContractState:
    """Every field as large as it can be."""
    symbol, name = "X" * MAX_SYMBOL_BYTES, "N" * MAX_NAME_BYTES
    held = [Held(BIG, RATE, RATE, RATE, "rest", RATE)] * (MAX_HELD + 1)
    bar = OpenBar(
        *(BIG, RATE, RATE, RATE, RATE, RATE, RATE, BIG, BIG, BIG),
        *(RATE, RATE, RATE, RATE, RATE),
    )
    return ContractState(
        symbol=symbol,
        contract_id=f"{max(FEEDS, key=len)}:{symbol}",
        base=name,
        quote=name,
        multiplier=RATE,
        status=name,
        listed_interval_hours=RATE,
        rate_cap=RATE,
        rate_floor=RATE,
        backfilling=True,
        event_time=BIG,
        received_at=BIG,
        rate=RATE,
        interval_hours=RATE,
        interval_source="exchange_info",
        mark_price=RATE,
        index_price=RATE,
        next_funding_time=BIG,
        transport="rest",
        raw_offset=BIG,
        raw_item=BIG,
        updates=BIG,
        emitted_updates=BIG,
        emitted_rate=RATE,
        emitted_z=RATE,
        sign=-1,
        bars=BarState(held, BIG, bar, BIG, BIG),
        stream=StreamState(
            *(BIG, BIG, BIG, BIG),
            opened=True,
            filled_us=BIG,
            filled_to=BIG,
            fills=BIG,
            lag_us=BIG,
            due_since=BIG,
            awaited=True,
        ),
        skewed=[(BIG, BIG)] * MAX_SKEWED,
        estimates=[Estimate(BIG, RATE, RATE)] * KEPT_ESTIMATES,
        listed_by=(BIG, BIG),
        alerts=AlertState(-3.0, [Excursion(-3.0, BIG, BIG, told=True)] * len(CROSSINGS), BIG),
        pushes=[Push(BIG, RATE, RATE, RATE, RATE, [BIG] * MAX_CONNECTIONS)] * REMEMBERED,
        evidence=IntervalEvidence(
            [Listed(BIG, BIG, RATE)] * MAX_STATEMENTS,
            [Stated(BIG, BIG, RATE, BIG)] * MAX_STATEMENTS,
        ),
        interval_doubtful=True,
        passed_funding_time=BIG,
        halted=True,
        listed_at=BIG,
        lives=[BIG] * MAX_LIVES,
        status_since=BIG,
        doubt=Doubt(BIG, BIG, RATE),
        beyond_since=BIG,
        facts=MarketFacts("n" * MAX_NAME_BYTES, RATE, BIG, RATE, BIG, BIG),
    )


def test_the_largest_block_fits_into_a_record() -> None:
    """Whatever exchanges send: else no restart could ever store it."""
    contract = largest_contract()
    subject, detail = contract.contract_id, "d" * MAX_DETAIL_BYTES
    facts = AuditFacts(
        cause=AuditCause.NO_STREAM_RATE,
        from_state="n" * MAX_NAME_BYTES,
        to_state="n" * MAX_NAME_BYTES,
        rate=RATE,
        other_rate=RATE,
        tolerance=RATE,
        from_interval_hours=RATE,
        to_interval_hours=RATE,
        shift_s=RATE,
    )
    kind = AuditKind.SETTLEMENT_DIFFERS
    audit = AuditCount(subject, kind, BIG, BIG, BIG, BIG, detail, BIG, BIG, facts)
    block = ContractBlock(
        *(VERSION, BIG, BIG),
        contracts=[contract] * BLOCK_CONTRACTS,
        audits=[audit] * (MAX_ENTRIES + 1),
        mismatch_hour=BIG,
        letters=DeadLetterRate(BIG, BIG, BIG, BIG, BIG),
    )
    waiting = WaitingItem(
        *(contract.symbol, BIG, BIG, BIG, "reconcile", "rest"),
        channel="c" * MAX_CHANNEL_BYTES,
        payload=b"x" * (MAX_WAITING_BYTES // MAX_WAITING_ITEMS),
        connection=BIG,
    )
    unlisted = ContractBlock(
        *(VERSION, BIG, BIG),
        contracts=[],
        audits=[audit] * (MAX_ENTRIES + 1),
        is_unlisted=True,
        waiting=[waiting] * (MAX_WAITING_SYMBOLS * MAX_WAITING_ITEMS),
        cap_hour=BIG,
    )
    assert len(msgspec.structs.fields(ContractBlock)) == 11, (
        "a new field is to be bounded here, too"
    )
    assert len(msgspec.structs.fields(ContractState)) == 43, (
        "a new field is to be bounded here, too"
    )
    for largest in (block.pack(), unlisted.pack(), packed_with_rows(block)):
        assert len(largest) < MAX_MESSAGE_BYTES - RECORD_OVERHEAD_BYTES


def packed_with_rows(block: ContractBlock) -> bytes:
    """A block all of whose contracts are in their rows, with all that they may hold."""
    contract = block.contracts[0]
    contract.bars.held, contract.bars.bar = [], None
    count = len(block.contracts)
    rows = HotRows(
        list(range(count)),
        {name: bytes(8 * count) for name in (*CONTRACT_LONGS, "next_funding_time", "counted_from")},
        {name: bytes(8 * count) for name in (*CONTRACT_DOUBLES, *OPTIONAL_DOUBLES)},
        {name: bytes(8 * count) for name in STREAM_LONGS},
        {name: bytes(8 * count) for name in BAR_LONGS},
        {name: bytes(8 * count) for name in (*BAR_DOUBLES, *BAR_OPTIONALS)},
        [MAX_HELD] * count,
        bytes(8 * HELD_FIELDS * MAX_HELD * count),
    )
    return block.pack_with([msgspec.Raw(msgspec.msgpack.encode(contract))] * count, rows)
