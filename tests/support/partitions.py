"""A partition for tests of the core, and the raw records to feed it.

Payloads are Binance rows through the real normaliser. The baseline of `rated` has mean 0.0001 and
a standard deviation of 0.0000102598, so z = 2 lies near 0.00012052 and z = 3 near 0.00013078.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from schemas.control_items import TICK
from schemas.records import Purpose, RawBatch, RawItem, Transport
from schemas.serde.raw_frames import RawFrame
from schemas.times import US_PER_HOUR
from stream_app.core.columns.judging import Encoders
from stream_app.core.output.outputs import DeadLetter, Output
from stream_app.core.partition import FeedPartition, new_columns
from stream_app.core.scoring.zones import flush_boundary
from stream_app.core.state.item_context import ItemContext
from stream_app.normalise.binance_usdm import normalise
from tests.support.audit_kinds import check_audit
from tests.support.encoders import OUTPUT_ENCODERS

S = 1_000_000
HOUR_US = 1_791_273_600_000_000
T0 = HOUR_US + 1_000 * S
assert T0 % (5 * S) == 0
NOW = T0 + 7
STREAM = "!markPrice@arr@1s"
MEAN, STD = 0.0001, 0.00001 * math.sqrt(20 / 19)


def at_z(z: float) -> float:
    """The rate (per 8 h) that has this z against the baseline of `rated`."""
    return MEAN + z * STD


def item(row: dict[str, Any], received_at: int) -> RawItem:
    """One piece of a message, for the symbol in it."""
    return {
        "symbol": row.get("s") or row["symbol"],
        "payload": json.dumps(row).encode(),
        "received_at": received_at,
    }


COMING = HOUR_US + 8 * US_PER_HOUR
"""The funding time that rates of the stream are for, if a test does not say otherwise."""


def tick(
    symbol: str, rate: float | str, at: int, lag_us: int = 2_000, *, coming: int = COMING
) -> RawItem:
    """A row of the stream, whose event time is `at`, in whole milliseconds."""
    row = {
        "e": "markPriceUpdate",
        "E": at // 1_000,
        "s": symbol,
        "p": "85296.5",
        "i": "85345.25",
        "r": rate if isinstance(rate, str) else repr(rate),
        "T": coming // 1_000,
    }
    return item(row, at + lag_us)


def settled(symbol: str, rate: float, at: int) -> RawItem:
    """A row of the history."""
    row = {"symbol": symbol, "fundingTime": at // 1_000, "fundingRate": repr(rate)}
    return item(row, T0)


def batch(
    items: Sequence[RawItem],
    received_at: int = T0,
    purpose: Purpose = "stream",
    channel: str = STREAM,
    transport: Transport = "ws",
) -> RawBatch:
    """A raw record."""
    return {
        "feed": "binance-usdm",
        "transport": transport,
        "purpose": purpose,
        "channel": channel,
        "connection_id": "c",
        "sequence": 0,
        "received_at": received_at,
        "items": list(items),
    }


_DATED = re.compile(r".+_\d{6}")
"""A contract with an end: no list of perpetuals has it."""


def know(partition: FeedPartition, raw: RawBatch, offset: int) -> None:
    """Have the symbols of a record be contracts, as if their listing was applied before it.

    Without status and facts, as tests of what follows a listing send these themselves. A snapshot
    that is only compared makes nobody known.
    """
    store = partition.store
    if raw["purpose"] == "reconcile":
        return
    boundary = flush_boundary(raw["received_at"])
    at = ItemContext(partition.topic, partition.partition, offset, RawFrame.of(raw), boundary, NOW)
    for at.item, each in enumerate(raw["items"]):
        symbol = each["symbol"]
        if symbol is not None and symbol not in store.entries and not _DATED.fullmatch(symbol):
            store.create(symbol, at)


class Partition(FeedPartition):
    """A partition that is given the next offset with each batch, and knows its contracts."""

    def __init__(self) -> None:
        columns = new_columns("binance-usdm", Encoders.of(OUTPUT_ENCODERS))
        super().__init__("binance-usdm", 3, normalise, columns=columns)
        self.offset = 100

    def run(self, raw: RawBatch) -> list[Output]:
        """Apply a batch and return what it leads to."""
        know(self, raw, self.offset)
        self.apply(raw, self.offset, NOW)
        self.offset += 1
        taken = self.take_outputs()
        self.letters = list(taken.dead_letters)
        return taken.records()

    letters: list[DeadLetter]

    def ticks(self, *items: RawItem, received_at: int = T0) -> list[Output]:
        """Apply a batch of the stream."""
        return self.run(batch(items, received_at))

    def settle(self, *items: RawItem) -> list[Output]:
        """Apply a batch of history."""
        return self.run(batch(items, purpose="history", channel="fundingRate", transport="rest"))

    def facts(self, row: dict[str, Any], channel: str, received_at: int = T0) -> list[Output]:
        """Apply a batch of contract facts."""
        items = [item(row, received_at)]
        return self.run(batch(items, received_at, purpose="contract", channel=channel))

    def mark(self, symbol: str, channel: str) -> list[Output]:
        """Apply a marker of a backfill."""
        marker: RawItem = {"symbol": symbol, "payload": b"", "received_at": T0}
        return self.run(batch([marker], purpose="history", channel=channel))


def clock(received_at: int) -> RawBatch:
    """A tick of the log's time."""
    nameless: RawItem = {"symbol": None, "payload": b"", "received_at": received_at}
    return batch([nameless], received_at, channel=TICK)


def snapshot(
    *rates: tuple[str, float, int], received_at: int, purpose: Purpose = "fallback"
) -> RawBatch:
    """A REST snapshot of (symbol, rate, event time)."""
    rows = [
        {
            "symbol": symbol,
            "markPrice": "85296.5",
            "indexPrice": "85345.25",
            "lastFundingRate": repr(rate),
            "nextFundingTime": (HOUR_US + 8 * US_PER_HOUR) // 1_000,
            "time": at // 1_000,
        }
        for symbol, rate, at in rates
    ]
    items = [item(row, received_at) for row in rows]
    return batch(items, received_at, purpose, "premiumIndex", "rest")


def audits(outputs: list[Output], *kinds: str) -> list[tuple[str, str, int, str]]:
    """Subject, kind, count and detail of the audit events of these kinds, or all."""
    return [
        (a["subject"], a["kind"], a["count"], a["detail"])
        for a in of(outputs, "audit")
        if not kinds or a["kind"] in kinds
    ]


def of(outputs: list[Output], topic: str) -> list[Any]:
    """The records for a topic; audit events among them are held to what their kind says."""
    records = [o.record for o in outputs if o.topic.name == f"funding.{topic}"]
    if topic == "audit":
        for record in records:
            check_audit(record)
    return records


def triggers(outputs: list[Output]) -> list[tuple[str, str]]:
    """Symbol and trigger of what was emitted."""
    return [(z["symbol"], z["trigger"]) for z in of(outputs, "zscores")]


def new_partition() -> Partition:
    """A partition that knows nothing."""
    return Partition()


def rated_partition() -> Partition:
    """A partition with a baseline of twenty settlements for A, and nothing emitted."""
    partition = Partition()
    rates = [0.00009, 0.00011] * 10
    partition.settle(
        *(
            settled("AUSDT", rate, HOUR_US - (19 - index) * 8 * US_PER_HOUR)
            for index, rate in enumerate(rates)
        )
    )
    return partition
