"""What simulated Binance USD-M and COIN-M have in common: sessions, ticks, stream names.

A subscription delivers in a tick what docs/exchanges/binance-usdm.md §2 to §6 and binance-coinm.md
§3 and §4 say, and follows the listings. Nothing here reads a clock or does I/O. usdm.py and
coinm.py hold the contracts, arrays and routes, stream_control.py the control messages, frames.py
the texts; the server enforces heartbeats and speed limits (`SocketRules`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from infra.simulator.binance import wire
from infra.simulator.binance.frames import RowTemplate, StreamTexts, rate_texts, wrapped
from infra.simulator.binance.rest import BinanceRest
from infra.simulator.binance.stream_control import StreamControl
from infra.simulator.exchange import (
    Close,
    Frame,
    RestCall,
    RestReply,
    Session,
    SettledRate,
    SocketRules,
)
from infra.simulator.market.history import SettlementBook
from infra.simulator.market.listings import Listings
from infra.simulator.market.market import Market, Settlements, Snapshot
from infra.simulator.market.truth import TickLedger, head
from infra.simulator.market.universe import UNITS_PER_ONE, Contract
from infra.simulator.wire_fields import Wire

_SLOW_TICKS = 3  # streams without @1s push every third tick (docs/exchanges/binance-usdm.md §5)

RULES = SocketRules(ping_every_s=180.0, pong_within_s=600.0, messages_per_s=10, max_age_s=86_400.0)
"""Both exchanges': docs/exchanges/binance-usdm.md §3, §4, binance-coinm.md §3."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What a stream name asks for: one row, or arrays; every tick, or every third."""

    row: int | None = None
    arrays: Sequence[int] = ()
    slow: bool = False


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What is on offer with one state of the listings.

    Attributes:
        arrays: the rows of each array of a tick; a row is in one array at most.
        named: the stream names without `@1s`, with their row or their arrays.
    """

    arrays: Sequence[Sequence[int]]
    named: Sequence[tuple[str, int | Sequence[int]]]

    def streams(self) -> dict[str, Stream]:
        """Every stream name, the slow and the `@1s` form."""
        found: dict[str, Stream] = {}
        for name, what in self.named:
            row, arrays = (what, ()) if isinstance(what, int) else (None, what)
            found[name] = Stream(row, arrays, slow=True)
            found[f"{name}@1s"] = Stream(row, arrays, slow=False)
        return found


@dataclass(frozen=True, slots=True)
class _Offer:
    """A plan, made ready: where each row is, what each name means, the texts."""

    arrays: Sequence[Sequence[int]]
    array_of: Sequence[int]
    streams: Mapping[str, Stream]
    texts: StreamTexts


class BinanceSession:
    """One connection: where it was opened decides whether its subscriptions deliver."""

    def __init__(self, control: StreamControl, rules: SocketRules, *, delivers: bool) -> None:
        self.rules = rules
        self.delivers = delivers
        self.control = control

    def opened(self) -> Sequence[Frame]:
        """Binance greets nobody."""
        return ()

    def on_text(self, text: str, now_ms: int) -> Sequence[Frame | Close]:
        """Answer a control frame."""
        del now_ms
        return self.control.on_text(text)

    def on_binary(self, data: bytes, now_ms: int) -> Sequence[Frame | Close]:
        """Control frames must be text (docs/exchanges/binance-usdm.md §2)."""
        del data, now_ms
        return (Close(1008, "Invalid request"),)

    def subscribed(self) -> Sequence[str]:
        """The stream names, known or not."""
        return list(self.control.streams)


class BinanceTick:
    """One tick: the snapshot, its event times, and frames that are built when first asked for."""

    def __init__(
        self, exchange: BinanceExchange, offer: _Offer, snapshot: Snapshot, *, slow: bool
    ) -> None:
        self._exchange = exchange
        self._offer = offer
        self.snapshot = snapshot
        self._array_ms = [
            snapshot.at_ms + _noise(snapshot.at_ms, number) % exchange.jitter_ms
            for number in range(len(offer.arrays))
        ]
        self._slow = slow
        self._arrays: list[bytes] | None = None
        self._row_text: Callable[[int], bytes] | None = None
        self._ledger: TickLedger | None = None

    @property
    def event_ms(self) -> int:
        """The latest event time of its arrays."""
        return max(self._array_ms, default=self.snapshot.at_ms)

    def frames(self, session: Session) -> Iterator[Frame]:
        """What this session's subscriptions deliver now."""
        binance = cast("BinanceSession", session)
        if not binance.delivers:
            return
        combined = binance.control.combined
        for name in binance.control.streams:
            stream = self._offer.streams.get(name)
            if stream is None or (stream.slow and not self._slow):
                continue
            for payload, rows in self._payloads(stream):
                data = wrapped(name, payload) if combined else payload
                yield Frame(data, ledger=self.ledger(), rows=rows)

    def events(self) -> list[int]:
        """The event time (ms) of each row: that of its array, the tick's own without one."""
        return [
            self._array_ms[number] if number >= 0 else self.snapshot.at_ms
            for number in self._offer.array_of
        ]

    def published(self) -> None:
        """Show this tick's values in premiumIndex."""
        self._exchange.api.show(self.snapshot, self.events)

    def ledgers(self) -> Sequence[TickLedger]:
        """The one of all sockets."""
        return (self.ledger(),)

    def rows(self) -> Sequence[int]:
        """What is in the arrays of each second."""
        return [row for array in self._offer.arrays for row in array]

    def ledger(self) -> TickLedger:
        """The tick's entry in the truth, shared by all connections."""
        if self._ledger is None:
            event_us = [event_ms * 1_000 for event_ms in self.events()]
            rates = rate_texts(self.snapshot, self._exchange.contracts)
            self._ledger = TickLedger(self._exchange.heads, event_us, rates)
        return self._ledger

    def _payloads(self, stream: Stream) -> Iterable[tuple[bytes, Sequence[int]]]:
        offer = self._offer
        if stream.row is not None:
            if self._row_text is None:
                self._row_text = offer.texts.rows(self.snapshot, self.events())
            yield self._row_text(stream.row), (stream.row,)
            return
        if self._arrays is None:
            self._arrays = offer.texts.arrays(self.snapshot, self._array_ms)
        for number in stream.arrays:
            yield self._arrays[number], offer.arrays[number]


