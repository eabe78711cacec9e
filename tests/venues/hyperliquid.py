"""Messages of Hyperliquid (docs/exchanges/hyperliquid.md)."""

from __future__ import annotations

import json
from typing import Any

from producers.exchanges.spec import Control
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

_CONTEXT = (
    b'{"funding":"0.0000018952","openInterest":"36585.31848","premium":"-0.0006413454",'
    b'"oraclePx":"84198.0","markPx":"84148.0","midPx":null,"impactPxs":["84143.0","84144.0"]}'
)
_COIN = b'{"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":' + _CONTEXT + b"}}"
_DEX_COIN = (
    b'{"channel":"activeAssetCtx","data":{"coin":"xyz:NVDA","ctx":{"funding":"0.00000625"}}}'
)
_META = (
    b'{"maxLeverage":40,"name":"BTC","szDecimals":5}',
    b'{"name":"MATIC","isDelisted":true}',
    b'{"name":"kPEPE","szDecimals":0}',
)
_META_DEX = (b'{"name":"xyz:NVDA","szDecimals":3}', b'{"name":"xyz:OLD","isDelisted":true}')
_HL_SETTLED = (
    b'{"coin":"BTC","fundingRate":"0.0000125","premium":"0.0000774","time":1790003600170}',
    b'{"coin":"BTC","fundingRate":"0.0000126","time":1790007200356}',
)
_CTXS = (_CONTEXT, b'{"funding":"0.0","premium":null}', b'{"funding":"0.0000125"}')


def _fact(entry: bytes, token: bytes | None = None) -> bytes:
    """A fact: a meta with a single entry."""
    quote = b"" if token is None else b',"collateralToken":' + token
    return b'{"universe":[' + entry + b"]" + quote + b"}"


SAMPLES = Samples(
    data=[
        (_COIN, Expected("activeAssetCtx", ["BTC"])),
        (_DEX_COIN, Expected("activeAssetCtx", ["xyz:NVDA"])),
    ],
    control=[
        (
            (
                b'{"channel":"subscriptionResponse","data":{"method":"subscribe",'
                b'"subscription":{"type":"activeAssetCtx","coin":"kPEPE"}}}'
            ),
            Control(acknowledged=("kPEPE",)),
        ),
        (
            (
                b'{"channel":"subscriptionResponse","data":{"method":"unsubscribe",'
                b'"subscription":{"type":"activeAssetCtx","coin":"kPEPE"}}}'
            ),
            Control(),
        ),
        (b'{"channel":"pong"}', Control()),
        (b'{"channel":"error","data":"Already subscribed: {}"}', Control(refused=True)),
    ],
    unknown=[
        (b'{"channel":"allMids","data":{"mids":{"SOL":"141.3"}}}', "allMids"),
        (b'{"channel":"notification","data":{"notification":"upgrade"}}', "notification"),
    ],
    replies={
        "allPerpMetas": b'[{"universe":'
        + array(*_META)
        + b',"collateralToken":3},{"universe":'
        + array(*_META_DEX)
        + b"}]",
        "metaAndAssetCtxs": b'[{"universe":' + array(*_META) + b"}," + array(*_CTXS) + b"]",
    },
    pieces={
        "allPerpMetas": [
            *zip(["BTC", "MATIC", "kPEPE"], map(_fact, _META, [b"3"] * 3), strict=True),
            *zip(["xyz:NVDA", "xyz:OLD"], map(_fact, _META_DEX), strict=True),
        ],
        "metaAndAssetCtxs": [("BTC", _CONTEXT), ("kPEPE", _CTXS[2])],
    },
    listed={
        "allPerpMetas": {
            "BTC": True,
            "MATIC": False,
            "kPEPE": True,
            "xyz:NVDA": True,
            "xyz:OLD": False,
        }
    },
    composed=frozenset({"allPerpMetas"}),
    history_symbol="BTC",
    history_page=array(*_HL_SETTLED),
    history_rows=_HL_SETTLED,
    history_time="time",
)

