"""Makes every Kafka client, so that librdkafka's own log goes to Python's logging.

librdkafka writes to stderr unless it is given a logger: a line for each failed attempt to connect.
Here its lines go to the logger `librdkafka`. A service shows its warnings (setup_logging); a tool,
which sets up no logging, shows none of them and reports a failure itself.

A client hands its lines over when it is polled. One that is not polled regularly takes its
configuration from `SharedSettings.quiet_librdkafka`, else its lines would pile up in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

_log = logging.getLogger("librdkafka")
# Python writes to stderr what a logger without any handler gets.
_log.addHandler(logging.NullHandler())


def consumer(config: Mapping[str, Any]) -> Any:
    """Return a confluent_kafka Consumer. Raises KafkaException where `config` is wrong."""
    return Consumer(dict(config), logger=_log)


def producer(config: Mapping[str, Any]) -> Any:
    """Return a confluent_kafka Producer. Raises KafkaException where `config` is wrong."""
    return Producer(dict(config), logger=_log)


def admin_client(config: Mapping[str, Any]) -> Any:
    """Return a confluent_kafka AdminClient. Raises KafkaException where `config` is wrong."""
    return AdminClient(dict(config), logger=_log)
