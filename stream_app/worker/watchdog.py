"""Ends a worker that cannot go on, whatever its event loop and Faust are doing.

Faust may crash and leave the process standing: it processes nothing and no supervisor acts. So a
thread of its own looks at the process from outside the loop, and ends it with exit code 70
(schemas.errors.FatalError) where a service has failed, where the loop no longer answers, where
Kafka holds input that is not processed, or where the worker never gets ready to process any.
`StallDetector` decides and is pure; `Watchdog` looks and acts.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec

from schemas.errors import FatalError, FundingStreamError
from schemas.kafka import clients
from stream_app.settings import WorkerSettings

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
MAX_STEP_S = 5.0
"""What counts of the time between two looks: a process that was stopped, on a machine that slept,
has not had the rest of it."""
FALLEN_GRACE_S = 15.0
"""A service that has failed may take this long to end the process in order."""
STOP_BOUND_S = 25.0
"""As may an end that was asked for: within the 30 s after which supervisors kill."""
ONE_PARTITION_FACTOR = 5.0
"""One partition may wait this much longer for its turn while others are processed."""
RECOVERY_FACTOR = 10.0
"""A start, a rebalance or a recovery may take this many times the patience without progress."""
_TELL_EVERY_S = 60.0
"""How often it is logged, at most, that Kafka cannot be asked."""
_ASK_TIMEOUT_S = 3.0
_TELL_TIMEOUT_S = 2.0

Partition = tuple[str, int]
Behind = Mapping[Partition, int]
"""Partitions with records that are not processed for good, and the offset from which on."""


class Observation(NamedTuple):
    """What one look at the process found."""

    now_s: float
    """Monotonic."""
    answered: bool
    """Whether the event loop has answered since the look before."""
    fallen: str | None = None
    """What has failed or stopped within the process, in words."""
    asked_to_stop: bool = False
    behind: Behind | None = None
    """None: Kafka was not asked this time, or did not answer: what was known before still holds."""
    kafka_answers: bool = True
    """Whether Kafka answered when it was last asked."""
    preparing: int | None = None
    """See `Work`."""


@dataclass
class StallDetector:
    """Decides from a series of looks whether the process has to be ended. Pure.

    Its times are seconds that the process was awake, see MAX_STEP_S. While Kafka does not answer
    nothing can be processed, so the clock of what Kafka is needed for stands still.
    """

    patience_s: float
    """How long the loop may be silent, and input may wait while nothing is processed.

    See RECOVERY_FACTOR for how long the worker may take to get ready.
    """
    _last_s: float | None = None
    """The clock at the look before."""
    _awake_s: float = 0.0
    _served_s: float = 0.0
    """How much of that Kafka answered."""
    _answered_s: float = 0.0
    _fallen_s: float | None = None
    _moved_s: float = 0.0
    _waiting: dict[Partition, tuple[int, float]] = field(default_factory=dict)
    """Partition → from which offset, since when."""
    _prepared: tuple[int, float] | None = None
    """How far the preparation has come at most, and since when; None: the worker is ready."""

    def reason(self, look: Observation) -> str | None:
        """Return why the process cannot go on; None: it can, or may still recover."""
        if self._last_s is not None:
            max_step_s = min(MAX_STEP_S, self.patience_s / 4)
            step_s = min(look.now_s - self._last_s, max_step_s)
            self._awake_s += step_s
            if look.kafka_answers:
                self._served_s += step_s
        self._last_s = look.now_s
        return self._failed(look) or self._silent(look) or self._stuck(look) or self._unready(look)

    def _failed(self, look: Observation) -> str | None:
        if look.fallen is None:
            self._fallen_s = None
            return None
        if self._fallen_s is None:
            self._fallen_s = self._awake_s
        grace_s = STOP_BOUND_S if look.asked_to_stop else FALLEN_GRACE_S
        if self._awake_s - self._fallen_s < grace_s:
            return None
        return f"{look.fallen}, and the process has not ended within {grace_s:g} s"

    def _silent(self, look: Observation) -> str | None:
        if look.answered:
            self._answered_s = self._awake_s
        silent_s = self._awake_s - self._answered_s
        if silent_s < self.patience_s:
            return None
        return f"the event loop has not answered for {silent_s:.0f} s"

    def _stuck(self, look: Observation) -> str | None:
        if look.behind is None or look.fallen is not None:
            return None
        before, self._waiting = self._waiting, {}
        for partition, offset in look.behind.items():
            known = before.get(partition)
            is_same = known is not None and known[0] == offset
            self._waiting[partition] = known if known and is_same else (offset, self._served_s)
        if not before or before.items() - self._waiting.items():
            # Nothing was waiting, or something of it was processed.
            self._moved_s = self._served_s
        nothing_moves = self._served_s - self._moved_s >= self.patience_s
        limit_s = self.patience_s * (1.0 if nothing_moves else ONE_PARTITION_FACTOR)
        for (topic, number), (offset, since_s) in self._waiting.items():
            waited_s = self._served_s - since_s
            if waited_s >= limit_s:
                return (
                    f"{topic}/{number} has had records to process for {waited_s:.0f} s, from "
                    f"offset {offset} on, and none of them was"
                )
        return None

    def _unready(self, look: Observation) -> str | None:
        if look.preparing is None or look.fallen is not None:
            self._prepared = None
            return None
        if self._prepared is None or look.preparing > self._prepared[0]:
            # A rebalance that starts the recovery again is no progress: only new ground counts.
            self._prepared = (look.preparing, self._served_s)
        waited_s = self._served_s - self._prepared[1]
        if waited_s < self.patience_s * RECOVERY_FACTOR:
            return None
        return (
            "the worker has been starting, rebalancing or recovering its state for "
            f"{waited_s:.0f} s without progress, and can process nothing"
        )


class Work(NamedTuple):
    """What the worker is to do now, as it knows itself."""

    partitions: frozenset[Partition] = frozenset()
    """The raw partitions that it is to process; none while it gets ready."""
    preparing: int | None = None
    """While it starts, rebalances or recovers: a number that grows as its state is loaded.

    None: it is ready, even if the group has no partition for it.
    """


class Answer(NamedTuple):
    """What the event loop said when it last answered."""

    number: int = 0
    """One more with each answer."""
    work: Work = Work()


class Watchdog(threading.Thread):
    """Looks at the worker once a second from a daemon thread."""

    def __init__(
        self,
        settings: WorkerSettings,
        loop: asyncio.AbstractEventLoop,
        work: Callable[[], Work],
        fallen: Callable[[], str | None],
        asked_to_stop: Callable[[], bool],
    ) -> None:
        """`work` is called in the loop; the other two in this thread: they only read flags.

        `fallen` says what of the worker has failed or stopped, `asked_to_stop` whether a signal
        asked for it.
        """
        super().__init__(name="watchdog", daemon=True)
        self._settings = settings
        self._loop = loop
        self._work = work
        self._fallen = fallen
        self._asked_to_stop = asked_to_stop
        self._judge = StallDetector(settings.worker_watchdog_s)
        self._answer = Answer()
        self._seen = 0
        """Number of the answer at the last look."""
        self._lag = _GroupLag(settings)
        self._ask_every_s = settings.worker_watchdog_s / 4
        self._ask_at_s = 0.0
        self._kafka_answers = True
        self._telling = _Seldom()

    def run(self) -> None:
        """Look until there is a reason to end the process."""
        while True:
            try:
                reason = self._judge.reason(self._look())
            except Exception:
                log.exception("the watchdog cannot see; looking again")
                reason = None
            if reason is not None:
                end_process(reason)
            time.sleep(LOOK_EVERY_S)

    def _look(self) -> Observation:
        # A loop that is closed does not answer, and that is what counts.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._answers)
        behind = None
        if time.monotonic() >= self._ask_at_s:
            self._ask_at_s = time.monotonic() + self._ask_every_s
            behind = self._ask(self._answer.work)
        answer = self._answer
        answered, self._seen = answer.number != self._seen, answer.number
        return Observation(
            time.monotonic(),
            answered,
            self._fallen(),
            self._asked_to_stop(),
            behind,
            self._kafka_answers,
            answer.work.preparing,
        )

    def _ask(self, work: Work) -> Behind | None:
        """Ask Kafka what waits. Whatever fails in it must not keep the rest from being seen."""
        try:
            if work.preparing is not None:
                self._kafka_answers = self._lag.reachable()
                return {}
            behind = self._lag.behind(work.partitions)
        except Exception:
            if self._telling.is_due():
                log.exception("the watchdog cannot ask Kafka what waits; the rest it still sees")
            behind = None
        self._kafka_answers = behind is not None
        return behind

    def _answers(self) -> None:
        """In the loop: say what is going on."""
        self._answer = Answer(self._answer.number + 1, self._work())


class _Seldom:
    """Says when something that repeats may be logged: once in _TELL_EVERY_S."""

    def __init__(self) -> None:
        self._next_s = -math.inf

    def is_due(self) -> bool:
        """Tell whether to log it now; it counts as logged then."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + _TELL_EVERY_S
        return True


