"""Messages of Gate (docs/exchanges/gate.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from producers.exchanges.spec import Control
from schemas.contract_status import ContractStatus
from stream_app.model import InstrumentUpdate, NoRate, RateUpdate, SettlementUpdate
from tests.venues.clients import Client, Row, at
from tests.venues.samples import (
    Captured,
    ContractList,
    Documented,
    Expected,
    Sample,
    Samples,
    array,
    listed,
)

FEED = "gate"
CHANNEL = "futures.tickers"

ROW: dict[str, Any] = {
    "contract": "SUI_USDT",
    "last": "3.1457",
    "change_percentage": "-1.5298",
    "total_size": "7105978.2",
    "volume_24h": "24727894.2",
    "volume_24h_base": "24727894.2",
    "volume_24h_quote": "77810910",
    "volume_24h_settle": "77810911",
    "mark_price": "3.1461",
    "funding_rate": "-0.000213",
    "funding_rate_indicative": "-0.000213",
    "funding_interval": 14_400,
    "funding_offset": 0,
    "funding_next_apply": 1_790_006_400,
    "index_price": "3.1468",
    "quanto_base_rate": "",
    "low_24h": "3.0128",
    "high_24h": "3.2530",
    "price_type": "last",
    "t": 1_790_000_122_987,
}
CONTRACT: dict[str, Any] = {
    "name": "PEPE_USDT",
    "type": "direct",
    "status": "trading",
    "in_delisting": False,
    "is_pre_market": False,
    "quanto_multiplier": "10000",
    "position_size": 41_601_316,
    "funding_rate": "0.000116",
    "funding_rate_indicative": "0.000117",
    "funding_interval": 28_800,
    "funding_next_apply": 1_790_006_400,
    "funding_rate_limit": "0.0175",
    "mark_price": "0.00000571",
    "index_price": "0.00000572",
    "launch_time": 1_683_500_400,
    "create_time": 1_683_400_000,
    "trade_size": 650_322,
}
TICKER: dict[str, Any] = {
    "contract": "PEPE_USDT",
    "last": "0.00000573",
    "total_size": "41601316",
    "volume_24h": "9178115",
    "volume_24h_base": "91781150000",
    "volume_24h_quote": "524988.61",
    "volume_24h_settle": "524988.62",
}
SETTLED: dict[str, Any] = {"r": "-0.000052", "t": 1_789_977_603}


def text(row: Any) -> bytes:
    """A row as it is sent."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()


def frame(*rows: Any) -> dict[str, Any]:
    """The message of rows."""
    return {
        "time": 1_790_000_123,
        "time_ms": 1_790_000_123_206,
        "channel": CHANNEL,
        "event": "update",
        "result": list(rows),
    }


def answer(event: str, payload: Sequence[str], **more: Any) -> bytes:
    """An answer to a request."""
    stamps = {"time": 1_790_000_121, "time_ms": 1_790_000_121_965, "conn_id": "6b1e40c2"}
    return text({**stamps, "channel": CHANNEL, "event": event, "payload": list(payload), **more})


_PLAIN = {key: ROW[key] for key in ROW if not key.startswith(("funding_in", "funding_n", "t"))}
_ONE = text(frame(ROW))
_OLD = text(frame({**_PLAIN, "contract": "OLD_USDT"}))
_TWO = text(frame(ROW, {**ROW, "contract": "BTC_USD1", "t": 1_790_000_122_001}))
_LIST = (
    text(CONTRACT),
    text({**CONTRACT, "name": "GONE_USDT", "status": "delisted"}),
    text({**CONTRACT, "name": "LAST_USDT", "in_delisting": True}),
    text({**CONTRACT, "name": "STOP_USDT", "status": "circuit_breaker"}),
    text({**CONTRACT, "name": "SOON_USDT", "is_pre_market": True}),
)
_NAMES = ("PEPE_USDT", "GONE_USDT", "LAST_USDT", "STOP_USDT", "SOON_USDT")
_BTC = text({**CONTRACT, "name": "BTC_USD", "type": "inverse", "quanto_multiplier": "0"})
_USD1 = text({**CONTRACT, "name": "ETH_USD1"})

