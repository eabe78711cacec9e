"""Which records a letter becomes, and which letters never go back."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from infra.dead_letters.letter import Letter, Place, Source
from infra.dead_letters.way_back import (
    NotReplayableError,
    SentRecord,
    check_size,
    is_whole_record,
    needs_source,
    sent_as_it_is,
    sent_item,
    sent_pieces,
    sent_source,
)
from producers.exchanges.spec import Exchange, Frame, Partial, Slice
from schemas.control_items import UNREADABLE
from schemas.errors import MalformedInputError
from schemas.partitioning import partition_of
from schemas.records import RawBatch
from schemas.topics import MAX_MESSAGE_BYTES

RAW = "funding.raw.kucoin"
SINK = Source("funding.rates", 2, 9, -1)


def letter(stage: str, source: Source = Source(RAW, 4, 9, 1), value: bytes = b"{}") -> Letter:  # noqa: B008 - it is frozen
    """A letter of a stage."""
    return Letter(Place(3, 17), 5, b"kucoin:A", value, len(value), stage, "why", source, {})


def batch(**changes: Any) -> RawBatch:
    """A raw record of two items, the second of which is the letter's."""
    items = [
        {"symbol": "A", "payload": b"first", "received_at": 100},
        {"symbol": "B", "payload": b"{}", "received_at": 101},
    ]
    whole = {
        "feed": "kucoin", "transport": "ws", "purpose": "stream", "channel": "rates",
        "connection_id": "kucoin/1", "sequence": 7, "received_at": 100, "items": items,
    }  # fmt: skip
    return cast("RawBatch", whole | changes)


def encode(record: RawBatch) -> bytes:
    """JSON in place of Avro, to be looked into."""
    return json.dumps(record, default=bytes.decode).encode()


class Described(Exchange):
    """A description that reads one frame."""

    def __init__(self, frame: Frame | None) -> None:
        self._frame = frame

    def slice_frame(self, data: bytes) -> Frame:
        """Return it, or refuse."""
        if self._frame is None:
            raise MalformedInputError(f"no frame: {data!r}")
        return self._frame

    def snapshot_calls(self, symbols: Any) -> Any: ...
    def slice_reply(self, call: Any, body: bytes) -> Any: ...
    def listings(self, call: Any, slices: Any) -> Any: ...
    def history(self, symbols: Any, since_ms: int, until_ms: int, keys: Any = ()) -> Any: ...


def test_what_the_sink_or_the_decoder_gave_up_goes_back_as_it_is() -> None:
    """To the partition where it was read, under its key."""
    assert not needs_source(letter("sink", SINK))
    assert sent_as_it_is(letter("sink", SINK)) == SentRecord("funding.rates", 2, b"kucoin:A", b"{}")
    assert not needs_source(letter("decode"))


class TestCutLetters:
    """Of records that are too large for a letter, which has headers besides."""

    cut = letter("sink", SINK)._replace(headers={"truncated_from_bytes": "6"})

    def test_the_whole_record_is_taken_from_its_topic(self) -> None:
        """The letter's bytes alone would be a broken record."""
        assert needs_source(self.cut)
        assert is_whole_record(self.cut)
        sent = sent_source(self.cut, b"kucoin:A", b"{}more")
        assert sent == SentRecord("funding.rates", 2, b"kucoin:A", b"{}more")

    @pytest.mark.parametrize(
        ("key", "value"),
        [(b"kucoin:A", b"other!"), (b"kucoin:A", b"{}longer"), (b"kucoin:A", None),
         (b"x", b"{}more"), (None, b"{}more")],
    )  # fmt: skip
    def test_another_record_in_its_place_does_not_go_back(
        self, key: bytes | None, value: bytes | None
    ) -> None:
        """It must begin with the letter's bytes and be as long as the letter says."""
        with pytest.raises(NotReplayableError, match="its topic no longer has it"):
            sent_source(self.cut, key, value)

    def test_what_kafka_would_not_take_is_refused(self) -> None:
        """With the reason, and no end of attempts."""
        fits = SentRecord("funding.rates", 2, None, b"x" * (MAX_MESSAGE_BYTES - 1_024))
        check_size(self.cut, fits)
        with pytest.raises(NotReplayableError, match="takes 4,194,304"):
            check_size(self.cut, fits._replace(key=b"x"))


