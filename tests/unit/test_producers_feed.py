"""The feed over messages with odd rows: the others go on, it is counted, and nothing ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from producers.budget import Budget
from producers.exchanges import exchange
from producers.exchanges.description import RestCall, Slice
from producers.feed import Feed
from producers.pacing import Pacer
from producers.settings import ProducerSettings

ROW = b'{"e":"markPriceUpdate","E":1791269856000,"s":"BTCUSDT","r":"0.00000523","T":1791273600000}'
ODD = b'{"e":"markPriceUpdate"}'


class FakePublisher:
    """Remembers what was published."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str, list[Slice]]] = []

    async def publish(self, slices: Any, *, channel: str, purpose: str, **_rest: Any) -> int:
        self.log.append((purpose, channel, list(slices)))
        return len(self.log[-1][2])


def feed_of(folder: Path, publisher: FakePublisher) -> Feed:
    """A USD-M feed that is not running."""
    found = exchange("binance-usdm")
    return Feed(
        found,
        ProducerSettings(producer_data_dir=str(folder)),
        cast("Any", publisher),
        cast("Any", None),
        Budget(found.limits),
        Pacer(1e9),
        "cluster",
    )


async def test_an_odd_row_keeps_neither_its_frame_nor_its_socket_from_living(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The frame is data, so its socket is not silent; the row goes to the dead letters."""
    publisher = FakePublisher()
    feed = feed_of(tmp_path, publisher)
    heard = await feed._on_frame("id", b"[" + ROW + b"," + ODD + b"]", 1_791_269_856_000_000)
    assert heard.data
    assert (feed.frames, feed.updates) == (1, 1)
    ((purpose, _channel, slices),) = publisher.log
    assert purpose == "stream"
    assert slices == [Slice("BTCUSDT", ROW), Slice(None, ODD, readable=False)]
    assert "1 unreadable rows" in caplog.text


async def test_an_odd_fact_neither_ends_the_feed_nor_hides_the_others(tmp_path: Path) -> None:
    """It is published as unreadable, and the contracts beside it are listed."""
    good = b'{"symbol":"BTCUSDT","status":"TRADING","contractType":"PERPETUAL"}'
    odd = b'{"symbol":"ETHUSDT","status":5,"contractType":"PERPETUAL"}'

    async def fetch(call: RestCall, share: float = 1.0) -> bytes:
        assert share > 0
        info = call.resource == "exchangeInfo"
        return b'{"symbols":[' + good + b"," + odd + b"]}" if info else b"[]"

    publisher = FakePublisher()
    feed = feed_of(tmp_path, publisher)
    feed.rest.fetch = fetch  # type: ignore[method-assign]
    assert await feed._refresh()
    assert feed.registry.streaming == {"BTCUSDT"}
    assert publisher.log[0] == (
        "contract",
        "exchangeInfo",
        [Slice("BTCUSDT", good), Slice(None, odd, readable=False)],
    )
