"""One log format for every part: UTC time, level, logger, message; libraries only when they warn.

Not responsible for: where the output goes (the supervisor, a process manager).
"""

from __future__ import annotations

import logging
import time

NOTICE = "notice:"
"""How a message begins that a person at the console of `up` should see in any case."""
_QUIET = ("aiokafka", "faust", "mode", "httpx", "httpx2", "asyncio")
_SILENT = ("urllib3",)
"""These log what their callers handle and report anyway."""


def setup_logging(level: str) -> None:
    """Set up logging for a process. `DEBUG` lets the libraries speak as well."""
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s")
    formatter.datefmt = "%Y-%m-%dT%H:%M:%S"
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.ERROR)
    if level != "DEBUG":
        # aiokafka builds a debug record for each fetch, whether or not it is wanted.
        for name in _QUIET:
            logging.getLogger(name).setLevel(logging.WARNING)
