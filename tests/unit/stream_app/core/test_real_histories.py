"""Settlement histories captured from the exchanges, and the intervals that they really had.

They are read from the shared folder of real messages where it is present.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.paths import SHARED_FIXTURES
from tests.support.venue_messages import VENUES, Venue, us

MESSAGES = SHARED_FIXTURES / "messages"


def _rows(name: str) -> list[dict[str, Any]]:
    path = MESSAGES / name
    if not path.exists():
        pytest.skip("the real messages are not here")
    document = json.loads(path.read_bytes())
    rows: list[dict[str, Any]] = document["data"] if isinstance(document, dict) else document
    return rows


@pytest.mark.parametrize(
    ("feed", "channel", "name", "symbol_of", "hours"),
    [
        (
            "binance-usdm",
            "fundingRate",
            "binanceusdm/nautilus_funding_rate_history_rest.json",
            lambda row: row["symbol"],
            8.0,
        ),
        (
            "kucoin",
            "funding-rates",
            "kucoinfutures/vm_funding_rates_history_rest.json",
            lambda row: row["symbol"],
            8.0,
        ),
        (
            "hyperliquid",
            "fundingHistory",
            "hyperliquid/nautilus_funding_history_rest.json",
            lambda row: row["coin"],
            1.0,
        ),
        # In 2023 it settled every 8 h.
        (
            "hyperliquid",
            "fundingHistory",
            "hyperliquid/sdk_vcr_funding_history_BTC_end.json",
            lambda row: row["coin"],
            8.0,
        ),
    ],
)
def test_the_true_interval_of_each_settlement_is_found(
    feed: str, channel: str, name: str, symbol_of: Callable[[dict[str, Any]], str], hours: float
) -> None:
    """By the times between them alone, since nothing was listed then."""
    rows = _rows(name)
    venue: Venue = VENUES[feed]()
    venue.symbol = symbol_of(rows[0])
    venue.list_contract(us("00:00"))
    venue.send("history", channel, [(symbol_of(row), row) for row in rows], us("00:00"))
    found = venue.baseline
    assert len(found) == len(rows)
    assert {(each.interval_hours, each.doubtful) for each in found} == {(hours, False)}