SAMPLES = Samples(
    data=[
        (_ONE, Expected(CHANNEL, ["SUI_USDT"], event_us=1_790_000_122_987_000)),
        (_OLD, Expected(CHANNEL, ["OLD_USDT"], event_us=1_790_000_123_206_000)),
        (
            _TWO,
            Expected(
                CHANNEL,
                ["SUI_USDT", "BTC_USD1"],
                lambda _frame: [
                    text(frame(ROW)),
                    text(frame({**ROW, "contract": "BTC_USD1", "t": 1_790_000_122_001})),
                ],
                event_us=1_790_000_122_987_000,
            ),
        ),
    ],
    control=[
        (
            answer("subscribe", ["A_USDT", "B_USDT"], result={"status": "success"}),
            Control(acknowledged=("A_USDT", "B_USDT"), answers="subscribe A_USDT,B_USDT"),
        ),
        (
            answer("unsubscribe", ["A_USDT"], result={"status": "success"}),
            Control(answers="unsubscribe A_USDT"),
        ),
        (
            answer(
                "subscribe",
                ["A_USDT", "NOPE_USDT"],
                error={"code": 2, "message": "unknown currency pair: NOPE_USDT"},
                result={"status": "fail"},
            ),
            Control(
                refused=True,
                refused_symbols=("NOPE_USDT",),
                answers="subscribe A_USDT,NOPE_USDT",
            ),
        ),
        (
            (
                b'{"time":1790000120,"channel":"","event":"","error":'
                b'{"code":1,"message":"request payload does not follow json schema"},"result":null}'
            ),
            Control(refused=True, answers=" "),
        ),
        (
            b'{"time":1790000119,"channel":"futures.pong","event":"","error":null,"result":null}',
            Control(),
        ),
        (
            (
                b'{"time":1790000116,"channel":"futures.system","event":"update",'
                b'"result":{"type":"upgrade","msg":"closed in a minute"}}'
            ),
            Control(ends=True),
        ),
        (
            b'{"time":1790000115,"channel":"futures.system","result":{"type":"service_upgrade"}}',
            Control(ends=True),
        ),
        (b'{"type":"upgrade","msg":"closed in half a minute"}', Control(ends=True)),
    ],
    unknown=[
        (
            (
                b'{"time":1790000118,"channel":"futures.system","event":"update",'
                b'"result":{"type":"maintenance"}}'
            ),
            "futures.system",
        ),
        (b'{"time":1790000117,"channel":"futures.login","event":"api"}', "futures.login api"),
    ],
    replies={
        "contracts": array(*_LIST),
        "contracts-usd1": array(_USD1),
        "contracts-btc": array(_BTC),
        "tickers": array(text(TICKER)),
    },
    pieces={
        "contracts": list(zip(_NAMES, _LIST, strict=True)),
        "contracts-usd1": [("ETH_USD1", _USD1)],
        "contracts-btc": [("BTC_USD", _BTC)],
        "tickers": [("PEPE_USDT", text(TICKER))],
    },
    listed={
        "contracts": {
            "PEPE_USDT": True,
            "GONE_USDT": False,
            "LAST_USDT": False,
            "STOP_USDT": False,
        },
        "contracts-usd1": {"ETH_USD1": True},
        "contracts-btc": {"BTC_USD": True},
    },
    history_symbol="SUI_USDT",
    history_page=array(text(SETTLED)),
    history_rows=[text(SETTLED)],
    history_time="t",
)

PAYLOADS = (
    Sample(FEED, "stream", CHANNEL, "SUI_USDT", frame(ROW)),
    *(
        Sample(FEED, purpose, channel, name, {**CONTRACT, "name": name})
        for channel, name in (
            ("contracts", "PEPE_USDT"),
            ("contracts-usd1", "ETH_USD1"),
            ("contracts-btc", "BTC_USD"),
        )
        for purpose in ("fallback", "reconcile", "contract")
    ),
    Sample(FEED, "contract", "tickers", "PEPE_USDT", TICKER),
    Sample(FEED, "history", "funding_rate", "SUI_USDT", SETTLED),
)

DOCUMENTED = Documented(
    sockets=[f"wss://fx-ws.gateio.ws/v4/ws/{settle}" for settle in ("usdt", "usd1", "btc")],
    rest_url="https://api.gateio.ws",
    costs={
        "contracts": [1],
        "contracts-usd1": [1],
        "contracts-btc": [1],
        "tickers": [1],
    },
    contracts=ContractList(
        lambda rows: listed(*rows),
        lambda name: {"name": name, "status": "trading"},
        optional=("in_delisting", "is_pre_market", "funding_interval", "launch_time"),
        unlistable={"status": 7},
    ),
    rows_in=frozenset({"result"}),
)
"""docs/exchanges/gate.md §1, §9."""


def _rows(message: Any) -> list[Row]:
    if message.get("channel") != CHANNEL or message.get("event") != "update":
        return []
    return [
        Row(
            row["contract"],
            row["t"],
            row["funding_rate"],
            row,
            (row["funding_next_apply"] or 0) * 1_000 or None,
        )
        for row in message["result"]
        if row["funding_rate"]
    ]


