"""The Faust app of the worker: it processes the raw log between rebalances.

How it is put together is in app.py.
"""

from __future__ import annotations

import asyncio
import logging
from functools import cached_property
from typing import Any, NamedTuple

import faust
from aiokafka.errors import KafkaError

from schemas.errors import FundingStreamError, StateError
from stream_app.web.page import PageThread
from stream_app.worker.fetcher import Fetcher
from stream_app.worker.flusher import Flusher
from stream_app.worker.group_consumer import GroupTransport
from stream_app.worker.peers import Member
from stream_app.worker.processor import Processor
from stream_app.worker.raw_input import RawInput
from stream_app.worker.stall_detector import Work
from stream_app.worker.table_store import SteadyFlow
from stream_app.worker.watchdog import end_process

log = logging.getLogger(__name__)

_MAX_REASON_CHARS = 300
LAST_FLUSH_S = 10.0
"""How long an orderly end may take to make everything durable."""


class Intake(NamedTuple):
    """What brings raw records into the processor and makes durable what they lead to."""

    fetcher: Fetcher
    raw_input: RawInput
    flusher: Flusher


class FundingApp(faust.App):  # type: ignore[misc]
    """The Faust app: it processes the raw log between rebalances.

    Before its partitions are given away, and before it stops, it makes everything durable.
    """

    processor: Processor | None = None
    intake: Intake | None = None
    page: PageThread | None = None
    running_loop: asyncio.AbstractEventLoop | None = None
    """The loop that everything runs on. Faust's own attribute would make a loop for any thread that
    asks too early."""
    _beginning: asyncio.Task[None] | None = None

    def _new_transport(self) -> GroupTransport:
        return GroupTransport(self.conf.broker_consumer, self)

    @cached_property
    def flow_control(self) -> SteadyFlow:
        """What holds records back during a rebalance."""
        return SteadyFlow(loop=self.loop)

    def on_rebalance_end(self) -> None:
        """Fetch the assigned partitions: Faust has loaded their tables."""
        super().on_rebalance_end()
        if self.intake is not None:
            self._beginning = asyncio.ensure_future(self._begin(self.intake.raw_input))

    async def _begin(self, raw_input: RawInput) -> None:
        try:
            await raw_input.begin(await self.consumer.committed_raw())
        except StateError as error:
            end_process(str(error))
        except Exception:  # noqa: BLE001 - it would own partitions and process nothing
            end_process("the assigned partitions cannot be read")

    async def give_away(self) -> None:
        """Stop processing at once; make durable and commit what was processed.

        Whoever has the partitions next goes on from there. A member that Kafka has forgotten leaves
        everything to its successor.
        """
        if self.intake is None:
            return
        if self._beginning is not None:
            self._beginning.cancel()
        self.intake.raw_input.stop()
        if not self.member_id():
            self.forget()
            return
        await self.intake.flusher.flush()

    def forget(self) -> None:
        """Forget all state, and how far the tables are read: others have gone on without us.

        Nothing is processed until partitions are assigned again.
        """
        if self.intake is not None:
            self.intake.raw_input.forget()
        for table in self.tables.values():
            table.data.forget_offsets()

    async def _leave(self) -> None:
        """Tell the other workers that this one ends, so that they take over at once.

        A worker alone stays a member: it has its partitions back as soon as it is started again.
        """
        member = Member(self.conf.consumer_group_instance_id, self.member_id())
        if member.member_id and len(self.assignor.changelog_distribution) > 1:
            await self.consumer.remove_members([member])

    async def on_stop(self) -> None:
        """Flush and commit while the consumer still lives, then stop as Faust does.

        After a crash nothing is flushed: what is not durable is delivered again.
        """
        if self.intake is not None and self._consumer is not None and not self.crashed:
            try:
                async with asyncio.timeout(LAST_FLUSH_S):
                    await self.give_away()
                    await self._leave()
            except (FundingStreamError, KafkaError, TimeoutError) as error:
                reason = str(error) or f"it took longer than {LAST_FLUSH_S:g} s"
                log.error("stopping without a last flush: %s", reason)  # noqa: TRY400
        if self.intake is not None:
            self.intake.fetcher.close()
        await super().on_stop()

    def fallen(self) -> str | None:
        """Say that a service of the app has failed or stopped; None: all of them run.

        Safe to call in any thread. Faust's library mode marks the app as crashed when a service
        below it has crashed that nothing restarts.
        """
        if self.crashed:
            reason = " ".join(f"{self.crash_reason!r}".split())[:_MAX_REASON_CHARS]
            return f"Faust has crashed ({reason})"
        return "Faust has stopped" if self.should_stop else None

    def member_id(self) -> str:
        """Return the id that Kafka has given this member of the group; empty: it is no member now.

        Faust and aiokafka have no public way to ask for it.
        """
        inner: Any = self._consumer
        for attribute in ("_thread", "_consumer", "_coordinator", "member_id"):
            inner = getattr(inner, attribute, None)
        return inner or ""

    def processing(self) -> Work:
        """Return the partitions to process now, or how far the worker is in getting ready.

        Faust's flags tell a worker that is getting ready from one that is ready without partitions,
        which happens in a group with more workers than partitions: neither flag is set then. Before
        the first rebalance neither is set either.
        """
        if self.processor is None:
            return Work()
        if self.rebalancing or self.in_recovery or not self.rebalancing_count:
            return Work(preparing=self._records_recovered())
        return Work(frozenset(self.processor.assigned()))

    def _records_recovered(self) -> int:
        """Return a number that grows with each changelog record that a recovery reads."""
        if not self.in_recovery:
            return 0
        return sum(offset or 0 for offset in self.tables.recovery.active_offsets.values())
