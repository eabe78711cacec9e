"""Simulated dYdX: what is pushed when (docs/exchanges/dydx.md).

Rates, volumes and open interest are computed every 30 ticks, and what has changed of them is
pushed; oracle prices are pushed as they move, a few markets in each tick. A market that nobody
trades is pushed rarely. Each row that is pushed is an update in the truth, whether it names the
rate or not: frames have no time, so `event_time` is that of the tick.

This module reads no clock and does no I/O. session.py holds connections, rest.py REST, frames.py
texts, universe.py the markets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from infra.simulator.dydx import frames, universe, wire
from infra.simulator.dydx.frames import Shown
from infra.simulator.dydx.rest import DydxRest
from infra.simulator.dydx.session import RULES, DydxSession
from infra.simulator.exchange import (
    Frame,
    RestCall,
    RestReply,
    Session,
    SettledRate,
    Simulated,
    SocketRules,
)
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.liquidity import liquidity
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Market, Settlements, Snapshot
from infra.simulator.market.minute_budget import MinuteBudget
from infra.simulator.market.truth import TickLedger, head
from infra.simulator.options import HELD_BACK, NO_LIMIT, OwnOption, SimulatorOptions
from infra.simulator.phases import own_phase_ms
from infra.simulator.wire_fields import Wire

FEED = "dydx"
PATH = "/v4/ws"
_TICKS_PER_RATE = 30  # the job that computes rates runs every 30 s (§1)
_ORACLE_EVERY = (2, 5, 20)
"""How many ticks apart, on average, oracle prices are pushed: of busy, usual and quiet markets."""
_ACTIVE, _FINAL = "ACTIVE", "FINAL_SETTLEMENT"
_REQUESTS_PER_10_S = 100
PUSHED = OwnOption(
    "dydx_pushed",
    default="changes",
    values=("changes", "rows"),
    help="What dYdX pushes: fields that have changed, when they do, or whole rows at each tick.",
)


@dataclass(frozen=True, slots=True)
class DydxOptions:
    """What can be varied. Defaults follow dydx.md §1 and §4."""

    contracts: int = universe.PERPETUALS
    held_back: int = 0
    tick_ms: int = 1_000
    phase_ms: int = 0
    requests_per_10_s: int = _REQUESTS_PER_10_S
    pushes_rows: bool = False
    rules: SocketRules = RULES


class DydxTick:
    """One second: the rows that have changed, by what kind of message they belong to."""

    def __init__(self, exchange: Dydx, at_ms: int, kind: str, changed: Mapping[int, bytes]) -> None:
        self._exchange = exchange
        self._at_ms = at_ms
        self._kind = kind
        self._changed = changed
        rates = [exchange.rate(row) for row in range(len(exchange.contracts))]
        self._ledger = TickLedger(exchange.heads, [at_ms * 1_000] * len(rates), rates)

    @property
    def event_ms(self) -> int:
        """The grid time itself."""
        return self._at_ms

    def frames(self, session: Session) -> Iterator[Frame]:
        """Whole rows for a new subscription, else what has changed."""
        own, symbols = cast("DydxSession", session), self._exchange.symbols
        if own.is_fresh:
            rows = self._exchange.listings.known_rows()
            whole = [(symbols[row], self._exchange.whole(row, self._at_ms)) for row in rows]
            yield own.snapshot(frames.table("markets", whole), self._ledger, tuple(rows))
        elif own.wants_markets and self._changed:
            members = [(symbols[row], text) for row, text in self._changed.items()]
            yield own.change(frames.table(self._kind, members), self._ledger, tuple(self._changed))

    def published(self) -> None:
        """REST shows what is held already."""

    def ledgers(self) -> Sequence[TickLedger]:
        """The one of all sockets."""
        return (self._ledger,)

    def rows(self) -> Sequence[int]:
        """The active markets that are pushed."""
        return [row for row in self._changed if self._exchange.rate(row) is not None]


class Dydx:
    """The exchange: created at a time, then driven by ticks, sessions and calls."""

    name = FEED
    wire: Wire = wire.WIRE

    def __init__(self, seed: int, options: DydxOptions, now_ms: int) -> None:
        self._options = options
        self.tick_ms = options.tick_ms
        self.phase_ms = options.phase_ms % options.tick_ms
        self.contracts = universe.contracts(options.contracts, options.held_back)
        self.symbols = [contract.symbol for contract in self.contracts]
        self.listings = Listings(self.symbols, options.held_back)
        self.market = Market(seed, FEED, self.contracts, step_units=frames.STEP_UNITS)
        self.heads = [head(FEED, symbol) for symbol in self.symbols]
        self.book = SettlementBook(self.market, now_ms, self.listings)
        budget = MinuteBudget(options.requests_per_10_s)
        self.api = DydxRest(self.market, self.book, self.listings, self.whole, budget)
        self._sessions = 0
        self._introduced = set(self.listings.known_rows())
        started = self.market.snapshot(now_ms // self.tick_ms * self.tick_ms)
        self._shown = [self._made(row, started) for row in range(len(self.contracts))]

    def session(self, path: str, query: Mapping[str, str]) -> DydxSession | None:
        """Open a connection (§1)."""
        del query
        if path != PATH:
            return None
        self._sessions += 1
        return DydxSession(self._sessions, self._options.rules)

    def rest(self, call: RestCall) -> RestReply:
        """Answer an HTTP request."""
        return self.api.answer(call)

    def refusal(self, call: RestCall, status: int, retry_after_s: int | None) -> RestReply | None:
        """Refuse a call with a status as the indexer words it."""
        del call, retry_after_s
        return wire.refusal(status)

    def maintenance(self, call: RestCall) -> RestReply | None:
        """No call tells the indexer's state (§4)."""
        del call
        return None

    def prepare(self, at_ms: int) -> DydxTick:
        """Compute the tick of a grid time."""
        number = at_ms // self.tick_ms
        snapshot = self.market.snapshot(at_ms)
        states = self._changed_states()
        if self._options.pushes_rows:
            self._computed(snapshot)
            return DydxTick(self, at_ms, "trading", self._all(snapshot))
        if number % _TICKS_PER_RATE == _TICKS_PER_RATE - 1:
            # The last tick before a settlement is one of these.
            return DydxTick(self, at_ms, "trading", {**self._computed(snapshot), **states})
        if states:
            return DydxTick(self, at_ms, "trading", states)
        return DydxTick(self, at_ms, "oraclePrices", self._moved(number, snapshot))

    def rate(self, row: int) -> str | None:
        """The rate that holds of a market; None: it does not trade."""
        shown = self._shown[row]
        is_alive = shown.oracle is not None and row in self._introduced
        return shown.rate if is_alive and shown.status == _ACTIVE else None

    def whole(self, row: int, at_ms: int) -> bytes:
        """The row of a market as it is shown now."""
        symbol = self.symbols[row]
        volume = frames.price_text(liquidity(FEED, symbol, at_ms).turnover_24h)
        return frames.market(row, symbol, self._shown[row], volume, trades=row * 37 % 5_000)

    def settled_at_start(self) -> Iterable[SettledRate]:
        """The 40 days before the start."""
        return self._settled(self.book.all)

    def settle(self, now_ms: int) -> Iterable[SettledRate]:
        """What has settled since the last call."""
        return self._settled(self.book.settle(now_ms))

    def _changed_states(self) -> dict[int, bytes]:
        """Rows of markets that are new, or whose state is another one."""
        found = {}
        for row in self.listings.known_rows():
            shown = self._shown[row]
            status = self._status(row)
            if status != shown.status or row not in self._introduced:
                now = self._shown[row] = replace(shown, status=status)
                text = frames.changes(row, shown, now)
                found[row] = text or b'{"id":"%d","ticker":"%b"}' % (
                    row,
                    self.symbols[row].encode(),
                )
                self._introduced.add(row)
        return found

    def _computed(self, snapshot: Snapshot) -> dict[int, bytes]:
        """What has changed of the active markets since rates were computed before."""
        found = {}
        for row in self.listings.rows():
            if self.contracts[row].frozen:
                continue
            before = self._shown[row]
            now = self._shown[row] = replace(
                self._made(row, snapshot), status=before.status, oracle=before.oracle
            )
            text = frames.changes(row, before, now)
            if text is not None:
                found[row] = text
        return found

    def _moved(self, number: int, snapshot: Snapshot) -> dict[int, bytes]:
        """New oracle prices of the markets that are due."""
        found = {}
        for row in self.listings.rows():
            mixed = (number * 2_654_435_761 + row * 40_503) >> 7
            if self.contracts[row].frozen or mixed % _ORACLE_EVERY[self._pace(row)]:
                continue
            price = frames.price_text(float(snapshot.index[row]))
            if price != self._shown[row].oracle:
                self._shown[row] = replace(self._shown[row], oracle=price)
                found[row] = frames.oracle(row, price, snapshot.at_ms)
        return found

    def _all(self, snapshot: Snapshot) -> dict[int, bytes]:
        """The whole rows of all markets that trade."""
        rows = [row for row in self.listings.rows() if not self.contracts[row].frozen]
        for row in rows:
            price = frames.price_text(float(snapshot.index[row]))
            self._shown[row] = replace(self._shown[row], oracle=price)
        return {row: self.whole(row, snapshot.at_ms) for row in rows}

    def _pace(self, row: int) -> int:
        """How busy a market is: one in ten is busy, one in three quiet."""
        return 0 if row % 10 == 0 else 2 if row % 3 == 2 else 1

    def _status(self, row: int) -> str:
        contract = self.contracts[row]
        state = self.listings.state(contract.symbol)
        if state is not None and state.name:
            return state.name
        if self.listings.is_delisted(contract.symbol):
            return _FINAL
        if contract.frozen:
            return _FINAL if universe.has_price(contract) else _ACTIVE
        return _ACTIVE

    def _made(self, row: int, snapshot: Snapshot) -> Shown:
        contract = self.contracts[row]
        price = float(snapshot.index[row])
        held = liquidity(FEED, contract.symbol, snapshot.at_ms).open_interest / price
        rate = "0" if contract.frozen else frames.estimate_text(row, int(snapshot.rate_units[row]))
        return Shown(
            status=self._status(row),
            rate=rate,
            oracle=frames.price_text(price) if universe.has_price(contract) else None,
            change_24h=frames.price_text(price - contract.price_usd),
            open_interest=frames.price_text(held),
        )

    def _settled(self, settlements: Settlements) -> Iterable[SettledRate]:
        columns = (settlements.row, settlements.funding_ms, settlements.rate_units)
        for row, funding_ms, units in zip(*(column.tolist() for column in columns), strict=True):
            yield SettledRate(self.symbols[row], funding_ms, frames.settled_text(units), 1)


def create(options: SimulatorOptions, contracts: int, now_ms: int) -> Dydx:
    """Create the feed as the options of a simulator process ask for it."""
    own = DydxOptions(
        contracts=contracts,
        held_back=HELD_BACK,
        tick_ms=options.tick_ms,
        phase_ms=own_phase_ms(options, FEED, options.tick_ms),
        requests_per_10_s=NO_LIMIT if options.open_limits else _REQUESTS_PER_10_S,
        pushes_rows=options.value(PUSHED) == "rows",
        rules=replace(RULES, ping_every_s=min(RULES.ping_every_s, options.ping_every_s)),
    )
    return Dydx(options.seed, own, now_ms)


SIMULATED = Simulated(universe.PERPETUALS, create, wire.WIRE, (PUSHED,))
