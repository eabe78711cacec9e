"""What is read into columns means what the normaliser says of each row alone.

Samples of every feed's stream, with fields that are changed to anything an exchange might send. A
row whose rate is NaN, and a record that is not read, are left to the normaliser.
"""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import MalformedInputError
from stream_app.model import RateUpdate
from stream_app.normalise import normaliser
from tests.fuzz.samples import SAMPLES
from tests.venues.samples import RECEIVED_AT_US, Sample

STREAMED = [
    sample
    for sample in SAMPLES
    if sample.purpose == "stream" and normaliser(sample.feed).column_reader(sample.channel)
]
values = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(10**12, 10**13)
    | st.floats()
    | st.sampled_from(["", " 1", "1_0", "nan", "NaN", "null", "inf", "1e400", "-0", "0", "１", "x"])
    | st.sampled_from(["0.0001", "-0.02", "+5", "1e-5", ".5", "1.", "\n1", "1\x00", "0x1"])
    | st.text(max_size=5)
)


def test_some_feeds_are_read_by_columns() -> None:
    """Otherwise nothing is tested below."""
    assert len({sample.feed for sample in STREAMED}) >= 3


def changed(payload: bytes, field: int, value: Any) -> bytes:
    """A payload one of whose fields, or those of its `data`, has another value."""
    message = json.loads(payload)
    row = message["data"] if isinstance(message.get("data"), dict) else message
    names = sorted(row)
    row[names[field % len(names)]] = value
    return json.dumps(message).encode()


def meaning(sample: Sample, payload: bytes) -> RateUpdate | None:
    """The one rate that a payload means; None: it means another thing, or nothing."""
    try:
        updates = normaliser(sample.feed)(
            "stream", sample.channel, sample.symbol, payload, RECEIVED_AT_US
        )
    except MalformedInputError:
        return None
    update = updates[0]
    return update if len(updates) == 1 and isinstance(update, RateUpdate) else None


@pytest.mark.parametrize("sample", STREAMED, ids=lambda s: f"{s.feed} {s.channel}")
@settings(deadline=None, max_examples=150)
@given(changes=st.lists(st.tuples(st.integers(0, 20), values), max_size=3))
def test_columns_mean_what_rows_mean(sample: Sample, changes: list[tuple[int, Any]]) -> None:
    """The sample as it is, and once more with each change."""
    payloads = [sample.payload, *(changed(sample.payload, *change) for change in changes)]
    reader = normaliser(sample.feed).column_reader(sample.channel)
    assert reader is not None
    assert reader.read([sample.payload]) is not None, "the usual row"
    read = reader.read(payloads)
    if read is None:
        return
    for index, payload in enumerate(payloads):
        rate = read.rates.item(index)
        if math.isnan(rate) or read.symbols[index] != sample.symbol:
            continue
        mark, price = read.mark_prices.item(index), read.index_prices.item(index)
        if not (math.isfinite(mark) and math.isfinite(price) and math.isfinite(rate)):
            # Not plain: `columns.updates.plain` leaves it to the normaliser.
            continue
        found = RateUpdate(
            read.symbols[index],
            rate,
            event_time=read.event_times.item(index),
            mark_price=mark,
            index_price=price,
            next_funding_time=read.next_funding_times.item(index) or None,
        )
        assert found == meaning(sample, payload)
        assert math.copysign(1.0, rate) == 1.0 or rate < 0.0, "no negative zero"


@pytest.mark.parametrize("sample", STREAMED, ids=lambda s: f"{s.feed} {s.channel}")
def test_pieces_are_not_put_together(sample: Sample) -> None:
    """Two payloads that are JSON only together are not one row, nor are two rows in one."""
    reader = normaliser(sample.feed).column_reader(sample.channel)
    assert reader is not None
    half = len(sample.payload) // 2
    assert reader.read([sample.payload[:half], sample.payload[half:]]) is None
    both = sample.payload + b"," + sample.payload
    assert reader.read([both]) is None
