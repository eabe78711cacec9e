"""The whole path at a real exchange's rate: start-up, memory, CPU, latency to Kafka and to SQL.

Latency to Kafka is from the moment before the simulator's socket write (`sent_at` of its truth)
to the moment at which a consumer has the z-score, for those emitted at once; to SQL it is from
`received_at` to the end of the insert, as the sink measures it, and from `sent_at` to the first
query that sees the row.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from infra.embedded.ports import free_port
from infra.embedded.supervision.supervisor import Supervisor
from infra.stack.parts import Ports, Stack, StackOptions
from schemas.clock import now_us
from schemas.errors import UnavailableError
from schemas.feeds import FEEDS
from schemas.kafka import clients
from schemas.records import ZSCORE
from schemas.serde.registry import SchemaCatalog
from schemas.topics import ZSCORES
from stream_app.sink.clickhouse import connect

WARM_UP_S = 10.0
LOADED_WITHIN_S = 300.0
_PROBE_S = 0.05


def quantile(values: list[float], share: float) -> float:
    """Return the value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class _Arrivals(threading.Thread):
    """Notes when each z-score is readable on Kafka."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(daemon=True)
        self._decode = SchemaCatalog(stack.worker_settings).decoder(ZSCORE).decode
        self._consumer: Any = clients.consumer(
            {
                **stack.worker_settings.librdkafka(),
                "group.id": "bench",
                "auto.offset.reset": "latest",
            }
        )
        self._consumer.subscribe([ZSCORES.name])
        self.ended = threading.Event()
        self.seen: list[tuple[str, int, str, int]] = []

    def run(self) -> None:
        """Consume until the stop event is set."""
        while not self.ended.is_set():
            # One by one: `consume` waits for its whole timeout unless it is full.
            message = self._consumer.poll(0.1)
            if message is not None and message.error() is None:
                arrived = now_us()
                z = self._decode(message.value())
                self.seen.append((z["contract_id"], z["event_time"], z["trigger"], arrived))
        self._consumer.close()


_PROBED = (
    "SELECT DISTINCT contract_id FROM funding.rates "
    f"WHERE feed = '{FEEDS[0]}' ORDER BY contract_id LIMIT 2"
)
"""Two contracts of one feed: what is asked for again and again must not be the load."""


class _Visible(threading.Thread):
    """Notes when each second's updates of one contract become visible to SQL."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(daemon=True)
        self._client = connect(stack.sink_settings)
        self.ended = threading.Event()
        self.seen: dict[tuple[str, int], int] = {}

    def run(self) -> None:
        """Ask for the newest event time again and again."""
        probed = [row[0] for row in self._client.query(_PROBED).result_rows]
        while not self.ended.wait(_PROBE_S):
            rows = self._client.query(
                "SELECT contract_id, toUnixTimestamp64Micro(max(event_time)) FROM funding.rates "
                f"WHERE contract_id IN {tuple(probed)} GROUP BY contract_id"
            ).result_rows
            seen_at = now_us()
            for contract, event_time in rows:
                self.seen.setdefault((contract, int(event_time)), seen_at)


def _cpu_and_memory(pids: dict[str, int]) -> dict[str, tuple[float, int]]:
    usage = {}
    for name, pid in pids.items():
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        seconds = sum(sum(process.cpu_times()[:2]) for process in family)
        usage[name] = seconds, sum(process.memory_info().rss for process in family)
    return usage


async def _loaded(web: str) -> None:
    """Wait until no contract's baseline is being filled any more."""
    deadline_s = time.monotonic() + LOADED_WITHIN_S
    async with aiohttp.ClientSession() as http:
        while True:
            async with http.get(f"{web}/api/summary") as reply:
                summary = await reply.json()
            if summary["contracts"] and not summary["backfilling"]:
                return
            if time.monotonic() > deadline_s:
                raise UnavailableError(f"the history is not loaded within {LOADED_WITHIN_S:g} s")
            await asyncio.sleep(1.0)


async def _measure(options: StackOptions, seconds: float) -> dict[str, Any]:
    result: dict[str, Any] = {}
    begun_s = time.monotonic()
    async with Supervisor(sink=lambda _name, _line: None) as supervisor:
        stack = Stack(options, supervisor, lambda _line: None)
        await stack.start()
        result["start-up, s"] = round(time.monotonic() - begun_s, 1)
        await _loaded(options.web)
        result["start-up with 30 days of history, s"] = round(time.monotonic() - begun_s, 1)
        await asyncio.sleep(WARM_UP_S)
        arrivals, visible = _Arrivals(stack), _Visible(stack)
        arrivals.start()
        visible.start()
        await asyncio.sleep(5)
        from_us, before = now_us(), _cpu_and_memory(supervisor.pids)
        await asyncio.sleep(seconds)
        until_us, after = now_us(), _cpu_and_memory(supervisor.pids)
        await asyncio.sleep(2)
        arrivals.ended.set()
        visible.ended.set()
        await asyncio.to_thread(arrivals.join)
        await asyncio.to_thread(visible.join)
        await stack.drain()
    for name, (cpu_s, rss) in after.items():
        result[f"{name}: % of a core, RSS MB"] = (
            round((cpu_s - before[name][0]) / seconds * 100, 1),
            round(rss / 1e6),
        )
    sent = _sent(options.data_dir, from_us, until_us)
    result["updates/s"] = round(len(sent) / seconds)
    to_kafka = [
        (arrived - sent[contract, event]) / 1_000
        for contract, event, trigger, arrived in arrivals.seen
        if trigger != "flush" and (contract, event) in sent
    ]
    to_sql = [(at - sent[key]) / 1_000 for key, at in visible.seen.items() if key in sent]
    for what, values in (("z-score on Kafka", to_kafka), ("row visible to SQL", to_sql)):
        result[f"sent -> {what}, ms p50 / p99 / n"] = (
            round(quantile(values, 0.5), 1),
            round(quantile(values, 0.99), 1),
            len(values),
        )
    return result


def _sent(data_dir: Path, from_us: int, until_us: int) -> dict[tuple[str, int], int]:
    sent = {}
    for path in (data_dir / "truth").glob("*.ndjson"):
        if path.stem not in FEEDS:
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if from_us <= row["sent_at"] < until_us:
                sent[row["contract_id"], row["event_time"]] = row["sent_at"]
    return sent


def run(seconds: float, contracts: int, *, alone: bool = False) -> dict[str, Any]:
    """Measure for `seconds` and return the figures. There are no rivals to compare with."""
    del alone
    ports = Ports(**{name: free_port() for name in Ports.__dataclass_fields__})
    with tempfile.TemporaryDirectory() as directory:
        options = StackOptions(data_dir=Path(directory), ports=ports, contracts=contracts)
        return asyncio.run(_measure(options, seconds))