CONTEXT: dict[str, Any] = {
    "funding": "0.0000018952",
    "openInterest": "36585.31848",
    "prevDayPx": "86627.0",
    "dayNtlVlm": "4161029539.6949653625",
    "premium": "-0.0006413454",
    "oraclePx": "84198.0",
    "markPx": "84148.0",
    "midPx": "84143.5",
    "impactPxs": ["84143.0", "84144.0"],
    "dayBaseVlm": "49116.08533",
}
ACTIVE_ASSET: dict[str, Any] = {
    "channel": "activeAssetCtx",
    "data": {"coin": "xyz:NVDA", "ctx": CONTEXT},
}
HYPERLIQUID_SETTLED: dict[str, Any] = {
    "coin": "BTC",
    "fundingRate": "0.0000125",
    "premium": "0.0000774",
    "time": 1_789_999_200_118,
}
UNIVERSE: dict[str, Any] = {"name": "kPEPE", "szDecimals": 5, "maxLeverage": 40}
FACT: dict[str, Any] = {"universe": [UNIVERSE], "collateralToken": 235}
"""As producers publish it; those of the version before published the entry alone."""


def _contexts(row: Any) -> Any:
    return [{"universe": [{"name": "BTC"}]}, [row]]


def _universes(row: Any) -> Any:
    return [{"universe": [row]}]


PAYLOADS = (
    Sample("hyperliquid", "stream", "activeAssetCtx", "xyz:NVDA", ACTIVE_ASSET),
    Sample("hyperliquid", "fallback", "metaAndAssetCtxs", "BTC", CONTEXT, _contexts),
    Sample("hyperliquid", "reconcile", "metaAndAssetCtxs", "BTC", CONTEXT, _contexts),
    Sample("hyperliquid", "contract", "metaAndAssetCtxs", "BTC", CONTEXT, _contexts),
    Sample("hyperliquid", "history", "fundingHistory", "BTC", HYPERLIQUID_SETTLED),
    Sample("hyperliquid", "contract", "meta", "kPEPE", UNIVERSE, asked=False),
    Sample("hyperliquid", "contract", "allPerpMetas", "kPEPE", UNIVERSE, _universes),
    Sample("hyperliquid", "contract", "allPerpMetas", "kPEPE", FACT, lambda row: [row]),
)

DOCUMENTED = Documented(
    sockets=["wss://api.hyperliquid.xyz/ws"] * 2,
    rest_url="https://api.hyperliquid.xyz",
    costs={"allPerpMetas": [20], "metaAndAssetCtxs": [20]},
    contracts=ContractList(
        lambda rows: listed(*rows, before='[{"universe":[', after="]}]"),
        lambda name: {"name": name},
        optional=("isDelisted", "szDecimals", "onlyIsolated"),
        unlistable={"isDelisted": 5},
        odd_names=("", " ", "-", ":", "x:", ":B"),
    ),
    # Contexts are joined by their index.
    joined=True,
)

CAPTURED = (
    Captured(
        "hyperliquid/obs_ws_active_asset_ctx_BTC.json",
        "data",
        "activeAssetCtx",
        "BTC",
        symbols=["BTC"],
    ),
    Captured(
        "hyperliquid/rs_ws_active_asset_ctx_BTC.json",
        "data",
        "activeAssetCtx",
        "BTC",
        symbols=["BTC"],
    ),
    Captured("hyperliquid/obs_ws_error_parse.json", "control"),
    Captured("hyperliquid/rs_ws_error_already_unsubscribed.json", "control"),
    Captured("hyperliquid/rs_ws_subscription_response.json", "control"),
)


def _rows(document: Any) -> list[Row]:
    if document.get("channel") != "activeAssetCtx":
        return []
    data = document["data"]
    return [Row(data["coin"], None, data["ctx"]["funding"], data["ctx"])]


def _info(**question: Any) -> str:
    return f"/info {json.dumps(question)}"


CLIENTS = {
    "hyperliquid": Client(
        connect=at("/ws"),
        subscriptions=lambda names: [
            json.dumps(
                {"method": "subscribe", "subscription": {"type": "activeAssetCtx", "coin": name}}
            )
            for name in names
        ],
        question='{"method":"ping"}',
        rows=_rows,
        current=_info(type="metaAndAssetCtxs"),
        rate="funding",
        history=lambda symbol, since_ms, now_ms: _info(
            type="fundingHistory", coin=symbol, startTime=max(since_ms, now_ms - 10**8)
        ),
        settled=lambda rows: [(row["time"], float(row["fundingRate"])) for row in rows],
        contracts=_info(type="meta"),
        listed=lambda meta: [(row["name"], row.get("isDelisted")) for row in meta["universe"]],
        bad_field=("markPx", "?"),
        null_field="midPx",
    )
}
