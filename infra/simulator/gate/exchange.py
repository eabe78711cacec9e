"""Simulated Gate: three families with sockets of their own, pushed when something changes.

The facts are those of docs/exchanges/gate.md. state.py decides what is shown and pushed, session.py
answers requests, rest.py REST, universe.py holds the contracts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from infra.simulator.exchange import (
    Frame,
    RestCall,
    RestReply,
    Session,
    SettledRate,
    Simulated,
    SocketRules,
)
from infra.simulator.gate import universe, wire
from infra.simulator.gate.frames import rate_text, stream_frame
from infra.simulator.gate.limits import EndpointLimits
from infra.simulator.gate.rest import GateRest
from infra.simulator.gate.session import UPGRADE_NOTICE_S, GateSession
from infra.simulator.gate.state import Shown
from infra.simulator.gate.universe import FEED
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Market, Settlements, Snapshot
from infra.simulator.market.truth import TickLedger, head
from infra.simulator.options import HELD_BACK, NO_LIMIT, OwnOption, SimulatorOptions
from infra.simulator.phases import most_steps, own_phase_ms, own_steps, steps_in

_PATH = "/v4/ws/"
_MOST_LAG_MS = 100
"""The time of a price is so much before that of its push at most."""


@dataclass(frozen=True, slots=True)
class GateOptions:
    """What can be varied. Defaults follow gate.md §3, §5, §7 and §9.

    `quiet`: contracts are pushed as rarely as they change; else all of them at every tick. Each is
    pushed in one of `steps` of a second, always the same one. `upgrade_ms`: an upgrade is announced
    on each connection of that age; 0 never.
    """

    contracts: int = universe.PERPETUALS
    held_back: int = 0
    tick_ms: int = 1_000
    phase_ms: int = 0
    steps: int = 1
    quiet: bool = True
    settled_ms: int = 60_000
    upgrade_ms: int = 0
    requests_per_window: int = 200


QUIET = OwnOption(
    "gate_quiet",
    default="yes",
    values=("yes", "no"),
    help="Whether Gate pushes a contract only when it changes, or each at every tick.",
)
SETTLED_S = OwnOption(
    "gate_settled_s",
    default=60,
    values=(0, 600),
    help="For how long after a settlement Gate shows the settled rate as the estimate.",
)
UPGRADE_S = OwnOption(
    "gate_upgrade_s",
    default=0,
    values=(0, 86_400),
    help="At which age of a connection Gate announces on it that it will close it; 0: never.",
)


def create(options: SimulatorOptions, contracts: int, now_ms: int) -> Gate:
    """The exchange of a simulator process."""
    own = GateOptions(
        contracts=contracts,
        held_back=HELD_BACK,
        tick_ms=options.tick_ms,
        phase_ms=own_phase_ms(options, FEED, options.tick_ms),
        steps=most_steps(options),
        quiet=options.value(QUIET) == "yes",
        settled_ms=int(options.value(SETTLED_S)) * 1_000,
        upgrade_ms=int(options.value(UPGRADE_S)) * 1_000,
        requests_per_window=NO_LIMIT if options.open_limits else 200,
    )
    return Gate(options.seed, own, now_ms)


class GateTick:
    """One step: a snapshot, and frames of the contracts that have changed, built when asked for."""

    def __init__(self, exchange: Gate, snapshot: Snapshot, due: Sequence[int]) -> None:
        self._exchange = exchange
        self.snapshot = snapshot
        self._due = due
        self._ledger: TickLedger | None = None
        self._built: dict[int, bytes] = {}

    @property
    def event_ms(self) -> int:
        """When it is pushed; the times of its prices are before."""
        return self.snapshot.at_ms

    def frames(self, session: Session) -> Iterator[Frame]:
        """What this session's subscriptions deliver now: of its family alone (§1)."""
        gate = cast("GateSession", session)
        contracts = self._exchange.contracts
        announced = gate.announcement(self.event_ms)
        if announced is not None:
            yield announced
        for row in self._due:
            contract = contracts[row]
            if contract.symbol in gate.contracts and universe.family(contract) == gate.settle:
                if row not in self._built:
                    self._built[row] = self._build(row)
                yield Frame(self._built[row], ledger=self.ledger(), rows=(row,))

    def published(self) -> None:
        """Show these values in REST."""
        self._exchange.shown.show(self.snapshot, self._due)

    def ledgers(self) -> Sequence[TickLedger]:
        """The one of all sockets."""
        return (self.ledger(),)

    def rows(self) -> Sequence[int]:
        """The contracts that have changed."""
        return self._due

    def ledger(self) -> TickLedger:
        """The tick's entry in the truth, shared by all connections."""
        if self._ledger is None:
            contracts = self._exchange.contracts
            event_us = [0] * len(contracts)
            found: list[str | None] = [None] * len(contracts)
            for row in self._due:
                event_us[row] = self._exchange.price_ms(row, self.snapshot.at_ms) * 1_000
                if contracts[row].kind != "dated":
                    found[row] = rate_text(int(self.snapshot.rate_units[row]))
            self._ledger = TickLedger(self._exchange.heads, event_us, found)
        return self._ledger

    def _build(self, row: int) -> bytes:
        at_ms = self.snapshot.at_ms
        hours = self._exchange.market.interval_hours(row, at_ms)
        t_ms = self._exchange.price_ms(row, at_ms)
        return stream_frame(self._exchange.contracts[row], row, self.snapshot, hours, t_ms)


