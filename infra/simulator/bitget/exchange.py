"""Simulated Bitget: its sockets and its ticks (docs/exchanges/bitget.md).

This module decides which contracts are pushed when; it reads no clock and does no I/O. The other
modules of the folder hold connections (sockets.py), REST (rest.py), texts (frames.py), rates
(estimates.py) and the contracts (universe.py). The truth's `event_time` is `ts` of the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from infra.simulator.bitget import universe, wire
from infra.simulator.bitget.estimates import Estimates
from infra.simulator.bitget.frames import (
    PUSHED_AFTER_MS,
    Row,
    frame_v2,
    frame_v3,
    rate_text,
    ticker_v2,
)
from infra.simulator.bitget.limits import BitgetLimits
from infra.simulator.bitget.rest import BitgetRest
from infra.simulator.bitget.sockets import BitgetSession
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
from infra.simulator.options import HELD_BACK, NO_LIMIT, OwnOption, SimulatorOptions
from infra.simulator.phases import own_phase_ms, own_steps, steps_in

FEED = "bitget"
_STEPS = 10
LIGHT = "light"
MEASURED = "measured"
PUSHES = (LIGHT, MEASURED)
_VERSIONS = {"/v2/ws/public": 2, "/v3/ws/public": 3}


@dataclass(frozen=True, slots=True)
class BitgetOptions:
    """What can be varied. Defaults follow bitget.md §1 and §4.

    Attributes:
        contracts: perpetuals; dated ones come on top.
        held_back: more perpetuals, not listed at first.
        tick_ms: the time in which each contract is pushed once, or in each step of it.
        phase_ms: how far pushes are past the multiples of a step.
        steps: in how many steps that time is cut; in a single one all contracts are pushed.
        push: which contracts are pushed in each step, one of PUSHES.
        has_limits: REST refuses whoever asks too often.
    """

    contracts: int = universe.PERPETUALS
    held_back: int = 0
    tick_ms: int = 1_000
    phase_ms: int = 0
    steps: int = _STEPS
    push: str = LIGHT
    has_limits: bool = True


PUSH = OwnOption(
    "bitget_push",
    default=LIGHT,
    values=PUSHES,
    help="Whether Bitget pushes a tenth of its contracts every 0.1 s and the others each second, "
    "or, as was measured, all every 0.1 s.",
)


class BitgetTick:
    """One step: a snapshot, and frames of the contracts that are due, built when asked for."""

    def __init__(self, exchange: Bitget, snapshot: Snapshot, due: Sequence[int]) -> None:
        self._exchange = exchange
        self.snapshot = snapshot
        self._due = due
        self._are_due = frozenset(due)
        self._ledger: TickLedger | None = None
        self._rows: dict[int, Row] = {}
        self._built: dict[tuple[int, int, bool], bytes] = {}

    @property
    def event_ms(self) -> int:
        """The first ms that no time in it lies behind."""
        return self.snapshot.at_ms + PUSHED_AFTER_MS + 1

    def frames(self, session: Session) -> Iterator[Frame]:
        """What this session's subscriptions deliver now."""
        own = cast("BitgetSession", session)
        for row in own.wanted:
            if row in self._are_due:
                payload = self._build(row, own.version, is_first=own.is_first(row))
                yield Frame(payload, ledger=self.ledger(), rows=(row,))

    def published(self) -> None:
        """Show these values in REST."""
        self._exchange.api.show(self.snapshot, self._due)

    def ledgers(self) -> Sequence[TickLedger]:
        """The one of all sockets."""
        return (self.ledger(),)

    def rows(self) -> Sequence[int]:
        """The contracts that are due."""
        return self._due

    def ledger(self) -> TickLedger:
        """The tick's entry in the truth, shared by all connections."""
        if self._ledger is None:
            contracts = self._exchange.contracts
            rates: list[str | None] = [None] * len(contracts)
            for row in self._due:
                if contracts[row].kind != "dated":
                    rates[row] = rate_text(int(self.snapshot.rate_units[row]))
            event_us = [self.snapshot.at_ms * 1_000] * len(contracts)
            self._ledger = TickLedger(self._exchange.heads, event_us, rates)
        return self._ledger

    def _build(self, row: int, version: int, *, is_first: bool) -> bytes:
        key = row, version, is_first
        if key not in self._built:
            contract = self._exchange.contracts[row]
            if row not in self._rows:
                self._rows[row] = ticker_v2(contract, self.snapshot, row, FEED)
            frame = frame_v2 if version == 2 else frame_v3
            action = "snapshot" if is_first else "update"
            self._built[key] = frame(contract, self._rows[row], action, self.snapshot.at_ms)
        return self._built[key]


