"""Messages of Binance USD-M (docs/exchanges/binance-usdm.md)."""

from __future__ import annotations

from tests.venues.binance import CONTROL, FUNDING, UNKNOWN, payloads
from tests.venues.samples import Expected, Samples, array, just

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
        "premiumIndex": array(_PREMIUM),
    },
    pieces={
        "exchangeInfo": list(
            zip(["BTCUSDT", "TSLAUSDT", "OLDUSDT", "BTCUSDT_260925"], _UM_INFO, strict=True)
        ),
        "fundingInfo": [("BLZUSDT", FUNDING)],
        "premiumIndex": [("BTCUSDT", _PREMIUM)],
    },
    listed={"exchangeInfo": {"BTCUSDT": True, "TSLAUSDT": True, "OLDUSDT": False}},
    history_symbol="BTCUSDT",
    history_page=array(_UM_SETTLED),
    history_rows=[_UM_SETTLED],
    history_time="fundingTime",
)

PAYLOADS = payloads("binance-usdm", "!markPrice@arr@1s", "币安人生USDT", 1, lambda row: [row])
