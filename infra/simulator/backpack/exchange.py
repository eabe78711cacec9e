"""Simulated Backpack: its socket and its ticks (docs/exchanges/backpack.md).

This module answers subscriptions and decides what they deliver; it reads no clock and does no I/O.
The other modules of the folder hold REST (rest.py), texts (frames.py) and the markets
(universe.py). The server sends the PINGs that `SocketRules` asks for.

The truth's `event_time` is `E` of the frame, in µs as on the wire.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import msgspec
import numpy as np

from infra.simulator.backpack import universe, wire
from infra.simulator.backpack.frames import history_text, rate_text, stream_frame
from infra.simulator.backpack.rest import BackpackRest
from infra.simulator.exchange import (
    Close,
    Frame,
    RestCall,
    RestReply,
    Session,
    SettledRate,
    Simulated,
    SocketRules,
)
from infra.simulator.market.history import DAY_MS, SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Market, Settlements, Snapshot
from infra.simulator.market.minute_budget import MinuteBudget
from infra.simulator.market.truth import TickLedger, head
from infra.simulator.options import HELD_BACK, NO_LIMIT, SimulatorOptions
from infra.simulator.phases import most_steps, own_phase_ms, own_steps, steps_in

FEED = "backpack"
RULES = SocketRules(ping_every_s=60.0, pong_within_s=120.0)
_MARK_PRICE = "markPrice"
_OTHER_STREAMS = frozenset({"ticker", "depth", "bookTicker", "trade", "kline", "openInterest"})
_PARSE_ERROR = 4002, "Parse error"
_INVALID_STREAM = 4006, "Invalid stream"
_INVALID_DEPTH_WINDOW = 4008, "Invalid depth window"
_DEPTH_WINDOWS = frozenset({"200ms", "600ms", "1000ms"})
_WINDOW = re.compile(r"\d+ms")
_FROZEN_BLOCK_MS = 30 * DAY_MS


@dataclass(frozen=True, slots=True)
class BackpackOptions:
    """What can be varied. Defaults follow backpack.md §1, §4 and §5.

    Each market is pushed in one of `steps` of a second, always the same one.
    """

    contracts: int = universe.OPEN_PERPS
    held_back: int = 0
    tick_ms: int = 1_000
    phase_ms: int = 0
    steps: int = 1
    requests_per_minute: int = 2_000
    age_s: int | None = None
    retry_after: bool = False
    rules: SocketRules = RULES


class BackpackSession:
    """One connection: its streams, and nothing but errors as answers."""

    def __init__(self, rules: SocketRules) -> None:
        self.rules = rules
        self.streams: dict[str, None] = {}

    def opened(self) -> Sequence[Frame | Close]:
        """Backpack greets nobody."""
        return ()

    def on_text(self, text: str, now_ms: int) -> Sequence[Frame | Close]:
        """Apply a control frame. Success has no answer, errors do not repeat the id (§1)."""
        del now_ms
        request = _object(text)
        if request is None:
            return (_error(_PARSE_ERROR),)
        method, names = request.get("method"), _texts(request.get("params"))
        if method not in {"SUBSCRIBE", "UNSUBSCRIBE"} or names is None:
            return (_error(_PARSE_ERROR),)
        if not all(map(_is_stream, names)):
            return (_error(_INVALID_STREAM),)
        if not all(map(_has_known_window, names)):
            return (_error(_INVALID_DEPTH_WINDOW),)
        for name in names:
            if method == "SUBSCRIBE":
                self.streams[name] = None
            else:
                self.streams.pop(name, None)
        return ()

    def on_binary(self, data: bytes, now_ms: int) -> Sequence[Frame | Close]:
        """What becomes of binary frames is not documented: refused like unreadable text here."""
        del data, now_ms
        return (_error(_PARSE_ERROR),)

    def subscribed(self) -> Sequence[str]:
        """The stream names, known or not."""
        return list(self.streams)


class BackpackTick:
    """One step: a snapshot, and frames of the open markets that are due, built when asked for."""

    def __init__(self, exchange: Backpack, snapshot: Snapshot, due: Sequence[int]) -> None:
        self._exchange = exchange
        self.snapshot = snapshot
        self._due = due
        self._ledger: TickLedger | None = None
        self._rates: list[str | None] = []
        self._built: dict[int, bytes] = {}

    @property
    def event_ms(self) -> int:
        """The first ms that no event time in it lies behind."""
        return self.snapshot.at_ms + 1

    def frames(self, session: Session) -> Iterator[Frame]:
        """What this session's subscriptions deliver now."""
        wanted, streams = cast("BackpackSession", session).streams, self._exchange.streams
        for row in self._due:
            if streams[row] in wanted:
                ledger = self.ledger()
                if row not in self._built:
                    self._built[row] = self._build(row)
                yield Frame(self._built[row], ledger=ledger, rows=(row,))

    def published(self) -> None:
        """Show these values in markPrices."""
        self._exchange.api.show(self.snapshot, self._due)

    def ledgers(self) -> Sequence[TickLedger]:
        """The one of all sockets."""
        return (self.ledger(),)

    def rows(self) -> Sequence[int]:
        """The open markets that are due."""
        return self._due

    def ledger(self) -> TickLedger:
        """The tick's entry in the truth, shared by all connections."""
        if self._ledger is None:
            contracts, units = self._exchange.contracts, self.snapshot.rate_units.tolist()
            self._rates = [None] * len(contracts)
            event_us = [0] * len(contracts)
            for row in self._due:
                event_us[row] = self._event_us(row)
                if contracts[row].kind != "dated":
                    self._rates[row] = rate_text(contracts[row], units[row])
            self._ledger = TickLedger(self._exchange.heads, event_us, self._rates)
        return self._ledger

    def _build(self, row: int) -> bytes:
        contract, rate = self._exchange.contracts[row], self._rates[row]
        return stream_frame(contract, self.snapshot, row, rate, self._event_us(row))

    def _event_us(self, row: int) -> int:
        at_ms = self.snapshot.at_ms
        return at_ms * 1_000 + ((at_ms // 10 * 2_654_435_761 + row * 40_503) >> 7) % 1_000


class Backpack:
    """The exchange: created at a time, then driven by ticks, sessions and calls."""

    name = FEED
    wire = wire.WIRE

    def __init__(self, seed: int, options: BackpackOptions, now_ms: int) -> None:
        self._period_ms = options.tick_ms
        steps = steps_in(options.tick_ms, options.steps)
        self.tick_ms = options.tick_ms // steps
        self.phase_ms = options.phase_ms % self.tick_ms
        self._rules = options.rules
        self.contracts = universe.contracts(options.contracts, options.held_back)
        self.listings = Listings([c.symbol for c in self.contracts], options.held_back)
        self.market = Market(seed, FEED, self.contracts)
        self.heads = [head(FEED, contract.symbol) for contract in self.contracts]
        self.streams = [f"{_MARK_PRICE}.{contract.symbol}" for contract in self.contracts]
        own = own_steps(seed, FEED, [contract.symbol for contract in self.contracts], steps)
        self._rows_by_step = [np.flatnonzero(own == step).tolist() for step in range(steps)]
        self.book = SettlementBook(self.market, now_ms, self.listings)
        frozen_ms = now_ms // _FROZEN_BLOCK_MS * _FROZEN_BLOCK_MS - 31 * DAY_MS
        self.api = BackpackRest(
            self.market,
            self.book,
            self.listings,
            self.market.snapshot(frozen_ms),
            MinuteBudget(options.requests_per_minute),
            age_s=options.age_s,
            retry_after=options.retry_after,
        )
        # REST answers from the start: with the values before the first that are streamed.
        started = self.market.snapshot(now_ms // self.tick_ms * self.tick_ms)
        self.api.show(started, range(len(self.contracts)))

    def session(self, path: str, query: Mapping[str, str]) -> BackpackSession | None:
        """Open a connection (§1): the address has no path."""
        del query
        return BackpackSession(self._rules) if path in {"", "/"} else None

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

    def prepare(self, at_ms: int) -> BackpackTick:
        """Compute the step of a grid time."""
        rows = self._rows_by_step[at_ms % self._period_ms // self.tick_ms]
        due = [row for row in rows if self.api.is_open(row)]
        return BackpackTick(self, self.market.snapshot(at_ms), due)

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
            contract = self.contracts[row]
            rate = history_text(rate_text(contract, units))
            yield SettledRate(contract.symbol, funding_ms, rate, hours)


def create(options: SimulatorOptions, contracts: int, now_ms: int) -> Backpack:
    """Create the feed as the options of a simulator process ask for it."""
    own = BackpackOptions(
        contracts=contracts,
        held_back=HELD_BACK,
        tick_ms=options.tick_ms,
        phase_ms=own_phase_ms(options, FEED, options.tick_ms),
        steps=most_steps(options),
        requests_per_minute=NO_LIMIT if options.open_limits else 2_000,
        retry_after=options.retry_after,
        rules=replace(RULES, ping_every_s=min(RULES.ping_every_s, options.ping_every_s)),
    )
    return Backpack(options.seed, own, now_ms)


SIMULATED = Simulated(91, create, wire.WIRE)


def _object(text: str) -> dict[str, Any] | None:
    try:
        request = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return request if isinstance(request, dict) else None


def _texts(names: object) -> list[str] | None:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return names


def _is_stream(name: str) -> bool:
    """Whether a stream of that type exists; whether its symbol does is not looked at."""
    kind, dot, symbol = name.partition(".")
    return bool(dot and symbol) and (kind == _MARK_PRICE or kind in _OTHER_STREAMS)


def _has_known_window(name: str) -> bool:
    """Whether `depth.<window>.<symbol>` names a window that exists; other streams have none."""
    kind, window, *_ = name.split(".")
    return kind != "depth" or not _WINDOW.fullmatch(window) or window in _DEPTH_WINDOWS


def _error(error: tuple[int, str]) -> Frame:
    code, message = error
    return Frame(msgspec.json.encode({"id": None, "error": {"code": code, "message": message}}))
