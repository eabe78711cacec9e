"""One producer a feed and data directory: the bookmarks of a backfill have a single writer.

Not responsible for: two producers with directories of their own. Where updates have a time the
worker knows those of the second one as duplicates; Hyperliquid's it would count twice.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from schemas.errors import ConfigurationError, UnavailableError


def claim(data_dir: str, feed: str) -> IO[str]:
    """Lock a feed's bookmarks for as long as the returned file is open.

    Raises:
        ConfigurationError: another process has them.
        UnavailableError: the directory cannot be written.
    """
    path = Path(data_dir) / f"{feed}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise UnavailableError(f"cannot write {path}: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ConfigurationError(
            f"another producer or backfill of {feed} uses {path.parent}: end it, or set "
            "FUNDING_PRODUCER_DATA_DIR"
        ) from error
    return file
