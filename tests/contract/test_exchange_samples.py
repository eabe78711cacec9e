"""Messages of every exchange in the forms of exchanges.md, each value different from the others.

Not responsible for: what they are tested for (test_exchange_suite.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from producers.exchanges.spec import Control

Piece = tuple[str | None, bytes]


@dataclass(frozen=True)
class Expected:
    """What a data frame is cut into."""

    channel: str
    symbols: Sequence[str]
    payloads: Callable[[bytes], Sequence[bytes]] = lambda frame: [frame]
    published: bool = True
    event_us: int | None = None


@dataclass(frozen=True)
class Samples:
    """One exchange's messages. `pieces` and `listed` are by resource, as `replies`."""

    data: Sequence[tuple[bytes, Expected]]
    control: Sequence[tuple[bytes, Control]]
    replies: Mapping[str, bytes]
    pieces: Mapping[str, Sequence[Piece]]
    listed: Mapping[str, Mapping[str, bool]]
    history_symbol: str
    history_page: bytes
    history_rows: Sequence[bytes]
    history_empty: bytes = b"[]"
    history_span: tuple[int, int] = field(default=(1_790_000_000_000, 1_790_030_000_000))


def just(*payloads: bytes) -> Callable[[bytes], Sequence[bytes]]:
    """These payloads."""
    return lambda _frame: payloads


def array(*rows: bytes) -> bytes:
    """A JSON array of rows."""
    return b"[" + b", ".join(rows) + b"]"


_UM = (
    b'{"e":"markPriceUpdate","E":1791269856000,"s":"BTCUSDT","p":"85296.6","ap":"85296.7",'
    b'"P":"85321.9","i":"85345.9","r":"0.00000523","T":1791273600000,"st":1}'
)
_UM_CN = '{"e":"markPriceUpdate","E":1791269856001,"s":"币安人生USDT","r":"-0.01","T":2}'.encode()
_CM = (
    b'{"e":"markPriceUpdate","E":1790373638000,"s":"BTCUSD_PERP","p":"83732.5","ap":"83732.6",'
    b'"P":"83805.7","i":"83786.2","r":"-0.00000573","T":1790380800000,"st":2}'
)
_CM_DATED = b'{"e":"markPriceUpdate","E":1596095725000,"s":"BTCUSD_201225","r":"","T":0}'

_BINANCE_CONTROL = (
    (b'{"result":null,"id":1}', Control()),
    (
        b'{"error":{"code":2,"msg":"Invalid request: unknown variant"},"id":1}',
        Control(refused=True),
    ),
    (b'{"code":3,"msg":"Invalid JSON"}', Control(refused=True)),
)

_UM_INFO = (
    b'{"symbol":"BTCUSDT","status":"TRADING","contractType":"PERPETUAL"}',
    b'{"symbol":"TSLAUSDT","status":"TRADING","contractType":"TRADIFI_PERPETUAL"}',
    b'{"symbol":"OLDUSDT","status":"SETTLING","contractType":"PERPETUAL"}',
    b'{"symbol":"BTCUSDT_260925","status":"TRADING","contractType":"CURRENT_QUARTER"}',
)
_CM_INFO = (
    b'{"symbol":"BTCUSD_PERP","contractStatus":"TRADING","contractType":"PERPETUAL"}',
    b'{"symbol":"OLDUSD_PERP","contractStatus":"CLOSE","contractType":"PERPETUAL"}',
    (
        b'{"symbol":"BTCUSD_260925","contractStatus":"TRADING",'
        b'"contractType":"CURRENT_QUARTER DELIVERING"}'
    ),
)
_FUNDING = b'{"symbol":"BLZUSDT","adjustedFundingRateCap":"0.02500000","fundingIntervalHours":8}'
_PREMIUM = b'{"symbol":"BTCUSDT","lastFundingRate":"0.00038246","time":1597370495002}'
_PREMIUM_CM = b'{"symbol":"BTCUSD_PERP","pair":"BTCUSD","lastFundingRate":"0.00071003"}'
_UM_SETTLED = b'{"symbol":"BTCUSDT","fundingRate":"-0.0375","fundingTime":1790000000007}'
_CM_SETTLED = b'{"symbol":"BTCUSD_PERP","fundingTime":1790000000009,"fundingRate":"-0.003"}'