class BinanceExchange:
    """One exchange: created at a time, then driven by ticks, sessions and calls.

    Args:
        name: the feed's id.
        market, listings, book: its contracts and what they settled.
        api: its REST.
        plan: the arrays and stream names for the rows that are live.
        tick_ms, phase_ms: the grid of its ticks.
    """

    wire: Wire
    row_template: RowTemplate
    """Of the rows of its streams."""
    jitter_ms = 3
    """Event times are less than so many ms past the grid, each array's by its own number."""

    def __init__(
        self,
        name: str,
        market: Market,
        listings: Listings,
        book: SettlementBook,
        api: BinanceRest,
        plan: Callable[[Sequence[int]], StreamPlan],
        *,
        tick_ms: int,
        phase_ms: int,
    ) -> None:
        self.name = name
        self.tick_ms = tick_ms
        self.phase_ms = phase_ms
        self.market = market
        self.contracts: tuple[Contract, ...] = market.contracts
        self.listings = listings
        self.api = api
        self.heads = [
            None if contract.kind == "foreign" else head(name, contract.symbol)
            for contract in self.contracts
        ]
        self.book = book
        self._plan = plan
        self._offer: tuple[int, _Offer] | None = None

    def rest(self, call: RestCall) -> RestReply:
        """Answer an HTTP request."""
        return self.api.answer(call)

    def refusal(self, call: RestCall, status: int, retry_after_s: int | None) -> RestReply | None:
        """Refuse a call with a status as the exchange words it."""
        return wire.refusal(call, status, retry_after_s)

    def maintenance(self, call: RestCall) -> RestReply | None:
        """Answer a call for the exchange's state during maintenance."""
        del call
        return None

    def prepare(self, at_ms: int) -> BinanceTick:
        """Compute the tick of a grid time."""
        slow = at_ms // self.tick_ms % _SLOW_TICKS == 0
        return BinanceTick(self, self._offered(), self.market.snapshot(at_ms), slow=slow)

    def settled_at_start(self) -> Iterable[SettledRate]:
        """The 40 days before the start."""
        return self._settled(self.book.all)

    def settle(self, now_ms: int) -> Iterable[SettledRate]:
        """What has settled since the last call."""
        return self._settled(self.book.settle(now_ms))

    def _offered(self) -> _Offer:
        if self._offer is None or self._offer[0] != self.listings.version:
            rows = self.listings.rows()
            plan = self._plan([row for row in rows if not self.contracts[row].frozen])
            array_of = [-1] * len(self.contracts)
            for number, array in enumerate(plan.arrays):
                for row in array:
                    array_of[row] = number
            texts = StreamTexts(self.row_template, self.contracts, plan.arrays)
            offer = _Offer(plan.arrays, array_of, plan.streams(), texts)
            self._offer = self.listings.version, offer
        return self._offer[1]

    def _settled(self, settlements: Settlements) -> Iterable[SettledRate]:
        for row, funding_ms, raw_ms, units, hours in zip(
            settlements.row.tolist(),
            settlements.funding_ms.tolist(),
            settlements.raw_ms.tolist(),
            settlements.rate_units.tolist(),
            settlements.interval_hours.tolist(),
            strict=True,
        ):
            symbol, rate = self.contracts[row].symbol, f"{units / UNITS_PER_ONE:.8f}"
            special = self.book.is_special(row, raw_ms)
            yield SettledRate(symbol, funding_ms, rate, hours, special)


def opened_session(
    path: str,
    query: Mapping[str, str],
    rules: SocketRules,
    max_streams: int,
    *,
    delivers: bool,
    needs_id: bool = True,
) -> BinanceSession | None:
    """A session at a path below the route: `/stream?streams=`, `/ws` or `/ws/<name>`."""
    if path == "/stream":
        names = query.get("streams", "").split("/")
    elif path == "/ws" or path.startswith("/ws/"):
        names = path.removeprefix("/ws").split("/")
    else:
        return None
    control = StreamControl(
        [name for name in names if name],
        combined=path == "/stream",
        max_streams=max_streams,
        needs_id=needs_id,
    )
    return BinanceSession(control, rules, delivers=delivers)


def _noise(at_ms: int, array: int) -> int:
    return at_ms // 10 * 2_654_435_761 + array * 40_503 >> 7
