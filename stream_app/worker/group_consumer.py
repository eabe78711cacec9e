"""Faust's consumer, kept from fetching the raw log, made to commit what the worker tells it.

The raw partitions stay in the group's subscription, so that the assignor gives each worker the
tables of the partitions that it processes. Their records come through fetcher.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiokafka.client import ConnectionGroup
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from schemas.topics import RAW_PREFIX
from stream_app.worker.peers import Member
from stream_app.worker.raw_batches import Partition
from stream_app.worker.remove_members import RemoveMembersRequest

log = logging.getLogger(__name__)

FETCH_WAIT_MS = 300
"""How long a fetch of changelogs waits for news; a request at a rebalance waits behind it."""
IDLE_S = 0.05
"""How soon Faust's fetcher notices a changelog to be read; Faust lets it sleep for a second."""


def is_raw(tp: Any) -> bool:
    """Tell whether a partition is one of the raw log."""
    topic: str = tp.topic
    return topic.startswith(RAW_PREFIX)


class _Listener(driver.ConsumerRebalanceListener):  # type: ignore[misc]
    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        """Pause all partitions before anything is fetched, then go on as Faust does.

        Faust pauses partitions for itself alone, and lets aiokafka fetch all of them, changelogs
        from their beginning, before it seeks those that it wants.
        """
        self._thread.pause_fetching(assigned)
        await super().on_partitions_assigned(assigned)


class _Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread in which aiokafka runs."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001 - Faust does not let it be set
        return consumer

    def pause_fetching(self, tps: Iterable[Any]) -> None:
        """Let aiokafka not fetch these partitions. Called in the thread."""
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        consumer.pause(*(tp for tp in map(driver.ensure_aiokafka_TP, tps) if tp in assigned))

    def resume_fetching(self, tps: Iterable[Any]) -> None:
        """Let aiokafka fetch these partitions. Called in the thread."""
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        consumer.resume(*(tp for tp in map(driver.ensure_aiokafka_TP, tps) if tp in assigned))

    async def seek_to_committed(self) -> Mapping[TP, int | None]:
        """Return the committed offsets; None: nothing is committed.

        Nothing has to be sought: raw partitions are not fetched here, changelogs not committed. All
        are asked for at once; aiokafka's own way is a request for each.
        """
        committed: Mapping[TP, int | None] = await self.call_thread(self._committed)
        return committed

    async def _committed(self) -> Mapping[TP, int | None]:
        consumer = self._ensure_consumer()
        raw = [tp for tp in consumer.assignment() if is_raw(tp)]
        found = await consumer._coordinator.fetch_committed_offsets(raw)  # noqa: SLF001
        return {TP(*tp): found[tp].offset if tp in found else None for tp in raw}

    async def commit_processed(self, offsets: Mapping[TP, int]) -> bool:
        """Commit in the thread; False: the group has gone on without this member."""
        done: bool = await self.call_thread(self._commit_processed, offsets)
        return done

    async def _commit_processed(self, offsets: Mapping[TP, int]) -> bool:
        consumer = self._ensure_consumer()
        assigned = self.assignment()
        known = {
            driver.ensure_aiokafka_TP(tp): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in assigned
        }
        try:
            if known:
                await consumer.commit(known)
        except (CommitFailedError, IllegalStateError):
            return False
        return bool(known)

    async def remove_members(self, members: Sequence[Member]) -> None:
        """Tell the group that static members are gone; this one itself may be among them."""
        await self.call_thread(self._remove_members, members)

    async def _remove_members(self, members: Sequence[Member]) -> None:
        consumer = self._ensure_consumer()
        coordinator = consumer._coordinator  # noqa: SLF001 - aiokafka removes no other member
        if coordinator.coordinator_id is None:
            return
        if any(member.member_id == coordinator.member_id for member in members):
            # The next heartbeat would be refused, and a refused member joins again.
            await coordinator._stop_heartbeat_task()  # noqa: SLF001
        request = RemoveMembersRequest(coordinator.group_id, members)
        # On the coordinator's own connection it would wait for a join that is under way.
        reply = await consumer._client.send(  # noqa: SLF001
            coordinator.coordinator_id, request, group=ConnectionGroup.DEFAULT
        )
        log.info("removed from the group: %s (%s)", members, reply)


class GroupConsumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer. It fetches the changelogs alone."""

    RebalanceListener = _Listener

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    def _set_active_tps(self, tps: set[TP]) -> set[TP]:
        active: set[TP] = super()._set_active_tps({tp for tp in tps if not is_raw(tp)})
        return active

    def pause_partitions(self, tps: Iterable[TP]) -> None:
        """Pause fetching, in aiokafka as well."""
        wanted = set(tps)
        super().pause_partitions(wanted)
        self._in_thread(self._thread.pause_fetching, wanted)

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Resume fetching from changelogs, in aiokafka as well."""
        changelogs = {tp for tp in tps if not is_raw(tp)}
        super().resume_partitions(changelogs)
        self._in_thread(self._thread.resume_fetching, changelogs)

    def _in_thread(self, function: Callable[[set[TP]], None], tps: set[TP]) -> None:
        with suppress(RuntimeError):  # the thread has ended: it fetches nothing
            self._thread.thread_loop.call_soon_threadsafe(function, tps)

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109 - as in Faust
        if self.flow_active and not self._get_active_partitions():
            await self.sleep(IDLE_S)
            return None, None
        return await super()._wait_next_records(timeout)

    async def verify_all_partitions_active(self) -> None:
        """Leave it to the watchdog to see a stall: Faust would miss its own fetches."""

    async def committed_raw(self) -> dict[Partition, int | None]:
        """Return the assigned raw partitions and what is committed of them; None: nothing is.

        Raises:
            aiokafka.errors.KafkaError: the group may not be read.
        """
        committed = await self._thread.seek_to_committed()
        return {(tp.topic, tp.partition): offset for tp, offset in committed.items()}

    async def commit_processed(self, offsets: Mapping[Partition, int]) -> bool:
        """Commit the offset after the last record that is processed and durable, by partition.

        Returns False if the group has gone on without this member, or does not give it any of the
        partitions now: another member has them, or will.

        Raises:
            aiokafka.errors.KafkaError: the broker refuses, for another reason.
        """
        done: bool = await self._thread.commit_processed({TP(*p): o for p, o in offsets.items()})
        return done

    async def remove_members(self, members: Sequence[Member]) -> None:
        """Tell the group that static members are gone, so that it does not wait for them.

        A member that has joined again under its name is not meant, and stays. What fails is logged:
        the group then waits for the end of their session.
        """
        try:
            await self._thread.remove_members(members)
        except (KafkaError, NotImplementedError) as error:  # the latter of a broker before 2.4
            log.warning("cannot tell the group that %s are gone: %r", members, error)


class GroupTransport(driver.Transport):  # type: ignore[misc]
    """Makes Faust use the consumer above."""

    Consumer = GroupConsumer
