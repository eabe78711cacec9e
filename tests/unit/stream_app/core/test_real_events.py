"""What real events of 2025 and 2026 did to funding rates, each as an example of its kind.

Payloads are the exchanges' own forms with made-up values, read by the real normalisers. The events
and their right values are in docs/decisions/real-events.md.
"""

from __future__ import annotations

from typing import Any

import pytest

from schemas.times import US_PER_HOUR
from tests.support.partitions import of
from tests.support.venue_messages import Binance, Feed, Hyperliquid, Kucoin, S, scored, us


def hourly(feed: Binance, rate: str, first: str, last: str, day: int = 0) -> None:
    """Hourly settlements from one full hour to another."""
    for hour in range(int(first[:2]), int(last[:2]) + 1):
        feed.settled(rate, us(f"{hour:02}:00", day))


class TestSettledIntervals:
    """A: what was stated for that funding time, then the list, then the times on both sides."""

    def test_the_first_settlement_of_a_shorter_interval_off_the_grid(self) -> None:
        """8 h until 12:00, hourly from 15:00 on: the first hourly one is no 3-hourly one."""
        feed = Kucoin()
        feed.contract(8, us("01:00"))
        for day, clock in ((-1, "20:00"), (0, "04:00"), (0, "12:00")):
            feed.settled("0.00008", us(clock, day))
        feed.push("0.00008", 8, us("12:00"), us("11:40"))
        feed.push("0.00008", 8, us("20:00"), us("12:10"))
        for hour in (15, 16, 17):
            feed.push("0.00001", 1, us(f"{hour}:00"), us(f"{hour - 1}:20"))
            feed.settled("0.00001", us(f"{hour}:00"))
        assert [feed.regular(us(f"{h}:00"))[2] for h in (12, 15, 16, 17)] == ["payload"] * 4
        assert feed.regular(us("15:00")) == (1.0, 0.00008, "payload", False)
        assert feed.regular(us("12:00")) == (8.0, 0.00008, "payload", False)

    @pytest.mark.parametrize("states", ["payload", "exchange_info", "observed"])
    def test_a_moved_clock_is_no_shorter_interval(self, states: str) -> None:
        """From 04/12/20 to 00/08/16: every settlement stays one of 8 h, and constant ones give
        no z, whichever evidence there is.
        """
        feed = Kucoin()
        feed.contract(8, us("00:30", 1 if states == "observed" else -20))
        for day in range(-15, 0):
            for clock in ("04:00", "12:00", "20:00"):
                feed.settled("0.00012", us(clock, day), us("20:10", -1))
        if states == "payload":
            feed.push("0.00012", 8, us("00:00"), us("23:40", -1))
        for clock in ("00:00", "08:00", "16:00"):
            feed.settled("0.00012", us(clock), us("00:31", 1) if states == "observed" else None)
        assert feed.regular(us("00:00")) == (8.0, 0.00012, states, False)
        feed.push("0.0002", 8, us("08:00", 1), us("01:10", 1))
        score = feed.newest("zscores")
        assert (score["z"], score["std"], score["samples"]) == (None, 0.0, 48)

    def test_a_longer_interval_that_begins_between_settlements(self) -> None:
        """Hourly to 15:00, 8 h since 15:30: the one of 16:00 is of 8 h, as listed then."""
        feed = Binance()
        feed.info(us("00:10"))
        feed.listed(1, us("00:10"))
        hourly(feed, "0.00001", "01:00", "15:00")
        feed.listed(8, us("15:41"))
        feed.frame("0.00008", us("16:00"), us("15:50"))
        rate = feed.newest("rates")
        assert (rate["interval_hours"], rate["interval_source"]) == (8.0, "exchange_info")
        feed.settled("0.00008", us("16:00"))
        assert feed.regular(us("16:00")) == (8.0, 0.00008, "exchange_info", False)
        assert feed.regular(us("15:00")) == (1.0, 0.00008, "exchange_info", False)

    @pytest.mark.parametrize("missing", range(9))
    def test_a_missing_settlement_is_a_hole(self, missing: int) -> None:
        """No other one gets a longer interval, and the hole is told."""
        feed = Binance()
        feed.info(us("20:00", 4))
        times = [us("00:00") + index * 8 * US_PER_HOUR for index in range(9)]
        for at in times:
            if at != times[missing]:
                feed.settled("0.00013", at, us("20:00", 4))
        kept = [at for at in times if at != times[missing]]
        assert [feed.regular(at)[0] for at in kept] == [8.0] * 8
        told = [(a["kind"], a["count"]) for a in of(feed.outputs, "audit")]
        assert told == ([("settlement_missing", 1)] if 0 < missing < 8 else [])
        feed.settled("0.00013", times[missing], us("21:00", 4))
        assert feed.regular(times[missing])[0] == 8.0
        if 0 < missing < 8:
            assert of(feed.outputs, "audit")[-1]["kind"] == "settlement_found"

    def test_better_evidence_corrects(self) -> None:
        """A list that comes late: the settlement, the baseline and the audit follow."""
        feed = Kucoin()
        for clock in ("04:00", "12:00", "20:00"):
            feed.settled("0.0001", us(clock, -1))
        feed.contract(8, us("21:00", -1))
        for clock in ("04:00", "12:00", "20:00"):
            feed.settled("0.0001", us(clock, -1), us("21:01", -1))
        feed.settled("0.0001", us("00:30"), us("00:31"))
        assert feed.regular(us("00:30"))[3] is True
        feed.push("0.0001", 8, us("00:30"), us("00:10"))
        assert feed.regular(us("00:30")) == (8.0, 0.0001, "payload", False)
        assert feed.audits("settlement_corrected") == ["settlement_corrected"]
        feed.push("0.0001", 8, us("08:30"), us("00:40"))
        details = {
            a["detail"] for a in of(feed.outputs, "audit") if a["kind"] == "settlement_corrected"
        }
        assert details == {"8 h (observed, in doubt) -> 8 h (payload)"}


