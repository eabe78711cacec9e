"""The newest of everything that the topics tell: what the page and its API are made of.

A `Fleet` is filled from Kafka (reader.py), record by record, in one event loop. It does no I/O and
reads no clock. Whatever it keeps is bounded: by contract, by age and by number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from schemas.errors import ConfigurationError
from schemas.feed_spec import MAX_CONTRACTS
from schemas.feeds import FEEDS, part, spec
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
from schemas.times import US_PER_S
from stream_app.web.past import BarRing, SettledRates

RATE_KEPT_S = 86_400
"""A contract whose newest rate is older than a day is not shown, as in the view `latest`."""
ALERTS_KEPT_S = 86_400
MAX_ALERTS = 500
MAX_NOTIFICATIONS = 1_000
MAX_WORKERS = 100
WORKER_GONE_S = 30.0
"""A worker reports every second; after so long without a report it is gone."""


class Published(NamedTuple):
    """A contract's newest z-score, and what the page knows of it beside."""

    number: int
    """Number of the contract in this Fleet, from 0 on: the same for as long as it lives."""
    zscore: ZScore
    published_at: int
    """Kafka's timestamp of the record (UTC µs)."""
    quote: str
    """The quote asset; empty: it is not known."""
    facts: Contract | None = None
    """What the contract is and how much of it is traded; None: it is not told yet."""

    @property
    def turnover_24h(self) -> float | None:
        """What was traded in 24 hours, in the quote asset; None: not known."""
        return None if self.facts is None else self.facts["turnover_24h"]

    @property
    def open_interest(self) -> float | None:
        """The value of all open positions of one side, likewise."""
        return None if self.facts is None else self.facts["open_interest"]

    def trades_at_least(self, turnover: float) -> bool:
        """Tell whether so much is traded in 24 hours; where nothing is known, it is not."""
        known = self.turnover_24h
        return known is not None and known >= turnover


Told = tuple[str, str, str]
"""Which alert was told to whom, and by which notifiers: alert id, target, consumer group."""


class Changes:
    """What has changed since somebody asked before, by the key of each."""

    def __init__(self) -> None:
        self.contracts: set[str] = set()
        self.removed: list[int] = []
        self.feeds: set[str] = set()
        self.workers = False
        self.alerts: list[Alert] = []
        self.notifications: set[Told] = set()

    def __bool__(self) -> bool:
        changed = self.contracts or self.removed or self.feeds or self.alerts or self.notifications
        return bool(changed) or self.workers


