"""Alerts of a contract: its z beyond a threshold for long, its rate with another sign for long."""

from __future__ import annotations

import pytest

from schemas.times import US_PER_MINUTE
from stream_app.core.output.outputs import Output
from stream_app.core.partition import FeedPartition
from stream_app.core.scoring.zones import LASTING_US, QUIET_US
from stream_app.normalise.binance_usdm import normalise
from tests.support.partitions import NOW, T0, Partition, S, at_z, audits, of, tick


def bring(partition: Partition, *rates: tuple[int, float]) -> list[Output]:
    """What updates of A at (µs after T0, rate) lead to."""
    return [
        output
        for after_us, rate in rates
        for output in partition.ticks(
            tick("AUSDT", rate, T0 + after_us), received_at=T0 + after_us + 2_000
        )
    ]


class TestExcursions:
    """Of z, for a person."""

    @pytest.mark.parametrize(
        ("z", "threshold", "severity"),
        [
            (2.1, 2.0, "warning"),
            (-2.1, -2.0, "warning"),
            (3.1, 3.0, "critical"),
            (-3.1, -3.0, "critical"),
        ],
    )
    def test_a_z_that_stays_beyond_a_threshold_is_an_alert(
        self, rated: Partition, z: float, threshold: float, severity: str
    ) -> None:
        """With the update that shows it, though it changes nothing."""
        lasting = LASTING_US[abs(threshold)]
        before = [
            (0, at_z(0.0)),
            *([(S, at_z(z)), (lasting + S - 1_000, at_z(z))] if lasting else []),
        ]
        assert of(bring(rated, *before), "alerts") == []
        (alert,) = of(bring(rated, (lasting + S, at_z(z))), "alerts")
        assert (alert["kind"], alert["subject"]) == ("z_cross", "binance-usdm:AUSDT")
        assert (alert["threshold"], alert["severity"]) == (threshold, severity)
        assert alert["value"] == pytest.approx(z)
        assert (alert["event_time"], alert["created_at"]) == (T0 + lasting + S, NOW)
        lasted = f" for {lasting // US_PER_MINUTE} min" if lasting else ""
        assert f"z {z:+.2f}, beyond {threshold:+g}{lasted}, rate" in alert["message"]

    def test_its_id_names_the_raw_record_and_the_threshold(self, rated: Partition) -> None:
        """A replay gives the same id, at whatever time it runs."""
        outputs = bring(rated, (0, at_z(0.0)), (S, at_z(2.1)), (LASTING_US[2.0] + S, at_z(2.1)))
        (alert,) = of(outputs, "alerts")
        assert alert["alert_id"] == "z_cross/funding.raw.binance-usdm/3/103/0/+2"
        assert (alert["raw_offset"], alert["raw_item"]) == (103, 0)

    def test_a_z_that_hums_about_a_threshold_is_counted(self, rated: Partition) -> None:
        """−2.00 back inside and beyond within 22 s: no alert, and one line of the audit."""
        hum = [(second * S, at_z(-1.99 - second % 2 * 0.02)) for second in range(22)]
        outputs = bring(rated, *hum, (22 * S, at_z(-1.0)), (120 * S, at_z(-1.0)))
        assert of(outputs, "alerts") == []
        assert audits(outputs, "alert_held_back") == [
            ("binance-usdm:AUSDT", "alert_held_back", 1, "z -1.00, threshold -2")
        ]

    def test_a_first_z_beyond_a_threshold_is_no_alert(self, rated: Partition) -> None:
        """At a first start a hundred contracts are beyond one."""
        outputs = bring(rated, (0, at_z(3.5)), (LASTING_US[2.0], at_z(3.5)))
        assert of(outputs, "alerts") == []

    def test_without_a_z_nothing_is_told(self, new: Partition) -> None:
        """Nor forgotten."""
        outputs = bring(new, (0, 0.0001), (LASTING_US[2.0], 0.09))
        assert of(outputs, "alerts") == []


class TestSignFlips:
    """The rate's sign tells who pays."""

    @pytest.fixture(autouse=True)
    def listed(self, new: Partition) -> None:
        """Without a known interval no alert is raised."""
        new.facts({"symbol": "AUSDT", "fundingIntervalHours": 8}, "fundingInfo")

    def test_a_sign_that_stays_is_an_alert(self, new: Partition) -> None:
        """With the side that pays now, and an id of its own kind."""
        before = bring(new, (0, 0.0001), (S, -0.0002), (QUIET_US, -0.0002))
        assert of(before, "alerts") == []
        (alert,) = of(bring(new, (QUIET_US + S, -0.0002)), "alerts")
        assert (alert["kind"], alert["severity"]) == ("sign_flip", "info")
        assert (alert["subject"], alert["value"]) == ("binance-usdm:AUSDT", -0.0002)
        assert "shorts pay longs for 4 h now" in alert["message"]
        assert alert["alert_id"] == "sign_flip/funding.raw.binance-usdm/3/104/0"
        back = bring(new, (QUIET_US + 2 * S, 0.0001), (2 * QUIET_US + 2 * S, 0.0001))
        assert "longs pay shorts" in of(back, "alerts")[0]["message"]

    def test_a_flip_that_is_over_sooner_is_counted(self, new: Partition) -> None:
        """By contract and minute."""
        outputs = bring(new, (0, 0.0001), (S, -0.0002), (2 * S, 0.0001), (QUIET_US, 0.0001))
        assert of(outputs, "alerts") == []
        assert audits(outputs, "alert_held_back") == [
            ("binance-usdm:AUSDT", "alert_held_back", 1, "sign of 0.0001")
        ]

    def test_a_rate_that_hums_around_zero_does_not_flip(self, new: Partition) -> None:
        """Below a tenth of a basis point per 8 h there is no sign; the one before stays."""
        rates = [0.0001, 0.000009, -0.000009, 0.0, -0.0, 0.00002]
        outputs = bring(new, *((index * QUIET_US, rate) for index, rate in enumerate(rates)))
        assert of(outputs, "alerts") == []

    def test_an_older_update_flips_nothing(self, new: Partition) -> None:
        """Only the current rate has a sign to lose."""
        bring(new, (S, 0.0001))
        new.ticks(tick("AUSDT", -0.0001, T0))
        assert next(new.contracts).alerts.flipped_at == 0


@pytest.mark.parametrize(
    ("z", "lasting", "kind"), [(-2.5, LASTING_US[2.0], "z_cross"), (-20.0, QUIET_US, "sign_flip")]
)
def test_a_restart_between_changes_nothing(
    rated: Partition, z: float, lasting: int, kind: str
) -> None:
    """What an excursion and a flip have lasted is in the stored state."""
    bring(rated, (0, at_z(0.0)), (S, at_z(z)))
    rated.store.mark_applied(rated.offset - 1)
    blocks, baselines = rated.store.take_dirty()
    restored = Partition()
    FeedPartition.__init__(
        restored, "binance-usdm", 3, normalise, [b for _, b in blocks], dict(baselines).get
    )
    restored.offset = rated.offset
    expected, found = (of(bring(p, (lasting + S, at_z(z))), "alerts") for p in (rated, restored))
    assert found == expected
    assert [a["kind"] for a in found] == [kind]
