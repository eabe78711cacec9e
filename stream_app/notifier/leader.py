"""What the active notifier does: read, run the rules, note, send, note again.

Each turn of the loop writes what it has led to in one transaction (kafka/store.py), and only then
hands messages over to the threads that send.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from schemas.backoff import Backoff
from schemas.clock import Clock
from schemas.records import NOTIFICATION
from schemas.serde.codec import Encoder
from schemas.serde.registry import SchemaCatalog
from schemas.text import one_line
from schemas.times import US_PER_MINUTE, US_PER_S
from schemas.topics import (
    ALERTS,
    AUDIT,
    STATUS,
    ZSCORES,
    TopicSpec,
    alert_state_topic_spec,
)
from stream_app.normalise import symbol_splitter
from stream_app.notifier.kafka.inputs import Input, Inputs
from stream_app.notifier.kafka.membership import SESSION_MS, Membership
from stream_app.notifier.kafka.memory import (
    notification_row,
    read_notifications,
    read_state,
    rule_row,
    track_row,
)
from stream_app.notifier.kafka.store import Row, Store
from stream_app.notifier.metrics import AlertMetrics
from stream_app.notifier.rules.engine import Engine
from stream_app.notifier.rules.firing import Firing
from stream_app.notifier.rules.ledger import Ledger
from stream_app.notifier.rules.model import FeedStates, Kinds, Mismatch, OpenGap, Rule, RuleFile
from stream_app.notifier.sending.pool import Done, Order, SenderPool
from stream_app.notifier.sending.services import Service
from stream_app.settings import AlertSettings

log = logging.getLogger(__name__)

_POLL_S = 0.1
_BUSY_POLL_S = 0.01
"""While a message is being sent: the next one for its target waits for its outcome."""
_TICK_S = 1.0
_OFFSETS_EVERY_S = 2.0
_STALL_S = 3.0
"""After a turn that took so long, what is on Kafka is read before anything counts as silent."""
_LEASE_S = SESSION_MS / 1_000 / 2
"""From before a transaction until its message is handed over: nobody else takes over so soon."""
_FIRST_RETRY_S = 1.0
_LAST_RETRY_S = 60.0
_RELEASE_S = 15.0
_LEAST_HANGING_S = 60.0
_HANGING_TIMEOUTS = 4
"""A service may make several requests for a message, each with its time-outs."""


class Parts(NamedTuple):
    """What a leader works with; it outlives it."""

    settings: AlertSettings
    rules: RuleFile
    services: Mapping[str, Service]
    catalog: SchemaCatalog
    metrics: AlertMetrics
    clock: Clock
    encoder: Encoder
    """Of notifications."""
    idle: Callable[[], None]
    """Called while something is waited for; raises LeadershipLostError to give up."""
    random: Callable[[], float] = random.random


def topics_of(rules: Collection[Rule]) -> list[TopicSpec]:
    """Return the topics that rules are about."""
    sources = {
        Kinds: ALERTS,
        Mismatch: ALERTS,
        FeedStates: STATUS,
        OpenGap: AUDIT,
    }
    found = {sources.get(type(rule.condition), ZSCORES).name for rule in rules}
    return [topic for topic in (ZSCORES, ALERTS, AUDIT, STATUS) if topic.name in found]


class Leader:
    """The work of the active notifier, from its taking over to its end."""

    def __init__(self, parts: Parts, membership: Membership) -> None:
        self._parts = parts
        self._membership = membership
        self._clock = parts.clock
        self._metrics = parts.metrics
        settings = parts.settings
        self._state_topic = alert_state_topic_spec(settings.alert_group).name
        self._max_age_us = round(settings.alert_max_age_s * US_PER_S)
        self._store = Store(settings, parts.idle)
        topics = topics_of(parts.rules.rules)
        self._inputs = Inputs(settings, parts.catalog, topics, parts.idle)
        self._pool = SenderPool(parts.services, parts.clock)
        self._backoffs = {
            target: Backoff(parts.random, _FIRST_RETRY_S, _LAST_RETRY_S, least=0.5)
            for target in parts.rules.targets
        }
        self._not_before_s = dict.fromkeys(parts.rules.targets, 0.0)
        self._engine: Engine
        self._ledger: Ledger
        self._rows: list[Row] = []
        """What is to be written with the next transaction."""
        self._tick_at_s = 0.0
        self._offsets_at_s = 0.0
        self._turn_at_s = parts.clock.monotonic_s()
        self._writing = False

    def take_over(self) -> None:
        """Shut out the notifier before, and remember what was told and what is under way.

        Raises:
            LeadershipLostError: another one is active meanwhile.
            FatalError: Kafka cannot be used.
        """
        parts, settings = self._parts, self._parts.settings
        self._store.take_over()
        now_us = self._clock.now_us()
        self._ledger = Ledger(
            settings.alert_group, parts.rules.targets, self._max_age_us, settings.page_url
        )
        decoder = parts.catalog.decoder(NOTIFICATION)
        for record in read_notifications(settings, decoder, parts.idle):
            self._ledger.restore(record)
        self._ledger.settle(now_us)
        self._restore_rules()
        longest_us = max((rule.hold_us for rule in parts.rules.rules), default=0)
        back_us = self._max_age_us + longest_us + US_PER_MINUTE
        self._inputs.start(now_us, self._max_age_us, back_us)
        log.info(
            "%d rules, %d targets; %d notifications and %d tracks remembered",
            *(len(parts.rules.rules), len(parts.rules.targets)),
            *(self._ledger.remembered, len(self._engine.tracks)),
        )

    def turn(self) -> None:
        """Do what there is to do now, and wait a little where there is nothing.

        Raises:
            LeadershipLostError: another notifier is active now.
            FatalError: Kafka cannot be used.
        """
        last_s, self._turn_at_s = self._turn_at_s, self._clock.monotonic_s()
        for item in self._inputs.poll(_BUSY_POLL_S if self._pool.busy else _POLL_S):
            self._take(item)
        now_s, now_us = self._clock.monotonic_s(), self._clock.now_us()
        if now_s - last_s > _STALL_S:
            self._inputs.await_ends()
        if now_s - self._tick_at_s >= _TICK_S:
            self._tick(now_s, now_us)
        for done in self._pool.results():
            self._note(done)
        self._ledger.close_digests(now_us)
        orders = self._orders(now_s, now_us)
        written = self._write(now_s)
        for order in orders:
            if written:
                self._pool.submit(order)
            else:
                self._ledger.not_tried((order.record["alert_id"], order.record["target"]), now_us)
        self._count()

    def release(self) -> None:
        """Wait for what is being sent and note its outcome, before another one takes over."""
        if self._writing:
            return  # Called while a transaction waits for Kafka: nothing more can be noted.
        until_s = self._clock.monotonic_s() + _RELEASE_S
        while self._pool.busy and (rest_s := until_s - self._clock.monotonic_s()) > 0:
            for done in self._pool.results(min(rest_s, 0.5)):
                self._note(done)
        self._write(self._clock.monotonic_s(), last=True)

    def trouble(self) -> str:
        """Return which targets hang, for a person; empty: none. Any thread may ask."""
        within_s = _HANGING_TIMEOUTS * self._parts.settings.alert_timeout_s
        return self._pool.trouble(max(within_s, _LEAST_HANGING_S))

    def close(self) -> None:
        """End the clients and threads."""
        self._pool.close()
        self._inputs.close()
        self._store.close()

    def _restore_rules(self) -> None:
        rules = self._parts.rules.rules
        settings = self._parts.settings
        tracks, known = read_state(settings, self._state_topic, self._parts.idle)
        fresh = [rule.name for rule in rules if known.get(rule.name) != rule.fingerprint]
        kept = {rule.name for rule in rules}.difference(fresh)
        self._engine = Engine(rules, _base_of, fresh=fresh, known_us=self._max_age_us)
        for key, track in tracks.items():
            if key[0] in kept:
                self._engine.tracks.restore(key, track)
            else:
                self._rows.append(track_row(self._state_topic, key, None))
        by_name = {rule.name: rule.fingerprint for rule in rules}
        for name in {*known, *by_name}:
            if known.get(name) != by_name.get(name):
                self._rows.append(rule_row(self._state_topic, name, by_name.get(name)))
        if fresh and known:
            log.info("rules that are new or have changed: %s", ", ".join(fresh))

    def _take(self, item: Input) -> None:
        self._metrics.records.labels(item.topic).inc()
        engine, now_us = self._engine, self._clock.now_us()
        if item.topic == ZSCORES.name:
            self._tell(engine.on_zscore(item.record), now_us)
        elif item.topic == ALERTS.name:
            self._tell(engine.on_alert(item.record), now_us)
        elif item.record is None:
            engine.on_feed_gone(item.key, now_us, known=item.known)
        elif item.topic == STATUS.name:
            self._tell(engine.on_feed_status(item.record, known=item.known), now_us)
        else:
            engine.on_audit(item.record)

    def _tell(self, firings: Collection[Firing], now_us: int) -> None:
        for firing in firings:
            self._metrics.fired.labels(firing.rule.name).inc()
            log.info("rule %s: %s", firing.rule.name, one_line(firing.title))
            self._ledger.take(firing, now_us)

    def _tick(self, now_s: float, now_us: int) -> None:
        self._tick_at_s = now_s
        if self._inputs.caught_up:
            self._tell(self._engine.tick(now_us), now_us)
        self._ledger.forget(now_us)
        for topic, count in self._inputs.lag().items():
            self._metrics.lag.labels(topic).set(count)
        for target in self._parts.rules.targets:
            self._metrics.open.labels(target).set(self._ledger.waiting(target))

    def _note(self, done: Done) -> None:
        """Note the outcome of an attempt."""
        now_us, (key, result, seconds) = self._clock.now_us(), done
        target = key[1]
        if not result.tried:
            self._ledger.not_tried(key, now_us)
            return
        self._metrics.attempts.labels(target, "ok" if result.ok else "failed").inc()
        self._metrics.send_seconds.labels(target).observe(seconds)
        if result.ok:
            delay_us = now_us - self._ledger.sent(key, now_us)["created_at"]
            self._metrics.delay_seconds.labels(target).observe(delay_us / US_PER_S)
            self._backoffs[target].healthy(_LAST_RETRY_S)
            self._not_before_s[target] = 0.0
            return
        delay_s = self._backoffs[target].failed()
        self._not_before_s[target] = self._clock.monotonic_s() + delay_s
        attempts = self._parts.settings.alert_attempts
        again = self._ledger.failed(key, result.reason, attempts, now_us)
        what = f"again in {delay_s:.1f} s" if again else f"given up after {attempts} attempts"
        log.warning("target %s: %s; %s", target, result.reason, what)

    def _orders(self, now_s: float, now_us: int) -> list[Order]:
        """Return the messages that are sent now, after they were noted as such."""
        orders = []
        for target, not_before_s in self._not_before_s.items():
            key = self._ledger.next(target)
            if key is None or target in self._pool.busy or now_s < not_before_s:
                continue
            record = self._ledger.begin(key, now_us).copy()
            orders.append(Order(record, now_s + _LEASE_S))
        return orders

    def _write(self, now_s: float, *, last: bool = False) -> bool:
        """Write what is to be written; return False where it is still to be."""
        self._rows += [
            track_row(self._state_topic, key, track)
            for key, track in self._engine.tracks.take_changes().items()
        ]
        self._rows += [
            notification_row(self._parts.encoder, record) for record in self._ledger.take_changes()
        ]
        overdue = now_s - self._offsets_at_s >= _OFFSETS_EVERY_S or last
        offsets = self._inputs.offsets() if self._rows or overdue else []
        if not self._rows and not offsets:
            return True
        self._writing = True
        if not self._store.commit(self._rows, offsets, self._membership.metadata()):
            self._writing = False
            return False
        self._writing = False
        self._rows.clear()
        self._inputs.offsets_are_stored()
        self._offsets_at_s = now_s
        return True

    def _count(self) -> None:
        """Hand what was counted over to the metrics."""
        metrics = self._metrics
        for counts in (self._engine.counts, self._ledger.counts):
            for reason, count in counts.items():
                metrics.held_back.labels(reason).inc(count)
            counts.clear()
        for (target, outcome), count in self._ledger.outcomes.items():
            metrics.notifications.labels(target, outcome).inc(count)
        self._ledger.outcomes.clear()
        tracks = self._engine.tracks
        metrics.tracks.set(len(tracks))
        metrics.held_back.labels("too_many_tracks").inc(tracks.refused)
        tracks.refused = 0


def _base_of(feed: str, symbol: str) -> str:
    """Return the base of a symbol as its normaliser guesses it; the symbol where it cannot."""
    try:
        return symbol_splitter(feed)(symbol)[0]
    except Exception:  # noqa: BLE001 - a normaliser may be another package's, the symbol anything
        return symbol
