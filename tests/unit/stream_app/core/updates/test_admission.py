"""Symbols from outside: a contract exists when it is listed, and what is not listed is bounded."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.control_items import BACKFILL_BEGIN, BACKFILL_END
from schemas.records import RawItem
from schemas.times import US_PER_HOUR, US_PER_MINUTE
from stream_app.core.partition import FeedPartition
from stream_app.core.state.contract_state import ContractBlock
from stream_app.core.state.waiting_room import MAX_WAITING_ITEMS, MAX_WAITING_SYMBOLS, WAITING_US
from stream_app.normalise.binance_usdm import normalise
from tests.support.partitions import (
    HOUR_US,
    NOW,
    T0,
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


class Strict(FeedPartition):
    """A partition that knows no contract that was not listed, given the next offset each time."""

    def __init__(self, blocks: tuple[bytes, ...] = (), offset: int = 100) -> None:
        super().__init__(FEED, 3, normalise, blocks)
        self.offset = offset

    def run(self, raw: Any) -> list[Any]:
        """Apply a record; its outputs, rates first."""
        self.apply(raw, self.offset, NOW)
        self.offset += 1
        taken = self.take_outputs()
        self.letters = list(taken.dead_letters)
        return taken.records()

    def listing(self, *symbols: str, at: int = T0, **more: Any) -> list[Any]:
        """Apply an exchangeInfo reply of trading contracts."""
        rows = [{"symbol": s, "status": "TRADING", "baseAsset": s[:1], **more} for s in symbols]
        items = [item(row, at) for row in rows]
        return self.run(batch(items, at, "contract", "exchangeInfo", "rest"))

    def stored(self) -> Strict:
        """The partition as a new process finds it after a flush."""
        self.store.mark_applied(self.offset - 1)
        return Strict(tuple(shard.pack() for shard in self.store.all_shards), self.offset)

    letters: list[Any]


@pytest.fixture
def strict() -> Strict:
    """It knows nothing."""
    return Strict()


def rates(outputs: list[Any]) -> list[tuple[str, float, int, int]]:
    """Symbol, rate and raw place of the rates."""
    return [(r["symbol"], r["rate"], r["raw_offset"], r["raw_item"]) for r in of(outputs, "rates")]


class TestListing:
    """What makes a contract."""

    def test_a_frame_makes_none(self, strict: Strict) -> None:
        """Nor does a snapshot, a settlement, a mark, or a fact that is not of the list."""
        marker: RawItem = {"symbol": "AUSDT", "payload": b"", "received_at": T0}
        funding = item({"symbol": "AUSDT", "fundingIntervalHours": 4}, T0)
        for raw in (
            batch([tick("AUSDT", 0.0001, T0)]),
            snapshot(("AUSDT", 0.0001, T0), received_at=T0),
            snapshot(("AUSDT", 0.0001, T0), received_at=T0, purpose="reconcile"),
            batch([settled("AUSDT", 0.0001, HOUR_US)], T0, "history", "fundingRate", "rest"),
            batch([marker], T0, "history", BACKFILL_BEGIN, "rest"),
            batch([marker], T0, "history", BACKFILL_END, "rest"),
            batch([funding], T0, "contract", "fundingInfo", "rest"),
        ):
            outputs = strict.run(raw)
            assert [o.topic.name for o in outputs if o.topic.name != "funding.audit"] == []
        assert list(strict.contracts) == []
        assert strict.letters == []

    def test_the_list_does(self, strict: Strict) -> None:
        """An entry with a status; then it streams."""
        strict.listing("AUSDT")
        assert rates(strict.run(batch([tick("AUSDT", 0.0001, T0)]))) == [("AUSDT", 0.0001, 101, 0)]
        strict.run(batch([item({"symbol": "BUSDT"}, T0)], T0, "contract", "exchangeInfo", "rest"))
        assert [c.symbol for c in strict.contracts] == ["AUSDT"]

    def test_what_state_knows_goes_on_without_a_list(self, strict: Strict) -> None:
        """The list is down while the worker starts anew."""
        strict.listing("AUSDT")
        again = strict.stored()
        assert len(rates(again.run(batch([tick("AUSDT", 0.0001, T0)])))) == 1


class TestWaiting:
    """What streams before the list knows it."""

    def test_what_waited_is_applied_in_its_own_place(self, strict: Strict) -> None:
        """Over a restart; in order, with its receipt and coordinates, by the facts of the list."""
        for second in range(2):
            at = T0 + second * S
            strict.run(batch([tick("OUSDT", 0.5, at), tick("NUSDT", 0.0001 + second / 1e6, at)]))
        again = strict.stored()
        outputs = again.listing("NUSDT", at=T0 + 9 * S, quoteAsset="USDX")
        assert rates(outputs) == [("NUSDT", 0.0001, 100, 1), ("NUSDT", 0.000101, 101, 1)]
        first, second_rate = of(outputs, "rates")
        assert (first["received_at"], first["event_time"]) == (T0 + 2_000, T0)
        assert (first["base"], first["quote"], first["transport"]) == ("N", "USDX", "ws")
        assert second_rate["received_at"] == T0 + S + 2_000
        (contract,) = again.contracts
        assert (contract.updates, contract.status, contract.raw_offset) == (2, "trading", 101)
        assert {i.symbol for i in again.store.unlisted.waiting.items()} == {"OUSDT"}

    def test_no_gap_is_made_up_where_all_of_it_came(self, strict: Strict) -> None:
        """The stream goes on behind what waited."""
        for second in range(3):
            strict.run(batch([tick("NUSDT", 0.0001, T0 + second * S)], T0 + second * S))
        strict.listing("NUSDT", at=T0 + 3 * S)
        for second in range(3, 90):
            at = T0 + second * S
            outputs = strict.run(batch([tick("NUSDT", 0.0001, at)], at))
            assert audits(outputs, "gap_opened", "gap_closed", "missed") == []

    def test_all_that_came_is_applied_or_counted(self, strict: Strict) -> None:
        """The newest few; the others are one audit event of the feed."""
        sent = MAX_WAITING_ITEMS + 5
        for second in range(sent):
            strict.run(batch([tick("NUSDT", 0.0001, T0 + second * S)], T0 + second * S))
        outputs = strict.listing("NUSDT", at=T0 + sent * S)
        assert len(rates(outputs)) == MAX_WAITING_ITEMS
        told = audits(strict.run(clock(T0 + 3 * US_PER_MINUTE)), "unlisted")
        assert told == [(FEED, "unlisted", 5, "NUSDT is not in the exchange's list")]
        assert (strict.counts["waiting"], strict.counts["unlisted"]) == (sent, 5)

    def test_what_is_never_listed_is_dropped_in_time(self, strict: Strict) -> None:
        """By the log's time, so that a replay drops the same."""
        strict.run(batch([tick("NUSDT", 0.0001, T0)]))
        strict.run(clock(T0 + WAITING_US))
        assert len(strict.store.unlisted.waiting.items()) == 1
        strict.run(clock(T0 + WAITING_US + 2 * S + 2_000))
        assert strict.store.unlisted.waiting.items() == []
        told = audits(strict.run(clock(T0 + WAITING_US + 2 * US_PER_MINUTE)), "unlisted")
        assert told == [(FEED, "unlisted", 1, "NUSDT is not in the exchange's list")]
        assert rates(strict.listing("NUSDT")) == []

    def test_a_bug_met_by_one_that_waited_costs_no_other(self, strict: Strict) -> None:
        """As of any other item; the listing stands."""
        strict.run(batch([tick("NUSDT", 0.0001, T0), tick("NUSDT", 0.0002, T0 + S)]))
        placed = strict._rates._placed
        strict._rates._placed = lambda *args: 1 / 0 if args[1].rate == 0.0001 else placed(*args)  # type: ignore[assignment,method-assign]
        assert rates(strict.listing("NUSDT")) == [("NUSDT", 0.0002, 100, 1)]
        assert [(letter.stage, letter.offset, letter.item) for letter in strict.letters] == [
            ("core", 100, 0)
        ]

    def test_an_older_program_s_blocks_have_nobody_waiting(self) -> None:
        """Fields are only appended."""
        old: Any = msgspec.msgpack.encode([1, 7, 8, []])
        assert ContractBlock.unpack(old).waiting == []
        assert ContractBlock.unpack(old).cap_hour == 0