@pytest.mark.parametrize("stage", ["symbol", "normalise", "core"])
def test_an_item_goes_back_alone_as_it_was_received(stage: str) -> None:
    """With all that its record said of it, and its own time of receipt."""
    assert needs_source(letter(stage))
    sent = sent_item(letter(stage), batch(), encode)
    assert (sent.topic, sent.partition, sent.key) == (RAW, 4, None)
    record = json.loads(sent.value)
    assert record["items"] == [{"symbol": "B", "payload": "{}", "received_at": 101}]
    assert (record["received_at"], record["channel"], record["purpose"]) == (101, "rates", "stream")


@pytest.mark.parametrize("purpose", ["contract", "reconcile"])
def test_what_is_about_a_moment_does_not_go_back(purpose: str) -> None:
    """An old list of contracts would contradict a newer one."""
    with pytest.raises(NotReplayableError, match=f"a {purpose} reply"):
        sent_item(letter("normalise"), batch(purpose=purpose), encode)


@pytest.mark.parametrize(
    "found",
    [
        batch(items=[]),
        batch(items=[batch()["items"][0]] * 2),
    ],
)
def test_another_record_in_its_place_does_not_go_back(found: RawBatch) -> None:
    """The topic was made anew, and its offsets with it."""
    with pytest.raises(NotReplayableError, match="made anew"):
        sent_item(letter("normalise"), found, encode)


class TestMessages:
    """What a producer could not cut."""

    whole = batch(channel=UNREADABLE)

    def test_each_piece_goes_to_its_contracts_partition(self) -> None:
        """One record for each partition, under the channel that the message has."""
        frame = Frame("rates", [Slice(name, name.encode()) for name in "ABCDEFGHIJ"])
        sent = sent_pieces(letter("slice"), self.whole, Described(frame), encode)
        assert len({record.partition for record in sent}) == len(sent) > 1
        items = [
            (record.partition, item["symbol"], item["payload"], item["received_at"])
            for record in sent
            for item in json.loads(record.value)["items"]
        ]
        assert sorted(items) == sorted(
            (partition_of(f"kucoin:{name}"), name, name, 101) for name in "ABCDEFGHIJ"
        )
        assert {json.loads(record.value)["channel"] for record in sent} == {"rates"}

    @pytest.mark.parametrize(
        ("frame", "why"),
        [
            (None, "cannot be cut into pieces by this version either"),
            (Frame("rates", []), "carries no rate"),
            (Frame("rates", [Slice("A", b"")], published=False), "carries no rate"),
            (Frame("rates", [Slice(None, b"", readable=False)]), "a row that this version"),
            (Frame("rates", [Slice("A", b"")] * 5_000), "more rows"),
            (
                Frame("rates", [Slice("A", b"{}", partial=Partial(b"", b"", whole=False))]),
                "names only what has changed",
            ),
        ],
    )
    def test_what_cannot_be_cut_stays(self, frame: Frame | None, why: str) -> None:
        """With the reason."""
        with pytest.raises(NotReplayableError, match=why):
            sent_pieces(letter("slice"), self.whole, Described(frame), encode)

    def test_a_reply_of_rest_stays(self) -> None:
        """Its call is made again anyway."""
        found = batch(channel=UNREADABLE, transport="rest")
        with pytest.raises(NotReplayableError, match="REST"):
            sent_pieces(letter("slice"), found, Described(None), encode)


@pytest.mark.parametrize(
    ("given_up", "why"),
    [
        (letter("encode"), "its own state"),
        (letter("elsewhere"), "no stage of this version"),
        (letter("sink", Source("funding.elsewhere", 0, 1, -1)), "no source that this"),
        (letter("sink", Source("funding.rates", 99, 1, -1)), "no source that this"),
        (letter("sink", Source("funding.rates", 1, -1, -1)), "no source that this"),
        (letter("normalise", SINK), "headers are wrong"),
        (letter("sink", Source(RAW, 1, 1, -1)), "headers are wrong"),
        (letter("sink", Source("funding.feeds", 0, 1, -1)), "would be the newest"),
    ],
)
def test_letters_that_never_go_back(given_up: Letter, why: str) -> None:
    """Each with the reason; headers are anybody's."""
    with pytest.raises(NotReplayableError, match=why):
        needs_source(given_up)
