"""Messages of Binance COIN-M (docs/exchanges/binance-coinm.md)."""

from __future__ import annotations

from tests.venues.binance import CONTROL, FUNDING, UNKNOWN, client, payloads
from tests.venues.samples import (
    Captured,
    ContractList,
    Documented,
    Expected,
    Samples,
    array,
    just,
    listed,
)

_CM = (
    b'{"e":"markPriceUpdate","E":1790373638000,"s":"BTCUSD_PERP","p":"83732.5","ap":"83732.6",'
    b'"P":"83805.7","i":"83786.2","r":"-0.00000573","T":1790380800000,"st":2}'
)
_CM_DATED = b'{"e":"markPriceUpdate","E":1596095725000,"s":"BTCUSD_201225","r":"","T":0}'

_CM_INFO = (
    b'{"symbol":"BTCUSD_PERP","contractStatus":"TRADING","contractType":"PERPETUAL"}',
    b'{"symbol":"OLDUSD_PERP","contractStatus":"CLOSE","contractType":"PERPETUAL"}',
    (
        b'{"symbol":"BTCUSD_260925","contractStatus":"TRADING",'
        b'"contractType":"CURRENT_QUARTER DELIVERING"}'
    ),
)
_PREMIUM_CM = b'{"symbol":"BTCUSD_PERP","pair":"BTCUSD","lastFundingRate":"0.00071003"}'
_CM_SETTLED = b'{"symbol":"BTCUSD_PERP","fundingTime":1790000000009,"fundingRate":"-0.003"}'

_TICKER = b'{"symbol":"BTCUSD_PERP","pair":"BTCUSD","volume":"41","baseVolume":"0.0482"}'

SAMPLES = Samples(
    data=[
        (
            b'{"stream":"btcusd_perp@markPrice@1s","data":' + _CM + b"}",
            Expected("markPrice", ["BTCUSD_PERP"], just(_CM), event_us=1_790_373_638_000_000),
        ),
        (
            b'{"data":' + array(_CM_DATED, _CM) + b',"stream":"btcusd@markPrice"}',
            Expected(
                "markPrice",
                ["BTCUSD_201225", "BTCUSD_PERP"],
                just(_CM_DATED, _CM),
                # The newest row's: no frame is older than a row of it.
                event_us=1_790_373_638_000_000,
            ),
        ),
        (_CM, Expected("markPrice", ["BTCUSD_PERP"], event_us=1_790_373_638_000_000)),
    ],
    control=CONTROL,
    unknown=UNKNOWN,
    replies={
        "exchangeInfo": b'{"symbols":' + array(*_CM_INFO) + b"}",
        "fundingInfo": array(FUNDING),
        "ticker/24hr": array(_TICKER),
        "premiumIndex": array(_PREMIUM_CM),
    },
    pieces={
        "exchangeInfo": list(
            zip(["BTCUSD_PERP", "OLDUSD_PERP", "BTCUSD_260925"], _CM_INFO, strict=True)
        ),
        "fundingInfo": [("BLZUSDT", FUNDING)],
        "ticker/24hr": [("BTCUSD_PERP", _TICKER)],
        "premiumIndex": [("BTCUSD_PERP", _PREMIUM_CM)],
    },
    listed={"exchangeInfo": {"BTCUSD_PERP": True, "OLDUSD_PERP": False}},
    history_symbol="BTCUSD_PERP",
    history_page=array(_CM_SETTLED),
    history_rows=[_CM_SETTLED],
    history_time="fundingTime",
)

PAYLOADS = payloads(
    "binance-coinm",
    "markPrice",
    "BTCUSD_PERP",
    2,
    lambda row: {"stream": "btcusd_perp@markPrice@1s", "data": row},
)

DOCUMENTED = Documented(
    sockets=[
        "wss://dstream.binance.com/stream",
        "wss://dstream.binance.com/market/stream",
        "wss://fstream.binance.com/market/stream",
    ],
    rest_url="https://dapi.binance.com",
    costs={
        "exchangeInfo": [1],
        "fundingInfo": [1],
        "premiumIndex": [10],
        "ticker/24hr": [40],
    },
    contracts=ContractList(
        lambda rows: listed(*rows, before='{"symbols":[', after="]}"),
        lambda name: {"symbol": name, "contractType": "PERPETUAL"},
        optional=("contractStatus", "onboardDate"),
        unlistable={"contractType": 5},
    ),
    server_pings=True,
)

CAPTURED = (
    Captured(
        "binancecoinm/qr_ws_mark_price_btcusd_perp.json",
        "data",
        "markPrice",
        "BTCUSD_PERP",
        symbols=["BTCUSD_PERP"],
    ),
)

CLIENTS = {
    "binance-coinm": client(
        "dapi", "contractStatus", "/ws", lambda name: f"{name.lower()}@markPrice@1s"
    )
}
