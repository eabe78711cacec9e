"""What cannot be published as it is goes to the dead letters, counted and within bounds."""

from __future__ import annotations

import pytest

from producers.exchanges.spec import Slice
from producers.kafka.batching import MAX_LETTERS, RecordLimits
from producers.kafka.publisher import Publisher
from schemas.control_items import MAX_UNREADABLE_BYTES, UNREADABLE
from tests.support.fake_kafka import FakeProducer, batches, publish, publisher_of


async def test_a_piece_too_long_for_a_record_goes_to_the_dead_letters() -> None:
    """Its beginning is kept, it is counted, and the others are published as ever."""
    to, fake = publisher_of(RecordLimits(item_bytes=10, letter_bytes=4))
    await publish(to, [Slice("AUSDT", b"0123456789"), Slice("BUSDT", b"01234567890")])
    await to.flush()
    assert to.oversized == 1
    found = {batch["channel"]: (p, batch["items"][0]) for p, batch in batches(fake)}
    assert found["!markPrice@arr@1s"][1]["payload"] == b"0123456789"
    partition, item = found[UNREADABLE]
    assert (partition, item["symbol"], item["payload"]) == (0, None, b"0123")


async def test_an_unreadable_row_goes_to_the_dead_letters(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """Byte for byte and counted, whatever the purpose; the rows beside it as ever."""
    to, fake = kafka
    odd = Slice(None, b"{odd}", readable=False)
    await publish(to, [Slice("AUSDT", b"{}"), odd, Slice("BUSDT", b"{}")])
    await to.flush()
    found = [
        (batch["channel"], p, item["symbol"], item["payload"])
        for p, batch in batches(fake)
        for item in batch["items"]
    ]
    assert (UNREADABLE, 0, None, b"{odd}") in found
    assert sorted(str(symbol) for _, _, symbol, _ in found) == ["AUSDT", "BUSDT", "None"]
    assert (to.unreadable, to.oversized) == (1, 0)


async def test_a_symbol_that_is_none_makes_no_record_too_large(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """Kafka would refuse the record, and that ends all feeds: its row goes to the dead letters."""
    to, fake = kafka
    long = "A" * (3 << 20)
    await publish(
        to, [Slice(long, b"{long}"), Slice("A\nB", b"{odd}"), Slice("币安人生USDT", b"{}")]
    )
    await to.flush()
    found = [
        (b["channel"], i["symbol"], i["payload"]) for _, b in batches(fake) for i in b["items"]
    ]
    assert sorted(found, key=str) == [
        ("!markPrice@arr@1s", "币安人生USDT", b"{}"),
        (UNREADABLE, None, b"{long}"),
        (UNREADABLE, None, b"{odd}"),
    ]
    assert to.unreadable == 2


HOSTILE = ["", "A B", "A\x00", "BTC\u202eTDSU", "<b>", "X" * 1_000_000]


@pytest.mark.parametrize("symbol", HOSTILE, ids=lambda symbol: repr(symbol[:8]))
async def test_a_symbol_that_can_be_none_is_a_dead_letter(
    kafka: tuple[Publisher, FakeProducer], symbol: str
) -> None:
    """Without a name, on partition 0, and counted; the others of its message go out."""
    to, fake = kafka
    await publish(to, [Slice(symbol, b"{}"), Slice("AUSDT", b"[]")])
    await to.flush()
    by_channel = {batch["channel"]: (partition, batch) for partition, batch in batches(fake)}
    partition, odd = by_channel[UNREADABLE]
    assert (partition, odd["items"][0]["symbol"], odd["items"][0]["payload"]) == (0, None, b"{}")
    assert by_channel["!markPrice@arr@1s"][1]["items"][0]["symbol"] == "AUSDT"
    assert (to.unreadable, to.items) == (1, 2)


async def test_a_message_makes_only_so_many_dead_letters(
    kafka: tuple[Publisher, FakeProducer],
) -> None:
    """The last one has all the other pieces, as far as it goes; each is counted."""
    to, fake = kafka
    many = [Slice(None, b"piece %d" % n, readable=False) for n in range(90_000)]
    await publish(to, many)
    payloads = [item["payload"] for _, batch in batches(fake) for item in batch["items"]]
    assert len(payloads) == MAX_LETTERS
    assert payloads[:2] == [b"piece 0", b"piece 1"]
    assert payloads[-1].startswith(b"piece 31\npiece 32\n")
    assert len(payloads[-1]) <= MAX_UNREADABLE_BYTES
    assert to.unreadable == 90_000


async def test_a_channel_without_a_bound_is_none(kafka: tuple[Publisher, FakeProducer]) -> None:
    """An exchange names its streams as it likes; ours have a hundred characters at most."""
    to, fake = kafka
    await to.publish(
        [Slice("AUSDT", b"{}")],
        transport="ws",
        purpose="stream",
        channel="c" * 1_000,
        connection_id="c/1",
        received_at=1,
    )
    await to.flush()
    assert [batch["channel"] for _, batch in batches(fake)] == [UNREADABLE]
