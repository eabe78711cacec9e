"""Messages of each venue for tests of the core, read by the real normalisers.

Every feed has one contract, whose messages are sent by the same calls: what the list says, an
estimate of the stream, a row of the history. Payloads have the exchanges' own forms.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.records import Purpose, RawBatch, Transport
from schemas.times import US_PER_HOUR
from stream_app.core.output.outputs import Output
from stream_app.core.partition import FeedPartition
from stream_app.core.scoring.settlement import Settled
from stream_app.normalise import normaliser
from tests.support.partitions import of

DAY = datetime(2027, 3, 10, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
S = 1_000_000


def us(clock: str, day: int = 0) -> int:
    """A time of day (hh:mm or hh:mm:ss), so many days after DAY, in µs."""
    hours, minutes, *seconds = map(int, clock.split(":"))
    at = DAY + timedelta(days=day, hours=hours, minutes=minutes, seconds=sum(seconds))
    return (at - _EPOCH) // timedelta(microseconds=1)


class Feed:
    """One partition of a feed; messages are applied in the order of the calls."""

    def __init__(self, feed: str) -> None:
        self.partition = FeedPartition(feed, 0, normaliser(feed))
        self.feed, self.offset = feed, 0
        self.outputs: list[Output] = []
        self.letters: list[str] = []

    def send(
        self, purpose: Purpose, channel: str, rows: Iterable[tuple[str, Any]], at: int
    ) -> None:
        """Apply a raw record of (symbol, payload) items, received at a time (µs)."""
        transport: Transport = "ws" if purpose == "stream" else "rest"
        record: RawBatch = {
            "feed": self.feed,
            "transport": transport,
            "purpose": purpose,
            "channel": channel,
            "connection_id": "c1",
            "sequence": self.offset,
            "received_at": at,
            "items": [
                {"symbol": s, "payload": json.dumps(payload).encode(), "received_at": at}
                for s, payload in rows
            ],
        }
        self.partition.apply(record, self.offset, at)
        self.offset += 1
        taken = self.partition.take_outputs()
        self.outputs += taken.records()
        self.letters += [letter.error for letter in taken.dead_letters]

    def settlements(self) -> dict[tuple[int, str], Any]:
        """The newest record of each settlement, by funding time and kind."""
        return {(r["funding_time"], r["kind"]): r for r in of(self.outputs, "settlements")}

    def regular(self, at: int) -> tuple[Any, Any, Any, Any]:
        """Interval, rate per 8 h (to compare), source and doubt of a regular settlement."""
        row = self.settlements()[at, "regular"]
        scaled = pytest.approx(row["rate_8h"], rel=1e-12)
        return row["interval_hours"], scaled, row["interval_source"], row["interval_doubtful"]

    def newest(self, topic: str) -> Any:
        """The newest record of a topic."""
        return of(self.outputs, topic)[-1]

    def audits(self, *kinds: str) -> list[str]:
        """Kinds of audit events so far, of these."""
        return [kind for kind in kinds if self.partition.counts[kind]]


class Venue(Feed, ABC):
    """One contract of a feed, and the calls that all venues have."""

    name: str
    symbol: str
    intervals: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    """The intervals that the venue may list, in hours."""

    def __init__(self) -> None:
        super().__init__(self.name)

    @abstractmethod
    def list_contract(self, at: int) -> None:
        """The list of contracts, which says no interval here."""

    @abstractmethod
    def list_interval(self, hours: float, at: int) -> None:
        """The list's interval."""

    @abstractmethod
    def estimate(self, rate: str, hours: float, coming: int, at: int) -> None:
        """An update of the stream; `hours` is for venues whose stream says it."""

    @abstractmethod
    def settled(self, rate: str, at: int, received_at: int | None = None) -> None:
        """A row of the history; without a time, it comes 20 s after the settlement."""

    @property
    def baseline(self) -> list[Settled]:
        """The settlements that the worker has kept, without where they were learnt."""
        entry = self.partition.store.entries[self.symbol]
        return [s._replace(raw_offset=0) for s in entry.baseline.settled]


