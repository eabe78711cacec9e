"""KuCoin's own SDK gets from the simulator what is true, on both sockets and by REST.

It is skipped without kucoin-universal-sdk.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.support.simulated_feed import Simulated, simulator

pytestmark = pytest.mark.integration

SYMBOL = "XBTUSDTM"
TIMEOUT_S = 20
SDK = "kucoin_universal_sdk"

T = TypeVar("T")


def sdk_client(simulated: Simulated) -> Any:
    """The SDK's client, pointed at the simulator; no key, no reconnects."""
    sdk = pytest.importorskip(f"{SDK}.api.client")
    options = import_module(f"{SDK}.model.client_option").ClientOptionBuilder()
    transport = import_module(f"{SDK}.model.transport_option").TransportOption()
    sockets = import_module(f"{SDK}.model.websocket_option").WebSocketClientOption(reconnect=False)
    for place in ("spot", "futures", "broker"):
        getattr(options, f"set_{place}_endpoint")(simulated.url)
    options.set_transport_option(transport).set_websocket_client_option(sockets)
    for secret in ("key", "secret", "passphrase"):
        getattr(options, f"set_{secret}")("")
    return sdk.DefaultClient(options.build())


async def talked(simulated: Simulated, talk: Callable[[Any], T]) -> T:
    """What a blocking conversation brings."""
    async with asyncio.timeout(60):
        return await asyncio.to_thread(talk, sdk_client(simulated))


async def test_the_classic_socket(tmp_path: Path) -> None:
    """A token, both topics acked (announcements with a symbol), rates as in the truth."""
    events: queue.Queue[Any] = queue.Queue()

    def talk(client: Any) -> tuple[Any, list[float]]:
        socket = client.ws_service().new_futures_public_ws()
        socket.start()
        # Raises where the topic is not acknowledged.
        socket.announcement(SYMBOL, lambda *_event: None)
        socket.instrument(SYMBOL, lambda _topic, _subject, event: events.put(event))
        rates: list[float] = []
        while len(rates) < 3:
            event = events.get(timeout=TIMEOUT_S)
            if event.funding_rate is not None:
                assert event.granularity == 60_000
                rates.append(event.funding_rate)
        return socket, rates

    async with simulator(tmp_path, "kucoin") as simulated:
        socket, rates = await talked(simulated, talk)
    # A client that ends its connection itself waits for 13 s for its own threads.
    await asyncio.to_thread(socket.stop)
    assert {(SYMBOL, rate) for rate in rates} <= simulated.updates()


async def test_the_uta_socket_and_rest(tmp_path: Path) -> None:
    """A subscription to all perpetuals and one to a single one, junk, current and settled rates."""
    messages: queue.Queue[Any] = queue.Queue()

    def pushes() -> list[Any]:
        """What comes until both channels have come."""
        found: list[Any] = []
        while not {"funding-fee", "funding-fee-all-symbols"} <= {m["T"] for m in found}:
            found.append(messages.get(timeout=TIMEOUT_S))
        return found

    def talk(client: Any) -> tuple[list[Any], str, Any]:
        trade_type = import_module(f"{SDK}.model.push_trade_type").PushTradeType.FUTURES
        socket = client.ws_service().new_uta_public_ws(trade_type)
        # The SDK has no setting for this address.
        socket._ws_service._endpoint = f"{simulated.ws_url}/"
        socket.start()
        try:
            socket.funding_fee_all_symbols(messages.put)
            socket.funding_fee(SYMBOL, messages.put)
            found = pushes()
            with pytest.raises(RuntimeError) as refused:
                socket.ticker(SYMBOL, messages.put)
            shown = rest_of(client)
            # What REST has shown has been pushed when the next push is here.
            pushes()
            return found, str(refused.value.__cause__), shown
        finally:
            socket.stop()

    async with simulator(tmp_path, "kucoin") as simulated:
        found, refusal, (current, uta, history) = await talked(simulated, talk)
    updates, settled = simulated.updates(), simulated.settlements()
    rows = [row for m in found for row in (m["d"] if isinstance(m["d"], list) else [m["d"]])]
    assert {row["s"] for row in rows} == settled.keys()
    for row in rows:
        assert (row["s"], float(row["fr"])) in updates
        assert (row["ft"], float(row["lfr"])) == settled[row["s"]][-1]
        assert row["nt"] == row["ft"] + row["gl"]
    assert '"message": "invalid request data"' in refusal
    (own,) = uta.data
    assert {(SYMBOL, current.value), (SYMBOL, float(own["nextFundingRate"]))} <= updates
    last = current.common_response.data["lastTimeFundingRate"]
    assert (current.time_point, last) == settled[SYMBOL][-1]
    got = [(row.timepoint, row.funding_rate) for row in history.data]
    assert got == settled[SYMBOL][::-1][: len(got)]
    assert len(got) >= 90


def rest_of(client: Any) -> tuple[Any, Any, Any]:
    """The current rate of the classic and of the UTA interface, and the settled rates."""
    rest = client.rest_service()
    fees = import_module(f"{SDK}.generate.futures.fundingfees")
    futures = rest.get_futures_service().get_funding_fees_api()
    uta = rest.get_uta_service().get_market_api()
    current = fees.GetCurrentFundingRateReqBuilder().set_symbol(SYMBOL).build()
    span = fees.GetPublicFundingHistoryReqBuilder().set_symbol(SYMBOL).set_from_(1).set_to(2**42)
    return (
        futures.get_current_funding_rate(current),
        uta.get_current_funding_rates({"symbol": SYMBOL}),
        futures.get_public_funding_history(span.build()),
    )
