"""Messages of Binance USD-M (docs/exchanges/binance-usdm.md)."""

from __future__ import annotations

from typing import Any

from stream_app.model import RateUpdate
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

_UM = (
    b'{"e":"markPriceUpdate","E":1791269856000,"s":"BTCUSDT","p":"85296.6","ap":"85296.7",'
    b'"P":"85321.9","i":"85345.9","r":"0.00000523","T":1791273600000,"st":1}'
)
_UM_CN = '{"e":"markPriceUpdate","E":1791269856001,"s":"币安人生USDT","r":"-0.01","T":2}'.encode()
_UM_INFO = (
    b'{"symbol":"BTCUSDT","status":"TRADING","contractType":"PERPETUAL"}',
    b'{"symbol":"TSLAUSDT","status":"TRADING","contractType":"TRADIFI_PERPETUAL"}',
    b'{"symbol":"OLDUSDT","status":"SETTLING","contractType":"PERPETUAL"}',
    b'{"symbol":"BTCUSDT_260925","status":"TRADING","contractType":"CURRENT_QUARTER"}',
)
_PREMIUM = b'{"symbol":"BTCUSDT","lastFundingRate":"0.00038246","time":1597370495002}'
_UM_SETTLED = b'{"symbol":"BTCUSDT","fundingRate":"-0.0375","fundingTime":1790000000007}'

_TICKER = b'{"symbol":"BTCUSDT","weightedAvgPrice":"85100.5","quoteVolume":"7000000000.25"}'

SAMPLES = Samples(
    data=[
        (
            array(_UM, _UM_CN),
            Expected(
                "!markPrice@arr@1s",
                ["BTCUSDT", "币安人生USDT"],
                just(_UM, _UM_CN),
                # The newest row's: no frame is older than a row of it.
                event_us=1_791_269_856_001_000,
            ),
        ),
        (_UM, Expected("!markPrice@arr@1s", ["BTCUSDT"], event_us=1_791_269_856_000_000)),
        (
            b'{"stream":"!markPrice@arr","data":' + array(_UM) + b"}",
            Expected("!markPrice@arr", ["BTCUSDT"], just(_UM), event_us=1_791_269_856_000_000),
        ),
    ],
    control=CONTROL,
    unknown=UNKNOWN,
    replies={
        "exchangeInfo": b'{"timezone":"UTC","symbols":' + array(*_UM_INFO) + b"}",
        "fundingInfo": array(FUNDING),
        "ticker/24hr": array(_TICKER),
        "premiumIndex": array(_PREMIUM),
    },
    pieces={
        "exchangeInfo": list(
            zip(["BTCUSDT", "TSLAUSDT", "OLDUSDT", "BTCUSDT_260925"], _UM_INFO, strict=True)
        ),
        "fundingInfo": [("BLZUSDT", FUNDING)],
        "ticker/24hr": [("BTCUSDT", _TICKER)],
        "premiumIndex": [("BTCUSDT", _PREMIUM)],
    },
    listed={"exchangeInfo": {"BTCUSDT": True, "TSLAUSDT": True, "OLDUSDT": False}},
    history_symbol="BTCUSDT",
    history_page=array(_UM_SETTLED),
    history_rows=[_UM_SETTLED],
    history_time="fundingTime",
)

PAYLOADS = payloads("binance-usdm", "!markPrice@arr@1s", "币安人生USDT", 1, lambda row: [row])

PREMIUM: dict[str, Any] = {
    "symbol": "ETHUSDT",
    "markPrice": "3793.63104562",
    "indexPrice": "3781.80495970",
    "estimatedSettlePrice": "3785.16138815",
    "lastFundingRate": "0.00038246",
    "interestRate": "0.00010000",
    "nextFundingTime": 1_791_302_400_000,
    "time": 1_791_280_495_002,
}
SETTLED: dict[str, Any] = {
    "symbol": "0GUSDT",
    "fundingTime": 1_791_273_600_001,
    "fundingRate": "-0.00005000",
    "markPrice": "0.30690000",
}
INFO: dict[str, Any] = {
    "symbol": "BLZUSDT",
    "adjustedFundingRateCap": "0.02500000",
    "adjustedFundingRateFloor": "-0.01500000",
    "fundingIntervalHours": 4,
    "disclaimer": False,
}
LISTED: dict[str, Any] = {
    "symbol": "1000PEPEUSDT",
    "pair": "PAIR",
    "contractType": "PERPETUAL",
    "deliveryDate": 4_133_404_800_000,
    "onboardDate": 1_683_500_400_000,
    "status": "SETTLING",
    "baseAsset": "1000PEPE",
    "quoteAsset": "USDT",
    "marginAsset": "USDC",
}