def _subscriptions(names: Sequence[str]) -> list[str]:
    """In the usdt socket, where a name of another family is acknowledged and silent."""
    return [
        json.dumps(
            {"time": 5, "channel": CHANNEL, "event": "subscribe", "payload": names[start:][:100]}
        )
        for start in range(0, len(names), 100)
    ]


def _listed(rows: Any) -> list[tuple[str, Any]]:
    return [(row["name"], row["status"]) for row in rows]


CLIENTS = {
    FEED: Client(
        connect=at("/v4/ws/usdt"),
        subscriptions=_subscriptions,
        question='{"time":6,"channel":"futures.ping"}',
        rows=_rows,
        current="/api/v4/futures/usdt/contracts",
        rate="funding_rate",
        funding_time="funding_next_apply",
        history=lambda symbol, since_ms, now_ms: (
            f"/api/v4/futures/usdt/funding_rate?contract={symbol}"
            f"&from={max(since_ms // 1_000, now_ms // 1_000 - 30 * 86_400)}"
        ),
        settled=lambda rows: [(row["t"] * 1_000, float(row["r"])) for row in rows],
        contracts="/api/v4/futures/usdt/contracts",
        listed=_listed,
        bad_field=("mark_price", "?"),
        bad_text='"mark_price":"?"',
        null_field="index_price",
        own={"gate_quiet": "no", "gate_settled_s": 0},
    )
}


CAPTURED = (
    Captured("gate/tardis_ws_tickers_nested_2021.json", "refused"),
    Captured(
        "gate/bx_funding_rate_history_rest.json",
        "history",
        "funding_rate",
        "BTC_USDT",
        means=tuple(
            SettlementUpdate("BTC_USDT", at_s * 1_000_000, rate)
            for at_s, rate in (
                (1_790_236_800, 0.000026),
                (1_790_265_600, -0.000008),
                (1_790_294_400, 0.000007),
                (1_790_323_200, 0.000028),
                (1_790_352_000, -0.000007),
            )
        ),
        received_at_us=1_790_360_000_000_000,
    ),
    Captured(
        "gate/kh_contract_BTC_USDT_rest.json",
        "reply",
        "contracts",
        "BTC_USDT",
        "fallback",
        (
            RateUpdate(
                "BTC_USDT",
                0.000016,
                mark_price=77777.9,
                index_price=77813.8,
                next_funding_time=1_788_451_200_000_000,
                interval_hours=8.0,
            ),
        ),
        received_at_us=1_788_440_000_000_000,
        around=(b"[", b"]"),
    ),
    Captured("gate/kh_ws_subscribe_ack.json", "control"),
    Captured("gate/obs_ws_pong.json", "control"),
    Captured("gate/bx_ws_error_schema.json", "control"),
    Captured(
        "gate/kh_ws_tickers_ETH.json",
        "data",
        CHANNEL,
        "ETH_USDT",
        means=(
            RateUpdate(
                "ETH_USDT",
                0.0001,
                event_time=1_788_488_685_423_000,
                mark_price=2499.58,
                index_price=2500.51,
                next_funding_time=1_788_508_800_000_000,
                interval_hours=8.0,
            ),
        ),
        symbols=["ETH_USDT"],
    ),
    Captured(
        "gate/tardis_ws_tickers_2023.json",
        "data",
        CHANNEL,
        "BTC_USDT",
        means=(
            RateUpdate(
                "BTC_USDT",
                0.0001,
                event_time=1_677_629_168_840_000,
                mark_price=23175.64,
                index_price=23173.35,
            ),
        ),
    ),
    Captured(
        "gate/bx_ws_tickers_delivery.json",
        "data",
        CHANNEL,
        "BTC_USDT_20261009",
        means=(NoRate("BTC_USDT_20261009", "no funding rate: a dated contract"),),
    ),
    Captured(
        "gate/bx_contract_inverse_rest.json",
        "reply",
        "contracts-btc",
        "BTC_USD",
        "fallback",
        (
            RateUpdate(
                "BTC_USD",
                0.0001,
                mark_price=83787.19,
                index_price=83780.64,
                next_funding_time=1_790_380_800_000_000,
                interval_hours=8.0,
            ),
        ),
        received_at_us=1_790_360_000_000_000,
    ),
    Captured(
        "gate/bx_contract_inverse_rest.json",
        "reply",
        "contracts-btc",
        "BTC_USD",
        "contract",
        (
            InstrumentUpdate(
                "BTC_USD",
                base="BTC",
                quote="USD",
                multiplier=1.0,
                status=ContractStatus.TRADING,
                status_word="trading",
                interval_hours=8.0,
                rate_cap=0.00375,
                rate_floor=-0.00375,
                listed_at=1_545_235_200_000_000,
                open_interest=7_488_838.0,
            ),
        ),
    ),
)
