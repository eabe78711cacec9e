"""A worker in which something fails, run as a process by tests/integration/worker/test_process.py.

Without an argument Faust's producer is made to refuse a record, as it does when state has grown too
large. `block`: the event loop is held up for ever. `hang`: records come and are never processed.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any, cast

from schemas.clock import SystemClock, now_us
from schemas.config.settings import load_settings
from schemas.errors import FundingStreamError
from schemas.process.logs import setup_logging
from schemas.records import HourlyBar
from schemas.times import hour_floor
from schemas.topics import MAX_MESSAGE_BYTES
from stream_app.settings import WorkerSettings
from stream_app.worker.app import create_app
from stream_app.worker.funding_app import FundingApp
from stream_app.worker.instance import claim_instance
from stream_app.worker.service import run_worker


def _fail(app: FundingApp, how: str) -> None:
    """Let the worker fail in one way."""
    processor: Any = app.processor
    if how == "hang":

        async def never(_batch: Any) -> None:
            await asyncio.Event().wait()

        processor.admit = never
    elif how == "block":

        def block() -> None:
            threading.Event().wait()

        processor.flush_quiet = block
    else:
        flush = processor.flush

        async def too_much(owns: Any) -> Any:
            bar = {"contract_id": "x" * (MAX_MESSAGE_BYTES + 1), "hour": hour_floor(now_us())}
            await processor._tables.bars.put(0, cast("HourlyBar", bar))
            return await flush(owns)

        processor.flush = too_much


def main() -> None:
    """Run the worker."""
    settings = load_settings(WorkerSettings)
    setup_logging(settings.log_level)
    clock = SystemClock()
    app = create_app(settings, claim_instance(settings, clock), clock)
    _fail(app, sys.argv[1] if len(sys.argv) > 1 else "crash")
    run_worker(app, settings, clock)


if __name__ == "__main__":
    try:
        main()
    except FundingStreamError as error:
        # As infra.cli.main does for every command.
        sys.stderr.write(f"fundingstream: {error}\n")
        sys.exit(error.exit_code)
