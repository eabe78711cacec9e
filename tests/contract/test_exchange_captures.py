"""Messages that others captured from the exchanges are cut, where the folder of them is at hand."""

from __future__ import annotations

import pytest

from producers.exchanges import exchange
from tests.support.paths import SHARED_FIXTURES

MESSAGES = SHARED_FIXTURES / "messages"

DATA = {
    "binancecoinm/qr_ws_mark_price_btcusd_perp.json": ("binance-coinm", "markPrice", "BTCUSD_PERP"),
    "backpack/obs_ws_mark_price_AAPL.json": ("backpack", "markPrice", "AAPL.US_USDC_PERP"),
    "hyperliquid/obs_ws_active_asset_ctx_BTC.json": ("hyperliquid", "activeAssetCtx", "BTC"),
    "hyperliquid/rs_ws_active_asset_ctx_BTC.json": ("hyperliquid", "activeAssetCtx", "BTC"),
    "kucoinfutures/obs_classic_funding_rate.json": (
        "kucoin",
        "instrument:funding.rate",
        "XBTUSDTM",
    ),
    "kucoinfutures/rust_instrument_all_funding_rate.json": (
        "kucoin",
        "instrument:funding.rate",
        "IDUSDTM",
    ),
    "kucoinfutures/go_doc_funding_begin.json": (
        "kucoin",
        "announcement:funding.begin",
        "XBTUSDTM",
    ),
    "kucoinfutures/obs_uta_mark_price.json": ("kucoin", "mark-price", "XBTUSDTM"),
}
CONTROL = {
    "backpack/obs_ws_error_invalid_stream.json": "backpack",
    "hyperliquid/obs_ws_error_parse.json": "hyperliquid",
    "hyperliquid/rs_ws_error_already_unsubscribed.json": "hyperliquid",
    "hyperliquid/rs_ws_subscription_response.json": "hyperliquid",
    "kucoinfutures/obs_classic_error_404.json": "kucoin",
    "kucoinfutures/obs_classic_pong.json": "kucoin",
    "kucoinfutures/obs_uta_ack.json": "kucoin",
    "kucoinfutures/obs_uta_refusal.json": "kucoin",
    "kucoinfutures/obs_uta_welcome.json": "kucoin",
}


def captured(name: str) -> bytes:
    """A message as it was captured."""
    path = MESSAGES / name
    if not path.exists():
        pytest.skip("the captured messages are not here")
    return path.read_bytes().strip()


@pytest.mark.parametrize("name", DATA)
def test_a_captured_frame_is_cut(name: str) -> None:
    """Channel and symbol are found, and the payload is a part of the frame."""
    message = captured(name)
    feed, channel, symbol = DATA[name]
    frame = exchange(feed).slice_frame(message)
    assert frame.control is None
    assert frame.channel == channel
    assert [piece.symbol for piece in frame.slices] == [symbol]
    assert all(piece.payload in message for piece in frame.slices)


@pytest.mark.parametrize("name", CONTROL)
def test_a_captured_control_frame_is_none_of_data(name: str) -> None:
    """Acks, pongs, greetings and errors."""
    assert exchange(CONTROL[name]).slice_frame(captured(name)).control is not None
