"""What the page keeps of the topics: the newest of each, and no more than its bounds."""

from __future__ import annotations

import pytest

from schemas.feeds import FEEDS
from stream_app.web import fleet as fleet_module
from stream_app.web.fleet import ALERTS_KEPT_S, RATE_KEPT_S, WORKER_GONE_S, Fleet, quote_of
from tests.support.fleet_records import (
    FEED,
    HOUR_US,
    NOW_US,
    alert,
    bar,
    contract_facts,
    feed_status,
    notification,
    settlement,
    worker_status,
    zscore,
)

BTC = f"{FEED}:BTCUSDT"
S = 1_000_000


def test_the_newest_z_score_of_a_contract_is_kept_whatever_the_order() -> None:
    """By event time, then by receipt, computation, offset and item."""
    first = zscore(event_time=NOW_US, received_at=5, computed_at=5, raw_offset=5)
    newer = [
        {**first, "raw_item": 3},
        {**first, "raw_offset": 6},
        {**first, "computed_at": 6},
        {**first, "received_at": 6},
        {**first, "event_time": NOW_US + 1},
    ]
    for change in newer:
        for records in ([first, change], [change, first]):
            fleet = Fleet()
            for record in records:
                fleet.take_zscore(record, NOW_US)  # type: ignore[arg-type]
            assert fleet.contracts[BTC].zscore == change


def test_a_contract_keeps_its_number() -> None:
    """It is also that of its removal, and no other contract gets it again."""
    fleet = Fleet()
    fleet.take_zscore(zscore(), NOW_US)
    fleet.take_zscore(zscore("ETHUSDT"), NOW_US)
    fleet.take_zscore(zscore(event_time=NOW_US), NOW_US)
    numbers = {symbol: known.number for symbol, known in fleet.contracts.items()}
    assert numbers == {BTC: 0, f"{FEED}:ETHUSDT": 1}
    fleet.remove(BTC)
    fleet.take_zscore(zscore(), NOW_US)
    assert fleet.contracts[BTC].number == 2
    assert fleet.take_changes().removed == [0]


def test_changes_are_told_once() -> None:
    """Each since the question before; nothing new, nothing told."""
    fleet = Fleet()
    fleet.take_zscore(zscore(), NOW_US)
    fleet.take_feed(b"", feed_status())
    fleet.take_worker(b"", worker_status())
    fleet.take_alert(alert())
    assert fleet.has_changed()
    changes = fleet.take_changes()
    assert (changes.contracts, changes.feeds, changes.workers) == ({BTC}, {FEED}, True)
    assert changes.alerts == [alert()]
    assert not fleet.has_changed()
    assert not fleet.take_changes()
    fleet.take_zscore(zscore(event_time=NOW_US - 30 * S), NOW_US)
    fleet.take_alert(alert())
    assert not fleet.has_changed()


def test_what_is_too_old_is_forgotten() -> None:
    """Rates and alerts after a day, workers after half a minute of silence."""
    fleet = Fleet()
    fleet.take_zscore(zscore(event_time=NOW_US), NOW_US)
    fleet.take_alert(alert(created_at=NOW_US))
    fleet.take_worker(b"", worker_status(reported_at=NOW_US))
    fleet.expire(NOW_US + round(WORKER_GONE_S * S))
    assert fleet.workers
    fleet.expire(NOW_US + round(WORKER_GONE_S * S) + 1)
    assert not fleet.workers
    fleet.expire(NOW_US + RATE_KEPT_S * S)
    assert fleet.contracts
    assert fleet.alerts()
    fleet.expire(NOW_US + max(RATE_KEPT_S, ALERTS_KEPT_S) * S + 1)
    assert not fleet.contracts
    assert not fleet.alerts()


