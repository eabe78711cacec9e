"""Rates written by columns are, byte for byte, what the encoder writes one by one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import SchemaError
from schemas.records import FUNDING_RATE, RawBatch
from schemas.serde.codec import Encoder
from schemas.serde.rate_columns import Origin, RateColumnsEncoder
from stream_app.core.output.outputs import RateRow, rate_columns, rate_output
from stream_app.core.scoring.settled_intervals import Interval
from stream_app.core.state.contract_state import ContractState
from stream_app.core.state.item_context import ItemContext
from stream_app.model import RateUpdate

ENCODER = Encoder(FUNDING_RATE, 77)
COLUMNS = RateColumnsEncoder(ENCODER.header)
times = st.integers(10**15, 10**16)
prices = st.floats(1e-12, 1e12)
hours = st.sampled_from([1.0, 2.0, 3.0, 4.0, 8.0, 24.0])
names = st.text(min_size=1, max_size=12)
contracts = st.builds(
    ContractState, names, names, names, names, st.sampled_from([1.0, 1000.0, 1e6])
)  # fmt: skip
readings = st.builds(
    RateUpdate,
    symbol=names,
    rate=st.floats(-1.0, 1.0),
    event_time=times,
    mark_price=prices,
    index_price=prices,
    next_funding_time=times,
)
intervals = st.builds(
    Interval,
    hours,
    st.sampled_from(["payload", "exchange_info", "observed", "assumed"]),
    doubtful=st.just(False),
)
rows = st.builds(
    RateRow,
    contracts,
    readings,
    times,
    intervals,
    st.integers(0, 5_000),
    times,
    late=st.just(False),
    out_of_range=st.just(False),
)


def position(transport: str) -> ItemContext:
    """Where a frame stands."""
    batch: RawBatch = {
        "feed": "binance-usdm",
        "transport": transport,  # type: ignore[typeddict-item]
        "purpose": "stream",
        "channel": "c",
        "connection_id": "i",
        "sequence": 1,
        "received_at": 10**15,
        "items": [],
    }
    return ItemContext("funding.raw.binance-usdm", 5, 123_456, batch, 0, 0)


@settings(deadline=None)
@given(frame=st.lists(rows, min_size=1, max_size=20), transport=st.sampled_from(["ws", "rest"]))
def test_columns_are_written_as_records_are(frame: list[RateRow], transport: str) -> None:
    """Header, identity, numbers, times and coordinates."""
    at = position(transport)
    assert all(row.plain for row in frame)
    origin = Origin(at.transport, at.topic, at.partition, at.offset)
    written = COLUMNS.encode(rate_columns(frame, at.feed), origin)
    assert written == [ENCODER.encode(rate_output(row, at).record) for row in frame]


@given(row=rows)
def test_a_value_that_does_not_fit_is_refused(row: RateRow) -> None:
    """The encoder raises SchemaError, so that the caller can write the rows one by one."""
    at = position("ws")
    origin = Origin(at.transport, at.topic, at.partition, at.offset)
    broken = row._replace(event_time=1 << 64)
    with pytest.raises(SchemaError, match="FundingRate"):
        COLUMNS.encode(rate_columns([row, broken], at.feed), origin)


@pytest.mark.parametrize(
    "missing", ["event_time", "mark_price", "index_price", "next_funding_time"]
)
def test_a_row_without_a_value_stands_alone(missing: str) -> None:
    """Columns have no place for what is not there, nor for what is late."""
    values = {"event_time": 1, "mark_price": 1.0, "index_price": 1.0, "next_funding_time": 1}
    contract, interval = ContractState("A", "f:A", "A", ""), Interval(8.0, "assumed")
    full = RateUpdate("A", 0.1, **values)  # type: ignore[arg-type]
    lacking = RateUpdate("A", 0.1, **{**values, missing: None})  # type: ignore[arg-type]
    assert RateRow(contract, full, 1, interval, 0, 1, late=False).plain
    assert not RateRow(contract, full, 1, interval, 0, 1, late=True).plain
    assert not RateRow(contract, lacking, 1, interval, 0, 1, late=False).plain
    doubtful = Interval(8.0, "observed", doubtful=True)
    assert not RateRow(contract, full, 1, doubtful, 0, 1, late=False).plain
