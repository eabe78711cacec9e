"""Decides from a series of looks at a worker whether its process has to be ended. Pure.

Reasons are: a service that has failed, an event loop that does not answer, input that is not
processed, and a start, rebalance or recovery that does not progress.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from stream_app.worker.raw_batches import Partition

MAX_STEP_S = 5.0
"""How much of the time between two looks counts at most: a process that was stopped, or a machine
that slept, could do nothing for the rest of it."""
FALLEN_GRACE_S = 15.0
"""How long a service that has failed may take to end the process in order."""
STOP_BOUND_S = 25.0
"""How long an end that was asked for may take: less than the 30 s after which supervisors kill."""
ONE_PARTITION_FACTOR = 5.0
"""How many times the patience one partition may wait for its turn while others are processed."""
RECOVERY_FACTOR = 10.0
"""How many times the patience a start, a rebalance or a recovery may take without progress."""

Behind = Mapping[Partition, int]
"""Partitions with records whose processing is not committed, and the offset from which on."""


class Work(NamedTuple):
    """What the worker is to do now, as it knows itself."""

    partitions: frozenset[Partition] = frozenset()
    """The raw partitions that it is to process; none while it gets ready."""
    preparing: int | None = None
    """While it starts, rebalances or recovers: a number that grows as its state is loaded.

    None: it is ready, even if the group has no partition for it.
    """


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
    """As in `Work`."""


@dataclass
class StallDetector:
    """Takes one look after the other and says whether the process has to be ended.

    Its times are seconds that the process was awake (see MAX_STEP_S). While Kafka does not answer
    nothing can be processed, so waiting input and preparation are timed by the seconds in which
    it does.
    """

    patience_s: float
    """How long the loop may be silent, and input may wait while nothing is processed.

    See RECOVERY_FACTOR for how long the worker may take to get ready.
    """
    _last_s: float | None = None
    """Time of the look before."""
    _awake_s: float = 0.0
    _served_s: float = 0.0
    """The part of `_awake_s` in which Kafka answered."""
    _answered_s: float = 0.0
    _fallen_s: float | None = None
    _moved_s: float = 0.0
    _waiting: dict[Partition, tuple[int, float]] = field(default_factory=dict)
    """Partition → from which offset, since when."""
    _prepared: tuple[int, float] | None = None
    """How far the preparation has got at most, and since when; None: the worker is ready."""

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
