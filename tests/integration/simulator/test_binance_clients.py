"""Binance's own SDKs, its older connector and cryptofeed get from the simulator what is true.

The SDKs send UUIDs as ids and read every row into strict models; cryptofeed wants the price step of
each contract in exchangeInfo. Each test is skipped without its client.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import queue
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from infra.simulator.server.tls import self_signed
from tests.support.simulated_feed import CONTRACTS, Simulated, simulator

pytestmark = pytest.mark.integration

TIMEOUT_S = 30


@asynccontextmanager
async def official_sdk(kind: str, name: str, simulated: Simulated) -> AsyncIterator[Any]:
    """The exchange's SDK of a market, pointed at the simulator."""
    package = f"binance_sdk_derivatives_trading_{kind}_futures"
    sdk = pytest.importorskip(f"{package}.derivatives_trading_{kind}_futures")
    configuration = import_module("binance_common.configuration")
    yield getattr(sdk, name)(
        configuration.ConfigurationRestAPI(base_path=simulated.url),
        config_ws_streams=configuration.ConfigurationWebSocketStreams(stream_url=simulated.ws_url),
    )


async def rows_of(subscription: Any, contracts: int) -> dict[str, float]:
    """The first streamed rate of so many contracts."""
    received: asyncio.Queue[Any] = asyncio.Queue()
    subscription.on("message", received.put_nowait)
    rates: dict[str, float] = {}
    while len(rates) < contracts:
        message = await received.get()
        for row in message if isinstance(message, list) else [message]:
            if row.r:
                rates.setdefault(row.s, float(row.r))
    return rates


