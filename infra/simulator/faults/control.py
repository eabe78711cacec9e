"""Begins and ends faults in a running simulator, on request and by a schedule.

It closes and freezes sockets, changes the state of exchanges, and records each fault in
`truth/faults.ndjson`. book.py knows which faults run; frames.py and replies.py apply them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from infra.simulator.exchange import Exchange, Frame
from infra.simulator.faults import contracts
from infra.simulator.faults.book import FaultBook, Running
from infra.simulator.faults.kinds import Fault
from infra.simulator.faults.schedule import Entry, Resume
from infra.simulator.market.truth import TruthLog
from infra.simulator.wire_fields import Wire
from schemas.errors import ConfigurationError

DRAIN_S = 5.0
_RESTART = "service restart"
_OF_SOCKETS = frozenset({"close", "half-open", "maintenance", "unknown-event"})


class Connection(Protocol):
    """An open socket, as far as faults act on it."""

    number: int
    delay_s: float

    def freeze(self) -> None:
        """Neither read nor send from now on, with TCP open."""
        ...

    def abort(self, reason: str, *, by_fault: bool = False) -> None:
        """Cut TCP without a farewell."""
        ...

    def offer(self, item: Frame) -> None:
        """Queue a frame."""
        ...

    async def finish(self, code: int, reason: str, timeout_s: float) -> None:
        """Send everything that is queued, then close."""
        ...


@dataclass(frozen=True, slots=True)
class Begun:
    """What starting a fault has done: sockets or faults concerned, its number, a symbol."""

    done: int
    number: int
    symbol: str | None = None


class FaultControl:
    """The faults of one server.

    Args:
        exchanges: the hosted feeds.
        connections: their open sockets.
        truth: where begins and ends are recorded.
        wall_ns: the wall clock.
        clock_s: a steady clock.
    """

    def __init__(
        self,
        exchanges: Mapping[str, Exchange],
        connections: Mapping[str, Collection[Connection]],
        truth: TruthLog,
        wall_ns: Callable[[], int],
        clock_s: Callable[[], float],
    ) -> None:
        self._exchanges = exchanges
        self._connections = connections
        self._truth = truth
        self._wall_ns = wall_ns
        self._clock_s = clock_s
        self._book = FaultBook()
        self._scheduled: list[tuple[float, Entry]] = []
        self._changed = asyncio.Event()
        self._to_follow: list[Running] = []
        self._closing: set[asyncio.Task[Begun]] = set()

    @property
    def feeds(self) -> Sequence[str]:
        """What faults can be about."""
        return tuple(self._exchanges)

    @property
    def wires(self) -> Mapping[str, Wire]:
        """Where each hosted feed's texts have their times, rates and symbols."""
        return {feed: exchange.wire for feed, exchange in self._exchanges.items()}

    @property
    def scheduled(self) -> int:
        """How many entries are still to come."""
        return len(self._scheduled)

    def of(self, feed: str) -> Sequence[Running]:
        """What runs for a feed; empty almost always, and then cheap."""
        self._expire()
        return self._book.of(feed)

    def on_frames(self, feed: str, connection: int) -> Sequence[Running]:
        """What concerns the data frames of a connection."""
        return self._book.on_frames(feed, connection)

    def first(self, feed: str, *kinds: str) -> Running | None:
        """The oldest running fault of some kinds."""
        self._expire()
        return self._book.first(feed, kinds)

    def names(self) -> list[str]:
        """What runs, as `kind:feed`."""
        self._expire()
        return self._book.names()

    def running(self) -> list[dict[str, Any]]:
        """What runs, for `GET /control`."""
        self._expire()
        now_s = self._clock_s()
        return [
            {
                "id": running.number,
                "kind": running.kind,
                "feed": running.fault.feed,
                "parameters": running.fault.parameters,
                "seconds_left": None
                if running.until_s is None
                else round(running.until_s - now_s, 3),
            }
            for running in self._book.running()
        ]

    def opened(self, feed: str, connection: Connection) -> None:
        """A new socket: it is as late as the others."""
        connection.delay_s = self._book.delay_s(feed, connection.number)

    async def start(self, fault: Fault) -> Begun:
        """Begin a fault; one that closes sockets is done when they are closed.

        Raises:
            ConfigurationError: it cannot be done in the present state.
        """
        self._expire()
        targets = self._targets(fault)
        symbol: str | None = None
        if fault.feed is not None:
            exchange, now_ms = self._exchanges[fault.feed], self._wall_ns() // 1_000_000
            fault = contracts.resolved(exchange, fault, now_ms)
            symbol = contracts.begin(exchange, fault, now_ms)
        about = frozenset(connection.number for connection in targets)
        # Sockets that open later are as free of a half-open connection as of another's fault.
        limited = fault.kind == "half-open" or "connection" in fault.parameters
        now_us = self._wall_ns() // 1_000
        begun, replaced = self._book.begin(
            fault, self._clock_s(), now_us, about if limited else None
        )
        self._ended(replaced)
        self._record(begun, ended_us=now_us if fault.instant else None)
        self._settle()
        done = len(targets) if fault.kind in _OF_SOCKETS else 1
        if fault.kind == "half-open":
            for connection in targets:
                connection.freeze()
        elif fault.kind == "maintenance":
            await _close(targets, fault.parameters["code"], _RESTART)
        elif fault.kind == "close" and fault.parameters["abort"]:
            for connection in targets:
                connection.abort("fault control", by_fault=True)
        elif fault.kind == "unknown-event":
            self._tell(targets, fault)
        elif fault.kind == "close":
            await _close(targets, fault.parameters["code"], "")
        return Begun(done, begun.number, symbol)

    def resume(self, what: Resume) -> int:
        """End faults; returns how many."""
        self._expire()
        ended = self._book.end(what.feed, what.kind, what.number)
        self._ended(ended)
        self._settle()
        return len(ended)

    def schedule(self, entries: Iterable[Entry]) -> None:
        """Do these from now on: it is their time 0."""
        now_s = self._clock_s()
        self._scheduled += [(now_s + entry.at_s, entry) for entry in entries]
        self._scheduled.sort(key=lambda due: due[0])
        self._changed.set()

    async def run(self) -> None:
        """End faults and follow the schedule, each when its time has come."""
        while True:
            self._changed.clear()
            self._expire()
            while self._scheduled and self._scheduled[0][0] <= self._clock_s():
                self._do(self._scheduled.pop(0)[1].what)
            times = [at_s for at_s, _ in self._scheduled[:1]]
            end_s = self._book.next_end_s()
            times += [] if end_s is None else [end_s]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(times) - self._clock_s() if times else None):
                    await self._changed.wait()

    def stopped(self) -> None:
        """The simulator ends, and every fault with it."""
        self._scheduled.clear()
        for task in self._closing:
            task.cancel()
        self._ended(self._book.end())

    def _do(self, what: Fault | Resume) -> None:
        if isinstance(what, Resume):
            self.resume(what)
            return
        # Its sockets may take seconds to close; the schedule goes on meanwhile.
        task = asyncio.create_task(self._start_scheduled(what))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _start_scheduled(self, fault: Fault) -> Begun:
        try:
            return await self.start(fault)
        except ConfigurationError as error:
            now_us = self._wall_ns() // 1_000
            self._truth.fault({**_about(0, fault), "began_at": now_us, "ended_at": now_us,
                               "parameters": fault.parameters, "error": str(error)})  # fmt: skip
            return Begun(0, 0)

    def _tell(self, targets: Iterable[Connection], fault: Fault) -> None:
        """Send an event that no documentation of the feed knows."""
        text = self._exchanges[fault.feed or ""].wire.unknown_event
        text = text.replace("@event@", fault.parameters["event"])
        text = text.replace("@ms@", str(self._wall_ns() // 1_000_000))
        for connection in targets:
            connection.offer(Frame(text.encode()))

    def _targets(self, fault: Fault) -> list[Connection]:
        """The open sockets that a fault is about, the oldest first."""
        index = fault.parameters.get("connection")
        chosen: list[Connection] = []
        for feed, connections in self._connections.items():
            if fault.feed in {None, feed}:
                ordered = sorted(connections, key=lambda connection: connection.number)
                chosen += ordered if index is None else ordered[index : index + 1]
        if index is not None and not chosen:
            raise ConfigurationError(f"no open socket has the index {index}")
        return chosen

    def _expire(self) -> None:
        end_s = self._book.next_end_s()
        if end_s is not None and end_s <= self._clock_s():
            self._ended(self._book.expire(self._clock_s()))
            self._settle()

    def _ended(self, ended: Iterable[Running]) -> None:
        for running in ended:
            self._record(running, ended_us=self._wall_ns() // 1_000)
            if running.kind == "zombie":
                self._to_follow.append(running)
            if running.kind == "half-open":
                for connections in self._connections.values():
                    for connection in list(connections):
                        if connection.number in (running.connections or ()):
                            connection.abort("fault control", by_fault=True)

    def _settle(self) -> None:
        """Bring what follows from the running faults into force."""
        for feed, exchange in self._exchanges.items():
            for connection in self._connections[feed]:
                connection.delay_s = self._book.delay_s(feed, connection.number)
            running = self._book.of(feed)
            exchange.book.lateness = contracts.lateness(running)
            exchange.listings.set_oddities(contracts.oddities(exchange, running))
        for ended in self._to_follow:
            contracts.ended(self._exchanges[ended.fault.feed or ""], ended)
        self._to_follow.clear()
        self._changed.set()

    def _record(self, running: Running, ended_us: int | None) -> None:
        self._truth.fault({
            **_about(running.number, running.fault),
            "began_at": running.began_us,
            "ended_at": ended_us,
            "parameters": running.fault.parameters,
        })  # fmt: skip


def _about(number: int, fault: Fault) -> dict[str, Any]:
    return {"id": number, "kind": fault.kind, "feed": fault.feed}


async def _close(connections: Iterable[Connection], code: int, reason: str) -> None:
    await asyncio.gather(*(c.finish(code, reason, DRAIN_S) for c in connections))
