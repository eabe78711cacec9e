"""Simulated WhiteBIT: what is pushed when (docs/exchanges/whitebit.md).

Every half second all markets are pushed, whether or not anything has changed: prices change every
tenth time, rates once a minute. This module reads no clock and does no I/O. session.py answers on
the socket, rest.py over REST; frames.py holds texts, universe.py the markets.

The truth's `event_time` is the time of sending that stands in each row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from infra.simulator.exchange import Frame, RestCall, RestReply, Session, SettledRate, Simulated
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Market, Settlements, Snapshot
from infra.simulator.market.minute_budget import MinuteBudget
from infra.simulator.market.truth import TickLedger, head
from infra.simulator.options import HELD_BACK, NO_LIMIT, OwnOption, SimulatorOptions
from infra.simulator.phases import own_phase_ms
from infra.simulator.whitebit import universe, wire
from infra.simulator.whitebit.frames import (
    Values,
    all_rows,
    one_row,
    rate_text,
    sent_text,
    values,
)
from infra.simulator.whitebit.rest import WhiteBitRest
from infra.simulator.whitebit.session import RULES, WhiteBitSession
from infra.simulator.wire_fields import Wire

FEED = "whitebit"
PATH = "/ws"
_PUSHES_PER_PRICE = 10  # a step every 5 s of what is pushed every 0.5 s (§2)
_PUSHES_PER_RATE = 120  # at most once a minute (§2)
_REQUESTS_PER_10_S = 2_000

HISTORY_ORDER = OwnOption(
    "whitebit_history",
    default="newest-first",
    values=("newest-first", "oldest-first"),
    help="The order of WhiteBIT's settled rates, which is not documented.",
)


@dataclass(frozen=True, slots=True)
class WhiteBitOptions:
    """What can be varied. Defaults follow whitebit.md §1, §2 and §4."""

    contracts: int = universe.PERPETUALS
    held_back: int = 0
    tick_ms: int = 500
    phase_ms: int = 0
    requests_per_10_s: int = _REQUESTS_PER_10_S
    newest_first: bool = True


class WhiteBitTick:
    """One push: the values of a moment, and frames that are built when first asked for."""

    def __init__(self, exchange: WhiteBit, shown: Values) -> None:
        self._exchange = exchange
        self._shown = shown
        self._rows = exchange.pushed_rows()
        self._sent_us = shown.at_ms * 1_000 + (shown.at_ms // 10 * 2_654_435_761 >> 7) % 1_000
        self._sent = sent_text(self._sent_us)
        self._all: bytes | None = None
        self._ledger: TickLedger | None = None

    @property
    def event_ms(self) -> int:
        """The first ms that the time of sending does not lie behind."""
        return self._shown.at_ms + 1

    def frames(self, session: Session) -> Iterator[Frame]:
        """What this session's subscription delivers now."""
        own = cast("WhiteBitSession", session)
        if own.all_markets:
            if self._all is None:
                starts = self._exchange.starts(self._shown)
                self._all = all_rows([starts[row] for row in self._rows], self._sent)
            yield Frame(self._all, ledger=self.ledger(), rows=self._rows)
        for market in own.markets:
            row = self._exchange.row_of(market)
            if row in self._rows:
                text = one_row(self._exchange.starts(self._shown)[row], self._sent)
                yield Frame(text, ledger=self.ledger(), rows=(row,))

    def published(self) -> None:
        """Show these values in REST."""
        self._exchange.api.show(self._shown)

    def ledgers(self) -> Sequence[TickLedger]:
        """The one of all sockets."""
        return (self.ledger(),)

    def rows(self) -> Sequence[int]:
        """The markets that are pushed, delisted ones apart."""
        contracts = self._exchange.contracts
        return [row for row in self._rows if contracts[row].kind != "foreign"]

    def ledger(self) -> TickLedger:
        """The tick's entry in the truth, shared by all connections."""
        if self._ledger is None:
            event_us = [self._sent_us] * len(self._shown.rates)
            self._ledger = TickLedger(self._exchange.heads, event_us, self._shown.rates)
        return self._ledger


