"""Logs of one partition in which settled history is loaded while rates stream.

Each seed is one log. Pages are of one contract or of all, in any order, and overlap; rows are
missing, repeated, changed, special, odd or not of this contract. Lists say intervals at any time,
the stream states some, shows settlements before the history has them, and tickers are used anew.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from schemas.control_items import BACKFILL_BEGIN, BACKFILL_END, TICK
from schemas.records import RawBatch, RawItem
from schemas.times import US_PER_DAY, US_PER_HOUR

S = 1_000_000
START_US = 1_797_811_200_000_000
"""A full hour, and a multiple of eight."""
Row = tuple[str | None, bytes]


class Dialect(NamedTuple):
    """What an exchange's messages look like. Times are µs."""

    feed: str
    suffix: str
    history: str
    """The channel."""
    settled: Callable[[str, int, Any], dict[str, Any]]
    """A row of the history: symbol, stamp, rate."""
    streamed: Callable[[str, int, float, int], tuple[str, Any]]
    """Channel and row of an estimate: symbol, event time, rate, hours."""
    listed: Callable[[str, str, float | None], list[tuple[str, Any]]]
    """Channels and rows of the list: symbol, status, hours; None: it does not say."""
    announced: Callable[[str, int, float], tuple[str, Any]] | None = None
    """Channel and row of a settlement in the stream: symbol, time, rate."""