class Gate:
    """The exchange: created at a time, then driven by ticks, sessions and calls."""

    name = FEED
    wire = wire.WIRE

    def __init__(self, seed: int, options: GateOptions, now_ms: int) -> None:
        self._period_ms = options.tick_ms
        self._upgrade_ms = options.upgrade_ms
        steps = steps_in(options.tick_ms, options.steps)
        self.tick_ms = options.tick_ms // steps
        self.phase_ms = options.phase_ms % self.tick_ms
        self.contracts = universe.contracts(options.contracts, now_ms, options.held_back)
        symbols = [contract.symbol for contract in self.contracts]
        self.listings = Listings(symbols, options.held_back)
        self.market = Market(seed, FEED, self.contracts, universe.STEP_UNITS)
        self.heads = [head(FEED, symbol) for symbol in symbols]
        own = own_steps(seed, FEED, symbols, steps)
        self._rows_by_step = [np.flatnonzero(own == step).tolist() for step in range(steps)]
        self.book = SettlementBook(self.market, now_ms, self.listings)
        self.shown = Shown(self.market, options.settled_ms, now_ms, quiet=options.quiet)
        limits = EndpointLimits(options.requests_per_window)
        self.api = GateRest(self.market, self.listings, self.book, self.shown, limits)

    def price_ms(self, row: int, at_ms: int) -> int:
        """The time of the price that is pushed at a time (§6)."""
        return at_ms - row * 37 % min(_MOST_LAG_MS, self._period_ms)

    def session(self, path: str, query: Mapping[str, str]) -> GateSession | None:
        """Open a connection to a family (§1)."""
        del query
        settle = path.removeprefix(_PATH)
        if settle not in universe.FAMILIES or not path.startswith(_PATH):
            return None
        upgrade_ms = self._upgrade_ms
        max_age_s = upgrade_ms / 1_000 + UPGRADE_NOTICE_S if upgrade_ms else 0.0
        rules = SocketRules(max_age_s=max_age_s)
        return GateSession(settle, self.listings.is_known, rules, upgrade_ms)

    def rest(self, call: RestCall) -> RestReply:
        """Answer an HTTP request."""
        return self.api.answer(call)

    def refusal(self, call: RestCall, status: int, retry_after_s: int | None) -> RestReply | None:
        """Refuse a call with a status as the exchange words it."""
        del call, retry_after_s
        return wire.refusal(status)

    def maintenance(self, call: RestCall) -> RestReply | None:
        """Answer a call for the exchange's state during maintenance."""
        del call
        return None

    def prepare(self, at_ms: int) -> GateTick:
        """Compute the step of a grid time."""
        snapshot = self.shown.at(at_ms)
        step = self._rows_by_step[at_ms % self._period_ms // self.tick_ms]
        live = [
            row for row in step if self.api.is_live(row) and self.contracts[row].kind != "dated"
        ]
        return GateTick(self, snapshot, self.shown.changed(snapshot, live))

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
            yield SettledRate(self.contracts[row].symbol, funding_ms, rate_text(units), hours)


SIMULATED = Simulated(universe.PERPETUALS, create, wire.WIRE, (QUIET, SETTLED_S, UPGRADE_S))
