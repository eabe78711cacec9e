"""The log: one line a fact, safe for a terminal, and not filled by one library's repetition."""

from __future__ import annotations

import logging
import subprocess
import sys

from schemas.process.logs import RepetitionFilter

WRITE = """
import logging
from schemas.process.logs import setup_logging
setup_logging("INFO")
for size in range(700, 600, -1):
    logging.getLogger("faust.transport.producer").warning(f"producer buffer full size {size}")
logging.getLogger("producers.websocket.connection").info("closed: %s", "\\x1b[?25hbye\\x07")
"""


def record(name: str, message: str, at_s: float) -> logging.LogRecord:
    """A line as a logger makes it."""
    made = logging.LogRecord(name, logging.WARNING, __file__, 1, message, (), None)
    made.created = at_s
    return made


def test_a_librarys_repetition_passes_once_a_minute_with_its_number() -> None:
    """Numbers in it make no other line; nothing is dropped uncounted."""
    repetitions = RepetitionFilter()
    lines = [record("faust.x", f"full {n}", 1_000 + n) for n in range(62)]
    passed = [line for line in lines if repetitions.filter(line)]
    assert [line.getMessage() for line in passed] == ["full 0", "full 60 (59 more like it since)"]


def test_other_lines_pass_meanwhile() -> None:
    """Those of other kinds, other loggers, and all of ours."""
    repetitions = RepetitionFilter()
    lines = [
        record("faust.x", "a", 1), record("faust.x", "b", 1), record("mode", "a", 1),
        record("producers.feed.feed", "c", 1), record("producers.feed.feed", "c", 1),
    ]  # fmt: skip
    assert all(map(repetitions.filter, lines))


def test_the_kinds_that_are_remembered_are_bounded() -> None:
    """A library that says something new each time passes, and costs no memory."""
    repetitions = RepetitionFilter()
    names = ["faust." + "x" * n for n in range(1_000)]
    assert all(repetitions.filter(record(name, "a", 1)) for name in names)
    assert len(repetitions._kinds) <= 256
    assert not repetitions.filter(record(names[-1], "a", 2))


def test_a_process_writes_what_a_terminal_may_show() -> None:
    """A hundred warnings are one line; an exchange's escape sequences are text."""
    done = subprocess.run([sys.executable, "-c", WRITE], capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("producer buffer full size 700")
    assert lines[1].endswith(r"closed: \x1b[?25hbye\x07")