class Binance(Venue):
    """USD-M."""

    name = "binance-usdm"
    symbol = "FOOUSDT"
    stream = "!markPrice@arr@1s"
    status = "status"

    def list_contract(self, at: int) -> None:
        """By exchangeInfo."""
        self.info(at)

    def list_interval(self, hours: float, at: int) -> None:
        """By fundingInfo."""
        self.listed(hours, at)

    def estimate(self, rate: str, hours: float, coming: int, at: int) -> None:
        """The stream does not say the interval."""
        del hours
        self.frame(rate, coming, at)

    def info(self, at: int, status: str = "TRADING", **more: Any) -> None:
        """An entry of exchangeInfo."""
        row = {
            "symbol": self.symbol,
            self.status: status,
            "baseAsset": "FOO",
            "quoteAsset": "USDT",
        }
        self.send("contract", "exchangeInfo", [(self.symbol, row | more)], at)

    def listed(self, hours: float, at: int, **more: Any) -> None:
        """An entry of fundingInfo."""
        row = {"symbol": self.symbol, "fundingIntervalHours": hours, **more}
        self.send("contract", "fundingInfo", [(self.symbol, row)], at)

    def frame(self, rate: str, coming: int, at: int, **more: Any) -> None:
        """A row of the mark-price stream."""
        row = {
            "e": "markPriceUpdate",
            "E": at // 1_000,
            "s": self.symbol,
            "p": "31.07",
            "i": "31.11",
            "P": "31.09",
            "r": rate,
            "T": coming // 1_000,
        }
        self.send("stream", self.stream, [(self.symbol, row | more)], at + 50_000)

    def settled(self, rate: str, at: int, received_at: int | None = None, **more: Any) -> None:
        """A row of the history, stamped a millisecond late."""
        row = {"symbol": self.symbol, "fundingTime": at // 1_000 + 1, "fundingRate": rate, **more}
        received_at = at + 20 * S if received_at is None else received_at
        self.send("history", "fundingRate", [(self.symbol, row)], received_at)


def scored(hours: float) -> Binance:
    """A contract with a baseline at 8 h equivalents of 0.0001 ± 0.00001, at 09:00."""
    feed = Binance()
    feed.info(us("00:10", -20))
    feed.listed(hours, us("00:10", -20))
    count = int(10 * 24 // hours)
    for index in range(count):
        at = us("08:00") - index * int(hours * US_PER_HOUR)
        rate = (0.00009 if index % 2 else 0.00011) * hours / 8
        feed.settled(repr(rate), at, us("08:01"))
    return feed


class BinanceCoinm(Binance):
    """COIN-M."""

    name = "binance-coinm"
    symbol = "FOOUSD_PERP"
    stream = "markPrice"
    status = "contractStatus"


class Kucoin(Venue):
    """KuCoin, whose stream says interval and coming funding time."""

    name = "kucoin"
    symbol = "FOOUSDTM"

    def list_contract(self, at: int) -> None:
        """A row without an interval."""
        self.contract(None, at)

    def list_interval(self, hours: float, at: int) -> None:
        """The same row with it."""
        self.contract(hours, at)

    def estimate(self, rate: str, hours: float, coming: int, at: int) -> None:
        """By the UTA socket."""
        self.push(rate, hours, coming, at)

    def contract(self, hours: float | None, at: int, **more: Any) -> None:
        """A row of contracts/active."""
        granularity = None if hours is None else int(hours * 3_600_000)
        row = {
            "symbol": self.symbol,
            "baseCurrency": "FOO",
            "quoteCurrency": "USDT",
            "status": "Open",
            "fundingRateGranularity": granularity,
            "currentFundingRateGranularity": granularity,
            **more,
        }
        self.send("contract", "contracts/active", [(self.symbol, row)], at)

    def push(self, rate: str, hours: float, coming: int, at: int, **more: Any) -> None:
        """A row of the UTA socket."""
        row = {"s": self.symbol, "fr": rate, "nt": coming // 1_000, "gl": int(hours * 3_600_000)}
        frame = {"T": "funding-fee-all-symbols", "P": at * 1_000, "d": row | more}
        self.send("stream", "funding-fee-all-symbols", [(self.symbol, frame)], at + 80_000)

    def settled(self, rate: str, at: int, received_at: int | None = None) -> None:
        """A row of contract/funding-rates."""
        row = {"symbol": self.symbol, "timepoint": at // 1_000, "fundingRate": rate}
        received_at = at + 20 * S if received_at is None else received_at
        self.send("history", "funding-rates", [(self.symbol, row)], received_at)


class Hyperliquid(Venue):
    """Hyperliquid, where every interval is one hour."""

    name = "hyperliquid"
    symbol = "abc:FOO"
    intervals = (1.0,)

    def list_contract(self, at: int) -> None:
        """An entry of allPerpMetas."""
        meta = {"universe": [{"name": self.symbol, "szDecimals": 2}], "collateralToken": 0}
        self.send("contract", "allPerpMetas", [(self.symbol, meta)], at)

    def list_interval(self, hours: float, at: int) -> None:
        """It is always one hour."""
        assert hours == 1.0
        self.list_contract(at)

    def estimate(self, rate: str, hours: float, coming: int, at: int) -> None:
        """A frame names neither."""
        del hours, coming
        self.context(at, funding=rate)

    def context(self, at: int, **more: Any) -> None:
        """A frame of activeAssetCtx."""
        context = {
            "funding": "0.0000125",
            "premium": "0.0001",
            "midPx": "10.2",
            "markPx": "10.1",
            "oraclePx": "10.3",
            **more,
        }
        frame = {"channel": "activeAssetCtx", "data": {"coin": self.symbol, "ctx": context}}
        self.send("stream", "activeAssetCtx", [(self.symbol, frame)], at)

    def settled(self, rate: str, at: int, received_at: int | None = None) -> None:
        """A row of fundingHistory."""
        row = {"coin": self.symbol, "time": at // 1_000 + 37, "fundingRate": rate}
        received_at = at + 20 * S if received_at is None else received_at
        self.send("history", "fundingHistory", [(self.symbol, row)], received_at)


class Backpack(Venue):
    """Backpack, whose list of markets says the interval."""

    name = "backpack"
    symbol = "FOO_USDC_PERP"

    def list_contract(self, at: int) -> None:
        """A market without an interval."""
        self.market(at)

    def list_interval(self, hours: float, at: int) -> None:
        """In milliseconds, as a text."""
        self.market(at, fundingInterval=str(int(hours * 3_600_000)))

    def market(self, at: int, **more: Any) -> None:
        """A row of markets."""
        row = {
            "symbol": self.symbol,
            "baseSymbol": "FOO",
            "quoteSymbol": "USDC",
            "orderBookState": "Open",
            **more,
        }
        self.send("contract", "markets", [(self.symbol, row)], at)

    def estimate(self, rate: str, hours: float, coming: int, at: int) -> None:
        """A frame says the coming funding time alone."""
        del hours
        data = {
            "e": "markPrice",
            "E": at,
            "s": self.symbol,
            "p": "9.3",
            "i": "9.31",
            "f": rate,
            "n": coming // 1_000,
        }
        frame = {"stream": f"markPrice.{self.symbol}", "data": data}
        self.send("stream", "markPrice", [(self.symbol, frame)], at + 30_000)

    def settled(self, rate: str, at: int, received_at: int | None = None) -> None:
        """A row of fundingRates."""
        end = (_EPOCH + timedelta(microseconds=at)).replace(tzinfo=None).isoformat()
        row = {"symbol": self.symbol, "intervalEndTimestamp": end, "fundingRate": rate}
        received_at = at + 20 * S if received_at is None else received_at
        self.send("history", "fundingRates", [(self.symbol, row)], received_at)


VENUES: dict[str, type[Venue]] = {
    venue.name: venue for venue in (Binance, BinanceCoinm, Kucoin, Hyperliquid, Backpack)
}
