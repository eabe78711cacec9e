"""What the core does differently where an exchange asks for it: derived settlements, noise after
a settlement, caps. With each exchange's own payloads.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.records import Purpose, RawBatch, RawItem
from schemas.times import US_PER_HOUR, US_PER_MINUTE, US_PER_S
from stream_app.core.output.outputs import Output
from stream_app.core.partition import FeedPartition
from stream_app.core.reference_data import rounded
from stream_app.normalise import normaliser
from tests.support.partitions import know, of

HOUR_US = 1_791_273_600_000_000


class Feed(FeedPartition):
    """A partition of any feed, given payloads one by one."""

    def __init__(self, feed: str) -> None:
        super().__init__(feed, 0, normaliser(feed))
        self.offset = 0

    def run(
        self, channel: str, symbol: str, message: Any, at: int, purpose: Purpose = "stream"
    ) -> list[Output]:
        """Apply a record of one item that is received at a time."""
        item: RawItem = {
            "symbol": symbol,
            "payload": json.dumps(message).encode(),
            "received_at": at,
        }
        raw: RawBatch = {
            "feed": self.feed,
            "transport": "ws" if purpose == "stream" else "rest",
            "purpose": purpose,
            "channel": channel,
            "connection_id": "c",
            "sequence": self.offset,
            "received_at": at,
            "items": [item],
        }
        know(self, raw, self.offset)
        self.apply(raw, self.offset, at)
        self.offset += 1
        taken = self.take_outputs()
        assert taken.dead_letters == []
        return taken.records()


class TestDerivedSettlements:
    """Hyperliquid settles each hour and tells it in the history only
    (docs/exchanges/hyperliquid.md §7).
    """

    def context(self, feed: Feed, funding: str, at: int) -> list[Output]:
        """One context of the stream."""
        data = {"coin": "SOL", "ctx": {"funding": funding, "markPx": "141.7", "oraclePx": "141.2",
                "premium": "0.0001", "midPx": "141.6"}}  # fmt: skip
        return self.run_one(feed, {"channel": "activeAssetCtx", "data": data}, at)

    def run_one(self, feed: Feed, message: Any, at: int) -> list[Output]:
        """One frame."""
        return feed.run("activeAssetCtx", "SOL", message, at)

    def history(self, feed: Feed, rate: str, time_us: int, at: int) -> list[Output]:
        """One row of the history."""
        row = {
            "coin": "SOL",
            "fundingRate": rate,
            "premium": "0.0002",
            "time": time_us // 1_000 + 41,
        }
        return feed.run("fundingHistory", "SOL", row, at, "history")

    def test_the_last_estimate_before_the_hour_settles(self) -> None:
        """At the first update behind it, once, marked as derived."""
        feed = Feed("hyperliquid")
        self.context(feed, "0.0000311", HOUR_US - 3 * US_PER_S)
        assert of(self.context(feed, "0.0000322", HOUR_US - 1), "settlements") == []
        (row,) = of(self.context(feed, "0.0000125", HOUR_US + US_PER_S), "settlements")
        assert (row["funding_time"], row["rate"], row["source"]) == (HOUR_US, 0.0000322, "derived")
        assert (row["interval_hours"], row["rate_8h"]) == (1.0, 0.0000322 * 8)
        assert of(self.context(feed, "0.0000126", HOUR_US + 2 * US_PER_S), "settlements") == []

    def test_a_stale_estimate_settles_nothing(self) -> None:
        """What was charged after a silence is left to the history."""
        feed = Feed("hyperliquid")
        self.context(feed, "0.0000311", HOUR_US - 16 * US_PER_S)
        assert of(self.context(feed, "0.0000125", HOUR_US + US_PER_S), "settlements") == []

    def test_the_history_corrects_what_was_derived(self) -> None:
        """One more record for the same time; the baseline has the exchange's value."""
        feed = Feed("hyperliquid")
        self.context(feed, "0.0000311", HOUR_US - US_PER_S)
        self.context(feed, "0.0000125", HOUR_US + US_PER_S)
        (row,) = of(
            self.history(feed, "0.0000312", HOUR_US, HOUR_US + US_PER_MINUTE), "settlements"
        )
        assert (row["funding_time"], row["rate"], row["source"]) == (HOUR_US, 0.0000312, "history")
        assert (
            of(self.history(feed, "0.0000312", HOUR_US, HOUR_US + US_PER_HOUR), "settlements") == []
        )
        assert [s.rate for s in feed.store.entries["SOL"].baseline.settled] == [0.0000312]

    def backpack(self, feed: Feed, rate: str, at: int) -> list[Output]:
        """One mark price of Backpack."""
        coming_ms = (at - at % US_PER_HOUR + US_PER_HOUR) // 1_000
        data = {"e": "markPrice", "E": at, "s": "SOL_USDC_PERP", "p": "1.5", "i": "1.4",
                "f": rate, "n": coming_ms}  # fmt: skip
        return feed.run("markPrice", "SOL_USDC_PERP", {"data": data}, at)

    def settled(self, feed: Feed, rate: str, hours_ago: int, at: int) -> list[Output]:
        """One row of Backpack's history."""
        end = datetime.fromtimestamp((HOUR_US - hours_ago * US_PER_HOUR) / 1e6, UTC)
        row = {"symbol": "SOL_USDC_PERP", "fundingRate": rate,
               "intervalEndTimestamp": end.strftime("%Y-%m-%dT%H:%M:%S")}  # fmt: skip
        return feed.run("fundingRates", "SOL_USDC_PERP", row, at, "history")

    def test_it_is_rounded_as_the_exchange_rounds(self) -> None:
        """Backpack streams up to 28 digits and settles 9 decimals
        (docs/exchanges/backpack.md §4).
        """
        feed = Feed("backpack")
        self.backpack(feed, "0.00003212285565620417123456", HOUR_US - US_PER_S)
        outputs = self.backpack(feed, "0.0000125", HOUR_US)
        assert [(r["rate"], r["source"]) for r in of(outputs, "settlements")] == [
            (0.000032123, "derived")
        ]
        later = self.settled(feed, "0.000032123", 0, HOUR_US + US_PER_MINUTE)
        assert [(r["rate"], r["source"]) for r in of(later, "settlements")] == [
            (0.000032123, "history")
        ]
        assert feed.counts["settlement_differs"] == 0

    def test_a_correction_in_the_last_digit_reaches_baseline_and_z(self) -> None:
        """Within the hour: the settlement is told again, and the next update is scored by it."""
        feed = Feed("backpack")
        for hours_ago in range(1, 20):
            self.settled(feed, f"0.0000{30 + hours_ago % 2}", hours_ago, HOUR_US - US_PER_MINUTE)
        self.backpack(feed, "0.000032123", HOUR_US - US_PER_S)
        at = HOUR_US + US_PER_MINUTE
        (before,) = of(self.backpack(feed, "0.0000125", at), "zscores")
        (row,) = of(self.settled(feed, "0.000032124", 0, at + US_PER_S), "settlements")
        assert (row["funding_time"], row["rate"]) == (HOUR_US, 0.000032124)
        assert feed.counts["settlement_differs"] == 1
        (after,) = of(self.backpack(feed, "0.0000225", at + 2 * US_PER_S), "zscores")
        assert after["samples"] == before["samples"] == 20
        assert after["mean"] - before["mean"] == pytest.approx(8 * 1e-9 / 20)
        assert after["z"] == pytest.approx((0.0000225 * 8 - after["mean"]) / after["std"])

    @pytest.mark.parametrize(
        ("rate", "expected"),
        [
            (3.212285565620417e-05, 3.2123e-05),
            (-3.212285565620417e-05, -3.2123e-05),
            (1.25e-05, 1.25e-05),
            (1.25e-08, 1.2e-08),
            (1.35e-08, 1.4e-08),
            (-4.9e-10, 0.0),
            (0.0, 0.0),
            (0.015, 0.015),
        ],
    )
    def test_a_half_goes_to_even_in_decimal(self, rate: float, expected: float) -> None:
        """Not in binary: 1.25e-08 as a double is no half."""
        assert repr(rounded(rate, 9)) == repr(expected)

    def test_a_clock_that_is_ahead_derives_no_wrong_settlement(self) -> None:
        """It names the next funding time before the hour is over: that hour is for the history."""
        feed = Feed("backpack")
        for after_s, ahead_s in ((-12, 0), (-11, 0), (-10, 30), (-1, 30), (1, 30), (2, 0)):
            at = HOUR_US + after_s * US_PER_S
            event_us = at + ahead_s * US_PER_S
            coming_us = event_us - event_us % US_PER_HOUR + US_PER_HOUR
            data = {"e": "markPrice", "E": event_us, "s": "SOL_USDC_PERP", "p": "1.5", "i": "1.4",
                    "f": f"0.0000{after_s + 20}", "n": coming_us // 1_000}  # fmt: skip
            outputs = feed.run("markPrice", "SOL_USDC_PERP", {"data": data}, at)
            assert of(outputs, "settlements") == []
        assert feed.store.entries["SOL_USDC_PERP"].contract.rate == 0.000022

    def test_other_feeds_derive_nothing(self) -> None:
        """KuCoin's settlements are in its stream."""
        feed = Feed("kucoin")
        for at in (HOUR_US - US_PER_S, HOUR_US + 2 * US_PER_MINUTE):
            row = {"s": "SOLUSDTM", "fr": "0.00017", "nt": HOUR_US // 1_000, "gl": 28_800_000}
            message = {"T": "funding-fee-all-symbols", "P": at * 1_000, "d": [row]}
            outputs = feed.run("funding-fee-all-symbols", "SOLUSDTM", message, at)
            assert of(outputs, "settlements") == []


class TestGaps:
    """By receipt where an exchange gives no time, and by each exchange's own words for trading."""

    def context(self, feed: Feed, at: int) -> list[Output]:
        """One context of Hyperliquid's stream."""
        ctx = {"funding": "0.00001", "markPx": "141.7", "oraclePx": "141.2", "midPx": "141.6"}
        message = {"channel": "activeAssetCtx", "data": {"coin": "SOL", "ctx": ctx}}
        return feed.run("activeAssetCtx", "SOL", message, at)

    def test_without_event_times_receipt_counts(self) -> None:
        """Stale is 15 s there."""
        feed = Feed("hyperliquid")
        self.context(feed, HOUR_US)
        self.context(feed, HOUR_US + US_PER_S)
        assert self.context(feed, HOUR_US + 15 * US_PER_S)[0].topic.name == "funding.rates"
        events = of(self.context(feed, HOUR_US + 31 * US_PER_S), "audit")
        assert [(e["kind"], e["count"], e["last_event_time"]) for e in events] == [
            ("gap_opened", 1, HOUR_US + 30 * US_PER_S),
            ("gap_closed", 15, HOUR_US + 31 * US_PER_S),
        ]
        assert feed.counts["missed"] == 13 + 15

    @pytest.mark.parametrize(
        ("name", "channel", "symbol", "row", "opened"),
        [
            ("hyperliquid", "meta", "SOL", {"name": "SOL"}, 1),
            ("hyperliquid", "meta", "SOL", {"name": "SOL", "isDelisted": True}, 0),
            ("binance-coinm", "exchangeInfo", "S", {"contractStatus": "TRADING"}, 1),
            ("binance-coinm", "exchangeInfo", "S", {"contractStatus": "PRE_DELISTING"}, 0),
            ("binance-usdm", "exchangeInfo", "S", {"status": "SETTLING"}, 0),
            ("kucoin", "contracts/active", "S", {"status": "BeingSettled"}, 1),
            ("kucoin", "contracts/active", "S", {"status": "Paused"}, 0),
            ("backpack", "markets", "S", {"orderBookState": "Open"}, 1),
            ("backpack", "markets", "S", {"orderBookState": "CancelOnly"}, 0),
        ],
    )
    def test_only_what_trades_has_gaps(
        self, name: str, channel: str, symbol: str, row: dict[str, Any], opened: int
    ) -> None:
        """What its exchange calls it is read by the feed's own normaliser."""
        feed = Feed(name)
        feed.run(channel, symbol, {"symbol": symbol, **row}, HOUR_US, "contract")
        entry = feed.store.entries[symbol]
        entry.contract.stream.event_time = entry.contract.stream.received_at = HOUR_US
        feed.flush(HOUR_US + 4 * US_PER_MINUTE, HOUR_US)
        events = of(feed.take_outputs().records(), "audit")
        assert sum(event["kind"] == "gap_opened" for event in events) == opened


class TestSettling:
    """KuCoin's estimates are noise for 90 s after a settlement (docs/exchanges/kucoin.md §3)."""

    def push(
        self, feed: Feed, at: int, rate: str = "0.00017", lfr: str | None = None
    ) -> list[Output]:
        """One push of the UTA socket; settlements lie 8 h apart, one of them at HOUR_US."""
        since = (at - HOUR_US) // (8 * US_PER_HOUR) * 8 * US_PER_HOUR
        row = {
            "s": "SOLUSDTM",
            "fr": rate,
            "nt": (HOUR_US + since + 8 * US_PER_HOUR) // 1_000,
            "gl": 28_800_000,
        }
        if lfr is not None:
            row |= {"lfr": lfr, "ft": (HOUR_US + since) // 1_000}
        message = {"T": "funding-fee-all-symbols", "P": at * 1_000, "d": [row]}
        return feed.run("funding-fee-all-symbols", "SOLUSDTM", message, at)

    @pytest.mark.parametrize(
        ("after_s", "kept"),
        [(0, False), (1, False), (89, False), (90, True), (3_600, True), (-1, True)],
    )
    def test_estimates_are_ignored_for_ninety_seconds(self, after_s: int, kept: bool) -> None:  # noqa: FBT001
        """From the settlement on; counted."""
        feed = Feed("kucoin")
        rates = of(self.push(feed, HOUR_US + after_s * US_PER_S), "rates")
        assert [r["rate"] for r in rates] == ([0.00017] if kept else [])
        assert feed.counts["settling"] == (0 if kept else 1)

    def test_what_a_push_says_of_the_settlement_counts_once_it_is_sure(self) -> None:
        """For a minute and a half the new time may stand beside the old rate."""
        feed = Feed("kucoin")
        for after_s in (1, 61):
            outputs = self.push(feed, HOUR_US + after_s * US_PER_S, lfr="0.00031")
            assert (of(outputs, "settlements"), of(outputs, "rates")) == ([], [])
        outputs = self.push(feed, HOUR_US + 121 * US_PER_S, lfr="0.00023")
        (row,) = of(outputs, "settlements")
        assert (row["funding_time"], row["rate"], row["source"]) == (HOUR_US, 0.00023, "stream")
        assert len(of(outputs, "rates")) == 1

    def test_the_classic_socket_scales_by_the_interval_that_the_other_one_says(self) -> None:
        """Its frames carry none, and the list may still have the old one."""
        feed = Feed("kucoin")
        at = HOUR_US + 3_600 * US_PER_S
        self.push(feed, at)
        feed.store.entries["SOLUSDTM"].contract.listed_interval_hours = 1.0
        feed.store.entries["SOLUSDTM"].changed()
        data = {"granularity": 60_000, "fundingRate": 0.0002, "timestamp": at // 1_000 + 60_000}
        message = {"topic": "/contract/instrument:SOLUSDTM", "type": "message",
                   "subject": "funding.rate", "data": data}  # fmt: skip
        (row,) = of(
            feed.run("instrument:funding.rate", "SOLUSDTM", message, at + 60 * US_PER_S), "rates"
        )
        assert (row["interval_hours"], row["interval_source"]) == (8.0, "payload")
        assert feed.counts["interval_change"] == 0

    def test_the_classic_socket_follows_what_is_known_of_the_contract(self) -> None:
        """Its frames carry neither next time nor interval."""
        feed = Feed("kucoin")
        self.push(feed, HOUR_US - US_PER_MINUTE)
        for after_s, kept in ((-30, True), (30, False), (60, False), (120, True)):
            at = HOUR_US + after_s * US_PER_S
            data = {"granularity": 60_000, "fundingRate": 0.00019 + after_s / 1e9,
                    "timestamp": at // 1_000}  # fmt: skip
            message = {"topic": "/contract/instrument:SOLUSDTM", "type": "message",
                       "subject": "funding.rate", "data": data}  # fmt: skip
            outputs = feed.run("instrument:funding.rate", "SOLUSDTM", message, at)
            assert len(of(outputs, "rates")) == kept
        contract = feed.store.entries["SOLUSDTM"].contract
        assert contract.next_funding_time == HOUR_US


class TestOutOfRange:
    """A rate beyond the cap is kept and flagged, and raises no alert."""

    def market(self, feed: Feed, upper: str = "150", lower: str = "-150") -> None:
        """The facts of a Backpack market; bounds in basis points."""
        row = {"symbol": "SOL_USDC_PERP", "baseSymbol": "SOL", "quoteSymbol": "USDC",
               "marketType": "PERP", "fundingInterval": 3_600_000, "orderBookState": "Open",
               "fundingRateUpperBound": upper, "fundingRateLowerBound": lower}  # fmt: skip
        feed.run("markets", "SOL_USDC_PERP", row, HOUR_US, "contract")

    def mark(self, feed: Feed, rate: str, at: int) -> list[Output]:
        """One mark price."""
        data = {"e": "markPrice", "E": at, "T": at - 5, "s": "SOL_USDC_PERP", "f": rate,
                "p": "141.31", "i": "141.29", "n": (HOUR_US + US_PER_HOUR) // 1_000}  # fmt: skip
        message = {"stream": "markPrice.SOL_USDC_PERP", "data": data}
        return feed.run("markPrice", "SOL_USDC_PERP", message, at)

    @pytest.mark.parametrize(
        ("rates", "flags"),
        [
            (["0.015", "0.0150001", "-0.015", "-0.0151"], [False, True, False, True]),
            (["0.0001", "0.05"], [False, True]),
        ],
    )
    def test_the_contracts_cap_counts(self, rates: Sequence[str], flags: Sequence[bool]) -> None:
        """150 basis points are 0.015; the cap itself is within."""
        feed = Feed("backpack")
        self.market(feed)
        found = []
        for second, rate in enumerate(rates):
            outputs = self.mark(feed, rate, HOUR_US + (second + 1) * US_PER_S)
            found += [r["out_of_range"] for r in of(outputs, "rates")]
        assert found == list(flags)
        assert feed.counts["out_of_range"] == sum(flags)

    def test_without_a_cap_ten_percent_per_interval_is_the_limit(self) -> None:
        """Nothing is known of the contract."""
        feed = Feed("backpack")
        flags = [
            of(self.mark(feed, rate, HOUR_US + at * US_PER_S), "rates")[0]["out_of_range"]
            for at, rate in enumerate(("0.1", "0.10001", "-0.2"), start=1)
        ]
        assert flags == [False, True, True]

    def test_it_raises_no_alert_and_is_not_scored(self) -> None:
        """Neither on the way out nor on the way back: the sign before it stays."""
        feed = Feed("backpack")
        self.market(feed)
        for index in range(12):
            end = HOUR_US - index * US_PER_HOUR
            row = {"symbol": "SOL_USDC_PERP", "fundingRate": f"0.00{index + 10}",
                   "intervalEndTimestamp": datetime.fromtimestamp(end / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S")}  # fmt: skip  # noqa: E501
            feed.run("fundingRates", "SOL_USDC_PERP", row, HOUR_US + 1, "history")
        self.mark(feed, "0.0015", HOUR_US + US_PER_S)
        outputs = self.mark(feed, "-0.5", HOUR_US + 2 * US_PER_S)
        assert [output.topic.name for output in outputs] == ["funding.rates"]
        assert feed.store.entries["SOL_USDC_PERP"].contract.rate == 0.0015
        outputs = self.mark(feed, "0.0015", HOUR_US + 3 * US_PER_S)
        assert (of(outputs, "alerts"), of(outputs, "zscores")) == ([], [])
        contract = feed.store.entries["SOL_USDC_PERP"].contract
        assert (contract.alerts.excursions, contract.alerts.flipped_at) == ([], 0)
        self.mark(feed, "-0.001", HOUR_US + 4 * US_PER_S)
        assert contract.alerts.flipped_at == HOUR_US + 4 * US_PER_S


def test_a_settlement_ahead_of_its_receipt_is_refused() -> None:
    """It would stay in the baseline for 30 days."""
    feed = Feed("hyperliquid")
    row = {
        "coin": "SOL",
        "fundingRate": "0.0000125",
        "time": (HOUR_US + 2 * US_PER_MINUTE) // 1_000,
    }
    with pytest.raises(AssertionError):
        feed.run("fundingHistory", "SOL", row, HOUR_US, "history")
    assert len(feed.store.entries["SOL"].baseline if "SOL" in feed.store.entries else ()) == 0


@pytest.mark.parametrize("behind_s", [0, 1, 20])
def test_a_rest_row_without_a_time_does_not_hold_up_the_stream(behind_s: int) -> None:
    """Whatever the exchange's clock says: it stands where the stream's own times stand."""
    feed = Feed("backpack")

    def push(second: int, rate: str) -> None:
        at = HOUR_US + second * US_PER_S
        data = {"e": "markPrice", "E": at - behind_s * US_PER_S, "s": "SOL_USDC_PERP", "f": rate,
                "p": "141.31", "i": "141.29", "n": (HOUR_US + US_PER_HOUR) // 1_000}  # fmt: skip
        message = {"stream": "markPrice.SOL_USDC_PERP", "data": data}
        feed.run("markPrice", "SOL_USDC_PERP", message, at)

    push(0, "0.00011")
    coming_ms = (HOUR_US + US_PER_HOUR) // 1_000
    row = {"symbol": "SOL_USDC_PERP", "fundingRate": "0.00022", "markPrice": "141.5",
           "indexPrice": "141.6", "nextFundingTimestamp": coming_ms}  # fmt: skip
    at = HOUR_US + 14 * US_PER_S + 600_000
    (rate,) = of(feed.run("markPrices", "SOL_USDC_PERP", row, at, "fallback"), "rates")
    assert (rate["event_time"], rate["event_time_source"]) == (at - behind_s * US_PER_S, "receipt")
    contract = feed.store.entries["SOL_USDC_PERP"].contract
    assert (contract.rate, contract.transport) == (0.00022, "rest")
    push(15, "0.00033")
    assert (contract.rate, contract.transport) == (0.00033, "ws")
    assert feed.counts["out_of_order"] == feed.counts["late"] == 0


@pytest.mark.parametrize(
    ("off_s", "kept"), [(0, True), (-5, True), (5, True), (-6, False), (6, False)]
)
def test_a_streamed_settlement_off_the_full_hour_is_refused(off_s: int, kept: bool) -> None:  # noqa: FBT001
    """By a wrong clock it would count beside the one of the history."""
    feed = Feed("kucoin")
    data = {"granularity": 28_800_000, "fundingRate": 0.0001,
            "timestamp": HOUR_US // 1_000 + off_s * 1_000}  # fmt: skip
    message = {"topic": "/contract/instrument:SOLUSDTM", "type": "message",
               "subject": "funding.rate", "data": data}  # fmt: skip
    channel, at = "instrument:funding.rate", HOUR_US + 2 * US_PER_S
    if not kept:
        with pytest.raises(AssertionError, match="no full hour"):
            feed.run(channel, "SOLUSDTM", message, at)
        return
    (row,) = of(feed.run(channel, "SOLUSDTM", message, at), "settlements")
    assert row["funding_time"] == HOUR_US
