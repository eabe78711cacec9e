"""Simulated OKX: its socket and its ticks (docs/exchanges/okx.md).

This module decides which contracts are pushed when; it reads no clock and does no I/O. The other
modules of the folder hold requests (session.py), REST (rest.py), texts (frames.py) and the
contracts (universe.py).

The truth's `event_time` is `ts` of the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from infra.simulator.exchange import Frame, RestCall, RestReply, Session, SettledRate, Simulated
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import HOUR_MS, Market, Settlements, Snapshot
from infra.simulator.market.truth import TickLedger, head
from infra.simulator.okx import universe, wire
from infra.simulator.okx.frames import Current, frame, rate_text, row_text
from infra.simulator.okx.rest import FEED, TOO_MANY, OkxRest
from infra.simulator.okx.session import BAD_ARG, OkxSession
from infra.simulator.options import HELD_BACK, OwnOption, SimulatorOptions
from infra.simulator.phases import own_phase_ms, own_steps

_PATH = "/ws/v5/public"
_TURNS = (30, 45, 60, 75, 90)
"""How many ticks apart a contract is pushed: each has its own."""
_SETTLING_TICKS = 15
"""For so long after a settlement the row is still that of before, and its state `processing`."""
FIRST = ("at-once", "in-turn")
BAD_ARG_OPTION = OwnOption(
    "okx_bad_arg", BAD_ARG[0], BAD_ARG, "what an unknown contract does to its request"
)
FIRST_OPTION = OwnOption(
    "okx_first", FIRST[0], FIRST, "when a new subscription is pushed for the first time"
)
PUSH_OPTION = OwnOption(
    "okx_push_s", 0.0, (0.0, 3_600.0), "between two pushes of a contract; 0: 30 to 90 s, as it is"
)
TOO_MANY_OPTION = OwnOption(
    "okx_too_many", TOO_MANY[0], TOO_MANY, "the HTTP status that refuses too many calls"
)


@dataclass(frozen=True, slots=True)
class OkxOptions:
    """What can be varied. Defaults follow okx.md §1 and §4."""

    contracts: int = universe.SWAPS
    held_back: int = 0
    tick_ms: int = 1_000
    phase_ms: int = 0
    push_ms: int = 0
    aligned: bool = False
    limited: bool = True
    bad_arg: str = BAD_ARG[0]
    first: str = FIRST[0]
    too_many: str = TOO_MANY[0]


class OkxTick:
    """One step: the contracts whose turn it is, and those that a session has just subscribed."""

    def __init__(self, exchange: Okx, at_ms: int, due: Sequence[int]) -> None:
        self._exchange = exchange
        self._at_ms = at_ms
        self._due = due
        self._is_due = frozenset(due)
        count = len(exchange.contracts)
        self._rates: list[str | None] = [None] * count
        self._ledger = TickLedger(exchange.heads, [at_ms * 1_000] * count, self._rates)
        self._built: dict[int, str] = {}
        for row in due:
            self._row(row)

    @property
    def event_ms(self) -> int:
        """The grid time itself."""
        return self._at_ms

    def frames(self, session: Session) -> Iterator[Frame]:
        """What this session's subscriptions deliver now."""
        own = cast("OkxSession", session)
        symbols = self._exchange.symbols
        if self._exchange.pushes_at_once:
            for symbol in sorted(own.fresh):
                row = self._exchange.row_of[symbol]
                if row not in self._is_due and self._exchange.is_streamed(row):
                    own.fresh.discard(symbol)
                    yield self._frame(row)
        for row in self._due:
            if symbols[row] in own.rates:
                own.fresh.discard(symbols[row])
                yield self._frame(row)

    def _frame(self, row: int) -> Frame:
        text = frame(self._exchange.symbols[row], self._row(row))
        return Frame(text, ledger=self._ledger, rows=(row,))

    def _row(self, row: int) -> str:
        if row not in self._built:
            contract, now = self._exchange.contracts[row], self._exchange.current(row, self._at_ms)
            self._built[row] = row_text(contract, now)
            self._rates[row] = rate_text(contract.symbol, now.units)
        return self._built[row]

    def published(self) -> None:
        """Show these rows in REST."""
        self._exchange.shown.update(self._built)

    def ledgers(self) -> Sequence[TickLedger]:
        """The one of all sockets."""
        return (self._ledger,)

    def rows(self) -> Sequence[int]:
        """The swaps whose turn it is."""
        return [row for row in self._due if self._exchange.heads[row] is not None]


