"""What becomes of frames: those of unknown events are counted and logged once, and no more."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from producers.exchanges.binance_usdm import EXCHANGE
from producers.exchanges.spec import Exchange, Frame, Listing, Partial, Slice
from producers.feed.frames import MAX_UNKNOWN_NAMES, FrameHandler
from producers.policy.instruments import InstrumentRegistry
from schemas.clock import SystemClock
from schemas.contract_status import ContractStatus
from schemas.feeds import spec

ROW = b'{"e":"markPriceUpdate","E":1790000000123,"s":"SOLUSDT","r":"0.00007","T":1790006400000}'


class Published:
    """Keeps what would go to Kafka."""

    def __init__(self) -> None:
        self.channels: list[str] = []
        self.payloads: list[bytes] = []

    async def publish(self, slices: Any, *, channel: str, **_rest: Any) -> None:
        """Take pieces."""
        self.channels.append(channel)
        self.payloads += [piece.payload for piece in slices]


@pytest.fixture
def published() -> Published:
    """What the handler publishes."""
    return Published()


@pytest.fixture
def handler(published: Published) -> FrameHandler:
    """A handler of one exchange's frames."""
    registry = InstrumentRegistry()
    publisher: Any = published
    return FrameHandler(EXCHANGE, publisher, registry, lambda *_data: None, SystemClock())


def event(name: str) -> bytes:
    """A frame of an event."""
    return json.dumps({"e": name, "E": 1_790_000_000_456}).encode()


async def test_an_unknown_event_is_counted_and_logged_once(
    handler: FrameHandler, published: Published, caplog: pytest.LogCaptureFixture
) -> None:
    """It makes no dead letter, and a connection that brings nothing else is silent."""
    outcomes = [await handler.take("c", event("serverShutdown"), 1) for _ in range(5)]
    assert not any(outcome.data or outcome.control for outcome in outcomes)
    assert (handler.unknown, handler.data, published.channels) == (5, 0, [])
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "'serverShutdown'" in caplog.text


async def test_what_is_beside_an_unknown_event_is_published(
    handler: FrameHandler, published: Published
) -> None:
    """An array of both is data."""
    outcome = await handler.take("c", b"[" + event("new") + b"," + ROW + b"]", 1)
    assert (outcome.data, list(outcome.symbols)) == (True, ["SOLUSDT"])
    assert published.payloads == [ROW]
    assert (handler.unknown, handler.data, handler.updates) == (1, 1, 1)


