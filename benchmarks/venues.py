"""What each exchange is made of, and what it costs.

Lines of source (with something on them) of the three parts of a feed: its description, its
normaliser and its simulated exchange, each with the modules that its venue alone has beside them.
Captured messages are those of the test that cuts and reads them and compares them with what their
sources state; they are not in the repository. Sockets are those that all contracts of the real
exchange need, without second sources. REST calls are those of an hour in which the stream is well,
by the description: lists, settlements, one snapshot that the stream is compared with, and what
contracts that are quiet by nature cost at most. Times are
of one core, the best of several rounds over frames that the simulated exchange sends: cutting a
frame into pieces, completing rows of changes where the exchange sends such, and reading a piece by
itself, which a worker does by columns where it can.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from benchmarks.hourly_calls import START_MS, hourly_calls, streaming
from benchmarks.running import progress
from benchmarks.tables import Aim, table
from benchmarks.venue_parts import captured, lines_of
from infra.simulator.exchange import Close
from infra.simulator.exchange import Exchange as SimulatedExchange
from infra.simulator.options import SimulatorOptions
from infra.simulator.registry import SIMULATED
from producers.exchanges import exchange
from producers.exchanges.spec import Exchange, Frame, Slice, SocketKind
from producers.policy.merging import Merging
from producers.policy.sharding import allocate
from schemas.feeds import FEEDS
from stream_app.normalise import normaliser

TITLE = "Each exchange"
BOUND_S = 600.0
MOST_CALLS_AN_HOUR = 48
"""REST calls of a feed whose stream is well (docs/feeds.md)."""
SIMULATED_S, QUICK_SIMULATED_S = 130, 5
"""How long the simulated exchange sends, by its own clock: one of a minute has two pushes."""
MOST_FRAMES = 2_000
ROUNDS = 5
CONTRACTS = 400
"""Of the simulated exchange whose frames are timed, at most."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--feeds", nargs="+", choices=FEEDS, default=list(FEEDS), metavar="FEED")
    parser.add_argument("--no-captured", action="store_true", help="leave captured messages out")


