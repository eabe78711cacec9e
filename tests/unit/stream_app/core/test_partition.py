"""One partition of one feed: what each raw record leads to."""

from __future__ import annotations

import pytest

from schemas import topics
from schemas.errors import SchemaError
from schemas.records import RawItem
from schemas.times import US_PER_HOUR
from stream_app.core.savepoint import copied
from tests.support.partitions import (
    HOUR_US,
    T0,
    Partition,
    S,
    at_z,
    batch,
    of,
    tick,
)


class TestRates:
    """Every accepted update becomes a FundingRate."""

    def test_an_update_becomes_a_rate_with_all_it_says(self, new: Partition) -> None:
        """Each field of the record has its own source."""
        outputs = new.run(batch([tick("1000PEPEUSDT", -0.0002, T0 + S)], T0 + S, transport="rest"))
        assert of(outputs, "rates") == [
            {
                "contract_id": "binance-usdm:1000PEPEUSDT",
                "feed": "binance-usdm",
                "symbol": "1000PEPEUSDT",
                "base": "PEPE",
                "quote": "USDT",
                "multiplier": 1000.0,
                "rate": -0.0002,
                "interval_hours": 8.0,
                "interval_source": "assumed",
                "rate_8h": -0.0002,
                "apr": pytest.approx(-0.219),
                "mark_price": 85296.5,
                "index_price": 85345.25,
                "next_funding_time": HOUR_US + 8 * US_PER_HOUR,
                "event_time": T0 + S,
                "event_time_source": "exchange",
                "received_at": T0 + S + 2_000,
                "transport": "rest",
                "late": False,
                "out_of_range": False,
                "interval_doubtful": True,
                "rate_kind": "estimate",
                "raw_topic": "funding.raw.binance-usdm",
                "raw_partition": 3,
                "raw_offset": 100,
                "raw_item": 0,
            }
        ]
        assert {o.key for o in outputs} == {"binance-usdm:1000PEPEUSDT"}

    def test_every_item_of_a_record_is_applied(self, new: Partition) -> None:
        """In the order of the message, with its index."""
        outputs = new.ticks(*(tick(f"C{i}USDT", 0.0001, T0) for i in range(3)))
        rates = [(r["symbol"], r["raw_item"]) for r in of(outputs, "rates")]
        assert rates == [("C0USDT", 0), ("C1USDT", 1), ("C2USDT", 2)]

    def test_a_duplicate_leads_to_nothing(self, new: Partition) -> None:
        """The same row on a second socket, in another record."""
        new.ticks(tick("AUSDT", 0.0001, T0))
        assert new.ticks(tick("AUSDT", 0.0001, T0)) == []
        assert new.counts["duplicate"] == 1

    def test_an_older_update_is_published_and_moves_nothing(self, new: Partition) -> None:
        """Within the lateness it is no late one; the newest rate stays."""
        new.ticks(tick("AUSDT", 0.0001, T0 + 9 * S))
        outputs = new.ticks(tick("AUSDT", 0.0009, T0 + 8 * S))
        assert [(o.topic.name, o.record["late"]) for o in outputs] == [("funding.rates", False)]
        (contract,) = new.contracts
        assert (contract.rate, contract.event_time) == (0.0001, T0 + 9 * S)

    def test_a_late_update_is_published_as_late(self, new: Partition) -> None:
        """More than ten seconds behind."""
        new.ticks(tick("AUSDT", 0.0001, T0 + 20 * S))
        outputs = new.ticks(tick("AUSDT", 0.0009, T0 + 9 * S))
        assert [(o.topic.name, o.record["late"]) for o in outputs] == [("funding.rates", True)]

    def test_a_row_without_a_rate_leads_to_nothing(self, new: Partition) -> None:
        """Neither a record nor a contract."""
        assert new.ticks(tick("AUSDT_260925", "", T0)) == []
        assert list(new.contracts) == []
        assert new.counts["no_rate"] == 1

    def test_a_control_frame_leads_to_nothing(self, new: Partition) -> None:
        """It is kept in the raw topic alone."""
        control: RawItem = {"symbol": None, "payload": b'{"id":1}', "received_at": T0}
        assert new.run(batch([control], channel="control")) == []
        assert (new.letters, new.counts["control"]) == ([], 1)


def test_an_item_that_no_schema_holds_is_a_dead_letter_and_nothing_else(
    rated: Partition,
) -> None:
    """Its z-score cannot be encoded: its rate is not published, and the contract is as before."""

    def refuse(_record: object) -> bytes:
        raise SchemaError("too large")

    contract = rated.store.entries["AUSDT"].contract
    before = copied(contract)
    records = dict(rated.columns.encoders.records) | {topics.ZSCORES.name: refuse}
    rated.columns.encoders.records = records
    assert rated.ticks(tick("AUSDT", at_z(4), T0)) == []
    (letter,) = rated.letters
    assert (letter.stage, "too large" in letter.error) == ("core", True)
    assert contract == before