class Bitget:
    """The exchange: created at a time, then driven by ticks, sessions and calls."""

    name = FEED
    wire = wire.WIRE

    def __init__(self, seed: int, options: BitgetOptions, now_ms: int) -> None:
        steps = steps_in(options.tick_ms, options.steps)
        self.tick_ms = options.tick_ms // steps
        self.phase_ms = options.phase_ms % self.tick_ms
        self._period_ms = options.tick_ms
        self.contracts = universe.contracts(options.contracts, now_ms, options.held_back)
        symbols = [contract.symbol for contract in self.contracts]
        self.listings = Listings(symbols, options.held_back)
        self.market = Market(seed, FEED, self.contracts, universe.STEP_UNITS)
        self.estimates = Estimates(self.market)
        self.heads = [head(FEED, symbol) for symbol in symbols]
        self._rows_by_step = self._schedule(seed, symbols, steps, options.push)
        self.book = SettlementBook(self.market, now_ms, self.listings)
        self._by_product = {
            (universe.product_type(contract), contract.symbol): row
            for row, contract in enumerate(self.contracts)
        }
        started = self.estimates.at(now_ms // self.tick_ms * self.tick_ms)
        limits = BitgetLimits() if options.has_limits else BitgetLimits(NO_LIMIT, NO_LIMIT)
        self.api = BitgetRest(
            FEED, self.market, self.book, self.listings, self.estimates, limits, started
        )

    def _schedule(
        self, seed: int, symbols: Sequence[str], steps: int, push: str
    ) -> list[list[int]]:
        """The rows that are due in each step of a period."""
        own = own_steps(seed, FEED, symbols, steps).tolist()
        return [
            [
                row
                for row, step in enumerate(own)
                if push == MEASURED or step == number or universe.is_busy(row)
            ]
            for number in range(steps)
        ]

    def session(self, path: str, query: Mapping[str, str]) -> BitgetSession | None:
        """Open a connection (§1)."""
        del query
        version = _VERSIONS.get(path.rstrip("/"))
        if version is None:
            return None
        return BitgetSession(version, self._by_product, self.listings.is_known)

    def rest(self, call: RestCall) -> RestReply:
        """Answer an HTTP request."""
        return self.api.answer(call)

    def refusal(self, call: RestCall, status: int, retry_after_s: int | None) -> RestReply | None:
        """Refuse a call with a status as the exchange words it."""
        del call, retry_after_s
        return wire.refusal(status)

    def maintenance(self, call: RestCall) -> RestReply | None:
        """Bitget has no call for its own state."""
        del call
        return None

    def prepare(self, at_ms: int) -> BitgetTick:
        """Compute the step of a grid time."""
        due = [
            row
            for row in self._rows_by_step[at_ms % self._period_ms // self.tick_ms]
            if self.listings.is_listed(self.contracts[row].symbol)
        ]
        return BitgetTick(self, self.estimates.at(at_ms), due)

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


def create(options: SimulatorOptions, contracts: int, now_ms: int) -> Bitget:
    """Create the feed as the options of a simulator process ask for it."""
    own = BitgetOptions(
        contracts=contracts,
        held_back=HELD_BACK,
        tick_ms=options.tick_ms,
        phase_ms=own_phase_ms(options, FEED, options.tick_ms),
        steps=1 if options.aligned else _STEPS,
        push=options.value(PUSH),
        has_limits=not options.open_limits,
    )
    return Bitget(options.seed, own, now_ms)


SIMULATED = Simulated(universe.PERPETUALS, create, wire.WIRE, (PUSH,))
