"""Reads back what the notifier kept in Kafka: notifications, tracks of rules, and which rules.

The topic of tracks holds JSON under the keys `track|<rule>|<subject>` and `rule|<rule>`; the latter
has the fingerprint of the rule that the tracks belong to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from schemas.errors import FatalError, MalformedInputError, UnavailableError
from schemas.kafka import clients
from schemas.records import Notification
from schemas.serde.codec import Decoder, Encoder
from schemas.topics import NOTIFICATIONS
from stream_app.notifier.kafka.store import Row
from stream_app.notifier.rules.excursions import Track
from stream_app.notifier.rules.tracks import TrackKey
from stream_app.settings import AlertSettings

log = logging.getLogger(__name__)

_POLL_S = 0.5
_POLL_MESSAGES = 1_000
_track_decoder = msgspec.json.Decoder(Track)


def notification_row(encoder: Encoder, record: Notification) -> Row:
    """Return the row of a notification. Its key is group, alert id and target."""
    key = f"{record['group']}|{record['alert_id']}|{record['target']}"
    return NOTIFICATIONS.name, key.encode(), encoder.encode(record)


def track_row(topic: str, key: TrackKey, track: Track | None) -> Row:
    """Return the row of a track; None: it is no longer kept."""
    rule, subject = key
    value = None if track is None else msgspec.json.encode(track)
    return topic, f"track|{rule}|{subject}".encode(), value


def rule_row(topic: str, name: str, fingerprint: str | None) -> Row:
    """Return the row of a rule; None: there is no such rule any more."""
    value = None if fingerprint is None else msgspec.json.encode(fingerprint)
    return topic, f"rule|{name}".encode(), value


def read_notifications(
    settings: AlertSettings, decoder: Decoder, idle: Callable[[], None]
) -> Iterator[Notification]:
    """Yield the newest notification of each key of our group, oldest first."""
    newest: dict[bytes, Notification] = {}
    for key, value in _whole_partition(settings, NOTIFICATIONS.name, idle):
        if value is None:
            newest.pop(key, None)
            continue
        record = _decoded(decoder, value, idle)
        if record is not None and record["group"] == settings.alert_group:
            newest.pop(key, None)
            newest[key] = record
    yield from newest.values()


def read_state(
    settings: AlertSettings, topic: str, idle: Callable[[], None]
) -> tuple[dict[TrackKey, Track], dict[str, str]]:
    """Return the tracks that were kept, and the fingerprints of the rules."""
    tracks: dict[TrackKey, Track] = {}
    rules: dict[str, str] = {}
    for key, value in _whole_partition(settings, topic, idle):
        kind, _, rest = key.decode(errors="replace").partition("|")
        name, _, subject = rest.partition("|")
        try:
            if kind == "rule":
                rules.pop(name, None)
                if value is not None:
                    rules[name] = msgspec.json.decode(value, type=str)
            elif kind == "track":
                tracks.pop((name, subject), None)
                if value is not None:
                    tracks[name, subject] = _track_decoder.decode(value)
        except msgspec.MsgspecError as error:
            log.warning("%s: %s is no state of a rule: %s", topic, kind, error)
    return tracks, rules


def _decoded(decoder: Decoder, value: bytes, idle: Callable[[], None]) -> Notification | None:
    while True:
        try:
            record: Notification = decoder.decode(value)
        except MalformedInputError as error:
            log.warning("%s: %s", NOTIFICATIONS.name, error)
            return None
        except UnavailableError as error:
            log.warning("%s: waiting: %s", NOTIFICATIONS.name, error)
            idle()
        else:
            return record


def _whole_partition(
    settings: AlertSettings, topic: str, idle: Callable[[], None]
) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield key and value of each committed record of a topic's one partition, up to its end.

    Raises:
        FatalError: the topic cannot be read.
    """
    consumer: Any = clients.consumer(
        {
            **settings.quiet_librdkafka(),
            # The client wants a name; nothing is ever committed to it.
            "group.id": settings.alert_group,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 100,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        while True:
            idle()
            for message in consumer.consume(_POLL_MESSAGES, _POLL_S):
                error = message.error()
                if error is None:
                    yield message.key() or b"", message.value()
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name
                    return
                elif error.fatal() or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise FatalError(f"{topic} cannot be read: {error.str()}")
                else:
                    log.warning("%s: %s", topic, error.str())
    except KafkaException as error:
        raise FatalError(f"{topic} cannot be read: {error.args[0].str()}") from error
    finally:
        consumer.close()