class Okx:
    """The exchange: created at a time, then driven by ticks, sessions and calls."""

    name = FEED
    wire = wire.WIRE

    def __init__(self, seed: int, options: OkxOptions, now_ms: int) -> None:
        self._options = options
        self.tick_ms = options.tick_ms
        self.phase_ms = options.phase_ms % self.tick_ms
        self.pushes_at_once = options.first == FIRST[0]
        self.contracts = universe.contracts(options.contracts, now_ms, options.held_back)
        self.symbols = [contract.symbol for contract in self.contracts]
        self.row_of = {symbol: row for row, symbol in enumerate(self.symbols)}
        self.listings = Listings(self.symbols, options.held_back)
        self.market = Market(seed, FEED, self.contracts)
        self.heads = [
            head(FEED, contract.symbol) if contract.kind == "crypto" else None
            for contract in self.contracts
        ]
        drawn = own_steps(seed, f"{FEED}/every", self.symbols, len(_TURNS))
        self._every = np.array(_TURNS)[drawn]
        turn = own_steps(seed, f"{FEED}/turn", self.symbols, max(_TURNS))
        if options.push_ms:
            self._every = np.full_like(self._every, max(1, options.push_ms // self.tick_ms))
        elif options.aligned:
            self._every, turn = np.full_like(self._every, _TURNS[0]), np.zeros_like(turn)
        self._turn = turn % self._every
        self._snapshots: dict[int, Snapshot] = {}
        self._sessions = 0
        self._seen_version = self.listings.version
        self.book = SettlementBook(self.market, now_ms, self.listings)
        at_ms = now_ms // self.tick_ms * self.tick_ms
        self.shown: dict[int, str] = {}
        """Of each contract the row that was pushed last; REST answers from the start."""
        for row, contract in enumerate(self.contracts):
            self.shown[row] = row_text(contract, self.current(row, at_ms))
        self.api = OkxRest(
            self.market,
            self.book,
            self.listings,
            self.shown,
            limited=options.limited,
            too_many=options.too_many,
        )
        self._now_ms = now_ms

    def session(self, path: str, query: Mapping[str, str]) -> OkxSession | None:
        """Open a connection (§1)."""
        del query
        if path != _PATH:
            return None
        self._sessions += 1
        return OkxSession(self._sessions, self._is_known, self._options.bad_arg, self._now_ms)

    def _is_known(self, symbol: str) -> bool:
        row = self.row_of.get(symbol)
        return row is not None and self.api.is_shown(row)

    def rest(self, call: RestCall) -> RestReply:
        """Answer an HTTP request."""
        return self.api.answer(call)

    def refusal(self, call: RestCall, status: int, retry_after_s: int | None) -> RestReply | None:
        """Refuse a call with a status as the exchange words it."""
        del call, retry_after_s
        return wire.refusal(status)

    def maintenance(self, call: RestCall) -> RestReply | None:
        """Answer a call for the exchange's state during maintenance."""
        return wire.maintenance(call)

    def prepare(self, at_ms: int) -> OkxTick:
        """Compute the step of a grid time."""
        self._now_ms = at_ms
        if self.listings.version != self._seen_version:
            self._seen_version = self.listings.version
            # What is listed anew is shown with the values of now.
            for row in self.listings.rows():
                now = self.current(row, at_ms)
                if (
                    self.heads[row] is not None
                    and f'"fundingTime":"{now.funding_ms}"' not in (self.shown[row])
                ):
                    self.shown[row] = row_text(self.contracts[row], now)
        step = at_ms // self.tick_ms
        due = np.flatnonzero((step - self._turn) % self._every == 0).tolist()
        return OkxTick(self, at_ms, [row for row in due if self.is_streamed(row)])

    def is_streamed(self, row: int) -> bool:
        """Whether the channel of a contract brings something."""
        return self.listings.is_listed(self.symbols[row])

    def current(self, row: int, at_ms: int) -> Current:
        """What is shown of a contract; for a while after a settlement the state of before it."""
        terms = self.market.terms(row, at_ms)
        last_ms = int(self.market.last_funding_ms(at_ms)[row])
        settling = at_ms - last_ms < _SETTLING_TICKS * self.tick_ms and last_ms % HOUR_MS == 0
        if not settling:
            now = self._snapshot(at_ms)
            funding_ms = int(now.next_funding_ms[row])
            settled_units = int(self.market.settled_units(at_ms)[row])
            next_ms, units = funding_ms + terms.interval_ms, int(now.rate_units[row])
            return Current(
                at_ms, units, last_ms, funding_ms, next_ms, settled_units,
                is_processing=False, cap_units=terms.cap_units,
            )  # fmt: skip
        before = self._snapshot(last_ms - 1)
        settled_units = int(self.market.settled_units(at_ms)[row])
        prev_ms = int(self.market.last_funding_ms(last_ms - 1)[row])
        return Current(
            at_ms, int(before.rate_units[row]), prev_ms, last_ms, last_ms + terms.interval_ms,
            settled_units, is_processing=True, cap_units=terms.cap_units,
        )  # fmt: skip

    def _snapshot(self, at_ms: int) -> Snapshot:
        """The market at a time; the newest two are kept, since many contracts are asked for."""
        found = self._snapshots.get(at_ms)
        if found is None:
            found = self.market.snapshot(at_ms)
            if len(self._snapshots) > 1:
                del self._snapshots[next(iter(self._snapshots))]
            self._snapshots[at_ms] = found
        return found

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
            symbol = self.symbols[row]
            yield SettledRate(symbol, funding_ms, rate_text(symbol, units), hours)


def create(options: SimulatorOptions, contracts: int, now_ms: int) -> Okx:
    """Create the feed as the options of a simulator process ask for it."""
    own = OkxOptions(
        contracts=contracts,
        held_back=HELD_BACK,
        tick_ms=options.tick_ms,
        phase_ms=own_phase_ms(options, FEED, options.tick_ms),
        push_ms=round(options.value(PUSH_OPTION) * 1_000),
        aligned=options.aligned,
        limited=not options.open_limits,
        bad_arg=options.value(BAD_ARG_OPTION),
        first=options.value(FIRST_OPTION),
        too_many=options.value(TOO_MANY_OPTION),
    )
    return Okx(options.seed, own, now_ms)


SIMULATED = Simulated(
    universe.SWAPS,
    create,
    wire.WIRE,
    options=(BAD_ARG_OPTION, FIRST_OPTION, PUSH_OPTION, TOO_MANY_OPTION),
)
