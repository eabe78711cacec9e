"""The simulator's messages have the shape of what was captured from the exchanges.

The captures stay outside of the repository (tests/support/paths.py says where); without them this
is skipped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from infra.simulator.binance.coinm import BinanceCoinm, CoinmOptions
from infra.simulator.exchange import Frame, RestCall
from infra.simulator.kucoin.exchange import Kucoin, KucoinOptions
from tests.support.paths import SHARED_FIXTURES

MESSAGES = SHARED_FIXTURES / "messages"
FUNDING_MS = 1_790_121_600_000  # 00:00 UTC: everything but TRUSTUSDTM settles
PUSH_MS = FUNDING_MS + 61_000
KUCOIN = {
    "obs_uta_welcome.json",
    "obs_uta_ack.json",
    "obs_uta_refusal.json",
    "obs_uta_mark_price.json",
    "obs_classic_pong.json",
    "obs_classic_error_404.json",
    "obs_classic_funding_rate.json",
    "sdkdoc_ws_instrument_mark.json",
    "go_doc_funding_begin.json",
    "sdkdoc_bullet_public_rest.json",
    "vm_funding_rates_history_rest.json",
    "obs_error_funding_not_supported_rest.json",
}


def shape(value: object) -> object:
    """Keys and kinds of values; numbers are one kind."""
    if isinstance(value, Mapping):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return "number" if number else type(value).__name__


def captured(name: str) -> Any:
    """A captured message."""
    path = MESSAGES / name
    if not path.exists():
        pytest.skip(f"no captures at {MESSAGES}")
    return json.loads(path.read_text(encoding="utf-8"))


def kucoin_messages() -> dict[str, Any]:
    """What the simulated KuCoin says where the capture of that name was taken."""
    exchange = Kucoin(7, KucoinOptions(contracts=8), FUNDING_MS - 1)

    def rest(path: str, method: str = "GET", **query: str) -> Any:
        base_url = "http://127.0.0.1/kucoin"
        call = RestCall(method, path, query, b"", "127.0.0.1", PUSH_MS, base_url)
        return json.loads(exchange.rest(call).body)

    uta = exchange.session("/", {})
    bullet = rest("/api/v1/bullet-public", "POST")
    classic = exchange.session("/classic/", {"token": bullet["data"]["token"], "connectId": "c"})
    assert uta is not None
    assert classic is not None

    def said(session: Any, text: str) -> Any:
        (frame,) = session.on_text(text, PUSH_MS)
        return json.loads(frame.payload)

    (welcome,) = uta.opened()
    assert isinstance(welcome, Frame)
    mark = '{"id":"1","action":"SUBSCRIBE","channel":"mark-price","symbol":"XBTUSDTM"}'
    ack = said(uta, mark)
    for topic in ("/contract/announcement", "/contract/instrument:XBTUSDTM"):
        classic.on_text(json.dumps({"id": 1, "type": "subscribe", "topic": topic}), PUSH_MS)
    pushed = {
        (document["subject"], document["data"].get("granularity")): document
        for at_ms in (FUNDING_MS, PUSH_MS)
        for frame in exchange.prepare(at_ms).frames(classic)
        for document in (json.loads(frame.payload),)
    }
    (mark_price,) = exchange.prepare(PUSH_MS).frames(uta)
    window = {"from": "0", "to": str(PUSH_MS)}
    return {
        "obs_uta_welcome.json": json.loads(welcome.payload),
        "obs_uta_ack.json": ack,
        "obs_uta_refusal.json": said(uta, '{"id":"p18"}'),
        "obs_uta_mark_price.json": json.loads(mark_price.payload),
        "obs_classic_pong.json": said(classic, '{"id":"p16","type":"ping"}'),
        "obs_classic_error_404.json": said(classic, '{"id":"p28","type":"subscribe","topic":"x"}'),
        "obs_classic_funding_rate.json": pushed["funding.rate", 60_000],
        "sdkdoc_ws_instrument_mark.json": pushed["mark.index.price", 1_000],
        "go_doc_funding_begin.json": pushed["funding.begin", None],
        "sdkdoc_bullet_public_rest.json": bullet,
        "vm_funding_rates_history_rest.json": rest(
            "/api/v1/contract/funding-rates", symbol="XBTUSDTM", **window
        ),
        "obs_error_funding_not_supported_rest.json": rest("/api/v1/funding-rate/NOPE/current"),
        "vm_contracts_active_row_rest.json": rest("/api/v1/contracts/active")["data"][0],
    }


@pytest.mark.parametrize("name", sorted(KUCOIN))
def test_kucoin(name: str) -> None:
    """The same keys and kinds; one contract's row of contracts/active has at least those."""
    assert shape(kucoin_messages()[name]) == shape(captured(f"kucoinfutures/{name}"))


def test_kucoin_contracts_active() -> None:
    """The captured row was trimmed, and has three figures of the day that nobody reads."""
    name = "vm_contracts_active_row_rest.json"
    known = shape(kucoin_messages()[name])
    wanted = shape(captured(f"kucoinfutures/{name}"))
    assert isinstance(known, dict)
    assert isinstance(wanted, dict)
    unread = {"dailyInterestRate", "turnoverOf24h", "volumeOf24h"}
    assert {k: v for k, v in wanted.items() if k not in unread} == {
        key: known.get(key) for key in wanted if key not in unread
    }


def test_coinm() -> None:
    """The combined frame of one contract."""
    exchange = BinanceCoinm(7, CoinmOptions(contracts=2), FUNDING_MS - 1)
    session = exchange.session("/stream", {"streams": "btcusd_perp@markPrice@1s"})
    assert session is not None
    (frame,) = exchange.prepare(FUNDING_MS).frames(session)
    document = json.loads(frame.payload)
    wanted = captured("binancecoinm/qr_ws_mark_price_btcusd_perp.json")
    assert shape(document["data"]) == shape(wanted.get("data", wanted))
