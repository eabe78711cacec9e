"""Simulated Hyperliquid: its socket and its ticks (docs/exchanges/hyperliquid.md).

This module decides what a subscription delivers and when; it reads no clock and does no I/O. The
other modules of the folder hold control messages (session.py), REST (rest.py), texts (frames.py)
and the coins (universe.py).

A frame names no time (§6), so a correct reader stamps it on receipt, and the truth's `event_time`
is the time of the tick that sent it: what a reader has stored of a contract must be the truth's
sequence of rates of that contract in its order, each with `sent_at` <= `received_at`.
`allDexsAssetCtxs` repeats what `activeAssetCtx` has said, without names: it is not in the truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from infra.simulator.exchange import Frame, RestCall, RestReply, Session, SettledRate, Simulated
from infra.simulator.hyperliquid import wire
from infra.simulator.hyperliquid.frames import (
    ContextTexts,
    all_dexs_frame,
    all_mids_frame,
    context_frame,
    rate_text,
)
from infra.simulator.hyperliquid.rest import HyperliquidRest
from infra.simulator.hyperliquid.session import (
    ALL_DEXS_KEY,
    HyperliquidSession,
    SocketLimits,
    coin_key,
)
from infra.simulator.hyperliquid.universe import DEXS, coins, rows_by_dex
from infra.simulator.market.history import DAY_MS, SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Ints, Market, Settlements, Snapshot
from infra.simulator.market.minute_budget import MinuteBudget
from infra.simulator.market.truth import TickLedger, head
from infra.simulator.options import HELD_BACK, NO_LIMIT, SimulatorOptions
from infra.simulator.phases import most_steps, own_phase_ms, steps_in

FEED = "hyperliquid"
_FROZEN_BLOCK_MS = 30 * DAY_MS


@dataclass(frozen=True, slots=True)
class HyperliquidOptions:
    """What can be varied. Defaults follow hyperliquid.md §2, §4, §5, §8 and §9.

    A coin's frame comes in one of `steps` of its second, each second another.
    """

    contracts: int = 326
    held_back: int = 0
    tick_ms: int = 1_000
    phase_ms: int = 0
    steps: int = 5
    all_dexs_ms: int = 13_600
    all_mids_ms: int = 5_000
    connections: int = 10
    connections_per_minute: int = 30
    subscriptions: int = 1_000
    messages_per_minute: int = 2_000
    weight_per_minute: int = 1_200
    retry_after: bool = False


class HyperliquidTick:
    """One step: the coins whose frames are due, and once in a while all dexs or all mids."""

    def __init__(
        self,
        exchange: Hyperliquid,
        at_ms: int,
        due: Mapping[int, tuple[str | None, bytes]],
        *,
        all_dexs: bool,
        all_mids: bool,
    ) -> None:
        self._exchange = exchange
        self._at_ms = at_ms
        self._due = due
        self._all_dexs = all_dexs
        self._all_mids = all_mids
        self._ledger: TickLedger | None = None

    @property
    def event_ms(self) -> int:
        """The grid time itself."""
        return self._at_ms

    def frames(self, session: Session) -> Iterator[Frame]:
        """What this session's subscriptions deliver now."""
        own = cast("HyperliquidSession", session)
        self._exchange.sockets.saw(own)
        wanted = own.subscriptions
        delivered = False
        keys = self._exchange.keys
        for row, (_, context) in self._due.items():
            if keys[row] in wanted:
                delivered = True
                coin = self._exchange.contracts[row].symbol
                yield Frame(context_frame(coin, context), ledger=self.ledger(), rows=(row,))
        if self._all_dexs and ALL_DEXS_KEY in wanted:
            delivered = True
            yield Frame(all_dexs_frame(self._exchange.all_contexts(self._due)))
        for dex in own.dexs_of_mids() if self._all_mids else ():
            delivered = True
            yield Frame(all_mids_frame(dex, self._exchange.api.mids(dex, self._due)))
        if delivered:
            own.sent(self._at_ms)
        else:
            own.nothing_sent(self._at_ms)

    def published(self) -> None:
        """Show these contexts in REST."""
        self._exchange.show(self._due)

    def ledgers(self) -> Sequence[TickLedger]:
        """The one of all sockets."""
        return (self.ledger(),)

    def rows(self) -> Sequence[int]:
        """The coins whose frames are due, halted ones apart: they have no rate."""
        return [row for row, (rate, _) in self._due.items() if rate is not None]

    def ledger(self) -> TickLedger:
        """The tick's entry in the truth, shared by all connections."""
        if self._ledger is None:
            rates: list[str | None] = [None] * len(self._exchange.contracts)
            for row, (rate, _) in self._due.items():
                rates[row] = rate
            event_us = [self._at_ms * 1_000] * len(rates)
            self._ledger = TickLedger(self._exchange.heads, event_us, rates)
        return self._ledger


