"""The venue that sends what has changed, simulated. Once in its life it loses a message."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from infra.simulator.exchange import Close, Frame, Session, Simulated, SocketRules
from infra.simulator.market.market import Snapshot
from infra.simulator.options import SimulatorOptions
from tests.support.made_up_changes.facts import FEED
from tests.support.made_up_venue.simulator import WIRE, MadeUp, MadeUpTick

PING_EACH = 4
"""Messages between two pings."""
LOST = 10
"""The number of the message that does not arrive."""


class ChangesSession:
    """A connection: nothing more comes while a ping is not answered."""

    rules = SocketRules()

    def __init__(self, exchange: MadeUpChanges) -> None:
        self._exchange = exchange
        self.number = 0
        self.unanswered: int | None = None
        self.told: dict[str, Mapping[str, Any]] = {}
        """The newest row of each contract that was sent."""

    def opened(self) -> Sequence[Frame | Close]:
        """Begin with a ping."""
        return [self.ping()]

    def on_text(self, text: str, now_ms: int) -> Sequence[Frame | Close]:
        """Take the answer to a ping."""
        del now_ms
        if json.loads(text) == {"pong": self.unanswered}:
            self.unanswered = None
        return ()

    def on_binary(self, data: bytes, now_ms: int) -> Sequence[Frame | Close]:
        """Without an answer."""
        del data, now_ms
        return ()

    def subscribed(self) -> Sequence[str]:
        """All of it."""
        return ["changes"]

    def ping(self) -> Frame:
        """Ask whether the client lives."""
        self.unanswered = self.number
        return Frame(self.packed({"ping": self.number}), binary=True)

    def packed(self, message: Mapping[str, Any]) -> bytes:
        """Number a message."""
        if self.number == LOST and self._exchange.loses:
            self._exchange.loses = False
            self.number += 1
        text = json.dumps({"n": self.number, **message}).encode()
        self.number += 1
        return gzip.compress(text, 1)


class ChangesTick(MadeUpTick):
    """A push of what has changed of each contract."""

    def frames(self, session: Session) -> Iterator[Frame]:
        """One frame of each client's own, and a ping now and then."""
        assert isinstance(session, ChangesSession)
        if session.unanswered is not None:
            return
        whole, told = not session.told, session.told
        rows = {}
        for row in self.rows():
            symbol = self.exchange.contracts[row].symbol
            new = json.loads(self.rows_text[row])
            del new["c"]
            before, told[symbol] = told.get(symbol, {}), new
            rows[symbol] = {key: new[key] for key in new if new[key] != before.get(key)}
        payload = session.packed({"whole": whole, "rows": rows})
        yield Frame(payload, binary=True, ledger=self.ledger, rows=self.rows())
        if session.number % PING_EACH == 0:
            yield session.ping()


class MadeUpChanges(MadeUp):
    """The exchange."""

    name = FEED.name
    loses = True

    def session(self, path: str, query: Mapping[str, str]) -> Session | None:
        """Open a connection at the one path that there is."""
        del query
        return ChangesSession(self) if path == "/changes" else None

    def tick(self, snapshot: Snapshot) -> MadeUpTick:
        """Make a push of changes."""
        return ChangesTick(self, snapshot)


def create(options: SimulatorOptions, contracts: int, now_ms: int) -> MadeUpChanges:
    """Create the exchange of a simulator process."""
    return MadeUpChanges(options.seed, contracts, options.tick_ms, now_ms)


SIMULATED = Simulated(20, create, WIRE)