class TestForged:
    """What can be no symbol."""

    @pytest.mark.parametrize("symbol", ["", " ", "A\x00B", "BTC\u202eTDSU", "<b>", "X" * 1_000_000])
    def test_it_is_a_dead_letter_without_a_key(self, strict: Strict, symbol: str) -> None:
        """Counted of the feed; nothing that is kept has it, listed or not."""
        update = tick("AUSDT", 0.0001, T0)
        entry = item({"symbol": "AUSDT", "status": "TRADING"}, T0)
        update["symbol"] = entry["symbol"] = symbol
        for raw in (batch([update]), batch([entry], T0, "contract", "exchangeInfo")):
            assert strict.run(raw) == []
            (letter,) = strict.letters
            assert (letter.key, letter.stage) == (None, "symbol")
        assert list(strict.contracts) == []
        ((subject, _, count, detail),) = audits(strict.run(clock(T0 + US_PER_MINUTE)))
        assert (subject, count) == (FEED, 2)
        assert len(detail) < 60
        assert sum(len(shard.pack()) for shard in strict.store.all_shards) < 1_000

    @pytest.mark.parametrize("field", ["baseAsset", "quoteAsset", "status"])
    @pytest.mark.parametrize("text", ["X" * 65, "B\u202eTC"])
    def test_names_in_facts_are_bounded(self, strict: Strict, field: str, text: str) -> None:
        """A contract with such a fact is not listed."""
        row = {"symbol": "AUSDT", "status": "TRADING", field: text}
        strict.run(batch([item(row, T0)], T0, "contract", "exchangeInfo", "rest"))
        assert list(strict.contracts) == []
        assert [letter.stage for letter in strict.letters] == ["normalise"]

    def test_state_of_an_older_program_is_rid_of_them(self, strict: Strict) -> None:
        """Bad symbols in the state of an older version are removed and counted; other contracts
        stay.
        """
        strict.listing("AUSDT", "BUSDT")
        strict.run(batch([tick("AUSDT", 0.0001, T0), tick("AUSDT", 0.0002, T0)]))
        stored = strict.stored()
        block = stored.store.shards[0].block
        block.contracts[1].symbol = "B" * 1_000_000
        block.contracts[1].contract_id = f"{FEED}:{'B' * 1_000_000}"
        block.contracts[0].base = "A" * 1_000_000
        block.audits[0].subject = f"{FEED}:{'B' * 1_000_000}"
        again = Strict((block.pack(),), stored.offset)
        assert [(c.symbol, len(c.base)) for c in again.contracts] == [("AUSDT", 64)]
        assert len(again.store.shards[0].pack()) < 5_000
        told = audits(again.run(clock(T0 + 2 * US_PER_MINUTE)), "bad_symbol")
        assert told == [(FEED, "bad_symbol", 1, "stored contracts whose symbols can be none")]
        assert again.store.take_dirty()[0], "stored without them at once"


