"""The events of docs/decisions/real-events.md on one running stack, each on a contract of its own.

The contracts are those that the simulator lists with CONTRACTS contracts in all; which they are
does not depend on its seed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Consumer

from schemas.clock import now_us
from schemas.times import MS_PER_HOUR, US_PER_HOUR
from schemas.topics import DEAD_LETTERS, raw_topic
from tests.support.stack_fixture import RunningStack

CONTRACTS = 60
REFRESH_S = 45
"""Of the lists. Binance's intervals are asked for with every second refresh."""
LIST_LAG_S = 4
"""For so long a list says nothing of what the stream shows."""
FAULT_S = 20
"""Longer than any stale threshold of a feed that pushes each second."""
SPECIAL_RATE = -0.2

USDM, KUCOIN, HYPERLIQUID, BACKPACK = "binance-usdm", "kucoin", "hyperliquid", "backpack"
EVENT_FEEDS = (USDM, "binance-coinm", KUCOIN, HYPERLIQUID, BACKPACK)
"""The feeds of the events: CONTRACTS of these alone list the contracts that are named below."""
SPECIAL, MISSING = "binance-usdm:BTCUSDT", "binance-usdm:ETHUSDT"
ZOMBIE, RELISTED = "binance-usdm:DOGEUSDT", "binance-usdm:LINKUSDT"
TWICE, RAISED = "binance-usdm:TRXUSDT", "binance-usdm:BCHUSDT"
BAD_FIELDS = {"binance-usdm:DOTUSDT": "mark-price", "kucoin:DOGEUSDTM": "last-rate"}
SUSPENDED, POST_ONLY = "hyperliquid:DOGE", "backpack:BTC_USDC_PERP"


class Change(NamedTuple):
    """A contract that gets another interval."""

    contract_id: str
    before_hours: int
    after_hours: int
    grid: str


TO_HOURLY = Change("binance-usdm:XRPUSDT", 8, 1, "next-hour")
FROM_HOURLY = Change("binance-usdm:AVAXUSDT", 1, 8, "full")
ON_BACKPACK = Change("backpack:ETH_USDC_PERP", 1, 8, "full")
LISTED_LATE = (TO_HOURLY, FROM_HOURLY, ON_BACKPACK)
"""The list tells them late, the stream tells no interval."""
STATED = (
    Change("kucoin:BNBUSDTM", 4, 1, "next-hour"),
    Change("kucoin:SOLUSDTM", 1, 8, "full"),
)
"""The stream tells the interval."""


@dataclass(slots=True)
class Events:
    """What has been made to happen on a stack. Times are µs since the epoch."""

    stack: RunningStack
    began: int = 0
    asked: dict[str, int] = field(default_factory=dict)
    """What the simulator had counted when the events began."""

    async def make(self) -> None:
        """Make everything happen that needs no step before it."""
        stack, a_while = self.stack, {"seconds": FAULT_S}
        self.asked = dict(await stack.counts())
        self.began = now_us()
        for change in (*LISTED_LATE, *STATED):
            await self._of(
                "interval-change", change.contract_id, interval_hours=change.after_hours,
                grid=change.grid, list_lag_s=LIST_LAG_S,
            )  # fmt: skip
        await self._of("cap-raise", RAISED, list_lag_s=LIST_LAG_S)
        await self._of("delist", RELISTED)
        await self._of("halt", SUSPENDED, **a_while)
        await self._of("halt", POST_ONLY, state="PostOnly")
        await self._of("listed-twice", TWICE)
        for contract_id, name in BAD_FIELDS.items():
            await self._of("bad-field", contract_id, field=name, **a_while)
        await stack.control("empty-symbol", feed=USDM)
        await stack.control("unknown-event", feed=USDM)

    async def begin_zombie(self) -> None:
        """Let a contract trade no more, which the lists do not tell.

        With null in place of a price of 0 it could not be told from a live one, so this must not
        meet nulls.
        """
        await self._of("zombie", ZOMBIE)

    async def relist(self) -> None:
        """Use the ticker of the delisted contract again."""
        await self._of("relist", RELISTED)

    async def silence(self, feed: str, *symbols: str) -> None:
        """Let the stream of some contracts, or of all, be silent until `resume`."""
        some = {"symbols": list(symbols)} if symbols else {}
        await self.stack.control("silence", feed=feed, **some)

    async def _of(self, kind: str, contract_id: str, **parameters: Any) -> None:
        feed, _, symbol = contract_id.partition(":")
        await self.stack.control(kind, feed=feed, symbol=symbol, **parameters)

    async def first(self, sql: str) -> Any:
        """The only value of a query; None where it has no row."""
        rows = await self.stack.rows(sql)
        return rows[0][0] if rows else None

    async def audited(self, contract_id: str, kind: str, where: str = "1") -> int:
        """How often something was audited of a contract since the events began."""
        return int(
            await self.first(
                "SELECT sum(count) FROM funding.audit_once WHERE "
                f"subject = '{contract_id}' AND kind = '{kind}' AND ({where}) "
                f"AND toUnixTimestamp64Micro(last_event_time) >= {self.began}"
            )
        )

    async def more_calls(self, path: str) -> int:
        """How many calls of a path of REST the simulator got since the events began."""
        name = f"rest:{path}"
        return (await self.stack.counts())[name] - self.asked.get(name, 0)

    @property
    def shows(self) -> bool:
        """Whether a change of interval shows in the next funding time.

        It does not within the hour before 00, 08 and 16: every clock's next time is the same then.
        """
        return (self.began // US_PER_HOUR + 1) % 8 != 0


def faults_at_start(folder: Path, now_ms: int) -> Path:
    """A schedule of what is to be so before the first producer asks for any history."""
    eight_hours_ms = 8 * MS_PER_HOUR
    missing_ms = (now_ms // eight_hours_ms - 5) * eight_hours_ms
    entries = [
        {"at_s": 0, "kind": "special-settlement", "feed": USDM,
         "symbol": SPECIAL.partition(":")[2], "rate": SPECIAL_RATE},
        {"at_s": 0, "kind": "missing-settlement", "feed": USDM,
         "symbol": MISSING.partition(":")[2], "funding_ms": missing_ms},
    ]  # fmt: skip
    path = folder / "faults.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def dead_letters(stack: RunningStack) -> list[tuple[str, str]]:
    """Contract and error of every dead letter so far; the symbol is empty where there is none."""
    config = {**stack.worker_settings.librdkafka(), "group.id": "dead-letters-of-events",
              "auto.offset.reset": "earliest", "enable.auto.commit": False,
              "enable.partition.eof": True}  # fmt: skip
    consumer = Consumer(config)
    found: list[tuple[str, str]] = []
    try:
        partitions = consumer.list_topics(DEAD_LETTERS.name, timeout=10)
        consumer.subscribe([DEAD_LETTERS.name])
        ended: set[int] = set()
        while len(ended) < len(partitions.topics[DEAD_LETTERS.name].partitions):
            message = consumer.poll(10)
            assert message is not None, "the dead letters cannot be read"
            if message.error() is not None:
                ended.add(message.partition())
                continue
            headers = {name: value.decode() for name, value in message.headers() or ()}
            feed = headers["source_topic"].removeprefix(raw_topic(""))
            found.append((f"{feed}:{(message.key() or b'').decode()}", headers["error"]))
    finally:
        consumer.close()
    return found
