"""Settlements written by columns are, byte for byte, what the encoder writes one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import SchemaError
from schemas.rates import rate_8h
from schemas.records import SETTLEMENT
from schemas.serde.codec import Encoder
from schemas.serde.columns import origin_of, place_of
from schemas.serde.settlement_columns import SettlementColumns, SettlementEncoder

ENCODER = Encoder(SETTLEMENT, 41)
COLUMNS = SettlementEncoder(ENCODER.header)
times = st.integers(10**15, 10**16)
names = st.text(min_size=1, max_size=12)
rows = st.fixed_dictionaries(
    {
        "contract_id": names,
        "feed": names,
        "symbol": names,
        "funding_time": times,
        "funding_time_raw": times,
        "rate": st.floats(-1.0, 1.0),
        "interval_hours": st.sampled_from([1.0, 2.0, 4.0, 8.0, 24.0]),
        "received_at": times,
        "raw_item": st.integers(0, 20_000),
        "generation": st.integers(1, 17),
    }
)


def record(row: dict[str, Any], place: tuple[str, int, int]) -> dict[str, Any]:
    """The record of a row."""
    topic, partition, offset = place
    return {
        **row,
        "rate_8h": rate_8h(row["rate"], row["interval_hours"]),
        "source": "history",
        "kind": "regular",
        "interval_source": "observed",
        "interval_doubtful": False,
        "raw_topic": topic,
        "raw_partition": partition,
        "raw_offset": offset,
    }


def columns_of(page: list[dict[str, Any]]) -> SettlementColumns:
    """The columns of some rows."""

    def column(name: str) -> list[Any]:
        return [row[name] for row in page]

    return SettlementColumns(
        [
            COLUMNS.identity(*(str(row[name]) for name in ("contract_id", "feed", "symbol")))
            for row in page
        ],
        np.array(column("funding_time"), dtype=np.int64),
        np.array(column("funding_time_raw"), dtype=np.int64),
        np.array(column("rate"), dtype=np.float64),
        np.array(column("interval_hours"), dtype=np.float64),
        np.array(column("received_at"), dtype=np.int64),
        column("raw_item"),
        column("generation"),
    )


@settings(deadline=None)
@given(
    page=st.lists(rows, min_size=1, max_size=20),
    place=st.tuples(names, st.integers(0, 7), st.integers(0, 1 << 40)),
)
def test_columns_are_written_as_records_are(
    page: list[dict[str, Any]], place: tuple[str, int, int]
) -> None:
    """Header, identity, times, numbers and coordinates."""
    written = COLUMNS.encode(columns_of(page), origin_of(place_of(*place[:2]), place[2]))
    assert written == [ENCODER.encode(record(row, place)) for row in page]


@pytest.mark.parametrize("name", ["funding_time", "funding_time_raw", "received_at"])
def test_a_time_of_another_era_is_refused(name: str) -> None:
    """Its bytes would be more or fewer than the row has place for."""
    row: dict[str, Any] = {
        "contract_id": "f:A", "feed": "f", "symbol": "A", "funding_time": 2 * 10**15,
        "funding_time_raw": 2 * 10**15, "rate": 0.1, "interval_hours": 8.0,
        "received_at": 2 * 10**15, "raw_item": 0, "generation": 1,
    }  # fmt: skip
    for time_us in (0, -1, 1 << 60):
        with pytest.raises(SchemaError, match="centuries"):
            COLUMNS.encode(columns_of([row, row | {name: time_us}]), b"")
