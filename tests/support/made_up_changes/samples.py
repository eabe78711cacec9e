"""Messages of the venue that sends what has changed, over which the suites of all venues run."""

from __future__ import annotations

from dataclasses import replace

from producers.exchanges.spec import Control
from tests.support.made_up_venue import samples as plain
from tests.venues.samples import Expected, Sample, just

_ONE = b'{"at":1790000123000,"fr":"-0.00017598","next":1790006400000}'
_TWO = b'{"at":1790000124000,"fr":"0.0001","next":1790010000000}'
_CHANGE = b'{"at":1790000125000}'

SAMPLES = replace(
    plain.SAMPLES,
    data=[
        (
            b'{"n":4,"whole":true,"rows":{"BTC/USD":%b, "1000PEPE/USD": %b}}' % (_ONE, _TWO),
            Expected("changes", ["BTC/USD", "1000PEPE/USD"], just(_ONE, _TWO)),
        ),
        (
            b'{"n":5,"whole":false,"rows":{"BTC/USD":%b}}' % _CHANGE,
            Expected("changes", ["BTC/USD"], just(_CHANGE)),
        ),
    ],
    control=[(b'{"n":6,"ping":17}', Control(reply='{"pong":17}'))],
)
_ROW = {"at": 1_790_000_123_000, "fr": "-0.00017598", "next": 1_790_006_400_000}
_FRAME = {"n": 4, "whole": True, "rows": {"BTC/USD": _ROW}}
PAYLOADS = (
    Sample("made-up-changes", "stream", "changes", "BTC/USD", _FRAME),
    *(
        one._replace(feed="made-up-changes")
        for one in plain.PAYLOADS
        if one.purpose != "stream"
    ),
)  # fmt: skip
DOCUMENTED = replace(plain.DOCUMENTED, sockets=["wss://made-up.invalid/changes"])
