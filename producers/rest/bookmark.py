"""How far the settled history of a feed, or of each of its contracts, is published; kept in a file.

The file belongs to one Kafka cluster, the one that has the rows. A damaged file, or another
cluster's, counts as no bookmark: fetching again is safe. A file of a version of the producers whose
rows are not good enough any more counts as one in which nothing is published yet.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from schemas.process.files import write_atomically

log = logging.getLogger(__name__)

VERSION = 2
"""Of what is published, not of the file's form. Version 1, whose files do not name it, lost one of
two settlements of a contract with one stamp and had special ones taken for regular ones: all
history is fetched once more after it."""
_FEED = ""
"""Key in the file of the time that holds for all contracts."""


class Bookmark:
    """The bookmarks of one feed. Times are ms since the epoch."""

    def __init__(self, path: Path, cluster_id: str) -> None:
        """Read the file, if there is one."""
        self._path = path
        self._cluster_id = cluster_id
        self.announced: frozenset[str] = frozenset()
        """Contracts whose backfill was announced and whose release Kafka may not have."""
        self._contract_ms: dict[str, int] = {}
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored["cluster_id"] == cluster_id:
                found = {str(key): int(ms) for key, ms in stored["through_ms"].items()}
                # Announced by any version: the worker waits for their release.
                self.announced = frozenset(map(str, stored.get("begun", ())))
                self._contract_ms = self._good_enough(found, stored.get("version", 1))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        self.feed_ms = self._contract_ms.pop(_FEED, None)
        """Time up to which all contracts' settlements are published; None: unknown."""

    def _good_enough(self, found: dict[str, int], version: object) -> dict[str, int]:
        """Return the bookmarks of a file; none of another version's, which is logged."""
        if version == VERSION or not found:
            return found
        log.warning(
            "%s is of version %r, this is %d: what that version published of special settlements "
            "is wrong, so the settlements of all contracts are fetched once more",
            self._path,
            version,
            VERSION,
        )
        return {}

    @property
    def contract_ms(self) -> Mapping[str, int]:
        """The time up to which each contract's settlements are published."""
        return self._contract_ms

    def move_feed(self, through_ms: int) -> None:
        """Note that all contracts' settlements up to a time are published."""
        self.feed_ms = through_ms
        self._write()

    def move_contract(self, symbol: str, through_ms: int) -> None:
        """Note that a contract's settlements up to a time are published."""
        self._contract_ms[symbol] = through_ms
        self._write()

    def announce(self, contracts: Iterable[str]) -> None:
        """Note whose backfill is about to be announced."""
        self.announced = self.announced.union(contracts)
        self._write()

    def release(self, contracts: Iterable[str]) -> None:
        """Note whose release Kafka has."""
        self.announced = self.announced.difference(contracts)
        self._write()

    def _write(self) -> None:
        """Write the file. A full disk costs a second fetch after a restart, and not the feed."""
        whole = {} if self.feed_ms is None else {_FEED: self.feed_ms}
        stored = {
            "version": VERSION,
            "cluster_id": self._cluster_id,
            "through_ms": {**whole, **self._contract_ms},
            "begun": sorted(self.announced),
        }
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, json.dumps(stored))
        except OSError as error:
            log.error("cannot write %s, a restart will fetch again: %s", self._path, error)  # noqa: TRY400 - its cause is in the message
