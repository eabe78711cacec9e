"""Logs of one feed's partitions: mostly plain frames of all contracts, mixed with all that is not.

Each seed is one log. Rates move so that z crosses its thresholds and signs flip. The hour changes
within the log, and in half of the logs a funding time passes with it. Between the frames there are
repeated, late, skewed, halted, mistyped and unlisted rows, silence, settlements, facts, snapshots,
markers and ticks.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from schemas.control_items import BACKFILL_BEGIN, BACKFILL_END, TICK
from schemas.records import RawBatch, RawItem
from schemas.times import US_PER_HOUR
from stream_app.core.partition import FeedPartition

S = 1_000_000
HOUR_US = 1_791_273_600_000_000
INTERVAL_HOURS = 8
CHANNELS = {
    "stream": ("stream", "!markPrice@arr@1s", "ws"),
    "tick": ("stream", TICK, "ws"),
    "history": ("history", "fundingRate", "rest"),
    "facts": ("contract", "fundingInfo", "rest"),
    "status": ("contract", "exchangeInfo", "rest"),
    "fallback": ("fallback", "premiumIndex", "rest"),
    "reconcile": ("reconcile", "premiumIndex", "rest"),
    "begin": ("history", BACKFILL_BEGIN, "rest"),
    "end": ("history", BACKFILL_END, "rest"),
}


class Placed(NamedTuple):
    """A raw record, its partition and its offset there."""

    partition: int
    offset: int
    raw: RawBatch


class Market:
    """The contracts of two partitions, as one exchange brings them."""

    def __init__(self, seed: int, contracts: int) -> None:
        self.chance = random.Random(seed)
        self.symbols = [
            [f"P{part}C{number:02d}USDT" for number in range(contracts)] for part in range(2)
        ]
        before = self.chance.choice([1, INTERVAL_HOURS]) * US_PER_HOUR
        self.now = HOUR_US + before - self.chance.choice([4, 8, 15, 30, 60, 120]) * S
        self.rates = {s: self._start() for part in self.symbols for s in part}
        self.offsets = [self.chance.randrange(1_000) for _ in self.symbols]
        self.log: list[Placed] = []
        self.coming = HOUR_US + INTERVAL_HOURS * US_PER_HOUR

    def _start(self) -> float:
        return self.chance.choice([0.0001, 0.00012, 0.00013, -0.0001, 0.0, 5e-6])

    def make(self, seconds: int) -> list[Placed]:
        """The log of a start and some seconds after it."""
        for part in range(2):
            self._listing(part)
            self._old_settlements(part)
        for _ in range(seconds):
            self.now += S
            # An exchange may name a funding time for some seconds after it has passed.
            if self.now >= self.coming and self.chance.random() < 0.7:
                hours = self.chance.choice([*[INTERVAL_HOURS] * 5, 4])
                self.coming += hours * US_PER_HOUR
            for part in range(2):
                self._frame(part)
                if self.chance.random() < 0.3:
                    self.chance.choice(self._oddities())(part)
        return self.log

    def _oddities(self) -> list[Callable[[int], None]]:
        return [
            *(self._repeat, self._late, self._skew, self._broken, self._silence),
            *(self._settle, self._facts, self._snapshot, self._marks, self._tick, self._status),
            *(self._single, self._single, self._several),
        ]

    def _add(
        self, part: int, kind: str, rows: Sequence[tuple[str | None, bytes]], at: int | None = None
    ) -> None:
        purpose, channel, transport = CHANNELS[kind]
        received_at = self.now if at is None else at
        items: list[RawItem] = [
            {"symbol": symbol, "payload": payload, "received_at": received_at}
            for symbol, payload in rows
        ]
        raw: Any = {
            "feed": "binance-usdm",
            "transport": transport,
            "purpose": purpose,
            "channel": channel,
            "connection_id": self.chance.choice("ab"),
            "sequence": 0,
            "received_at": received_at,
            "items": items,
        }
        self.log.append(Placed(part, self.offsets[part], raw))
        self.offsets[part] += 1

    def _row(self, symbol: str, at: int, **other: Any) -> tuple[str, bytes]:
        row: dict[str, Any] = {
            "e": "markPriceUpdate",
            "E": at // 1_000,
            "s": symbol,
            "p": f"{7.5 + at % 97 / 10}",
            "i": "7.25",
            "r": repr(self.rates[symbol]),
            "T": self.coming // 1_000,
            "st": 1,
        } | other
        return symbol, json.dumps({k: v for k, v in row.items() if v is not None}).encode()

    def _frame(self, part: int) -> None:
        """A frame of nearly all contracts, whose rates moved in one case of three."""
        chance = self.chance
        rows = []
        for symbol in self.symbols[part]:
            if chance.random() < 0.3:
                step = chance.choice([1e-6, -1e-6, 2e-5, -2e-5, 1e-4, -1e-4])
                self.rates[symbol] = round(self.rates[symbol] + step, 8)
            if chance.random() < 0.97:
                rows.append(self._row(symbol, self.now - chance.choice([0, 0, 0, 100_000])))
        if rows:
            self._add(part, "stream", rows, self.now + chance.randrange(1_000, 300_000))

    def _repeat(self, part: int) -> None:
        frames = [p for p in self.log[-8:] if p.partition == part]
        if frames:
            raw = self.chance.choice(frames).raw
            self.log.append(Placed(part, self.offsets[part], raw))
            self.offsets[part] += 1

    def _late(self, part: int) -> None:
        at = self.now - self.chance.choice([S // 2, 3 * S, 15 * S])
        rows = [self._row(s, at, r=repr(self.rates[s] * 1.5)) for s in self._some(part)]
        self._add(part, "stream", rows)

    def _skew(self, part: int) -> None:
        at = self.now + self.chance.choice([4 * S, 7 * S, 30 * S, 700 * S])
        self._add(part, "stream", [self._row(s, at) for s in self._some(part)])

    def _broken(self, part: int) -> None:
        other: dict[str, Any] = self.chance.choice(
            [
                *({"r": ""}, {"r": "nan"}, {"r": "0.5"}, {"r": " 1"}, {"r": "1_0"}, {"r": 0.0001}),
                *({"p": ""}, {"p": "0"}, {"i": None}, {"i": "x"}, {"T": 0}, {"T": 5}, {"T": None}),
                *({"e": "other"}, {"st": 2}, {"st": None}, {"E": "1"}, {"s": "OTHERUSDT"}),
            ]
        )
        rows = [self._row(s, self.now, **other) for s in self._some(part)]
        if self.chance.random() < 0.3:
            rows.append((self.symbols[part][0], b'{"e":'))
        if self.chance.random() < 0.3:
            self.rates["NEWUSDT"] = 0.0001
            rows.append(self._row("NEWUSDT", self.now))
        self._add(part, "stream", rows)

    def _silence(self, _part: int) -> None:
        self.now += self.chance.choice([2, 3, 8, 14, 40, 130]) * S

    def _settle(self, part: int) -> None:
        rows = [
            _settlement(s, self.chance.randrange(-3, 1) * 8, self.rates[s])
            for s in self._some(part)
        ]
        self._add(part, "history", rows)

    def _facts(self, part: int) -> None:
        hours = self.chance.choice([8, 8, 4, 1])
        cap = self.chance.choice(["0.03", "0.0002"])
        rows: list[tuple[str | None, bytes]] = [
            (s, json.dumps({"symbol": s, "fundingIntervalHours": hours,
                            "adjustedFundingRateCap": cap}).encode())
            for s in self._some(part)
        ]  # fmt: skip
        self._add(part, "facts", rows)

    def _snapshot(self, part: int) -> None:
        at = self.now - self.chance.choice([0, 2 * S, 20 * S])
        rows: list[tuple[str | None, bytes]] = [
            (s, json.dumps({
                "symbol": s, "markPrice": "7.5", "indexPrice": "7.25",
                "lastFundingRate": repr(self.rates[s]), "nextFundingTime": self.coming // 1_000,
                "time": at // 1_000,
            }).encode())
            for s in self._some(part)
        ]  # fmt: skip
        self._add(part, self.chance.choice(["fallback", "reconcile"]), rows)

    def _marks(self, part: int) -> None:
        rows: list[tuple[str | None, bytes]] = [(s, b"") for s in self._some(part)]
        self._add(part, self.chance.choice(["begin", "end", "end"]), rows)

    def _tick(self, part: int) -> None:
        self._add(part, "tick", [(None, b"")])

    def _status(self, part: int) -> None:
        status = self.chance.choice(["TRADING", "TRADING", "SETTLING", "CLOSE"])
        self._add(part, "status", [_listed(s, status) for s in self._some(part)])

    def _single(self, part: int) -> None:
        self.now += self.chance.choice([0, 250_000])
        symbol = self.chance.choice(self.symbols[part])
        self.rates[symbol] = round(self.rates[symbol] * self.chance.choice([1, -1, 1.2]), 8)
        self._add(part, "stream", [self._row(symbol, self.now)])

    def _several(self, part: int) -> None:
        """A record in which a contract has several rows, in and out of order."""
        symbol = self.chance.choice(self.symbols[part])
        ahead = self.chance.choice([[0, 1, 2], [0, 0, 1], [2, 0, 1], [1, 1, 1]])
        self._add(part, "stream", [self._row(symbol, self.now + n * 1_000) for n in ahead])

    def _some(self, part: int) -> list[str]:
        symbols = self.symbols[part]
        return self.chance.sample(symbols, self.chance.randint(1, min(3, len(symbols))))

    def _listing(self, part: int) -> None:
        self._add(part, "status", [_listed(s, "TRADING") for s in self.symbols[part]])
        if self.chance.random() < 0.8:
            rows: list[tuple[str | None, bytes]] = [
                (s, json.dumps({"symbol": s, "fundingIntervalHours": 8}).encode())
                for s in self.symbols[part]
            ]
            self._add(part, "facts", rows)

    def _old_settlements(self, part: int) -> None:
        for symbol in self.symbols[part]:
            count = self.chance.choice([0, 9, 12, 30])
            flat = self.chance.random() < 0.2
            rows = [
                _settlement(symbol, -age * 8, 0.0001 + (0 if flat else age % 3 * 1e-5))
                for age in range(count, -1, -1)
            ]
            self._add(part, "history", rows)


def _listed(symbol: str, status: str) -> tuple[str | None, bytes]:
    return symbol, json.dumps({"symbol": symbol, "status": status}).encode()


def _settlement(symbol: str, hours: int, rate: float) -> tuple[str | None, bytes]:
    at = HOUR_US + hours * US_PER_HOUR
    row = {"symbol": symbol, "fundingTime": at // 1_000, "fundingRate": repr(rate)}
    return symbol, json.dumps(row).encode()


def published(partition: FeedPartition) -> dict[tuple[str, str], list[Any]]:
    """What a partition publishes, by topic and key, in the order of each; dead letters as well."""
    taken = partition.take_outputs()
    found: dict[tuple[str, str], list[Any]] = {}
    for output in taken.records():
        found.setdefault((output.topic.name, output.key), []).append(output.record)
    for letter in taken.dead_letters:
        found.setdefault(("dead_letters", letter.key or ""), []).append(letter)
    return found