def _coming(at: int, hours: float) -> int:
    step = int(hours * US_PER_HOUR)
    return (at // step + 1) * step


def _binance_rows(status_field: str) -> Callable[[str, str, float | None], list[tuple[str, Any]]]:
    def listed(symbol: str, status: str, hours: float | None) -> list[tuple[str, Any]]:
        rows: list[tuple[str, Any]] = [("exchangeInfo", {"symbol": symbol, status_field: status})]
        if hours is not None:
            rows.append(("fundingInfo", {"symbol": symbol, "fundingIntervalHours": hours}))
        return rows

    return listed


PER_CONTRACT = Dialect(
    "binance-coinm",
    "USD_PERP",
    "fundingRate",
    lambda s, at, rate: {"symbol": s, "fundingTime": at // 1_000, "fundingRate": rate},
    lambda s, at, rate, hours: (
        "markPrice",
        {"e": "markPriceUpdate", "E": at // 1_000, "s": s, "p": "7.5", "i": "7.25", "st": 2,
         "r": repr(rate), "T": _coming(at, hours) // 1_000},
    ),
    _binance_rows("contractStatus"),
)  # fmt: skip
TOGETHER = PER_CONTRACT._replace(
    feed="binance-usdm",
    suffix="USDT",
    streamed=lambda s, at, rate, hours: (
        "!markPrice@arr@1s",
        PER_CONTRACT.streamed(s, at, rate, hours)[1] | {"st": 1},
    ),
    listed=_binance_rows("status"),
)
ANNOUNCING = Dialect(
    "kucoin",
    "USDTM",
    "funding-rates",
    lambda s, at, rate: {"symbol": s, "timepoint": at // 1_000, "fundingRate": rate},
    lambda s, at, rate, hours: (
        "funding-fee",
        {"T": "funding-fee.futures", "P": at * 1_000,
         "d": {"s": s, "fr": repr(rate), "nt": _coming(at, hours) // 1_000,
               "gl": int(hours * 3_600_000)}},
    ),
    lambda s, status, hours: [
        ("contracts/active", {
            "symbol": s, "status": "Open" if status == "TRADING" else "Closed",
            "currentFundingRateGranularity": hours and int(hours * 3_600_000),
        }),
    ],
    lambda s, at, rate: (
        "announcement:funding.end",
        {"subject": "funding.end",
         "data": {"symbol": s, "fundingTime": at // 1_000, "fundingRate": rate}},
    ),
)  # fmt: skip
STATING = Dialect(
    "hyperliquid",
    "",
    "fundingHistory",
    lambda s, at, rate: {"coin": s, "time": at // 1_000, "fundingRate": rate},
    lambda s, _at, rate, _hours: (
        "activeAssetCtx",
        {"channel": "activeAssetCtx",
         "data": {"coin": s, "ctx": {"funding": repr(rate), "premium": "0", "midPx": "7.5",
                                     "markPx": "7.5", "oraclePx": "7.25"}}},
    ),
    lambda s, status, _hours: [("meta", {"name": s, "isDelisted": status != "TRADING"})],
)  # fmt: skip
DIALECTS = (PER_CONTRACT, TOGETHER, ANNOUNCING, STATING)


class History:
    """The contracts of one partition, and the log that brings their history."""

    def __init__(self, seed: int, dialect: Dialect) -> None:
        self.chance = random.Random(seed)
        self.dialect = dialect
        count = self.chance.randint(1, 4)
        self.symbols = [f"H{number}{dialect.suffix}" for number in range(count)]
        hours = [1.0] if dialect is STATING else [1.0, 2.0, 4.0, 8.0]
        self.hours = {s: self.chance.choice(hours) for s in self.symbols}
        self.now = START_US + self.chance.choice([-600, -3, 20, 1_800]) * S
        self.settled = {s: self._history(s) for s in self.symbols}
        self.log: list[RawBatch] = []

    def _history(self, symbol: str) -> list[tuple[int, float]]:
        """Stamps and rates of some days, with holes and changes of the interval."""
        chance = self.chance
        at = START_US - chance.choice([1, 4, 12, 36]) * US_PER_DAY
        hours, rows = self.hours[symbol], []
        holes = chance.random() < 0.4
        while at < START_US + 2 * US_PER_HOUR:
            late = chance.choice([0, 0, 3_000, 70_000, -2_000])
            rate = round(chance.gauss(1e-4, 4e-5), 8)
            if not (holes and chance.random() < 0.05):
                rows.append((at + late, rate))
            if chance.random() < 0.01:
                hours = chance.choice([1.0, 4.0, 8.0])
            at += int(hours * US_PER_HOUR)
        return rows

    def make(self) -> list[RawBatch]:
        """The log."""
        chance = self.chance
        for symbol in self.symbols:
            known = chance.random() < 0.7
            self._list(symbol, "TRADING", self.hours[symbol] if known else None)
        self._seconds(chance.choice([0, 6]))
        if chance.random() < 0.5:
            self._add("history", BACKFILL_BEGIN, [(s, b"") for s in self.symbols])
        for symbol in self.symbols:
            if chance.random() < 0.5:
                self._announce(symbol, chance.choice([-2, -1, 0]))
        pages = self._bulk() if chance.random() < 0.4 else self._single()
        for page in pages:
            self.now += chance.choice([0, S // 5, S, 6 * S])
            self._seconds(chance.choice([0, 0, 3]))
            for _ in range(chance.choice([0, 0, 1, 2])):
                self._between()
            self._add("history", self.dialect.history, page)
            if chance.random() < 0.1:
                self._add("history", self.dialect.history, page)
        self._add("history", BACKFILL_END, [(s, b"") for s in self.symbols])
        for _ in range(3):
            self.now += 6 * S
            self._stream()
        self._add("stream", TICK, [(None, b"")])
        return self.log

    def _seconds(self, count: int) -> None:
        """Some seconds of the stream."""
        for _ in range(count):
            self.now += S
            self._stream()

    def _single(self) -> list[list[Row]]:
        """Pages of one contract each, oldest first in most cases."""
        pages = []
        for symbol in self.symbols:
            rows = self.settled[symbol]
            size = self.chance.choice([4, 15, 90, 500])
            cuts = list(range(0, len(rows), size))
            if self.chance.random() < 0.15:
                self.chance.shuffle(cuts)
            overlap = self.chance.choice([0, 0, 2])
            pages += [
                self._page([(symbol, row) for row in rows[max(0, cut - overlap) : cut + size]])
                for cut in cuts
            ]
        if self.chance.random() < 0.3:
            self.chance.shuffle(pages)
        return pages

    def _bulk(self) -> list[list[Row]]:
        """Pages of all contracts in the order of time."""
        rows = [(symbol, row) for symbol in self.symbols for row in self.settled[symbol]]
        rows.sort(key=lambda each: each[1][0])
        size = self.chance.choice([3, 20, 118])
        return [self._page(rows[cut : cut + size]) for cut in range(0, len(rows), size)]

    def _page(self, rows: Sequence[tuple[str, tuple[int, float]]]) -> list[Row]:
        odd_share = self.chance.choice([0.0, 0.0, 0.01, 0.1])
        found: list[Row] = []
        for symbol, (at, rate) in rows:
            row = self.dialect.settled(symbol, at, self._written(rate))
            if self.chance.random() < odd_share:
                row = self._odd(row)
            payload = json.dumps(row).encode()
            found.append((self._other(symbol) if self.chance.random() < 0.003 else symbol, payload))
        return found

    def _written(self, rate: float) -> Any:
        """As text, or as a number."""
        return rate if self.dialect is ANNOUNCING else f"{rate:.8f}"

    def _other(self, symbol: str) -> str:
        return self.chance.choice([*self.symbols, "UNLISTED" + self.dialect.suffix, symbol])

    def _odd(self, row: dict[str, Any]) -> dict[str, Any]:
        time = next(name for name in row if "ime" in name)
        changes: list[dict[str, Any]] = [
            {"fundingRate": ""},
            {"fundingRate": None},
            {"fundingRate": " 0.0001"},
            {"fundingRate": "1_0"},
            {"fundingRate": "inf"},
            {"fundingRate": 0.0002},
            {"fundingRate": "0.0002"},
            {"fundingRate": -0.0},
            {"fundingRate": 0.7},
            {"fundingRate": True},
            {time: row[time] * 1_000},
            {time: row[time] + 40 * 24 * 3_600_000},
            {time: row[time] + 1_800_000},
            {time: str(row[time])},
            {time: 5},
        ]
        if self.dialect in (PER_CONTRACT, TOGETHER):
            changes += [
                {"rateType": "Regular"},
                {"rateType": "Dividend"},
                {"rateType": None},
                {"rateType": 7},
            ]
        return row | self.chance.choice(changes)

    def _between(self) -> None:
        chance = self.chance
        symbol = chance.choice(self.symbols)
        kind = chance.choice(["stream", "stream", "stream", "list", "announce", "tick", "mark"])
        if kind == "stream":
            self._stream()
        elif kind == "list":
            status = chance.choice(["TRADING", "TRADING", "CLOSE"])
            self._list(symbol, status, chance.choice([self.hours[symbol], None, 8.0, 1.0]))
        elif kind == "announce":
            self._announce(symbol, chance.randint(-30, 0))
        elif kind == "tick":
            self._add("stream", TICK, [(None, b"")])
        else:
            marker = chance.choice([BACKFILL_BEGIN, BACKFILL_END])
            self._add("history", marker, [(symbol, b"")])
        if chance.random() < 0.03:
            self.now += chance.choice([1_800, 3_600, 3 * 86_400]) * S

    def _stream(self) -> None:
        at = self.now - self.chance.choice([0, 50_000])
        rows, channel = [], ""
        for symbol in self.symbols:
            hours = self.hours[symbol]
            rate = round(self.chance.gauss(1e-4, 4e-5), 8)
            channel, row = self.dialect.streamed(symbol, at, rate, int(hours))
            rows.append((symbol, json.dumps(row).encode()))
        self._add("stream", channel, rows)

    def _announce(self, symbol: str, steps: int) -> None:
        if self.dialect.announced is None:
            return
        at = _coming(self.now, self.hours[symbol]) + (steps - 1) * int(
            self.hours[symbol] * US_PER_HOUR
        )
        known = {raw // S: rate for raw, rate in self.settled[symbol]}
        rate = known.get(at // S, 0.00015)
        channel, row = self.dialect.announced(symbol, at, rate)
        self._add("stream", channel, [(symbol, json.dumps(row).encode())])

    def _list(self, symbol: str, status: str, hours: float | None) -> None:
        for channel, row in self.dialect.listed(symbol, status, hours):
            self._add("contract", channel, [(symbol, json.dumps(row).encode())])

    def _add(self, purpose: Any, channel: str, rows: Sequence[Row]) -> None:
        items: list[RawItem] = [
            {"symbol": symbol, "payload": payload, "received_at": self.now}
            for symbol, payload in rows
        ]
        self.log.append(
            {
                "feed": self.dialect.feed,
                "transport": "ws" if purpose == "stream" else "rest",
                "purpose": purpose,
                "channel": channel,
                "connection_id": "c",
                "sequence": 0,
                "received_at": self.now,
                "items": items,
            }
        )