def test_alerts_are_bounded_and_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes, also from what is still to be told."""
    monkeypatch.setattr(fleet_module, "MAX_ALERTS", 3)
    fleet = Fleet()
    for number in (4, 1, 3, 2, 5):
        fleet.take_alert(alert(f"a-{number}", created_at=NOW_US + number))
    assert [each["alert_id"] for each in fleet.alerts()] == ["a-5", "a-4", "a-3"]
    told = {each["alert_id"] for each in fleet.take_changes().alerts}
    assert told == {"a-5", "a-4", "a-3"}


def test_contracts_and_workers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond the bound is counted; what is known goes on."""
    monkeypatch.setattr(fleet_module, "MAX_CONTRACTS", 1 / len(FEEDS))
    monkeypatch.setattr(fleet_module, "MAX_WORKERS", 1)
    fleet = Fleet()
    for symbol in ("BTCUSDT", "ETHUSDT"):
        fleet.take_zscore(zscore(symbol), NOW_US)
        fleet.take_bar(bar(symbol))
        fleet.take_settlement(settlement(symbol))
        fleet.take_worker(b"", worker_status(symbol))
    fleet.take_zscore(zscore(event_time=NOW_US), NOW_US)
    assert fleet.refused == 4
    assert list(fleet.contracts) == [BTC]
    assert fleet.contracts[BTC].zscore["event_time"] == NOW_US
    assert list(fleet.workers) == ["BTCUSDT"]


def test_unknown_feeds_are_ignored_and_counted() -> None:
    """A topic that others write to as well cannot fill the page."""
    fleet = Fleet()
    fleet.take_zscore(zscore(feed="nobody"), NOW_US)
    fleet.take_feed(b"", feed_status("nobody"))
    fleet.take_bar(bar(feed="nobody"))
    fleet.take_settlement(settlement(feed="nobody"))
    assert fleet.refused == 4
    assert not fleet.has_changed()


def test_tombstones_remove() -> None:
    """A feed or a worker without a record is gone; an unknown one is no error."""
    fleet = Fleet()
    fleet.take_feed(b"", feed_status())
    fleet.take_worker(b"", worker_status())
    fleet.take_changes()
    fleet.take_feed(FEED.encode(), None)
    fleet.take_feed(b"\xff", None)
    fleet.take_worker(b"one", None)
    fleet.take_worker(None, None)
    assert not fleet.feeds
    assert not fleet.workers
    assert fleet.take_changes().feeds == {FEED}


def test_an_older_report_of_a_feed_does_not_replace_a_newer_one() -> None:
    """Two producers may overlap for a moment."""
    fleet = Fleet()
    fleet.take_feed(b"", feed_status(state="down"))
    fleet.take_feed(b"", feed_status(reported_at=NOW_US - 9 * S))
    assert fleet.feeds[FEED]["state"] == "down"


def test_closed_hours_are_those_of_two_days_as_eight_hour_rates() -> None:
    """In order, each once; an hour that is told again replaces itself, an older one does not."""
    fleet = Fleet()
    for hours_ago in (3, 1, 2, 50, 2):
        fleet.take_bar(bar(hours_ago=hours_ago, interval_hours=4.0, z_min=None))
    ring = fleet.bars(BTC)
    assert ring is not None
    hour = NOW_US // HOUR_US * HOUR_US
    found = ring.since(hour - 48 * HOUR_US)
    assert found["hour"].tolist() == [hour - 3 * HOUR_US, hour - 2 * HOUR_US, hour - HOUR_US]
    assert found["close"].tolist() == [0.0004] * 3
    assert found["z_min"][0] != found["z_min"][0]
    assert fleet.newest_hour == hour - HOUR_US
    assert fleet.bars(f"{FEED}:NONE") is None


