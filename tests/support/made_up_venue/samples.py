"""The made-up venue's messages, over which the suites of all venues run."""

from __future__ import annotations

from producers.exchanges.spec import Control
from tests.venues.samples import (
    ContractList,
    Documented,
    Expected,
    Sample,
    Samples,
    array,
    just,
    listed,
)

_ONE = b'{"c":"BTC/USD","at":1790000123000,"fr":"-0.00017598","next":1790006400000}'
_TWO = b'{"c":"1000PEPE/USD","at":1790000123000,"fr":"0.0001","next":1790006400000}'
_LIVE = b'{"c":"BTC/USD","state":"live","hours":8}'
_GONE = b'{"c":"OLD/USD","state":"gone","hours":4}'
_SETTLED_ROW = b'{"c":"BTC/USD","at":1790000000000,"fr":"0.00005"}'

SAMPLES = Samples(
    data=[(array(_ONE, _TWO), Expected("all", ["BTC/USD", "1000PEPE/USD"], just(_ONE, _TWO)))],
    control=[(b'{"hello":"you"}', Control(greeting=True))],
    replies={"contracts": array(_LIVE, _GONE), "current": array(_ONE)},
    pieces={
        "contracts": [("BTC/USD", _LIVE), ("OLD/USD", _GONE)],
        "current": [("BTC/USD", _ONE)],
    },
    listed={"contracts": {"BTC/USD": True, "OLD/USD": False}},
    history_symbol="BTC/USD",
    history_page=array(_SETTLED_ROW),
    history_rows=[_SETTLED_ROW],
    history_time="at",
)

_RATE = {"c": "BTC/USD", "at": 1_790_000_123_000, "fr": "-0.00017598", "next": 1_790_006_400_000}
_SETTLEMENT = {"c": "BTC/USD", "at": 1_789_977_600_000, "fr": "0.00005"}
PAYLOADS = (
    Sample("made-up", "stream", "all", "BTC/USD", _RATE, lambda row: [row]),
    Sample("made-up", "fallback", "current", "BTC/USD", _RATE),
    Sample("made-up", "reconcile", "current", "BTC/USD", _RATE),
    Sample("made-up", "history", "settled", "BTC/USD", _SETTLEMENT),
    Sample(
        "made-up", "contract", "contracts", "BTC/USD", {"c": "BTC/USD", "state": "live", "hours": 8}
    ),
)

DOCUMENTED = Documented(
    sockets=["wss://made-up.invalid/all"],
    rest_url="https://made-up.invalid",
    costs={"contracts": [1], "current": [1]},
    contracts=ContractList(
        lambda rows: listed(*rows),
        lambda name: {"c": name, "state": "live"},
        optional=(),
        unlistable={"state": 5},
        names=("A/USD", "B/USD"),
    ),
    server_pings=True,
)
