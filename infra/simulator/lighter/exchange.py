"""Simulated Lighter: its ticks (docs/exchanges/lighter.md).

This module decides what a subscription delivers and when; it reads no clock and does no I/O. The
other modules of the folder hold control messages (session.py), REST (rest.py), texts (frames.py)
and the markets (universe.py).

The truth's `event_time` is `timestamp` of the frame, and its rates are fractions per hour, while
the wire has percent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from infra.simulator.exchange import Frame, RestCall, RestReply, Session, SettledRate, Simulated
from infra.simulator.lighter import universe, wire
from infra.simulator.lighter.frames import (
    PING,
    STEP_UNITS,
    Values,
    all_frame,
    fraction_text,
    one_frame,
    stats_row,
)
from infra.simulator.lighter.rest import LighterRest
from infra.simulator.lighter.session import ALL, LighterSession
from infra.simulator.market.activity import Activity, quiet_option
from infra.simulator.market.history import DAY_MS, SettlementBook
from infra.simulator.market.liquidity import liquidity
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import HOUR_MS, Market, Settlements, Snapshot
from infra.simulator.market.minute_budget import MinuteBudget
from infra.simulator.market.truth import TickLedger, head
from infra.simulator.options import HELD_BACK, NO_LIMIT, OwnOption, SimulatorOptions
from infra.simulator.phases import most_steps, own_phase_ms, steps_in

FEED = "lighter"
QUIET = quiet_option(FEED, "Lighter")
LIMIT = OwnOption(
    "lighter_limit_status",
    "429",
    ("429", "200"),
    "HTTP status with which Lighter refuses too many calls; 200 has the code in the body alone",
)
SERVER_PING = OwnOption(
    "lighter_ping_s", 60.0, (0.0, 3_600.0), "Lighter's socket asks for a pong so often; 0 never"
)
_SETTLED_AFTER_MS = 1_000  # frames show a settlement so long after the hour
_FROZEN_BLOCK_MS = 30 * DAY_MS


@dataclass(frozen=True, slots=True)
class LighterOptions:
    """What can be varied. Defaults follow lighter.md §4 to §6.

    A second has `steps` frames, with the markets that have changed; a single one has all.
    """

    contracts: int = universe.PERPETUALS
    held_back: int = 0
    tick_ms: int = 1_000
    phase_ms: int = 0
    steps: int = 2
    quiet_ms: int = 0
    requests_per_minute: int = 60
    messages_per_minute: int = 200
    limit_status: int = 429
    server_ping_ms: int = 60_000
    retry_after: bool = False


class LighterTick:
    """One step: the markets that have changed and are pushed; who is new gets all."""

    def __init__(
        self, exchange: Lighter, snapshot: Snapshot, due: Sequence[int], pushed: Sequence[int]
    ) -> None:
        self._exchange = exchange
        self.at_ms = snapshot.at_ms
        self._snapshot = snapshot
        self._due = due
        self._pushed = pushed
        self._built: dict[int, tuple[Values, bytes]] = {}
        self._ledger: TickLedger | None = None
        self._update: bytes | None = None

    @property
    def event_ms(self) -> int:
        """The time of its frames."""
        return self.at_ms

    def frames(self, session: Session) -> Iterator[Frame]:
        """What this session's subscriptions deliver now."""
        own = cast("LighterSession", session)
        if self._exchange.is_ping_due(own, self.at_ms):
            yield Frame(PING)
        for target, is_old in own.targets.items():
            own.targets[target] = True
            rows = list(self._pushed if is_old else self._exchange.active_rows())
            if target != ALL:
                rows = [row for row in rows if str(self._exchange.ids[row]) == target]
            if rows:
                payload = self._payload(target, rows, "update" if is_old else "subscribed")
                yield Frame(payload, ledger=self.ledger(), rows=rows)

    def published(self) -> None:
        """REST shows these values from now on."""
        for row in self._due:
            self._exchange.newest[row] = self._row(row)[0]

    def ledgers(self) -> Sequence[TickLedger]:
        """The one of all sockets."""
        return (self.ledger(),)

    def rows(self) -> Sequence[int]:
        """The markets that have changed."""
        return self._due

    def ledger(self) -> TickLedger:
        """The tick's entry in the truth, shared by all connections."""
        if self._ledger is None:
            active = set(self._exchange.active_rows())
            rates = [
                fraction_text(units) if row in active else None
                for row, units in enumerate(self._snapshot.rate_units.tolist())
            ]
            times = [self.at_ms * 1_000] * len(rates)
            self._ledger = TickLedger(self._exchange.heads, times, rates)
        return self._ledger

    def _payload(self, target: str, rows: Sequence[int], kind: str) -> bytes:
        if target != ALL:
            (row,) = rows
            return one_frame(kind, self._exchange.ids[row], self._row(row)[1], self.at_ms)
        if kind == "update":
            if self._update is None:
                self._update = self._all(kind, rows)
            return self._update
        return self._all(kind, rows)

    def _all(self, kind: str, rows: Sequence[int]) -> bytes:
        texts = ((self._exchange.ids[row], self._row(row)[1]) for row in rows)
        return all_frame(kind, texts, self.at_ms)

    def _row(self, row: int) -> tuple[Values, bytes]:
        if row not in self._built:
            values = self._exchange.values(self._snapshot, row)
            self._built[row] = values, stats_row(self._exchange.contracts[row], values)
        return self._built[row]


