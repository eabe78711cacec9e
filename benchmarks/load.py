"""The input of the worker's benchmarks: contracts by partition, their history, their updates.

Rows are those of the first feed whose simulator can write them (`Simulated.rows`). With each
update a contract's rate changes in one case of three. Nine in ten contracts (or what a benchmark
asks for) stay within ±1.5 standard deviations of their settlements, the others beyond ±2.5. The
same seed gives the same rates.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Iterator, Sequence
from copy import copy
from itertools import count

from infra.simulator.registry import SIMULATED
from schemas.control_items import BACKFILL_BEGIN, BACKFILL_END
from schemas.partitioning import PARTITIONS, contract_id, partition_of
from schemas.records import Purpose, RawBatch
from schemas.times import US_PER_HOUR, US_PER_MS, hour_floor

FEED, ROWS = next((feed, one.rows) for feed, one in SIMULATED.items() if one.rows)
QUOTE = "USDT"
SETTLEMENTS_EACH = 100
INTERVAL_HOURS = 8
INTERVAL_US = INTERVAL_HOURS * US_PER_HOUR
WINDOW_SETTLEMENTS = 90
"""How many of SETTLEMENTS_EACH lie within 30 days and make the baseline."""
HISTORY_ITEMS = 500
_CHANGED_SHARE = 1 / 3
HIGH_SHARE = 0.1
_STEP = 0.01
"""Standard deviation of one rate change, as a multiple of that of the settlements."""


class Instrument:
    """One contract: its settlements, and the rate that moves with each update."""

    def __init__(self, symbol: str, chance: random.Random, high_share: float = HIGH_SHARE) -> None:
        """`high_share`: the probability that its z lies beyond 2 all the time."""
        self.symbol = symbol
        self.contract_id = contract_id(FEED, symbol)
        centre = chance.uniform(5e-5, 1e-4)
        self.settled = [
            round(chance.gauss(centre, 4e-5), 8) or 1e-8 for _ in range(SETTLEMENTS_EACH)
        ]
        baseline = self.settled[-WINDOW_SETTLEMENTS:]
        self.mean, self.std = statistics.fmean(baseline), statistics.stdev(baseline)
        high = chance.random() < high_share
        self._low, self._high = (2.5, 3.5) if high else (-1.5, 1.5)
        self._z = chance.uniform(self._low, self._high)
        self._price = chance.uniform(0.1, 90_000.0)
        self._chance = chance

    def named(self, symbol: str) -> Instrument:
        """Return another contract with the same settlements, whose rate moves by itself."""
        found = copy(self)
        found.symbol, found.contract_id = symbol, contract_id(FEED, symbol)
        return found

    def row(self, event_ms: int, next_ms: int) -> bytes:
        """Return the next update as the exchange sends it."""
        if self._chance.random() < _CHANGED_SHARE:
            moved = self._z + self._chance.gauss(0.0, _STEP)
            self._z = min(self._high, max(self._low, moved))
        rate = self.mean + self._z * self.std
        price = self._price + (event_ms % 7_919) * 1e-5
        return ROWS.update(self.symbol, event_ms, next_ms, rate, price)


def market(
    each: int, seed: int = 1, high_share: float = HIGH_SHARE, distinct: int = sys.maxsize
) -> list[list[Instrument]]:
    """Return `each` contracts for every partition, each in the one that its id belongs to.

    Only the first `distinct` have settlements of their own, which take long to draw.
    """
    chance = random.Random(seed)
    found: list[list[Instrument]] = [[] for _ in range(PARTITIONS)]
    drawn: list[Instrument] = []
    for number in count():
        symbol = f"B{number:05d}{QUOTE}"
        home = found[partition_of(contract_id(FEED, symbol))]
        if len(home) < each:
            if len(drawn) < distinct:
                drawn.append(Instrument(symbol, chance, high_share))
                home.append(drawn[-1])
            else:
                home.append(drawn[number % distinct].named(symbol))
            if all(len(instruments) == each for instruments in found):
                break
    return found


def next_settlement_ms(event_ms: int) -> int:
    """Return the next multiple of the interval."""
    interval_ms = INTERVAL_US // US_PER_MS
    return (event_ms // interval_ms + 1) * interval_ms


def update_batch(instruments: Sequence[Instrument], event_ms: int, received_at: int) -> RawBatch:
    """Return one raw record with the next update of each instrument."""
    next_ms = next_settlement_ms(event_ms)
    rows = [(each.symbol, each.row(event_ms, next_ms)) for each in instruments]
    return _batch("stream", ROWS.stream, rows, received_at)


def history_batches(instruments: Sequence[Instrument], received_at: int) -> Iterator[RawBatch]:
    """Return the raw records of one partition's backfill, from its begin to its end marker."""
    marks = [(each.symbol, b"") for each in instruments]
    yield _batch("history", BACKFILL_BEGIN, marks, received_at)
    newest_ms = (hour_floor(received_at) // INTERVAL_US * INTERVAL_US) // US_PER_MS
    rows = [
        (each.symbol, _settlement(each, newest_ms, index))
        for each in instruments
        for index in range(SETTLEMENTS_EACH)
    ]
    for start in range(0, len(rows), HISTORY_ITEMS):
        chunk = rows[start : start + HISTORY_ITEMS]
        yield _batch("history", ROWS.history, chunk, received_at)
    yield _batch("history", BACKFILL_END, marks, received_at)


def facts_batches(instruments: Sequence[Instrument], received_at: int) -> Iterator[RawBatch]:
    """Return the raw records of one partition's contract facts: one channel after the other."""
    facts = [(each.symbol, ROWS.facts(each.symbol, QUOTE, INTERVAL_HOURS)) for each in instruments]
    for channel in facts[0][1]:
        rows = [(symbol, of_symbol[channel]) for symbol, of_symbol in facts]
        yield _batch("contract", channel, rows, received_at)


def _settlement(instrument: Instrument, newest_ms: int, index: int) -> bytes:
    time_ms = newest_ms - (SETTLEMENTS_EACH - 1 - index) * (INTERVAL_US // US_PER_MS)
    return ROWS.settlement(instrument.symbol, time_ms, instrument.settled[index])


def _batch(
    purpose: Purpose, channel: str, rows: Sequence[tuple[str, bytes]], received_at: int
) -> RawBatch:
    return {
        "feed": FEED,
        "transport": "ws" if purpose == "stream" else "rest",
        "purpose": purpose,
        "channel": channel,
        "connection_id": f"bench-{purpose}",
        "sequence": 0,
        "received_at": received_at,
        "items": [
            {"symbol": symbol, "payload": payload, "received_at": received_at}
            for symbol, payload in rows
        ],
    }