class _GroupLag:
    """Asks Kafka how far the worker's group is, with a client that Faust has no part in."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._admin: Any = clients.admin_client(settings.quiet_librdkafka())
        self._group = settings.worker_id
        self._telling = _Seldom()

    def behind(self, partitions: frozenset[Partition]) -> Behind | None:
        """Return which partitions have records that the group has not committed.

        None means that Kafka did not answer, or refused to: that says nothing about what waits.
        Records of a partition without any commit wait from its oldest on.
        """
        if not partitions:
            return {}
        asked = [TopicPartition(*partition) for partition in sorted(partitions)]
        try:
            begins = self._offsets(asked, OffsetSpec.earliest())
            ends = self._offsets(asked, OffsetSpec.latest())
            committed = self._committed(asked)
        except (KafkaException, TimeoutError) as error:
            self._tell(error)
            return None
        reached = {p: max(begins[p], committed.get(p, 0)) for p in ends}
        return {p: reached[p] for p, end in ends.items() if end > reached[p]}

    def reachable(self) -> bool:
        """Tell whether Kafka answers at all."""
        try:
            self._admin.list_topics(timeout=_ASK_TIMEOUT_S)
        except KafkaException as error:
            self._tell(error)
            return False
        return True

    def _tell(self, error: Exception) -> None:
        if self._telling.is_due():
            told = str(error) or f"no answer within {_ASK_TIMEOUT_S:g} s"
            log.warning("Kafka does not tell the watchdog how far the worker is: %s", told)

    def _offsets(self, asked: list[TopicPartition], spec: Any) -> dict[Partition, int]:
        futures = self._admin.list_offsets(
            dict.fromkeys(asked, spec),
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=_ASK_TIMEOUT_S,
        )
        return {
            (at.topic, at.partition): future.result(_ASK_TIMEOUT_S).offset
            for at, future in futures.items()
        }

    def _committed(self, asked: list[TopicPartition]) -> dict[Partition, int]:
        request = [ConsumerGroupTopicPartitions(self._group, asked)]
        answers = self._admin.list_consumer_group_offsets(request, request_timeout=_ASK_TIMEOUT_S)
        found = answers[self._group].result(_ASK_TIMEOUT_S).topic_partitions
        for at in found:
            if at.error is not None:
                # Its offset would read as "nothing is committed".
                raise KafkaException(at.error)
        return {(at.topic, at.partition): at.offset for at in found}


def end_process(reason: str) -> None:
    """End the process at once with exit code 70; the changelog rebuilds its state elsewhere.

    The log is written from another thread, with a bound: what has wedged the process may hold it.
    """
    error = sys.exc_info()[1]
    known = isinstance(error, FundingStreamError)

    def tell() -> None:
        log.critical(
            "%s: exiting, to restart from the last acknowledged state",
            f"{reason}: {error}" if known and str(error) != reason else reason,
            exc_info=None if known else error,
        )
        logging.shutdown()
        sys.stderr.flush()

    telling = threading.Thread(target=tell, daemon=True)
    telling.start()
    telling.join(_TELL_TIMEOUT_S)
    os._exit(FatalError.exit_code)
