"""A worker in which Faust fails: run as a process of its own by test_worker_process.py.

Once it is ready it sends a changelog record that is larger than Faust's producer takes, as a state
that has grown too large does.
"""

from __future__ import annotations

import asyncio

from schemas.logs import setup_logging
from schemas.settings import load_settings
from stream_app.commands import run_worker
from stream_app.instance import claim_instance
from stream_app.settings import WorkerSettings
from stream_app.worker import CONTRACTS_TABLE, MAX_CHANGELOG_BYTES, create_app

settings = load_settings(WorkerSettings)
setup_logging(settings.log_level)
app = create_app(settings, claim_instance(settings))


@app.task  # type: ignore[untyped-decorator]
async def send_too_much() -> None:
    """Crash Faust's producer."""
    while not app.processing():  # noqa: ASYNC110 - Faust tells this by no event
        await asyncio.sleep(0.1)
    app.tables[CONTRACTS_TABLE].send_changelog(
        0, b"key", b"x" * (MAX_CHANGELOG_BYTES + 1), key_serializer="raw", value_serializer="raw"
    )


run_worker(app, settings)