async def test_the_names_that_are_kept_are_bounded(
    handler: FrameHandler, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever sends ever new names fills neither the log nor the memory."""
    for number in range(2 * MAX_UNKNOWN_NAMES):
        await handler.take("c", event(f"event{number}"), 1)
    assert handler.unknown == 2 * MAX_UNKNOWN_NAMES
    assert len(caplog.records) == MAX_UNKNOWN_NAMES


async def test_what_is_malformed_still_goes_to_the_dead_letters(
    handler: FrameHandler, published: Published
) -> None:
    """An event has a name; what has none and cannot be read is kept for a look."""
    await handler.take("c", b'{"x":1}', 1)
    assert (handler.unknown, published.payloads) == (0, [b'{"x":1}'])


class Changing(Exchange):
    """An exchange whose frames are `contract number {fields}`; a capital W in front: all fields."""

    feed = "binance-usdm"
    row_fields = frozenset({"rate", "mark"})
    row_terms = ("rate",)

    def slice_frame(self, data: bytes) -> Frame:
        """Cut a frame."""
        if data.startswith(b"?"):
            return Frame("", (), unknown="?", sequence=int(data[1:]))
        symbol, number, row = data.split(b" ", 2)
        whole = symbol.startswith(b"W")
        piece = Slice(symbol[whole:].decode(), row, partial=Partial(b"<", b">", whole))
        return Frame("rows", [piece], event_us=5_000_000, sequence=int(number))

    snapshot_calls = slice_reply = listings = history = None  # type: ignore[assignment]


@pytest.fixture
def delivered() -> list[str]:
    """The contracts that were reported as delivered."""
    return []


Missed = list[tuple[str, list[str] | None]]


def changing_handler(
    published: Published, delivered: list[str], missed: Missed | None = None
) -> FrameHandler:
    """A handler of frames that name changes; A and B are subscribed."""
    registry = InstrumentRegistry()
    trading = [Listing(symbol, ContractStatus.TRADING) for symbol in "AB"]
    registry.update("list", (), trading)
    publisher: Any = published
    found: Any = Changing()
    return FrameHandler(
        found,
        publisher,
        registry,
        lambda _identity, symbols, *_: delivered.extend(symbols or ["nothing"]),
        SystemClock(),
        lambda identity, symbols: (missed if missed is not None else []).append(
            (identity, None if symbols is None else list(symbols))
        ),
    )


@pytest.fixture
def changing(published: Published, delivered: list[str]) -> FrameHandler:
    """Such a handler."""
    return changing_handler(published, delivered)


async def test_changes_are_published_as_whole_rows(
    changing: FrameHandler, published: Published, delivered: list[str]
) -> None:
    """A change without a rate is a delivery of its contract, too."""
    await changing.take("c", b'WA 0 {"rate":"1","mark":"2"}', 1)
    outcome = await changing.take("c", b'A 1 {"mark":"3"}', 2)
    assert published.payloads == [b'<{"mark":"2","rate":"1"}>', b'<{"mark":"3","rate":"1"}>']
    assert (delivered, list(outcome.symbols)) == (["A", "A"], ["A"])


async def test_what_cannot_be_completed_is_no_delivery(
    changing: FrameHandler, published: Published, delivered: list[str]
) -> None:
    """It is counted, and asked for again where it is one of the subscribed contracts."""
    for symbol in (b"A", b"MADEUP"):
        outcome = await changing.take("c", symbol + b' 0 {"mark":"3"}', 1)
        assert outcome.incomplete == (["A"] if symbol == b"A" else [])
        assert not outcome.data
    assert (published.payloads, delivered, changing.incomplete) == ([], [], 2)


async def test_a_hole_in_the_numbers_is_told_whatever_the_frame_is(
    changing: FrameHandler, published: Published
) -> None:
    """What follows is not completed from rows that a lost change may have changed."""
    await changing.take("c", b'WA 0 {"rate":"1"}', 1)
    assert not (await changing.take("c", b"?1", 1)).lost
    assert (await changing.take("c", b"?3", 1)).lost
    assert (await changing.take("c", b'A 4 {"mark":"3"}', 2)).incomplete == ["A"]
    assert len(published.payloads) == 1


async def test_a_connection_that_ended_is_forgotten(
    changing: FrameHandler, published: Published
) -> None:
    """Its rows and its numbers."""
    await changing.take("c", b'WA 0 {"rate":"1"}', 1)
    changing.closed("c")
    outcome = await changing.take("c", b'A 7 {"mark":"3"}', 2)
    assert (outcome.lost, outcome.incomplete) == (False, ["A"])


async def test_what_is_pushed_too_often_is_delivered_and_not_published(
    published: Published, delivered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of the rate is, and each connection follows the rule by itself."""
    facts = spec("binance-usdm")._replace(thinned=True)
    monkeypatch.setattr("producers.feed.frames.spec", lambda _feed: facts)
    handler = changing_handler(published, delivered)
    for connection in ("c", "d"):
        rows = [b'WA 0 {"rate":"1","mark":"2"}', b'A 1 {"mark":"3"}', b'A 2 {"rate":"4"}']
        outcomes = [await handler.take(connection, row, 1) for row in rows]
        assert all(outcome.data and outcome.symbols for outcome in outcomes)
    assert published.payloads == [b'<{"mark":"2","rate":"1"}>', b'<{"mark":"3","rate":"4"}>']
    assert (handler.thinned, handler.repeated, handler.updates) == (2, 2, 4)
    assert delivered == ["A"] * 6


async def test_changes_that_did_not_arrive_are_reported(
    published: Published, delivered: list[str]
) -> None:
    """Of one contract whose whole row is missing, of all after a hole; neither delivers any."""
    missed: Missed = []
    handler = changing_handler(published, delivered, missed)
    await handler.take("c", b'A 1 {"rate":"1"}', 1)
    assert (missed, delivered) == ([("c", ["A"])], [])
    await handler.take("c", b'WA 2 {"rate":"1","mark":"7"}', 1)
    await handler.take("c", b'WB 4 {"rate":"1","mark":"7"}', 1)
    assert (missed[1:], delivered) == ([("c", None)], ["A", "B"])
