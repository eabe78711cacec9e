"""What happens to a frame of a socket: it is cut, reported to the monitor and published."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from producers.exchanges.spec import Control, Exchange, Frame, Slice
from producers.kafka.publisher import Publisher
from producers.policy.dedup import Deduplicator
from producers.policy.instruments import InstrumentRegistry
from producers.policy.merging import Merging
from producers.policy.thinner import Thinner
from producers.rest.raw_replies import log_unreadable
from producers.websocket.session import FrameOutcome
from schemas.clock import Clock
from schemas.control_items import MAX_UNREADABLE_BYTES, UNREADABLE
from schemas.errors import MalformedInputError
from schemas.feeds import spec

log = logging.getLogger(__name__)

MAX_UNKNOWN_NAMES = 64
"""So many unknown events are logged by name; more are counted alone."""

_NONE: Sequence[str] = ()
OnData = Callable[[str, list[str], int | None, int], None]
"""Called with each data frame: the connection's id, the contracts in it, the exchange's time (None:
the frame does not say) and the time of receipt, both µs since the epoch."""

OnMissed = Callable[[str, Sequence[str] | None], None]
"""Called when changes did not arrive on a connection: its id and their contracts (None: all)."""


class FrameHandler:
    """Handles the frames of one feed."""

    def __init__(
        self,
        exchange: Exchange,
        publisher: Publisher,
        registry: InstrumentRegistry,
        on_data: OnData,
        clock: Clock,
        on_missed: OnMissed = lambda _identity, _symbols: None,
    ) -> None:
        self._exchange = exchange
        self._publisher = publisher
        self._registry = registry
        self._on_data = on_data
        self._clock = clock
        self._on_missed = on_missed
        self._dedup = Deduplicator(timeless=spec(exchange.feed).timeless)
        fields, terms = exchange.row_fields, exchange.row_terms
        self._merging = Merging(fields, terms) if fields else None
        """None: every row of this feed has all of its fields."""
        self._thinner = Thinner() if spec(exchange.feed).thinned else None
        self.data = 0
        """Data frames whose pieces are published."""
        self.ignored = 0
        """Data frames that carry no rate."""
        self.updates = 0
        """Readable pieces of data frames, without those that thinning leaves out."""
        self.unknown = 0
        """Frames with an event or of a channel that we do not read."""
        self._unknown_names: set[str] = set()

    @property
    def repeated(self) -> int:
        """Pieces that another connection had delivered before."""
        return self._dedup.total

    @property
    def incomplete(self) -> int:
        """Rows of changes that no whole row came before, left out."""
        return 0 if self._merging is None else self._merging.incomplete

    @property
    def thinned(self) -> int:
        """Pieces that are not published because the feed pushes more often than is needed."""
        return 0 if self._thinner is None else self._thinner.total

    def keep(self, subscribed: frozenset[str]) -> None:
        """Take the contracts that are subscribed to from now on."""
        self._dedup.keep(subscribed)
        if self._merging is not None:
            self._merging.keep(subscribed)
        if self._thinner is not None:
            self._thinner.keep(subscribed)

    def closed(self, identity: str) -> None:
        """Forget a connection that has ended."""
        if self._merging is not None:
            self._merging.closed(identity)
        if self._thinner is not None:
            self._thinner.closed(identity)

    async def take(self, identity: str, message: bytes, received_at: int) -> FrameOutcome:
        """Handle a frame of a connection; return what it tells about the connection."""
        try:
            frame = self._exchange.slice_frame(message)
        except MalformedInputError as error:
            log.warning("%s: unreadable frame: %s", self._exchange.feed, error)
            whole = (Slice(None, message[:MAX_UNREADABLE_BYTES]),)
            await self._publish(whole, UNREADABLE, identity, received_at)
            return FrameOutcome(data=False)
        if self._merging is None or self._merging.follows(identity, frame.sequence):
            return await self._route(frame, identity, message, received_at)
        self._on_missed(identity, None)
        outcome = await self._route(frame, identity, message, received_at)
        return outcome._replace(lost=True)

    async def _route(
        self, frame: Frame, identity: str, message: bytes, received_at: int
    ) -> FrameOutcome:
        if frame.unknown is not None:
            self._note_unknown(frame.unknown, message)
            if not frame.slices:
                return FrameOutcome(data=False)
        if frame.control is not None:
            return self._control(frame.control, message)
        if not frame.published:
            self.ignored += 1
            return FrameOutcome(data=True)
        return await self._data(frame, identity, received_at)

    def _note_unknown(self, name: str, message: bytes) -> None:
        self.unknown += 1
        if name in self._unknown_names or len(self._unknown_names) >= MAX_UNKNOWN_NAMES:
            return
        self._unknown_names.add(name)
        feed = self._exchange.feed
        log.warning("%s: frames of %.60r are not read, the first: %r", feed, name, message[:200])

    def _control(self, control: Control, message: bytes) -> FrameOutcome:
        level = logging.WARNING if control.refused else logging.DEBUG
        log.log(level, "%s: control frame %r", self._exchange.feed, message[:200])
        return FrameOutcome(data=False, control=control)

    async def _data(self, frame: Frame, identity: str, received_at: int) -> FrameOutcome:
        slices, incomplete = frame.slices, _NONE
        if self._merging is not None:
            slices, incomplete = self._merging.complete(identity, slices)
        odd = log_unreadable(self._exchange.feed, frame.channel, slices)
        self.data += 1
        symbols = [s.symbol for s in slices if s.readable and s.symbol is not None]
        delivered = bool(slices)
        if incomplete:
            self._on_missed(identity, incomplete)
        if delivered:
            self._on_data(identity, symbols, frame.event_us, received_at)
        if self._thinner is not None:
            slices = self._thinner.kept(identity, slices, frame.event_us)
        self.updates += len(slices) - odd
        fresh = self._dedup.fresh(identity, slices, self._clock.monotonic_s())
        await self._publish(fresh, frame.channel, identity, received_at)
        listed = self._registry.listed
        if listed and not listed.issuperset(symbols):
            # A successor of the connection need not deliver symbols that the exchange made up.
            symbols = [symbol for symbol in symbols if symbol in listed]
        if incomplete:
            wanted = self._registry.subscribed
            incomplete = [symbol for symbol in incomplete if symbol in wanted]
        return FrameOutcome(data=delivered, symbols=symbols, incomplete=incomplete)

    async def _publish(
        self, slices: Sequence[Slice], channel: str, identity: str, received_at: int
    ) -> None:
        await self._publisher.publish(
            slices,
            transport="ws",
            purpose="stream",
            channel=channel,
            connection_id=identity,
            received_at=received_at,
        )