class Fleet:
    """The newest z-score of each contract, status of each feed and worker, alerts, closed hours."""

    def __init__(self) -> None:
        self._contracts: dict[str, Published] = {}
        self._facts: dict[str, Contract] = {}
        self._feeds: dict[str, FeedStatus] = {}
        self._workers: dict[str, WorkerStatus] = {}
        self._alerts: dict[str, Alert] = {}
        self._notifications: dict[Told, Notification] = {}
        self._bars: dict[str, BarRing] = {}
        self._settled: dict[str, SettledRates] = {}
        self._quotes: Mapping[str, str] = {}
        self._next_number = 0
        self._changes = Changes()
        self.refused = 0
        """Records of contracts beyond the bound, or of feeds that are not known."""
        self.newest_hour: int | None = None
        """Begin of the newest hour that a bar is known of (UTC µs)."""
        self.newest_settlement: int | None = None
        """The latest funding time that has been settled (UTC µs)."""

    @property
    def contracts(self) -> Mapping[str, Published]:
        """The newest z-score of each contract, by contract id."""
        return self._contracts

    @property
    def feeds(self) -> Mapping[str, FeedStatus]:
        """The newest report of each feed's producer."""
        return self._feeds

    @property
    def workers(self) -> Mapping[str, WorkerStatus]:
        """The newest report of each worker that has reported lately."""
        return self._workers

    def alerts(self) -> list[Alert]:
        """Return the alerts of the last day, newest first."""
        return sorted(self._alerts.values(), key=_made, reverse=True)

    @property
    def notifications(self) -> Mapping[Told, Notification]:
        """The messages of the last day that left the house, or will."""
        return self._notifications

    def bars(self, contract_id: str) -> BarRing | None:
        """Return a contract's closed hours of the last two days."""
        return self._bars.get(contract_id)

    def settled(self, contract_id: str) -> SettledRates | None:
        """Return those settlements of a contract that have been published since the page runs."""
        return self._settled.get(contract_id)

    def has_changed(self) -> bool:
        """Tell whether something has changed since `take_changes`."""
        return bool(self._changes)

    def take_changes(self) -> Changes:
        """Return what has changed since the call before."""
        changes, self._changes = self._changes, Changes()
        return changes

    def take_zscore(self, zscore: ZScore, published_at: int) -> None:
        """Keep a z-score if it is newer than the contract's present one."""
        contract_id = zscore["contract_id"]
        known = self._contracts.get(contract_id)
        if known is not None:
            if _order(zscore) <= _order(known.zscore):
                return
            number = known.number
        else:
            if zscore["feed"] not in FEEDS or len(self._contracts) >= MAX_CONTRACTS * len(FEEDS):
                self.refused += 1
                return
            number = self._next_number
            self._next_number += 1
        quote = (
            quote_of(zscore["feed"], zscore["symbol"])
            or zscore["quote"]
            or self._quotes.get(contract_id, "")
        )
        facts = self._facts.get(contract_id)
        self._contracts[contract_id] = Published(number, zscore, published_at, quote, facts)
        self._changes.contracts.add(contract_id)

    def take_contract(self, key: bytes | None, facts: Contract | None) -> None:
        """Keep the newest facts of a contract, or forget them for a tombstone."""
        if facts is None:
            gone = (key or b"").decode(errors="replace")
            self._facts.pop(gone, None)
            self._show_facts(gone, None)
            return
        contract_id = facts["contract_id"]
        known = self._facts.get(contract_id)
        if known is None and (
            facts["feed"] not in FEEDS or len(self._facts) >= MAX_CONTRACTS * len(FEEDS)
        ):
            self.refused += 1
        elif known is None or facts["updated_at"] >= known["updated_at"]:
            self._facts[contract_id] = facts
            self._show_facts(contract_id, facts)

    def _show_facts(self, contract_id: str, facts: Contract | None) -> None:
        shown = self._contracts.get(contract_id)
        if shown is not None:
            self._contracts[contract_id] = shown._replace(facts=facts)
            self._changes.contracts.add(contract_id)

    def take_quotes(self, quotes: Mapping[str, str]) -> None:
        """Learn the quote assets of contracts whose symbol does not tell them."""
        self._quotes = quotes
        for contract_id, known in list(self._contracts.items()):
            quote = quotes.get(contract_id, "")
            if quote and not known.quote:
                self._contracts[contract_id] = known._replace(quote=quote)
                self._changes.contracts.add(contract_id)

    def take_feed(self, key: bytes | None, status: FeedStatus | None) -> None:
        """Keep a feed's status, or forget the feed for a tombstone. Unknown feeds are ignored."""
        if status is None:
            gone = (key or b"").decode(errors="replace")
            if self._feeds.pop(gone, None) is not None:
                self._changes.feeds.add(gone)
            return
        feed = status["feed"]
        known = self._feeds.get(feed)
        if feed not in FEEDS:
            self.refused += 1
        elif known is None or status["reported_at"] >= known["reported_at"]:
            self._feeds[feed] = status
            self._changes.feeds.add(feed)

    def take_worker(self, key: bytes | None, status: WorkerStatus | None) -> None:
        """Keep a worker's status, or forget the worker for a tombstone."""
        if status is None:
            self._workers.pop((key or b"").decode(errors="replace"), None)
        elif status["worker"] in self._workers or len(self._workers) < MAX_WORKERS:
            self._workers[status["worker"]] = status
        else:
            self.refused += 1
        self._changes.workers = True

    def take_alert(self, alert: Alert) -> None:
        """Keep an alert, each once."""
        if alert["alert_id"] in self._alerts:
            return
        self._alerts[alert["alert_id"]] = alert
        self._changes.alerts.append(alert)
        if len(self._alerts) > MAX_ALERTS:
            self._forget_alert(min(self._alerts.values(), key=_made))

    def take_notification(self, notification: Notification) -> None:
        """Keep the newest that is known of a message to a person."""
        told = (notification["alert_id"], notification["target"], notification["group"])
        known = self._notifications.get(told)
        if known is not None and notification["updated_at"] < known["updated_at"]:
            return
        self._notifications[told] = notification
        self._changes.notifications.add(told)
        if len(self._notifications) > MAX_NOTIFICATIONS:
            self._forget_notification(min(self._notifications, key=self._fired_at))

    def _fired_at(self, told: Told) -> int:
        return self._notifications[told]["created_at"]

    def _forget_notification(self, told: Told) -> None:
        del self._notifications[told]
        self._changes.notifications.discard(told)

    def take_bar(self, bar: HourlyBar) -> None:
        """Keep a closed hour of a contract."""
        ring = self._bars.get(bar["contract_id"])
        if ring is None:
            if bar["feed"] not in FEEDS or len(self._bars) >= MAX_CONTRACTS * len(FEEDS):
                self.refused += 1
                return
            ring = self._bars[bar["contract_id"]] = BarRing()
        ring.take(bar)
        self.newest_hour = max(self.newest_hour or 0, bar["hour"])

    def take_settlement(self, settlement: Settlement) -> None:
        """Keep a settled rate."""
        settled = self._settled.get(settlement["contract_id"])
        if settled is None:
            if settlement["feed"] not in FEEDS or len(self._settled) >= MAX_CONTRACTS * len(FEEDS):
                self.refused += 1
                return
            settled = self._settled[settlement["contract_id"]] = SettledRates()
        settled.take(settlement)
        self.newest_settlement = max(self.newest_settlement or 0, settlement["funding_time"])

    def remove(self, contract_id: str) -> None:
        """Forget a contract: it is gone, or was silent for too long."""
        removed = self._contracts.pop(contract_id, None)
        self._changes.contracts.discard(contract_id)
        self._bars.pop(contract_id, None)
        self._settled.pop(contract_id, None)
        if removed is not None:
            self._changes.removed.append(removed.number)

    def expire(self, now_us: int) -> None:
        """Forget what is too old to be shown."""
        oldest = now_us - RATE_KEPT_S * US_PER_S
        for contract_id, known in list(self._contracts.items()):
            if known.zscore["event_time"] < oldest:
                self.remove(contract_id)
        for alert in list(self._alerts.values()):
            if alert["created_at"] < now_us - ALERTS_KEPT_S * US_PER_S:
                self._forget_alert(alert)
        for told in list(self._notifications):
            if self._fired_at(told) < now_us - ALERTS_KEPT_S * US_PER_S:
                self._forget_notification(told)
        for name, status in list(self._workers.items()):
            if status["reported_at"] < now_us - WORKER_GONE_S * US_PER_S:
                del self._workers[name]
                self._changes.workers = True

    def _forget_alert(self, alert: Alert) -> None:
        del self._alerts[alert["alert_id"]]
        if alert in self._changes.alerts:
            self._changes.alerts.remove(alert)


def newest_first(alerts: Sequence[Alert]) -> list[Alert]:
    """Return alerts in the order in which the page shows them."""
    return sorted(alerts, key=_made, reverse=True)


@lru_cache(maxsize=1 << 15)
def quote_of(feed: str, symbol: str) -> str:
    """Return the quote asset of a symbol, as the feed's normaliser reads it; empty: not told."""
    try:
        quote: str = part(feed, spec(feed).normaliser, "split_symbol")(symbol)[1]
    except ConfigurationError:
        return ""
    return quote


def _order(zscore: ZScore) -> tuple[int, int, int, int, int]:
    """Return what tells the newer of two z-scores of a contract, as in the view `latest`."""
    return (
        zscore["event_time"],
        zscore["received_at"],
        zscore["computed_at"],
        zscore["raw_offset"],
        zscore["raw_item"],
    )


def _made(alert: Alert) -> tuple[int, str]:
    return alert["created_at"], alert["alert_id"]