class Hyperliquid:
    """The exchange: created at a time, then driven by ticks, sessions and calls."""

    name = FEED
    wire = wire.WIRE

    def __init__(self, seed: int, options: HyperliquidOptions, now_ms: int) -> None:
        self._options = options
        self._steps = steps_in(options.tick_ms, options.steps)
        self.tick_ms = options.tick_ms // self._steps
        self.phase_ms = options.phase_ms % self.tick_ms
        listed = coins(options.contracts, options.held_back)
        self.contracts = listed.contracts
        self.listings = Listings([c.symbol for c in self.contracts], options.held_back)
        self.market = Market(seed, FEED, self.contracts)
        self.heads = [head(FEED, contract.symbol) for contract in self.contracts]
        self.keys = [coin_key(contract.symbol) for contract in self.contracts]
        self.sockets = SocketLimits(
            options.connections,
            options.connections_per_minute,
            options.subscriptions,
            options.messages_per_minute,
        )
        self._dex_rows = rows_by_dex(listed.dexs)
        self.book = SettlementBook(self.market, now_ms, self.listings)
        self._texts = ContextTexts(FEED, self.contracts)
        self._seen_version = self.listings.version
        self._live: tuple[int, Ints] | None = None
        self.api = HyperliquidRest(
            self.market,
            self.book,
            self.listings,
            self._dex_rows,
            lambda row: self._contexts[row],
            MinuteBudget(options.weight_per_minute),
            retry_after=options.retry_after,
        )
        # REST answers from the start: with the tick before the first that is streamed.
        started = self.market.snapshot(now_ms // self.tick_ms * self.tick_ms)
        frozen = self.market.snapshot(now_ms // _FROZEN_BLOCK_MS * _FROZEN_BLOCK_MS - 31 * DAY_MS)
        self._contexts = [
            self._texts.delisted(frozen, row)
            if contract.frozen
            else self._texts.context(started, row)[1]
            for row, contract in enumerate(self.contracts)
        ]
        self.sockets.begin_tick(now_ms)

    def session(self, path: str, query: Mapping[str, str]) -> HyperliquidSession | None:
        """Open a connection (§1).

        One too many (§4) is refused in the handshake; how the exchange does it is not known.
        """
        del query
        if path != "/ws":
            return None
        session = HyperliquidSession(self.sockets, self._exists)
        return session if self.sockets.open(session) else None

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

    def prepare(self, at_ms: int) -> HyperliquidTick:
        """Compute the step of a grid time."""
        self.sockets.begin_tick(at_ms)
        snapshot = self.market.snapshot(at_ms)
        if self.listings.version != self._seen_version:
            self._seen_version = self.listings.version
            self._relist(snapshot)
        due = {row: self._context(snapshot, row) for row in self._due_rows(at_ms)}
        return HyperliquidTick(
            self,
            at_ms,
            due,
            all_dexs=self._is_due(self._options.all_dexs_ms, at_ms),
            all_mids=self._is_due(self._options.all_mids_ms, at_ms),
        )

    def show(self, due: Mapping[int, tuple[str | None, bytes]]) -> None:
        """Take these contexts as the newest."""
        for row, (_, context) in due.items():
            self._contexts[row] = context

    def all_contexts(
        self, due: Mapping[int, tuple[str | None, bytes]]
    ) -> list[tuple[str, list[bytes]]]:
        """The contexts of all known assets by dex in universe order, delisted ones included."""
        return [
            (
                dex,
                [due[row][1] if row in due else self._contexts[row] for row in self.api.shown(dex)],
            )
            for dex in DEXS
        ]

    def settled_at_start(self) -> Iterable[SettledRate]:
        """The 40 days before the start."""
        return self._settled(self.book.all)

    def settle(self, now_ms: int) -> Iterable[SettledRate]:
        """What has settled since the last call."""
        return self._settled(self.book.settle(now_ms))

    def _is_due(self, every_ms: int, at_ms: int) -> bool:
        """Whether something that comes every so often comes with this step."""
        return at_ms // every_ms != (at_ms - self.tick_ms) // every_ms

    def _due_rows(self, at_ms: int) -> list[int]:
        period, within_ms = divmod(at_ms, self._options.tick_ms)
        live = self._live_rows()
        own = (period * 2_654_435_761 % 2**40 + live * 40_503 >> 7) % self._steps
        due: list[int] = live[own == within_ms // self.tick_ms].tolist()
        return due

    def _live_rows(self) -> Ints:
        """What is listed, in the state of now; asked at each step."""
        if self._live is None or self._live[0] != self.listings.version:
            known = self.listings.known_rows()
            live = [row for row in known if not self.api.is_delisted(row)]
            self._live = self.listings.version, np.array(live, dtype=np.int64)
        return self._live[1]

    def _relist(self, snapshot: Snapshot) -> None:
        """Show what was delisted as such, and what was listed with the values of now."""
        for row in self.listings.known_rows():
            if self.contracts[row].frozen:
                continue
            self._contexts[row] = (
                self._texts.delisted(snapshot, row)
                if self.api.is_delisted(row)
                else self._context(snapshot, row)[1]
            )

    def _context(self, snapshot: Snapshot, row: int) -> tuple[str | None, bytes]:
        """The rate text and the context of a coin; a halted one has no rate (§6)."""
        if self.listings.state(self.contracts[row].symbol) is not None:
            return None, self._texts.halted(snapshot, row)
        return self._texts.context(snapshot, row)

    def _exists(self, coin: str) -> bool:
        return self.listings.is_known(coin)

    def _settled(self, settlements: Settlements) -> Iterable[SettledRate]:
        columns = (settlements.row, settlements.funding_ms, settlements.rate_units)
        for row, funding_ms, units in zip(*(column.tolist() for column in columns), strict=True):
            coin = self.contracts[row].symbol
            yield SettledRate(coin, funding_ms, rate_text(coin, units), 1)


def create(options: SimulatorOptions, contracts: int, now_ms: int) -> Hyperliquid:
    """Create the feed as the options of a simulator process ask for it."""
    own = HyperliquidOptions(
        contracts=contracts,
        held_back=HELD_BACK,
        tick_ms=options.tick_ms,
        phase_ms=own_phase_ms(options, FEED, options.tick_ms),
        steps=most_steps(options),
        weight_per_minute=NO_LIMIT if options.open_limits else 1_200,
        retry_after=options.retry_after,
    )
    return Hyperliquid(options.seed, own, now_ms)


SIMULATED = Simulated(326, create, wire.WIRE)
