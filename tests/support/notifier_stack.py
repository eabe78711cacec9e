"""Notifiers as processes, and the records that make their rules fire."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any, cast

import requests
from prometheus_client.parser import text_string_to_metric_families

from infra.embedded.ports import free_port
from schemas.clock import now_us
from schemas.kafka.admin import ensure_topics
from schemas.records import ALERT, NOTIFICATION
from schemas.topics import ALERTS, NOTIFICATIONS, ZSCORES, alert_state_topic_spec
from stream_app.notifier.kafka.memory import read_notifications
from stream_app.settings import AlertSettings
from tests.support.sink_stack import Kafka, Part, zscore

RULES = """
targets:
  desk: FUNDING_ALERT_URL_DESK
  spare: FUNDING_ALERT_URL_SPARE
rules:
  - name: extreme
    when: {z: {abs: 3}}
    feeds: [binance-usdm]
    targets: [desk]
  - name: own
    kinds: [feed_down, contract_cap]
    targets: [desk, spare]
  - name: flips
    kinds: [sign_flip]
    digest: 3s
    targets: [desk]
"""


class NotifierProcess(Part):
    """`fundingstream alerts run`."""

    def __init__(
        self, directory: Path, name: str, kafka: Kafka, group: str, urls: dict[str, str], **env: str
    ) -> None:
        self.metrics_port = free_port()
        rules = directory / "rules.yaml"
        if not rules.exists():
            rules.write_text(RULES, encoding="utf-8")
        settings = {
            **kafka.env,
            **urls,
            "FUNDING_ALERT_RULES": str(rules),
            "FUNDING_ALERT_GROUP": group,
            "FUNDING_ALERT_METRICS_PORT": str(self.metrics_port),
            "FUNDING_ALERT_TIMEOUT_S": "5",
            "FUNDING_PAGE_URL": "http://127.0.0.1:6066",
            **env,
        }
        log = directory / f"{name}.log"
        super().__init__(name, ["-m", "infra.cli", "alerts", "run"], log, settings)

    def metric(self, name: str, **labels: str) -> float:
        """Read the sum of a metric's samples; 0 while it is not served."""
        try:
            text = requests.get(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=1).text
        except requests.RequestException:
            return 0.0
        return sum(
            float(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == f"fundingstream_alerts_{name}"
            and labels.items() <= sample.labels.items()
        )

    @property
    def active(self) -> bool:
        """Whether it is the one that works."""
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        return self.metric("active") == 1


def prepare(kafka: Kafka, group: str) -> AlertSettings:
    """Make the topics and schemas that a group of notifiers needs; return settings for it."""
    ensure_topics(kafka.settings, [alert_state_topic_spec(group)])
    kafka.catalog.register(NOTIFICATIONS)
    return AlertSettings(
        kafka_bootstrap=kafka.settings.kafka_bootstrap,
        registry_url=kafka.settings.registry_url,
        alert_group=group,
    )


def restart(kafka: Kafka) -> None:
    """Kill broker and registry by -9, and start them again on what they had written."""
    for part in kafka.parts:
        part.stop(signal.SIGKILL)
    kafka.parts = [
        Part(part.name, cast("list[str]", part.process.args)[1:], part.log, {})
        for part in kafka.parts
    ]
    kafka.wait()


def told(kafka: Kafka, settings: AlertSettings) -> dict[tuple[str, str], str]:
    """The outcome of each notification of a group, by alert id and target."""
    decoder = kafka.catalog.decoder(NOTIFICATION)
    records = read_notifications(settings, decoder, lambda: None)
    return {(r["alert_id"], r["target"]): r["outcome"] for r in records}


def publish_z(kafka: Kafka, symbol: str, *values: float) -> None:
    """Publish z-scores of a contract, each some milliseconds after the one before."""
    at = now_us()
    records = [
        zscore(
            0,
            contract_id=f"binance-usdm:{symbol}",
            symbol=symbol,
            z=z,
            event_time=at + number,
            zone="high" if abs(z) > 2 else "normal",
        )
        for number, z in enumerate(values)
    ]
    kafka.publish(ZSCORES, records)


def own_alert(number: int, kind: str = "feed_down", **changes: Any) -> dict[str, Any]:
    """One of our own alerts."""
    now = now_us()
    alert = {
        "alert_id": f"{kind}/funding.raw.kucoin/0/{number}/0", "subject": "kucoin", "kind": kind,
        "severity": "critical", "value": None, "threshold": None,
        "message": f"kucoin: {kind} <b>@everyone</b>", "event_time": now, "created_at": now,
        "raw_topic": None, "raw_partition": None, "raw_offset": None, "raw_item": None,
    } | changes  # fmt: skip
    return {field: alert[field] for field in ALERT.fields}


def publish_alerts(kafka: Kafka, *alerts: dict[str, Any]) -> None:
    """Publish alerts as a worker does."""
    kafka.publish(ALERTS, list(alerts))
