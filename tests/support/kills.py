"""Load and comparison of the proof that kills of the worker change nothing that is stored.

The load writes raw records as a producer would; the comparison finds each row that two databases do
not share.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from schemas.clock import now_us
from schemas.config.settings import SharedSettings
from schemas.control_items import BACKFILL_BEGIN, BACKFILL_END, UNREADABLE
from schemas.partitioning import PARTITIONS, contract_id, partition_of
from schemas.records import Purpose, RawBatch, RawItem
from schemas.serde.codec import HEADER_BYTES
from schemas.serde.registry import SchemaCatalog
from schemas.times import US_PER_MINUTE, US_PER_MS
from schemas.topics import raw_topic_spec
from stream_app.core.state.contract_state import BLOCK_CONTRACTS
from stream_app.sink.avro_container import container, container_header
from stream_app.sink.tables import TableSpec

FEED = "binance-usdm"
FRAME_S = 0.1
STEP_MS = 10_000
"""Event time from frame to frame: an hour of it passes in 36 s, so that bars close."""
HOUR_MS = 3_600_000
FRAMES_AN_HOUR = HOUR_MS // STEP_MS
FIRST_HOUR_MS = 600_000
"""The load begins so long before a full hour: its bars close, however short the load is."""
FIRST_BARS_FRAMES = 2 * FIRST_HOUR_MS // STEP_MS
"""By then the first bars are closed."""
LISTED_AFTER_FRAMES = 6
"""A new contract streams for so many frames before the list has it."""
SETTLEMENTS = 40
BIG_PARTITION = 3
SILENCE_FRAMES = (220, 190)
"""One partition after another gets nothing, no tick either, for 190 of 220 frames: the wall clock
flushes it."""
MARK_PRICE_ARRAY = "!markPrice@arr@1s"
READ_TIMEOUT_S = 30.0
MAX_DIFFERENCES = 10_000

Piece = tuple[str | None, bytes]


class Record(NamedTuple):
    """What one message of the exchange leads to, before it is cut by partition."""

    purpose: Purpose
    channel: str
    pieces: list[Piece]


class Listed(NamedTuple):
    """One contract of the load: rates in 1e-8, and a swing that takes z past ±2 and ±3."""

    symbol: str
    partition: int
    first_frame: int
    mean: int
    spread: int
    swing: float
    speed: float

    def rate_at(self, frame: int) -> int:
        """Return the rate in a frame: it changes every few frames."""
        step = frame // 4
        return round(self.mean + self.spread * self.swing * math.sin(step * self.speed))


def listings(rng: random.Random) -> list[Listed]:
    """More contracts on one partition than a block holds, a few on each of the others."""
    wanted = dict.fromkeys(range(PARTITIONS), 25) | {BIG_PARTITION: BLOCK_CONTRACTS + 14}
    found: list[Listed] = []
    for number in count():
        symbol = f"K{number:05d}USDT"
        partition = partition_of(contract_id(FEED, symbol))
        if not wanted[partition]:
            continue
        wanted[partition] -= 1
        first = rng.randrange(1_500) if rng.random() < 0.1 else 0
        mean, spread = rng.randrange(-5_000, 10_000), rng.randrange(500, 4_000)
        swing, speed = rng.uniform(0.5, 4.0), rng.uniform(0.02, 0.6)
        found.append(Listed(symbol, partition, first, mean, spread, swing, speed))
        if not any(wanted.values()):
            return found
    raise AssertionError


def mark_row(symbol: str, event_ms: int, rate: int) -> bytes:
    """A row of the mark-price array, docs/exchanges/binance-usdm.md §6."""
    due_ms = event_ms - event_ms % (8 * HOUR_MS) + 8 * HOUR_MS
    return (
        f'{{"e":"markPriceUpdate","E":{event_ms},"s":"{symbol}","p":"{100 + rate / 1e5:.8f}",'
        f'"i":"100.00000000","P":"100.0","r":"{rate / 1e8:.8f}","T":{due_ms},"st":1}}'
    ).encode()


def settled_row(symbol: str, funding_ms: int, rate: int) -> bytes:
    """A row of the funding history, docs/exchanges/binance-usdm.md §9b; the exchange stamps some
    milliseconds late.
    """
    return (
        f'{{"symbol":"{symbol}","fundingTime":{funding_ms + 7},"fundingRate":"{rate / 1e8:.8f}"}}'
    ).encode()


def info_row(symbol: str, hours: int) -> bytes:
    """A row of fundingInfo, docs/exchanges/binance-usdm.md §9c."""
    return (
        f'{{"symbol":"{symbol}","fundingIntervalHours":{hours},'
        '"adjustedFundingRateCap":"0.02","adjustedFundingRateFloor":"-0.02"}'
    ).encode()


def list_row(symbol: str) -> bytes:
    """An entry of exchangeInfo, docs/exchanges/binance-usdm.md §9c."""
    return f'{{"symbol":"{symbol}","status":"TRADING","contractType":"PERPETUAL"}}'.encode()


JUNK = (
    b'{"e":"markPriceUpdate","E":',
    b'{"e":"markPriceUpdate","E":1791269856000,"s":"X","p":"1","r":"2.5","T":1791273600000}',
    b'{"e":"markPriceUpdate","E":1791269856000,"s":"X","p":"1","r":"","T":0}',
    b'{"e":"other"}',
)


class Market:
    """A seeded market: what the exchange would send, frame by frame. Pure."""

    def __init__(self, seed: int, start_ms: int) -> None:
        self._rng = random.Random(seed)
        self._start_ms = start_ms
        self.contracts = listings(self._rng)
        self._backfills: dict[int, str] = {}
        self._unlisted = {c.symbol for c in self.contracts if c.first_frame}

    def prelude(self) -> Iterator[Record]:
        """Facts and a history for each contract that is listed by now, half between markers."""
        rng = self._rng
        listed = [c for c in self.contracts if c.first_frame == 0]
        yield Record("contract", "exchangeInfo", [(c.symbol, list_row(c.symbol)) for c in listed])
        facts: list[Piece] = [(c.symbol, info_row(c.symbol, 8)) for c in listed]
        yield Record("contract", "fundingInfo", facts)
        marked: list[Piece] = [(c.symbol, b"") for c in listed[::2]]
        yield Record("history", BACKFILL_BEGIN, marked)
        newest_ms = self._start_ms - self._start_ms % (8 * HOUR_MS)
        for back in range(SETTLEMENTS, -1, -1):
            at_ms = newest_ms - back * 8 * HOUR_MS
            rows: list[Piece] = [
                (c.symbol, settled_row(c.symbol, at_ms, round(rng.gauss(c.mean, c.spread))))
                for c in listed
            ]
            yield Record("history", "fundingRate", rows)
        yield Record("history", BACKFILL_END, marked)

    def frame(self, number: int) -> Iterator[Record]:
        """One array of mark prices, and what else happens at that time."""
        now_ms = self._start_ms + number * STEP_MS
        cycle, quiet_frames = SILENCE_FRAMES
        silent = number // cycle % PARTITIONS if number % cycle < quiet_frames else -1
        awake = [c for c in self.contracts if c.partition != silent and number >= c.first_frame]
        rows: list[Piece] = []
        for contract in awake:
            if self._rng.random() > 0.02:
                rows += self._updates(contract, number, now_ms)
        yield Record("stream", MARK_PRICE_ARRAY, rows)
        new = [c.symbol for c in awake if self._is_new(c, number)]
        if new:
            self._unlisted.difference_update(new)
            yield Record("contract", "exchangeInfo", [(symbol, list_row(symbol)) for symbol in new])
        yield from self._settled(awake, number, now_ms)
        yield from self._backfilled(awake, number)
        if number % 50 == 0:
            symbol = self._rng.choice(awake).symbol
            hours = self._rng.choice((1, 4, 8))
            yield Record("contract", "fundingInfo", [(symbol, info_row(symbol, hours))])
        if number % 90 == 0:
            yield Record("stream", UNREADABLE, [(None, b"\xff\xfe not a message")])

    def _is_new(self, contract: Listed, frame: int) -> bool:
        """Whether it is listed with this frame."""
        due = contract.first_frame + LISTED_AFTER_FRAMES
        return contract.symbol in self._unlisted and frame >= due

    def _updates(self, contract: Listed, frame: int, now_ms: int) -> Iterator[Piece]:
        """The update of a frame, and the few that are repeated, conflicting, late or broken."""
        rng, symbol = self._rng, contract.symbol
        rate = contract.rate_at(frame)
        row = mark_row(symbol, now_ms, rate)
        yield symbol, row
        fate = rng.random()
        if fate < 0.02:
            yield symbol, row
        elif fate < 0.03:
            yield symbol, mark_row(symbol, now_ms, rate + rng.randrange(1, 900))
        elif fate < 0.05:
            yield symbol, mark_row(symbol, now_ms - rng.randrange(1_000, 8_000), rate + 11)
        elif fate < 0.06:
            yield symbol, mark_row(symbol, now_ms - rng.randrange(11_000, 90_000), rate - 11)
        elif fate < 0.062:
            yield symbol, rng.choice(JUNK)

    def _settled(self, awake: list[Listed], frame: int, now_ms: int) -> Iterator[Record]:
        """Rows of settlements: every contract once an hour of event time, some of them twice."""
        due = frame % FRAMES_AN_HOUR
        at_ms = now_ms - now_ms % HOUR_MS
        rows: list[Piece] = []
        for index, contract in enumerate(awake):
            if index % FRAMES_AN_HOUR == due or self._rng.random() < 0.001:
                row = settled_row(contract.symbol, at_ms, contract.rate_at(frame))
                rows.append((contract.symbol, row))
        if rows:
            yield Record("history", "fundingRate", rows)

    def _backfilled(self, awake: list[Listed], frame: int) -> Iterator[Record]:
        """Now and then a contract's older history comes in, between markers, over 2.5 s."""
        rng = self._rng
        if frame % 20 == 0:
            symbol = self._backfills[frame + 25] = rng.choice(awake).symbol
            yield Record("history", BACKFILL_BEGIN, [(symbol, b"")])
        for symbol in self._backfills.values():
            at_ms = self._start_ms - rng.randrange(24, 600) * HOUR_MS
            row = settled_row(symbol, at_ms - at_ms % HOUR_MS, rng.randrange(-2_000, 8_000))
            yield Record("history", "fundingRate", [(symbol, row)])
        if ended := self._backfills.pop(frame, None):
            yield Record("history", BACKFILL_END, [(ended, b"")])


