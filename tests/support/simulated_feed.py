"""One simulated feed on a free port, and what its truth says: for clients that are not ours."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from infra.simulator.market.truth import TruthLog
from infra.simulator.options import SimulatorOptions
from infra.simulator.registry import create_exchanges
from infra.simulator.server.server import SimulatorServer
from infra.simulator.server.tls import server_context

OPTIONS = SimulatorOptions(seed=7, tick_ms=50, own={"kucoin_push_s": 0.2, "gate_quiet": "no"})
EVERY_PUSH = replace(OPTIONS, own={**OPTIONS.own, "mexc_push_s": 0.2, "mexc_pushes": "all"})
"""With these every contract of every feed is pushed within seconds."""
CONTRACTS = 12


class Simulated(NamedTuple):
    """A running simulator of one feed."""

    feed: str
    url: str
    data_dir: Path

    @property
    def ws_url(self) -> str:
        """The address of its sockets."""
        return f"ws{self.url.removeprefix('http')}"

    def updates(self) -> set[tuple[str, float]]:
        """Contract and rate of everything that was sent."""
        path = self.data_dir / "truth" / f"{self.feed}.ndjson"
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return {(row["contract_id"].split(":", 1)[1], row["rate"]) for row in rows}

    def settlements(self) -> dict[str, list[tuple[int, float]]]:
        """Funding time (ms) and rate of what settled, by symbol, ascending."""
        path = self.data_dir / "truth" / "settlements.ndjson"
        found: dict[str, list[tuple[int, float]]] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            symbol = row["contract_id"].split(":", 1)[1]
            found.setdefault(symbol, []).append((row["funding_time"] // 1_000, row["rate"]))
        return found


@asynccontextmanager
async def simulator(
    data_dir: Path,
    feed: str,
    certificate: Path | None = None,
    key: Path | None = None,
    options: SimulatorOptions = OPTIONS,
) -> AsyncIterator[Simulated]:
    """A simulator of one feed, on a free port; with a certificate it speaks TLS alone."""
    tls = server_context(certificate, key) if certificate and key else None
    now_ms = time.time_ns() // 1_000_000
    with TruthLog(data_dir, options.seed) as truth:
        exchanges = create_exchanges([feed], options, CONTRACTS, now_ms)
        server = SimulatorServer(exchanges, truth, port=0, tls=tls)
        await server.start()
        try:
            scheme = "https" if tls else "http"
            yield Simulated(feed, f"{scheme}://127.0.0.1:{server.port}/{feed}", data_dir)
        finally:
            await server.stop()