_USDM = Samples(
    data=[
        (
            array(_UM, _UM_CN),
            Expected(
                "!markPrice@arr@1s",
                ["BTCUSDT", "币安人生USDT"],
                just(_UM, _UM_CN),
                event_us=1_791_269_856_000_000,
            ),
        ),
        (_UM, Expected("!markPrice@arr@1s", ["BTCUSDT"], event_us=1_791_269_856_000_000)),
        (
            b'{"stream":"!markPrice@arr","data":' + array(_UM) + b"}",
            Expected("!markPrice@arr", ["BTCUSDT"], just(_UM), event_us=1_791_269_856_000_000),
        ),
    ],
    control=_BINANCE_CONTROL,
    replies={
        "exchangeInfo": b'{"timezone":"UTC","symbols":' + array(*_UM_INFO) + b"}",
        "fundingInfo": array(_FUNDING),
        "premiumIndex": array(_PREMIUM),
    },
    pieces={
        "exchangeInfo": list(
            zip(["BTCUSDT", "TSLAUSDT", "OLDUSDT", "BTCUSDT_260925"], _UM_INFO, strict=True)
        ),
        "fundingInfo": [("BLZUSDT", _FUNDING)],
        "premiumIndex": [("BTCUSDT", _PREMIUM)],
    },
    listed={"exchangeInfo": {"BTCUSDT": True, "TSLAUSDT": True, "OLDUSDT": False}},
    history_symbol="BTCUSDT",
    history_page=array(_UM_SETTLED),
    history_rows=[_UM_SETTLED],
)

_COINM = Samples(
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
                event_us=1_596_095_725_000_000,
            ),
        ),
        (_CM, Expected("markPrice", ["BTCUSD_PERP"], event_us=1_790_373_638_000_000)),
    ],
    control=_BINANCE_CONTROL,
    replies={
        "exchangeInfo": b'{"symbols":' + array(*_CM_INFO) + b"}",
        "fundingInfo": array(_FUNDING),
        "premiumIndex": array(_PREMIUM_CM),
    },
    pieces={
        "exchangeInfo": list(
            zip(["BTCUSD_PERP", "OLDUSD_PERP", "BTCUSD_260925"], _CM_INFO, strict=True)
        ),
        "fundingInfo": [("BLZUSDT", _FUNDING)],
        "premiumIndex": [("BTCUSD_PERP", _PREMIUM_CM)],
    },
    listed={"exchangeInfo": {"BTCUSD_PERP": True, "OLDUSD_PERP": False}},
    history_symbol="BTCUSD_PERP",
    history_page=array(_CM_SETTLED),
    history_rows=[_CM_SETTLED],
)

