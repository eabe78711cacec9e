"""The feed: odd rows are counted and end nothing; what two sockets bring is published once."""

from __future__ import annotations

from pathlib import Path

import pytest

from producers.exchanges.spec import Control, RestCall, Slice
from producers.policy.polling import VERY_LONG_S
from producers.websocket.connection import Closed
from schemas.contract_status import ContractStatus
from tests.support.clock import ManualClock
from tests.support.feed_parts import FakePublisher, feed_of, listed

ROW = b'{"e":"markPriceUpdate","E":1791269856000,"s":"BTCUSDT","r":"0.00000523","T":1791273600000}'
ODD = b'{"e":"markPriceUpdate"}'


async def test_an_odd_row_keeps_neither_its_frame_nor_its_socket_from_living(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The frame is data, so its socket is not silent; the row goes to the dead letters."""
    publisher = FakePublisher()
    feed = feed_of(tmp_path, publisher)
    outcome = await feed.frames.take("id", b"[" + ROW + b"," + ODD + b"]", 1_791_269_856_000_000)
    assert outcome.data
    assert (feed.frames.data, feed.frames.updates) == (1, 1)
    ((purpose, _channel, slices),) = publisher.log
    assert purpose == "stream"
    assert slices == [Slice("BTCUSDT", ROW), Slice(None, ODD, readable=False)]
    assert "1 unreadable rows" in caplog.text


@pytest.mark.parametrize(
    "symbol", [b"A" * 129, b"A" * 999_999, b"", b"A\\nB", b"A\\u0000", b"\\u202e"]
)
async def test_a_symbol_that_is_none_is_remembered_by_nobody(tmp_path: Path, symbol: bytes) -> None:
    """Its row is unreadable, and what is kept by contract stays small."""
    publisher = FakePublisher()
    feed = feed_of(tmp_path, publisher)
    odd = ROW.replace(b"BTCUSDT", symbol)
    outcome = await feed.frames.take("id", b"[" + ROW + b"," + odd + b"]", 1_791_269_856_000_000)
    assert outcome.symbols == ["BTCUSDT"]
    assert publisher.log[0][2] == [Slice("BTCUSDT", ROW), Slice(None, odd, readable=False)]
    assert set(feed.frames._dedup._seen) == {"BTCUSDT"}


async def test_an_odd_fact_neither_ends_the_feed_nor_hides_the_others(tmp_path: Path) -> None:
    """It is published as unreadable, and the contracts beside it are listed."""
    good = b'{"symbol":"BTCUSDT","status":"TRADING","contractType":"PERPETUAL"}'
    odd = b'{"symbol":"ETHUSDT","status":5,"contractType":"PERPETUAL"}'
    long = good.replace(b"BTC", b"BTC" * 99)

    async def fetch(call: RestCall, share: float = 1.0, timeout_s: float = 1.0) -> bytes:
        assert share > 0
        assert timeout_s > 0
        info = call.resource == "exchangeInfo"
        return b'{"symbols":[' + good + b"," + odd + b"," + long + b"]}" if info else b"[]"

    publisher = FakePublisher()
    feed = feed_of(tmp_path, publisher)
    feed.rest.fetch = fetch  # type: ignore[method-assign]
    assert await feed.instruments.refresh()
    assert feed.registry.streaming == {"BTCUSDT"}
    assert publisher.log[0] == (
        "contract",
        "exchangeInfo",
        [
            Slice("BTCUSDT", good),
            Slice(None, odd, readable=False),
            Slice(None, long, readable=False),
        ],
    )


NOW_US = 1_791_269_856_000_000


async def test_a_frame_says_whom_it_is_about(tmp_path: Path) -> None:
    """The outcome names the contracts of a data frame, and none for a control frame."""
    feed = feed_of(tmp_path, FakePublisher())
    outcome = await feed.frames.take("binance-usdm/mark-price/1", b"[" + ROW + b"]", NOW_US)
    assert (outcome.data, outcome.symbols, outcome.control) == (True, ["BTCUSDT"], None)
    outcome = await feed.frames.take("binance-usdm/mark-price/1", b'{"result":null,"id":1}', NOW_US)
    assert (outcome.data, outcome.symbols, outcome.control) == (False, (), Control())
    outcome = await feed.frames.take("binance-usdm/mark-price/1", b"{", NOW_US)
    assert (outcome.data, outcome.symbols, outcome.control) == (False, (), None)


async def test_what_two_connections_bring_is_published_once(tmp_path: Path) -> None:
    """A contract that two connections bring stays live until both have ended."""
    publisher = FakePublisher()
    feed = feed_of(tmp_path, publisher, "hyperliquid")
    listed(feed, "BTC", "ETH")
    frames = [
        b'{"channel":"activeAssetCtx","data":{"coin":"%s","ctx":{"funding":"0.1"}}}' % coin
        for coin in (b"BTC", b"ETH")
    ]
    for socket in ("main", "main-spare-1"):
        for frame in frames:
            await feed.frames.take(f"hyperliquid/{socket}/1", frame, NOW_US)
    await feed.frames.take("hyperliquid/main/1", frames[0].replace(b"0.1", b"0.2"), NOW_US)
    sent = [piece for _, channel, slices in publisher.log for piece in slices]
    assert [piece.symbol for piece in sent] == ["BTC", "ETH", "BTC"]
    assert (feed.status()["repeated"], feed.status()["contracts_live"]) == (2, 2)
    for socket, wanted in (("main", set()), ("main-spare-1", {"BTC", "ETH"})):
        feed._on_close(
            Closed(socket, f"hyperliquid/{socket}/1", "closed", NOW_US, handed_over=False)
        )
        assert feed.polling.wanted == wanted
    assert feed.status()["contracts_by_rest"] == 2


async def test_an_unknown_contract_has_the_list_asked_for(tmp_path: Path) -> None:
    """Once, however often it comes."""
    feed = feed_of(tmp_path, FakePublisher())
    listed(feed, "ETHUSDT")
    feed.instruments.known.set()
    await feed.frames.take("binance-usdm/mark-price/1", b"[" + ROW + b"]", NOW_US)
    assert feed.instruments._wanted.is_set()
    feed.instruments._wanted.clear()
    await feed.frames.take("binance-usdm/mark-price/1", b"[" + ROW + b"]", NOW_US)
    assert not feed.instruments._wanted.is_set()


async def test_the_mode_and_who_delivers_stand_in_the_status(tmp_path: Path) -> None:
    """Before anything has arrived."""
    status = feed_of(tmp_path, FakePublisher(), producer_mode="poll").status()
    assert (status["mode"], status["state"], status["transport"]) == ("poll", "connecting", None)
    assert (status["contracts_by_rest"], status["connect_attempts"]) == (0, 0)


async def test_made_up_symbols_are_nothing_that_a_connection_delivers(tmp_path: Path) -> None:
    """They do not count for a handover, and text that cannot be a symbol becomes a dead letter."""
    publisher = FakePublisher()
    feed = feed_of(tmp_path, publisher)
    listed(feed, "BTCUSDT")
    rows = [ROW.replace(b"BTCUSDT", b"X%dUSDT" % number) for number in range(20)]
    forged = ROW.replace(b"BTCUSDT", b"BTC USDT")
    frame = b"[" + b",".join([ROW, forged, *rows]) + b"]"
    outcome = await feed.frames.take("binance-usdm/mark-price/1", frame, NOW_US)
    assert outcome.symbols == ["BTCUSDT"]
    (sent,) = [slices for _, _, slices in publisher.log]
    assert [s.symbol for s in sent] == ["BTCUSDT", None, *(f"X{n}USDT" for n in range(20))]
    assert sent[1] == Slice(None, forged, readable=False)


async def test_a_halted_contract_is_heard_and_not_missed(tmp_path: Path) -> None:
    """Its silence is no gap and costs no call; its rates are published, its history is wanted. A
    delisted one is neither.
    """
    publisher, clock = FakePublisher(), ManualClock()
    feed = feed_of(tmp_path, publisher, "backpack", clock)
    halted, delisted = ContractStatus.HALTED, ContractStatus.DELISTED
    listed(feed, "SOL_USDC_PERP", HALTED_USDC_PERP=halted, OLD_USDC_PERP=delisted)
    feed.instruments.known.set()
    row = b'{"stream":"markPrice.HALTED_USDC_PERP","data":{"s":"HALTED_USDC_PERP","f":"0.0002"}}'
    for _ in range(3):
        outcome = await feed.frames.take("backpack/mark-price/1", row, NOW_US)
        assert outcome.symbols == ["HALTED_USDC_PERP"]
        clock.advance(VERY_LONG_S)
        feed.look()
    assert [slices for _, _, slices in publisher.log] == [[Slice("HALTED_USDC_PERP", row)]] * 3
    assert feed.polling.wanted == {"SOL_USDC_PERP"}
    assert feed.status()["contracts_expected"] == 1
    assert feed.history._contracts() == ["HALTED_USDC_PERP", "SOL_USDC_PERP"]


async def test_a_contradicted_list_is_due(tmp_path: Path) -> None:
    """As soon as there is one."""
    feed = feed_of(tmp_path, FakePublisher())
    listed(feed, "BTCUSDT")
    feed.instruments.known.set()
    feed.list_contradicted()
    assert feed.instruments._wanted.is_set()
