"""The notifier as a service: checks its rules, waits for Kafka, works or stands by until a signal.

Of several notifiers of a group one is active. The others are members without a partition, and take
over when it ends or is silent for some seconds.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

from schemas.clock import Clock, SystemClock
from schemas.errors import FatalError, UnavailableError
from schemas.feeds import FEEDS
from schemas.kafka.admin import require_topics
from schemas.process.heartbeat import Heartbeat
from schemas.serde.codec import Encoder
from schemas.serde.registry import SchemaCatalog
from schemas.topics import NOTIFICATIONS, alert_state_topic_spec
from stream_app.notifier.kafka.membership import Membership
from stream_app.notifier.kafka.store import LeadershipLostError
from stream_app.notifier.leader import Leader, Parts, topics_of
from stream_app.notifier.metrics import AlertMetrics
from stream_app.notifier.rules.model import RuleFile
from stream_app.notifier.rules_file.reader import load_rules
from stream_app.notifier.sending.services import Service
from stream_app.settings import AlertSettings

log = logging.getLogger(__name__)

_WAIT_S = 3.0
_KAFKA_TIMEOUT_S = 5.0
_STANDBY_POLL_S = 0.2
_IDLE_S = 0.1
_REJOIN_S = 1.0
_WATCHDOG_S = 60.0
"""Beyond every time-out of Kafka's clients: a loop that has not come by for so long hangs."""
_LOOK_EVERY_S = 5.0

T = TypeVar("T")


def services_of(
    rules: RuleFile, environment: Mapping[str, str], timeout_s: float
) -> dict[str, Service]:
    """Return the service of each target.

    Raises:
        ConfigurationError: a variable is not a URL that apprise knows.
    """
    return {
        target: Service(target, variable, environment.get(variable, ""), timeout_s)
        for target, variable in rules.targets.items()
    }


def run_notifier(settings: AlertSettings, *, stop: threading.Event | None = None) -> int:
    """Run the notifier until SIGTERM, SIGINT or `stop`; return the exit code 0.

    Raises:
        ConfigurationError: the rules file or a target is wrong.
        UnavailableError: the metrics port is taken.
        FatalError: it cannot go on.
    """
    rules = load_rules(settings.alert_rules, FEEDS, os.environ)
    services = services_of(rules, os.environ, settings.alert_timeout_s)
    stop = stop or threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    metrics, clock = AlertMetrics(), SystemClock()
    heartbeat = Heartbeat(clock, _WATCHDOG_S)
    notifier = Notifier(settings, rules, services, metrics, heartbeat, stop, clock)
    stop_metrics = metrics.serve(settings, notifier.trouble)
    finished = threading.Event()
    threading.Thread(
        target=_watch, args=(heartbeat, finished), name="watchdog", daemon=True
    ).start()
    try:
        notifier.run()
    finally:
        finished.set()
        stop_metrics()
    log.info("notifier stopped")
    return 0


class Notifier:
    """One member of the notifiers' group."""

    def __init__(
        self,
        settings: AlertSettings,
        rules: RuleFile,
        services: Mapping[str, Service],
        metrics: AlertMetrics,
        heartbeat: Heartbeat,
        stop: threading.Event,
        clock: Clock,
    ) -> None:
        """`heartbeat` gets a beat at each turn of each loop."""
        self._settings = settings
        self._rules = rules
        self._services = services
        self._metrics = metrics
        self._heartbeat = heartbeat
        self._stop = stop
        self._clock = clock
        self._membership: Membership | None = None
        self._leader: Leader | None = None

    def run(self) -> None:
        """Be a member until the stop event is set; join anew whenever another one took over."""
        settings = self._settings
        catalog = SchemaCatalog(settings, answer_within_s=_KAFKA_TIMEOUT_S)
        topics = [topic.name for topic in topics_of(self._rules.rules)]
        topics += [NOTIFICATIONS.name, alert_state_topic_spec(settings.alert_group).name]
        self._until_available(lambda: require_topics(settings, topics, _KAFKA_TIMEOUT_S))
        encoder = self._until_available(lambda: catalog.encoder(NOTIFICATIONS))
        while encoder is not None and not self._stop.is_set():
            try:
                self._be_member(catalog, encoder)
            except LeadershipLostError as error:
                if not self._stop.is_set():
                    log.warning("%s: standing by", error)
                    self._stop.wait(_REJOIN_S)

    def trouble(self) -> str:
        """Return what is wrong, for a person; empty: nothing. Any thread may ask."""
        leader = self._leader
        return self._heartbeat.trouble() or (leader.trouble() if leader is not None else "")

    def _be_member(self, catalog: SchemaCatalog, encoder: Encoder) -> None:
        membership = self._membership = Membership(self._settings, self._release)
        parts = Parts(
            settings=self._settings,
            rules=self._rules,
            services=self._services,
            catalog=catalog,
            metrics=self._metrics,
            clock=self._clock,
            encoder=encoder,
            idle=self._idle,
        )
        try:
            while not self._stop.is_set():
                self._heartbeat.beat()
                membership.poll(_STANDBY_POLL_S)
                if membership.active:
                    self._lead(parts, membership)
        finally:
            membership.active = False
            membership.close()

    def _lead(self, parts: Parts, membership: Membership) -> None:
        """Be the active notifier until another one is to be, or the end."""
        leader = Leader(parts, membership)
        try:
            leader.take_over()
            self._leader = leader
            self._metrics.active.set(1)
            while membership.active and not self._stop.is_set():
                self._heartbeat.beat()
                leader.turn()
                membership.poll(0)
            if membership.active:
                leader.release()
        finally:
            self._leader = None
            self._metrics.active.set(0)
            leader.close()

    def _release(self) -> None:
        """End what is under way: the group takes the partition away. Called in `poll`."""
        if self._leader is not None:
            self._leader.release()

    def _idle(self) -> None:
        """Stay a member while Kafka or the registry is waited for.

        Raises:
            LeadershipLostError: the partition is gone, or the process is to end.
        """
        assert self._membership is not None
        self._heartbeat.beat()
        self._membership.poll(_IDLE_S)
        if self._stop.is_set() or not self._membership.active:
            raise LeadershipLostError("the group's partition was lost while Kafka was waited for")

    def _until_available(self, attempt: Callable[[], T]) -> T | None:
        """Try until it works or the process is to stop."""
        while not self._stop.is_set():
            self._heartbeat.beat()
            try:
                return attempt()
            except UnavailableError as error:
                log.warning("waiting: %s", error)
                self._stop.wait(_WAIT_S)
        return None


def _watch(heartbeat: Heartbeat, finished: threading.Event) -> None:
    """End the process when its loop hangs: another notifier, or a new process, does better."""
    while not finished.wait(_LOOK_EVERY_S):
        trouble = heartbeat.trouble()
        if trouble:
            log.critical("%s: ending", trouble)
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(FatalError.exit_code)
