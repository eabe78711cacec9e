"""The made-up venue, simulated."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from infra.simulator.exchange import (
    Close,
    Frame,
    RestCall,
    RestReply,
    Session,
    SettledRate,
    Simulated,
    SocketRules,
)
from infra.simulator.market import universe
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Market, Settlements, Snapshot
from infra.simulator.market.truth import TickLedger, head
from infra.simulator.market.universe import Contract
from infra.simulator.options import HELD_BACK, SimulatorOptions
from infra.simulator.wire_fields import Wire
from tests.support.made_up_venue.facts import FEED

_UNITS = 100_000_000
WIRE = Wire(event=("at",), funding=("next",), rate=("fr",), symbol='"c":"([^"]+)"', current="curr")


def _contracts(count: int) -> list[Contract]:
    assets = universe.crypto_assets()
    return [
        Contract(
            f"{asset.name}/USD",
            asset,
            "USD",
            "crypto",
            8,
            universe.cap_units(row, asset),
            "active",
            universe.price_usd(asset),
        )
        for row, asset in zip(range(count), assets, strict=False)
    ]


def _rate(units: int) -> str:
    return f"{units / _UNITS:.8f}"


class MadeUpSession:
    """A connection: everything is pushed, nothing is asked for."""

    rules = SocketRules()

    def opened(self) -> Sequence[Frame | Close]:
        """Without a greeting."""
        return ()

    def on_text(self, text: str, now_ms: int) -> Sequence[Frame | Close]:
        """Without an answer."""
        del text, now_ms
        return ()

    def on_binary(self, data: bytes, now_ms: int) -> Sequence[Frame | Close]:
        """Without an answer."""
        del data, now_ms
        return ()

    def subscribed(self) -> Sequence[str]:
        """All of it."""
        return ["all"]


class MadeUpTick:
    """A push of all contracts."""

    def __init__(self, exchange: MadeUp, snapshot: Snapshot) -> None:
        self.exchange = exchange
        self.rates = [_rate(units) for units in snapshot.rate_units.tolist()]
        self.event_ms = snapshot.at_ms
        times = [snapshot.at_ms * 1_000] * len(self.rates)
        self.ledger = TickLedger(exchange.heads, times, self.rates)
        self.rows_text = [
            json.dumps({"c": contract.symbol, "at": snapshot.at_ms, "fr": rate, "next": next_ms})
            for contract, rate, next_ms in zip(
                exchange.contracts, self.rates, snapshot.next_funding_ms.tolist(), strict=True
            )
        ]

    def frames(self, session: Session) -> Iterator[Frame]:
        """One frame, the same for everybody."""
        del session
        yield Frame(self.array(), ledger=self.ledger, rows=self.rows())

    def array(self) -> bytes:
        """Return the rows of what is listed, as JSON."""
        return f"[{','.join(self.rows_text[row] for row in self.rows())}]".encode()

    def published(self) -> None:
        """REST shows it from now on."""
        self.exchange.newest = self

    def ledgers(self) -> Sequence[TickLedger]:
        """The one of all sockets."""
        return (self.ledger,)

    def rows(self) -> Sequence[int]:
        """What is listed."""
        return self.exchange.listings.rows()


class MadeUp:
    """The exchange."""

    name = FEED.name
    wire = WIRE

    def __init__(self, seed: int, contracts: int, tick_ms: int, now_ms: int) -> None:
        self.tick_ms = tick_ms
        self.phase_ms = 0
        self.contracts = _contracts(contracts + HELD_BACK)
        self.market = Market(seed, self.name, self.contracts)
        self.listings = Listings([c.symbol for c in self.contracts], HELD_BACK)
        self.book = SettlementBook(self.market, now_ms, self.listings)
        self.heads = [head(self.name, contract.symbol) for contract in self.contracts]
        self.newest = self.prepare(now_ms // tick_ms * tick_ms)

    def session(self, path: str, query: Mapping[str, str]) -> Session | None:
        """Open a connection at the one path that there is."""
        del query
        return MadeUpSession() if path == "/all" else None

    def rest(self, call: RestCall) -> RestReply:
        """Answer an HTTP request."""
        if call.path == "/current":
            return RestReply(self.newest.array())
        if call.path == "/contracts":
            listed = [self.contracts[row] for row in self.listings.rows()]
            rows = [{"c": c.symbol, "state": "live", "hours": c.interval_hours} for c in listed]
            return RestReply(json.dumps(rows).encode())
        if call.path == "/settled":
            return RestReply(self._history(int(call.query["from"]), int(call.query["to"])))
        return RestReply(b"[]", 404)

    def refusal(self, call: RestCall, status: int, retry_after_s: int | None) -> RestReply | None:
        """It has no words for it."""
        del call, status, retry_after_s
        return None

    def maintenance(self, call: RestCall) -> RestReply | None:
        """It has no call for its state."""
        del call
        return None

    def prepare(self, at_ms: int) -> MadeUpTick:
        """Compute the tick of a grid time."""
        return self.tick(self.market.snapshot(at_ms))

    def tick(self, snapshot: Snapshot) -> MadeUpTick:
        """Make a push of what the market shows."""
        return MadeUpTick(self, snapshot)

    def settled_at_start(self) -> Iterable[SettledRate]:
        """The 30 days before the start."""
        return self._settled(self.book.all)

    def settle(self, now_ms: int) -> Iterable[SettledRate]:
        """What has settled since the last call."""
        return self._settled(self.book.settle(now_ms))

    def _history(self, from_ms: int, to_ms: int) -> bytes:
        rows = [
            {"c": rate.symbol, "at": rate.funding_ms, "fr": rate.rate}
            for rate in self._settled(self.book.all)
            if from_ms <= rate.funding_ms <= to_ms
        ]
        return json.dumps(rows).encode()

    def _settled(self, settlements: Settlements) -> Iterable[SettledRate]:
        columns = (settlements.row, settlements.funding_ms, settlements.rate_units)
        for row, funding_ms, units in zip(*(column.tolist() for column in columns), strict=True):
            yield SettledRate(self.contracts[row].symbol, funding_ms, _rate(units), 8)


def create(options: SimulatorOptions, contracts: int, now_ms: int) -> MadeUp:
    """Create the exchange of a simulator process."""
    return MadeUp(options.seed, contracts, options.tick_ms, now_ms)


SIMULATED = Simulated(20, create, WIRE)
