"""Simulated Bybit: its sockets and its ticks (docs/exchanges/bybit.md).

This module decides which contracts are pushed when, and what of them; it reads no clock and does
no I/O. The other modules of the folder hold requests (session.py), REST (rest.py), texts
(frames.py) and the contracts (universe.py).

A topic begins with a whole row; after that a push names what has changed since the push before.
Each push is an update in the truth, whether it names the rate or not: `event_time` is its `ts`, and
`rate` the one that holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np
import numpy.typing as npt

from infra.simulator.bybit import universe, wire
from infra.simulator.bybit.frames import (
    FEED,
    Row,
    change_frame,
    rate_text,
    ticker,
    whole_frame,
)
from infra.simulator.bybit.rest import TOO_MANY, BybitRest, Requests
from infra.simulator.bybit.session import BAD_TOPIC, BybitSession
from infra.simulator.exchange import Frame, RestCall, RestReply, Session, SettledRate, Simulated
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Ints, Market, Settlements, Snapshot
from infra.simulator.market.truth import TickLedger, head
from infra.simulator.options import HELD_BACK, NO_LIMIT, OwnOption, SimulatorOptions
from infra.simulator.phases import own_phase_ms, own_steps, steps_in

Bools = npt.NDArray[np.bool_]
_PATH = "/v5/public/"
_STEPS = 10
"""Of a second: the busiest contracts are pushed in each."""
_BUSY_OF = 10
"""One in so many contracts is busy."""
_QUIET_STEPS = (5, 10, 20)
"""How many steps apart the other contracts are pushed."""
_RARE_OF, _RARE_AT = 12, 9
"""One contract in so many says nothing for long, as shares while their market is closed."""
_RARE_TURNS = 120
"""A rare contract, whose turns are as far apart as any, is pushed at one in so many of them, and at
all around a settlement."""
_SETTLED_MS = 5_000
"""For so long after a settlement a rare contract is pushed as others are."""
_RATE_PERIODS = 10
"""The rate is computed anew after so many seconds."""
_HOUR_MS = 3_600_000
_CONVERGED_MS = 2_000
"""From so long before a settlement on the rate is the one that will be settled."""
BAD_TOPIC_OPTION = OwnOption(
    "bybit_bad_topic",
    BAD_TOPIC[0],
    BAD_TOPIC,
    "what an unknown topic does to the request that holds it",
)
PUSHES = ("changes", "whole")
PUSH_OPTION = OwnOption(
    "bybit_push", PUSHES[0], PUSHES, "changes as they come, or whole rows of all at each step"
)
TOO_MANY_OPTION = OwnOption(
    "bybit_too_many", TOO_MANY[0], TOO_MANY, "how too many REST calls are refused"
)


QUIET_OPTION = OwnOption(
    "bybit_quiet",
    "yes",
    ("yes", "no"),
    "whether some contracts are pushed as rarely as they change",
)


@dataclass(frozen=True, slots=True)
class BybitOptions:
    """What can be varied. Defaults follow bybit.md §1 and §4.

    `quiet`: some contracts are pushed rarely; else all of them often.
    """

    contracts: int = universe.PERPETUALS
    held_back: int = 0
    tick_ms: int = 1_000
    phase_ms: int = 0
    steps: int = _STEPS
    requests: int = 600
    bad_topic: str = BAD_TOPIC[0]
    too_many: str = TOO_MANY[0]
    push: str = PUSHES[0]
    quiet: bool = True


@dataclass(frozen=True, slots=True)
class _Push(Frame):
    """A push of a topic; when a fault keeps it from its connection, a whole row follows.

    A socket loses nothing, so no reader could know that a change is missing.
    """

    begin_anew: Callable[[], None] = lambda: None

    def blame(self, rows: Sequence[int] | None = None) -> None:
        """A fault keeps updates from a client."""
        Frame.blame(self, rows)
        self.begin_anew()


class BybitTick:
    """One step: the contracts that are due, built when a session asks for them."""

    def __init__(self, exchange: Bybit, snapshot: Snapshot, due: Sequence[int]) -> None:
        self._exchange = exchange
        self.snapshot = snapshot
        self._due = due
        self._is_due = frozenset(due)
        count = len(exchange.contracts)
        self._rates: list[str | None] = [None] * count
        for row in due:
            self._rates[row] = exchange.rate(row, int(snapshot.rate_units[row]))
        self._ledger = TickLedger(exchange.heads, [snapshot.at_ms * 1_000] * count, self._rates)
        self._changes: dict[int, bytes | None] = {}

    @property
    def event_ms(self) -> int:
        """The grid time itself."""
        return self.snapshot.at_ms

    def frames(self, session: Session) -> Iterator[Frame]:
        """What this session's topics deliver now."""
        own = cast("BybitSession", session)
        if self._exchange.pushes_whole:
            own.fresh.update(own.topics)
        symbols, topics, fresh = self._exchange.symbols, own.topics, frozenset(own.fresh)
        if fresh:
            yield from self._whole(own)
        for row in self._due:
            if symbols[row] in topics and symbols[row] not in fresh:
                change = self._change(row)
                if change is not None:
                    yield self._push(own, row, change)

    def _whole(self, own: BybitSession) -> Iterator[Frame]:
        """The whole rows of new topics; of a contract that is halted it comes later."""
        for symbol in sorted(own.fresh):
            row = self._exchange.row_of[symbol]
            if self._exchange.is_streamed(row):
                own.fresh.discard(symbol)
                yield self._push(own, row, self._first(row))

    def _push(self, own: BybitSession, row: int, payload: bytes) -> Frame:
        symbol = self._exchange.symbols[row]
        again = partial(own.begin_anew, symbol)
        return _Push(payload, ledger=self._ledger, rows=(row,), begin_anew=again)

    def _change(self, row: int) -> bytes | None:
        """What has changed of a contract; the same for all connections."""
        if row not in self._changes:
            before = self._exchange.pushed.get(row)
            now = self._exchange.push(row, self.snapshot)
            change = None if before is None else change_frame(before, now, self.snapshot.at_ms)
            self._changes[row] = change
        return self._changes[row]

    def _first(self, row: int) -> bytes:
        """The whole row as it was pushed last, so that the next change fits to it."""
        if row in self._is_due:
            self._change(row)
        pushed = self._exchange.pushed.get(row)
        if pushed is None or not self._exchange.is_current(row, self.snapshot.at_ms):
            pushed = self._exchange.push(row, self.snapshot)
        self._rates[row] = pushed["fundingRate"] or None
        return whole_frame(pushed, self.snapshot.at_ms)

    def published(self) -> None:
        """Show these values in REST."""
        self._exchange.show(self.snapshot, self._due)

    def ledgers(self) -> Sequence[TickLedger]:
        """The one of all sockets."""
        return (self._ledger,)

    def rows(self) -> Sequence[int]:
        """The perpetuals that are due: others have no rate."""
        return [row for row in self._due if self._rates[row] is not None]