class TestSpecialSettlements:
    """B: extra funding is told apart, is paid, and is in no statistics."""

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    @pytest.mark.parametrize("extra", ["-0.00311", "-0.2"])
    def test_both_are_stored_in_either_order(self, order: tuple[int, int], extra: str) -> None:
        """Also one of −20 %, which is no dead letter."""
        feed = Binance()
        feed.info(us("00:10"))
        feed.listed(1, us("00:10"))
        for hour in range(1, 13):
            feed.settled(f"0.0000{hour:02}", us(f"{hour:02}:00"), rateType="Regular")
        rows = (("0.000013", "Regular", 0), (extra, "Special", 8_000))
        for which in order:
            rate, kind, late_us = rows[which]
            feed.settled(rate, us("13:00") + late_us, us("13:01"), rateType=kind)
        found = feed.settlements()
        regular, special = found[us("13:00"), "regular"], found[us("13:00"), "special"]
        assert (regular["rate"], regular["rate_8h"]) == (0.000013, pytest.approx(0.000104))
        assert (special["rate"], special["rate_8h"]) == (float(extra), None)
        assert (special["interval_hours"], special["interval_source"]) == (None, None)
        assert feed.letters == []
        feed.frame("0.00002", us("14:00"), us("13:02"))
        score = feed.newest("zscores")
        assert score["samples"] == 13
        assert score["mean"] == pytest.approx(8 * 0.000007)

    def test_one_that_comes_again_tells_nothing(self) -> None:
        """History is fetched with overlaps."""
        feed = Binance()
        feed.info(us("00:10"))
        for _ in range(2):
            feed.settled("-0.004", us("08:00"), rateType="Special")
        assert len(of(feed.outputs, "settlements")) == 1


class TestQuotesAndNames:
    """E and I: what a contract is priced in, and which asset it is on."""

    @pytest.mark.parametrize(
        ("symbol", "token", "quote"),
        [
            ("abc:FOO", 360, "USDH"),
            ("abc:FOO", 235, "USDE"),
            ("abc:FOO", 0, "USDC"),
            ("abc:FOO", 77, ""),
            ("abc:FOO", None, ""),
            ("FOO", None, "USDC"),
        ],
    )
    def test_a_builders_quote_is_its_collateral(
        self, symbol: str, token: int | None, quote: str
    ) -> None:
        """An unknown token is no USDC."""
        feed = Feed("hyperliquid")
        meta: dict[str, Any] = {"universe": [{"name": symbol, "szDecimals": 2, "isDelisted": None}]}
        if token is not None:
            meta["collateralToken"] = token
        feed.send("contract", "allPerpMetas", [(symbol, meta)], us("00:10"))
        (contract,) = feed.partition.contracts
        assert (contract.quote, contract.state, contract.base) == (quote, "trading", "FOO")

    def test_a_country_at_the_end_is_no_other_asset(self) -> None:
        """FOO.US pairs with FOO in spreads; shares of another country do not."""
        feed = Feed("backpack")
        for base in ("FOO.US", "FOO.HK"):
            row = {"symbol": f"{base}_USDC_PERP", "baseSymbol": base, "orderBookState": "Open"}
            feed.send("contract", "markets", [(row["symbol"], row)], us("00:10"))
        assert [c.base for c in feed.partition.contracts] == ["FOO", "FOO.HK"]


