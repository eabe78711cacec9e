"""Simulated MEXC: its socket and its ticks (docs/exchanges/mexc.md).

This module decides what is pushed; it reads no clock and does no I/O. The other modules of the
folder hold connections (sockets.py), REST (rest.py), texts (frames.py), rates (estimates.py) and
the contracts (universe.py). The truth's `event_time` is `ts` of the frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from infra.simulator.exchange import (
    Frame,
    RestCall,
    RestReply,
    Session,
    SettledRate,
    Simulated,
)
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Market, Settlements, Snapshot
from infra.simulator.market.truth import TickLedger, head
from infra.simulator.mexc import universe, wire
from infra.simulator.mexc.estimates import Estimates
from infra.simulator.mexc.frames import push, rate_text
from infra.simulator.mexc.limits import MexcLimits
from infra.simulator.mexc.rest import MexcRest
from infra.simulator.mexc.session import MexcSession
from infra.simulator.options import HELD_BACK, NO_LIMIT, OwnOption, SimulatorOptions
from infra.simulator.phases import own_phase_ms

FEED = "mexc"
_PATH = "/edge"


@dataclass(frozen=True, slots=True)
class MexcOptions:
    """What can be varied. Defaults follow mexc.md §1 and §4.

    Attributes:
        contracts: perpetuals.
        held_back: more perpetuals, not listed at first.
        tick_ms: between two looks at which rates are due.
        phase_ms: how far those are past the multiples of `tick_ms`.
        period_ms: about how often a contract's rate is made.
        is_spread: each contract's rate is made at a moment of its own.
        pushes_all: a rate that has not changed is pushed as well.
        has_limits: REST refuses whoever asks too often.
    """

    contracts: int = universe.PERPETUALS
    held_back: int = 0
    tick_ms: int = 1_000
    phase_ms: int = 0
    period_ms: int = 60_000
    is_spread: bool = True
    pushes_all: bool = False
    has_limits: bool = True


PUSH_S = OwnOption(
    "mexc_push_s",
    default=60.0,
    values=(0.02, 600.0),
    help="Seconds between two rates of a MEXC contract.",
)
PUSHES = OwnOption(
    "mexc_pushes",
    default="changes",
    values=("changes", "all"),
    help="Whether MEXC pushes rates that have not changed.",
)


class MexcTick:
    """A look at the rates: frames of those that are pushed, built when asked for."""

    def __init__(self, exchange: Mexc, snapshot: Snapshot, pushed: Sequence[int]) -> None:
        self._exchange = exchange
        self.snapshot = snapshot
        self._pushed = pushed
        self._are_pushed = frozenset(pushed)
        made = exchange.estimates
        self._rates = {row: rate_text(int(made.units[row]), row) for row in pushed}
        self._next_ms = {row: int(made.next_ms[row]) for row in pushed}
        self._ledger: TickLedger | None = None

    @property
    def event_ms(self) -> int:
        """The first ms that no time in it lies behind."""
        return self.snapshot.at_ms + 1

    def frames(self, session: Session) -> Iterator[Frame]:
        """What this session's subscriptions deliver now."""
        wanted = cast("MexcSession", session).wanted
        for row, symbol in wanted.items():
            if row in self._are_pushed:
                at_ms = self.snapshot.at_ms
                payload = push(symbol, self._rates[row], self._next_ms[row], at_ms)
                yield Frame(payload, ledger=self.ledger(), rows=(row,))

    def published(self) -> None:
        """Show these prices in REST."""
        self._exchange.api.show(self.snapshot, self._exchange.listings.rows())

    def ledgers(self) -> Sequence[TickLedger]:
        """The one of all sockets."""
        return (self.ledger(),)

    def rows(self) -> Sequence[int]:
        """The contracts that are pushed."""
        return self._pushed

    def ledger(self) -> TickLedger:
        """The tick's entry in the truth, shared by all connections."""
        if self._ledger is None:
            count = len(self._exchange.contracts)
            rates = [self._rates.get(row) for row in range(count)]
            event_us = [self.snapshot.at_ms * 1_000] * count
            self._ledger = TickLedger(self._exchange.heads, event_us, rates)
        return self._ledger


