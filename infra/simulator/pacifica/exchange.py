"""Simulated Pacifica: its ticks (docs/exchanges/pacifica.md).

This module decides what a subscription delivers and when; it reads no clock and does no I/O. The
other modules of the folder hold control messages (session.py), REST (rest.py), texts (frames.py)
and the markets (universe.py).

The truth's `event_time` is `timestamp` of the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from infra.simulator.exchange import Frame, RestCall, RestReply, Session, SettledRate, Simulated
from infra.simulator.market.activity import Activity, quiet_option
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.liquidity import liquidity
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import HOUR_MS, Market, Settlements, Snapshot
from infra.simulator.market.truth import TickLedger, head
from infra.simulator.options import HELD_BACK, NO_LIMIT, OwnOption, SimulatorOptions
from infra.simulator.pacifica import universe, wire
from infra.simulator.pacifica.frames import Values, price_row, prices_frame, rate_text, spot_rows
from infra.simulator.pacifica.rest import Credits, PacificaRest
from infra.simulator.pacifica.session import PacificaSession
from infra.simulator.phases import most_steps, own_phase_ms, steps_in

FEED = "pacifica"
QUIET = quiet_option(FEED, "Pacifica")
LATE = OwnOption(
    "pacifica_history_late_s",
    default=0.85,
    values=(0.001, 3_500.0),
    help="Seconds after the hour within which Pacifica writes a row of its history.",
)
_SPOT_ROWS = range(-len(universe.SPOTS), 0)
_SPREAD_MS = 40  # times of the rows of a frame lie so far apart


@dataclass(frozen=True, slots=True)
class PacificaOptions:
    """What can be varied. Defaults follow pacifica.md §4 to §6.

    A second has `steps` frames, with the symbols that have changed; a single one has all.
    """

    contracts: int = universe.PERPETUALS
    held_back: int = 0
    tick_ms: int = 1_000
    phase_ms: int = 0
    steps: int = 2
    quiet_ms: int = 0
    credits_per_minute: int = 125
    history_late_ms: int = 850


class PacificaTick:
    """One step: the symbols that have changed and are pushed; who is new gets all."""

    def __init__(
        self, exchange: Pacifica, snapshot: Snapshot, due: Sequence[int], pushed: Sequence[int]
    ) -> None:
        self._exchange = exchange
        self._snapshot = snapshot
        self._due = due
        self._pushed = pushed
        self._built: dict[int, tuple[Values, bytes]] = {}
        self._ledger: TickLedger | None = None

    @property
    def event_ms(self) -> int:
        """The latest time that a row of it may have."""
        return self._snapshot.at_ms + _SPREAD_MS

    def frames(self, session: Session) -> Iterator[Frame]:
        """What this session's subscription delivers now."""
        own = cast("PacificaSession", session)
        if not own.wants_prices:
            return
        rows = list(self._pushed if own.has_all else self._exchange.api.shown())
        own.has_all = True
        if rows:
            texts = [*(self._row(row)[1] for row in rows), *spot_rows(self._snapshot.at_ms)]
            yield Frame(prices_frame(texts), ledger=self.ledger(), rows=[*rows, *_SPOT_ROWS])

    def published(self) -> None:
        """REST shows these values from now on."""
        for row in self._due:
            self._exchange.newest[row] = self._row(row)[0]

    def ledgers(self) -> Sequence[TickLedger]:
        """The one of all sockets."""
        return (self.ledger(),)

    def rows(self) -> Sequence[int]:
        """The symbols that have changed."""
        return self._due

    def ledger(self) -> TickLedger:
        """The tick's entry in the truth, shared by all connections."""
        if self._ledger is None:
            units = self._snapshot.rate_units.tolist()
            times = [_event_ms(self._snapshot.at_ms, row) * 1_000 for row in range(len(units))]
            rates: list[str | None] = [rate_text(each) for each in units]
            # Spot rows are counted from the end, and are in no truth.
            none = [None] * len(universe.SPOTS)
            self._ledger = TickLedger(
                [*self._exchange.heads, *none], [*times, *(0 for _ in none)], [*rates, *none]
            )
        return self._ledger

    def _row(self, row: int) -> tuple[Values, bytes]:
        if row not in self._built:
            values = self._exchange.values(self._snapshot, row)
            symbol = self._exchange.contracts[row].symbol
            self._built[row] = values, price_row(symbol, values)
        return self._built[row]


