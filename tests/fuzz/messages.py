"""Whole messages as the exchanges send them, made of the samples: frames, and replies by resource.

What a producer cuts out of them is what the samples are.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tests.fuzz.samples import SAMPLES, UTA_FRAME, Sample


class Message(NamedTuple):
    """A message, and the sample that is to come out of it."""

    sample: Sample
    body: bytes


def _frame(sample: Sample) -> Any:
    """The frame that carries a stream sample (exchanges.md §1.6, §2.4; the others are frames)."""
    if sample.feed == "binance-usdm":
        return [sample.row]
    if sample.feed == "binance-coinm":
        return {"stream": "btcusd_perp@markPrice@1s", "data": sample.row}
    if sample.channel == "funding-fee":
        return {**UTA_FRAME, "T": "funding-fee", "d": sample.row["d"]}
    return sample.row


def _reply(sample: Sample) -> Any:
    """The reply that carries a REST sample (exchanges.md §1.9, §2.6, §3.5, §4.9, §5.4)."""
    if sample.channel == "exchangeInfo":
        return {"timezone": "UTC", "symbols": [sample.row]}
    if sample.feed == "kucoin":
        return {"code": "200000", "data": [sample.row]}
    if sample.channel == "metaAndAssetCtxs":
        return [{"universe": [{"name": sample.symbol}]}, [sample.row]]
    if sample.channel == "allPerpMetas":
        return [{"universe": [sample.row]}]
    return [sample.row]


def _bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


FRAMES = tuple(Message(s, _bytes(_frame(s))) for s in SAMPLES if s.purpose == "stream")
REPLIES = tuple(
    Message(s, _bytes(_reply(s))) for s in SAMPLES if s.purpose != "stream" and s.channel != "meta"
)
"""The resource `meta` is one that no call asks for: allPerpMetas brings all universes."""
