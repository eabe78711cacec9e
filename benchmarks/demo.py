"""Everything on one machine, as `fundingstream up` runs it, from an empty start to the loaded
state.

Simulated exchanges, producers, Kafka, registry, worker, sink and ClickHouse start with empty
tables; 30 days of settlements are loaded while live rates stream; then, ten seconds after the last
baseline is there, everything is measured for a minute. One tab shows the page all the time. The
page's p99 is what it shows, of the newest records, from receipt at the producer until their
outputs are handed to Kafka: read every two seconds. The worker's own reports, one a second on
`funding.workers`, tell p50, p99 and the records that it is behind. To the z-score on Kafka is from
receipt until a consumer in another process has the z-score, for those published at once; to the
row in SQL is from receipt until a query sees the row (two contracts, asked for every 50 ms).
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Self

import aiohttp

from benchmarks.arrivals import Arrivals
from benchmarks.demo_report import aims_of, figures_of_phase, is_loaded, text
from benchmarks.figures import histogram
from benchmarks.running import Running, Usage, options_of, progress, running
from benchmarks.tables import Aim
from infra.runs import DEMO_CONTRACTS
from schemas.clock import now_us
from schemas.errors import UnavailableError
from schemas.feeds import FEEDS
from schemas.kafka.topic_follower import Source, TopicFollower
from schemas.records import WorkerStatus
from schemas.serde.registry import SchemaCatalog
from schemas.topics import WORKERS, ZSCORES
from stream_app.sink.clickhouse import connect

__all__ = ["add_options", "aims", "aims_of", "measure", "measure_stack", "text"]

TITLE = "Everything on two cores: the demo"
BOUND_S = 900.0
SECONDS = 60.0
QUICK_SECONDS = 8.0
QUICK_CONTRACTS = 60
LOADED_WITHIN_S = 480.0
SETTLE_S = 10.0
PAGE_EVERY_S = 2.0
_PROBE_S = 0.05
_ASK_S = 20.0
AIMS = {"loading_ms": 250.0, "loaded_ms": 100.0, "worker_cores": 0.15}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--contracts", type=int, help=f"of all feeds ({DEMO_CONTRACTS})")
    parser.add_argument("--producers", type=int, help="processes that share the feeds")
    parser.add_argument("--seconds", type=float, help=f"to measure once loaded ({SECONDS:g})")
    parser.add_argument("--tabs", type=int, default=1, help="how many tabs show the page (1)")
    parser.add_argument("--aligned", action="store_true", help="all exchanges push at once")
    parser.add_argument("--data-dir", type=Path, help="where to leave data and logs")


async def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Measure the demo."""
    return await measure_stack(given, DEMO_CONTRACTS)


def aims(figures: Mapping[str, Any]) -> list[Aim]:
    """Return what was aimed at, with what was measured."""
    return aims_of(figures, "demo", AIMS)


async def measure_stack(
    given: argparse.Namespace, contracts: int, producers: int = 1
) -> dict[str, Any]:
    """Start everything with so many contracts, unless the command line says otherwise; measure."""
    contracts = given.contracts or (QUICK_CONTRACTS if given.quick else contracts)
    seconds = given.seconds or (QUICK_SECONDS if given.quick else SECONDS)
    keep = given.data_dir
    with nullcontext(keep) if keep else tempfile.TemporaryDirectory() as directory:
        options = options_of(
            Path(directory),
            FEEDS,
            contracts,
            {},
            ("--aligned",) if given.aligned else (),
            given.producers or producers,
        )
        begun_s = time.monotonic()
        async with running(options) as stack, _Observed(stack, given.tabs) as observed:
            started_s = time.monotonic() - begun_s
            progress(f"all parts are up after {started_s:.1f} s")
            loading = await observed.phase(observed.loaded(LOADED_WITHIN_S))
            loaded = loading["ended_by"]
            progress(f"{loading['seconds']:.0f} s later: {loaded}; measuring {seconds:g} s")
            await asyncio.sleep(SETTLE_S)
            steady = await observed.phase(asyncio.sleep(seconds), sql=True)
    return {
        "contracts": contracts,
        "tabs": given.tabs,
        "aligned": given.aligned,
        "started_s": round(started_s, 1),
        "loaded": loaded == _LOADED,
        "loading": loading,
        "steady": steady,
    }


_LOADED = "all baselines are loaded"


