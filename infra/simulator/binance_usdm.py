"""Simulated Binance USD-M: its streams, routes and ticks (exchanges.md section 1).

Responsible for: which path and stream delivers what, and what a tick holds. Reads no clock and
does no I/O. Not responsible for: control messages (binance_control.py), REST bodies
(binance_rest.py), texts (binance_frames.py), heartbeats and speed limits (the server enforces
the `SocketRules` given here).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from infra.simulator import binance_universe
from infra.simulator.binance_control import StreamControl
from infra.simulator.binance_frames import StreamTexts, rate_texts, wrapped
from infra.simulator.binance_limits import RateLimits
from infra.simulator.binance_rest import BinanceRest
from infra.simulator.feed import (
    Close,
    Frame,
    RestCall,
    RestReply,
    Session,
    SettledRate,
    SocketRules,
)
from infra.simulator.history import SettlementBook
from infra.simulator.market import Market, Settlements, Snapshot
from infra.simulator.truth import TickLedger, head
from infra.simulator.universe import UNITS_PER_ONE, Contract

FEED = "binance-usdm"
_SLOW_TICKS = 3  # streams without @1s push every third tick (exchanges.md 1.5)
_MAX_JITTER_MS = 3

RULES = SocketRules(ping_every_s=180.0, pong_within_s=600.0, messages_per_s=10, max_age_s=86_400.0)

Route = Literal["market", "silent"]


@dataclass(frozen=True, slots=True)
class BinanceOptions:
    """What can be varied. Defaults follow exchanges.md sections 1.3, 1.4, 1.9 and 1.13."""

    contracts: int = 745
    settling: int = 12
    coinm_rows: int = 0
    tick_ms: int = 1_000
    rows_per_array: int = 300
    max_streams: int = 1_024
    weight_per_minute: int = 2_400
    pool_per_5_minutes: int = 500
    retry_after: bool = False
    rules: SocketRules = RULES


@dataclass(frozen=True, slots=True)
class _Stream:
    """What a stream name asks for: one row, or all of them; every tick, or every third."""

    row: int | None
    slow: bool


class BinanceSession:
    """One connection: where it was opened decides whether its subscriptions deliver."""

    def __init__(self, route: Route, control: StreamControl, rules: SocketRules) -> None:
        self.rules = rules
        self.route = route
        self.control = control

    def opened(self) -> Sequence[Frame]:
        """Binance greets nobody."""
        return ()

    def on_text(self, text: str, now_ms: int) -> Sequence[Frame | Close]:
        """Answer a control frame."""
        del now_ms
        return self.control.on_text(text)

    def on_binary(self, data: bytes, now_ms: int) -> Sequence[Frame | Close]:
        """Control frames must be text (exchanges.md 1.2)."""
        del data, now_ms
        return (Close(1008, "Invalid request"),)

    def subscribed(self) -> Sequence[str]:
        """The stream names, known or not."""
        return list(self.control.streams)


class BinanceTick:
    """One tick: the snapshot, its event times, and frames that are built when first asked for."""

    def __init__(self, exchange: BinanceUsdm, snapshot: Snapshot, *, slow: bool) -> None:
        self._exchange = exchange
        self.snapshot = snapshot
        self.shard_ms = [
            snapshot.at_ms + _jitter_ms(snapshot.at_ms, shard)
            for shard in range(len(exchange.shards))
        ]
        self._slow = slow
        self._arrays: list[bytes] | None = None
        self._row_text: Callable[[int], bytes] | None = None
        self._ledger: TickLedger | None = None

    @property
    def event_ms(self) -> int:
        """The latest event time of its arrays."""
        return max(self.shard_ms)

    def frames(self, session: Session) -> Iterator[Frame]:
        """What this session's subscriptions deliver now."""
        binance = cast("BinanceSession", session)
        if binance.route != "market":
            return
        combined = binance.control.combined
        for name in binance.control.streams:
            stream = self._exchange.stream(name)
            if stream is None or (stream.slow and not self._slow):
                continue
            for payload, rows in self._payloads(stream):
                data = wrapped(name, payload) if combined else payload
                yield Frame(data, ledger=self.ledger(), rows=rows)

    def events(self) -> list[int]:
        """The event time (ms) of each row: that of its array."""
        return [self.shard_ms[shard] for shard in self._exchange.shard_of]

    def published(self) -> None:
        """Show this tick's values in premiumIndex."""
        self._exchange.api.show(self.snapshot, self.events)

    def ledger(self) -> TickLedger:
        """The tick's entry in the truth, shared by all connections."""
        if self._ledger is None:
            contracts = self._exchange.contracts
            event_us = [event_ms * 1_000 for event_ms in self.events()]
            rates = rate_texts(self.snapshot, contracts)
            self._ledger = TickLedger(self._exchange.heads, event_us, rates)
        return self._ledger

    def _payloads(self, stream: _Stream) -> Iterable[tuple[bytes, Sequence[int]]]:
        if stream.row is not None:
            if self._row_text is None:
                self._row_text = self._exchange.texts.rows(self.snapshot, self.events())
            yield self._row_text(stream.row), (stream.row,)
            return
        if self._arrays is None:
            self._arrays = self._exchange.texts.arrays(self.snapshot, self.shard_ms)
        yield from zip(self._arrays, self._exchange.shards, strict=True)


