"""Records of the topics that the page reads, as tests give them."""

from __future__ import annotations

from typing import Any

from schemas.rates import apr, rate_8h
from schemas.records import (
    Alert,
    Contract,
    FeedStatus,
    HourlyBar,
    Notification,
    Settlement,
    WorkerStatus,
    ZScore,
)
from stream_app.core.scoring.zones import zone_of

NOW_US = 1_795_813_066_105_123
FEED = "binance-usdm"
HOUR_US = 3_600_000_000


def zscore(symbol: str = "BTCUSDT", *, feed: str = FEED, **changes: Any) -> ZScore:
    """A z-score of a contract, made a second before NOW_US."""
    rate, hours = changes.get("rate", 0.0001), changes.get("interval_hours", 8.0)
    z = changes.get("z", 1.25)
    record: dict[str, Any] = {
        "contract_id": f"{feed}:{symbol}",
        "feed": feed,
        "symbol": symbol,
        "base": symbol.removesuffix("USDT"),
        "rate": rate,
        "interval_hours": hours,
        "rate_8h": rate_8h(rate, hours),
        "apr": apr(rate, hours),
        "z": z,
        "robust_z": 1.5,
        "percentile": 0.9,
        "mean": 0.00005,
        "std": 0.00004,
        "samples": 90,
        "confidence": "high",
        "stats_as_of": NOW_US // HOUR_US * HOUR_US,
        "zone": zone_of(z),
        "trigger": "flush",
        "crossed": None,
        "mark_price": 97_412.5,
        "next_funding_time": (NOW_US // HOUR_US + 3) * HOUR_US,
        "event_time": NOW_US - 1_000_000,
        "received_at": NOW_US - 900_000,
        "computed_at": NOW_US - 880_000,
        "transport": "ws",
        "raw_topic": f"funding.raw.{feed}",
        "raw_partition": 3,
        "raw_offset": 17,
        "raw_item": 2,
        "interval_source": "exchange_info",
        "interval_doubtful": False,
        "generation": 1,
        "rate_kind": "estimate",
        "quote": "USDT",
        "multiplier": 1.0,
    }
    return {**record, **changes}  # type: ignore[typeddict-item]


def contract_facts(contract_id: str = f"{FEED}:BTCUSDT", **changes: Any) -> Contract:
    """The facts of a contract, of which a million is traded a day."""
    feed, _, symbol = contract_id.partition(":")
    record = {
        "contract_id": contract_id,
        "feed": feed,
        "symbol": symbol,
        "base": symbol.removesuffix("USDT"),
        "quote": "USDT",
        "multiplier": 1.0,
        "status": "trading",
        "status_word": "TRADING",
        "interval_hours": 8.0,
        "rate_cap": 0.02,
        "rate_floor": -0.02,
        "listed_at": None,
        "rate_kind": "estimate",
        "turnover_24h": 1e6,
        "turnover_at": NOW_US - 9_000_000,
        "open_interest": 3e5,
        "open_interest_at": NOW_US - 9_000_000,
        "updated_at": NOW_US - 9_000_000,
        "raw_topic": f"funding.raw.{feed}",
        "raw_partition": 3,
        "raw_offset": 4,
        "raw_item": 1,
    }
    return {**record, **changes}  # type: ignore[typeddict-item]


def feed_status(feed: str = FEED, **changes: Any) -> FeedStatus:
    """A report of a feed's producer, made two seconds before NOW_US."""
    record: dict[str, Any] = {
        "feed": feed,
        "state": "live",
        "transport": "ws",
        "since": NOW_US - 600_000_000,
        "reported_at": NOW_US - 2_000_000,
        "last_data_at": NOW_US - 2_100_000,
        "contracts_expected": 2,
        "contracts_live": 2,
        "connections": 1,
        "connects": 3,
        "frames": 1_000,
        "updates": 9_000,
        "rest_calls": 40,
        "backfill_done": 2,
        "detail": "",
        "mode": "stream",
        "contracts_by_rest": 0,
        "connect_attempts": 4,
        "rest_failures": 1,
        "repeated": 0,
        "simulated": True,
        "limit_used": 0.125,
        "contracts_quiet": 0,
    }
    return {**record, **changes}  # type: ignore[typeddict-item]


def worker_status(worker: str = "one", **changes: Any) -> WorkerStatus:
    """A report of a worker, made half a second before NOW_US."""
    record: dict[str, Any] = {
        "worker": worker,
        "reported_at": NOW_US - 500_000,
        "started_at": NOW_US - 900_000_000,
        "partitions": 8,
        "records_behind": 0,
        "records": 300,
        "delay_p50_s": 0.012,
        "delay_p99_s": 0.041,
    }
    return {**record, **changes}  # type: ignore[typeddict-item]


def alert(alert_id: str = "a-1", **changes: Any) -> Alert:
    """An alert about a contract, made a minute before NOW_US."""
    record: dict[str, Any] = {
        "alert_id": alert_id,
        "subject": f"{FEED}:BTCUSDT",
        "kind": "z_cross",
        "severity": "critical",
        "value": 3.4,
        "threshold": 3.0,
        "message": "z is 3.4",
        "event_time": NOW_US - 60_500_000,
        "created_at": NOW_US - 60_000_000,
        "raw_topic": None,
        "raw_partition": None,
        "raw_offset": None,
        "raw_item": None,
    }
    return {**record, **changes}  # type: ignore[typeddict-item]


def notification(alert_id: str = "a-1", target: str = "desk", **changes: Any) -> Notification:
    """A message about an alert, sent a minute before NOW_US."""
    record: dict[str, Any] = {
        "alert_id": alert_id,
        "group": "fundingstream-alerts",
        "rule": "extreme-z",
        "target": target,
        "subject": f"{FEED}:BTCUSDT",
        "kind": "z",
        "severity": "critical",
        "value": 3.4,
        "title": "BTCUSDT: z +3.4",
        "message": "z is 3.4",
        "event_time": NOW_US - 60_500_000,
        "created_at": NOW_US - 60_000_000,
        "updated_at": NOW_US - 59_000_000,
        "due_at": None,
        "sent_at": NOW_US - 59_000_000,
        "attempts": 1,
        "outcome": "sent",
        "digest_id": None,
        "in_doubt": False,
        "detail": "",
    }
    return {**record, **changes}  # type: ignore[typeddict-item]


def bar(symbol: str = "BTCUSDT", *, hours_ago: int = 1, **changes: Any) -> HourlyBar:
    """A closed hour of a contract; 1 is the hour before the one of NOW_US."""
    record: dict[str, Any] = {
        "contract_id": f"{FEED}:{symbol}",
        "feed": FEED,
        "symbol": symbol,
        "base": symbol.removesuffix("USDT"),
        "hour": (NOW_US // HOUR_US - hours_ago) * HOUR_US,
        "open": 0.0001,
        "high": 0.0003,
        "low": 0.00005,
        "close": 0.0002,
        "mean": 0.00015,
        "std": 0.00001,
        "covered_s": 3_600.0,
        "updates": 1_200,
        "late_updates": 0,
        "z_min": -0.5,
        "z_max": 2.5,
        "z_close": 1.0,
        "interval_hours": 8.0,
        "mark_close": 97_000.0,
        "ws_s": 3_600.0,
        "rest_s": 0.0,
    }
    return {**record, **changes}  # type: ignore[typeddict-item]


def settlement(symbol: str = "BTCUSDT", *, hours_ago: int = 8, **changes: Any) -> Settlement:
    """A settlement of a contract, at a full hour."""
    record: dict[str, Any] = {
        "contract_id": f"{FEED}:{symbol}",
        "feed": FEED,
        "symbol": symbol,
        "funding_time": (NOW_US // HOUR_US - hours_ago) * HOUR_US,
        "funding_time_raw": (NOW_US // HOUR_US - hours_ago) * HOUR_US + 3_000,
        "rate": 0.0001,
        "interval_hours": 8.0,
        "rate_8h": 0.0001,
        "source": "history",
        "received_at": NOW_US - 5_000_000,
        "raw_topic": f"funding.raw.{FEED}",
        "raw_partition": 3,
        "raw_offset": 5,
        "raw_item": 0,
        "kind": "regular",
        "interval_source": "exchange_info",
        "interval_doubtful": False,
        "generation": 1,
    }
    return {**record, **changes}  # type: ignore[typeddict-item]
