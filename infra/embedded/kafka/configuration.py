"""The embedded broker's configuration as text. Pure: no I/O, no clock.

Each value that differs from Kafka's default says why.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.errors import ConfigurationError

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where the broker listens, and the host that it tells clients to connect to."""

    host: str
    port: int
    advertised_host: str
    controller_port: int


def server_properties(listeners: Listeners, log_directory: str) -> dict[str, str]:
    """Return the properties of one KRaft node, broker and controller, sized for a laptop.

    Raises:
        ConfigurationError: the directory has a comma in its name.
    """
    if "," in log_directory:
        raise ConfigurationError(
            f"Kafka reads the comma in {log_directory} as two directories:"
            " choose another --data-dir"
        )
    controller = f"{_LOOPBACK}:{listeners.controller_port}"
    clients = _address(listeners.host, listeners.port)
    advertised = _address(listeners.advertised_host, listeners.port)
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{controller}",
        "listeners": f"PLAINTEXT://{clients},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{advertised}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": log_directory,
        # One node holds the only replica.
        "default.replication.factor": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # By default 50 partitions each, whose files and start-up time a few groups do not need.
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.num.partitions": "4",
        "num.partitions": "8",
        # A restarted worker rejoins at once instead of after 3 s.
        "group.initial.rebalance.delay.ms": "0",
        # Tests and fault drills evict a dead member within seconds (default 6 s).
        "group.min.session.timeout.ms": "1000",
        # After a kill -9 the node waits until its old session has expired (default 9 s).
        "broker.session.timeout.ms": "4000",
        "broker.heartbeat.interval.ms": "1000",
        # A mistyped topic is an error, not a new topic.
        "auto.create.topics.enable": "false",
        # Memory and threads for one user: 128 MB and 3 + 8 + 10 threads by default.
        "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "2",
        # Retention removes whole segments: smaller ones give the disk back sooner.
        "log.segment.bytes": str(256 * 1024 * 1024),
        "log.index.size.max.bytes": str(2 * 1024 * 1024),
    }


def properties_text(values: Mapping[str, str]) -> str:
    """Return the text of a Java properties file, with everything but ASCII escaped."""
    return "".join(f"{key}={_escape(value)}\n" for key, value in values.items())


def cluster_id(random_bytes: bytes) -> str:
    """Return a UUID in Kafka's form: base64url of 16 bytes without padding.

    The first six bits are set to a letter: an id that begins with "-" would read as an option.
    """
    assert len(random_bytes) == 16, "a UUID has 16 bytes"
    return "K" + base64.urlsafe_b64encode(random_bytes).decode().rstrip("=")[1:]


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _escape(value: str) -> str:
    escaped = value.replace("\\", "\\\\")
    # Java's escapes are UTF-16 units.
    return "".join(
        character
        if " " <= character <= "~"
        else "".join(f"\\u{unit[0]:02x}{unit[1]:02x}" for unit in _units(character))
        for character in escaped
    )


def _units(character: str) -> list[bytes]:
    encoded = character.encode("utf-16-be", "surrogatepass")
    return [encoded[start : start + 2] for start in range(0, len(encoded), 2)]
