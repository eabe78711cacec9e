"""Faust's tables in memory that know how far they have read their changelogs, or written them.

Faust's own store in memory forgets that at each rebalance, reads every changelog from its beginning
again, and drops what a standby has collected. With the offsets kept, a worker that keeps a
partition reads nothing, and one that takes it over as its standby reads only what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import faust
from faust.stores import memory
from faust.tables import TableManager
from faust.types import TP
from mode.utils.queues import FlowControlEvent


class OffsetStore(memory.Store):  # type: ignore[misc]
    """A dictionary with the newest offset that is in it, for each partition of its changelog."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._offsets: dict[TP, int] = {}

    def apply_changelog_batch(
        self,
        batch: Iterable[Any],
        to_key: Callable[[Any], Any],
        to_value: Callable[[Any], Any],
    ) -> None:
        """Take over records of the changelog."""
        events = list(batch)
        super().apply_changelog_batch(events, to_key, to_value)
        for event in events:
            self.set_persisted_offset(event.message.tp, event.message.offset)

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Note that the record at an offset, and all before it, are in the store."""
        if offset > self._offsets.get(tp, -1):
            self._offsets[tp] = offset

    def persisted_offset(self, tp: TP) -> int | None:
        """Return the newest offset that is in the store; None: it has nothing of the partition."""
        return self._offsets.get(tp)

    def forget_offsets(self) -> None:
        """Let everything be read again: others may have written between what is here."""
        self._offsets.clear()

    def store(self, key: Any, value: Any, partition: int) -> None:
        """Set a value outside of an event, where Faust refuses `data[key] = value`."""
        self.data[key] = value
        self._key_partition[key] = partition

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Forget the partitions that this worker neither processes nor stands by for."""
        kept = active_tps | standby_tps
        numbers = {tp.partition for tp in kept}
        for key in [key for key, number in self._key_partition.items() if number not in numbers]:
            self.data.pop(key, None)
            del self._key_partition[key]
        self._offsets = {tp: offset for tp, offset in self._offsets.items() if tp in kept}


class OffsetTable(faust.Table):  # type: ignore[misc]
    """A table over such a store."""

    def _new_store(self) -> OffsetStore:
        return OffsetStore(
            "memory://",
            self.app,
            self,
            table_name=self.name,
            key_type=self.key_type,
            key_serializer=self.key_serializer,
            value_serializer=self.value_serializer,
            value_type=self.value_type,
            loop=self.loop,
            options=self.options,
        )


class PromptTableManager(TableManager):  # type: ignore[misc]
    """Starts at once: Faust waits a second for tables that are declared late, and ours are not."""

    async def on_start(self) -> None:
        """Announce the tables and begin to recover them."""
        await self._update_channels()
        await self.recovery.start()


class SteadyFlow(FlowControlEvent):  # type: ignore[misc]
    """Faust's switch that holds records back during a rebalance.

    Faust turns it on several times at the end of a recovery, and each time it throws away what is
    queued. The second time these are records of a standby, which nobody would read again.
    """

    def resume(self) -> None:
        """Let records through; if they were held back, without those from before."""
        if not self.is_active():
            super().resume()