class BinanceUsdm:
    """The exchange: created at a time, then driven by ticks, sessions and calls."""

    name = FEED

    def __init__(self, seed: int, options: BinanceOptions, now_ms: int) -> None:
        self.tick_ms = options.tick_ms
        self._options = options
        self.contracts = binance_universe.contracts(
            options.contracts, options.settling, options.coinm_rows, now_ms
        )
        self.market = Market(seed, FEED, self.contracts)
        self.shards = _shards(self.contracts, options.rows_per_array)
        self.shard_of = [0] * len(self.contracts)
        for number, shard in enumerate(self.shards):
            for row in shard:
                self.shard_of[row] = number
        self.heads = [
            None if contract.kind == "foreign" else head(FEED, contract.symbol)
            for contract in self.contracts
        ]
        self.texts = StreamTexts(self.contracts, self.shards)
        self._streams = self._known_streams()
        self._book = SettlementBook(self.market, now_ms)
        frozen_ms = binance_universe.frozen_at_ms(now_ms)
        limits = RateLimits(options.weight_per_minute, options.pool_per_5_minutes)
        self.api = BinanceRest(
            self.market,
            self._book,
            limits,
            frozen=self.market.snapshot(frozen_ms),
            retry_after=options.retry_after,
        )
        # REST answers from the start: with the tick before the first that is streamed.
        self.prepare(now_ms // self.tick_ms * self.tick_ms).published()

    def session(self, path: str, query: Mapping[str, str]) -> BinanceSession | None:
        """Open a connection (exchanges.md 1.1); routes other than /market stay silent."""
        route: Route = "silent"
        for prefix in ("/market", "/public", "/private"):
            if path.startswith(prefix + "/"):
                route = "market" if prefix == "/market" else "silent"
                path = path.removeprefix(prefix)
                break
        if path == "/stream":
            names = query.get("streams", "").split("/")
        elif path == "/ws" or path.startswith("/ws/"):
            names = path.removeprefix("/ws").split("/")
        else:
            return None
        control = StreamControl(
            [name for name in names if name],
            combined=path == "/stream",
            max_streams=self._options.max_streams,
        )
        return BinanceSession(route, control, self._options.rules)

    def stream(self, name: str) -> _Stream | None:
        """What a stream name means; None is a name that never delivers."""
        return self._streams.get(name)

    def rest(self, call: RestCall) -> RestReply:
        """Answer an HTTP request."""
        return self.api.answer(call)

    def prepare(self, at_ms: int) -> BinanceTick:
        """Compute the tick of a grid time."""
        slow = at_ms // self.tick_ms % _SLOW_TICKS == 0
        return BinanceTick(self, self.market.snapshot(at_ms), slow=slow)

    def settled_at_start(self) -> Iterable[SettledRate]:
        """The 30 days before the start."""
        return self._settled(self._book.all)

    def settle(self, now_ms: int) -> Iterable[SettledRate]:
        """What has settled since the last call."""
        return self._settled(self._book.settle(now_ms))

    def _settled(self, settlements: Settlements) -> Iterable[SettledRate]:
        rates = (settlements.rate_units / UNITS_PER_ONE).tolist()
        contracts = self.contracts
        for row, funding_ms, rate in zip(
            settlements.row.tolist(), settlements.funding_ms.tolist(), rates, strict=True
        ):
            contract = contracts[row]
            text = f"{rate:.8f}"
            yield SettledRate(contract.symbol, funding_ms, text, contract.interval_hours)

    def _known_streams(self) -> dict[str, _Stream]:
        streams: dict[str, _Stream] = {}
        rows: list[tuple[str, int | None]] = [("!markPrice@arr", None)]
        rows += [
            (f"{contract.symbol.lower()}@markPrice", row)
            for row, contract in enumerate(self.contracts)
            if not contract.frozen and contract.kind != "foreign"
        ]
        for name, row in rows:
            streams[name] = _Stream(row, slow=True)
            streams[f"{name}@1s"] = _Stream(row, slow=False)
        return streams


def _shards(contracts: Sequence[Contract], rows_per_array: int) -> list[list[int]]:
    """The arrays of one tick: crypto in pieces, TradFi apart (exchanges.md 1.5)."""
    live = [row for row, contract in enumerate(contracts) if not contract.frozen]
    groups = (
        [row for row in live if contracts[row].kind != "tradfi"],
        [row for row in live if contracts[row].kind == "tradfi"],
    )
    return [
        piece.tolist()
        for group in groups
        if group
        for piece in np.array_split(np.array(group), -(-len(group) // rows_per_array))
    ]


def _jitter_ms(at_ms: int, shard: int) -> int:
    """Event times are a few ms past the grid, each array its own."""
    return (at_ms // 10 * 2_654_435_761 + shard * 40_503 >> 7) % _MAX_JITTER_MS
