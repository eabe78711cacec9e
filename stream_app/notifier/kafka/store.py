"""Writes what the notifier must not forget: one transaction for each step.

A transaction holds notifications, changed tracks and the offsets of the input up to which they
count. Whoever becomes active begins with `take_over`, which ends what an earlier one has open and
refuses everything that it writes afterwards. So a notifier that stood still and wakes up cannot
note that it is about to send, and therefore does not send.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from schemas.errors import FatalError
from schemas.kafka import clients
from schemas.topics import MAX_MESSAGE_BYTES
from stream_app.settings import AlertSettings

log = logging.getLogger(__name__)

_TRY_S = 5.0
_TRANSACTION_MS = 60_000
_FENCED = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 - librdkafka's names
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
    }
)

Row = tuple[str, bytes, bytes | None]
"""Topic, key, value; None removes the key."""
Idle = Callable[[], None]
"""Called while Kafka is waited for; raises to give up."""


class LeadershipLostError(Exception):
    """Another notifier is active now, or this one is to stop."""


class Store:
    """A transactional producer under the group's name."""

    def __init__(self, settings: AlertSettings, idle: Idle) -> None:
        self._idle = idle
        self._producer: Any = clients.producer(
            {
                **settings.librdkafka(),
                "client.id": "fundingstream-alerts",
                "transactional.id": settings.alert_group,
                "transaction.timeout.ms": _TRANSACTION_MS,
                "message.max.bytes": MAX_MESSAGE_BYTES,
                "compression.type": "lz4",
                "linger.ms": 0,
                "error_cb": lambda error: log.debug("Kafka: %s", error.str()),
            }
        )

    def take_over(self) -> None:
        """End the transactions of whoever was active before, and shut it out.

        Raises:
            LeadershipLostError: `idle` gave up.
            FatalError: Kafka does not let this producer have transactions.
        """
        self._persist(lambda: self._producer.init_transactions(_TRY_S))

    def commit(self, rows: Iterable[Row], offsets: Sequence[Any], metadata: Any) -> bool:
        """Write rows and offsets together, or neither; return whether they are written.

        False: the group is changing; the same rows may be written a moment later.

        Raises:
            LeadershipLostError: another notifier has taken over, or `idle` gave up.
            FatalError: the producer cannot go on.
        """
        producer = self._producer
        try:
            producer.begin_transaction()
            for topic, key, value in rows:
                self._produce(topic, key, value)
            if offsets:
                self._persist(
                    lambda: producer.send_offsets_to_transaction(list(offsets), metadata, _TRY_S)
                )
            self._persist(lambda: producer.commit_transaction(_TRY_S))
        except _AbortError as error:
            log.info("not written yet (%s)", error)
            self._persist(lambda: producer.abort_transaction(_TRY_S))
            return False
        return True

    def close(self) -> None:
        """Drop what is not committed."""
        self._producer.purge()

    def _produce(self, topic: str, key: bytes, value: bytes | None) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, partition=0)
            except BufferError:
                self._idle()
                self._producer.poll(0.1)
            except KafkaException as error:
                self._judge(error)
            else:
                return

    def _persist(self, step: Callable[[], None]) -> None:
        """Do a step again until it is done, as long as Kafka says that this may help."""
        while True:
            try:
                step()
            except KafkaException as error:
                self._judge(error)
                self._idle()
            else:
                return

    def _judge(self, failure: KafkaException) -> None:
        """Return if the same step may be tried again; raise what else is to be done."""
        error = failure.args[0]
        if error.code() in _FENCED:
            raise LeadershipLostError("another notifier writes now") from failure
        if error.txn_requires_abort():
            raise _AbortError(error.str()) from failure
        if not error.retriable():
            raise FatalError(f"Kafka takes no transactions of ours: {error.str()}") from failure
        log.warning("Kafka: %s; trying again", error.str())


class _AbortError(Exception):
    """The transaction has to be undone; another one may work."""
