"""One producer a feed and data directory: the bookmarks of a backfill have a single writer.

The lock does not prevent two producers of a feed that have directories of their own. The worker
drops the second one's updates as duplicates where updates have a time; where they have none they
would be counted twice.
"""

from __future__ import annotations

from pathlib import Path

from schemas.errors import UnavailableError
from schemas.process.locks import FileLock, LockedError


def hold_feed(data_dir: str, feed: str) -> FileLock:
    """Lock a feed's bookmarks for as long as the returned lock is held.

    Raises:
        UnavailableError: another process has them; the message names it.
        ConfigurationError: the directory cannot be written.
    """
    path = Path(data_dir) / f"{feed}.lock"
    try:
        return FileLock(path)
    except LockedError as error:
        raise UnavailableError(
            f"another producer or backfill of {feed} uses {path.parent} ({error.holder}): end it, "
            "or set FUNDING_PRODUCER_DATA_DIR"
        ) from None
