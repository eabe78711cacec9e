"""Settlements that are read by columns mean what the reader of single rows says they mean."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.times import US_PER_HOUR
from stream_app.model import SettlementUpdate
from stream_app.normalise import normaliser
from tests.support.history_logs import DIALECTS

S = 1_000_000
AT_US = 1_797_811_200_000_000
RECEIVED_US = AT_US + 40 * US_PER_HOUR
CHANNELS = {dialect.feed: dialect.history for dialect in DIALECTS} | {"backpack": "fundingRates"}
rates = st.one_of(
    st.floats(-0.02, 0.02).map(lambda rate: f"{rate:.8f}"),
    st.floats(-0.02, 0.02),
    st.sampled_from(
        ["-0.0", -0.0, 0, 1, "1e-4", "1E-4", "+1", ".5", "5.", "", " 1", "1 ", "1_0", "nan", "NaN"]
    ),
    st.sampled_from(["inf", "-Infinity", "null", "n/a", "0x1", "١", "1\u200b", "1\n", None, True]),
)
times_ms = st.one_of(
    st.integers(-500, 500).map(lambda hours: AT_US // 1_000 + hours * 3_600_000 + hours % 7),
    st.sampled_from([0, 5, -1, 10**12, 10**13 - 1, 10**13, 10**15, 10**16, 10**18, 10**19, 2**64]),
    st.sampled_from([None, "1797811200000", 1797811200000.0, True]),
)
ends = st.one_of(
    st.integers(0, 900).map(lambda hours: f"2026-11-{1 + hours % 28:02}T{hours % 24:02}:00:00"),
    st.sampled_from(
        [
            *("2026-12-01T00:00:00Z", "2026-12-01T05:30:00+05:30", "2026-12-01T00:00:00.123456"),
            *("2001-12-31T23:00:00", "2002-01-01T00:00:00", "1970-01-01T00:00:00"),
            *("9999-12-31T00:00:00", "2027-12-01T00:00:00", "tomorrow", None, 5),
        ]
    ),
)
kinds = st.sampled_from([{}, {}, {}] + [{"rateType": k} for k in ("Regular", "", "X", None, 3)])


def row_of(feed: str, symbol: str, draw: Any) -> dict[str, Any]:
    """A row of the history."""
    rate = draw(rates)
    if feed == "backpack":
        return {"symbol": symbol, "fundingRate": rate, "intervalEndTimestamp": draw(ends)}
    (dialect,) = (each for each in DIALECTS if each.feed == feed)
    row = dialect.settled(symbol, AT_US, rate)
    (name,) = (name for name in row if "ime" in name)
    return row | {name: draw(times_ms)} | (draw(kinds) if "fundingTime" in row else {})


@pytest.mark.parametrize("feed", CHANNELS)
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_what_is_read_means_what_the_row_means(feed: str, data: st.DataObject) -> None:
    """Time and rate to the last bit; what is anything else is left to the other reader."""
    normalise, channel = normaliser(feed), CHANNELS[feed]
    count = data.draw(st.integers(1, 4))
    payloads = [json.dumps(row_of(feed, "AUSDT", data.draw)).encode() for _ in range(count)]
    reader = normalise.settled_reader(channel)
    assert reader is not None
    found = reader.read(payloads)
    if found is None:
        return
    for payload, symbol, time_us, rate in zip(payloads, *found, strict=True):
        # What ends after its receipt, or has a rate beyond any cap, the core does not take.
        if np.isnan(rate) or time_us > RECEIVED_US or abs(rate) > 1.0:
            continue
        updates = normalise("history", channel, "AUSDT", payload, RECEIVED_US)
        assert updates == (SettlementUpdate(symbol, int(time_us), float(rate)),)
        (update,) = updates
        assert isinstance(update, SettlementUpdate)
        assert np.float64(update.rate).tobytes() == np.float64(rate).tobytes()


@pytest.mark.parametrize("feed", CHANNELS)
def test_what_the_exchange_sends_is_read(feed: str) -> None:
    """Rows of the usual form."""
    if feed == "backpack":
        rows = [
            {
                "symbol": "A",
                "fundingRate": "0.0002",
                "intervalEndTimestamp": f"2026-11-0{n}T08:00:00",
            }
            for n in (1, 2, 3)
        ]
    else:
        (dialect,) = (each for each in DIALECTS if each.feed == feed)
        rows = [dialect.settled("A", AT_US - n * US_PER_HOUR, "0.0002") for n in (3, 2, 1)]
    reader = normaliser(feed).settled_reader(CHANNELS[feed])
    assert reader is not None
    found = reader.read([json.dumps(row).encode() for row in rows])
    assert found is not None
    assert found.symbols == ("A",) * 3
    assert found.rates.tolist() == [0.0002] * 3
    assert (np.diff(found.funding_times_raw) > 0).all()
