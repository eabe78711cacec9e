"""Which records a dead letter becomes when it is sent again, by the stage that gave it up. Pure.

| stage | what is sent again |
|---|---|
| sink | the letter's bytes, under their key, to the partition they were read from |
| decode | the letter's bytes, to the partition of the raw topic they were read from |
| either, of a record too large for a letter | the record, which its topic still has |
| symbol, normalise, core | the item of the raw record, alone, as it was received then |
| slice | the message, cut into its contracts' pieces by the exchange's description |
| encode | nothing: it is the worker's own state, and came from no record |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from infra.dead_letters.letter import Letter, Stage
from producers.exchanges.spec import Exchange
from schemas.control_items import UNREADABLE
from schemas.errors import FundingStreamError, MalformedInputError
from schemas.feeds import FEEDS
from schemas.partitioning import contract_id, partition_of
from schemas.records import MAX_BATCH_ITEMS, Purpose, RawBatch, RawItem
from schemas.topics import MAX_MESSAGE_BYTES, OUTPUT_TOPICS, TopicSpec, raw_topic_spec

SENT_PURPOSES: frozenset[Purpose] = frozenset({"stream", "fallback", "history"})
"""Rates and settlements, which carry their own times. A list of contracts and a snapshot to compare
with are about the moment of their receipt: applied later, they would contradict newer ones."""
_BESIDE_BYTES = 1_024
"""What a record takes beside its key and its value: the header, and Kafka's own fields."""
_TOPICS: dict[str, TopicSpec] = {
    spec.name: spec for spec in (*OUTPUT_TOPICS, *(raw_topic_spec(feed) for feed in FEEDS))
}


class NotReplayableError(FundingStreamError):
    """A letter cannot go back the way it came; the message says why."""


class SentRecord(NamedTuple):
    """A record that is sent again. Of one letter, each goes to a partition of its own."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes


Encode = Callable[[RawBatch], bytes]


def needs_source(letter: Letter) -> bool:
    """Tell whether the record is needed that a letter is of: its value is not, or not whole, in it.

    Raises:
        NotReplayableError: a letter of this kind is never sent again.
    """
    try:
        stage = Stage(letter.stage)
    except ValueError:
        raise NotReplayableError(
            f"letter {letter.place} says of no stage of this version that it came from there "
            f"({letter.stage!r}): `fundingstream dead-letters show {letter.place}` shows its bytes"
        ) from None
    if stage is Stage.ENCODE:
        raise NotReplayableError(
            f"letter {letter.place} is what the worker made of its own state: no record led to it, "
            "so there is none to be sent again"
        )
    _check_source(letter)
    return letter.is_cut or not is_whole_record(letter)


def is_whole_record(letter: Letter) -> bool:
    """Tell whether a letter is of a whole record and not of an item in one."""
    return letter.stage in {Stage.SINK, Stage.DECODE}


def _check_source(letter: Letter) -> None:
    """Check that the source is a place in a topic of ours: headers are anybody's."""
    source, spec = letter.source, _TOPICS.get(letter.source.topic)
    if spec is None or not 0 <= source.partition < spec.partitions or source.offset < 0:
        raise NotReplayableError(
            f"letter {letter.place} names no source that this installation has ({source}): is its "
            "feed registered here?"
        )
    if (letter.stage == Stage.SINK) != (spec in OUTPUT_TOPICS):
        raise NotReplayableError(
            f"letter {letter.place} was given up at the stage {letter.stage}, which does not read "
            f"{source.topic}: its headers are wrong"
        )
    if spec.is_compacted:
        raise NotReplayableError(
            f"letter {letter.place} is of {spec.name}, which keeps the newest record of each key: "
            "an old one that is sent again would be the newest"
        )


def sent_as_it_is(letter: Letter) -> SentRecord:
    """Return the record whose value and key the letter holds whole."""
    source = letter.source
    return SentRecord(source.topic, source.partition, letter.key, letter.value)