class Pacifica:
    """The exchange: created at a time, then driven by ticks, sessions and calls."""

    name = FEED
    wire = wire.WIRE

    def __init__(self, seed: int, options: PacificaOptions, now_ms: int) -> None:
        self._steps = steps_in(options.tick_ms, options.steps)
        self.tick_ms = options.tick_ms // self._steps
        self.phase_ms = options.phase_ms % self.tick_ms
        self._activity = Activity(self._steps, self.tick_ms, options.quiet_ms)
        self.contracts = universe.contracts(options.contracts, options.held_back)
        self.listings = Listings([c.symbol for c in self.contracts], options.held_back)
        self.market = Market(seed, FEED, self.contracts)
        self.heads = [head(FEED, contract.symbol) for contract in self.contracts]
        self.book = SettlementBook(self.market, now_ms, self.listings)
        self._settled_now: tuple[int, Sequence[int]] | None = None
        self.api = PacificaRest(
            self.market,
            self.book,
            self.listings,
            lambda row: self.newest[row],
            Credits(options.credits_per_minute),
            options.history_late_ms,
        )
        # REST answers from the start: with the tick before the first that is streamed.
        started = self.market.snapshot(now_ms // self.tick_ms * self.tick_ms)
        self.newest = [self.values(started, row) for row in range(len(self.contracts))]

    def session(self, path: str, query: Mapping[str, str]) -> PacificaSession | None:
        """Open a connection (§1)."""
        del query
        return PacificaSession() if path == "/ws" else None

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

    def prepare(self, at_ms: int) -> PacificaTick:
        """Compute the step of a grid time."""
        rows = self.api.shown()
        due = self._activity.changed(rows, at_ms)
        pushed = self._activity.pushed(due, at_ms)
        return PacificaTick(self, self.market.snapshot(at_ms), due, pushed)

    def values(self, snapshot: Snapshot, row: int) -> Values:
        """The numbers of a symbol in a snapshot."""
        prices = (
            float(snapshot.index[row]),
            float(snapshot.mark[row]),
            float(snapshot.average[row]),
        )
        units = self._last_settled(snapshot.at_ms)[row], int(snapshot.rate_units[row])
        held = liquidity(FEED, self.contracts[row].symbol, snapshot.at_ms)
        return Values(_event_ms(snapshot.at_ms, row), prices, units, held)

    def settled_at_start(self) -> Iterable[SettledRate]:
        """The 40 days before the start."""
        return self._settled(self.book.all)

    def settle(self, now_ms: int) -> Iterable[SettledRate]:
        """What has settled since the last call."""
        return self._settled(self.book.settle(now_ms))

    def _last_settled(self, at_ms: int) -> Sequence[int]:
        """Each symbol's last settled rate, computed once an hour."""
        hour_ms = at_ms // HOUR_MS * HOUR_MS
        if self._settled_now is None or self._settled_now[0] != hour_ms:
            self._settled_now = hour_ms, self.market.settled_units(hour_ms).tolist()
        return self._settled_now[1]

    def _settled(self, settlements: Settlements) -> Iterable[SettledRate]:
        columns = (settlements.row, settlements.funding_ms, settlements.rate_units)
        for row, funding_ms, units in zip(*(column.tolist() for column in columns), strict=True):
            yield SettledRate(self.contracts[row].symbol, funding_ms, rate_text(units), 1)


def _event_ms(at_ms: int, row: int) -> int:
    """The time of a row of a tick: rows of a frame have times of their own."""
    return at_ms + row * 7 % _SPREAD_MS


def create(options: SimulatorOptions, contracts: int, now_ms: int) -> Pacifica:
    """Create the feed as the options of a simulator process ask for it."""
    own = PacificaOptions(
        contracts=contracts,
        held_back=HELD_BACK,
        tick_ms=options.tick_ms,
        phase_ms=own_phase_ms(options, FEED, options.tick_ms),
        steps=min(2, most_steps(options)),
        quiet_ms=int(options.value(QUIET) * 1_000),
        credits_per_minute=NO_LIMIT if options.open_limits else 125,
        history_late_ms=int(options.value(LATE) * 1_000),
    )
    return Pacifica(options.seed, own, now_ms)


SIMULATED = Simulated(universe.PERPETUALS, create, wire.WIRE, (QUIET, LATE))