class _Observed:
    """A running stack with a tab that shows its page, and with the worker's reports."""

    def __init__(self, stack: Running, tabs: int) -> None:
        self._stack = stack
        self._tabs = tabs
        self._web = stack.options.web
        self._reports: list[WorkerStatus] = []
        self._pages: list[dict[str, Any]] = []
        self._tasks: list[asyncio.Task[None]] = []
        settings = stack.stack.worker_settings
        self._follower = TopicFollower(
            settings,
            SchemaCatalog(settings),
            [Source(WORKERS, since="next")],
            lambda records: self._reports.extend(followed.record for followed in records),
        )

    async def __aenter__(self) -> Self:
        self._follower.start()
        timeout = aiohttp.ClientTimeout(total=_ASK_S)
        self._http = aiohttp.ClientSession(timeout=timeout)
        self._tasks = [asyncio.create_task(self._tab()) for _ in range(self._tabs)]
        self._tasks.append(asyncio.create_task(self._read_page()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.close()
        await asyncio.to_thread(self._follower.stop)

    async def _tab(self) -> None:
        """Do what a tab with the page does."""
        async with self._http.ws_connect(f"{self._web}/live", max_msg_size=0) as socket:
            async for _ in socket:
                pass
        raise UnavailableError("the page has closed its socket")

    async def _read_page(self) -> None:
        while True:
            async with self._http.get(f"{self._web}/api/v1/summary") as reply:
                self._pages.append(await reply.json())
            await asyncio.sleep(PAGE_EVERY_S)

    async def loaded(self, within_s: float) -> str:
        """Wait until all baselines are loaded, or for so long; say which."""
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            self._require()
            if self._pages and is_loaded(self._pages[-1]):
                return _LOADED
            await asyncio.sleep(PAGE_EVERY_S / 2)
        return "baselines are still being loaded"

    def _require(self) -> None:
        for task in self._tasks:
            if task.done():
                raise UnavailableError(f"the page does not answer: {task.exception()!r}")

    async def phase(self, wait: Any, *, sql: bool = False) -> dict[str, Any]:
        """Note everything while something is waited for, and return the figures."""
        settings = self._stack.stack.worker_settings
        visible = _Visible(self._stack) if sql else None
        watcher = await asyncio.to_thread(Arrivals, settings, ZSCORES.name, "zscore")
        if visible is not None:
            visible.start()
        self._reports.clear()
        self._pages.clear()
        before, from_us, begun_s = self._stack.usage(), now_us(), time.monotonic()
        ended_by = await wait
        took_s = time.monotonic() - begun_s
        after = self._stack.usage()
        self._require()
        arrived = await asyncio.to_thread(watcher.end)
        if visible is not None:
            await asyncio.to_thread(visible.end)
        return {
            "ended_by": ended_by or "",
            "seconds": round(took_s, 1),
            "parts": _parts(before, after, took_s),
            "to_sql_ms": histogram(visible.took_ms if visible is not None else []),
            **figures_of_phase(
                list(self._pages),
                list(self._reports),
                [each.took_ms for each in arrived if each.sent_us >= from_us],
                took_s,
            ),
        }


def _parts(
    before: Mapping[str, Usage], after: Mapping[str, Usage], seconds: float
) -> dict[str, Sequence[float]]:
    """Return cores and memory (MB) of each part."""
    return {
        part: (round((after[part][0] - before[part][0]) / seconds, 3), round(after[part][1] / 1e6))
        for part in after
        if part in before
    }


class _Visible(threading.Thread):
    """Notes how long after its receipt each second's row of two contracts is visible to SQL."""

    _PROBED = (
        "SELECT DISTINCT contract_id FROM funding.rates "
        f"WHERE feed = '{FEEDS[0]}' ORDER BY contract_id LIMIT 2"
    )
    """Of one feed: what is asked for again and again must not be the load."""

    def __init__(self, stack: Running) -> None:
        super().__init__(daemon=True)
        self._client = connect(stack.stack.sink_settings)
        self._ended = threading.Event()
        self.took_ms: list[float] = []

    def run(self) -> None:
        """Ask for the newest receipt again and again."""
        probed = [row[0] for row in self._client.query(self._PROBED).result_rows]
        chosen = ", ".join(f"'{contract}'" for contract in probed)
        newest: dict[str, int] = {}
        while not self._ended.wait(_PROBE_S):
            rows = self._client.query(
                "SELECT contract_id, toUnixTimestamp64Micro(max(received_at)) FROM funding.rates "
                f"WHERE contract_id IN ({chosen}) GROUP BY contract_id"
            ).result_rows
            seen_at = now_us()
            for contract, received_at in rows:
                if contract in newest and received_at > newest[contract]:
                    self.took_ms.append((seen_at - received_at) / 1_000)
                newest[contract] = received_at

    def end(self) -> None:
        """Stop."""
        self._ended.set()
        self.join()