def first_event_ms(now_ms: int) -> int:
    """The time within the next hour that is FIRST_HOUR_MS before a full hour. Pure."""
    return now_ms + (-FIRST_HOUR_MS - now_ms) % HOUR_MS


class Load:
    """Writes the market's records in real time, from a thread of its own."""

    def __init__(self, settings: SharedSettings, seed: int) -> None:
        topic = raw_topic_spec(FEED)
        self._topic = topic.name
        self._encode = SchemaCatalog(settings).encoder(topic).encode
        self._producer: Any = Producer(
            {**settings.librdkafka(), "enable.idempotence": True, "compression.type": "lz4"}
        )
        self.market = Market(seed, first_event_ms(now_us() // US_PER_MS))
        self._sequences: Counter[tuple[str, int]] = Counter()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")
        self.newest_us = [0] * PARTITIONS
        self.rows = self.records = self.frames = 0
        self.failed: Exception | None = None

    def start(self) -> None:
        """Begin with the prelude, then frame after frame."""
        self._thread.start()

    def stop(self) -> None:
        """End the load; everything is on the broker afterwards."""
        self._stopped.set()
        self._thread.join()
        if self.failed is not None:
            raise self.failed
        # Past the end of the minute: what is owed by then is published because of the log, not of
        # the wall clock, so that the end is the same in every run.
        received_us = now_us() + 2 * US_PER_MINUTE
        for partition in range(PARTITIONS):
            item: RawItem = {"symbol": None, "payload": b"{}", "received_at": received_us}
            self._produce(Record("stream", "control", []), partition, [item], received_us)
        assert self._producer.flush(READ_TIMEOUT_S) == 0

    def _run(self) -> None:
        try:
            for record in self.market.prelude():
                self._publish(record)
            next_s = time.monotonic()
            while not self._stopped.wait(max(0.0, next_s - time.monotonic())):
                next_s += FRAME_S
                for record in self.market.frame(self.frames):
                    self._publish(record)
                if self.frames % 70 == 0:
                    self._producer.produce(self._topic, b"\0not Avro", partition=self.frames % 8)
                self.frames += 1
        except Exception as error:  # noqa: BLE001 - told by stop(), in the test's own thread
            self.failed = error

    def _publish(self, record: Record) -> None:
        received_us = now_us()
        items: defaultdict[int, list[RawItem]] = defaultdict(list)
        for symbol, payload in record.pieces:
            partition = 0 if symbol is None else partition_of(contract_id(FEED, symbol))
            items[partition].append(
                {"symbol": symbol, "payload": payload, "received_at": received_us}
            )
        for partition, of_partition in items.items():
            self._produce(record, partition, of_partition, received_us)
            if record.purpose == "stream" and record.channel == MARK_PRICE_ARRAY:
                self.newest_us[partition] = received_us
        self._producer.poll(0)

    def _produce(
        self, record: Record, partition: int, items: list[RawItem], received_us: int
    ) -> None:
        connection = f"{FEED}/{record.purpose}"
        batch: RawBatch = {
            "feed": FEED,
            "transport": "ws" if record.purpose == "stream" else "rest",
            "purpose": record.purpose,
            "channel": record.channel,
            "connection_id": connection,
            "sequence": self._sequences[connection, partition],
            "received_at": received_us,
            "items": items,
        }
        self._sequences[connection, partition] += 1
        self._producer.produce(self._topic, self._encode(batch), partition=partition)
        self.rows += len(items)
        self.records += 1


def consumer_of(settings: SharedSettings) -> Any:
    """A consumer for explicit partitions."""
    config = {"group.id": "kills", "enable.auto.commit": False}
    return Consumer({**settings.librdkafka(), **config})


def values(settings: SharedSettings, name: str) -> Iterator[bytes]:
    """All values of a topic, in the order of each partition; it must not have lost any yet."""
    consumer = consumer_of(settings)
    try:
        partitions = [TopicPartition(name, p, OFFSET_BEGINNING) for p in range(PARTITIONS)]
        ends = [consumer.get_watermark_offsets(p, timeout=READ_TIMEOUT_S) for p in partitions]
        assert all(low == 0 for low, _high in ends)
        left = sum(high for _low, high in ends)
        consumer.assign(partitions)
        while left > 0:
            messages = consumer.consume(min(left, 10_000), READ_TIMEOUT_S)
            assert messages, f"{left} records of {name} do not come"
            left -= len(messages)
            yield from (message.value() for message in messages)
    finally:
        consumer.close()


def store(client: Any, table: TableSpec, target: str, bodies: Iterable[bytes]) -> int:
    """Store a topic's values, each as it is, in a table of `table`'s columns; return how many."""
    client.command(f"CREATE TABLE {target} AS {table.full_name} ENGINE = Memory")
    header = container_header(table.record_type.text)
    rows = [value[HEADER_BYTES:] for value in bodies]
    for low in range(0, len(rows), 20_000):
        client.raw_insert(
            target,
            column_names=list(table.record_type.fields),
            insert_block=container(header, rows[low : low + 20_000]),
            fmt="Avro",
        )
    return len(rows)


@dataclass(frozen=True)
class Differences:
    """Rows that two tables do not share, by the key of the table."""

    missing: int
    extra: int
    changed: int
    examples: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Keys that differ."""
        return self.missing + self.extra + self.changed


def classify(rows: Sequence[tuple[int, tuple[Any, ...], tuple[Any, ...]]]) -> Differences:
    """Sort unbalanced rows (balance, key, values): > 0 only here, < 0 only in the other. Pure."""
    sides: defaultdict[tuple[Any, ...], set[int]] = defaultdict(set)
    for balance, key, _values in rows:
        sides[key].add(1 if balance > 0 else -1)
    found = Counter(frozenset(signs) for signs in sides.values())
    shown = sorted(rows, key=lambda row: (str(row[1]), -row[0]))[:6]
    examples = tuple(f"{balance:+d} {key} {rest}" for balance, key, rest in shown)
    return Differences(
        found[frozenset({-1})], found[frozenset({1})], found[frozenset({-1, 1})], examples
    )


def differences(
    client: Any, table: TableSpec, ours: str, other: str, volatile: Iterable[str]
) -> Differences:
    """Compare the distinct rows of two tables like `table`, every column but the volatile."""
    listed = ", ".join(name for name in table.record_type.fields if name not in set(volatile))
    (sorting,) = client.query(
        "SELECT sorting_key FROM system.tables WHERE database = 'funding' AND name = {name:String}",
        parameters={"name": table.name},
    ).result_rows
    found = client.query(
        f"SELECT toInt64(sum(side)) AS balance, tuple({sorting[0]}) AS key, tuple({listed}) AS row "
        f"FROM (SELECT DISTINCT {listed}, 1 AS side FROM {ours} "
        f"UNION ALL SELECT DISTINCT {listed}, -1 AS side FROM {other}) "
        f"GROUP BY {listed} HAVING balance != 0 LIMIT {MAX_DIFFERENCES}"
    ).result_rows
    return classify(found)
