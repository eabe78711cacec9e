"""Kill -9 at any point of any log: outputs and state end as those of an undisturbed run.

The log is random rows of the exchange through the real normaliser. The crash falls anywhere
between two acks, with the state of the last flush half stored: baselines first, then some blocks
(of two contracts here, so that there are several).
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.audit_kinds import AuditKind
from schemas.control_items import BACKFILL_BEGIN, BACKFILL_END, FEED_EVENT, TICK, FeedEvent
from schemas.records import RawBatch, RawItem
from schemas.times import US_PER_HOUR
from stream_app.core.output.outputs import DeadLetter, Output
from stream_app.core.partition import FeedPartition
from stream_app.normalise.binance_usdm import normalise

S = 1_000_000
HOUR_US = 1_791_273_600_000_000
SYMBOLS = ["AUSDT", "BUSDT", "CUSDT", "DUSDT", "EUSDT", "FUSDT"]
LISTED = SYMBOLS[:3]
"""From the beginning; the others wait until a status of theirs comes by."""
FORGED = ["", "A USDT", "A\u202eUSDT", "X" * 65]
"""What no contract is called."""
RATES = [0.0001, 0.000101, 0.00012, 0.00015, -0.0003, 0.0]


class Step(NamedTuple):
    """A raw record and its place in the log."""

    offset: int
    raw: RawBatch


def row_of(symbol: str, rate: float, at: int) -> dict[str, Any]:
    """A row of the stream."""
    return {
        "e": "markPriceUpdate",
        "E": at // 1_000,
        "s": symbol,
        "p": "7.5",
        "r": repr(rate),
        "T": (HOUR_US + 8 * US_PER_HOUR) // 1_000,
    }


def raw_of(kind: str, items: Sequence[tuple[str | None, bytes]], received_at: int) -> RawBatch:
    """A raw record of a kind, from (symbol, payload) pairs."""
    purposes: dict[str, Any] = {
        "stream": ("stream", "!markPrice@arr@1s"),
        "history": ("history", "fundingRate"),
        "facts": ("contract", "fundingInfo"),
        "status": ("contract", "exchangeInfo"),
        "fallback": ("fallback", "premiumIndex"),
        "reconcile": ("reconcile", "premiumIndex"),
        "tick": ("stream", TICK),
        "event": ("stream", FEED_EVENT),
        "begin": ("history", BACKFILL_BEGIN),
        "end": ("history", BACKFILL_END),
    }
    purpose, channel = purposes[kind]
    pieces: list[RawItem] = [
        {"symbol": symbol, "payload": payload, "received_at": received_at}
        for symbol, payload in items
    ]
    return {
        "feed": "binance-usdm",
        "transport": "ws" if purpose == "stream" else "rest",
        "purpose": purpose,
        "channel": channel,
        "connection_id": "c",
        "sequence": 0,
        "received_at": received_at,
        "items": pieces,
    }


class Exchange:
    """Makes a log from a seed: faster than drawing each row, and each seed is one log."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.received_at = HOUR_US + self.chance.randrange(10 * S)

    def log(self, length: int) -> list[Step]:
        """A log that begins with baselines for some contracts and goes on with anything."""
        kinds = ["stream"] * 5 + ["history"] * 3 + ["facts", "mark", "status", "event"]
        kinds += ["fallback"] * 2 + ["reconcile"] * 2 + ["tick"] * 2
        listing = [status_row(symbol, "TRADING") for symbol in LISTED]
        raws = [raw_of("status", listing, self.received_at)]
        raws.append(raw_of("history", self.old_settlements(), self.received_at))
        for _ in range(length):
            self.received_at += self.chance.choice([0, S, S, 3 * S, 6 * S, 12 * S, -S])
            raws.append(self.raw(self.chance.choice(kinds)))
        first = self.chance.randrange(1_000)
        return [Step(first + index, raw) for index, raw in enumerate(raws)]

    def old_settlements(self) -> list[tuple[str, bytes]]:
        """Nine to fourteen for each contract but one: not all are enough for a z."""
        return [
            history_row(symbol, -age * 8, 0.0001 + age % 3 * 1e-5)
            for symbol in LISTED[:-1]
            for age in range(self.chance.randint(9, 14), 0, -1)
        ]

    def raw(self, kind: str) -> RawBatch:
        """Rows on time, late, repeated or broken; settlements; facts; markers."""
        if kind == "mark":
            marker = self.chance.choice(["begin", "end", "end"])
            return raw_of(marker, [(self.chance.choice(SYMBOLS), b"")], self.received_at)
        if kind == "tick":
            return raw_of(kind, [(None, b"")], self.received_at)
        if kind == "event":
            return raw_of(kind, [(None, self.event()) for _ in range(2)], self.received_at)
        make = {
            "stream": self.row,
            "history": self.settlement,
            "facts": self.fact,
            "status": self.status,
            "fallback": self.snapshot,
            "reconcile": self.snapshot,
        }[kind]
        items = [make() for _ in range(self.chance.randint(1, 4))]
        return raw_of(kind, items, self.received_at)

    def row(self) -> tuple[str, bytes]:
        """A row of the stream, up to twelve seconds old, or of a clock that is ahead."""
        symbol = self.chance.choice(SYMBOLS)
        if self.chance.random() < 0.05:
            return symbol, b'{"e":'
        if self.chance.random() < 0.05:
            symbol = self.chance.choice(FORGED)
        at = self.received_at - self.chance.randrange(24) * S // 2
        if self.chance.random() < 0.1:
            at += self.chance.randrange(40) * S
        row = row_of(symbol, self.chance.choice(RATES), at)
        return symbol, json.dumps(row).encode()

    def settlement(self) -> tuple[str, bytes]:
        """A settlement of the last two days, known or not."""
        hours = -self.chance.randrange(40)
        return history_row(self.chance.choice(SYMBOLS), hours, self.chance.choice(RATES))

    def snapshot(self) -> tuple[str, bytes]:
        """A row of REST, now and then of a while ago."""
        symbol = self.chance.choice(SYMBOLS)
        at = self.received_at - self.chance.choice([0, S, 3 * S, 20 * S])
        row = {
            "symbol": symbol,
            "markPrice": "7.5",
            "lastFundingRate": repr(self.chance.choice(RATES)),
            "nextFundingTime": (HOUR_US + 8 * US_PER_HOUR) // 1_000,
            "time": at // 1_000,
        }
        return symbol, json.dumps(row).encode()

    def status(self) -> tuple[str, bytes]:
        """A contract that trades, or no longer."""
        status = self.chance.choice(["TRADING", "TRADING", "SETTLING"])
        return status_row(self.chance.choice(SYMBOLS), status)

    def event(self) -> bytes:
        """What a producer tells."""
        kind = self.chance.choice(
            [AuditKind.FAILOVER, AuditKind.FEED_DOWN, AuditKind.FEED_RECOVERED]
        )
        if self.chance.random() < 0.2:
            return b"{}"
        return FeedEvent(kind, "binance-usdm", self.received_at - S, self.received_at).pack()

    def fact(self) -> tuple[str, bytes]:
        """A listed interval."""
        symbol = self.chance.choice(SYMBOLS)
        row = {"symbol": symbol, "fundingIntervalHours": self.chance.choice([1, 4, 8])}
        return symbol, json.dumps(row).encode()


