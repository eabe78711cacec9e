"""The state of the whole: which market, how complete the baselines, how late the workers."""

from __future__ import annotations

from stream_app.web.fleet import Fleet
from stream_app.web.status import COUNTED_EVERY_S, FEW_BEHIND, Baselines, FleetStatus, market
from tests.support.clock import ManualClock
from tests.support.fleet_records import NOW_US, feed_status, worker_status, zscore


def test_a_page_says_whether_its_rates_are_real() -> None:
    """By what the producers say of themselves."""
    real, made_up = feed_status(simulated=False), feed_status(simulated=True)
    assert market([]) == "unknown"
    assert market([real]) == "live"
    assert market([made_up, made_up]) == "simulated"
    assert market([real, made_up]) == "mixed"


def test_baselines_are_counted_by_feed() -> None:
    """With a z, or where the whole history is published and processed; never more than expected."""
    fleet, baselines = Fleet(), Baselines()
    fleet.take_zscore(zscore("AUSDT"), NOW_US)
    fleet.take_zscore(zscore("BUSDT", z=None), NOW_US)
    fleet.take_zscore(zscore("XBTUSDTM", feed="kucoin"), NOW_US)
    assert baselines.count(fleet) == {"loaded": 0, "expected": 0}
    fleet.take_feed(b"", feed_status(contracts_expected=3, backfill_done=2))
    fleet.take_feed(b"", feed_status("kucoin", contracts_expected=0, backfill_done=0))
    assert baselines.count(fleet) == {"loaded": 1, "expected": 3}
    fleet.take_feed(b"", feed_status(contracts_expected=3, backfill_done=3))
    assert baselines.count(fleet) == {"loaded": 1, "expected": 3}, "no worker tells of itself"
    fleet.take_worker(b"", worker_status(records_behind=FEW_BEHIND + 1))
    assert baselines.count(fleet) == {"loaded": 1, "expected": 3}, "it is still being processed"
    fleet.take_worker(b"", worker_status(records_behind=FEW_BEHIND))
    assert baselines.count(fleet) == {"loaded": 3, "expected": 3}
    fleet.take_worker(b"", worker_status(records_behind=FEW_BEHIND + 1))
    assert baselines.count(fleet) == {"loaded": 3, "expected": 3}
    fleet.take_feed(b"", feed_status(contracts_expected=4, backfill_done=3))
    assert baselines.count(fleet) == {"loaded": 1, "expected": 4}, "another one was listed"


def test_the_slowest_worker_counts() -> None:
    """And what all of them still have to process; nothing is known without a worker."""
    fleet, clock = Fleet(), ManualClock()
    status = FleetStatus(fleet, lambda: True, lambda: {"available": True, "reason": ""}, clock)
    told = status()
    assert (told["delay_p50_s"], told["delay_p99_s"], told["records_behind"]) == (None, None, None)
    fleet.take_worker(b"", worker_status("one", delay_p99_s=0.2, records_behind=7))
    fleet.take_worker(b"", worker_status("two", delay_p50_s=None, delay_p99_s=None))
    told = status()
    assert (told["delay_p50_s"], told["delay_p99_s"], told["records_behind"]) == (0.012, 0.2, 7)
    assert told["history"] == {"available": True, "reason": ""}
    assert told["caught_up"]


def test_contracts_are_gone_through_once_a_second() -> None:
    """A frame is made ten times as often."""
    fleet, clock = Fleet(), ManualClock()
    status = FleetStatus(fleet, lambda: False, dict, clock)
    status()
    fleet.take_feed(b"", feed_status(contracts_expected=3, backfill_done=0))
    assert status()["baselines"]["expected"] == 0
    clock.advance(COUNTED_EVERY_S)
    assert status()["baselines"]["expected"] == 3