def test_settlements_are_ordered_bounded_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two kinds may share a minute; one that is known better replaces what was known."""
    monkeypatch.setattr("stream_app.web.past.MAX_SETTLEMENTS", 3)
    fleet = Fleet()
    fleet.take_settlement(settlement(hours_ago=8))
    fleet.take_settlement(settlement(hours_ago=24))
    fleet.take_settlement(settlement(hours_ago=8, kind="special", rate=0.5))
    fleet.take_settlement(settlement(hours_ago=8, rate=0.0007))
    settled = fleet.settled(BTC)
    assert settled is not None
    assert [(each.kind, each.rate) for each in settled.since(0)] == [
        ("regular", 0.0001),
        ("regular", 0.0007),
        ("special", 0.5),
    ]
    fleet.take_settlement(settlement(hours_ago=0, rate=0.9))
    assert [each.rate for each in settled.since(0)] == [0.0007, 0.5, 0.9]
    assert [each.rate for each in settled.since(NOW_US // HOUR_US * HOUR_US)] == [0.9]
    assert len(settled) == 3


def test_quotes_follow_from_symbols() -> None:
    """As each feed's normaliser splits them; a symbol that does not tell has none."""
    assert quote_of("binance-usdm", "BTCUSDC") == "USDC"
    assert quote_of("kucoin", "XBTUSDTM") == "USDT"
    assert quote_of("hyperliquid", "BTC") == ""


def test_a_quote_that_is_learnt_later_is_told() -> None:
    """Once; what the symbol tells stands."""
    fleet = Fleet()
    fleet.take_zscore(zscore("BTC", feed="hyperliquid", quote=None), NOW_US)
    fleet.take_zscore(zscore(), NOW_US)
    fleet.take_changes()
    fleet.take_quotes({"hyperliquid:BTC": "USDC", BTC: "EUR", "hyperliquid:NONE": "USDC"})
    assert fleet.contracts["hyperliquid:BTC"].quote == "USDC"
    assert fleet.contracts[BTC].quote == "USDT"
    assert fleet.take_changes().contracts == {"hyperliquid:BTC"}
    fleet.take_zscore(zscore("ETH", feed="hyperliquid", quote=None), NOW_US)
    fleet.take_quotes({"hyperliquid:BTC": "USDC"})
    assert fleet.take_changes().contracts == {"hyperliquid:ETH"}


def test_facts_come_before_and_after_their_contract() -> None:
    """The newest count, and a tombstone forgets them."""
    fleet = Fleet()
    fleet.take_contract(b"", contract_facts(BTC, turnover_24h=1e6))
    assert not fleet.has_changed()
    fleet.take_zscore(zscore(), NOW_US)
    assert fleet.contracts[BTC].turnover_24h == 1e6
    fleet.take_changes()
    fleet.take_contract(b"", contract_facts(BTC, turnover_24h=2e6, updated_at=NOW_US))
    fleet.take_contract(b"", contract_facts(BTC, turnover_24h=9e6, updated_at=NOW_US - 1))
    assert fleet.contracts[BTC].turnover_24h == 2e6
    assert fleet.contracts[BTC].open_interest == 3e5
    assert fleet.take_changes().contracts == {BTC}
    fleet.take_contract(BTC.encode(), None)
    assert (fleet.contracts[BTC].turnover_24h, fleet.contracts[BTC].open_interest) == (None, None)
    fleet.take_contract(b"", contract_facts("nobody:BTC"))
    assert fleet.refused == 1


def test_messages_are_known_by_alert_and_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest word of each, of the last day, and no more than the bound."""
    monkeypatch.setattr(fleet_module, "MAX_NOTIFICATIONS", 2)
    fleet = Fleet()
    fleet.take_notification(notification(outcome="sending", updated_at=5))
    fleet.take_notification(notification(outcome="sent", updated_at=6))
    fleet.take_notification(notification(outcome="sending", updated_at=5))
    fleet.take_notification(notification(target="on-call"))
    outcomes = {told[1]: each["outcome"] for told, each in fleet.notifications.items()}
    assert outcomes == {"desk": "sent", "on-call": "sent"}
    assert len(fleet.take_changes().notifications) == 2
    fleet.take_notification(notification("a-0", created_at=NOW_US - 90 * S))
    assert {told[0] for told in fleet.notifications} == {"a-1"}
    fleet.expire(NOW_US + ALERTS_KEPT_S * S)
    assert not fleet.notifications
    assert not fleet.take_changes().notifications