def assert_settled(rows: list[Any], settled: list[tuple[int, float]]) -> None:
    """A history by the SDK: the truth's, with stamps that are up to 3 ms late."""
    got = [(row.funding_time // 1_000 * 1_000, float(row.funding_rate)) for row in rows]
    assert len(got) >= 90
    assert got == settled


async def test_the_official_sdk_of_usdm(tmp_path: Path) -> None:
    """The stream of all contracts, current and settled rates, intervals."""
    async with (
        simulator(tmp_path, "binance-usdm") as simulated,
        official_sdk("usds", "DerivativesTradingUsdsFutures", simulated) as sdk,
        asyncio.timeout(TIMEOUT_S),
    ):
        rest = sdk.rest_api
        connection = await sdk.websocket_streams.create_connection()
        try:
            stream = await connection.mark_price_stream_for_all_market(update_speed="1s")
            streamed = await rows_of(stream, CONTRACTS)
            current = (await asyncio.to_thread(rest.mark_price)).data().actual_instance
            history = await asyncio.to_thread(
                rest.get_funding_rate_history, "BTCUSDT", 1, None, 1000
            )
            listed = (await asyncio.to_thread(rest.get_funding_rate_info)).data()
            # What REST has shown is on the socket by the next array.
            await rows_of(stream, CONTRACTS)
        finally:
            await connection.close_connection(close_session=True)
    updates, settled = simulated.updates(), simulated.settlements()
    shown = {row.symbol: float(row.last_funding_rate) for row in current if row.last_funding_rate}
    assert streamed.keys() == settled.keys() <= shown.keys()
    assert {*streamed.items(), *((symbol, shown[symbol]) for symbol in streamed)} <= updates
    assert_settled(history.data(), settled["BTCUSDT"])
    assert {row.symbol for row in listed} >= settled.keys()
    hours = {row.symbol: row.funding_interval_hours for row in listed}
    gaps = {
        symbol: {later - earlier for (earlier, _), (later, _) in itertools.pairwise(rows)}
        for symbol, rows in settled.items()
    }
    # One contract's interval has changed within its history.
    constant = {symbol: each for symbol, each in gaps.items() if len(each) == 1}
    assert len(constant) >= len(gaps) - 1
    assert all(each == {hours[symbol] * 3_600_000} for symbol, each in constant.items())


async def test_the_official_sdk_of_coinm(tmp_path: Path) -> None:
    """One stream a contract on the unrouted path, current and settled rates."""
    async with (
        simulator(tmp_path, "binance-coinm") as simulated,
        official_sdk("coin", "DerivativesTradingCoinFutures", simulated) as sdk,
        asyncio.timeout(TIMEOUT_S),
    ):
        rest = sdk.rest_api
        history_of = rest.get_funding_rate_history_of_perpetual_futures
        connection = await sdk.websocket_streams.create_connection()
        try:
            stream = await connection.mark_price_stream("btcusd_perp", update_speed="1s")
            streamed = await rows_of(stream, 1)
            current = (await asyncio.to_thread(rest.index_price_and_mark_price)).data()
            history = await asyncio.to_thread(history_of, "BTCUSD_PERP", 1, None, 1000)
            await rows_of(stream, 1)
        finally:
            await connection.close_connection(close_session=True)
    updates, settled = simulated.updates(), simulated.settlements()
    shown = {row.symbol: float(row.last_funding_rate) for row in current if row.last_funding_rate}
    assert shown.keys() == settled.keys()
    assert {*streamed.items(), ("BTCUSD_PERP", shown["BTCUSD_PERP"])} <= updates
    assert_settled(history.data(), settled["BTCUSD_PERP"])


@pytest.mark.parametrize(
    ("feed", "market", "path", "symbol"),
    [
        ("binance-usdm", "um", "/market", "BTCUSDT"),
        # It knows the unrouted path of USD-M alone, where nothing is delivered any more.
        ("binance-coinm", "cm", "", "BTCUSD_PERP"),
    ],
)
async def test_the_older_connector(
    tmp_path: Path, feed: str, market: str, path: str, symbol: str
) -> None:
    """binance-futures-connector, deprecated and still in use: one stream, settled rates."""
    pytest.importorskip(f"binance.{market}_futures")
    rest_class = getattr(import_module(f"binance.{market}_futures"), f"{market.upper()}Futures")
    sockets = import_module(f"binance.websocket.{market}_futures.websocket_client")
    socket_class = getattr(sockets, f"{market.upper()}FuturesWebsocketClient")
    messages: queue.Queue[Any] = queue.Queue()

    def talk(simulated: Simulated) -> tuple[Any, list[Any], Any]:
        rest = rest_class(base_url=simulated.url)
        client = socket_class(
            stream_url=simulated.ws_url + path,
            on_message=lambda _manager, text: messages.put(json.loads(text)),
        )
        try:
            client.mark_price(symbol, 1)
            ack = messages.get(timeout=TIMEOUT_S)
            rows = [messages.get(timeout=TIMEOUT_S) for _ in range(3)]
            return ack, rows, rest.funding_rate(symbol, startTime=1, limit=1_000)
        finally:
            client.stop()

    async with simulator(tmp_path, feed) as simulated:
        ack, rows, history = await asyncio.to_thread(talk, simulated)
    assert ack["result"] is None
    assert {(row["s"], float(row["r"])) for row in rows} <= simulated.updates()
    got = [(row["fundingTime"] // 1_000 * 1_000, float(row["fundingRate"])) for row in history]
    assert got == simulated.settlements()[symbol]


@pytest.mark.parametrize(
    ("feed", "name", "path", "contract"),
    [
        # Version 2.4 names the unrouted address of USD-M: the path is given to it here.
        ("binance-usdm", "BinanceFutures", "/market", ("BTC-USDT-PERP", "BTCUSDT")),
        ("binance-coinm", "BinanceDelivery", "", ("BTC-USD-PERP", "BTCUSD_PERP")),
    ],
)
async def test_cryptofeed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    feed: str,
    name: str,
    path: str,
    contract: tuple[str, str],
) -> None:
    """It reads the contracts from exchangeInfo, price steps included, and streams their rates.

    It connects by TLS alone, so the simulator has a certificate here.
    """
    pytest.importorskip("cryptofeed")
    original = getattr(import_module("cryptofeed.exchanges"), name)
    connection = import_module("cryptofeed.connection")
    received: asyncio.Queue[Any] = asyncio.Queue()
    unified, symbol = contract

    async def on_funding(funding: Any, _received_s: float) -> None:
        await received.put(funding)

    certificate, key = self_signed(tmp_path / "tls", "127.0.0.1")
    for variable in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(variable, str(certificate))
    async with (
        simulator(tmp_path, feed, certificate, key) as simulated,
        asyncio.timeout(TIMEOUT_S),
    ):
        rest = original.rest_endpoints[0]
        addresses = {
            "websocket_endpoints": [connection.WebsocketEndpoint(simulated.ws_url + path)],
            "rest_endpoints": [connection.RestEndpoint(simulated.url, routes=rest.routes)],
        }
        exchange: Any = type(name, (original,), addresses)
        # Their list of contracts is read by a blocking call, and kept for the process.
        await asyncio.to_thread(exchange.symbol_mapping, refresh=True)
        client = exchange(
            symbols=[unified], channels=["funding"], callbacks={"funding": on_funding}
        )
        client.start(asyncio.get_running_loop())
        try:
            rates = [await received.get() for _ in range(3)]
        finally:
            client.stop()
            await client.shutdown()
    assert {str(rate.symbol) for rate in rates} == {unified}
    assert {(symbol, float(rate.rate)) for rate in rates} <= simulated.updates()
    settled_ms = simulated.settlements()[symbol][-1][0]
    assert all(rate.next_funding_time * 1_000 > settled_ms for rate in rates)
    assert float(exchange.info()["tick_size"][unified]) > 0
