"""Threads that send: one for each target, so that a target that hangs holds up no other.

apprise blocks. A target has one message under way at a time, which keeps their order.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping
from typing import NamedTuple

from schemas.clock import Clock
from schemas.records import Notification
from stream_app.notifier.rules.ledger import Key
from stream_app.notifier.sending.services import Result, Service, message_of

log = logging.getLogger(__name__)


class Order(NamedTuple):
    """A message that is to be sent, unless it is too late."""

    record: Notification
    not_after_s: float
    """Monotonic time after which another notifier might have taken over."""


class Done(NamedTuple):
    """An order's result."""

    key: Key
    result: Result
    seconds: float


class SenderPool:
    """The threads. They are daemons: a service that never answers does not hold up the end."""

    def __init__(self, services: Mapping[str, Service], clock: Clock) -> None:
        """`services` by the names of their targets; their number bounds the threads."""
        self._services = dict(services)
        self._clock = clock
        self._orders: dict[str, queue.SimpleQueue[Order | None]] = {}
        self._results: queue.SimpleQueue[Done] = queue.SimpleQueue()
        self.busy: dict[str, Key] = {}
        """The message under way of each target that has one."""
        self._since_s: dict[str, float] = {}
        """When each of them was handed over."""

    def submit(self, order: Order) -> None:
        """Hand a message to its target's thread, which must not be busy."""
        target = order.record["target"]
        assert target not in self.busy, target
        self.busy[target] = (order.record["alert_id"], target)
        self._since_s[target] = self._clock.monotonic_s()
        orders = self._orders.get(target)
        if orders is None:
            orders = self._orders[target] = queue.SimpleQueue()
            threading.Thread(
                target=self._run, args=(target, orders), name=f"sends to {target}", daemon=True
            ).start()
        orders.put(order)

    def results(self, wait_s: float = 0.0) -> list[Done]:
        """Return what was sent or failed since the last call; wait for one result if asked to."""
        found: list[Done] = []
        try:
            found.append(
                self._results.get(timeout=wait_s) if wait_s else self._results.get_nowait()
            )
            while True:
                found.append(self._results.get_nowait())
        except queue.Empty:
            pass
        for done in found:
            self.busy.pop(done.key[1], None)
            self._since_s.pop(done.key[1], None)
        return found

    def trouble(self, within_s: float) -> str:
        """Return which attempts have not ended within a time, for a person; empty: none.

        Any thread may ask.
        """
        now_s = self._clock.monotonic_s()
        hanging = {
            target: now_s - since_s
            for target, since_s in self._since_s.copy().items()
            if now_s - since_s > within_s
        }
        told = (
            f"target {target}: an attempt has not ended for {s:.0f} s"
            for target, s in hanging.items()
        )
        return "; ".join(told)

    def close(self) -> None:
        """Let the threads end after what they are doing."""
        for orders in self._orders.values():
            orders.put(None)

    def _run(self, target: str, orders: queue.SimpleQueue[Order | None]) -> None:
        service = self._services[target]
        while (order := orders.get()) is not None:
            began_s = self._clock.monotonic_s()
            try:
                result = self._send(service, order)
            except Exception:
                log.exception("target %s", target)
                result = Result(ok=False, reason="an error of ours, which is in the log")
            key = (order.record["alert_id"], target)
            self._results.put(Done(key, result, self._clock.monotonic_s() - began_s))

    def _send(self, service: Service, order: Order) -> Result:
        if self._clock.monotonic_s() > order.not_after_s:
            return Result(ok=False, reason="the process stood still", tried=False)
        record = order.record
        title, body = message_of(record)
        return service.send(title, body, record["severity"], record["alert_id"])