class Mexc:
    """The exchange: created at a time, then driven by ticks, sessions and calls."""

    name = FEED
    wire = wire.WIRE

    def __init__(self, seed: int, options: MexcOptions, now_ms: int) -> None:
        self.tick_ms = options.tick_ms
        self.phase_ms = options.phase_ms % self.tick_ms
        self._pushes_all = options.pushes_all
        self.contracts = universe.contracts(options.contracts, now_ms, options.held_back)
        symbols = [contract.symbol for contract in self.contracts]
        self._rows = {symbol: row for row, symbol in enumerate(symbols)}
        self.listings = Listings(symbols, options.held_back)
        self.market = Market(seed, FEED, self.contracts, universe.STEP_UNITS)
        started_ms = now_ms // self.tick_ms * self.tick_ms
        self.estimates = Estimates(
            self.market,
            seed,
            FEED,
            period_ms=options.period_ms,
            tick_ms=self.tick_ms,
            now_ms=started_ms,
            is_spread=options.is_spread,
        )
        self.heads = [head(FEED, symbol) for symbol in symbols]
        self.book = SettlementBook(self.market, now_ms, self.listings)
        self.api = MexcRest(
            FEED,
            self.market,
            self.book,
            self.listings,
            self.estimates,
            MexcLimits() if options.has_limits else MexcLimits(NO_LIMIT, NO_LIMIT),
            self.market.snapshot(started_ms),
        )

    def session(self, path: str, query: Mapping[str, str]) -> MexcSession | None:
        """Open a connection (§1)."""
        del query
        return MexcSession(self._listed_row) if path.rstrip("/") == _PATH else None

    def _listed_row(self, symbol: str) -> int | None:
        return self._rows[symbol] if self.listings.is_known(symbol) else None

    def rest(self, call: RestCall) -> RestReply:
        """Answer an HTTP request."""
        return self.api.answer(call)

    def refusal(self, call: RestCall, status: int, retry_after_s: int | None) -> RestReply | None:
        """Refuse a call with a status as the exchange words it."""
        del call, retry_after_s
        return wire.refusal(status)

    def maintenance(self, call: RestCall) -> RestReply | None:
        """MEXC has no call for its own state."""
        del call
        return None

    def prepare(self, at_ms: int) -> MexcTick:
        """Make the rates that are due at a grid time."""
        snapshot = self.market.snapshot(at_ms)
        made, changed = self.estimates.advance(snapshot)
        pushed = [
            row
            for row in (made if self._pushes_all else changed)
            if self.listings.is_listed(self.contracts[row].symbol)
        ]
        return MexcTick(self, snapshot, pushed)

    def settled_at_start(self) -> Iterable[SettledRate]:
        """The 40 days before the start."""
        return self._settled(self.book.all)

    def settle(self, now_ms: int) -> Iterable[SettledRate]:
        """What has settled since the last call."""
        return self._settled(self.book.settle(now_ms))

    def _settled(self, settlements: Settlements) -> Iterable[SettledRate]:
        columns = (
            settlements.row,
            settlements.funding_ms,
            settlements.rate_units,
            settlements.interval_hours,
        )
        for row, funding_ms, units, hours in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            rate = rate_text(units, row)
            yield SettledRate(self.contracts[row].symbol, funding_ms, rate, hours)


def create(options: SimulatorOptions, contracts: int, now_ms: int) -> Mexc:
    """Create the feed as the options of a simulator process ask for it."""
    own = MexcOptions(
        contracts=contracts,
        held_back=HELD_BACK,
        tick_ms=options.tick_ms,
        phase_ms=own_phase_ms(options, FEED, options.tick_ms),
        period_ms=round(options.value(PUSH_S) * 1_000),
        is_spread=not options.aligned,
        pushes_all=options.value(PUSHES) == "all",
        has_limits=not options.open_limits,
    )
    return Mexc(options.seed, own, now_ms)


SIMULATED = Simulated(universe.PERPETUALS, create, wire.WIRE, (PUSH_S, PUSHES))