class TestStates:
    """G, J, K: halted, delisted and listed again are three things."""

    def test_a_new_asset_that_is_halted_has_no_gap_and_no_rate_of_zero(self) -> None:
        """It is listed, and its context holds neither a premium nor a middle price."""
        feed = Hyperliquid()
        feed.list_contract(us("00:10"))
        for second in range(60):
            halted = {"funding": "0.0", "premium": None, "midPx": None}
            feed.context(us("00:11") + second * S, **halted)
        (contract,) = feed.partition.contracts
        assert (contract.state, contract.updates) == ("halted", 0)
        assert of(feed.outputs, "rates") == []
        assert feed.audits("gap_opened", "trading_ended") == []
        feed.context(us("00:30"))
        assert contract.state == "trading"
        assert feed.newest("rates")["rate"] == 0.0000125

    def test_a_contract_that_trades_no_more_has_no_rate(self) -> None:
        """It is in the REST list with a rate of 0, a current time and no settle price."""
        feed = scored(8)
        row = {
            "symbol": feed.symbol,
            "markPrice": "3.1",
            "indexPrice": "3.1",
            "time": us("09:00") // 1_000,
            "lastFundingRate": "0.00000000",
            "estimatedSettlePrice": "0.00000000",
            "nextFundingTime": us("16:00") // 1_000,
        }
        feed.send("fallback", "premiumIndex", [(feed.symbol, row)], us("09:00") + S)
        assert of(feed.outputs, "rates") == of(feed.outputs, "alerts") == []
        live = row | {"estimatedSettlePrice": "3.09"}
        feed.send("fallback", "premiumIndex", [(feed.symbol, live)], us("09:00") + 2 * S)
        assert feed.newest("rates")["rate"] == 0.0

    def test_a_ticker_that_is_used_again_is_another_contract(self) -> None:
        """It is scored against its own settlements, not those of the one before."""
        feed = scored(8)
        feed.frame("0.0001", us("16:00"), us("09:00"))
        feed.info(us("10:00"), "SETTLING", onboardDate=us("00:00", -300) // 1_000)
        (contract,) = feed.partition.contracts
        assert contract.state == "delisted"
        begun = us("02:00", 9)
        feed.info(us("01:00", 9), onboardDate=begun // 1_000)
        assert (contract.state, contract.generation) == ("relisted", 2)
        for clock in ("08:00", "16:00"):
            feed.settled("0.0002", us(clock, 9))
        feed.frame("0.0003", us("00:00", 10), us("16:01", 9))
        score = feed.newest("zscores")
        assert (score["generation"], score["samples"], score["z"]) == (2, 2, None)
        rows = feed.settlements()
        assert rows[us("08:00", 9), "regular"]["generation"] == 2
        assert rows[us("08:00"), "regular"]["generation"] == 1
        assert "relisted" in {a["kind"] for a in of(feed.outputs, "audit")}

    def test_a_new_contract_may_stream_before_its_list_says_so(self) -> None:
        """Its first rates come under the ticker of a delisted one; they are not that one's."""
        feed = scored(8)
        feed.info(us("10:00"), onboardDate=us("00:00", -300) // 1_000)
        feed.frame("0.0001", us("16:00"), us("11:00"))
        feed.info(us("11:01"), "SETTLING", onboardDate=us("00:00", -300) // 1_000)
        begun = us("11:30")
        for second in range(3):
            feed.frame("0.0003", us("16:00"), begun + (second + 1) * S)
        feed.info(us("11:40"), onboardDate=begun // 1_000)
        feed.frame("0.0003", us("16:00"), us("11:41"))
        (contract,) = feed.partition.contracts
        assert (contract.state, contract.generation) == ("relisted", 2)
        feed.frame("0.0004", us("16:00"), us("11:42"))
        score = feed.newest("zscores")
        assert (score["generation"], score["samples"], score["z"]) == (2, 0, None)

    def test_a_corrected_date_is_no_new_contract(self) -> None:
        """One that lies before what is known of the contract."""
        feed = scored(8)
        feed.info(us("10:00"), onboardDate=us("00:00", -300) // 1_000)
        feed.info(us("11:00"), onboardDate=us("00:00", -200) // 1_000)
        assert next(feed.partition.contracts).generation == 1


class TestOneBadField:
    """H: what can be read of a row counts, and the rest goes to the dead letters."""

    @pytest.mark.parametrize("settled", ["0.13", "much", {"a": 1}, True])
    def test_an_impossible_settlement_beside_a_good_estimate(self, settled: object) -> None:
        """The estimate is published, the settlement refused."""
        feed = Kucoin()
        feed.contract(8, us("01:00"))
        feed.push("0.00014", 8, us("12:00"), us("09:00"), lfr=settled, ft=us("04:00") // 1_000)
        assert feed.newest("rates")["rate"] == 0.00014
        assert of(feed.outputs, "settlements") == []
        assert len(feed.letters) == 1

    @pytest.mark.parametrize("field", ["p", "i"])
    def test_a_bad_price_beside_a_good_rate(self, field: str) -> None:
        """The rate has no such price."""
        feed = Binance()
        feed.info(us("00:10"))
        feed.frame("0.0003", us("08:00"), us("01:00"), **{field: "--"})
        rate = feed.newest("rates")
        assert (rate["rate"], rate["mark_price" if field == "p" else "index_price"]) == (
            0.0003,
            None,
        )
        assert len(feed.letters) == 1

    def test_a_bad_cap_beside_a_good_interval(self) -> None:
        """The interval counts."""
        feed = Binance()
        feed.info(us("00:10"))
        feed.listed(4, us("00:10"), adjustedFundingRateCap="wide")
        assert next(feed.partition.contracts).listed_interval_hours == 4.0

    def test_a_rate_beyond_the_listed_cap_has_the_list_asked_again(self) -> None:
        """I: it is no trade signal until the list says the new cap."""
        feed = Binance()
        feed.info(us("00:10"))
        caps = {"adjustedFundingRateCap": "0.02", "adjustedFundingRateFloor": "-0.02"}
        feed.listed(8, us("00:10"), **caps)
        feed.frame("-0.027", us("08:00"), us("01:00"))
        assert feed.newest("rates")["out_of_range"] is True
        assert feed.partition.contradicted_at == us("01:00") + 50_000
        caps = {"adjustedFundingRateCap": "0.03", "adjustedFundingRateFloor": "-0.03"}
        feed.listed(8, us("01:01"), **caps)
        feed.frame("-0.027", us("08:00"), us("01:01:05"))
        assert feed.newest("rates")["out_of_range"] is False


class TestSettlingNoise:
    """Estimates just after a settlement are noise also before funding times are known."""

    @pytest.mark.parametrize(("after_s", "rates"), [(40, 0), (100, 1)])
    def test_in_a_contracts_first_seconds(self, after_s: int, rates: int) -> None:
        """Any full hour may have been one."""
        feed = Kucoin()
        feed.contract(8, us("11:59"))
        at = us("12:00") + after_s * S
        frame = {
            "topic": f"/contract/instrument:{feed.symbol}",
            "subject": "funding.rate",
            "data": {"granularity": 60_000, "timestamp": at // 1_000, "fundingRate": 0.0002},
        }
        feed.send("stream", "instrument:funding.rate", [(feed.symbol, frame)], at + 60_000)
        assert len(of(feed.outputs, "rates")) == rates


def test_the_interval_of_the_windows_oldest_settlement_is_known_by_those_before_it() -> None:
    """L: 8 h until five days ago, then hourly; history reaches further back than the window."""
    feed = Binance()
    feed.info(us("00:10"))
    feed.listed(1, us("00:10"))
    change = us("16:00", -6)
    rows = [change - index * 8 * US_PER_HOUR for index in range(3 * 27)]
    rows += list(range(change + US_PER_HOUR, us("00:00") + 1, US_PER_HOUR))
    for at in sorted(rows):
        hours = 8 if at <= change else 1
        feed.settled(repr(0.0001 * hours / 8), at, us("00:11"))
    found = feed.settlements()
    wrong = [
        at
        for at in rows
        if found[at, "regular"]["interval_hours"] != (8.0 if at <= change else 1.0)
    ]
    assert wrong == []
    feed.frame("0.00002", us("01:00"), us("00:12"))
    score = feed.newest("zscores")
    assert (score["std"], score["z"]) == (0.0, None)
    in_window = [at for at in rows if at > us("00:00") - 30 * 24 * US_PER_HOUR]
    assert score["samples"] == len(in_window)