_FEE = (
    b'{"s":"XBTUSDTM","fr":"0.000072","ft":1786809600000,"lfr":"0.000069","nt":1786838400000,'
    b'"gl":28800000,"fc":"0.003","ff":"-0.0031"}'
)
_FEE_2 = b'{"s":"TRUSTUSDTM","fr":"-0.0001","lfr":"0.0002","gl":14400000}'
_HEAD = b'{"T":"funding-fee-all-symbols","P":1786809901214267234,"d":['
_SINGLE = b'{"T":"funding-fee","P":1790114460967760880,"d":{"s":"XBTUSDTM","fr":"-0.000076"}}'
_RATE = (
    b'{"topic":"/contract/instrument:XBTUSDTM","type":"message","subject":"funding.rate",'
    b'"data":{"period":1,"granularity":60000,"fundingRate":-7.6E-5,"timestamp":1790114460000}}'
)
_MARK = (
    b'{"topic":"/contract/instrument:ETHUSDTM","type":"message","subject":"mark.index.price",'
    b'"data":{"markPrice":86201.79,"indexPrice":86248.81,"timestamp":1790113097000}}'
)
_ALL = (
    b'{"topic":"/contract/instrument:ALL","type":"message","subject":"funding.rate",'
    b'"data":{"symbol":"IDUSDTM","granularity":60001,"fundingRate":-0.00088}}'
)
_BEGIN = (
    b'{"type":"message","topic":"/contract/announcement","subject":"funding.begin",'
    b'"data":{"symbol":"SOLUSDTM","fundingTime":1551770400000,"fundingRate":-0.002966}}'
)
_ACTIVE = (
    b'{"symbol":"XBTUSDTM","type":"FFWCSX","status":"Open","fundingFeeRate":0.000052}',
    b'{"symbol":"ETHUSDM","type":"FFWCSX","status":"BeingSettled","multiplier":-1}',
    b'{"symbol":"OLDUSDTM","type":"FFWCSX","status":"Closed"}',
    b'{"symbol":"XBTMZ26","type":"FFICSX","status":"Open"}',
)
_KUCOIN_SETTLED = b'{"symbol":"XBTUSDTM","fundingRate":1.33E-4,"timepoint":1790001057600}'

