"""What a contract is and how much of it is traded, as records: told when it changes.

Liquidity alone is told at most every 15 minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from schemas.contract_status import ContractStatus
from schemas.records import Purpose, RawItem
from schemas.times import US_PER_MINUTE
from stream_app.core.partition import FeedPartition
from stream_app.core.state.market_facts import MarketFacts
from stream_app.model import InstrumentUpdate, Update
from stream_app.normalise import mexc
from stream_app.normalise.binance_usdm import normalise
from tests.support.partitions import NOW, T0, Partition, S, batch, item, of, tick

ID = "binance-usdm:AUSDT"
LISTED = {
    "symbol": "AUSDT",
    "status": "TRADING",
    "contractType": "PERPETUAL",
    "baseAsset": "A",
    "quoteAsset": "USDT",
    "onboardDate": 1_700_000_000_000,
}


def told(partition: Partition, row: dict[str, Any], channel: str, at: int) -> list[Any]:
    """Apply a fact that was received at a time, and return the records of facts."""
    raw = batch([item(row, at)], at, "contract", channel, "rest")
    return of(partition.run(raw), "contracts")


def traded(partition: Partition, turnover: float, at: int) -> list[Any]:
    """Apply a turnover that was received at a time, and return the records of facts."""
    row = {"symbol": "AUSDT", "quoteVolume": repr(turnover)}
    return told(partition, row, "ticker/24hr", at)


def test_the_first_facts_are_a_record(new: Partition) -> None:
    """With all that is known, and where it came from."""
    assert told(new, LISTED, "exchangeInfo", T0) == [
        {
            "contract_id": ID,
            "feed": "binance-usdm",
            "symbol": "AUSDT",
            "base": "A",
            "quote": "USDT",
            "multiplier": 1.0,
            "status": "trading",
            "status_word": "TRADING",
            "interval_hours": None,
            "rate_cap": None,
            "rate_floor": None,
            "listed_at": 1_700_000_000_000_000,
            "rate_kind": "estimate",
            "turnover_24h": None,
            "turnover_at": None,
            "open_interest": None,
            "open_interest_at": None,
            "updated_at": T0,
            "raw_topic": "funding.raw.binance-usdm",
            "raw_partition": 3,
            "raw_offset": 100,
            "raw_item": 0,
        }
    ]


def test_only_a_change_is_told(new: Partition) -> None:
    """The same list again is none; another word, cap or interval is one."""
    assert len(told(new, LISTED, "exchangeInfo", T0)) == 1
    assert told(new, LISTED, "exchangeInfo", T0 + S) == []
    (halted,) = told(new, {**LISTED, "status": "PAUSED"}, "exchangeInfo", T0 + 2 * S)
    assert (halted["status"], halted["status_word"]) == ("halted", "PAUSED")
    info = {"symbol": "AUSDT", "fundingIntervalHours": 4, "adjustedFundingRateCap": "0.02"}
    (capped,) = told(new, info, "fundingInfo", T0 + 3 * S)
    assert (capped["interval_hours"], capped["rate_cap"]) == (4.0, 0.02)
    assert told(new, info, "fundingInfo", T0 + 4 * S) == []


def test_liquidity_alone_is_told_every_quarter_of_an_hour(new: Partition) -> None:
    """The first at once; then by the time between the receipts."""
    told(new, LISTED, "exchangeInfo", T0)
    (first,) = traded(new, 5e6, T0 + S)
    assert (first["turnover_24h"], first["turnover_at"]) == (5e6, T0 + S)
    quarter = 15 * US_PER_MINUTE
    assert traded(new, 6e6, T0 + S + quarter - 1) == []
    (second,) = traded(new, 7e6, T0 + S + quarter)
    assert (second["turnover_24h"], second["turnover_at"]) == (7e6, T0 + S + quarter)
    assert traded(new, 8e6, T0 + 2 * S + quarter) == []


def test_another_mark_price_is_no_change_of_the_facts() -> None:
    """Each call for turnover brings one: the contract has it, and the record still waits."""
    partition = FeedPartition("mexc", 3, mexc.normalise)
    listed = {"symbol": "A_USDT", "state": 0, "baseCoin": "A", "quoteCoin": "USDT"}
    partition.apply(
        {**batch([item(listed, T0)], T0, "contract", "detail", "rest"), "feed": "mexc"}, 0, NOW
    )
    for offset, price in enumerate((1.25, 1.5), start=1):
        ticker = {"symbol": "A_USDT", "amount24": 5_000.5, "fairPrice": price}
        at = T0 + offset * S
        raw = batch([item(ticker, at)], at, "contract", "ticker", "rest")
        partition.apply({**raw, "feed": "mexc"}, offset, NOW)
    records = of(partition.take_outputs().records(), "contracts")
    assert [record["turnover_24h"] for record in records] == [None, 5_000.5]
    assert partition.store.entries["A_USDT"].contract.mark_price == 1.5


def test_a_change_brings_the_newest_liquidity(new: Partition) -> None:
    """And begins the quarter of an hour anew."""
    told(new, LISTED, "exchangeInfo", T0)
    traded(new, 5e6, T0 + S)
    assert traded(new, 6e6, T0 + 2 * S) == []
    (changed,) = told(new, {**LISTED, "status": "PAUSED"}, "exchangeInfo", T0 + 3 * S)
    assert (changed["turnover_24h"], changed["turnover_at"]) == (6e6, T0 + 2 * S)
    assert traded(new, 7e6, T0 + S + 15 * US_PER_MINUTE) == []


def test_a_restored_partition_goes_on(new: Partition) -> None:
    """What was told is stored with the contract: nothing is told twice, nor by a redelivery."""
    told(new, LISTED, "exchangeInfo", T0)
    traded(new, 5e6, T0 + S)
    new.store.mark_applied(new.offset - 1)
    blocks = [data for _, data in new.take_dirty()[0]]
    again = FeedPartition("binance-usdm", 3, normalise, blocks)
    row = {"symbol": "AUSDT", "quoteVolume": "6e6"}
    for offset, at in ((new.offset - 1, T0 + S), (new.offset, T0 + 2 * S)):
        raw = batch([item(row, at)], at, "contract", "ticker/24hr", "rest")
        again.apply(raw, offset, NOW)
    assert of(again.take_outputs().records(), "contracts") == []
    late = T0 + S + 15 * US_PER_MINUTE
    raw = batch([item(row, late)], late, "contract", "ticker/24hr", "rest")
    again.apply(raw, new.offset + 1, NOW)
    (record,) = of(again.take_outputs().records(), "contracts")
    assert (record["turnover_24h"], record["listed_at"]) == (6e6, 1_700_000_000_000_000)


@pytest.mark.parametrize("turnover", [-1.0, 1e19])
def test_an_amount_that_cannot_be_is_a_dead_letter(new: Partition, turnover: float) -> None:
    """The known one stays."""
    told(new, LISTED, "exchangeInfo", T0)
    traded(new, 5e6, T0 + S)
    assert traded(new, turnover, T0 + 16 * US_PER_MINUTE) == []
    assert len(new.letters) == 1
    assert new.store.entries["AUSDT"].contract.facts.turnover_24h == 5e6


def test_an_amount_that_cannot_be_hides_no_listing() -> None:
    """The contract is listed without it, and the item is a dead letter."""
    update = InstrumentUpdate(
        "AUSDT",
        base="A",
        quote="USDT",
        status=ContractStatus.TRADING,
        turnover_24h=1e19,
        open_interest=7e5,
    )
    partition = FeedPartition("binance-usdm", 3, Reads(update))
    partition.apply(batch([item(LISTED, T0)], T0, "contract", "exchangeInfo", "rest"), 0, NOW)
    taken = partition.take_outputs()
    (record,) = of(taken.records(), "contracts")
    assert (record["status"], record["base"], record["turnover_24h"]) == ("trading", "A", None)
    assert record["open_interest"] == 7e5
    (letter,) = taken.dead_letters
    assert letter.error == "turnover_24h is no amount: 1e+19"


class Reads:
    """Reads one update in whatever it is given."""

    def __init__(self, update: InstrumentUpdate) -> None:
        self._update = update

    def __call__(
        self,
        purpose: Purpose,
        channel: str,
        symbol: str,
        payload: bytes,
        received_at_us: int,
    ) -> list[Update]:
        """Return the update."""
        return [self._update]

    def frame(self, purpose: Purpose, channel: str, items: Sequence[RawItem]) -> None:
        """Have items read one by one."""

    def column_reader(self, channel: str) -> None:
        """Have no updates of a stream be read at once."""

    def settled_reader(self, channel: str) -> None:
        """Have no settlements be read at once."""


def test_a_ticker_that_is_used_again_has_no_liquidity_yet(new: Partition) -> None:
    """What was traded of the earlier contract says nothing of the new one."""
    told(new, LISTED, "exchangeInfo", T0)
    new.ticks(tick("AUSDT", 0.0001, T0))
    traded(new, 5e6, T0 + S)
    begun_ms = (T0 + 60 * S) // 1_000
    (record,) = told(new, {**LISTED, "onboardDate": begun_ms}, "exchangeInfo", T0 + 61 * S)
    assert (record["status"], record["turnover_24h"]) == ("relisted", None)


def facts(**said: float) -> InstrumentUpdate:
    """What an item says of liquidity."""
    return InstrumentUpdate("A", **said)  # type: ignore[arg-type]


def test_open_interest_in_units_is_worth_its_mark_price() -> None:
    """Without a price nothing is known of its value."""
    known = MarketFacts()
    known.note(facts(open_interest_units=3.0), None, 1)
    assert (known.open_interest, known.open_interest_at) == (None, 0)
    known.note(facts(open_interest_units=3.0), 2.5, 2)
    assert (known.open_interest, known.open_interest_at) == (7.5, 2)
    known.note(facts(open_interest=9.0), 2.5, 3)
    assert (known.open_interest, known.open_interest_at) == (9.0, 3)


def test_two_calls_make_one_record() -> None:
    """The turnover waits for the open interest that follows it, and not for ever."""
    quarter = 15 * US_PER_MINUTE
    known = MarketFacts(turnover_24h=1.0, open_interest=1.0, published_at=T0)
    known.turnover_at = known.open_interest_at = T0
    assert not known.liquidity_due(T0 + 9 * quarter)
    known.note(facts(turnover_24h=2.0), None, T0 + quarter)
    assert not known.liquidity_due(T0 + quarter)
    known.note(facts(open_interest=2.0), None, T0 + quarter + S)
    assert known.liquidity_due(T0 + quarter + S)
    known.open_interest_at = T0
    assert not known.liquidity_due(T0 + 2 * quarter - 1)
    assert known.liquidity_due(T0 + 2 * quarter)


def test_a_fact_brings_the_mark_price_that_the_stream_lacks() -> None:
    """MEXC pushes rates alone: what a contract costs is in the call for turnover."""
    partition = FeedPartition("mexc", 3, mexc.normalise)
    push = {
        "symbol": "A_USDT",
        "channel": "push.funding.rate",
        "data": {"symbol": "A_USDT", "rate": 0.0001, "nextSettleTime": T0 // 1_000 + 3_600_000},
        "ts": T0 // 1_000,
    }
    listed = {"symbol": "A_USDT", "state": 0, "baseCoin": "A", "quoteCoin": "USDT"}
    ticker = {"symbol": "A_USDT", "amount24": 5_000.5, "fairPrice": 1.25}
    streamed = batch([item(push, T0)], T0, channel="push.funding.rate")
    for offset, raw in enumerate(
        (
            batch([item(listed, T0)], T0, "contract", "detail", "rest"),
            streamed,
            batch([item(ticker, T0)], T0, "contract", "ticker", "rest"),
            streamed,
        )
    ):
        partition.apply({**raw, "feed": "mexc"}, offset, NOW)
    contract = partition.store.entries["A_USDT"].contract
    assert (contract.rate, contract.mark_price) == (0.0001, 1.25)
    assert contract.facts.turnover_24h == 5_000.5
