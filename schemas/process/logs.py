"""The log of every process: UTC time, level, logger, message; libraries log warnings only."""

from __future__ import annotations

import logging
import re
import time

from schemas.text import printable

NOTICE = "notice:"
"""A message that begins so is shown at the console of `fundingstream up`, not only in the log."""
_LIBRARIES = ("aiokafka", "faust", "mode", "httpx", "httpx2", "asyncio", "librdkafka")
_SILENT = ("urllib3",)
"""Libraries whose warnings repeat what our code reports; only their errors are logged."""
_REPEATED_EVERY_S = 60.0
_MAX_KINDS = 256
_NUMBER = re.compile(r"\d+")


def setup_logging(level: str) -> None:
    """Set up logging for a process. With `DEBUG` the libraries log below WARNING as well."""
    formatter = _Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s")
    formatter.datefmt = "%Y-%m-%dT%H:%M:%S"
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.ERROR)
    if level != "DEBUG":
        handler.addFilter(RepetitionFilter())
        # aiokafka builds a debug record for each fetch, whether or not it is wanted.
        for name in _LIBRARIES:
            logging.getLogger(name).setLevel(logging.WARNING)


class _Formatter(logging.Formatter):
    """Makes each line printable, since it may quote an exchange or a server."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class RepetitionFilter(logging.Filter):
    """Passes a line that a library repeats once a minute, with the number of lines held back.

    Faust, for example, warns of each wait for its producer's buffer: tens of lines a second while
    baselines load. Lines are the same when they differ in numbers alone. Our own lines all pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}
        """When a kind of line passed last, in seconds, and how many were held back since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the line passes."""
        if record.name.partition(".")[0] not in _LIBRARIES:
            return True
        message = record.getMessage()
        kind = record.name, _NUMBER.sub("0", message)
        passed_s, held_back = self._kinds.pop(kind, (float("-inf"), 0))
        passes = not 0 <= record.created - passed_s < _REPEATED_EVERY_S
        self._kinds[kind] = (record.created, 0) if passes else (passed_s, held_back + 1)
        if len(self._kinds) > _MAX_KINDS:
            del self._kinds[next(iter(self._kinds))]  # The one that is seen least.
        if passes and held_back:
            record.msg, record.args = f"{message} ({held_back} more like it since)", ()
        return passes