class Bybit:
    """The exchange: created at a time, then driven by ticks, sessions and calls."""

    name = FEED
    wire = wire.WIRE

    def __init__(self, seed: int, options: BybitOptions, now_ms: int) -> None:
        self._options = options
        steps = steps_in(options.tick_ms, options.steps)
        self.tick_ms = options.tick_ms // steps
        self.phase_ms = options.phase_ms % self.tick_ms
        self._rate_ms = options.tick_ms * _RATE_PERIODS
        self.pushes_whole = options.push != PUSHES[0]
        self.contracts = universe.contracts(options.contracts, now_ms, options.held_back)
        self.symbols = [contract.symbol for contract in self.contracts]
        self.row_of = {symbol: row for row, symbol in enumerate(self.symbols)}
        self.listings = Listings(self.symbols, options.held_back)
        self.market = Market(seed, FEED, self.contracts)
        self.heads = [
            head(FEED, contract.symbol) if contract.kind == "crypto" else None
            for contract in self.contracts
        ]
        self._every = _periods(seed, self.symbols, steps)
        if self.pushes_whole:
            self._every = np.ones_like(self._every)
        self._rare = np.arange(len(self.symbols)) % _RARE_OF == _RARE_AT
        self._rare &= options.quiet and not self.pushes_whole
        self._every[self._rare] = max(max(_QUIET_STEPS) * steps // _STEPS, 1)
        self._turn = own_steps(seed, f"{FEED}/turn", self.symbols, max(_QUIET_STEPS)) % self._every
        self.pushed: dict[int, Row] = {}
        """Of each contract that somebody has subscribed the row that was pushed last."""
        self._pushed_ms: dict[int, int] = {}
        self._rates: tuple[int, Ints] | None = None
        self._sessions = 0
        self._seen_version = self.listings.version
        self.book = SettlementBook(self.market, now_ms, self.listings)
        requests = Requests(options.requests, bans=options.too_many == TOO_MANY[0])
        self.api = BybitRest(self.market, self.book, self.listings, requests)
        # REST answers from the start: with the values before the first that are streamed.
        self.api.shown = self._snapshot(now_ms // self.tick_ms * self.tick_ms)

    def session(self, path: str, query: Mapping[str, str]) -> BybitSession | None:
        """Open a connection (§1): each family has an address."""
        del query
        family = path.removeprefix(_PATH)
        if path == family or family not in {universe.LINEAR, universe.INVERSE}:
            return None
        self._sessions += 1

        def is_known(symbol: str) -> bool:
            row = self.row_of.get(symbol)
            return (
                row is not None
                and universe.family(self.contracts[row]) == family
                and self.api.is_shown(row)
            )

        return BybitSession(self._sessions, is_known, self._options.bad_topic)

    def rest(self, call: RestCall) -> RestReply:
        """Answer an HTTP request."""
        return self.api.answer(call)

    def refusal(self, call: RestCall, status: int, retry_after_s: int | None) -> RestReply | None:
        """Refuse a call with a status as the exchange words it."""
        del call, retry_after_s
        return wire.refusal(status)

    def maintenance(self, call: RestCall) -> RestReply | None:
        """No call that is read tells the exchange's state (§4)."""
        del call
        return None

    def prepare(self, at_ms: int) -> BybitTick:
        """Compute the step of a grid time."""
        snapshot = self._snapshot(at_ms)
        step = at_ms // self.tick_ms
        due = np.flatnonzero(((step - self._turn) % self._every == 0) & ~self._rests(snapshot))
        return BybitTick(self, snapshot, [row for row in due.tolist() if self.is_streamed(row)])

    def _rests(self, snapshot: Snapshot) -> Bools:
        """Which contracts say nothing now, although it would be their turn."""
        before_ms = snapshot.next_funding_ms - snapshot.at_ms
        after_ms = snapshot.at_ms % _HOUR_MS
        turns = (snapshot.at_ms // self.tick_ms - self._turn) // self._every
        is_settling = (before_ms <= _CONVERGED_MS) | (after_ms < _SETTLED_MS)
        found: Bools = self._rare & ~is_settling & (turns % _RARE_TURNS != 0)
        return found

    def show(self, snapshot: Snapshot, due: Sequence[int]) -> None:
        """Show these values of what is due; after a change of the list those of all that trades."""
        if self._seen_version != self.listings.version:
            self._seen_version = self.listings.version
            due = self.listings.rows()
        self.api.shown = self.api.shown.updated(snapshot, due)

    def is_streamed(self, row: int) -> bool:
        """Whether the topic of a contract brings something."""
        return self.listings.is_listed(self.symbols[row])

    def is_current(self, row: int, at_ms: int) -> bool:
        """Whether the row that was pushed last is that of the contract's last turn."""
        step = at_ms // self.tick_ms
        turns = _RARE_TURNS if self._rare[row] else 1
        since = int((step - self._turn[row]) % (self._every[row] * turns))
        return self._pushed_ms[row] >= at_ms - since * self.tick_ms

    def push(self, row: int, snapshot: Snapshot) -> Row:
        """Make the row of a contract, and keep it as the one that was pushed last."""
        terms = self.market.terms(row, snapshot.at_ms)
        made = ticker(self.contracts[row], terms, row, snapshot)
        self.pushed[row], self._pushed_ms[row] = made, snapshot.at_ms
        return made

    def rate(self, row: int, units: int) -> str | None:
        """The rate as printed; None: the contract has no funding."""
        return rate_text(units) if self.contracts[row].kind == "crypto" else None

    def _snapshot(self, at_ms: int) -> Snapshot:
        """The market, with rates that hold for some seconds; those of a settlement are exact."""
        live = self.market.snapshot(at_ms)
        block = at_ms // self._rate_ms
        if self._rates is None or self._rates[0] != block:
            self._rates = block, live.rate_units
        is_due = live.next_funding_ms - at_ms <= _CONVERGED_MS
        return replace(live, rate_units=np.where(is_due, live.rate_units, self._rates[1]))

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
            yield SettledRate(self.symbols[row], funding_ms, rate_text(units), hours)


def _periods(seed: int, symbols: Sequence[str], steps: int) -> Ints:
    """How many steps apart each contract is pushed."""
    drawn = own_steps(seed, f"{FEED}/period", symbols, _BUSY_OF * len(_QUIET_STEPS))
    quiet = np.array(_QUIET_STEPS)[drawn % len(_QUIET_STEPS)]
    found: Ints = np.where(drawn < len(_QUIET_STEPS), 1, quiet)
    # Where a second has fewer steps, a contract is pushed as often as that allows.
    return np.maximum(found * steps // _STEPS, 1)


def create(options: SimulatorOptions, contracts: int, now_ms: int) -> Bybit:
    """Create the feed as the options of a simulator process ask for it."""
    own = BybitOptions(
        contracts=contracts,
        held_back=HELD_BACK,
        tick_ms=options.tick_ms,
        phase_ms=own_phase_ms(options, FEED, options.tick_ms),
        steps=1 if options.aligned else _STEPS,
        requests=NO_LIMIT if options.open_limits else 600,
        bad_topic=options.value(BAD_TOPIC_OPTION),
        too_many=options.value(TOO_MANY_OPTION),
        push=options.value(PUSH_OPTION),
        quiet=options.value(QUIET_OPTION) == "yes",
    )
    return Bybit(options.seed, own, now_ms)


SIMULATED = Simulated(
    universe.PERPETUALS,
    create,
    wire.WIRE,
    options=(BAD_TOPIC_OPTION, PUSH_OPTION, QUIET_OPTION, TOO_MANY_OPTION),
)