async def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Measure every feed."""
    read = {} if given.no_captured or given.quick else captured()
    found = {}
    for feed in given.feeds:
        progress(f"{feed}: frames of its simulated exchange")
        messages = read.get(feed)
        found[feed] = {
            **figures_of(feed, QUICK_SIMULATED_S if given.quick else SIMULATED_S),
            "lines": lines_of(feed)._asdict(),
            "captured": messages._asdict() if messages is not None else None,
        }
    return {"feeds": found}


def figures_of(feed: str, seconds: int) -> dict[str, Any]:
    """Return what a feed needs, and what its frames cost."""
    found = exchange(feed)
    one = SIMULATED.get(feed)
    if one is None:
        return {"contracts": 0, "sockets": 0, "calls_an_hour": 0, "cost": None}
    symbols = streaming(one.create(SimulatorOptions(), one.perpetuals, START_MS))
    return {
        "contracts": one.perpetuals,
        "sockets": sockets_of(found, symbols),
        "calls_an_hour": round(hourly_calls(found, symbols).most, 1),
        "cost": cost_of(feed, messages_of(feed, seconds)),
    }


def sockets_of(found: Exchange, symbols: Sequence[str]) -> int:
    """Return how many sockets carry some contracts, second sources left out."""
    return sum(
        len([shard for shard in allocate(kind, (), symbols).pool if shard or not kind.capacity])
        for kind in found.socket_kinds
        if not kind.secondary
    )


def messages_of(feed: str, seconds: int) -> list[bytes]:
    """Return what the simulated exchange sends on the feed's sockets in so many seconds."""
    one, found = SIMULATED[feed], exchange(feed)
    count = min(CONTRACTS, one.perpetuals)
    simulated = one.create(SimulatorOptions(), count, START_MS)
    symbols = streaming(simulated)
    sessions = [
        session
        for kind in found.socket_kinds
        if not kind.secondary and kind.urls
        for session in _opened(simulated, kind, [s for s in symbols if kind.takes(s)])
    ]
    at_ms = START_MS - START_MS % simulated.tick_ms + simulated.phase_ms
    messages: list[bytes] = []
    for number in range(1, seconds * 1_000 // simulated.tick_ms + 1):
        tick = simulated.prepare(at_ms + number * simulated.tick_ms)
        messages += [frame.payload for session in sessions for frame in tick.frames(session)]
        tick.published()
        if len(messages) >= MOST_FRAMES:
            break
    return messages


def _opened(simulated: SimulatedExchange, kind: SocketKind, symbols: list[str]) -> Iterator[Any]:
    """Open one session for all contracts that its socket can carry, subscribed to them."""
    parts = urlsplit(kind.urls[0])
    session = simulated.session(parts.path, dict(parse_qsl(parts.query)))
    if session is None:
        return
    session.opened()
    wanted = symbols[: kind.capacity] if kind.capacity else symbols
    texts = [*kind.opening, *(frame.text for frame in kind.subscribe(wanted))]
    for text in texts:
        if any(isinstance(answer, Close) for answer in session.on_text(text, START_MS)):
            return
    yield session


class _Cut(NamedTuple):
    """What a message is cut into, each piece as it is published."""

    frame: Frame
    pieces: Sequence[Slice]


def cost_of(feed: str, messages: Sequence[bytes]) -> dict[str, float] | None:
    """Return the µs that a frame and a piece cost; None: the simulated exchange sent none."""
    found, read = exchange(feed), normaliser(feed)
    cut = [each for each in _cut_all(found, messages) if each.pieces]
    if not cut:
        return None
    pieces = [(each.frame.channel, piece) for each in cut for piece in each.pieces]
    received_at_us = START_MS * 1_000

    def cutting() -> None:
        for _ in _cut_all(found, messages):
            pass

    def reading() -> None:
        for channel, piece in pieces:
            read("stream", channel, piece.symbol or "", piece.payload, received_at_us)

    return {
        "pieces": len(pieces),
        "pieces_a_frame": round(len(pieces) / len(cut), 1),
        "bytes_a_frame": round(sum(map(len, messages)) / len(messages)),
        "frame_us": round(_best_s(cutting) / len(messages) * 1e6, 2),
        "piece_us": round(_best_s(reading) / len(pieces) * 1e6, 2),
    }


def _cut_all(found: Exchange, messages: Sequence[bytes]) -> Iterator[_Cut]:
    """Cut messages as a producer does, each kind of socket's by its own way to read it."""
    merging = Merging(found.row_fields, found.row_terms) if found.row_fields else None
    decode = next((kind.decode for kind in found.socket_kinds if kind.decode is not None), None)
    for message in messages:
        frame = found.slice_frame(message if decode is None else decode(message))
        pieces = frame.slices if frame.published and frame.control is None else ()
        if merging is not None:
            pieces = merging.complete("timed", pieces).slices
        yield _Cut(frame, [piece for piece in pieces if piece.readable])


def _best_s(run: Callable[[], None]) -> float:
    """Return how long the quickest of several rounds took."""
    took_s = []
    for _ in range(ROUNDS):
        begun_s = time.perf_counter()
        run()
        took_s.append(time.perf_counter() - begun_s)
    return min(took_s)


def text(figures: Mapping[str, Any]) -> str:
    """Return the figures as tables."""
    feeds = figures["feeds"]
    header = (
        "feed", "contracts", "description", "normaliser", "simulator", "captured messages",
        "sockets", "REST calls an hour",
    )  # fmt: skip
    rows = [
        (
            feed,
            one["contracts"],
            one["lines"]["description"],
            one["lines"]["normaliser"],
            one["lines"]["simulator"],
            _captured(one["captured"]),
            one["sockets"],
            f"{one['calls_an_hour']:g}",
        )
        for feed, one in feeds.items()
    ]
    cost_header = ("feed", "contracts a frame", "bytes a frame", "µs a frame", "µs to read one")
    costs = [
        (
            feed,
            f"{one['cost']['pieces_a_frame']:g}",
            one["cost"]["bytes_a_frame"],
            f"{one['cost']['frame_us']:g}",
            f"{one['cost']['piece_us']:g}",
        )
        for feed, one in feeds.items()
        if one["cost"] is not None
    ]
    total = sum(one["contracts"] for one in feeds.values())
    return "\n\n".join(
        [
            f"{len(feeds)} feeds, {total:,} contracts.",
            table(header, rows),
            table(cost_header, costs),
        ]
    )


def _captured(found: Mapping[str, int] | None) -> str:
    if found is None:
        return "-"
    checks = found["read"] + found["failed"]
    told = f"{found['read']} of {checks} right, {found['files']} files"
    return f"{told}, {found['skipped']} not at hand" if found["skipped"] else told


def aims(figures: Mapping[str, Any]) -> list[Aim]:
    """Return what was aimed at, with what was measured."""
    feeds = figures["feeds"]
    most = max(feeds, key=lambda feed: feeds[feed]["calls_an_hour"])
    calls = feeds[most]["calls_an_hour"]
    wrong = sum(one["captured"]["failed"] for one in feeds.values() if one["captured"])
    return [
        Aim(
            "each feed: REST calls of an hour in which its stream is well",
            f"≤ {MOST_CALLS_AN_HOUR}",
            f"at most {calls:g} ({most})",
            calls <= MOST_CALLS_AN_HOUR,
        ),
        Aim("each feed: captured messages that are read wrongly", "0", str(wrong), wrong == 0),
    ]