class TestFlood:
    """Symbols without end."""

    def test_ninety_thousand_are_a_handful_of_audit_events(self, strict: Strict) -> None:
        """No contract; what waits and what is stored stays small, and a real one gets through."""
        strict.listing("AUSDT")
        published = []
        for start in range(0, 90_000, 3_000):
            items = [tick(f"X{n:05d}USDT", 0.0001, T0) for n in range(start, start + 3_000)]
            published += strict.run(batch([*items, tick("NUSDT", 0.0002, T0 + start)]))
        assert [c.symbol for c in strict.contracts] == ["AUSDT"]
        assert published == []
        assert sum(len(shard.pack()) for shard in strict.store.all_shards) < 64 << 10
        assert rates(strict.listing("NUSDT"))[-1][:2] == ("NUSDT", 0.0002)
        told = audits(strict.run(clock(T0 + 2 * US_PER_MINUTE)))
        assert [kind for subject, kind, *_ in told if subject == FEED] == ["unlisted"]
        assert {subject for subject, *_ in told} <= {FEED, f"{FEED}:AUSDT", f"{FEED}:NUSDT"}
        assert strict.counts["unlisted"] == 90_000 + 30 - MAX_WAITING_SYMBOLS

    def test_bad_payloads_of_unlisted_symbols_are_counted_of_the_feed(self, strict: Strict) -> None:
        """Whoever makes up symbols does not make as many audit events."""
        for n in range(50):
            row: RawItem = {"symbol": f"X{n}", "payload": b"{", "received_at": T0}
            strict.run(batch([row]))
        told = audits(strict.run(clock(T0 + US_PER_MINUTE)), "dead_letter")
        assert [(subject, count) for subject, _, count, _ in told] == [(FEED, 50)]

    def test_a_partition_takes_no_more_contracts_than_its_cap(self, strict: Strict) -> None:
        """Further listings are refused with one alert an hour, and the known contracts go on."""
        strict._admission.cap = 3
        outputs = strict.listing(*(f"C{n}USDT" for n in range(5)))
        (alert,) = of(outputs, "alerts")
        assert (alert["kind"], alert["subject"], alert["severity"]) == (
            "contract_cap",
            FEED,
            "warning",
        )
        assert alert["value"] == alert["threshold"] == 3
        assert [c.symbol for c in strict.contracts] == ["C0USDT", "C1USDT", "C2USDT"]
        again = strict.stored()
        again._admission.cap = 3
        soon = again.listing("C4USDT", at=T0 + US_PER_MINUTE)
        assert of(soon, "alerts") == []
        later = again.listing("C4USDT", at=T0 + US_PER_HOUR)
        assert len(of(later, "alerts")) == 1
        counted = [count for _, _, count, _ in audits([*soon, *later], "contract_cap")]
        assert counted == [2, 1]

    def test_the_cap_is_above_what_any_feed_has(self, strict: Strict) -> None:
        """Twice a partition's share of 5,000."""
        assert strict._admission.cap == 1_250


def test_a_rest_rate_that_waited_is_one_of_rest(strict: Strict) -> None:
    """What an item was for waits with it."""
    strict.run(snapshot(("NUSDT", 0.0003, T0), received_at=T0))
    (rate,) = of(strict.listing("NUSDT", at=T0 + S), "rates")
    assert (rate["transport"], rate["rate"], rate["raw_offset"]) == ("rest", 0.0003, 100)
