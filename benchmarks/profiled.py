"""`python -m benchmarks.profiled FILE`: the worker, with a note of where its CPU time goes.

A signal comes for each ms of CPU time of the process. Its handler looks where the main thread is
and adds the CPU time that this thread has used since the last signal to the stage found there
(profile_stages.py). The time of other Python threads is read from their own clocks, and what is
left of the process's time is that of librdkafka's threads. FILE gets a line of running totals
every quarter of a second. The signals cost about 2 %.
"""

from __future__ import annotations

import atexit
import json
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import TextIO

from benchmarks.profile_stages import NATIVE, thread_stage, walk

TICK_S = 0.001
LINE_EVERY_S = 0.25


class Profile:
    """Running totals of CPU time by stage, in seconds."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._main_s: dict[str, float] = {}
        self._seen_s = time.thread_time()
        self._written_s = time.monotonic()
        self._busy = False

    def start(self) -> None:
        """Begin; call it in the main thread."""
        signal.signal(signal.SIGPROF, self._tick)
        signal.siginterrupt(signal.SIGPROF, False)
        signal.setitimer(signal.ITIMER_PROF, TICK_S, TICK_S)
        # Python takes its handlers down at its end, and the signal would kill it then.
        atexit.register(signal.signal, signal.SIGPROF, signal.SIG_IGN)

    def _tick(self, _number: int, frame: FrameType | None) -> None:
        if self._busy:
            # The next signal came before the handler was done: its time counts to the one after.
            return
        self._busy = True
        try:
            self._note(frame)
        finally:
            self._busy = False

    def _note(self, frame: FrameType | None) -> None:
        now_s = time.thread_time()
        stage = walk(frame)
        self._main_s[stage] = self._main_s.get(stage, 0.0) + now_s - self._seen_s
        self._seen_s = now_s
        at_s = time.monotonic()
        if at_s - self._written_s >= LINE_EVERY_S:
            self._written_s = at_s
            self._write(at_s)

    def _write(self, at_s: float) -> None:
        totals = dict(self._main_s)
        others_s = 0.0
        main = threading.main_thread().ident
        for thread in threading.enumerate():
            if thread.ident is None or thread.ident == main:
                continue
            used_s = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
            others_s += used_s
            name = thread_stage(thread.name)
            totals[name] = totals.get(name, 0.0) + used_s
        totals[NATIVE] = time.process_time() - self._seen_s - others_s
        self._out.write(json.dumps({"at_s": at_s, "cpu_s": totals}) + "\n")
        self._out.flush()


def main() -> None:
    """Run the worker as `fundingstream worker` does."""
    path = Path(sys.argv.pop(1))
    sys.argv[1:] = ["worker"]
    from infra.cli.main import main as console_script  # noqa: PLC0415 - once it is watched

    with path.open("w", encoding="utf-8") as out:
        Profile(out).start()
        console_script()


if __name__ == "__main__":
    main()
