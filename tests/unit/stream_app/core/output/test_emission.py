"""When a z-score is emitted, and what is told with it (docs/decisions/emission-zones.md)."""

from __future__ import annotations

import pytest

from schemas.control_items import BACKFILL_BEGIN, BACKFILL_END
from schemas.times import US_PER_HOUR
from tests.support.partitions import (
    HOUR_US,
    MEAN,
    NOW,
    STD,
    T0,
    Partition,
    S,
    at_z,
    of,
    settled,
    tick,
    triggers,
)


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
                "interval_source": "observed",
                "interval_doubtful": False,
                "generation": 1,
                "rate_kind": "estimate",
                "quote": "USDT",
                "multiplier": 1.0,
            }
        ]

    def test_without_a_baseline_the_first_value_is_unrated(self, new: Partition) -> None:
        """Without a baseline the statistics are null and the zone is `unrated`."""
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
        ("before", "after", "threshold"),
        [
            (1.9, 2.1, 2.0),
            (2.9, 3.1, 3.0),
            (1.9, 3.1, 3.0),
            (-1.9, -2.1, -2.0),
            (-2.1, -1.9, -2.0),
            (3.1, 2.9, 3.0),
            (-3.1, 3.1, 3.0),
        ],
    )
    def test_a_crossing_is_emitted_at_once(
        self, rated: Partition, before: float, after: float, threshold: float
    ) -> None:
        """Either way. Only outward over ±3 it is an alert at once: others may soon be back."""
        rated.ticks(tick("AUSDT", at_z(before), T0))
        outputs = rated.ticks(tick("AUSDT", at_z(after), T0 + S))
        (record,) = of(outputs, "zscores")
        assert (record["trigger"], record["crossed"]) == ("cross", threshold)
        assert record["z"] == pytest.approx(after)
        told = [threshold] if abs(after) > 3 else []
        assert [alert["threshold"] for alert in of(outputs, "alerts")] == told

    def test_a_crossing_is_emitted_once(self, rated: Partition) -> None:
        """Beyond the threshold, further changes are of the zone."""
        rated.ticks(tick("AUSDT", at_z(1.9), T0))
        rated.ticks(tick("AUSDT", at_z(2.1), T0 + S))
        outputs = rated.ticks(tick("AUSDT", at_z(2.15), T0 + 2 * S))
        assert triggers(outputs) == [("AUSDT", "zone")]

    def test_z_is_against_settlements_up_to_the_hour_of_the_event(self, rated: Partition) -> None:
        """A settlement after the full hour is not yet in the baseline of that hour."""
        before, at = HOUR_US - S, HOUR_US + S
        (record,) = of(rated.ticks(tick("AUSDT", 0.00011, before), received_at=before), "zscores")
        assert (record["samples"], record["stats_as_of"]) == (19, HOUR_US - US_PER_HOUR)
        (record,) = of(rated.ticks(tick("AUSDT", 0.00013, at), received_at=at), "zscores")
        assert (record["samples"], record["stats_as_of"]) == (20, HOUR_US)


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
        assert sorted(o.topic.name for o in outputs) == ["funding.rates", "funding.zscores"]

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
        outputs = owing.take_outputs().records()
        assert triggers(outputs) == [("AUSDT", "flush")]
        assert triggers(owing.ticks(received_at=T0 + 5 * S)) == []

    def test_a_crossing_by_a_new_baseline_is_emitted_by_the_flush(self, rated: Partition) -> None:
        """The rate hardly moved; nineteen settlements on the mean made the deviation smaller."""
        rated.ticks(tick("AUSDT", at_z(1.9), T0))
        rated.ticks(tick("AUSDT", at_z(1.91), T0 + S), received_at=T0 + S)
        for index in range(19):
            at = HOUR_US - (20 + index) * 8 * US_PER_HOUR
            rated.settle(settled("AUSDT", 0.0001, at))
        (record,) = of(rated.ticks(received_at=T0 + 5 * S), "zscores")
        assert (record["trigger"], record["crossed"]) == ("flush", 2.0)


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
