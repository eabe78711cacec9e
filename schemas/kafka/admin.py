"""Kafka administration: creates and checks topics, and lists the members of a group.

The topics are defined in schemas/topics.py.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource, NewTopic

from schemas.config.settings import SharedSettings
from schemas.errors import ConfigurationError, UnavailableError
from schemas.kafka import clients
from schemas.process.logs import NOTICE
from schemas.topics import TopicSpec

log = logging.getLogger(__name__)

ANSWER_WITHIN_S = 3.0
"""A person is told when a server has not answered for this long."""
_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class TopicResult:
    """What `ensure_topics` found or did for one topic."""

    name: str
    partitions: int
    outcome: Literal["created", "present"]


class TopicState(NamedTuple):
    """A topic as the broker has it."""

    partitions: int
    replicas: int
    """Of the partition with the fewest."""
    in_sync: int
    """The same, of replicas that are in sync."""
    config: Mapping[str, str]


def ensure_topics(
    settings: SharedSettings, topics: Iterable[TopicSpec], timeout_s: float = _TIMEOUT_S
) -> list[TopicResult]:
    """Create the topics that are missing and check the partitions of the others.

    Raises:
        UnavailableError: the broker does not answer within `timeout_s`.
        ConfigurationError: a topic exists with another number of partitions.
    """
    wanted = list(topics)
    admin, metadata = _connect(settings, timeout_s)
    present = metadata.topics
    missing = [topic for topic in wanted if topic.name not in present]
    for topic in wanted:
        if topic.name in present and len(present[topic.name].partitions) != topic.partitions:
            raise ConfigurationError(
                f"topic {topic.name} has {len(present[topic.name].partitions)} partitions, "
                f"fundingstream needs {topic.partitions}: contracts are bound to partitions, "
                "so recreate it or use another broker"
            )
    _create(admin, missing, settings.kafka_replication, timeout_s)
    created = {topic.name for topic in missing}
    return [
        TopicResult(t.name, t.partitions, "created" if t.name in created else "present")
        for t in wanted
    ]


def await_kafka(settings: SharedSettings) -> None:
    """Wait until Kafka answers, for a service, which may start before it; say so after 3 s.

    Raises:
        UnavailableError: it does not answer within 15 s.
    """
    try:
        _connect(settings, ANSWER_WITHIN_S)
    except UnavailableError as error:
        left_s = _TIMEOUT_S - ANSWER_WITHIN_S
        log.warning("%s %s; waiting for %g s more", NOTICE, error, left_s)
        _connect(settings, left_s)


def require_topics(
    settings: SharedSettings, names: Iterable[str], timeout_s: float = _TIMEOUT_S
) -> str:
    """Check that topics exist; return the id of the Kafka cluster.

    Raises:
        UnavailableError: the broker does not answer within `timeout_s`, or a topic is missing.
    """
    _admin, metadata = _connect(settings, timeout_s)
    missing = sorted(set(names) - set(metadata.topics))
    if missing:
        raise UnavailableError(
            f"Kafka at {settings.kafka_bootstrap} lacks the topics {', '.join(missing)}: run "
            "`fundingstream topics`"
        )
    return str(metadata.cluster_id)


def topic_states(
    settings: SharedSettings, names: Iterable[str], timeout_s: float = _TIMEOUT_S
) -> dict[str, TopicState]:
    """Return those of the topics that exist as the broker has them.

    Where it does not tell their configuration, that is empty.

    Raises:
        UnavailableError: the broker does not answer within `timeout_s`.
    """
    admin, metadata = _connect(settings, timeout_s)
    present = [name for name in names if name in metadata.topics]
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in present]
    configs: dict[str, dict[str, str]] = {}
    for resource, future in admin.describe_configs(resources, request_timeout=timeout_s).items():
        try:
            told = future.result(timeout_s)
        except (KafkaException, TimeoutError):
            continue
        configs[resource.name] = {key: entry.value for key, entry in told.items() if entry.value}
    states = {}
    for name in present:
        partitions = metadata.topics[name].partitions.values()
        states[name] = TopicState(
            len(partitions),
            min((len(partition.replicas) for partition in partitions), default=0),
            min((len(partition.isrs) for partition in partitions), default=0),
            configs.get(name, {}),
        )
    return states


def static_members(
    settings: SharedSettings, group: str, timeout_s: float = _TIMEOUT_S
) -> dict[str, str] | None:
    """Return the static members of a consumer group: instance id → member id.

    None where the broker does not say: it is away, does not know how, or may not be asked.
    """
    client: Any = clients.admin_client(settings.quiet_librdkafka())
    futures = client.describe_consumer_groups([group], request_timeout=timeout_s)
    try:
        described = futures[group].result(timeout_s)
    except (KafkaException, TimeoutError):
        return None
    found = ((member.group_instance_id, member.member_id) for member in described.members)
    return {instance: member for instance, member in found if instance}


def _connect(settings: SharedSettings, timeout_s: float) -> tuple[Any, Any]:
    """Return an admin client and the cluster's metadata. Raises UnavailableError."""
    told: list[KafkaError] = []
    admin: Any = clients.admin_client({**settings.quiet_librdkafka(), "error_cb": told.append})
    try:
        return admin, admin.list_topics(timeout=timeout_s)
    except KafkaException as error:
        # What is wrong with TLS is told to the callback alone, and only by polling.
        admin.poll(0)
        tls = settings.kafka_tls
        advices = [tls.advice(one.str()) for one in told] if tls is not None else []
        advice = next(filter(None, advices), "start it, or set FUNDING_KAFKA_BOOTSTRAP")
        raise UnavailableError(
            f"Kafka at {settings.kafka_bootstrap} does not answer within {timeout_s:g} s "
            f"({error.args[0].str()}): {advice}"
        ) from error


def _create(admin: Any, topics: list[TopicSpec], replication: int, timeout_s: float) -> None:
    if not topics:
        return
    futures = admin.create_topics(
        [
            NewTopic(
                t.name, num_partitions=t.partitions, replication_factor=replication, config=t.config
            )
            for t in topics
        ],
        operation_timeout=timeout_s,
    )
    for name, future in futures.items():
        try:
            future.result(timeout=timeout_s)
        except KafkaException as error:
            # Another process may create the same topics at the same time.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise UnavailableError(
                    f"topic {name} cannot be created: {error.args[0].str()}"
                ) from error
