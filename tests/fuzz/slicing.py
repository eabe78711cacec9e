"""What the slicing fuzzer runs, without a fuzzer: a message through a description and on.

Whatever a description cuts is given to the feed's normaliser, as it would be behind Kafka. Not
responsible for: making inputs (fuzz_slice.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from producers.exchanges import exchange as description
from producers.exchanges.spec import RestCall, Slice
from producers.policy.merging import Merging
from schemas.errors import MalformedInputError
from schemas.feeds import FEEDS
from schemas.records import Purpose
from tests.fuzz.messages import FRAMES, REPLIES
from tests.fuzz.targets import read_or_refuse
from tests.venues.samples import RECEIVED_AT_US, Sample

SYMBOLS = {
    feed: tuple(
        {
            m.sample.symbol
            for m in (*FRAMES, *REPLIES)
            if m.sample.feed == feed and m.sample.purpose in {"stream", "fallback"}
        }
    )
    for feed in FEEDS
}
SETTLED = {m.sample.feed: m.sample.symbol for m in REPLIES if m.sample.purpose == "history"}
NOW_MS = RECEIVED_AT_US // 1_000
DAY_MS = 86_400_000


def frame_slices(feed: str, body: bytes) -> tuple[str, Sequence[Slice]]:
    """Channel and pieces of a frame; rows of changes follow one another, so that some complete."""
    exchange = description(feed)
    frame = exchange.slice_frame(body)
    if not frame.published:
        return frame.channel, ()
    merging = Merging(exchange.row_fields, exchange.row_terms)
    merging.complete("connection", [_whole(piece) for piece in frame.slices])
    return frame.channel, merging.complete("connection", frame.slices).slices


def _whole(piece: Slice) -> Slice:
    if piece.partial is None:
        return piece
    return piece._replace(partial=piece.partial._replace(whole=True))


def reply_slices(feed: str, call: RestCall, body: bytes) -> Sequence[Slice]:
    """The pieces of a reply, read for its listings as well."""
    exchange = description(feed)
    exchange.fault(call, {}, body)
    exchange.barred_s(call, {}, body)
    exchange.retry_after_s({}, body, NOW_MS)
    slices = exchange.slice_reply(call, body)
    list(exchange.listings(call, slices) or ())
    for piece in slices:
        exchange.fact_identity(call.resource, piece.payload)
    return slices


def page_slices(feed: str, body: bytes) -> Sequence[Slice]:
    """The pieces of the first page of a history walk."""
    exchange = description(feed)
    symbol = SETTLED[feed]
    walk = exchange.history((symbol,), NOW_MS - 30 * DAY_MS, NOW_MS, {symbol: "7"})
    assert walk.next_call() is not None
    page = walk.take(body)
    walk.next_call()
    assert 0.0 <= walk.progress <= 1.0
    return page.slices


Target = tuple[str, Purpose, str, Callable[[bytes], Sequence[Slice]] | None]
"""Feed, purpose, channel and how to cut; without a way to cut it is a frame, which names its own
channel."""


def _reply_target(feed: str, purpose: Purpose, call: RestCall) -> Target:
    return feed, purpose, call.resource, lambda body: reply_slices(feed, call, body)


def _page_target(feed: str, channel: str) -> Target:
    return feed, "history", channel, lambda body: page_slices(feed, body)


def targets() -> list[Target]:
    """Every way into every description."""
    found: list[Target] = []
    for feed in FEEDS:
        exchange = description(feed)
        found.append((feed, "stream", "", None))
        found += [_reply_target(feed, "contract", call) for call in exchange.fact_calls]
        calls = exchange.snapshot_calls(SYMBOLS[feed])
        found += [_reply_target(feed, "fallback", call) for call in calls]
        symbol = SETTLED[feed]
        walk = exchange.history((symbol,), NOW_MS - 30 * DAY_MS, NOW_MS, {symbol: "7"})
        call = walk.next_call()
        assert call is not None
        found.append(_page_target(feed, call.resource))
    return found


TARGETS = targets()


def slice_or_refuse(target: Target, body: bytes) -> list[tuple[str, Slice]]:
    """Cut a message; each piece is then read or refused. Returns (channel, piece)."""
    feed, purpose, channel, cut = target
    try:
        if cut is None:
            channel, slices = frame_slices(feed, body)
        else:
            slices = cut(body)
    except MalformedInputError:
        return []
    for piece in slices:
        assert isinstance(piece.payload, bytes)
        if piece.symbol is not None:
            read_or_refuse(
                Sample(feed, purpose, channel, piece.symbol, {}), piece.payload, RECEIVED_AT_US
            )
    return [(channel, piece) for piece in slices]


def slice_input(data: bytes) -> None:
    """Cut an input whose first byte chooses the way that the rest is cut."""
    if data:
        slice_or_refuse(TARGETS[data[0] % len(TARGETS)], data[1:])


def target_of(sample: Sample) -> int:
    """Which target a sample's message is for."""
    for index, (feed, purpose, channel, cut) in enumerate(TARGETS):
        same = (feed, purpose) == (sample.feed, sample.purpose)
        if same and (cut is None or channel == sample.channel):
            return index
    raise LookupError(f"no way into {sample.feed} for {sample.purpose} {sample.channel}")


def slice_seeds() -> list[bytes]:
    """One valid input for each message; reconciliation asks what fallback asks."""
    messages = [*FRAMES, *(m for m in REPLIES if m.sample.purpose != "reconcile")]
    return [bytes([target_of(m.sample)]) + m.body for m in messages]