def status_row(symbol: str, status: str) -> tuple[str, bytes]:
    """An entry of the exchange's list."""
    return symbol, json.dumps({"symbol": symbol, "status": status}).encode()


def history_row(symbol: str, hours: int, rate: float) -> tuple[str, bytes]:
    """A settlement so many hours from HOUR_US."""
    at = HOUR_US + hours * US_PER_HOUR
    row = {"symbol": symbol, "fundingTime": at // 1_000, "fundingRate": repr(rate)}
    return symbol, json.dumps(row).encode()


logs = st.builds(
    lambda seed, length: Exchange(seed).log(length), st.integers(0, 2**32), st.integers(1, 25)
)


class Worker:
    """What survives a crash (tables, delivered outputs) and what does not (the partition)."""

    def __init__(self) -> None:
        self.blocks: dict[int, bytes] = {}
        self.baselines: dict[str, bytes] = {}
        self.delivered: dict[tuple[Any, ...], Any] = {}
        self.letters: set[tuple[Any, ...]] = set()
        self.start()

    def start(self) -> None:
        """Begin from what is stored."""
        self.partition = FeedPartition(
            "binance-usdm",
            3,
            normalise,
            [self.blocks[index] for index in sorted(self.blocks)],
            self.baselines.get,
        )

    def run(self, steps: list[Step], now: int) -> None:
        """Apply and publish records."""
        for offset, raw in steps:
            self.partition.apply(raw, offset, now)
        taken = self.partition.take_outputs()
        outputs, letters = taken.records(), taken.dead_letters
        for output in outputs:
            key, record = identity(output)
            assert self.delivered.setdefault(key, record) == record
        self.letters |= {coordinates(letter) for letter in letters}

    def store(self, applied: int, blocks: int | None = None) -> None:
        """Store what changed; with a number, only so many blocks before the crash."""
        self.partition.store.mark_applied(applied)
        changed, baselines = self.partition.store.take_dirty()
        self.baselines.update(baselines)
        self.blocks.update(changed[:blocks])


def identity(output: Output) -> tuple[tuple[Any, ...], Any]:
    """What makes an output the same one, and all of it but the time of computing."""
    record = {k: v for k, v in output.record.items() if k not in {"computed_at", "created_at"}}
    names = (
        *("contract_id", "alert_id", "funding_time", "raw_offset", "raw_item", "trigger", "late"),
        *("subject", "kind", "first_event_time"),
    )
    return (output.topic.name, *(record.get(name) for name in names)), record


def coordinates(letter: DeadLetter) -> tuple[Any, ...]:
    """Return the coordinates by which a dead letter is identified."""
    return (letter.stage, letter.offset, letter.item, letter.value)


def final_state(partition: FeedPartition) -> Any:
    """Contracts and baselines, whichever blocks they are in."""
    return (
        {c.symbol: msgspec.structs.asdict(c) for c in partition.contracts},
        {
            symbol: [s[:3] for s in c.baseline.settled]
            for symbol, c in partition.store.entries.items()
        },
        partition.store.unlisted.waiting.items(),
    )


@patch("stream_app.core.updates.admission.WAITING_US", 20 * S)
@patch("stream_app.core.state.waiting_room.MAX_WAITING_SYMBOLS", 2)
@patch("stream_app.core.state.contract_store.BLOCK_CONTRACTS", 2)
@patch("stream_app.core.scoring.zones.QUIET_US", 12 * S)
@patch.dict("stream_app.core.scoring.zones.LASTING_US", {2.0: 6 * S, 3.0: 2 * S})
@settings(max_examples=200, deadline=None)
@given(log=logs, data=st.data())
def test_a_crash_changes_nothing_that_anybody_sees(log: list[Step], data: st.DataObject) -> None:
    """Flush, go on, crash within the next flush, restore, redeliver from the last ack or before."""
    undisturbed = Worker()
    undisturbed.run(log, now=1)

    acked = data.draw(st.integers(0, len(log)), label="acked")
    crashed = data.draw(st.integers(acked, len(log)), label="crashed")
    worker = Worker()
    worker.run(log[:acked], now=2)
    if acked:
        worker.store(log[acked - 1].offset)
    worker.run(log[acked:crashed], now=3)
    if crashed:
        worker.store(log[crashed - 1].offset, blocks=data.draw(st.integers(0, 4), label="blocks"))

    worker.start()
    redelivered = data.draw(st.integers(0, acked), label="redelivered")
    worker.run(log[redelivered:], now=4)

    assert worker.delivered == undisturbed.delivered
    assert worker.letters == undisturbed.letters
    assert final_state(worker.partition) == final_state(undisturbed.partition)


@settings(max_examples=100, deadline=None)
@given(log=logs)
def test_no_update_is_emitted_twice(log: list[Step]) -> None:
    """Each ZScore stands for an update of its own, and the flush leaves nothing owed behind."""
    partition = FeedPartition("binance-usdm", 3, normalise)
    for offset, raw in log:
        partition.apply(raw, offset, 1)
    partition.flush(log[-1].raw["received_at"] + 60 * S, 1)
    outputs = partition.take_outputs().records()
    emitted = [
        (o.record["contract_id"], o.record["raw_offset"], o.record["raw_item"])
        for o in outputs
        if o.topic.name == "funding.zscores"
    ]
    assert len(emitted) == len(set(emitted))
    assert [c.symbol for c in partition.contracts if c.owes] == []