_KUCOIN = Samples(
    data=[
        (
            _HEAD + _FEE + b" , " + _FEE_2 + b" ]}",
            Expected(
                "funding-fee-all-symbols",
                ["XBTUSDTM", "TRUSTUSDTM"],
                just(_HEAD + _FEE + b"]}", _HEAD + _FEE_2 + b"]}"),
                event_us=1_786_809_901_214_267,
            ),
        ),
        (
            b'{"d":[' + _FEE_2 + b'],"T":"funding-fee-all-symbols","P":9001}',
            Expected("funding-fee-all-symbols", ["TRUSTUSDTM"], event_us=9),
        ),
        (
            b'{"T":"funding-fee-all-symbols","P":7999,"d":[]}',
            Expected("funding-fee-all-symbols", [], just(), event_us=7),
        ),
        (_SINGLE, Expected("funding-fee", ["XBTUSDTM"], event_us=1_790_114_460_967_760)),
        (_RATE, Expected("instrument:funding.rate", ["XBTUSDTM"])),
        (_ALL, Expected("instrument:funding.rate", ["IDUSDTM"])),
        (_BEGIN, Expected("announcement:funding.begin", ["SOLUSDTM"])),
        (_MARK, Expected("instrument:mark.index.price", ["ETHUSDTM"], published=False)),
    ],
    control=[
        (
            b'{"sessionId":"e8e4","message":"welcome","pingInterval":18000}',
            Control(greeting=True, ping_every_s=18.0),
        ),
        (b'{"id":"12","type":"welcome"}', Control(greeting=True)),
        (b'{"id":"1","result":true}', Control()),
        (b'{"id":"2","result":"true"}', Control()),
        (b'{"id":"p18","result":false,"message":"invalid request data"}', Control(refused=True)),
        (b'{"id":"p20","result":false,"reason":"topic not allowed"}', Control(refused=True)),
        (b'{"type":"pong","id":"p32","ts":1790113111261396000}', Control()),
        (b'{"id":"p16","type":"pong","timestamp":1790113097236506}', Control()),
        (b'{"id":"15","type":"ack"}', Control()),
        (b'{"type":"error","code":401,"data":"token is expired"}', Control(refused=True)),
        (
            b'{"id":"p28","type":"error","code":404,"data":"topic does not exist"}',
            Control(refused=True),
        ),
    ],
    replies={"contracts/active": b'{"code":"200000","data":' + array(*_ACTIVE) + b"}"},
    pieces={
        "contracts/active": list(
            zip(["XBTUSDTM", "ETHUSDM", "OLDUSDTM", "XBTMZ26"], _ACTIVE, strict=True)
        )
    },
    listed={"contracts/active": {"XBTUSDTM": True, "ETHUSDM": True, "OLDUSDTM": False}},
    history_symbol="XBTUSDTM",
    history_page=b'{"code":"200000","data":' + array(_KUCOIN_SETTLED) + b"}",
    history_rows=[_KUCOIN_SETTLED],
    history_empty=b'{"code":"200000","data":[]}',
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

_HYPERLIQUID = Samples(
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
            Control(acknowledged="kPEPE"),
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
    replies={
        "allPerpMetas": b'[{"universe":'
        + array(*_META)
        + b',"collateralToken":0},{"universe":'
        + array(*_META_DEX)
        + b"}]",
        "metaAndAssetCtxs": b'[{"universe":' + array(*_META) + b"}," + array(*_CTXS) + b"]",
    },
    pieces={
        "allPerpMetas": list(
            zip(["BTC", "MATIC", "kPEPE", "xyz:NVDA", "xyz:OLD"], (*_META, *_META_DEX), strict=True)
        ),
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
    history_symbol="BTC",
    history_page=array(*_HL_SETTLED),
    history_rows=_HL_SETTLED,
)

_BP = (
    b'{"data":{"E":1790134357847601,"T":1790134357846930,"e":"markPrice","f":"0.00000625",'
    b'"i":"340.52","n":1790136000000,"p":"340.43","s":"AAPL.US_USDC_PERP"},'
    b'"stream":"markPrice.AAPL.US_USDC_PERP"}'
)
_BP_BARE = b'{"stream":"markPrice.kPEPE_USDC_PERP","data":{"e":"markPrice","p":"0.01"}}'
_MARKETS = (
    b'{"symbol":"BTC_USDC_PERP","marketType":"PERP","orderBookState":"Open"}',
    b'{"symbol":"AAPL.US_USDC_PERP","marketType":"PERP","orderBookState":"Closed"}',
    b'{"symbol":"BTC_USDC","marketType":"SPOT","orderBookState":"Open"}',
)
_PRICE = b'{"fundingRate":"0.0001","markPrice":"50001.50","symbol":"BTC_USDC_PERP"}'
_BP_SETTLED = (
    (
        b'{"fundingRate":"0.0000125","intervalEndTimestamp":"2026-09-21T21:00:00",'
        b'"symbol":"BTC_USDC_PERP"}'
    ),
    (
        b'{"fundingRate":"0.000010077","intervalEndTimestamp":"2026-09-21T20:00:00",'
        b'"symbol":"BTC_USDC_PERP"}'
    ),
)

_BACKPACK = Samples(
    data=[
        (_BP, Expected("markPrice", ["AAPL.US_USDC_PERP"], event_us=1_790_134_357_847_601)),
        (_BP_BARE, Expected("markPrice", ["kPEPE_USDC_PERP"])),
    ],
    control=[
        (b'{"id":null,"error":{"code":4006,"message":"Invalid stream"}}', Control(refused=True))
    ],
    replies={"markets": array(*_MARKETS), "markPrices": array(_PRICE)},
    pieces={
        "markets": list(
            zip(["BTC_USDC_PERP", "AAPL.US_USDC_PERP", "BTC_USDC"], _MARKETS, strict=True)
        ),
        "markPrices": [("BTC_USDC_PERP", _PRICE)],
    },
    listed={"markets": {"BTC_USDC_PERP": True, "AAPL.US_USDC_PERP": False}},
    history_symbol="BTC_USDC_PERP",
    history_page=array(*_BP_SETTLED),
    history_rows=_BP_SETTLED,
)

SAMPLES: Mapping[str, Samples] = {
    "binance-usdm": _USDM,
    "binance-coinm": _COINM,
    "kucoin": _KUCOIN,
    "hyperliquid": _HYPERLIQUID,
    "backpack": _BACKPACK,
}