DOCUMENTED = Documented(
    sockets=["wss://fstream.binance.com/market/ws/!markPrice@arr@1s"],
    rest_url="https://fapi.binance.com",
    costs={
        "exchangeInfo": [1],
        "fundingInfo": [1],
        "premiumIndex": [10],
        "ticker/24hr": [40],
    },
    contracts=ContractList(
        lambda rows: listed(*rows, before='{"symbols":[', after="]}"),
        lambda name: {"symbol": name, "contractType": "PERPETUAL"},
        optional=("status", "onboardDate", "underlyingSubType"),
        unlistable={"status": 5},
    ),
    server_pings=True,
)

CLIENTS = {"binance-usdm": client("fapi", "status", "/market/ws", None)}


def _means(
    symbol: str, rate: float, at_ms: int, next_ms: int, mark: float, index: float
) -> tuple[RateUpdate]:
    return (
        RateUpdate(
            symbol,
            rate,
            event_time=at_ms * 1_000,
            mark_price=mark,
            index_price=index,
            next_funding_time=next_ms * 1_000,
        ),
    )


_BTC_2021 = 0.00058959, 1_617_309_024_002, 1_617_321_600_000, 59022.53514719, 58936.68384
_ETH_2021 = 0.00059142, 1_617_309_024_002, 1_617_321_600_000, 1981.1570442, 1978.08197502
CAPTURED = (
    # A stream of one contract, which is not subscribed: it is cut all the same.
    Captured(
        "binanceusdm/cffork_ws_mark_price_btcusdt.json",
        "data",
        "btcusdt@markPrice",
        "BTCUSDT",
        symbols=["BTCUSDT"],
    ),
    *(
        Captured(
            "binanceusdm/cmp_binance_linear_swap_all.json",
            "data",
            "!markPrice@arr",
            symbol,
            means=_means(symbol, *numbers),
            symbols=["BTCUSDT", "ETHUSDT"],
        )
        for symbol, numbers in (("BTCUSDT", _BTC_2021), ("ETHUSDT", _ETH_2021))
    ),
    Captured(
        "binanceusdm/md_ws_mark_price_arr_1s_1row.json",
        "data",
        "!markPrice@arr@1s",
        "BTCUSDT",
        means=_means(
            "BTCUSDT",
            0.00008359,
            1_788_936_948_001,
            1_788_940_800_000,
            79107.36658171,
            79139.09565217,
        ),
    ),
    Captured(
        "binanceusdm/nautilus_mark_price_stream.json",
        "data",
        "!markPrice@arr@1s",
        "BTCUSDT",
        means=_means(
            "BTCUSDT", 0.00038167, 1_562_305_380_000, 1_562_306_400_000, 11794.15, 11784.62659091
        ),
    ),
    Captured(
        "binanceusdm/rs_ws_mark_price_arr_2rows.json",
        "data",
        "!markPrice@arr@1s",
        "ETHUSDT",
        means=_means(
            "ETHUSDT", 0.00006061, 1_791_201_678_000, 1_791_216_000_000, 2715.93, 2717.21325581
        ),
        symbols=["BTCUSDT", "ETHUSDT"],
    ),
    # A stream of one contract, which is not subscribed: it is cut all the same.
    Captured(
        "binanceusdm/tardis_binance-futures_02.json",
        "data",
        "btcusdt@markPrice@1s",
        "BTCUSDT",
        symbols=["BTCUSDT"],
    ),
    Captured("binanceusdm/bitvigil_premium_index_full_rest.json", "reply", "premiumIndex"),
)
