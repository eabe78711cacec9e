"""Where runs of `up` keep their data unless they are told otherwise."""

from __future__ import annotations

from pathlib import Path

DEFAULT_ROOT = Path(".fundingstream")
RUN_DIRECTORIES = {"live": DEFAULT_ROOT / "live", "demo": DEFAULT_ROOT / "demo"}
"""By kind of run, relative to the working directory. The demo's is begun anew by each run."""
CLICKHOUSE_URL_FILE = "clickhouse.url"
"""In a run's directory: where its own ClickHouse listens, for tools that come as its writer."""
DEMO_CONTRACTS = 1500
"""How many contracts a simulated run lists, over all feeds, unless it is told otherwise: a part of
what the exchanges list, in their proportions, that leaves two cores room."""
FEEDS_PER_PRODUCER = 5
"""Where the exchanges list all of their contracts, one producer has so many feeds."""
