"""Runs the Faust worker in this process until a signal."""

from __future__ import annotations

import gc
import logging
import sys
from contextlib import suppress

import faust

from schemas.clock import Clock, SystemClock
from schemas.errors import FatalError
from schemas.kafka import clients
from schemas.kafka.admin import await_kafka
from stream_app.settings import WorkerSettings
from stream_app.web.page import listen
from stream_app.worker.app import create_app
from stream_app.worker.funding_app import FundingApp
from stream_app.worker.group_lag import GroupLag
from stream_app.worker.instance import claim_instance
from stream_app.worker.watchdog import Watchdog, Watched

log = logging.getLogger(__name__)

GC_THRESHOLDS = (100_000, 50, 100)
SWITCH_S = 0.001
"""The page's thread gives the interpreter back after so long to the one that processes rates; by
itself it would after 5 ms."""


def start_worker(settings: WorkerSettings) -> None:
    """Make this process a worker of the group and run it until a signal.

    Raises:
        UnavailableError: the port of the status page is taken, or Kafka or the registry is away.
        ConfigurationError: a setting cannot be used.
        FatalError: Faust has crashed, or has stopped without being asked.
    """
    # Nothing else need be waited for where the port is taken.
    listen(settings).close()
    await_kafka(settings)
    clock = SystemClock()
    instance = claim_instance(settings, clock)
    app = create_app(settings, instance, clock)
    log.info("worker %s of the group %s", instance.name, settings.worker_id)
    run_worker(app, settings, clock)


def run_worker(app: FundingApp, settings: WorkerSettings, clock: Clock) -> None:
    """Run the app until a signal. Any other end of it is an error.

    Raises:
        FatalError: Faust has crashed, or has stopped without being asked.
    """
    # Records form no reference cycles; collections over the state would only add latency.
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_S)
    worker = faust.Worker(app, override_logging=False, quiet=True)
    worker.spinner = None  # It writes cursor codes, to what is no terminal as well.

    def asked_to_stop() -> bool:
        return worker._signal_stop_time is not None  # noqa: SLF001 - mode tells it nowhere else

    assert app.page is not None, "made by create_app"
    app.running_loop = worker.loop
    app.page.start()
    lag = GroupLag(clients.admin_client(settings.quiet_librdkafka()), settings.worker_id, clock)
    watched = Watched(worker.loop, app.processing, app.fallen, asked_to_stop)
    Watchdog(watched, lag, clock, settings.worker_watchdog_s).start()
    with suppress(SystemExit):
        # mode's exit codes: 1 after a crash, 0 after whatever other end.
        worker.execute_from_commandline()
    app.page.stop()
    if app.crashed or not asked_to_stop():
        raise FatalError(f"{app.fallen() or 'Faust has not started'}: start the worker again")