class Lighter:
    """The exchange: created at a time, then driven by ticks, sessions and calls."""

    name = FEED
    wire = wire.WIRE

    def __init__(self, seed: int, options: LighterOptions, now_ms: int) -> None:
        self._options = options
        self._steps = steps_in(options.tick_ms, options.steps)
        self.tick_ms = options.tick_ms // self._steps
        self.phase_ms = options.phase_ms % self.tick_ms
        self._activity = Activity(self._steps, self.tick_ms, options.quiet_ms)
        self.contracts = universe.contracts(options.contracts, options.held_back)
        self.listings = Listings([c.symbol for c in self.contracts], options.held_back)
        self.market = Market(seed, FEED, self.contracts, STEP_UNITS)
        self.ids = [universe.market_id(contract.symbol) for contract in self.contracts]
        self.heads = [head(FEED, contract.symbol) for contract in self.contracts]
        self.book = SettlementBook(self.market, now_ms, self.listings)
        self._messages = MinuteBudget(options.messages_per_minute)
        self._opened = 0
        self._settled_now: tuple[int, Sequence[tuple[int, int]]] | None = None
        self._active: tuple[int, Sequence[int]] | None = None
        self.api = LighterRest(
            self.market,
            self.book,
            self.listings,
            lambda row: self.newest[row],
            MinuteBudget(options.requests_per_minute),
            limit_status=options.limit_status,
            retry_after=options.retry_after,
        )
        # REST answers from the start: with the tick before the first that is streamed.
        started = self.market.snapshot(now_ms // self.tick_ms * self.tick_ms)
        frozen = self.market.snapshot(now_ms // _FROZEN_BLOCK_MS * _FROZEN_BLOCK_MS - 31 * DAY_MS)
        self.newest = [
            self.values(frozen if contract.frozen else started, row)
            for row, contract in enumerate(self.contracts)
        ]

    def session(self, path: str, query: Mapping[str, str]) -> LighterSession | None:
        """Open a connection (§1); `readonly` in the query changes nothing for public channels."""
        del query
        if path != "/stream":
            return None
        self._opened += 1
        return LighterSession(
            self._opened, lambda number: self.api.row_of(number) is not None, self._messages
        )

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

    def prepare(self, at_ms: int) -> LighterTick:
        """Compute the step of a grid time."""
        rows = self.active_rows()
        due = self._activity.changed(rows, at_ms)
        pushed = self._activity.pushed(due, at_ms)
        return LighterTick(self, self.market.snapshot(at_ms), due, pushed)

    def active_rows(self) -> Sequence[int]:
        """The markets that trade now; asked at each step."""
        if self._active is None or self._active[0] != self.listings.version:
            known = self.listings.known_rows()
            active = [row for row in known if self.api.is_active(row)]
            self._active = self.listings.version, active
        return self._active[1]

    def values(self, snapshot: Snapshot, row: int) -> Values:
        """The numbers of a market in a snapshot."""
        prices = (
            float(snapshot.index[row]),
            float(snapshot.mark[row]),
            float(snapshot.average[row]),
        )
        held = liquidity(FEED, self.contracts[row].symbol, snapshot.at_ms)
        settled = self._last_settled(snapshot.at_ms)[row]
        return Values(prices, int(snapshot.rate_units[row]), settled, held)

    def is_ping_due(self, session: LighterSession, at_ms: int) -> bool:
        """Whether the server asks a connection for a pong now."""
        every_ms = self._options.server_ping_ms
        if not session.pinged_ms:
            session.pinged_ms = at_ms
        if not every_ms or at_ms - session.pinged_ms < every_ms:
            return False
        session.pinged_ms = at_ms
        return True

    def settled_at_start(self) -> Iterable[SettledRate]:
        """The 40 days before the start."""
        return self._settled(self.book.all)

    def settle(self, now_ms: int) -> Iterable[SettledRate]:
        """What has settled since the last call."""
        return self._settled(self.book.settle(now_ms))

    def _last_settled(self, at_ms: int) -> Sequence[tuple[int, int]]:
        """Time and rate of each market's last settlement as frames show it: once an hour."""
        hour_ms = (at_ms - _SETTLED_AFTER_MS) // HOUR_MS * HOUR_MS
        if self._settled_now is None or self._settled_now[0] != hour_ms:
            units = self.market.settled_units(hour_ms).tolist()
            # The stamp is up to a millisecond late (§6).
            stamped = [(hour_ms + row % 2, unit) for row, unit in enumerate(units)]
            self._settled_now = hour_ms, stamped
        return self._settled_now[1]

    def _settled(self, settlements: Settlements) -> Iterable[SettledRate]:
        columns = (settlements.row, settlements.funding_ms, settlements.rate_units)
        for row, funding_ms, units in zip(*(column.tolist() for column in columns), strict=True):
            yield SettledRate(self.contracts[row].symbol, funding_ms, fraction_text(units), 1)


def create(options: SimulatorOptions, contracts: int, now_ms: int) -> Lighter:
    """Create the feed as the options of a simulator process ask for it."""
    own = LighterOptions(
        contracts=contracts,
        held_back=HELD_BACK,
        tick_ms=options.tick_ms,
        phase_ms=own_phase_ms(options, FEED, options.tick_ms),
        steps=min(2, most_steps(options)),
        quiet_ms=int(options.value(QUIET) * 1_000),
        requests_per_minute=NO_LIMIT if options.open_limits else 60,
        limit_status=int(options.value(LIMIT)),
        server_ping_ms=int(options.value(SERVER_PING) * 1_000),
        retry_after=options.retry_after,
    )
    return Lighter(options.seed, own, now_ms)


SIMULATED = Simulated(universe.PERPETUALS, create, wire.WIRE, (LIMIT, SERVER_PING, QUIET))