def sent_source(letter: Letter, key: bytes | None, value: bytes | None) -> SentRecord:
    """Return the record at the source of a letter that has only its beginning.

    Args:
        letter: It is of the whole record.
        key: As the source has it now.
        value: As the source has it now.

    Raises:
        NotReplayableError: the source has another record there.
    """
    source, value = letter.source, value or b""
    begins = value.startswith(letter.value) and (key or b"").startswith(letter.key or b"")
    if not begins or len(value) != letter.whole_size:
        raise NotReplayableError(
            f"letter {letter.place} was cut, and its topic no longer has it: {source} holds "
            "another record now, the topic was made anew"
        )
    return SentRecord(source.topic, source.partition, key, value)


def sent_item(letter: Letter, batch: RawBatch, encode: Encode) -> SentRecord:
    """Return a raw record with the one item of `batch` that the letter is about.

    Raises:
        NotReplayableError: the batch has another item there, or one that must not come again.
    """
    item = _item(letter, batch)
    if batch["purpose"] not in SENT_PURPOSES:
        raise NotReplayableError(
            f"letter {letter.place} is of a {batch['purpose']} reply, which is about the moment of "
            "its receipt: the producer has asked again since, and does it by itself"
        )
    alone: RawBatch = {**batch, "received_at": item["received_at"], "items": [item]}
    return SentRecord(letter.source.topic, letter.source.partition, None, encode(alone))


def sent_pieces(
    letter: Letter, batch: RawBatch, exchange: Exchange, encode: Encode
) -> list[SentRecord]:
    """Return a raw record for each partition that a message, cut into pieces now, belongs to.

    Raises:
        NotReplayableError: it cannot be cut by this version either, or holds no piece.
    """
    item = _item(letter, batch)
    if batch["transport"] != "ws" or batch["channel"] != UNREADABLE:
        raise NotReplayableError(
            f"letter {letter.place} is a REST reply: the producer asks for it again by itself"
        )
    try:
        frame = exchange.slice_frame(item["payload"])
    except MalformedInputError as error:
        raise NotReplayableError(
            f"letter {letter.place} cannot be cut into pieces by this version either ({error})"
        ) from error
    by_partition: dict[int, list[RawItem]] = {}
    if any(piece.partial is not None for piece in frame.slices):
        raise NotReplayableError(
            f"letter {letter.place} names only what has changed since the message before it, which "
            "nobody kept: the exchange has sent the whole rows again by now"
        )
    for symbol, payload, readable, *_ in frame.slices:
        if not readable:
            raise NotReplayableError(
                f"letter {letter.place} has a row that this version cannot read either"
            )
        to = 0 if symbol is None else partition_of(contract_id(batch["feed"], symbol))
        piece: RawItem = {**item, "symbol": symbol, "payload": payload}
        by_partition.setdefault(to, []).append(piece)
    if not by_partition or not frame.published:
        raise NotReplayableError(f"letter {letter.place} carries no rate: nothing is to be sent")
    if max(map(len, by_partition.values())) > MAX_BATCH_ITEMS:
        raise NotReplayableError(f"letter {letter.place} has more rows than a record may have")
    return [
        SentRecord(
            letter.source.topic,
            partition,
            None,
            encode({
                **batch,
                "channel": frame.channel,
                "received_at": item["received_at"],
                "items": items,
            }),
        )
        for partition, items in sorted(by_partition.items())
    ]  # fmt: skip


def check_size(letter: Letter, record: SentRecord) -> None:
    """Check that Kafka takes a record. Raises NotReplayableError: it is too large."""
    size = len(record.key or b"") + len(record.value)
    if size > MAX_MESSAGE_BYTES - _BESIDE_BYTES:
        raise NotReplayableError(
            f"letter {letter.place} would be a record of {size:,} bytes, and {record.topic} takes "
            f"{MAX_MESSAGE_BYTES:,}"
        )


def _item(letter: Letter, batch: RawBatch) -> RawItem:
    """Return the item that a letter is about; a long one is cut in the letter."""
    index = letter.source.item
    items = batch["items"]
    item = items[index] if 0 <= index < len(items) else None
    if item is None or not letter.value or not item["payload"].startswith(letter.value):
        raise NotReplayableError(
            f"letter {letter.place} is not what {letter.source} holds now: the topic was made anew"
        )
    return item
