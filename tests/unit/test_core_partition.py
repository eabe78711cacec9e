"""One partition of one feed: what each raw record leads to, and when it is emitted.

Payloads are Binance rows through the real normaliser. The baseline of `rated` has mean 0.0001 and
a standard deviation of 0.0000102598, so z = 2 lies near 0.00012052 and z = 3 near 0.00013078.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest

from schemas.markers import BACKFILL_BEGIN, BACKFILL_END, UNREADABLE
from schemas.records import Purpose, RawBatch, RawItem, Transport
from schemas.times import US_PER_HOUR
from stream_app.core.blocks import BLOCK_CONTRACTS, Block
from stream_app.core.outputs import DeadLetter, Output
from stream_app.core.partition import MAX_ERROR_CHARS, FeedPartition
from stream_app.normalise.binance_usdm import normalise

S = 1_000_000
HOUR_US = 1_791_273_600_000_000
T0 = HOUR_US + 1_000 * S
assert T0 % (5 * S) == 0
NOW = T0 + 7
STREAM = "!markPrice@arr@1s"
MEAN, STD = 0.0001, 0.00001 * math.sqrt(20 / 19)


def at_z(z: float) -> float:
    """The rate (per 8 h) that has this z against the baseline of `rated`."""
    return MEAN + z * STD


def item(row: dict[str, Any], received_at: int) -> RawItem:
    """One piece of a message, for the symbol in it."""
    return {
        "symbol": row.get("s") or row["symbol"],
        "payload": json.dumps(row).encode(),
        "received_at": received_at,
    }


def tick(symbol: str, rate: float | str, at: int, lag_us: int = 2_000) -> RawItem:
    """A row of the stream, whose event time is `at`, in whole milliseconds."""
    row = {
        "e": "markPriceUpdate",
        "E": at // 1_000,
        "s": symbol,
        "p": "85296.5",
        "i": "85345.25",
        "r": rate if isinstance(rate, str) else repr(rate),
        "T": (HOUR_US + 8 * US_PER_HOUR) // 1_000,
    }
    return item(row, at + lag_us)


def settled(symbol: str, rate: float, at: int) -> RawItem:
    """A row of the history."""
    row = {"symbol": symbol, "fundingTime": at // 1_000, "fundingRate": repr(rate)}
    return item(row, T0)


def batch(
    items: Sequence[RawItem],
    received_at: int = T0,
    purpose: Purpose = "stream",
    channel: str = STREAM,
    transport: Transport = "ws",
) -> RawBatch:
    """A raw record."""
    return {
        "feed": "binance-usdm",
        "transport": transport,
        "purpose": purpose,
        "channel": channel,
        "connection_id": "c",
        "sequence": 0,
        "received_at": received_at,
        "items": list(items),
    }


class Partition(FeedPartition):
    """A partition that is given the next offset with each batch."""

    def __init__(self) -> None:
        super().__init__("binance-usdm", 3, normalise)
        self.offset = 100

    def run(self, raw: RawBatch) -> list[Output]:
        """Apply a batch and return what it leads to."""
        self.apply(raw, self.offset, NOW)
        self.offset += 1
        outputs, self.letters = self.take_outputs()
        return outputs

    letters: list[DeadLetter]

    def ticks(self, *items: RawItem, received_at: int = T0) -> list[Output]:
        """Apply a batch of the stream."""
        return self.run(batch(items, received_at))

    def settle(self, *items: RawItem) -> list[Output]:
        """Apply a batch of history."""
        return self.run(batch(items, purpose="history", channel="fundingRate", transport="rest"))

    def facts(self, row: dict[str, Any], channel: str) -> list[Output]:
        """Apply a batch of contract facts."""
        return self.run(batch([item(row, T0)], purpose="contract", channel=channel))

    def mark(self, symbol: str, channel: str) -> list[Output]:
        """Apply a marker of a backfill."""
        marker: RawItem = {"symbol": symbol, "payload": b"", "received_at": T0}
        return self.run(batch([marker], purpose="history", channel=channel))


def of(outputs: list[Output], topic: str) -> list[Any]:
    """The records for a topic."""
    return [o.record for o in outputs if o.topic.name == f"funding.{topic}"]


def triggers(outputs: list[Output]) -> list[tuple[str, str]]:
    """Symbol and trigger of what was emitted."""
    return [(z["symbol"], z["trigger"]) for z in of(outputs, "zscores")]


@pytest.fixture
def new() -> Partition:
    """A partition that knows nothing."""
    return Partition()


@pytest.fixture
def rated() -> Partition:
    """A partition with a baseline of twenty settlements for A, and nothing emitted."""
    partition = Partition()
    rates = [0.00009, 0.00011] * 10
    partition.settle(
        *(
            settled("AUSDT", rate, HOUR_US - (19 - index) * 8 * US_PER_HOUR)
            for index, rate in enumerate(rates)
        )
    )
    return partition


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
        outputs = new.ticks(tick("AUSDT", 0.0001, T0))
        assert self.interval(outputs) == (4.0, "exchange_info")
        assert of(outputs, "rates")[0]["rate_8h"] == 0.0002

    def test_settlements_show_an_interval(self, new: Partition) -> None:
        """The time between the newest two, where nothing is listed."""
        new.settle(*(settled("AUSDT", 0.0001, HOUR_US - h * US_PER_HOUR) for h in (6, 2, 0)))
        assert self.interval(new.ticks(tick("AUSDT", 0.0001, T0))) == (2.0, "observed")

    def test_facts_that_do_not_say_leave_what_is_known(self, new: Partition) -> None:
        """The exchange sends interval and status in two replies."""
        new.facts({"symbol": "AUSDT", "fundingIntervalHours": 4}, "fundingInfo")
        new.facts({"symbol": "AUSDT", "status": "TRADING", "baseAsset": "XBT"}, "exchangeInfo")
        (contract,) = new.contracts
        assert (contract.listed_interval_hours, contract.status) == (4.0, "TRADING")
        assert (contract.base, contract.quote) == ("BTC", "USDT")


class TestSettlements:
    """Each settlement once, by its minute."""

    def test_a_settlement_becomes_a_record(self, new: Partition) -> None:
        """Rounded and raw time, the interval since the one before, scaled by it."""
        new.settle(settled("AUSDT", 0.0003, HOUR_US - 4 * US_PER_HOUR))
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


class TestEmission:
    """First, cross, zone, rate_change at once; everything else by the flush."""

    def test_the_first_value_is_emitted_at_once(self, rated: Partition) -> None:
        """With all that is known of it."""
        outputs = rated.ticks(tick("AUSDT", 0.00011, T0))
        assert of(outputs, "zscores") == [
            {
                "contract_id": "binance-usdm:AUSDT",
                "feed": "binance-usdm",
                "symbol": "AUSDT",
                "base": "A",
                "rate": 0.00011,
                "interval_hours": 8.0,
                "rate_8h": 0.00011,
                "apr": pytest.approx(0.12045),
                "z": pytest.approx(0.00001 / STD),
                "robust_z": pytest.approx(0.67449),
                "percentile": 1.0,
                "mean": pytest.approx(MEAN),
                "std": pytest.approx(STD),
                "samples": 20,
                "confidence": "low",
                "stats_as_of": HOUR_US,
                "zone": "normal",
                "trigger": "first",
                "crossed": None,
                "mark_price": 85296.5,
                "next_funding_time": HOUR_US + 8 * US_PER_HOUR,
                "event_time": T0,
                "received_at": T0 + 2_000,
                "computed_at": NOW,
                "transport": "ws",
                "raw_topic": "funding.raw.binance-usdm",
                "raw_partition": 3,
                "raw_offset": 101,
                "raw_item": 0,
            }
        ]

    def test_without_a_baseline_the_first_value_is_unrated(self, new: Partition) -> None:
        """Null instead of a number that nobody knows."""
        (record,) = of(new.ticks(tick("AUSDT", 0.0001, T0)), "zscores")
        assert (record["trigger"], record["zone"]) == ("first", "unrated")
        unknown = ("z", "robust_z", "percentile", "mean", "std", "stats_as_of")
        assert [record[name] for name in unknown] == [None] * 6
        assert (record["samples"], record["confidence"]) == (0, "none")

    def test_a_quiet_update_waits(self, rated: Partition) -> None:
        """In the normal zone, less than 10 % from what was emitted."""
        rated.ticks(tick("AUSDT", 0.000100, T0))
        assert triggers(rated.ticks(tick("AUSDT", 0.000101, T0 + S))) == []

    def test_in_the_high_zone_each_change_is_emitted(self, rated: Partition) -> None:
        """Also a small one; the same rate again is no change."""
        rated.ticks(tick("AUSDT", at_z(2.2), T0))
        change = rated.ticks(tick("AUSDT", at_z(2.21), T0 + S))
        same = rated.ticks(tick("AUSDT", at_z(2.21), T0 + 2 * S))
        assert (triggers(change), triggers(same)) == ([("AUSDT", "zone")], [])
        assert of(change, "zscores")[0]["zone"] == "high"

    def test_a_move_of_more_than_ten_percent_is_emitted(self, rated: Partition) -> None:
        """Measured from what was emitted last, not from the update before."""
        rated.ticks(tick("AUSDT", 0.000090, T0))
        steps = [0.000094, 0.000098, 0.000102]
        emitted = [
            triggers(rated.ticks(tick("AUSDT", r, T0 + i * S))) for i, r in enumerate(steps, 1)
        ]
        assert emitted == [[], [], [("AUSDT", "rate_change")]]

    @pytest.mark.parametrize(
        ("before", "after", "threshold", "severity"),
        [
            (1.9, 2.1, 2.0, "warning"),
            (2.9, 3.1, 3.0, "critical"),
            (1.9, 3.1, 3.0, "critical"),
            (-1.9, -2.1, -2.0, "warning"),
            (-2.1, -1.9, -2.0, "info"),
            (3.1, 2.9, 3.0, "info"),
            (-3.1, 3.1, 3.0, "critical"),
        ],
    )
    def test_a_crossing_is_emitted_with_an_alert(
        self, rated: Partition, before: float, after: float, threshold: float, severity: str
    ) -> None:
        """Outward a warning or worse, back inside an information."""
        rated.ticks(tick("AUSDT", at_z(before), T0))
        outputs = rated.ticks(tick("AUSDT", at_z(after), T0 + S))
        (record,), (alert,) = of(outputs, "zscores"), of(outputs, "alerts")
        assert (record["trigger"], record["crossed"]) == ("cross", threshold)
        assert (alert["threshold"], alert["severity"]) == (threshold, severity)
        assert (alert["kind"], alert["subject"]) == ("z_cross", "binance-usdm:AUSDT")
        assert alert["value"] == record["z"] == pytest.approx(after)
        assert (alert["event_time"], alert["created_at"]) == (T0 + S, NOW)

    def test_an_alerts_id_names_the_raw_record_alone(self, rated: Partition) -> None:
        """A replay gives the same id, at whatever time it runs."""
        rated.ticks(tick("AUSDT", at_z(1.9), T0))
        (alert,) = of(rated.ticks(tick("AUSDT", at_z(2.1), T0 + S)), "alerts")
        assert alert["alert_id"] == "z_cross/funding.raw.binance-usdm/3/102/0"

    def test_a_crossing_is_told_once(self, rated: Partition) -> None:
        """Beyond the threshold, further changes are of the zone."""
        rated.ticks(tick("AUSDT", at_z(1.9), T0))
        rated.ticks(tick("AUSDT", at_z(2.1), T0 + S))
        outputs = rated.ticks(tick("AUSDT", at_z(2.15), T0 + 2 * S))
        assert (triggers(outputs), of(outputs, "alerts")) == ([("AUSDT", "zone")], [])

    def test_z_is_against_settlements_up_to_the_hour_of_the_event(self, rated: Partition) -> None:
        """A settlement after the full hour is not yet in the baseline of that hour."""
        rated.settle(settled("AUSDT", 0.9, HOUR_US + 60 * S))
        (record,) = of(rated.ticks(tick("AUSDT", 0.00011, T0)), "zscores")
        assert (record["samples"], record["stats_as_of"]) == (20, HOUR_US)
        at = HOUR_US + US_PER_HOUR
        (record,) = of(rated.ticks(tick("AUSDT", 0.00013, at), received_at=at), "zscores")
        assert (record["samples"], record["stats_as_of"]) == (21, at)


class TestFlush:
    """Every 5 s of received_at, what was updated and not emitted."""

    @pytest.fixture
    def owing(self, rated: Partition) -> Partition:
        """A owes an update; B has emitted its only one."""
        rated.ticks(tick("AUSDT", 0.000100, T0), tick("BUSDT", 0.0001, T0))
        rated.ticks(tick("AUSDT", 0.000101, T0 + S), received_at=T0 + S)
        rated.ticks(tick("AUSDT", 0.000102, T0 + 2 * S), received_at=T0 + 2 * S)
        return rated

    def test_before_the_boundary_nothing_is_flushed(self, owing: Partition) -> None:
        """One microsecond early."""
        assert triggers(owing.ticks(received_at=T0 + 5 * S - 1)) == []

    @pytest.mark.parametrize("received_at", [T0 + 5 * S, T0 + 5 * S + 1, T0 + 60 * S])
    def test_the_first_batch_at_or_past_a_boundary_flushes(
        self, owing: Partition, received_at: int
    ) -> None:
        """The newest update of each contract that owes one, and no other contract."""
        outputs = owing.ticks(received_at=received_at)
        assert triggers(outputs) == [("AUSDT", "flush")]
        (record,) = of(outputs, "zscores")
        assert (record["rate"], record["raw_offset"]) == (0.000102, 103)

    def test_the_flush_holds_what_was_known_before_the_boundary(self, owing: Partition) -> None:
        """The batch that triggers it is applied after it."""
        at = T0 + 5 * S
        outputs = owing.ticks(tick("AUSDT", 0.000103, at), received_at=at)
        assert [r["rate"] for r in of(outputs, "zscores")] == [0.000102]
        assert [o.topic.name for o in outputs] == ["funding.zscores", "funding.rates"]

    def test_nothing_is_flushed_twice(self, owing: Partition) -> None:
        """Neither at the same boundary nor at the next."""
        owing.ticks(received_at=T0 + 5 * S)
        assert triggers(owing.ticks(received_at=T0 + 6 * S)) == []
        assert triggers(owing.ticks(received_at=T0 + 10 * S)) == []

    def test_what_was_emitted_at_once_is_not_flushed(self, owing: Partition) -> None:
        """A move beyond 10 % takes the owed updates with it."""
        moved = owing.ticks(tick("AUSDT", 0.000115, T0 + 3 * S), received_at=T0 + 3 * S)
        assert triggers(moved) == [("AUSDT", "rate_change")]
        assert triggers(owing.ticks(received_at=T0 + 5 * S)) == []

    def test_a_batch_from_before_the_last_boundary_flushes_nothing(self, owing: Partition) -> None:
        """Two connections may overtake each other."""
        owing.ticks(received_at=T0 + 5 * S)
        owing.ticks(tick("AUSDT", 0.000103, T0 + 4 * S), received_at=T0 + 4 * S)
        assert triggers(owing.ticks(received_at=T0 + 9 * S)) == []
        assert triggers(owing.ticks(received_at=T0 + 10 * S)) == [("AUSDT", "flush")]

    def test_the_wall_clock_flushes_the_same(self, owing: Partition) -> None:
        """A timer gives the boundary when no batch comes; the batch then finds nothing owed."""
        owing.flush(T0 + 5 * S, NOW)
        outputs, _ = owing.take_outputs()
        assert triggers(outputs) == [("AUSDT", "flush")]
        assert triggers(owing.ticks(received_at=T0 + 5 * S)) == []

    def test_a_crossing_by_a_new_baseline_is_told_by_the_flush(self, rated: Partition) -> None:
        """The rate hardly moved; nineteen settlements on the mean made the deviation smaller."""
        rated.ticks(tick("AUSDT", at_z(1.9), T0))
        rated.ticks(tick("AUSDT", at_z(1.91), T0 + S), received_at=T0 + S)
        for index in range(19):
            at = HOUR_US - index * 8 * US_PER_HOUR - 4 * US_PER_HOUR
            rated.settle(settled("AUSDT", 0.00005, at))
        outputs = rated.ticks(received_at=T0 + 5 * S)
        (record,), (alert,) = of(outputs, "zscores"), of(outputs, "alerts")
        assert record["trigger"] == "flush"
        assert record["crossed"] == alert["threshold"] == 2.0


class TestBackfill:
    """Between begin and end the baseline is partial."""

    def test_z_is_withheld_until_the_backfill_ends(self, rated: Partition) -> None:
        """A score over a third of the settlements would look right and be wrong."""
        rated.mark("AUSDT", BACKFILL_BEGIN)
        (during,) = of(rated.ticks(tick("AUSDT", 0.00011, T0)), "zscores")
        rated.mark("AUSDT", BACKFILL_END)
        (after,) = of(rated.ticks(tick("AUSDT", 0.00015, T0 + S)), "zscores")
        assert (during["z"], during["zone"], during["samples"]) == (None, "unrated", 0)
        assert (after["zone"], after["samples"]) == ("high", 20)

    def test_the_flush_withholds_it_too(self, rated: Partition) -> None:
        """An update from before the backfill is flushed during it."""
        rated.ticks(tick("AUSDT", 0.000100, T0))
        rated.ticks(tick("AUSDT", 0.000101, T0 + S), received_at=T0 + S)
        rated.mark("AUSDT", BACKFILL_BEGIN)
        (record,) = of(rated.ticks(received_at=T0 + 5 * S), "zscores")
        assert (record["trigger"], record["z"]) == ("flush", None)

    def test_other_contracts_are_rated_meanwhile(self, rated: Partition) -> None:
        """The markers name one contract."""
        rated.mark("BUSDT", BACKFILL_BEGIN)
        (record,) = of(rated.ticks(tick("AUSDT", 0.00011, T0)), "zscores")
        assert record["samples"] == 20

    def test_settlements_are_published_during_a_backfill(self, new: Partition) -> None:
        """Only z waits."""
        new.mark("AUSDT", BACKFILL_BEGIN)
        assert len(of(new.settle(settled("AUSDT", 0.0001, HOUR_US)), "settlements")) == 1


class TestDeadLetters:
    """What cannot be read is told, and stops nothing."""

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
        assert Block.unpack(after).contracts == Block.unpack(before).contracts
        assert [(a.kind, a.count) for a in Block.unpack(after).audits] == [("duplicate", 1)]

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
        outputs, _ = torn.take_outputs()
        assert [r["symbol"] for r in of(outputs, "rates")] == ["C256USDT"]
        assert torn.counts["redelivered"] == 1
        assert {c.symbol: c.rate for c in torn.contracts if c.updates == 2} == {
            "C0USDT": 0.0005,
            "C256USDT": 0.0006,
        }

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
            records.append(of(partition.take_outputs()[0], "zscores"))
        assert records[0] == records[1]
        assert len(records[0]) == 1
