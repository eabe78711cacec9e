"""What settlements and instrument facts lead to: intervals of later rates, records of their own."""

from __future__ import annotations

from schemas.times import US_PER_HOUR
from stream_app.core.output.outputs import Output
from tests.support.partitions import HOUR_US, T0, Partition, of, settled, tick


class TestIntervals:
    """Listing before settlements before the assumption of eight hours."""

    @staticmethod
    def interval(outputs: list[Output]) -> tuple[float, str]:
        """Interval and its source, of the one rate."""
        (rate,) = of(outputs, "rates")
        return rate["interval_hours"], rate["interval_source"]

    def test_the_listed_interval_wins(self, new: Partition) -> None:
        """Over what settlements show."""
        new.settle(*(settled("AUSDT", 0.0001, HOUR_US - h * US_PER_HOUR) for h in (8, 0)))
        new.facts({"symbol": "AUSDT", "fundingIntervalHours": 4}, "fundingInfo")
        outputs = new.ticks(tick("AUSDT", 0.0001, T0, coming=HOUR_US + 4 * US_PER_HOUR))
        assert self.interval(outputs) == (4.0, "exchange_info")
        assert of(outputs, "rates")[0]["rate_8h"] == 0.0002

    def test_settlements_show_an_interval(self, new: Partition) -> None:
        """The time between the newest two, where nothing is listed."""
        new.settle(*(settled("AUSDT", 0.0001, HOUR_US - h * US_PER_HOUR) for h in (6, 2, 0)))
        outputs = new.ticks(tick("AUSDT", 0.0001, T0, coming=HOUR_US + 2 * US_PER_HOUR))
        assert self.interval(outputs) == (2.0, "observed")

    def test_facts_that_do_not_say_leave_what_is_known(self, new: Partition) -> None:
        """The exchange sends interval and status in two replies."""
        new.facts({"symbol": "AUSDT", "fundingIntervalHours": 4}, "fundingInfo")
        new.facts({"symbol": "AUSDT", "status": "TRADING", "baseAsset": "XBT"}, "exchangeInfo")
        (contract,) = new.contracts
        assert (contract.listed_interval_hours, contract.status) == (4.0, "trading")
        assert (contract.base, contract.quote) == ("BTC", "USDT")


class TestSettlements:
    """Each settlement once, by its minute."""

    def test_a_settlement_becomes_a_record(self, new: Partition) -> None:
        """Rounded and raw time, the interval since the one before, scaled by it."""
        new.settle(*(settled("AUSDT", 0.0003, HOUR_US - h * US_PER_HOUR) for h in (8, 4)))
        (record,) = of(new.settle(settled("AUSDT", 0.0001, HOUR_US + 1_000)), "settlements")
        assert record == {
            "contract_id": "binance-usdm:AUSDT",
            "feed": "binance-usdm",
            "symbol": "AUSDT",
            "funding_time": HOUR_US,
            "funding_time_raw": HOUR_US + 1_000,
            "rate": 0.0001,
            "interval_hours": 4.0,
            "rate_8h": 0.0002,
            "source": "history",
            "received_at": T0,
            "kind": "regular",
            "interval_source": "observed",
            "interval_doubtful": False,
            "generation": 1,
            "raw_topic": "funding.raw.binance-usdm",
            "raw_partition": 3,
            "raw_offset": 101,
            "raw_item": 0,
        }

    def test_a_settlement_that_comes_again_leads_to_nothing(self, new: Partition) -> None:
        """Also with another jitter of its stamp, as each run of the history brings it."""
        new.settle(settled("AUSDT", 0.0001, HOUR_US))
        assert new.settle(settled("AUSDT", 0.0001, HOUR_US + 118_000)) == []
        assert new.counts["settlement_known"] == 1