class WhiteBit:
    """The exchange: created at a time, then driven by ticks, sessions and calls."""

    name = FEED
    wire: Wire = wire.WIRE

    def __init__(self, seed: int, options: WhiteBitOptions, now_ms: int) -> None:
        self.tick_ms = options.tick_ms
        self.phase_ms = options.phase_ms % options.tick_ms
        self.contracts = universe.contracts(options.contracts, options.held_back)
        self.listings = Listings([c.symbol for c in self.contracts], options.held_back)
        self.market = Market(seed, FEED, self.contracts)
        self.heads = [
            None if contract.kind == "foreign" else head(FEED, contract.symbol)
            for contract in self.contracts
        ]
        self.book = SettlementBook(self.market, now_ms, self.listings)
        self.api = WhiteBitRest(
            FEED,
            self.market,
            self.book,
            self.listings,
            MinuteBudget(options.requests_per_10_s),
            newest_first=options.newest_first,
        )
        self._row_of = {contract.symbol: row for row, contract in enumerate(self.contracts)}
        self._pushed: tuple[int, Sequence[int]] | None = None
        self._snapshots: tuple[int, int, Snapshot, Snapshot] | None = None
        self._values: Values | None = None
        self._starts: tuple[Values, list[bytes]] | None = None
        # REST answers from the start: with the values before the first that are pushed.
        self.api.show(self._values_at(now_ms // self.tick_ms * self.tick_ms))

    def session(self, path: str, query: Mapping[str, str]) -> WhiteBitSession | None:
        """Open a connection (§1)."""
        del query
        return WhiteBitSession(RULES, self.listings.is_known) if path == PATH else None

    def rest(self, call: RestCall) -> RestReply:
        """Answer an HTTP request."""
        return self.api.answer(call)

    def refusal(self, call: RestCall, status: int, retry_after_s: int | None) -> RestReply | None:
        """Refusals are pages of the gateway (§4)."""
        del call, status, retry_after_s
        return None

    def maintenance(self, call: RestCall) -> RestReply | None:
        """Its state is not told: every call answers 503 (§4)."""
        del call
        return None

    def prepare(self, at_ms: int) -> WhiteBitTick:
        """Compute the push of a grid time."""
        return WhiteBitTick(self, self._values_at(at_ms))

    def pushed_rows(self) -> Sequence[int]:
        """The markets that a push brings, delisted ones among them (§2)."""
        if self._pushed is None or self._pushed[0] != self.listings.version:
            self._pushed = self.listings.version, tuple(self.listings.rows())
        return self._pushed[1]

    def row_of(self, market: str) -> int:
        """The position of a known market."""
        return self._row_of[market]

    def starts(self, shown: Values) -> list[bytes]:
        """The rows up to the time of sending; they are made anew when a value changes."""
        if self._starts is None or not _is_same(self._starts[0], shown):
            self._starts = shown, shown.starts(self.contracts)
        return self._starts[1]

    def settled_at_start(self) -> Iterable[SettledRate]:
        """The 40 days before the start."""
        return self._settled(self.book.all)

    def settle(self, now_ms: int) -> Iterable[SettledRate]:
        """What has settled since the last call."""
        return self._settled(self.book.settle(now_ms))

    def _values_at(self, at_ms: int) -> Values:
        priced_ms, rated_ms = (
            at_ms // (pushes * self.tick_ms) * (pushes * self.tick_ms)
            for pushes in (_PUSHES_PER_PRICE, _PUSHES_PER_RATE)
        )
        known = self._snapshots
        next_ms = self.market.next_funding_ms(at_ms)
        if known is None or known[:2] != (priced_ms, rated_ms):
            known = (
                priced_ms,
                rated_ms,
                self.market.snapshot(priced_ms),
                self.market.snapshot(rated_ms),
            )
            self._snapshots = known
            self._values = values(self.contracts, at_ms, known[2], known[3], next_ms)
        assert self._values is not None
        return replace(self._values, at_ms=at_ms, next_ms=tuple(next_ms.tolist()))

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


def _is_same(one: Values, other: Values) -> bool:
    return one.marks is other.marks and one.rates is other.rates and one.next_ms == other.next_ms


def create(options: SimulatorOptions, contracts: int, now_ms: int) -> WhiteBit:
    """Create the feed as the options of a simulator process ask for it."""
    tick_ms = max(1, options.tick_ms // 2)
    own = WhiteBitOptions(
        contracts=contracts,
        held_back=HELD_BACK,
        tick_ms=tick_ms,
        phase_ms=own_phase_ms(options, FEED, tick_ms),
        requests_per_10_s=NO_LIMIT if options.open_limits else _REQUESTS_PER_10_S,
        newest_first=options.value(HISTORY_ORDER) == "newest-first",
    )
    return WhiteBit(options.seed, own, now_ms)


SIMULATED = Simulated(universe.PERPETUALS, create, wire.WIRE, (HISTORY_ORDER,))
