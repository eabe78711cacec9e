"""An alert reaches its target once, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_app.settings import AlertSettings
from tests.support.notifier_stack import (
    NotifierProcess,
    own_alert,
    prepare,
    publish_alerts,
    publish_z,
    restart,
    told,
)
from tests.support.sink_stack import Kafka
from tests.support.waiting import eventually
from tests.support.webhook import Webhook

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

TAKES_OVER_S = 30.0


class Scene:
    """Notifiers of one group that tell one webhook."""

    def __init__(self, directory: Path, kafka: Kafka, group: str) -> None:
        self.directory, self.kafka, self.group = directory, kafka, group
        self.settings: AlertSettings = prepare(kafka, group)
        self.started: list[NotifierProcess] = []
        self.urls: dict[str, str] = {}

    def start(self, **env: str) -> NotifierProcess:
        """Start a notifier."""
        name = f"notifier-{len(self.started)}"
        part = NotifierProcess(self.directory, name, self.kafka, self.group, self.urls, **env)
        self.started.append(part)
        return part

    async def active(self, *parts: NotifierProcess) -> NotifierProcess:
        """Wait until exactly one is active; return it."""

        def one() -> Any:
            working = [part for part in parts if part.active]
            return working[0] if len(working) == 1 else None

        found: NotifierProcess = await eventually(one, "one is active", TAKES_OVER_S)
        return found

    async def noted(self, alert_id: str, outcome: str, target: str = "desk") -> None:
        """Wait until the topic says what became of an alert."""
        await eventually(
            lambda: told(self.kafka, self.settings).get((alert_id, target)) == outcome,
            f"{alert_id} is {outcome}",
            TAKES_OVER_S,
        )


@pytest.fixture
def scene(tmp_path: Path, kafka: Kafka, group: str, webhook: Webhook) -> Iterator[Scene]:
    """A scene whose processes end with the test."""
    made = Scene(tmp_path, kafka, group)
    made.urls = {"FUNDING_ALERT_URL_DESK": webhook.url, "FUNDING_ALERT_URL_SPARE": webhook.url}
    yield made
    for part in made.started:
        part.stop(signal.SIGKILL)


async def test_a_rule_fires_once_and_not_again_after_a_kill(scene: Scene, webhook: Webhook) -> None:
    """The excursion goes on over kill -9 and a restart; only the next one is told."""
    first = scene.start()
    await scene.active(first)
    publish_z(scene.kafka, "ONCEUSDT", 0.5, 1.0, 3.4)
    await eventually(lambda: webhook.got, "the webhook has it", TAKES_OVER_S)
    (body,) = webhook.got
    assert body["title"] == "binance-usdm:ONCEUSDT: z +3.40"
    assert "http://127.0.0.1:6066/#/contract/binance-usdm:ONCEUSDT?at=" in body["message"]
    await scene.noted(body["alert_id"], "sent")
    first.stop(signal.SIGKILL)
    second = scene.start()
    await scene.active(second)
    publish_z(scene.kafka, "ONCEUSDT", 3.6, 3.5, 2.0, 4.0)
    await eventually(lambda: len(webhook.got) > 1, "the next excursion", TAKES_OVER_S)
    assert webhook.titles == ["binance-usdm:ONCEUSDT: z +3.40", "binance-usdm:ONCEUSDT: z +4.00"]
    assert set(webhook.counts.values()) == {1}
    assert "hunter2" not in first.log.read_text() + second.log.read_text()
    assert second.stop() == 0


async def test_once_after_a_kill_of_everything(scene: Scene, webhook: Webhook) -> None:
    """Notifier, broker and registry are killed by -9: what was told is not told again."""
    first = scene.start()
    await scene.active(first)
    publish_alerts(scene.kafka, own_alert(50))
    publish_z(scene.kafka, "ALLUSDT", 0.5, 3.3)
    await eventually(lambda: len(webhook.got) == 3, "all three messages", TAKES_OVER_S)
    await scene.noted(own_alert(50)["alert_id"], "sent")
    await scene.noted(own_alert(50)["alert_id"], "sent", "spare")
    first.stop(signal.SIGKILL)
    restart(scene.kafka)
    second = scene.start()
    await scene.active(second)
    publish_alerts(scene.kafka, own_alert(50), own_alert(51))
    publish_z(scene.kafka, "ALLUSDT", 3.4)
    await scene.noted(own_alert(51)["alert_id"], "sent")
    await scene.noted(own_alert(51)["alert_id"], "sent", "spare")
    scores = {"topic": "funding.zscores"}
    await eventually(lambda: second.metric("records_total", **scores) >= 1, "", TAKES_OVER_S)
    assert second.stop() == 0
    assert sorted(webhook.counts.values()) == [1, 2, 2], "a z, and two alerts for two targets"


async def test_kafka_away_and_back(scene: Scene, webhook: Webhook) -> None:
    """Broker and registry are killed under a notifier that goes on, with the same process."""
    notifier = scene.start()
    await scene.active(notifier)
    publish_z(scene.kafka, "AWAYUSDT", 0.5, 3.3)
    await eventually(lambda: len(webhook.got) == 1, "the first message", TAKES_OVER_S)
    await scene.noted(webhook.got[0]["alert_id"], "sent")
    await asyncio.to_thread(restart, scene.kafka)
    publish_z(scene.kafka, "AWAYUSDT", 3.4, 2.0, 3.5)
    await eventually(lambda: len(webhook.got) == 2, "the second message", 90)
    assert set(webhook.counts.values()) == {1}
    assert notifier.stop() == 0


async def test_two_notifiers_tell_once_and_the_other_takes_over(
    scene: Scene, webhook: Webhook
) -> None:
    """One works; killed by -9, it is replaced, and neither repeats what was told."""
    one, two = scene.start(), scene.start()
    working = await scene.active(one, two)
    publish_alerts(scene.kafka, own_alert(1), own_alert(1))
    await eventually(lambda: len(webhook.got) >= 2, "desk and spare have it", TAKES_OVER_S)
    await scene.noted(own_alert(1)["alert_id"], "sent")
    await scene.noted(own_alert(1)["alert_id"], "sent", "spare")
    working.stop(signal.SIGKILL)
    (other,) = {one, two} - {working}
    await scene.active(other)
    publish_alerts(scene.kafka, own_alert(1), own_alert(2))
    await scene.noted(own_alert(2)["alert_id"], "sent")
    await scene.noted(own_alert(2)["alert_id"], "sent", "spare")
    assert [body["message"].split("\n")[0] for body in webhook.got[:1]] == [
        "kucoin: feed_down b everyone /b"
    ]
    assert webhook.counts == {own_alert(1)["alert_id"]: 2, own_alert(2)["alert_id"]: 2}
    assert other.metric("held_back_total", reason="duplicate") >= 2


async def test_a_notifier_that_stood_still_sends_nothing_more(
    scene: Scene, webhook: Webhook
) -> None:
    """Stopped, replaced and woken up, it is shut out, and stands by."""
    one, two = scene.start(), scene.start()
    working = await scene.active(one, two)
    (other,) = {one, two} - {working}
    working.process.send_signal(signal.SIGSTOP)
    await eventually(lambda: other.metric("active") == 1, "the other takes over", TAKES_OVER_S)
    publish_alerts(scene.kafka, own_alert(10))
    await scene.noted(own_alert(10)["alert_id"], "sent")
    working.process.send_signal(signal.SIGCONT)
    await eventually(lambda: working.metric("active") == 0, "it stands by", TAKES_OVER_S)
    publish_alerts(scene.kafka, own_alert(11))
    await scene.noted(own_alert(11)["alert_id"], "sent", "spare")
    await scene.noted(own_alert(11)["alert_id"], "sent")
    assert webhook.counts == {own_alert(10)["alert_id"]: 2, own_alert(11)["alert_id"]: 2}


async def test_a_target_that_was_away_is_told_once(scene: Scene, webhook: Webhook) -> None:
    """Refusals and a dead port are tried again; the other target is not held up."""
    away = Webhook()
    await away.start()
    scene.urls["FUNDING_ALERT_URL_SPARE"] = away.url
    await away.stop()
    notifier = scene.start()
    await scene.active(notifier)
    publish_alerts(scene.kafka, own_alert(20))
    await scene.noted(own_alert(20)["alert_id"], "sent")
    failed = {"target": "spare", "result": "failed"}
    await eventually(lambda: notifier.metric("attempts_total", **failed) >= 1, "", TAKES_OVER_S)
    assert told(scene.kafka, scene.settings)[own_alert(20)["alert_id"], "spare"] == "waiting"
    notifier.stop(signal.SIGKILL)
    away.status = 503
    await away.start()
    again = scene.start()
    await scene.active(again)
    await eventually(lambda: away.refused >= 1, "it is refused", TAKES_OVER_S)
    away.status = 200
    await scene.noted(own_alert(20)["alert_id"], "sent", "spare")
    assert away.counts == webhook.counts == {own_alert(20)["alert_id"]: 1}
    assert "status 503" in again.log.read_text()
    assert "hunter2" not in again.log.read_text()
    await away.stop()


async def test_killed_while_it_sends_it_sends_once_more_and_says_so(
    scene: Scene, webhook: Webhook
) -> None:
    """Nobody knows whether it arrived; ended in that attempt as well, it is not sent again."""
    webhook.open.clear()
    first = scene.start(FUNDING_ALERT_TIMEOUT_S="60")
    await scene.active(first)
    publish_z(scene.kafka, "DOUBTUSDT", 0.5, 5.0)
    await eventually(lambda: len(webhook.got) == 1, "it is being sent", TAKES_OVER_S)
    first.stop(signal.SIGKILL)
    second = scene.start(FUNDING_ALERT_TIMEOUT_S="60")
    await eventually(lambda: len(webhook.got) == 2, "it is sent once more", TAKES_OVER_S)
    second.stop(signal.SIGKILL)
    webhook.open.set()
    third = scene.start()
    alert_id = webhook.got[0]["alert_id"]
    await scene.noted(alert_id, "unknown")
    await scene.active(third)
    publish_z(scene.kafka, "OTHERUSDT", 0.5, 5.0)
    await eventually(lambda: len(webhook.got) == 3, "the next alert", TAKES_OVER_S)
    assert webhook.counts[alert_id] == 2
    assert webhook.titles[:2] == [
        "binance-usdm:DOUBTUSDT: z +5.00",
        "(repeated?) binance-usdm:DOUBTUSDT: z +5.00",
    ]


async def test_a_digest_is_one_message_and_survives_a_kill(scene: Scene, webhook: Webhook) -> None:
    """What was collected before the kill is told with what came after it."""
    first = scene.start()
    await scene.active(first)
    flips = [own_alert(n, "sign_flip", severity="info") for n in range(30, 34)]
    publish_alerts(scene.kafka, *flips[:3])
    await scene.noted(flips[2]["alert_id"], "collecting")
    first.stop(signal.SIGKILL)
    second = scene.start()
    await scene.active(second)
    for flip in flips[:3]:
        await scene.noted(flip["alert_id"], "digest")
    await eventually(lambda: webhook.got, "the digest", TAKES_OVER_S)
    assert webhook.titles == ["flips: 3 alerts"]
    publish_alerts(scene.kafka, flips[0], flips[3])
    await scene.noted(flips[3]["alert_id"], "sent")
    assert webhook.titles == ["flips: 3 alerts", "kucoin: sign flip"]


async def test_what_is_old_is_counted_and_not_told(scene: Scene, webhook: Webhook) -> None:
    """The first start over a topic full of old alerts, and a z that was out before it."""
    old = own_alert(40)["event_time"] - 100_000_000
    publish_alerts(scene.kafka, own_alert(40, event_time=old), own_alert(41))
    publish_z(scene.kafka, "FACTUSDT", 6.0, 6.1)
    notifier = scene.start(FUNDING_ALERT_MAX_AGE_S="60")
    await scene.noted(own_alert(41)["alert_id"], "sent")
    await scene.noted(own_alert(41)["alert_id"], "sent", "spare")
    await eventually(lambda: notifier.metric("held_back_total", reason="old") >= 1, "")
    await eventually(
        lambda: notifier.metric("records_total", topic="funding.zscores") >= 2, "", TAKES_OVER_S
    )
    await asyncio.to_thread(notifier.stop)
    assert own_alert(40)["alert_id"] not in webhook.counts
    assert not [title for title in webhook.titles if "FACTUSDT" in title]
